//! Signing up, signing in and staying signed in, as GoTrue does it.
//!
//! Request → [`route`] → one transaction on the database → session, user or error body. Accounts live in
//! [`account`], sessions and their tokens in [`session`], error shapes in [`error`].
//! Wire source: GoTrue 2.196 endpoints under `/auth/v1`.

pub(crate) mod account;
mod error;
pub(crate) mod session;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header::CACHE_CONTROL, request::Parts};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use self::error::AuthError;
use crate::{cloud::Cloud, gateway};

/// Where these endpoints are mounted.
pub(crate) const PATH: &str = "/auth/v1";

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Creates the tables of accounts, sessions and refresh tokens.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS auth_users (
             id TEXT PRIMARY KEY,
             email TEXT NOT NULL UNIQUE,
             password_hash TEXT NOT NULL,
             identity_id TEXT NOT NULL DEFAULT (new_uuid()),
             user_metadata TEXT NOT NULL DEFAULT '{}',
             banned INTEGER NOT NULL DEFAULT 0,
             confirmed_at TEXT,
             last_sign_in_at TEXT,
             created_at TEXT NOT NULL DEFAULT (now_pg()),
             updated_at TEXT NOT NULL DEFAULT (now_pg())
         ) STRICT;
         CREATE TABLE IF NOT EXISTS auth_sessions (
             id TEXT PRIMARY KEY,
             user_id TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
             method TEXT NOT NULL,
             signed_in_at INTEGER NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_sessions_user ON auth_sessions (user_id);
         CREATE TABLE IF NOT EXISTS auth_refresh_tokens (
             serial INTEGER PRIMARY KEY AUTOINCREMENT,
             token TEXT NOT NULL UNIQUE,
             parent TEXT,
             session_id TEXT NOT NULL,
             revoked_at INTEGER
         ) STRICT;
         CREATE INDEX IF NOT EXISTS auth_refresh_tokens_session ON auth_refresh_tokens (session_id);",
    )
}

/// Answers a request under [`PATH`].
pub(crate) async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match route(&cloud, &parts, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(&parts.headers),
    }
}

async fn route(cloud: &Cloud, parts: &Parts, body: Body) -> Result<Response, AuthError> {
    let path = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let method = gateway::without_head(&parts.method);
    match (method, path) {
        (&Method::GET, "/health") => Ok(Json(health()).into_response()),
        (&Method::GET, "/settings") => Ok(Json(settings(cloud)).into_response()),
        (&Method::GET, "/.well-known/jwks.json") => Ok(jwks()),
        (&Method::POST, "/signup") => account::sign_up(cloud, &object(body).await?).await,
        (&Method::POST, "/token") => {
            let grant = query(parts, "grant_type").unwrap_or_default();
            session::token(cloud, &grant, &object(body).await?).await
        }
        (&Method::POST, "/recover" | "/otp" | "/magiclink" | "/resend") => {
            object(body).await?;
            Ok(Json(json!({})).into_response()) // this cloud sends no mail
        }
        (&Method::POST, "/logout") => {
            let claims = session::authorize(cloud, &parts.headers).await?;
            let scope = query(parts, "scope").unwrap_or_else(|| "global".to_owned());
            session::sign_out(cloud, &claims, &scope).await
        }
        (&Method::GET, "/user") => {
            let claims = session::authorize(cloud, &parts.headers).await?;
            account::show(cloud, &claims).await
        }
        (&Method::PUT, "/user") => {
            let claims = session::authorize(cloud, &parts.headers).await?;
            account::update(cloud, &claims, &object(body).await?).await
        }
        (
            _,
            "/health" | "/settings" | "/signup" | "/token" | "/recover" | "/otp" | "/magiclink" | "/resend" | "/logout"
            | "/user",
        ) => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
        _ => Ok(gateway::refuse(StatusCode::NOT_FOUND, json!({ "message": "404 page not found" }))),
    }
}

fn health() -> Value {
    json!({
        "version": concat!("cloud-dev ", env!("CARGO_PKG_VERSION")),
        "name": "GoTrue",
        "description": "Accounts of an embedded development cloud, with the interface of GoTrue",
    })
}

fn settings(cloud: &Cloud) -> Value {
    json!({
        "external": {
            "anonymous_users": false, "apple": false, "azure": false, "bitbucket": false, "discord": false,
            "email": true, "facebook": false, "github": false, "gitlab": false, "google": false, "phone": false,
        },
        "disable_signup": false,
        "mailer_autoconfirm": !cloud.settings.confirm_email,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
        "passkeys_enabled": false,
    })
}

/// The list of public keys; the only key here is symmetric and never listed.
fn jwks() -> Response {
    let mut response = Json(json!({ "keys": [] })).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}

async fn object(body: Body) -> Result<Map<String, Value>, AuthError> {
    let bytes = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(AuthError::too_large)?;
    serde_json::from_slice(&bytes).map_err(|_| AuthError::bad_json())
}

fn query(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A text field; absent, null and of another type are the same: not there.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}
