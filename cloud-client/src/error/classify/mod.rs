//! Turns an answer that is not a success into an [`Error`]: status, headers and body in, error out. No I/O.
//!
//! Four services answer failures in different shapes, and gateways and proxies answer in shapes of their own, so the
//! order of the questions matters: redirect, then something that is no JSON, then the gateway's key check, then the
//! service's own code, then the status alone. An unknown 4xx is permanent, an unknown 5xx is transient, and nothing
//! that is not JSON is ever taken for the service's word (T6).
//!
//! Wire shapes: PostgREST "Errors", GoTrue `internal/api/errors.go`, Supabase "Edge Functions error codes", Supabase
//! Storage `src/internal/errors/codes.ts` and the TUS 1.0.0 server, whose errors are plain text.
mod services;

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use self::services::{auth, functions, rest, speaks_of_token, storage, storage_message};
use super::{Error, ErrorCode, codes};
use crate::retry::retry_after;

/// Which part of the cloud a call speaks to. It decides how an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// GoTrue under `/auth/v1`.
    Auth,
    /// PostgREST under `/rest/v1`.
    Rest,
    /// Storage under `/storage/v1`.
    Storage,
    /// Edge functions under `/functions/v1`.
    Functions,
    /// Realtime's HTTP interface under `/realtime/v1`.
    Realtime,
    /// The host's own endpoints below the cloud's address: plain statuses, as RFC 9110 has them.
    Host,
}

/// One answer as the classifier sees it.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) service: Service,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// The fields that any of the services may put into an error body. Everything is optional and of any type.
#[derive(Default, Deserialize)]
struct Body {
    code: Option<serde_json::Value>,
    error_code: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
    message: Option<serde_json::Value>,
    msg: Option<serde_json::Value>,
    error_description: Option<serde_json::Value>,
    details: Option<serde_json::Value>,
    #[serde(rename = "statusCode")]
    status_code: Option<serde_json::Value>,
    usage: Option<serde::de::IgnoredAny>,
}

fn text(value: Option<&serde_json::Value>) -> Option<&str> {
    value.and_then(serde_json::Value::as_str).filter(|text| !text.is_empty())
}

impl Body {
    /// The service's own word for the failure.
    fn word(&self) -> Option<&str> {
        text(self.error_code.as_ref()).or_else(|| text(self.code.as_ref())).or_else(|| text(self.error.as_ref()))
    }

    /// The first text in the order GoTrue's clients read it, then the nested one of OpenAI-shaped errors.
    fn message(&self) -> Option<&str> {
        text(self.msg.as_ref())
            .or_else(|| text(self.message.as_ref()))
            .or_else(|| text(self.error_description.as_ref()))
            .or_else(|| text(self.error.as_ref()))
            .or_else(|| self.error.as_ref().and_then(|nested| text(nested.get("message"))))
    }
}

/// Whether a status means "away for a moment": a gateway's or an edge network's own failure.
pub(crate) fn is_unavailable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504 | 520..=530)
}

fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|text| !text.is_empty())
}

/// `Proxy-Status: PostgREST; error=PGRST205` is the only place of a code on `HEAD`.
fn proxy_status_code(headers: &HeaderMap) -> Option<&str> {
    let (_, code) = header_text(headers, "proxy-status")?.split_once("error=")?;
    code.split(';').next().map(|code| code.trim().trim_matches('"'))
}

/// Whether the answer says that the *access token* is no longer good, so that one refresh and one repeat make sense.
///
/// A function's own 401 says nothing about the token, and a 401 of row security says that no token was sent.
pub fn is_token_refusal(service: Service, status: u16, headers: &HeaderMap, body: &[u8]) -> bool {
    let parsed = || serde_json::from_slice::<Body>(body).unwrap_or_default();
    match (service, status) {
        (Service::Rest, 401) => {
            matches!(parsed().word(), Some("PGRST301" | "PGRST303"))
                || header_text(headers, "www-authenticate").is_some_and(|value| value.contains("invalid_token"))
        }
        (Service::Auth, 401 | 403) => matches!(parsed().word(), Some("bad_jwt")),
        (Service::Functions, 401) => match header_text(headers, "sb-error-code") {
            Some(code) => code == "UNAUTHORIZED_LEGACY_JWT" || code == "UNAUTHORIZED_ASYMMETRIC_JWT",
            None => parsed().message() == Some("Invalid JWT"),
        },
        // Storage answers 400 for nearly everything and puts the truth into the body.
        (Service::Storage, 400 | 401 | 403) => speaks_of_token(&storage_message(body)),
        // One answer for every sort of bad token.
        (Service::Realtime | Service::Host, 401) => true,
        _ => false,
    }
}

/// The error for an answer that is not a success.
pub(crate) fn classify(answer: Answer<'_>, now: SystemTime) -> Error {
    let Answer { service, status, headers, body } = answer;
    let parsed: Option<Body> = serde_json::from_slice(body).ok();
    let platform = header_text(headers, "sb-error-code");
    let word = platform
        .or_else(|| header_text(headers, "x-sb-error-code"))
        .or_else(|| parsed.as_ref().and_then(Body::word))
        .or_else(|| proxy_status_code(headers));

    let code = by_shape(service, status, headers, parsed.as_ref()).unwrap_or_else(|| match service {
        Service::Rest => rest(status, word, parsed.as_ref()),
        Service::Functions => functions(status, platform, headers, parsed.as_ref()),
        Service::Auth => auth(status, word),
        Service::Storage => storage(status, parsed.as_ref(), body),
        Service::Realtime if status == StatusCode::UNAUTHORIZED => codes::TOKEN_REFUSED,
        Service::Realtime => by_status(status, None),
        Service::Host => by_status(status, parsed.as_ref()),
    });

    let mut error = Error::new(code).with_status(status.as_u16());
    if let Some(word) = word {
        error = error.with_server_code(word);
    }
    if let Some(wait) = retry_after::parse(headers, now) {
        error = error.with_retry_after(wait);
    }
    match parsed.as_ref().and_then(Body::message) {
        Some(message) => error.with_detail(message),
        None if is_html(headers) => error,
        None => error.with_detail(String::from_utf8_lossy(body)),
    }
}

/// What can be said before asking which service it was.
fn by_shape(service: Service, status: StatusCode, headers: &HeaderMap, body: Option<&Body>) -> Option<ErrorCode> {
    if status.is_redirection() && headers.contains_key(header::LOCATION) {
        return Some(codes::REDIRECTED);
    }
    if is_unavailable(status) {
        return Some(codes::UNAVAILABLE);
    }
    let Some(body) = body else {
        // A proxy on the way to the cloud says in HTML that a body is too large for it; nothing large goes to Auth.
        let large = status == StatusCode::PAYLOAD_TOO_LARGE && !matches!(service, Service::Auth);
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let intercepted = is_html(headers) && !busy && !large;
        return intercepted.then_some(codes::INTERCEPTED);
    };
    let gateway = status == StatusCode::UNAUTHORIZED && body.code.is_none() && body.error_code.is_none();
    let key = |message: &str| message == "Invalid API key" || message == "No API key found in request";
    (gateway && body.message().is_some_and(key)).then_some(codes::KEY_REFUSED)
}

fn by_status(status: StatusCode, body: Option<&Body>) -> ErrorCode {
    match status.as_u16() {
        401 => codes::UNAUTHENTICATED,
        402 => codes::QUOTA,
        403 => codes::FORBIDDEN,
        404 => codes::NOT_FOUND,
        408 => codes::TIMEOUT,
        409 => codes::CONFLICT,
        // A 429 that names an allowance is about the allowance, not about the pace.
        429 if body.is_some_and(|body| body.usage.is_some()) => codes::QUOTA,
        425 | 429 => codes::RATE_LIMITED,
        502..=504 | 520..=530 => codes::UNAVAILABLE,
        500..=599 => codes::SERVER_FAULT,
        _ => codes::REJECTED,
    }
}

#[cfg(test)]
mod tests;
