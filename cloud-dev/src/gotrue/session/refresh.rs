//! The refresh grant: a session is renewed by a token that is good once.
//!
//! [`tokens::decide`] says what a presented token is worth. Each exchange is one transaction, so two exchanges
//! of one token are ordered, and the second finds what the first has done. What came of them is counted, so that
//! a test can tell whether a client renewed twice what it should have renewed once.
//! Wire source: GoTrue `/token?grant_type=refresh_token`, `sb-auth-*` headers.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Started, exists, fresh_token, insert_token};
use crate::{
    core::tokens::{self, Decision, Family, Refusal, StoredToken},
    gotrue::{
        call::{Call, Tx},
        error::AuthError,
        sweep,
    },
};

/// How often refresh tokens were presented, and what came of it. Counted from the start of the cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refreshes {
    /// A token was spent and a new one issued: the normal case.
    pub rotated: u64,
    /// The predecessor of the current token came, and was answered with the current one: a reply was lost, or
    /// two callers came at once.
    pub repeated: u64,
    /// A token that had been spent got another child, within the reuse interval: the session has two branches.
    pub doubled: u64,
    /// A token was refused.
    pub refused: u64,
}

/// The running counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rotated: AtomicU64,
    repeated: AtomicU64,
    doubled: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Refreshes {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Refreshes {
            rotated: read(&self.rotated),
            repeated: read(&self.repeated),
            doubled: read(&self.doubled),
            refused: read(&self.refused),
        }
    }
}

pub(crate) async fn refresh(call: &Call<'_>) -> Result<Response, AuthError> {
    let Some(presented) = call.text("refresh_token").map(str::to_owned) else {
        return Err(AuthError::missing_refresh_token());
    };
    let reuse_interval = call.cloud.settings.refresh_reuse_interval;
    let prefix: String = presented.chars().take(5).collect();
    let outcome = call.transaction(move |tx| exchange(tx, &presented, reuse_interval)).await;
    let counters = &call.cloud.auth.refreshes;
    let (started, how) = match outcome.and_then(|outcome| outcome) {
        Ok(renewed) => renewed,
        Err(error) => {
            counters.refused.fetch_add(1, Ordering::SeqCst);
            return Err(error);
        }
    };
    let (counter, rotated, reuse) = match how {
        How::Rotated => (&counters.rotated, "true", ""),
        How::Repeated => (&counters.repeated, "false", "fail-to-save"),
        How::Doubled => (&counters.doubled, "true", "concurrent-refresh"),
    };
    counter.fetch_add(1, Ordering::SeqCst);
    let mut response = Json(started.to_json(call.cloud)).into_response();
    for (name, value) in [
        ("sb-auth-user-id", started.user.id.as_str()),
        ("sb-auth-session-id", &started.session_id),
        ("sb-auth-refresh-token-prefix", &prefix),
        ("sb-auth-refresh-token-rotated", rotated),
        ("sb-auth-refresh-token-reuse", if reuse.is_empty() { "" } else { "true" }),
        ("sb-auth-refresh-token-reuse-cause", reuse),
    ] {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// How a session was renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Rotated,
    Repeated,
    Doubled,
}

/// The inner error stays with what was stored: a family that was given up.
pub(crate) fn exchange(
    tx: &Tx<'_>,
    presented: &str,
    reuse_interval: std::time::Duration,
) -> Result<Result<(Started, How), AuthError>, AuthError> {
    let (session_id, family) = find_family(tx.conn, presented)?.unzip();
    let session_id = session_id.unwrap_or_default();
    let (token, how) = match tokens::decide(presented, family.as_ref(), tx.now, reuse_interval) {
        decision @ (Decision::Rotate | Decision::Fork) => {
            let child = fresh_token()?;
            spend(tx.conn, presented, tx.now)?;
            insert_token(tx.conn, &child, Some(presented), &session_id)?;
            sweep::tokens(tx, &session_id)?;
            (child, if decision == Decision::Rotate { How::Rotated } else { How::Doubled })
        }
        Decision::Repeat(active) => (active, How::Repeated),
        Decision::RefuseAndRevoke => {
            give_up(tx.conn, &session_id)?;
            let message = "Invalid Refresh Token: Already Used";
            return Ok(Err(AuthError::bad_request("refresh_token_already_used", message)));
        }
        Decision::Refuse(refusal) => return Err(refused(refusal)),
    };
    let started = Started::load(tx.conn, session_id, token)?;
    if started.user.banned {
        return Err(AuthError::bad_request("user_banned", "Invalid Refresh Token: User Banned"));
    }
    Ok(Ok((started, how)))
}

fn refused(refusal: Refusal) -> AuthError {
    match refusal {
        Refusal::Malformed => AuthError::bad_request("validation_failed", "Refresh token is not valid"),
        Refusal::NotFound => {
            let message = "Invalid Refresh Token: Refresh Token Not Found";
            AuthError::new(StatusCode::BAD_REQUEST, "refresh_token_not_found", message)
        }
        Refusal::SessionNotFound => {
            AuthError::bad_request("session_not_found", "Invalid Refresh Token: No Valid Session Found")
        }
    }
}

/// The session that a token was issued for, and all of its tokens.
fn find_family(conn: &Connection, token: &str) -> rusqlite::Result<Option<(String, Family)>> {
    let session: Option<String> = conn
        .prepare_cached("SELECT session_id FROM auth_refresh_tokens WHERE token = ?1")?
        .query_row([token], |row| row.get(0))
        .optional()?;
    let Some(session) = session else { return Ok(None) };
    let mut rows = conn.prepare_cached(
        "SELECT token, parent, revoked_at FROM auth_refresh_tokens WHERE session_id = ?1 ORDER BY serial",
    )?;
    let tokens = rows
        .query_map([&session], |row| {
            Ok(StoredToken { token: row.get(0)?, parent: row.get(1)?, revoked_at: row.get(2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let session_exists = exists(conn, &session)?;
    Ok(Some((session, Family { session_exists, tokens })))
}

/// Makes a token count as spent at `now`.
fn spend(conn: &Connection, token: &str, now: i64) -> rusqlite::Result<usize> {
    conn.execute("UPDATE auth_refresh_tokens SET revoked_at = ?2 WHERE token = ?1 AND revoked_at IS NULL", (token, now))
}

/// Makes all tokens of a session count as spent at `now`, and gives it a new one that has no parent.
///
/// Whoever holds an old one then cannot learn the new one, once the reuse interval is over.
pub(crate) fn replace(tx: &Tx<'_>, session: &str) -> Result<String, AuthError> {
    tx.conn.execute(
        "UPDATE auth_refresh_tokens SET revoked_at = ?2 WHERE session_id = ?1 AND revoked_at IS NULL",
        (session, tx.now),
    )?;
    let token = fresh_token()?;
    insert_token(tx.conn, &token, None, session)?;
    Ok(token)
}

fn give_up(conn: &Connection, session: &str) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE auth_refresh_tokens SET revoked_at = ?2 WHERE session_id = ?1 AND revoked_at IS NULL",
        (session, tokens::GIVEN_UP),
    )
}
