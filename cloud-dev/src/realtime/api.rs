//! Broadcasts over HTTP: many at once, or one by its address.
//!
//! Request → token → messages, all valid or none → rooms. A private message without the right to write is dropped; of
//! a batch that is not said.
//! Wire source: Supabase Realtime `BroadcastController`, "Broadcast using the REST API".

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};
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

/// Most messages of one batch.
const MAX_MESSAGES: usize = 1_000;

/// What is answered instead of 202.
struct Refusal {
    status: StatusCode,
    body: Value,
}

/// One message of a batch.
struct Message {
    id: Option<String>,
    topic: String,
    event: String,
    payload: String,
    private: bool,
}

impl Message {
    /// Reads one; the error is what is wrong with each field.
    fn read(raw: &RawValue, limit: usize) -> Result<Self, Value> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        let given = |name: &str| fields.get(name).map(|raw| raw.get()).filter(|text| *text != "null");
        let text = |name: &str| match given(name).map(serde_json::from_str::<String>) {
            None => Ok(None),
            Some(Ok(text)) => Ok((!text.trim().is_empty()).then_some(text)),
            Some(Err(_)) => Err(INVALID),
        };
        let required = |name| text(name).and_then(|text| text.ok_or(BLANK));
        let payload = match given("payload") {
            None => Err(BLANK),
            Some(text) if !text.starts_with('{') => Err(INVALID),
            Some(text) if text.len() > limit => Err(TOO_LARGE),
            Some(text) => Ok(text.to_owned()),
        };
        let private = match given("private") {
            None | Some("false" | "\"false\"" | "\"0\"") => Ok(false),
            Some("true" | "\"true\"" | "\"1\"") => Ok(true),
            Some(_) => Err(INVALID),
        };
        match (text("id"), required("topic"), required("event"), payload, private) {
            (Ok(id), Ok(topic), Ok(event), Ok(payload), Ok(private)) => Ok(Self { id, topic, event, payload, private }),
            (id, topic, event, payload, private) => {
                let problems = [
                    ("id", id.err()),
                    ("topic", topic.err()),
                    ("event", event.err()),
                    ("payload", payload.err()),
                    ("private", private.err()),
                ];
                let found =
                    problems.into_iter().filter_map(|(name, problem)| Some((name.to_owned(), json!([problem?]))));
                Err(Value::Object(found.collect()))
            }
        }
    }
}

/// The messages of a batch as they came, and of those that are too many only the first.
struct Listed<'b>(Vec<&'b RawValue>);

impl<'de> Deserialize<'de> for Listed<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Listed<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut messages = Vec::new();
                while messages.len() <= MAX_MESSAGES
                    && let Some(message) = list.next_element()?
                {
                    messages.push(message);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Listed(messages))
            }
        }

        from.deserialize_seq(List)
    }
}

const BLANK: &str = "can't be blank";
const INVALID: &str = "is invalid";
const TOO_LARGE: &str = "Payload size exceeds tenant limit";

/// Answers `POST /broadcast`.
pub(crate) async fn batch(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, body: axum::body::Body) -> Response {
    let sent = send_batch(&cloud, &headers, body).await;
    rated(&cloud, sent)
}

async fn send_batch(cloud: &Cloud, headers: &HeaderMap, body: axum::body::Body) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Batch<'b> {
        #[serde(borrow, default)]
        messages: Option<&'b RawValue>,
    }
    let token = admit(cloud, headers)?;
    let body = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(|| invalid("messages", "is too large"))?;
    let batch = serde_json::from_slice(&body).map_err(|_| refuse(StatusCode::BAD_REQUEST, "Bad Request"))?;
    let Batch { messages: Some(messages) } = batch else { return Err(invalid("messages", BLANK)) };
    let Listed(messages) = serde_json::from_str(messages.get()).map_err(|_| invalid("messages", INVALID))?;
    if messages.is_empty() {
        return Err(invalid("messages", BLANK));
    }
    if messages.len() > MAX_MESSAGES {
        return Err(invalid("messages", &format!("should have at most {MAX_MESSAGES} item(s)")));
    }
    let limit = cloud.realtime.options.max_payload_bytes;
    let messages: Vec<_> = messages.into_iter().map(|raw| Message::read(raw, limit)).collect();
    if messages.iter().any(Result::is_err) {
        let problems: Vec<Value> = messages.into_iter().map(|read| read.err().unwrap_or_else(|| json!({}))).collect();
        return Err(unprocessable(&json!({ "messages": problems })));
    }
    fits(cloud, messages.len())?;
    for message in messages.into_iter().flatten() {
        if !message.private || access::of(cloud, &token.identity, &message.topic).await.write {
            let metadata = message.id.map(|id| json!({ "id": id }).to_string());
            let broadcast = UserBroadcast { event: message.event, metadata, body: Body::Json(message.payload) };
            send(&cloud.realtime, &message.topic, message.private, &broadcast);
        }
    }
    Ok(())
}

/// Answers `POST /broadcast/<topic>/events/<event>`.
pub(crate) async fn single(
    State(cloud): State<Arc<Cloud>>,
    Path((topic, event)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let private = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "private" && value == "true");
    let sent = send_single(&cloud, &topic, event, private, &headers, body).await;
    rated(&cloud, sent)
}

async fn send_single(
    cloud: &Cloud,
    topic: &str,
    event: String,
    private: bool,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(), Refusal> {
    let token = admit(cloud, headers)?;
    let body = gateway::read(body, MAX_BODY_BYTES).await.ok_or_else(|| invalid("payload", "is too large"))?;
    if body.len() > cloud.realtime.options.max_payload_bytes {
        return Err(invalid("payload", TOO_LARGE));
    }
    let body = payload(headers, body).ok_or_else(|| unsupported(headers))?.map_err(|_| invalid("payload", INVALID))?;
    if private && !access::of(cloud, &token.identity, topic).await.write {
        return Err(refuse(StatusCode::FORBIDDEN, "Unauthorized"));
    }
    fits(cloud, 1)?;
    send(&cloud.realtime, topic, private, &UserBroadcast { event, metadata: None, body });
    Ok(())
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

/// Sends to everybody in a room.
fn send(realtime: &Realtime, topic: &str, private: bool, broadcast: &UserBroadcast) {
    let room = Room { topic: format!("{}{topic}", room::REALTIME), private };
    let mut state = realtime.hub.state();
    state.count_message(Instant::now(), &room, None);
    match json_payload(broadcast) {
        Some(payload) => state.fan_out(&room, None, &Fanout::Text { event: "broadcast", payload: &payload }),
        None => state.fan_out(&room, None, &Fanout::User(broadcast)),
    }
}

/// Who sends: the bearer, or else the API key, which the gateway has checked.
fn admit(cloud: &Cloud, headers: &HeaderMap) -> Result<Token, Refusal> {
    let key = headers.get("apikey").and_then(|key| key.to_str().ok());
    let token = gateway::bearer(headers).or(key).and_then(|text| Token::check(cloud, text).ok());
    let token = token.ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "Unauthorized"))?;
    match cloud.realtime.hub.state().message_rate(Instant::now()) {
        Some((counted, limit)) if counted >= limit => Err(refuse(StatusCode::TOO_MANY_REQUESTS, "Too many requests")),
        _ => Ok(token),
    }
}

/// Refuses more messages than the rate has room for.
fn fits(cloud: &Cloud, messages: usize) -> Result<(), Refusal> {
    match cloud.realtime.hub.state().message_rate(Instant::now()) {
        Some((counted, limit)) if counted as usize + messages > limit as usize => {
            let text = "Too many messages to broadcast, please reduce the batch size";
            Err(refuse(StatusCode::TOO_MANY_REQUESTS, text))
        }
        _ => Ok(()),
    }
}

/// The answer, with what is left of the rate where there is a limit.
fn rated(cloud: &Cloud, sent: Result<(), Refusal>) -> Response {
    let mut response = match sent {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(Refusal { status, body }) => gateway::refuse(status, body),
    };
    if response.status() != StatusCode::UNAUTHORIZED
        && let Some((counted, limit)) = cloud.realtime.hub.state().message_rate(Instant::now())
    {
        let headers = response.headers_mut();
        headers.insert("x-rate-rolling", counted.into());
        headers.insert("x-rate-limit", limit.into());
        headers.insert("x-rate-limit-remaining", limit.saturating_sub(counted).into());
    }
    response
}

fn refuse(status: StatusCode, message: &str) -> Refusal {
    Refusal { status, body: json!({ "message": message }) }
}

fn invalid(field: &str, problem: &str) -> Refusal {
    unprocessable(&json!({ field: [problem] }))
}

fn unprocessable(errors: &Value) -> Refusal {
    Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, body: json!({ "errors": errors }) }
}

fn unsupported(headers: &HeaderMap) -> Refusal {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body = json!({ "error": format!("Unsupported content type: {kind}") });
    Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body }
}
