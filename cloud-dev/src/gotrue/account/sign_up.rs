//! `POST /signup`: a new account, with an address or without one.
//!
//! Where addresses are confirmed, nobody learns from a sign-up whether one is known: a known one gets a made-up
//! user and no mail. Wire source: GoTrue, `/signup`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};

use super::{NewUser, User, email_address, password};
use crate::gotrue::{
    call::{Call, Tx},
    error::AuthError,
    mail::code::{self, Draft, Kind},
    pkce::{Challenge, Flow},
    session::{self, Started},
    settings::AuthFeature,
};

/// How the session begins that a confirmation gives through a link with a code.
const METHOD: &str = "email/signup";

pub(crate) async fn sign_up(call: &Call<'_>) -> Result<Response, AuthError> {
    let settings = call.settings();
    if !settings.allows(AuthFeature::SignUp) {
        return Err(AuthError::unprocessable("signup_disabled", "Signups not allowed for this instance"));
    }
    let email = match (call.text("email"), call.text("phone")) {
        (Some(email), _) => email,
        (None, Some(_)) => {
            return Err(AuthError::bad_request("phone_provider_disabled", "Phone signups are disabled"));
        }
        (None, None) => return anonymous(call).await,
    };
    if !settings.allows(AuthFeature::Email) {
        return Err(AuthError::bad_request("email_provider_disabled", "Email signups are disabled"));
    }
    let challenge = Challenge::of_body(call)?;
    let secret = call
        .text("password")
        .ok_or_else(|| AuthError::bad_request("validation_failed", "Signup requires a valid password"))?;
    let email = email_address(email)?;
    password::check(secret)?;
    let new = NewUser {
        password_hash: Some(password::hash(secret).await?),
        ..NewUser::new(Some(email), call.object("data"))
    };
    let redirect_to = call.redirect_to();
    let signed_up = call.transaction(move |tx| with_address(tx, new, challenge, &redirect_to)).await?;
    match signed_up {
        SignUp::Confirmed(started) => Ok(Json(started.to_json(call.cloud)).into_response()),
        SignUp::Waiting(user) => Ok(Json(user.to_json()).into_response()),
        SignUp::Taken(_) if !settings.confirm_email => {
            Err(AuthError::unprocessable("user_already_exists", "User already registered"))
        }
        SignUp::Taken(user) => Ok(Json(made_up(*user)).into_response()),
    }
}

/// What became of a sign-up with an address.
enum SignUp {
    Confirmed(Box<Started>),
    Waiting(Box<User>),
    Taken(Box<User>),
}

fn with_address(
    tx: &Tx<'_>,
    new: NewUser,
    challenge: Option<Challenge>,
    redirect_to: &str,
) -> Result<SignUp, AuthError> {
    let user = create(tx, new, challenge, redirect_to)?;
    Ok(match user {
        Created::Taken(user) => SignUp::Taken(user),
        Created::Is(user) if user.is_confirmed() => {
            SignUp::Confirmed(Box::new(session::start(tx, &user.id, "password")?))
        }
        Created::Is(user) => SignUp::Waiting(user),
    })
}

/// An account that is there now, or was before.
pub(crate) enum Created {
    Is(Box<User>),
    Taken(Box<User>),
}

/// Stores an account with an address unless it is known, and confirms it or mails it a link.
pub(crate) fn create(
    tx: &Tx<'_>,
    new: NewUser,
    challenge: Option<Challenge>,
    redirect_to: &str,
) -> Result<Created, AuthError> {
    let email = new.email.clone().unwrap_or_default();
    let id = match User::by_email(tx.conn, &email)? {
        Some(user) if user.is_confirmed() => return Ok(Created::Taken(Box::new(user))),
        Some(user) => user.id, // whoever comes second may be somebody else: the first one's password stays
        None => {
            new.insert(tx.conn)?;
            new.insert_email_identity(tx.conn)?;
            new.insert_organization(tx.conn)?;
            new.id
        }
    };
    if tx.settings().confirm_email {
        let pkce = challenge.is_some();
        if let Some(challenge) = challenge {
            Flow::by_mail(tx, challenge, METHOD, &id)?;
        }
        let draft = Draft { kind: Kind::Confirmation, name: "signup", to: &email, redirect_to, pkce };
        code::send(tx, &id, &draft)?;
    } else {
        User::confirm(tx.conn, &id)?;
    }
    Ok(Created::Is(Box::new(User::load(tx.conn, &id)?)))
}

async fn anonymous(call: &Call<'_>) -> Result<Response, AuthError> {
    if call.text("password").is_some() {
        let message = "To signup, please provide your email";
        return Err(AuthError::bad_request("validation_failed", message));
    }
    if !call.settings().allows(AuthFeature::AnonymousSignUp) {
        let message = "Anonymous sign-ins are disabled";
        return Err(AuthError::unprocessable("anonymous_provider_disabled", message));
    }
    let new = NewUser { is_anonymous: true, ..NewUser::new(None, call.object("data")) };
    let started = call
        .transaction(move |tx| {
            new.insert(tx.conn)?;
            new.insert_organization(tx.conn)?;
            session::start(tx, &new.id, "anonymous")
        })
        .await?;
    Ok(Json(started.to_json(call.cloud)).into_response())
}

/// A user who does not exist, in place of one who does.
fn made_up(mut user: User) -> Value {
    (user.id, user.confirmed_at) = (uuid::Uuid::new_v4().to_string(), None);
    (user.new_email, user.user_metadata) = (None, Value::Object(Map::new()));
    let mut answer = user.to_json();
    answer["identities"] = json!([]);
    for tell_tale in ["factors", "last_sign_in_at", "recovery_sent_at", "email_change_sent_at"] {
        answer.as_object_mut().and_then(|answer| answer.remove(tell_tale));
    }
    answer["app_metadata"] = json!({ "provider": "email", "providers": ["email"] });
    answer["confirmation_sent_at"] = answer["created_at"].clone();
    answer
}
