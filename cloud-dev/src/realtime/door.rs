//! The upgrade: version, key, room for one more; then the socket's task begins.
//!
//! Request → `vsn` → token → 101 or a refusal with the service's status and text. A refusal waits for its penalty.
//! Wire source: Supabase Realtime `UserSocket`; `Phoenix.Socket.Transport`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts as _, Request, State, WebSocketUpgrade},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, StatusCode, Uri,
    header::{RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    socket,
    token::{Refused, Token},
    wire::Version,
};
use crate::{cloud::Cloud, gateway, network::Connection};

/// Longest message whose reading begins at all; the limit of the service is smaller, and answered with 1009.
const MAX_READ_BYTES: usize = 32 << 20;

/// How a token travels as a subprotocol.
const BEARER_PROTOCOL: &str = "base64url.bearer.phx.";

/// Longer than any server runs.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Answers a request for a socket.
pub(crate) async fn upgrade(
    State(cloud): State<Arc<Cloud>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let realtime = &cloud.realtime;
    let mut frozen = realtime.disturb.frozen();
    tokio::select! {
        _ = frozen.wait_for(|frozen| !frozen) => {}
        () = realtime.stop.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let (mut parts, _) = request.into_parts();
    let Some(version) = version(&parts.uri) else { return StatusCode::FORBIDDEN.into_response() };
    let token = match key(&parts.headers, &parts.uri).map(|key| Token::check(&cloud, &key)) {
        Some(Ok(token)) => token,
        None => return refuse(&cloud, StatusCode::UNAUTHORIZED, "API key is missing").await,
        Some(Err(refused)) => {
            let text = match refused {
                Refused::Expired(_) => "Token has expired".to_owned(),
                other => other.to_string(),
            };
            return refuse(&cloud, StatusCode::UNAUTHORIZED, &text).await;
        }
    };
    if !realtime.hub.has_room() {
        return refuse(&cloud, StatusCode::TOO_MANY_REQUESTS, "Too many connected users").await;
    }
    if realtime.hub.state().joins_are_many(Instant::now()) {
        return refuse(&cloud, StatusCode::TOO_MANY_REQUESTS, "Too many joins per second").await;
    }
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return gateway::refuse(StatusCode::BAD_REQUEST, json!({ "error": "This is a WebSocket" }));
    };
    let upgrade = upgrade.protocols(["phoenix"]).max_message_size(MAX_READ_BYTES).max_frame_size(MAX_READ_BYTES);
    let tracked = realtime.sockets.token();
    upgrade.on_upgrade(async move |stream| {
        socket::serve(cloud, stream, connection, version, token).await;
        drop(tracked);
    })
}

async fn refuse(cloud: &Cloud, status: StatusCode, text: &str) -> Response {
    pause(cloud.realtime.options.connect_penalty).await;
    if cloud.realtime.options.bare_refusals {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = gateway::refuse(status, json!({ "error": text }));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().remove(RETRY_AFTER); // the service gives no hint
    }
    response
}

/// When a time from `now` is over; a time that no clock can show is as good as never.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + NEVER)
}

/// Waits, unless there is nothing to wait for.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The version a client asks for; the oldest when it does not say, none when it says nonsense.
fn version(uri: &Uri) -> Option<Version> {
    let Some(text) = parameter(uri, "vsn") else { return Some(Version::V1) };
    let mut parts = text.split('.').map(str::parse::<u32>);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Ok(1), Ok(0), Ok(_), None) => Some(Version::V1),
        (Ok(2), Ok(0), Ok(_), None) => Some(Version::V2),
        _ => None,
    }
}

/// The key of a connect; headers win.
fn key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let named = header("x-api-key").or_else(|| header("apikey")).or_else(|| parameter(uri, "apikey"));
    named.or_else(|| bearer_protocol(headers))
}

fn bearer_protocol(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let encoded =
        offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(BEARER_PROTOCOL))?;
    let bytes = STANDARD_NO_PAD.decode(encoded.replace('-', "+").replace('_', "/")).ok()?;
    String::from_utf8(bytes).ok()
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_absent_known_or_refused() {
        for (query, wanted) in [
            ("", Some(Version::V1)),
            ("?apikey=x", Some(Version::V1)),
            ("?vsn=1.0.0", Some(Version::V1)),
            ("?vsn=2.0.0", Some(Version::V2)),
            ("?vsn=", None),
            ("?vsn=2", None),
            ("?vsn=2.0", None),
            ("?vsn=2.0.0.0", None),
            ("?vsn=3.0.0", None),
            ("?vsn=2.1.0", None),
            ("?vsn=x", None),
        ] {
            let uri: Uri = format!("/socket/websocket{query}").parse().unwrap();
            assert_eq!(version(&uri), wanted, "{query}");
        }
    }

    #[test]
    fn a_header_wins_over_the_address_and_the_subprotocol_comes_last() {
        let uri: Uri = "/socket/websocket?apikey=from-query".parse().unwrap();
        let plain: Uri = "/socket/websocket".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers, &plain), None);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, "phoenix, base64url.bearer.phx.YS5iLmM".parse().unwrap());
        assert_eq!(key(&headers, &plain).as_deref(), Some("a.b.c"));
        assert_eq!(key(&headers, &uri).as_deref(), Some("from-query"));
        headers.insert("x-api-key", "from-header".parse().unwrap());
        assert_eq!(key(&headers, &uri).as_deref(), Some("from-header"));
    }
}
