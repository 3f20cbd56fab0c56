//! `POST /token`: which grant it is, and the one with a password.
//!
//! Wire source: GoTrue `/token`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};

use crate::gotrue::{
    account::User, call::Call, error::AuthError, oauth::id_token, pkce, session, settings::AuthFeature,
};

pub(crate) async fn token(call: &Call<'_>) -> Result<Response, AuthError> {
    match call.query("grant_type").as_deref() {
        Some("password") => password(call).await,
        Some("refresh_token") => session::refresh::refresh(call).await,
        Some("pkce") => pkce::exchange::exchange(call).await,
        Some("id_token") => id_token::grant(call).await,
        _ => Err(AuthError::bad_request("invalid_credentials", "unsupported_grant_type")),
    }
}

async fn password(call: &Call<'_>) -> Result<Response, AuthError> {
    let email = match (call.text("email"), call.text("phone")) {
        (Some(email), None) => email.trim().to_lowercase(),
        (None, Some(_)) => {
            return Err(AuthError::unprocessable("phone_provider_disabled", "Phone logins are disabled"));
        }
        (Some(_), Some(_)) => {
            let message = "Only an email address or phone number should be provided on login.";
            return Err(AuthError::bad_request("validation_failed", message));
        }
        (None, None) => return Err(AuthError::bad_request("validation_failed", "missing email or phone")),
    };
    if !call.settings().allows(AuthFeature::Email) {
        return Err(AuthError::unprocessable("email_provider_disabled", "Email logins are disabled"));
    }
    let refused = || AuthError::bad_request("invalid_credentials", "Invalid login credentials");
    let user = call.cloud.db.call(move |conn| User::by_email(conn, &email)).await?.ok_or_else(refused)?;
    if !user.has_password(call.text("password").unwrap_or_default()).await {
        return Err(refused());
    }
    if user.banned {
        return Err(AuthError::bad_request("user_banned", "User is banned"));
    }
    if !user.is_confirmed() {
        return Err(AuthError::bad_request("email_not_confirmed", "Email not confirmed"));
    }
    let started = call.transaction(move |tx| session::start(tx, &user.id, "password")).await?;
    Ok(Json(started.to_json(call.cloud)).into_response())
}
