//! Sessions: what starts them, renews them and ends them.
//!
//! A session is a row; its refresh tokens are rows that point to it, and [`tokens::decide`] says what a
//! presented one is worth. Each exchange is one transaction, so two exchanges of one token are ordered, and
//! the second finds what the first has done.
//! Wire source: GoTrue `/token`, `/logout`; claims of its access tokens.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, named_params};
use serde_json::{Map, Value, json};

use super::{account::User, error::AuthError, text};
use crate::{
    cloud::{self, Cloud},
    core::{
        jwt::{self, JwtError},
        tokens::{self, Decision, Family, Refusal, StoredToken},
    },
    gateway,
};

/// Whom an access token speaks for.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) session_id: Option<String>,
}

/// A session that was just started or renewed.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    user: User,
    session_id: String,
    refresh_token: String,
    method: String,
    signed_in_at: i64,
    rotated: bool,
}

impl Started {
    /// The session object, with a new access token.
    pub(crate) fn to_json(&self, cloud: &Cloud) -> Value {
        let now = cloud::now_seconds();
        let lifetime = i64::try_from(cloud.settings.access_token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires_at = now.saturating_add(lifetime);
        let mut claims = json!({
            "iss": format!("{}{}", cloud.url(), super::PATH),
            "sub": self.user.id,
            "aud": "authenticated",
            "exp": expires_at,
            "iat": now,
            "email": self.user.email,
            "phone": "",
            "app_metadata": User::app_metadata(),
            "user_metadata": self.user.user_metadata,
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{ "method": self.method, "timestamp": self.signed_in_at }],
            "session_id": self.session_id,
            "is_anonymous": false,
        });
        claims[cloud::GENERATION] = json!(cloud.generation());
        json!({
            "access_token": jwt::sign(cloud.keys.jwt_secret(), &claims),
            "token_type": "bearer",
            "expires_in": lifetime,
            "expires_at": expires_at,
            "refresh_token": self.refresh_token,
            "user": self.user.to_json(),
        })
    }

    fn into_response(self, cloud: &Cloud) -> Response {
        let mut response = Json(self.to_json(cloud)).into_response();
        let rotated = if self.rotated { "true" } else { "false" };
        for (name, value) in [
            ("sb-auth-user-id", self.user.id.as_str()),
            ("sb-auth-session-id", self.session_id.as_str()),
            ("sb-auth-refresh-token-rotated", rotated),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A refresh token that nobody has.
pub(crate) fn fresh_token() -> Result<String, AuthError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| {
        AuthError::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", "No randomness available")
    })?;
    Ok(tokens::from_random(random))
}

/// Starts a session for a person who showed a password.
pub(crate) fn start(conn: &Connection, user_id: &str, token: &str) -> rusqlite::Result<Started> {
    let (session_id, method) = (uuid::Uuid::new_v4().to_string(), "password".to_owned());
    let signed_in_at = cloud::now_seconds();
    conn.execute(
        "INSERT INTO auth_sessions (id, user_id, method, signed_in_at) VALUES (?1, ?2, ?3, ?4)",
        (&session_id, user_id, &method, signed_in_at),
    )?;
    insert_token(conn, token, None, &session_id)?;
    conn.execute("UPDATE auth_users SET last_sign_in_at = now_pg() WHERE id = ?1", [user_id])?;
    let user = User::by_id(conn, user_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Started { user, session_id, refresh_token: token.to_owned(), method, signed_in_at, rotated: false })
}

/// Ends every session of a person but the one called `keep`; returns how many.
pub(crate) fn end_others(conn: &Connection, user_id: &str, keep: Option<&str>) -> rusqlite::Result<usize> {
    conn.execute(
        "DELETE FROM auth_refresh_tokens WHERE session_id IN
             (SELECT id FROM auth_sessions WHERE user_id = :user AND id IS NOT :keep)",
        named_params! { ":user": user_id, ":keep": keep },
    )?;
    conn.execute(
        "DELETE FROM auth_sessions WHERE user_id = :user AND id IS NOT :keep",
        named_params! { ":user": user_id, ":keep": keep },
    )
}

/// Checks the bearer of a request and that its session still exists.
pub(crate) async fn authorize(cloud: &Cloud, headers: &HeaderMap) -> Result<Claims, AuthError> {
    let Some(bearer) = gateway::bearer(headers) else {
        let message = "This endpoint requires a valid Bearer token";
        return Err(AuthError::new(StatusCode::UNAUTHORIZED, "no_authorization", message));
    };
    let claims = cloud.check(bearer, 0).map_err(|error| {
        let problem = match error {
            JwtError::Expired => "token has invalid claims: token is expired",
            JwtError::Signature => "token signature is invalid: signature is invalid",
            JwtError::Malformed => "token is malformed",
        };
        AuthError::forbidden("bad_jwt", format!("invalid JWT: unable to parse or verify signature, {problem}"))
    })?;
    let field = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(user_id) = field("sub") else {
        return Err(AuthError::forbidden("bad_jwt", "invalid claim: missing sub claim"));
    };
    let claims = Claims { user_id, session_id: field("session_id") };
    let checked = claims.clone();
    cloud
        .db
        .call(move |conn| {
            if User::by_id(conn, &checked.user_id)?.is_none() {
                return Err(AuthError::forbidden("user_not_found", "User from sub claim in JWT does not exist"));
            }
            match &checked.session_id {
                Some(id) if !session_exists(conn, id)? => {
                    let message = "Session from session_id claim in JWT does not exist";
                    Err(AuthError::forbidden("session_not_found", message))
                }
                _ => Ok(()),
            }
        })
        .await?;
    Ok(claims)
}

/// `POST /token`.
pub(crate) async fn token(cloud: &Cloud, grant: &str, body: &Map<String, Value>) -> Result<Response, AuthError> {
    match grant {
        "password" => password(cloud, body).await,
        "refresh_token" => refresh(cloud, body).await,
        _ => Err(AuthError::bad_request("invalid_credentials", "unsupported_grant_type")),
    }
}

async fn password(cloud: &Cloud, body: &Map<String, Value>) -> Result<Response, AuthError> {
    let given = |name| text(body, name).filter(|value| !value.is_empty());
    let email = match (given("email"), given("phone")) {
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
    let refused = || AuthError::bad_request("invalid_credentials", "Invalid login credentials");
    let user = cloud.db.call(move |conn| User::by_email(conn, &email)).await?.ok_or_else(refused)?;
    if !user.has_password(given("password").unwrap_or_default()).await {
        return Err(refused());
    }
    if user.banned {
        return Err(AuthError::bad_request("user_banned", "User is banned"));
    }
    if user.confirmed_at.is_none() {
        return Err(AuthError::bad_request("email_not_confirmed", "Email not confirmed"));
    }
    let token = fresh_token()?;
    let started = cloud
        .db
        .call(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let started = start(&tx, &user.id, &token)?;
            tx.commit()?;
            Ok::<_, rusqlite::Error>(started)
        })
        .await?;
    Ok(Json(started.to_json(cloud)).into_response())
}

async fn refresh(cloud: &Cloud, body: &Map<String, Value>) -> Result<Response, AuthError> {
    let presented = text(body, "refresh_token").unwrap_or_default().to_owned();
    if presented.is_empty() {
        return Err(AuthError::missing_refresh_token());
    }
    let (child, now) = (fresh_token()?, cloud::now_micros());
    let reuse_interval = cloud.settings.refresh_reuse_interval;
    let started = cloud
        .db
        .call(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = find_family(&tx, &presented)?;
            let (session_id, family) = found.unzip();
            let session_id = session_id.unwrap_or_default();
            let refresh_token = match tokens::decide(&presented, family.as_ref(), now, reuse_interval) {
                Decision::Rotate | Decision::Fork => {
                    spend(&tx, &presented, now)?;
                    insert_token(&tx, &child, Some(&presented), &session_id)?;
                    child.clone()
                }
                Decision::Repeat(active) => active,
                Decision::RefuseAndRevoke => {
                    give_up(&tx, &session_id)?;
                    tx.commit()?;
                    let message = "Invalid Refresh Token: Already Used";
                    return Err(AuthError::bad_request("refresh_token_already_used", message));
                }
                Decision::Refuse(refusal) => return Err(refused(refusal)),
            };
            let rotated = refresh_token == child;
            let started = renewed(&tx, session_id, refresh_token, rotated)?;
            tx.commit()?;
            Ok(started)
        })
        .await?;
    Ok(started.into_response(cloud))
}

fn refused(refusal: Refusal) -> AuthError {
    match refusal {
        Refusal::Malformed => AuthError::bad_request("validation_failed", "Refresh token is not valid"),
        Refusal::NotFound => {
            let message = "Invalid Refresh Token: Refresh Token Not Found";
            AuthError::bad_request("refresh_token_not_found", message)
        }
        Refusal::SessionNotFound => {
            AuthError::bad_request("session_not_found", "Invalid Refresh Token: No Valid Session Found")
        }
    }
}

fn renewed(conn: &Connection, session_id: String, refresh_token: String, rotated: bool) -> Result<Started, AuthError> {
    let (user_id, method, signed_in_at): (String, String, i64) = conn.query_row(
        "SELECT user_id, method, signed_in_at FROM auth_sessions WHERE id = ?1",
        [&session_id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let user = User::by_id(conn, &user_id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if user.banned {
        return Err(AuthError::bad_request("user_banned", "Invalid Refresh Token: User Banned"));
    }
    Ok(Started { user, session_id, refresh_token, method, signed_in_at, rotated })
}

/// `POST /logout`.
pub(crate) async fn sign_out(cloud: &Cloud, claims: &Claims, scope: &str) -> Result<Response, AuthError> {
    let session = claims.session_id.clone();
    let user_id = claims.user_id.clone();
    let scope = match (scope, session) {
        ("global", _) | ("local", None) => Scope::Everywhere,
        ("local", Some(session)) => Scope::Only(session),
        ("others", session) => Scope::AllBut(session),
        _ => return Err(AuthError::bad_request("validation_failed", format!("Unsupported logout scope {scope:?}"))),
    };
    cloud
        .db
        .call(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            match scope {
                Scope::Everywhere => {
                    end_others(&tx, &user_id, None)?;
                }
                Scope::AllBut(session) => {
                    end_others(&tx, &user_id, session.as_deref())?;
                }
                Scope::Only(session) => {
                    tx.execute("DELETE FROM auth_refresh_tokens WHERE session_id = ?1", [&session])?;
                    tx.execute("DELETE FROM auth_sessions WHERE id = ?1", [&session])?;
                }
            }
            tx.commit()
        })
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

enum Scope {
    Everywhere,
    AllBut(Option<String>),
    Only(String),
}

fn session_exists(conn: &Connection, id: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM auth_sessions WHERE id = ?1")?.exists([id])
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
    let session_exists = session_exists(conn, &session)?;
    Ok(Some((session, Family { session_exists, tokens })))
}

fn insert_token(conn: &Connection, token: &str, parent: Option<&str>, session: &str) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO auth_refresh_tokens (token, parent, session_id) VALUES (?1, ?2, ?3)",
        (token, parent, session),
    )
}

fn spend(conn: &Connection, token: &str, now: i64) -> rusqlite::Result<usize> {
    conn.execute("UPDATE auth_refresh_tokens SET revoked_at = ?2 WHERE token = ?1 AND revoked_at IS NULL", (token, now))
}

fn give_up(conn: &Connection, session: &str) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE auth_refresh_tokens SET revoked_at = ?2 WHERE session_id = ?1 AND revoked_at IS NULL",
        (session, tokens::GIVEN_UP),
    )
}
