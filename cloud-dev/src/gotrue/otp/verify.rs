//! `/verify`: what a mailed code or link brings.
//!
//! A code comes with its address, a link with its hash alone; either is good once, for what it was sent for.
//! `POST` answers with a session. `GET`, the link itself, sends the browser on: with tokens in the fragment, or
//! with a code for whoever has the verifier. Wire source: GoTrue `/verify`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::json;

use crate::gotrue::{
    account::{User, email_address},
    call::{Call, Tx},
    error::AuthError,
    identity::{EMAIL, Identity},
    mail::code::{self, Kind},
    oauth::redirect,
    pkce::{self, Flow},
    session::{self, Started},
};

/// What is said when one of two addresses has agreed to a change.
const HALF: &str = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// `POST /verify`.
pub(crate) async fn post(call: &Call<'_>) -> Result<Response, AuthError> {
    let invalid = |message: &str| Err(AuthError::bad_request("validation_failed", message));
    let Some(kind) = call.text("type").map(str::to_owned) else {
        return invalid("Verify requires a verification type");
    };
    let (email, phone) = (call.text("email"), call.text("phone"));
    let key = match (call.text("token"), call.text("token_hash")) {
        (None, None) | (Some(_), Some(_)) => return invalid("Verify requires either a token or a token hash"),
        (None, Some(_)) if email.is_some() || phone.is_some() || call.text("redirect_to").is_some() => {
            return invalid("Only the token_hash and type should be provided");
        }
        (None, Some(hash)) => Key::Hash(hash.to_owned()),
        (Some(token), None) => match (email, phone) {
            (Some(email), None) => {
                let email = email_address(email)
                    .map_err(|_| AuthError::unprocessable("validation_failed", "Invalid email format"))?;
                Key::Digits { hash: code::hash(&email, token), email }
            }
            (None, Some(_)) => return Err(AuthError::forbidden("otp_expired", INVALID_CODE)), // no phones here
            _ => return invalid("Only an email address or phone number should be provided on verify"),
        },
    };
    let verified = call
        .transaction(move |tx| {
            let Some(user) = take(tx, &kind, &key)? else { return Ok(None) };
            Ok(Some(session::start(tx, &user, "otp")?))
        })
        .await?;
    let body = match verified {
        Some(started) => started.to_json(call.cloud),
        None => json!({ "msg": HALF, "code": "200" }),
    };
    Ok(Json(body).into_response())
}

/// What a link brought.
enum Opened {
    Half,
    Session(Box<Started>),
    Code(String),
}

/// `GET /verify`.
pub(crate) async fn get(call: &Call<'_>) -> Result<Response, AuthError> {
    let missing = |message: &str| AuthError::bad_request("validation_failed", message);
    let kind = call.query("type").ok_or_else(|| missing("Verify requires a verification type"))?;
    let token = call.query("token").ok_or_else(|| missing("Verify requires a token or a token hash"))?;
    let is_pkce = token.starts_with(pkce::PREFIX);
    let (target, name) = (call.redirect_to(), kind.clone());
    let opened = call
        .transaction(move |tx| {
            let Some(user) = take(tx, &kind, &Key::Hash(token))? else { return Ok(Opened::Half) };
            if !is_pkce {
                return Ok(Opened::Session(Box::new(session::start(tx, &user, "otp")?)));
            }
            let method = if kind == "signup" { "email/signup" } else { &kind };
            let flow = Flow::newest(tx, &user, method)?;
            let Some((flow, code)) = flow.and_then(|flow| flow.auth_code.clone().map(|code| (flow, code))) else {
                let message = "No associated flow state found. No valid flow state found for user.";
                return Err(AuthError::bad_request("flow_state_not_found", message));
            };
            flow.issue(tx)?;
            Ok(Opened::Code(code))
        })
        .await;
    let target = match opened {
        Ok(Opened::Half) => redirect::with_message(&target, HALF, is_pkce),
        Ok(Opened::Session(started)) => {
            redirect::with_tokens(&target, &started.to_json(call.cloud), Some(("type", &name)))
        }
        Ok(Opened::Code(code)) => redirect::with_code(&target, &code),
        Err(error) => redirect::with_error(&target, &error, is_pkce),
    };
    Ok(redirect::to(StatusCode::SEE_OTHER, &target))
}

/// What a person shows.
enum Key {
    Digits { email: String, hash: String },
    Hash(String),
}

const INVALID_CODE: &str = "Token has expired or is invalid";
const INVALID_LINK: &str = "Email link is invalid or has expired";

/// Spends a code and does what it stands for; `None` if another address has to agree first.
fn take(tx: &Tx<'_>, kind: &str, key: &Key) -> Result<Option<String>, AuthError> {
    let Some(kinds) = Kind::of_type(kind) else {
        let message = match key {
            Key::Hash(_) => "Invalid email verification type",
            Key::Digits { .. } => "Unsupported verification type",
        };
        return Err(AuthError::bad_request("validation_failed", message));
    };
    let (user, kind) = match key {
        Key::Hash(hash) => {
            code::find(tx, hash, kinds)?.ok_or_else(|| AuthError::forbidden("otp_expired", INVALID_LINK))?
        }
        Key::Digits { email, hash } => {
            let user = match User::by_email(tx.conn, email)? {
                None if kinds.contains(&Kind::EmailChangeNew) => User::by_new_email(tx.conn, email)?,
                user => user,
            };
            let found = match user {
                Some(user) => code::matching(tx, &user, hash, kinds)?.map(|kind| (user, kind)),
                None => None,
            };
            found.ok_or_else(|| AuthError::forbidden("otp_expired", INVALID_CODE))?
        }
    };
    if user.banned {
        return Err(AuthError::forbidden("user_banned", "User is banned"));
    }
    match kind {
        Kind::Confirmation | Kind::Recovery => User::confirm(tx.conn, &user.id)?,
        _ => {
            code::spend(tx, &user.id, kind)?;
            let both = tx.settings().confirm_email && !tx.settings().single_email_change;
            if both && user.email.is_some() && !user.email_change_half {
                tx.conn.execute("UPDATE auth_users SET email_change_half = 1 WHERE id = ?1", [&user.id])?;
                return Ok(None);
            }
            finish_email_change(tx, &user.id)?;
        }
    }
    Ok(Some(user.id))
}

/// Makes the new address the person's own, who is then somebody.
pub(crate) fn finish_email_change(tx: &Tx<'_>, user_id: &str) -> Result<(), AuthError> {
    let user = User::load(tx.conn, user_id)?;
    let Some(email) = &user.new_email else { return Ok(()) };
    if User::by_email(tx.conn, email)?.is_some() {
        return Err(AuthError::email_exists());
    }
    tx.conn.execute(
        "UPDATE auth_users SET email = new_email, new_email = NULL, email_change_half = 0, is_anonymous = 0
         WHERE id = ?1",
        [user_id],
    )?;
    match user.identities.iter().find(|identity| identity.provider == EMAIL) {
        Some(identity) => {
            tx.conn.execute(
                "UPDATE auth_identities SET email = ?2, updated_at = now_pg(),
                     identity_data = json_set(identity_data, '$.email', ?2) WHERE id = ?1",
                [&identity.id, email],
            )?;
        }
        None => Identity::of_email(user_id, email, true).insert(tx.conn)?,
    }
    User::confirm(tx.conn, user_id)?;
    Ok(())
}
