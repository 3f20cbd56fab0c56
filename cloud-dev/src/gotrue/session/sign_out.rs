//! `POST /logout`: this session, the others, or all of them.
//!
//! Wire source: GoTrue `/logout`.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{end, end_others};
use crate::gotrue::{call::Call, error::AuthError};

pub(crate) async fn sign_out(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    let scope = call.query("scope").unwrap_or_else(|| "global".to_owned());
    let (user_id, session) = (claims.user_id, claims.session_id);
    let scope = match (scope.as_str(), session) {
        ("global", _) | ("local", None) => Scope::Everywhere,
        ("local", Some(session)) => Scope::Only(session),
        ("others", session) => Scope::AllBut(session),
        _ => return Err(AuthError::bad_request("validation_failed", format!("Unsupported logout scope {scope:?}"))),
    };
    call.transaction(move |tx| {
        match scope {
            Scope::Everywhere => drop(end_others(tx.conn, &user_id, None)?),
            Scope::AllBut(session) => drop(end_others(tx.conn, &user_id, session.as_deref())?),
            Scope::Only(session) => drop(end(tx.conn, &session)?),
        }
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

enum Scope {
    Everywhere,
    AllBut(Option<String>),
    Only(String),
}
