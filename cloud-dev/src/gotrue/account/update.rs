//! `GET /user`, `PUT /user` and `GET /reauthenticate`.
//!
//! A new password counts at once and ends the person's other sessions; a new address counts once the mails
//! about it are answered. Wire source: GoTrue, `/user` and `/reauthenticate`.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{User, email_address, password};
use crate::gotrue::{
    call::{Call, Tx},
    error::AuthError,
    mail::code::{self, Draft, Kind},
    otp::verify,
    pkce::{Challenge, Flow},
    session::{self, Claims},
};

/// How old a session may be that changes a password without a nonce.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// `GET /user`.
pub(crate) async fn show(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    let user = call.transaction(move |tx| User::load(tx.conn, &claims.user_id)).await?;
    Ok(Json(user.to_json()).into_response())
}

/// What a person asks to be changed.
struct Changes {
    email: Option<String>,
    password_hash: Option<String>,
    nonce: Option<String>,
    data: Map<String, Value>,
    challenge: Option<Challenge>,
    redirect_to: String,
}

/// `PUT /user`.
pub(crate) async fn update(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    if call.body.get("app_metadata").is_some_and(|value| !value.is_null()) {
        return Err(AuthError::forbidden("not_admin", "Updating app_metadata requires admin privileges"));
    }
    if call.text("phone").is_some() {
        return Err(AuthError::bad_request("phone_provider_disabled", "Phone signups are disabled"));
    }
    let email = call.text("email").map(email_address).transpose()?;
    let secret = call.text("password");
    secret.map_or(Ok(()), password::check)?;
    let challenge = Challenge::of_body(call)?;
    let id = claims.user_id.clone();
    let user = call.transaction(move |tx| User::load(tx.conn, &id)).await?;
    may_change(&user, &claims, email.as_deref(), secret.is_some())?;
    let password_hash = match secret {
        Some(secret) => Some(new_password(call, &user, &claims, secret).await?),
        None => None,
    };
    let nonce = call.text("nonce").map(str::to_owned);
    let (data, redirect_to) = (call.object("data"), call.redirect_to());
    let changes = Changes { email, password_hash, nonce, data, challenge, redirect_to };
    let user = call.transaction(move |tx| apply(tx, &claims, changes)).await?;
    Ok(Json(user.to_json()).into_response())
}

fn may_change(user: &User, claims: &Claims, email: Option<&str>, password: bool) -> Result<(), AuthError> {
    let other_email = email.is_some() && email != user.email.as_deref();
    if user.has_verified_factor() && !claims.is_aal2() && (password || other_email) {
        let message = "AAL2 session is required to update email or password when MFA is enabled.";
        return Err(AuthError::new(StatusCode::UNAUTHORIZED, "insufficient_aal", message));
    }
    if user.is_anonymous && password && email.is_none() {
        let message = "Updating password of an anonymous user without an email or phone is not allowed";
        return Err(AuthError::unprocessable("validation_failed", message));
    }
    if user.is_sso && (password || other_email) {
        let message = "Updating email, phone, password of a SSO account only possible via SSO";
        return Err(AuthError::unprocessable("user_sso_managed", message));
    }
    Ok(())
}

/// Checks what has to be known of the old password, and hashes the new one.
async fn new_password(call: &Call<'_>, user: &User, claims: &Claims, secret: &str) -> Result<String, AuthError> {
    if user.password_hash.is_some() {
        if call.settings().require_current_password && !claims.has_method("recovery") {
            let refused =
                |code| Err(AuthError::bad_request(code, "Current password required when setting new password."));
            match call.text("current_password") {
                None => return refused("current_password_required"),
                Some(current) if !user.has_password(current).await => return refused("current_password_invalid"),
                Some(_) => {}
            }
        }
        if user.has_password(secret).await {
            let message = "New password should be different from the old password.";
            return Err(AuthError::unprocessable("same_password", message));
        }
    }
    password::hash(secret).await
}

fn apply(tx: &Tx<'_>, claims: &Claims, changes: Changes) -> Result<User, AuthError> {
    let mut user = User::load(tx.conn, &claims.user_id)?;
    let new_email = changes.email.filter(|email| Some(email) != user.email.as_ref());
    if let Some(email) = &new_email
        && User::by_email(tx.conn, email)?.is_some()
    {
        return Err(AuthError::email_exists());
    }
    if let Some(hash) = changes.password_hash {
        if tx.settings().require_reauthentication && !is_fresh(tx, claims)? {
            spend_nonce(tx, &user, changes.nonce.as_deref())?;
        }
        let change = "UPDATE auth_users SET password_hash = ?2, updated_at = now_pg() WHERE id = ?1";
        tx.conn.execute(change, [&user.id, &hash])?;
        code::spend_all(tx, &user.id)?;
        session::end_others(tx.conn, &user.id, claims.session_id.as_deref())?;
    }
    user.merge_metadata(tx.conn, &changes.data)?;
    if let Some(email) = new_email {
        let pending =
            "UPDATE auth_users SET new_email = ?2, email_change_half = 0, updated_at = now_pg() WHERE id = ?1";
        tx.conn.execute(pending, [&user.id, &email])?;
        if user.is_anonymous && !tx.settings().confirm_email {
            verify::finish_email_change(tx, &user.id)?;
        } else {
            let pkce = changes.challenge.is_some();
            if let Some(challenge) = changes.challenge {
                Flow::by_mail(tx, challenge, "email_change", &user.id)?;
            }
            send_email_change(tx, &user, &email, &changes.redirect_to, pkce)?;
        }
    }
    User::load(tx.conn, &user.id)
}

/// Mails the new address, and the old one too where both have to agree.
pub(crate) fn send_email_change(
    tx: &Tx<'_>,
    user: &User,
    new_email: &str,
    redirect_to: &str,
    pkce: bool,
) -> Result<(), AuthError> {
    let draft = |kind, to| Draft { kind, name: "email_change", to, redirect_to, pkce };
    code::send(tx, &user.id, &draft(Kind::EmailChangeNew, new_email))?;
    match user.email.as_deref() {
        Some(old) if !tx.settings().single_email_change => {
            code::send(tx, &user.id, &draft(Kind::EmailChangeCurrent, old))
        }
        _ => Ok(()),
    }
}

fn is_fresh(tx: &Tx<'_>, claims: &Claims) -> Result<bool, AuthError> {
    let Some(session) = &claims.session_id else { return Ok(false) };
    let created = tx
        .conn
        .query_row("SELECT created_at FROM auth_sessions WHERE id = ?1", [session], |row| row.get::<_, i64>(0))?;
    Ok(!tx.is_over(created.saturating_mul(1_000_000), FRESH))
}

fn spend_nonce(tx: &Tx<'_>, user: &User, nonce: Option<&str>) -> Result<(), AuthError> {
    let Some(nonce) = nonce else {
        let message = "Password update requires reauthentication";
        return Err(AuthError::bad_request("reauthentication_needed", message));
    };
    let hash = code::hash(user.email.as_deref().unwrap_or_default(), nonce);
    if code::matching(tx, user, &hash, &[Kind::Reauthentication])?.is_none() {
        let message = "Nonce has expired or is invalid";
        return Err(AuthError::unprocessable("reauthentication_not_valid", message));
    }
    code::spend(tx, &user.id, Kind::Reauthentication)?;
    Ok(())
}

/// `GET /reauthenticate`.
pub(crate) async fn reauthenticate(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    call.transaction(move |tx| {
        let user = User::load(tx.conn, &claims.user_id)?;
        let Some(email) = &user.email else {
            let message = "Reauthentication requires the user to have an email or a phone number";
            return Err(AuthError::bad_request("validation_failed", message));
        };
        if !user.is_confirmed() {
            return Err(AuthError::unprocessable("email_not_confirmed", "Please verify your email first."));
        }
        let name = "reauthentication";
        let draft = Draft { kind: Kind::Reauthentication, name, to: email, redirect_to: "", pkce: false };
        code::send(tx, &user.id, &draft)
    })
    .await?;
    Ok(Json(json!({})).into_response())
}
