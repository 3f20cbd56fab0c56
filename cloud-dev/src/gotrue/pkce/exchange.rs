//! `POST /token?grant_type=pkce`: a session for a code and its verifier, once.
//!
//! The wrong verifier changes nothing, so that whoever intercepts a code cannot spend it.
//! Wire source: GoTrue, PKCE grant.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;

use super::Flow;
use crate::gotrue::{call::Call, error::AuthError, session};

pub(crate) async fn exchange(call: &Call<'_>) -> Result<Response, AuthError> {
    let (Some(code), Some(verifier)) = (call.text("auth_code"), call.text("code_verifier")) else {
        let message = "invalid request: both auth code and code verifier should be non-empty";
        return Err(AuthError::bad_request("validation_failed", message));
    };
    let (code, verifier) = (code.to_owned(), verifier.to_owned());
    let started = call
        .transaction(move |tx| {
            let unknown = || {
                let message = "invalid flow state, no valid flow state found";
                AuthError::new(StatusCode::NOT_FOUND, "flow_state_not_found", message)
            };
            let flow = Flow::by_code(tx, &code)?.ok_or_else(unknown)?;
            let user_id = flow.user_id.clone().filter(|_| flow.code_issued_at.is_some()).ok_or_else(unknown)?;
            if flow.is_expired(tx) {
                let message = "invalid flow state, flow state has expired";
                return Err(AuthError::unprocessable("flow_state_expired", message));
            }
            if !flow.is_answered_by(&verifier) {
                let message = "code challenge does not match previously saved code verifier";
                return Err(AuthError::bad_request("bad_code_verifier", message));
            }
            flow.remove(tx)?;
            let mut started = session::start(tx, &user_id, &flow.method)?;
            started.provider_token = flow.provider_token;
            started.provider_refresh_token = flow.provider_refresh_token;
            Ok(started)
        })
        .await?;
    Ok(Json(started.to_json(call.cloud)).into_response())
}
