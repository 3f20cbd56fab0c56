//! The front door: who may talk to this server at all, and what every answer carries.
//!
//! Request → request id → `Host` and `Origin` (a web page elsewhere must not reach a server on this
//! machine, whatever name it resolved) → faults → API key → service → CORS and id headers → answer.
//! Nothing here looks at a body. Wire source: Kong answers of a Supabase project; Fetch, CORS protocol.

use std::{convert::Infallible, pin::pin, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, DATE, HOST, ORIGIN, VARY,
    },
};
use serde_json::json;

use crate::{
    cloud::Cloud,
    faults::{Action, Answer},
    feed, gotrue,
    network::Connection,
    realtime, storage,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SB_REQUEST_ID: HeaderName = HeaderName::from_static("sb-request-id");

/// Longest request id that is echoed.
const MAX_REQUEST_ID: usize = 200;

/// The path that needs no key, besides those of [`gotrue::is_open`].
const OPEN: &str = "/";

/// The path where an OpenAI client may come with nothing but a user's token.
const OPENAI: &str = "/functions/v1/ai-proxy/v1/";

/// Lets a request in, or answers it; see the module's header for the order.
pub(crate) async fn gateway(
    State(cloud): State<Arc<Cloud>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = if !is_local_host(&request) {
        refuse(StatusCode::FORBIDDEN, json!({ "message": "This server answers to the name of this machine only" }))
    } else if origin.as_ref().is_some_and(|origin| !is_local_origin(origin)) {
        refuse(StatusCode::FORBIDDEN, json!({ "message": "This server answers to pages of this machine only" }))
    } else {
        let mut response = faulty(&cloud, &connection, request, next).await;
        if let Some(origin) = origin {
            allow_origin(response.headers_mut(), origin);
        }
        response
    };
    if cloud.clock.skew() != 0
        && let Some(date) = date(cloud.now_seconds())
    {
        response.headers_mut().insert(DATE, date);
    }
    response.headers_mut().insert(SB_REQUEST_ID, id.clone());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Asks the fault layer, and does what it says.
async fn faulty(cloud: &Cloud, connection: &Connection, request: Request, next: Next) -> Response {
    let offered = cloud.faults.offer(request.method(), request.uri().path(), request.headers());
    let Ok(action) = offered else {
        return refuse(StatusCode::BAD_REQUEST, json!({ "message": "Unknown fault" }));
    };
    match action {
        None => keyed(cloud, request, next).await,
        Some(Action::Answer(answer)) => injected(answer),
        Some(Action::LoseRequest) => {
            connection.cut();
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Action::LoseReply) => {
            // Waits for the body too: a streamed reply is lost as a whole.
            let response = keyed(cloud, request, next).await;
            let mut body = pin!(response.into_body().into_data_stream());
            while let Some(Ok(_)) = body.next().await {}
            connection.cut();
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Action::CutBody(bytes)) => {
            let response = keyed(cloud, request, next).await;
            cut(response, bytes)
        }
        Some(Action::Delay(time)) => {
            tokio::time::sleep(time).await;
            keyed(cloud, request, next).await
        }
    }
}

/// Checks the API key, then goes on to the service.
async fn keyed(cloud: &Cloud, request: Request, next: Next) -> Response {
    let is_preflight = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && (is_preflight || !storage::answers_options(request.uri().path())) {
        return preflight(request.headers());
    }
    let path = request.uri().path();
    if path == OPEN || gotrue::is_open(request.method(), path) || may_come_without_key(&request) {
        return next.run(request).await;
    }
    match api_key(&request) {
        None => refuse(StatusCode::UNAUTHORIZED, json!({ "message": "No API key found in request" })),
        Some(key) if cloud.keys.accepts(&key) => next.run(request).await,
        Some(_) => refuse(
            StatusCode::UNAUTHORIZED,
            json!({
                "message": "Invalid API key",
                "hint": "Use the anon or publishable key that the server printed when it started",
            }),
        ),
    }
}

/// Some clients have no key: an OpenAI client, whose bearer is checked where the function starts, and whoever
/// follows a public or signed address of the storage, which checks everything itself. A socket is let in by the
/// realtime service, which refuses in its own words.
fn may_come_without_key(request: &Request) -> bool {
    let path = request.uri().path();
    if [realtime::UPGRADE_PATH, realtime::PLAIN_PATH, feed::SOCKET_PATH].contains(&path) {
        return true;
    }
    let is_openai = path.starts_with(OPENAI) && request.headers().contains_key(AUTHORIZATION);
    api_key(request).is_none() && (is_openai || path.strip_prefix(storage::PATH).is_some_and(|p| p.starts_with('/')))
}

fn api_key(request: &Request) -> Option<String> {
    if let Some(header) = request.headers().get("apikey") {
        return header.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "apikey").map(|(_, key)| key.into_owned())
}

/// The method whose headers a request asks for: `HEAD` is answered as `GET` is, and the body left out on the way.
pub(crate) fn without_head(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Reads a body of at most `limit` bytes; `None` when it is larger or breaks off.
pub(crate) async fn read(body: Body, limit: usize) -> Option<Bytes> {
    to_bytes(body, limit).await.ok()
}

/// An answer in JSON.
pub(crate) fn refuse(status: StatusCode, body: serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}

/// Whether `authority` (`name` or `name:port`) names this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name, port),
            None => return false,
        },
        None => match authority.split_once(':') {
            Some((name, _)) => (name, authority.strip_prefix(name).unwrap_or_default()),
            None => (authority, ""),
        },
    };
    let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let name_is_ours = match authority.starts_with('[') {
        true => name == "::1",
        false => name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"),
    };
    port_is_one && name_is_ours
}

fn is_local_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().and_then(|host| host.to_str().ok());
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    let alone = hosts.next().is_none();
    alone && header.or(target).is_some_and(is_loopback) && target.is_none_or(is_loopback)
}

fn is_local_origin(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback)
}

/// A time in seconds since 1970, as the header has it.
fn date(seconds: i64) -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    HeaderValue::try_from(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers
        .get(REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID)
        .cloned()
        .or_else(|| HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).ok())
        .unwrap_or_else(|| HeaderValue::from_static("none"))
}

fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let allowed = asked.unwrap_or_else(|| HeaderValue::from_static("apikey, authorization, content-type"));
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    answer
        .insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("accept-ranges, content-length, content-range, content-location, etag, location, tus-complete, tus-extension, tus-max-size, tus-resumable, tus-version, upload-expires, upload-length, upload-offset, preference-applied, retry-after, x-request-id, sb-request-id, sb-error-code, x-sb-error-code, x-supabase-api-version"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn injected(answer: Answer) -> Response {
    let Answer { status, headers, body, piece_bytes } = answer;
    let body = match piece_bytes {
        None => Body::from(body),
        Some(bytes) => {
            let pieces: Vec<_> = body.chunks(bytes.get()).map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
            Body::from_stream(stream::iter(pieces))
        }
    };
    let mut response = (status, body).into_response();
    response.headers_mut().extend(headers);
    response
}

/// Lets `bytes` of the body through; the error after them makes the server drop the connection.
fn cut(response: Response, bytes: usize) -> Response {
    let (parts, body) = response.into_parts();
    let start = (Box::pin(body.into_data_stream()), bytes);
    let body = stream::unfold(start, async move |(mut data, left)| {
        if left > 0
            && let Some(Ok(chunk)) = data.next().await
        {
            let part = chunk.slice(..chunk.len().min(left));
            let left = left - part.len();
            return Some((Ok::<_, std::io::Error>(part), (data, left)));
        }
        // The server flushes what it holds while it waits for us; only then the line goes dead.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Some((Err(std::io::ErrorKind::ConnectionAborted.into()), (data, 0)))
    });
    Response::from_parts(parts, Body::from_stream(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_only_names_of_this_machine_are_local() {
        for ours in ["127.0.0.1", "127.0.0.1:54321", "localhost", "LocalHost:1", "[::1]", "[::1]:80"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in [
            "",
            ":80",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "127.0.0.1:x",
            "127.0.0.1:1:2",
            "::1",
            "[::1",
            "[::2]",
            "[::1]x",
            "[localhost]",
            "localhost:",
            "0.0.0.0",
            "user@localhost",
            "localhost:65536",
        ] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
        for (origin, local) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1", true),
            ("null", false),
            ("localhost", false),
            ("http://localhost:3000/path", false),
            ("file://localhost", false),
            ("http://evil.example", false),
        ] {
            assert_eq!(is_local_origin(&HeaderValue::from_static(origin)), local, "{origin}");
        }
    }
}
