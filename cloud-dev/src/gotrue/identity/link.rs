//! To whom an identity belongs, and its linking and unlinking by hand.
//!
//! A known identity is its person's. An unknown one belongs to whoever has its address, if both sides vouch for
//! the address; else it makes a new person. Wire source: GoTrue, account linking and `/user/identities`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::{Identity, NewIdentity};
use crate::gotrue::{
    account::{NewUser, User},
    call::{Call, Tx},
    error::AuthError,
    mail::code::{self, Draft, Kind},
    settings::AuthFeature,
};

/// What a provider says of a person.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) provider: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    /// Everything it says, as it becomes part of the identity.
    pub(crate) data: Map<String, Value>,
}

impl Person {
    /// The person of OpenID claims; `None` without a subject.
    pub(crate) fn of_claims(provider: &str, claims: &Map<String, Value>) -> Option<Self> {
        let subject = match claims.get("sub")? {
            Value::String(subject) => subject.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let text = |name| claims.get(name).and_then(Value::as_str);
        let email = text("email").filter(|email| !email.is_empty()).map(str::to_lowercase);
        // Some providers say it as text.
        let said = claims.get("email_verified");
        let email_verified = said == Some(&Value::Bool(true)) || said == Some(&json!("true"));
        let mut data = claims.clone();
        data.retain(|name, _| !PROTOCOL_CLAIMS.contains(&name.as_str()));
        data.insert("sub".to_owned(), json!(subject));
        data.insert("provider_id".to_owned(), json!(subject));
        data.insert("email_verified".to_owned(), json!(email_verified));
        data.insert("phone_verified".to_owned(), json!(false));
        if let Some(email) = &email {
            data.insert("email".to_owned(), json!(email));
        }
        if let (Some(name), false) = (text("name"), data.contains_key("full_name")) {
            data.insert("full_name".to_owned(), json!(name));
        }
        if let Some(picture) = text("picture") {
            data.insert("avatar_url".to_owned(), json!(picture));
        }
        Some(Self { provider: provider.to_owned(), subject, email, email_verified, data })
    }

    fn identity_of(&self, user_id: &str) -> NewIdentity {
        NewIdentity {
            user_id: user_id.to_owned(),
            provider: self.provider.clone(),
            provider_id: self.subject.clone(),
            data: self.data.clone(),
        }
    }

    fn is_sso(&self) -> bool {
        self.provider.starts_with("sso:")
    }
}

/// Claims of a token that are not about the person.
const PROTOCOL_CLAIMS: [&str; 8] = ["aud", "exp", "iat", "nbf", "nonce", "at_hash", "azp", "auth_time"];

/// The account of a person who comes from a provider, made if there is none.
///
/// The inner error stays with what was stored: the account then waits for a mail to be answered.
pub(crate) fn sign_in(tx: &Tx<'_>, person: &Person) -> Result<Result<String, AuthError>, AuthError> {
    let autoconfirm = !tx.settings().confirm_email;
    let vouched = person.email_verified || autoconfirm;
    let known = Identity::find(tx.conn, &person.provider, &person.subject)?;
    let by_email = match &person.email {
        Some(email) if known.is_none() && !person.is_sso() => User::by_email(tx.conn, email)?,
        _ => None,
    };
    let user_id = match (known, by_email) {
        (Some(identity), _) => identity.user_id,
        (None, Some(user)) if vouched => user.id,
        (None, taken) => {
            if !tx.settings().allows(AuthFeature::SignUp) {
                let message = "Signups not allowed for this instance";
                return Err(AuthError::unprocessable("signup_disabled", message));
            }
            // An address that nobody vouches for stays with whom it has.
            let email = person.email.clone().filter(|email| taken.is_none() && !is_taken(tx.conn, email));
            let new = NewUser { is_sso: person.is_sso(), ..NewUser::new(email, person.data.clone()) };
            new.insert(tx.conn)?;
            new.insert_organization(tx.conn)?;
            new.id
        }
    };
    person.identity_of(&user_id).insert(tx.conn)?;
    let mut user = User::load(tx.conn, &user_id)?;
    user.merge_metadata(tx.conn, &person.data)?;
    if user.banned {
        return Err(AuthError::forbidden("user_banned", "User is banned"));
    }
    if user.is_confirmed() {
        return Ok(Ok(user_id));
    }
    remove_unconfirmed(tx.conn, &user, person)?;
    if vouched || person.is_sso() {
        User::confirm(tx.conn, &user_id)?;
        return Ok(Ok(user_id));
    }
    if let Some(email) = &user.email {
        let redirect_to = &tx.settings().site_url;
        let draft = Draft { kind: Kind::Confirmation, name: "signup", to: email, redirect_to, pkce: false };
        code::send(tx, &user_id, &draft)?;
    }
    let provider = &person.provider;
    let message =
        format!("Unverified email with {provider}. A confirmation email has been sent to your {provider} email");
    Ok(Err(AuthError::unprocessable("provider_email_needs_verification", message)))
}

fn is_taken(conn: &Connection, email: &str) -> bool {
    !matches!(User::by_email(conn, email), Ok(None))
}

/// Forgets what was set up before the address was confirmed, since somebody else may have done it.
fn remove_unconfirmed(conn: &Connection, user: &User, person: &Person) -> rusqlite::Result<()> {
    conn.execute("UPDATE auth_users SET password_hash = NULL WHERE id = ?1", [&user.id])?;
    conn.execute(
        "DELETE FROM auth_identities WHERE user_id = ?1 AND NOT (provider = ?2 AND provider_id = ?3)",
        [&user.id, &person.provider, &person.subject],
    )?;
    Ok(())
}

/// Adds an identity to the account of whoever asked for it.
pub(crate) fn add(tx: &Tx<'_>, user_id: &str, person: &Person) -> Result<(), AuthError> {
    if let Some(identity) = Identity::find(tx.conn, &person.provider, &person.subject)? {
        let message = match identity.user_id == user_id {
            true => "Identity is already linked",
            false => "Identity is already linked to another user",
        };
        return Err(AuthError::unprocessable("identity_already_exists", message));
    }
    person.identity_of(user_id).insert(tx.conn)?;
    let user = User::load(tx.conn, user_id)?;
    if user.email.is_none()
        && let Some(email) = &person.email
    {
        if User::by_email(tx.conn, email)?.is_some() {
            return Err(AuthError::email_exists());
        }
        tx.conn.execute("UPDATE auth_users SET email = ?2, is_anonymous = 0 WHERE id = ?1", [user_id, email])?;
        if person.email_verified || !tx.settings().confirm_email {
            User::confirm(tx.conn, user_id)?;
        }
    }
    Ok(())
}

/// Refuses where people may not link identities themselves.
pub(crate) fn may_link(call: &Call<'_>) -> Result<(), AuthError> {
    if call.settings().allows(AuthFeature::ManualLinking) {
        return Ok(());
    }
    Err(AuthError::new(StatusCode::NOT_FOUND, "manual_linking_disabled", "Manual linking is disabled"))
}

/// `DELETE /user/identities/{id}`.
pub(crate) async fn remove(call: &Call<'_>, id: &str) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    may_link(call)?;
    let Ok(id) = uuid::Uuid::parse_str(id) else {
        let message = "identity_id must be an UUID";
        return Err(AuthError::new(StatusCode::NOT_FOUND, "validation_failed", message));
    };
    let id = id.to_string();
    call.transaction(move |tx| {
        let user = User::load(tx.conn, &claims.user_id)?;
        if user.identities.len() <= 1 {
            let message = "User must have at least 1 identity after unlinking";
            return Err(AuthError::unprocessable("single_identity_not_deletable", message));
        }
        if !user.identities.iter().any(|identity| identity.id == id) {
            return Err(AuthError::unprocessable("identity_not_found", "Identity doesn't exist"));
        }
        tx.conn.execute("DELETE FROM auth_identities WHERE id = ?1", [&id])?;
        take_address_from_identities(tx, &user, &id)
    })
    .await?;
    Ok(Json(json!({})).into_response())
}

/// Keeps the address if an identity has it, else takes that of the best identity left.
fn take_address_from_identities(tx: &Tx<'_>, user: &User, removed: &str) -> Result<(), AuthError> {
    let mut left: Vec<&Identity> = user.identities.iter().filter(|identity| identity.id != removed).collect();
    if left.iter().any(|identity| identity.email == user.email) {
        return Ok(());
    }
    left.sort_by_key(|identity| (identity.email.is_none(), !identity.is_verified()));
    let free = left.iter().find(|identity| match &identity.email {
        Some(email) => !is_taken(tx.conn, email),
        None => true,
    });
    let Some(identity) = free else {
        let message = "Unable to unlink identity due to email conflict";
        return Err(AuthError::unprocessable("email_conflict_identity_not_deletable", message));
    };
    let confirmed = identity.email.is_some() && (identity.is_verified() || !tx.settings().confirm_email);
    tx.conn.execute(
        "UPDATE auth_users SET email = ?2, new_email = NULL,
             confirmed_at = CASE WHEN ?3 THEN confirmed_at END WHERE id = ?1",
        (&user.id, &identity.email, confirmed),
    )?;
    code::spend_all(tx, &user.id)?;
    Ok(())
}
