//! Broadcasts over HTTP: many at once, or one by its address.
//!
//! Request → token → messages, all valid or none → rooms. A private message without the right to write is dropped; of
//! a batch that is not said.
//! Wire source: Supabase Realtime `BroadcastController`, "Broadcast using the REST API".

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use super::{
    Realtime, access,
    hub::{Fanout, Room, json_payload},
    room,
    token::Token,
    wire::{Body, UserBroadcast},
};
use crate::{cloud::Cloud, gateway};

/// Where many are sent at once, behind the gateway and without one.
pub(crate) const BATCH: [&str; 2] = ["/realtime/v1/api/broadcast", "/api/broadcast"];

/// Where one is sent.
pub(crate) const SINGLE: [&str; 2] =
    ["/realtime/v1/api/broadcast/{topic}/events/{event}", "/api/broadcast/{topic}/events/{event}"];

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 16 << 20;

/// One message of a batch.
#[derive(Deserialize)]
struct Message {
    topic: String,
    event: String,
    payload: Box<RawValue>,
    #[serde(default)]
    private: bool,
}

/// Answers `POST /broadcast`.
pub(crate) async fn batch(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, body: axum::body::Body) -> Response {
    #[derive(Deserialize)]
    struct Batch {
        messages: Vec<Message>,
    }
    let Some(token) = token(&cloud, &headers) else { return refuse(StatusCode::UNAUTHORIZED, "Unauthorized") };
    let Some(body) = gateway::read(body, MAX_BODY_BYTES).await else { return invalid("messages", "is too large") };
    let Ok(Batch { messages }) = serde_json::from_slice(&body) else {
        return invalid("messages", "is invalid");
    };
    let limit = cloud.realtime.options.max_payload_bytes;
    for message in &messages {
        if message.topic.is_empty() || message.event.is_empty() {
            return invalid(if message.topic.is_empty() { "topic" } else { "event" }, "can't be blank");
        }
        if message.payload.get().len() > limit {
            return invalid("payload", "Payload size exceeds tenant limit");
        }
    }
    for message in messages {
        let allowed = !message.private || access::of(&cloud, &token.identity, &message.topic).await.write;
        let room = Room { topic: format!("{}{}", room::REALTIME, message.topic), private: message.private };
        let body = Body::Json(message.payload.get().to_owned());
        if allowed && !send(&cloud.realtime, &room, message.event, body) {
            return too_many();
        }
    }
    StatusCode::ACCEPTED.into_response()
}

/// Answers `POST /broadcast/<topic>/events/<event>`.
pub(crate) async fn single(
    State(cloud): State<Arc<Cloud>>,
    Path((topic, event)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let Some(token) = token(&cloud, &headers) else { return refuse(StatusCode::UNAUTHORIZED, "Unauthorized") };
    let private = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "private" && value == "true");
    let Some(body) = gateway::read(body, MAX_BODY_BYTES).await else { return invalid("payload", "is too large") };
    if body.len() > cloud.realtime.options.max_payload_bytes {
        return invalid("payload", "Payload size exceeds tenant limit");
    }
    let Some(body) = payload(&headers, body) else { return unsupported(&headers) };
    let Ok(body) = body else { return invalid("payload", "is invalid") };
    if private && !access::of(&cloud, &token.identity, &topic).await.write {
        return refuse(StatusCode::FORBIDDEN, "Unauthorized");
    }
    let room = Room { topic: format!("{}{topic}", room::REALTIME), private };
    if send(&cloud.realtime, &room, event, body) { StatusCode::ACCEPTED.into_response() } else { too_many() }
}

/// The body by its type; `None` for a type that is not taken.
fn payload(headers: &HeaderMap, body: Bytes) -> Option<Result<Body, serde_json::Error>> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok())?;
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/octet-stream" => Some(Ok(Body::Binary(body))),
        "application/json" => {
            Some(serde_json::from_slice::<&RawValue>(&body).map(|json| Body::Json(json.get().to_owned())))
        }
        _ => None,
    }
}

/// Sends to everybody in `room`; false when that is too much for now.
fn send(realtime: &Realtime, room: &Room, event: String, body: Body) -> bool {
    let mut state = realtime.hub.state();
    if !state.may_send(Instant::now(), room) {
        return false;
    }
    let broadcast = UserBroadcast { event, metadata: None, body };
    match json_payload(&broadcast) {
        Some(payload) => state.fan_out(room, None, &Fanout::Text { event: "broadcast", payload: &payload }),
        None => state.fan_out(room, None, &Fanout::User(&broadcast)),
    };
    true
}

/// The bearer, or else the API key, which the gateway has checked.
fn token(cloud: &Cloud, headers: &HeaderMap) -> Option<Token> {
    let key = headers.get("apikey").and_then(|key| key.to_str().ok());
    Token::check(cloud, gateway::bearer(headers).or(key)?).ok()
}

fn refuse(status: StatusCode, message: &str) -> Response {
    gateway::refuse(status, json!({ "message": message }))
}

fn invalid(field: &str, problem: &str) -> Response {
    gateway::refuse(StatusCode::UNPROCESSABLE_ENTITY, json!({ "errors": { field: [problem] } }))
}

fn unsupported(headers: &HeaderMap) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let error = format!("Unsupported content type: {kind}");
    gateway::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": error }))
}

fn too_many() -> Response {
    refuse(StatusCode::TOO_MANY_REQUESTS, "You have exceeded your rate limit")
}
