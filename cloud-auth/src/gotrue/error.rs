//! Reads what the auth server says when it refuses: four body shapes, and what gateways and proxies put in its place.
//!
//! status, headers, body → [`word`] (the server's code) → our [`Error`] and, for a refresh, whether the session is over.
//! Only a JSON answer of 400, 401 or 403 with a word from the short list ends a session (A6); everything else, known or
//! not, is a passing failure (A5). Source: GoTrue `internal/api/errors.go` and its OAuth error body.
use std::time::Duration;

use cloud_client::{Client, Error, call::Reply, error::Service};
use http::{HeaderMap, header};
use serde_json::Value;

use crate::codes::{self, MAIL_RATE_LIMITED, WEAK_PASSWORD};

/// The date of the error body that is asked for.
pub(crate) const API_VERSION: &str = "2024-01-01";
/// The header that asks for it and that errors echo.
pub(crate) const API_VERSION_HEADER: &str = "x-supabase-api-version";

/// Whether the answer says that its body follows [`API_VERSION`]: the header holds a real date not before it.
fn is_new_shape(headers: &HeaderMap) -> bool {
    let date = headers.get(API_VERSION_HEADER).and_then(|value| value.to_str().ok());
    let shape = |text: &&str| text.len() == 10;
    let date = date.filter(shape).and_then(|text| text.parse::<jiff::civil::Date>().ok());
    date.is_some_and(|date| date >= jiff::civil::date(2024, 1, 1))
}

/// The server's own code for a refusal, from any of the shapes; `None` when it is not the server's word at all.
pub(super) fn word(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A page that happens to parse is still a page (T6).
    let other = !kind.is_empty() && !kind.to_ascii_lowercase().contains("json");
    let Value::Object(body) = serde_json::from_slice(body).ok().filter(|_| !other)? else { return None };
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (code, error_code) = (text("code"), text("error_code"));
    let word = if is_new_shape(headers) { code.or(error_code) } else { error_code.or(code) };
    let weak = body.get("weak_password").is_some_and(|weak| weak.get("reasons").is_some());
    word.or_else(|| weak.then_some("weak_password")).or_else(|| text("error")).map(str::to_owned)
}

/// Why a password is too weak, as one line.
fn reasons(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let reasons = body.get("weak_password")?.get("reasons")?.as_array()?;
    let reasons: Vec<_> = reasons.iter().filter_map(Value::as_str).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// How long to wait, from words such as "you can only request this after 41 seconds": the server has no header for it.
fn seconds(message: &str) -> Option<Duration> {
    let mut words = message.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if words.peek().is_some_and(|unit| unit.starts_with("second"))
            && let Ok(count) = word.parse::<u32>()
        {
            return Some(Duration::from_secs(count.into()));
        }
    }
    None
}

/// The error that a refusal stands for.
pub(super) fn refusal(client: &Client, reply: &Reply) -> Error {
    let general = client.failure(Service::Auth, reply);
    // A server in trouble may say anything; its word counts only for a refusal.
    let known = word(&reply.headers, &reply.body).filter(|_| reply.status.is_client_error());
    let Some((word, code)) = known.and_then(|word| codes::from_server(&word).map(|code| (word, code))) else {
        return general;
    };
    let mut error = reply.error(code).with_server_code(word);
    let told = || general.detail().filter(|_| code == MAIL_RATE_LIMITED).and_then(seconds);
    if let Some(wait) = general.retry_after().or_else(told) {
        error = error.with_retry_after(wait);
    }
    let reasons = reasons(&reply.body).filter(|_| code == WEAK_PASSWORD);
    match reasons.as_deref().or_else(|| general.detail()) {
        Some(detail) => error.with_detail(detail),
        None => error,
    }
}

/// The code with which a refused refresh ends the session for good; `None` for everything that passes (A5, A6).
pub(super) fn end_of_session(reply: &Reply) -> Option<String> {
    let refused = matches!(reply.status.as_u16(), 400 | 401 | 403);
    word(&reply.headers, &reply.body).filter(|word| refused && codes::ends_session(word))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn word_of(version: Option<&'static str>, kind: &'static str, body: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(version) = version {
            headers.insert(API_VERSION_HEADER, HeaderValue::from_static(version));
        }
        word(&headers, body.as_bytes())
    }

    #[test]
    fn every_body_shape_gives_its_word() {
        let json = "application/json";
        for (version, kind, body, expected) in [
            (Some("2024-01-01"), json, r#"{"code":"bad_json","message":"m"}"#, Some("bad_json")),
            (None, json, r#"{"code":400,"error_code":"bad_json","msg":"m"}"#, Some("bad_json")),
            (
                None,
                json,
                r#"{"error":"invalid_grant","error_description":"Invalid Refresh Token"}"#,
                Some("invalid_grant"),
            ),
            (None, json, r#"{"code":"P0001","message":"m","hint":null}"#, Some("P0001")),
            (None, json, r#"{"weak_password":{"reasons":["length"]}}"#, Some("weak_password")),
            (None, "application/json; charset=utf-8", r#"{"error_code":"x"}"#, Some("x")),
            (None, "", r#"{"error_code":"x"}"#, Some("x")),
            (None, json, r#"{"message":"Invalid API key"}"#, None),
            (None, json, r#"{"error_code":7}"#, None),
            (None, json, r#"["session_not_found"]"#, None),
            (None, json, "session_not_found", None),
            (None, json, "", None),
            (None, "text/html", "<html>", None),
            (None, "text/html", r#"{"error_code":"session_not_found"}"#, None),
        ] {
            assert_eq!(word_of(version, kind, body).as_deref(), expected, "{kind} {body}");
        }
    }

    #[test]
    fn the_wait_between_mails_is_read_from_the_message() {
        let waits = |message| seconds(message).map(|wait| wait.as_secs());
        assert_eq!(waits("For security purposes, you can only request this after 41 seconds."), Some(41));
        assert_eq!(waits("after 1 second"), Some(1));
        for message in ["", "seconds", "email rate limit exceeded", "after -3 seconds", "after 99999999999 seconds"] {
            assert_eq!(waits(message), None, "{message}");
        }
    }

    #[test]
    fn a_version_that_is_no_date_counts_as_absent() {
        let body = r#"{"code":"new","error_code":"old"}"#;
        let word = |version| word_of(version, "application/json", body).unwrap();
        for version in ["2024-01-32", "", "notadate", "Sat Feb 24 2024 17:59:17 GMT+0100", "2023-12-31"] {
            assert_eq!(word(Some(version)), "old", "{version:?}");
        }
        assert_eq!(word(None), "old");
        assert_eq!(word(Some("2024-01-01")), "new");
        assert_eq!(word(Some("2026-07-01")), "new");
    }
}
