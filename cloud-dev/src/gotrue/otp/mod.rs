//! Asking for mails: one-time codes, links, recoveries, and another copy of each.
//!
//! Nobody learns here whether an address is known, except with `create_user: false`, as GoTrue has it. What the
//! mails bring is in [`verify`]. Wire source: GoTrue `/otp`, `/magiclink`, `/recover`, `/resend`.

pub(crate) mod verify;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    account::{NewUser, User, email_address, sign_up, update},
    call::{Call, Tx},
    error::AuthError,
    mail::code::{self, Draft, Kind},
    pkce::{Challenge, Flow},
    settings::AuthFeature,
};

/// `POST /otp`.
pub(crate) async fn otp(call: &Call<'_>) -> Result<Response, AuthError> {
    let invalid = |message: &str| Err(AuthError::bad_request("validation_failed", message));
    let email = match (call.text("email"), call.text("phone")) {
        (Some(_), Some(_)) => return invalid("Only an email address or phone number should be provided"),
        (Some(email), None) => email_address(email)?,
        (None, Some(_)) => {
            return Err(AuthError::bad_request("phone_provider_disabled", "Unsupported phone provider"));
        }
        (None, None) => return invalid("One of email or phone must be set"),
    };
    if call.text("channel").is_some() {
        return invalid("Channel should only be specified with Phone OTP");
    }
    Challenge::of_body(call)?;
    if call.body.get("create_user") == Some(&Value::Bool(false)) {
        let known = call.transaction(move |tx| Ok(User::by_email(tx.conn, &email)?.is_some())).await?;
        if !known {
            return Err(AuthError::unprocessable("otp_disabled", "Signups not allowed for otp"));
        }
    }
    magic_link(call).await
}

/// `POST /magiclink`, and `/otp` once it knows that there is an address.
pub(crate) async fn magic_link(call: &Call<'_>) -> Result<Response, AuthError> {
    email_is_on(call)?;
    let Some(email) = call.text("email") else {
        return Err(AuthError::unprocessable("validation_failed", "Password recovery requires an email"));
    };
    let email = email_address(email)?;
    let challenge = Challenge::of_body(call)?;
    let (data, redirect_to) = (call.object("data"), call.redirect_to());
    call.transaction(move |tx| {
        let known = User::by_email(tx.conn, &email)?;
        if !known.is_some_and(|user| user.is_confirmed()) {
            if !tx.settings().allows(AuthFeature::SignUp) {
                return Err(AuthError::unprocessable("signup_disabled", "Signups not allowed for this instance"));
            }
            let new = NewUser::new(Some(email.clone()), data);
            sign_up::create(tx, new, challenge.clone(), &redirect_to)?;
            if tx.settings().confirm_email {
                return Ok(()); // the mail that confirms the address signs in as well
            }
        }
        let Some(user) = User::by_email(tx.conn, &email)? else { return Err(AuthError::no_user()) };
        let pkce = begin(tx, challenge, "magiclink", &user)?;
        let draft = Draft { kind: Kind::Recovery, name: "magiclink", to: &email, redirect_to: &redirect_to, pkce };
        code::send(tx, &user.id, &draft)
    })
    .await?;
    Ok(nothing())
}

/// `POST /recover`.
pub(crate) async fn recover(call: &Call<'_>) -> Result<Response, AuthError> {
    let Some(email) = call.text("email") else {
        return Err(AuthError::bad_request("validation_failed", "Password recovery requires an email"));
    };
    let (email, challenge, redirect_to) = (email_address(email)?, Challenge::of_body(call)?, call.redirect_to());
    call.transaction(move |tx| {
        let Some(user) = User::by_email(tx.conn, &email)? else { return Ok(()) };
        let pkce = begin(tx, challenge, "recovery", &user)?;
        let draft = Draft { kind: Kind::Recovery, name: "recovery", to: &email, redirect_to: &redirect_to, pkce };
        code::send(tx, &user.id, &draft)
    })
    .await?;
    Ok(nothing())
}

/// `POST /resend`.
pub(crate) async fn resend(call: &Call<'_>) -> Result<Response, AuthError> {
    let invalid = |message: &str| Err(AuthError::bad_request("validation_failed", message));
    let is_sign_up = match call.text("type") {
        Some("signup") => true,
        Some("email_change") => false,
        Some("sms" | "phone_change") if call.text("phone").is_some() => {
            return Err(AuthError::bad_request("phone_provider_disabled", "Phone logins are disabled"));
        }
        Some("sms" | "phone_change") => return invalid("Type provided requires a phone number"),
        _ => return invalid("Missing one of these types: signup, email_change, sms, phone_change"),
    };
    let email = match (call.text("email"), call.text("phone")) {
        (Some(_), Some(_)) => return invalid("Only an email address or phone number should be provided."),
        (None, _) if is_sign_up => return invalid("Type provided requires an email address"),
        (None, _) => return invalid("Missing email address or phone number"),
        (Some(email), None) => email_address(email)?,
    };
    email_is_on(call)?;
    let (challenge, redirect_to) = (Challenge::of_body(call)?, call.redirect_to());
    call.transaction(move |tx| {
        let Some(user) = User::by_email(tx.conn, &email)? else { return Ok(()) };
        match &user.new_email {
            _ if is_sign_up && !user.is_confirmed() => {
                let pkce = begin(tx, challenge, "email/signup", &user)?;
                let kind = Kind::Confirmation;
                let draft = Draft { kind, name: "signup", to: &email, redirect_to: &redirect_to, pkce };
                code::send(tx, &user.id, &draft)
            }
            Some(new_email) if !is_sign_up => {
                let pkce = begin(tx, challenge, "email_change", &user)?;
                update::send_email_change(tx, &user, new_email, &redirect_to, pkce)
            }
            _ => Ok(()),
        }
    })
    .await?;
    Ok(nothing())
}

/// Notes a flow that the mailed link will end, if there is a challenge; says whether there is.
fn begin(tx: &Tx<'_>, challenge: Option<Challenge>, method: &str, user: &User) -> rusqlite::Result<bool> {
    let Some(challenge) = challenge else { return Ok(false) };
    Flow::by_mail(tx, challenge, method, &user.id).map(|()| true)
}

fn email_is_on(call: &Call<'_>) -> Result<(), AuthError> {
    if call.settings().allows(AuthFeature::Email) {
        return Ok(());
    }
    Err(AuthError::unprocessable("email_provider_disabled", "Email logins are disabled"))
}

fn nothing() -> Response {
    Json(json!({})).into_response()
}
