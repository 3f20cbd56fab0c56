//! The check of a second factor: a challenge, and the code that answers it.
//!
//! A good code makes the session one of the second level: it gets a new refresh token, and the person's sessions
//! of the first level end. A code is good once, and so is a challenge.
//! Wire source: GoTrue `/factors/{id}/challenge` and `/factors/{id}/verify`.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use rusqlite::OptionalExtension as _;
use serde_json::json;

use super::{Factor, find, somebody, totp};
use crate::gotrue::{
    account::User,
    call::{Call, Tx},
    error::AuthError,
    session::{self, Claims, Started, refresh},
    settings::AuthFeature,
    sweep,
};

/// How long a challenge may be answered.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(300);

/// `POST /factors/{id}/challenge`.
pub(crate) async fn challenge(call: &Call<'_>, id: &str) -> Result<Response, AuthError> {
    let claims = somebody(call).await?;
    may_verify(call)?;
    let id = id.to_owned();
    let answer = call
        .transaction(move |tx| {
            let factor = find(&User::load(tx.conn, &claims.user_id)?, &id)?;
            let challenge = begin(tx, &factor.id)?;
            tx.conn.execute("UPDATE auth_factors SET last_challenged_at = now_pg() WHERE id = ?1", [&factor.id])?;
            let lifetime = i64::try_from(CHALLENGE_LIFETIME.as_secs()).unwrap_or(i64::MAX);
            Ok(json!({ "id": challenge, "type": "totp", "expires_at": tx.now_seconds().saturating_add(lifetime) }))
        })
        .await?;
    Ok(Json(answer).into_response())
}

/// A new challenge of a factor.
pub(crate) fn begin(tx: &Tx<'_>, factor: &str) -> rusqlite::Result<String> {
    let challenge = uuid::Uuid::new_v4().to_string();
    tx.conn.execute(
        "INSERT INTO auth_challenges (id, factor_id, created_at) VALUES (?1, ?2, ?3)",
        (&challenge, factor, tx.now),
    )?;
    sweep::challenges(tx, factor, CHALLENGE_LIFETIME)?;
    Ok(challenge)
}

/// `POST /factors/{id}/verify`.
pub(crate) async fn verify(call: &Call<'_>, id: &str) -> Result<Response, AuthError> {
    let claims = somebody(call).await?;
    let Some(code) = call.text("code").map(str::to_owned) else {
        return Err(AuthError::bad_request("validation_failed", "Code needs to be non-empty"));
    };
    may_verify(call)?;
    let (id, challenge) = (id.to_owned(), call.text("challenge_id").unwrap_or_default().to_owned());
    let started = call
        .transaction(move |tx| {
            let factor = find(&User::load(tx.conn, &claims.user_id)?, &id)?;
            if let Err(error) = take_challenge(tx, &factor, &challenge)? {
                return Ok(Err(error));
            }
            let step = totp::step_of(&code, &factor.secret, tx.now_seconds());
            let Some(step) = step.filter(|step| *step > factor.last_step) else {
                let message = "Invalid TOTP code entered";
                return Err(AuthError::unprocessable("mfa_verification_failed", message));
            };
            tx.conn.execute("UPDATE auth_challenges SET verified = 1 WHERE id = ?1", [&challenge])?;
            tx.conn.execute(
                "UPDATE auth_factors SET verified = 1, last_step = ?2, updated_at = now_pg() WHERE id = ?1",
                (&factor.id, step),
            )?;
            raise(tx, &claims, &factor).map(Ok)
        })
        .await??;
    Ok(Json(started.to_json(call.cloud)).into_response())
}

fn may_verify(call: &Call<'_>) -> Result<(), AuthError> {
    if call.settings().allows(AuthFeature::TotpVerification) {
        return Ok(());
    }
    let message = "MFA verification is disabled for TOTP";
    Err(AuthError::unprocessable("mfa_totp_verify_not_enabled", message))
}

/// Whether the challenge may still be answered. The inner error stays with what was stored: it is gone.
fn take_challenge(tx: &Tx<'_>, factor: &Factor, id: &str) -> Result<Result<(), AuthError>, AuthError> {
    let found: Option<(bool, i64)> = tx
        .conn
        .prepare_cached("SELECT verified, created_at FROM auth_challenges WHERE id = ?1 AND factor_id = ?2")?
        .query_row([id, &factor.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let refused = |code, message: String| Ok(Err(AuthError::unprocessable(code, message)));
    match found {
        None => refused("mfa_factor_not_found", "MFA factor with the provided challenge ID not found".to_owned()),
        // There is one address here; what is left of this rule is that a challenge is answered once.
        Some((true, _)) => refused("mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.".to_owned()),
        Some((false, created)) if tx.is_over(created, CHALLENGE_LIFETIME) => {
            tx.conn.execute("DELETE FROM auth_challenges WHERE id = ?1", [id])?;
            let advice = "verify against another challenge or create a new challenge.";
            refused("mfa_challenge_expired", format!("MFA challenge {id} has expired, {advice}"))
        }
        Some((false, _)) => Ok(Ok(())),
    }
}

/// Makes the session one of the second level, and ends what is below it.
fn raise(tx: &Tx<'_>, claims: &Claims, factor: &Factor) -> Result<Started, AuthError> {
    let Some(session) = claims.session_id.clone() else {
        return Err(AuthError::internal("Cannot read SessionId claim as UUID"));
    };
    session::add_method(tx, &session, "totp")?;
    tx.conn.execute("UPDATE auth_sessions SET factor_id = ?2 WHERE id = ?1", [&session, &factor.id])?;
    let below: Vec<String> = tx
        .conn
        .prepare_cached(
            "SELECT id FROM auth_sessions WHERE user_id = ?1 AND NOT EXISTS
                 (SELECT 1 FROM auth_session_methods WHERE session_id = auth_sessions.id AND method = 'totp')",
        )?
        .query_map([&claims.user_id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for lower in below {
        session::end(tx.conn, &lower)?;
    }
    tx.conn.execute("DELETE FROM auth_factors WHERE user_id = ?1 AND verified = 0", [&claims.user_id])?;
    let token = refresh::replace(tx, &session)?;
    Started::load(tx.conn, session, token)
}
