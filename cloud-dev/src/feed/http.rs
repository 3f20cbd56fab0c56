//! Publishing, tickets, pages, and the beginning of an event stream.
use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use super::{
    Feed,
    reader::{Reader, person},
    stream,
};
use crate::{cloud::Cloud, gateway, keys::same};

/// Largest message that is taken.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Messages of a page, unless asked otherwise, and at most.
const PAGE: (usize, usize) = (100, 500);

/// Which part of the feed is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    organization: Option<String>,
    conversation: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Adds a message. Only for services that hold the key.
pub(super) async fn publish(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, body: Body) -> Response {
    #[derive(Deserialize)]
    struct Message {
        organization: String,
        conversation: Option<String>,
        data: Box<RawValue>,
    }
    let Some(feed) = cloud.feed.as_ref() else { return nowhere() };
    if !gateway::bearer(&headers).is_some_and(|key| same(key, &feed.key)) {
        return refuse(StatusCode::FORBIDDEN, "Only services publish");
    }
    let Some(body) = gateway::read(body, MAX_BODY_BYTES).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "The message is too large");
    };
    let Ok(Message { organization, conversation, data }) = serde_json::from_slice(&body) else {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "A message has an organization and data");
    };
    let id = feed.publish(organization, conversation, data);
    (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
}

/// Gives a ticket for one socket to whoever is signed in.
pub(super) async fn mint(State(cloud): State<Arc<Cloud>>, headers: HeaderMap) -> Response {
    let Some(feed) = cloud.feed.as_ref() else { return nowhere() };
    let Some(user) = person(&cloud, &headers) else { return refuse(StatusCode::UNAUTHORIZED, "Sign in first") };
    let lifetime = feed.options.ticket_lifetime;
    match feed.tickets().mint(user, lifetime, Instant::now()) {
        Some(ticket) => Json(json!({ "ticket": ticket, "expires_in": lifetime.as_secs() })).into_response(),
        None => refuse(StatusCode::TOO_MANY_REQUESTS, "Too many tickets wait"),
    }
}

/// Answers one page.
pub(super) async fn items(State(cloud): State<Arc<Cloud>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let Some(feed) = cloud.feed.as_ref() else { return nowhere() };
    let reader = match reader(&cloud, &asked, &headers).await {
        Ok(reader) => reader,
        Err(refusal) => return refusal,
    };
    let limit = asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let log = feed.log();
    let from = asked.after.as_deref().map_or(Ok(log.oldest()), |after| log.read_after(after));
    let Ok(from) = from else { return refuse(StatusCode::GONE, "What comes after this position is gone") };
    let found = log.read(from, &reader, limit, Some(u64::MAX));
    let items: Vec<&str> = found.messages.iter().map(|(_, envelope)| envelope.as_str()).collect();
    let (position, more, items) = (log.position(found.next - 1), found.more, items.join(","));
    let body = format!(r#"{{"items":[{items}],"position":"{position}","more":{more}}}"#);
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Opens an event stream.
pub(super) async fn events(
    State(cloud): State<Arc<Cloud>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let Some(feed) = cloud.feed.as_ref() else { return nowhere() };
    let reader = match reader(&cloud, &asked, &headers).await {
        Ok(reader) => reader,
        Err(refusal) => return refusal,
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let body = Body::from_stream(stream::events(feed, reader, last));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// The reader that a request is, if its session may be one.
async fn reader(cloud: &Cloud, asked: &Asked, headers: &HeaderMap) -> Result<Reader, Response> {
    let user = person(cloud, headers).ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "Sign in first"))?;
    let Some(organization) = &asked.organization else {
        return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, "Name the organization"));
    };
    let reader = Reader::new(organization, asked.conversation.as_deref());
    if reader.is_allowed(cloud, &user).await {
        Ok(reader)
    } else {
        Err(refuse(StatusCode::FORBIDDEN, "Only members read the feed of an organization"))
    }
}

/// The cloud has no feed.
pub(super) fn nowhere() -> Response {
    refuse(StatusCode::NOT_FOUND, "no Route matched with those values")
}

fn refuse(status: StatusCode, message: &str) -> Response {
    gateway::refuse(status, json!({ "message": message }))
}

impl Feed {
    /// From where a reader with this position begins, and how the replay ends: the newest number, and whether the
    /// position was too old.
    pub(super) fn begin(&self, after: Option<&str>) -> (u64, u64, bool) {
        let log = self.log();
        let head = log.head();
        match after.map(|after| log.replay_after(after)) {
            Some(Ok(next)) => (next, head, false),
            Some(Err(_)) => (head + 1, head, true),
            None => (head + 1, head, false),
        }
    }
}
