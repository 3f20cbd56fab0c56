//! Signing up, signing in and staying signed in, as GoTrue does it.
//!
//! Request → [`handle`] → a handler with its [`Call`] → one transaction → session, user, redirect or error body.
//!
//! | Module       | What lives there                                             |
//! |--------------|--------------------------------------------------------------|
//! | [`account`]  | people: sign-up, the user object, changes of it              |
//! | [`session`]  | what starts, renews and ends a session; access tokens        |
//! | [`otp`]      | codes and links by mail, and what they bring                 |
//! | [`mail`]     | the mailbox and the codes                                    |
//! | [`pkce`]     | challenges, flows, and the exchange of their codes           |
//! | [`oauth`]    | providers: the way out, the way back, their tokens           |
//! | [`identity`] | who is who, linking                                          |
//! | [`mfa`]      | second factors                                               |
//! | [`sweep`]    | forgetting what was begun and never ended                    |
//! | [`control`]  | switches over HTTP, for tests in other languages             |
//!
//! Wire source: GoTrue 2.196 endpoints under `/auth/v1`.

mod about;
pub(crate) mod account;
mod call;
mod control;
mod error;
pub(crate) mod identity;
mod limits;
pub(crate) mod mail;
mod mfa;
pub(crate) mod oauth;
mod otp;
mod pkce;
pub(crate) mod session;
pub(crate) mod settings;
mod sweep;
mod tables;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Map, Value, json};

use self::{
    call::Call, error::AuthError, limits::Limits, mail::Mailbox, oauth::upstream::Upstream, session::refresh::Counters,
    settings::AuthSettings,
};
use crate::{cloud::Cloud, gateway};

pub(crate) use self::tables::create;

/// Where these endpoints are mounted.
pub(crate) const PATH: &str = "/auth/v1";

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What the accounts of one cloud need besides the database.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) settings: AuthSettings,
    pub(crate) mailbox: Mailbox,
    pub(crate) refreshes: Counters,
    pub(crate) upstreams: Vec<Upstream>,
    limits: Limits,
}

impl Auth {
    /// Checks the settings; fails with what is wrong with a provider.
    pub(crate) fn new(settings: AuthSettings) -> Result<Self, String> {
        let upstreams = settings.upstreams.iter().cloned().map(Upstream::new).collect::<Result<_, _>>()?;
        let (mailbox, refreshes, limits) = (Mailbox::default(), Counters::default(), Limits::default());
        Ok(Self { settings, mailbox, refreshes, upstreams, limits })
    }
}

/// Whether a request may come without an API key: browsers follow links to these.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    match path.strip_prefix(PATH) {
        Some("/authorize" | "/callback" | "/.well-known/jwks.json") => true,
        Some("/verify") => method == Method::GET || method == Method::HEAD,
        Some(_) => false,
        None => path == oauth::page::PATH,
    }
}

/// Answers a request under [`PATH`].
pub(crate) async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match route(&cloud, &parts, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(&parts.headers),
    }
}

/// Answers a request under `/dev/v1`: the page of the built-in provider, and the switches if they are open.
pub(crate) async fn handle_dev(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if path == oauth::page::PATH {
        return oauth::page::handle(&cloud, &parts, body).await;
    }
    if !cloud.settings.open_controls {
        let message = "The controls are closed: the server was started without them";
        return gateway::refuse(StatusCode::NOT_FOUND, json!({ "message": message }));
    }
    let body = match object_if_any(body).await {
        Ok(body) => body,
        Err(error) => return error.into_response(&parts.headers),
    };
    let call = Call { cloud: &cloud, parts: &parts, body };
    let answer = control::handle(&call, path.strip_prefix(control::PATH).unwrap_or_default()).await;
    answer.unwrap_or_else(|error| error.into_response(&parts.headers))
}

async fn route(cloud: &Cloud, parts: &Parts, body: Body) -> Result<Response, AuthError> {
    let path = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let method = gateway::without_head(&parts.method);
    let body = match (method, path) {
        (&Method::POST, "/callback") => form(body).await?,
        (&Method::POST, "/logout") => Map::new(),
        (&Method::POST, path) if path.ends_with("/challenge") => object_if_any(body).await?,
        (&Method::POST | &Method::PUT, _) => object(body).await?,
        _ => Map::new(),
    };
    let call = Call { cloud, parts, body };
    if cloud.auth.settings.rate_limits {
        cloud.auth.limits.check(&call, path)?;
    }
    match (method.as_str(), path) {
        ("GET", "/health") => Ok(Json(about::health()).into_response()),
        ("GET", "/settings") => Ok(Json(about::settings(&cloud.auth)).into_response()),
        ("GET", "/.well-known/jwks.json") => Ok(about::jwks()),
        ("POST", "/signup") => account::sign_up::sign_up(&call).await,
        ("POST", "/token") => session::grant::token(&call).await,
        ("POST", "/otp") => otp::otp(&call).await,
        ("POST", "/magiclink") => otp::magic_link(&call).await,
        ("POST", "/recover") => otp::recover(&call).await,
        ("POST", "/resend") => otp::resend(&call).await,
        ("POST", "/verify") => otp::verify::post(&call).await,
        ("GET", "/verify") => otp::verify::get(&call).await,
        ("GET", "/authorize") => oauth::authorize::authorize(&call).await,
        ("GET" | "POST", "/callback") => Ok(oauth::callback::callback(&call).await),
        ("POST", "/sso") => oauth::authorize::sso(&call).await,
        ("POST", "/logout") => session::sign_out::sign_out(&call).await,
        ("GET", "/user") => account::update::show(&call).await,
        ("PUT", "/user") => account::update::update(&call).await,
        ("GET", "/reauthenticate") => account::update::reauthenticate(&call).await,
        ("GET", "/user/identities/authorize") => oauth::authorize::link(&call).await,
        ("POST", "/factors") => mfa::enrol(&call).await,
        (method, path) => below(&call, method, path).await,
    }
}

/// Paths with an id in them, and those that are not there.
async fn below(call: &Call<'_>, method: &str, path: &str) -> Result<Response, AuthError> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        ("DELETE", ["user", "identities", id]) => identity::link::remove(call, id).await,
        ("DELETE", ["factors", id]) => mfa::unenrol(call, id).await,
        ("POST", ["factors", id, "challenge"]) => mfa::verify::challenge(call, id).await,
        ("POST", ["factors", id, "verify"]) => mfa::verify::verify(call, id).await,
        (
            _,
            [
                "health" | "settings" | "signup" | "token" | "otp" | "magiclink" | "recover" | "resend" | "verify"
                | "authorize" | "callback" | "sso" | "logout" | "user" | "reauthenticate" | "factors",
            ]
            | ["factors", ..]
            | ["user", "identities", ..],
        ) => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
        _ => Ok(gateway::refuse(StatusCode::NOT_FOUND, json!({ "message": "404 page not found" }))),
    }
}

async fn object(body: Body) -> Result<Map<String, Value>, AuthError> {
    let bytes = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(AuthError::too_large)?;
    serde_json::from_slice(&bytes).map_err(|_| AuthError::bad_json())
}

async fn object_if_any(body: Body) -> Result<Map<String, Value>, AuthError> {
    let bytes = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(AuthError::too_large)?;
    if bytes.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(&bytes).map_err(|_| AuthError::bad_json()) }
}

/// The fields of a form, as an object of texts.
async fn form(body: Body) -> Result<Map<String, Value>, AuthError> {
    let bytes = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(AuthError::too_large)?;
    let fields = url::form_urlencoded::parse(&bytes);
    Ok(fields.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
}
