//! The functions of this cloud: agents and models, behind the rules of a functions gateway.
//!
//! Request → which function → whose token (a person's, checked before any function runs) → the function.
//! A refusal of the gateway carries `sb-error-code`; a function's own refusal does not.
//! Wire source: Supabase Edge Functions, "Error codes".

mod agent_chat;
mod ai_proxy;
mod completion;
mod meter;
mod model;
pub(crate) mod upstream;
mod usage;

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};

pub(crate) use self::usage::create;
use crate::{
    cloud::Cloud,
    core::{Identity, jwt::JwtError},
    gateway,
};

/// Where the functions are mounted.
pub(crate) const PATH: &str = "/functions/v1/";

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 4 << 20;

/// A person who calls a function.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) user_id: String,
}

/// Answers a request under [`PATH`].
pub(crate) async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    if !["agent-chat", "ai-proxy", "cloud-models", "cloud-usage"].contains(&name) {
        let body = json!({ "code": "NOT_FOUND", "message": "Requested function was not found" });
        return platform(StatusCode::NOT_FOUND, "NOT_FOUND", body);
    }
    let caller = match authorize(&cloud, &parts.headers) {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    match (name, gateway::without_head(&parts.method), rest) {
        ("agent-chat", &Method::POST, "") => agent_chat::handle(&cloud, &caller, body).await,
        ("ai-proxy", &Method::POST, "") => ai_proxy::chat(&cloud, &caller, body, ai_proxy::Style::Function).await,
        ("ai-proxy", &Method::POST, "v1/chat/completions") => {
            ai_proxy::chat(&cloud, &caller, body, ai_proxy::Style::OpenAi).await
        }
        ("ai-proxy", &Method::GET, "v1/models") => ai_proxy::models(&cloud).await,
        ("cloud-models", &Method::GET, "") => ai_proxy::catalogue(&cloud).await,
        ("cloud-usage", &Method::GET, "") => usage::show(&cloud, &caller).await,
        ("agent-chat" | "cloud-models" | "cloud-usage" | "ai-proxy", _, "") => {
            gateway::refuse(StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "Method not allowed" }))
        }
        _ => gateway::refuse(StatusCode::NOT_FOUND, json!({ "error": "Not found" })),
    }
}

fn authorize(cloud: &Cloud, headers: &HeaderMap) -> Result<Caller, Box<Response>> {
    let refuse = |code: &'static str, message: &str| {
        let body = json!({ "code": 401, "message": message });
        Err(Box::new(platform(StatusCode::UNAUTHORIZED, code, body)))
    };
    let Some(bearer) = gateway::bearer(headers) else {
        return refuse("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header");
    };
    let person = match cloud.check(bearer, 0) {
        Ok(claims) => Cloud::person(claims),
        // A key sent as bearer does not become good by a refresh, so it gets another code than an old token.
        Err(JwtError::Malformed) => None,
        Err(JwtError::Expired | JwtError::Signature) => return refuse("UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"),
    };
    match person.and_then(|identity| Some(Caller { user_id: identity.user_id.clone()?, identity })) {
        Some(caller) => Ok(caller),
        None => refuse("UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT"),
    }
}

/// A refusal of the gateway itself.
fn platform(status: StatusCode, code: &'static str, body: Value) -> Response {
    let mut response = gateway::refuse(status, body);
    response.headers_mut().insert("sb-error-code", HeaderValue::from_static(code));
    response
}

/// A refusal by a function.
fn error(status: StatusCode, message: &str) -> Response {
    gateway::refuse(status, json!({ "error": message }))
}

async fn read(body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    gateway::read(body, MAX_BODY_BYTES).await.ok_or((StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large"))
}

async fn object(body: Body) -> Result<Map<String, Value>, (StatusCode, &'static str)> {
    let bytes = read(body).await?;
    serde_json::from_slice(&bytes).map_err(|_| (StatusCode::BAD_REQUEST, "Request body is not a JSON object"))
}
