//! Turns an answer that is not a success into an [`Error`]: status, headers and body in, error out. No I/O.
//!
//! Four services answer failures in different shapes, and gateways and proxies answer in shapes of their own, so the
//! order of the questions matters: redirect, then something that is no JSON, then the gateway's key check, then the
//! service's own code, then the status alone. An unknown 4xx is permanent, an unknown 5xx is transient, and nothing
//! that is not JSON is ever taken for the service's word (T6).
//!
//! Wire shapes: PostgREST "Errors", GoTrue `internal/api/errors.go`, Supabase "Edge Functions error codes", Supabase
//! Storage `src/internal/errors/codes.ts` and the TUS 1.0.0 server, whose errors are plain text.
use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

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
        (Service::Realtime, 401) => true,
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

fn rest(status: StatusCode, word: Option<&str>, body: Option<&Body>) -> ErrorCode {
    let word = word.unwrap_or_default();
    match word {
        "PGRST301" | "PGRST303" => codes::TOKEN_REFUSED,
        "PGRST302" => codes::UNAUTHENTICATED,
        "42501" if status == StatusCode::UNAUTHORIZED => codes::UNAUTHENTICATED,
        "42501" => codes::FORBIDDEN,
        // PGRST202/205 and their older spellings: the schema there is not the one asked for.
        "PGRST106" | "PGRST200" | "PGRST202" | "PGRST204" | "PGRST205" | "42P01" | "42703" | "42883" => codes::SCHEMA,
        "PGRST000" | "PGRST001" | "PGRST002" | "PGRST003" | "57P01" => codes::UNAVAILABLE,
        "23505" | "23503" => codes::CONFLICT,
        // How many rows there were is only said in words, and the words differ between versions; the number does not.
        "PGRST116"
            if body.and_then(|body| text(body.details.as_ref())).is_some_and(|text| text.contains(" 0 rows")) =>
        {
            codes::NO_ROW
        }
        "PGRST116" => codes::NOT_ONE_ROW,
        "PGRST124" => codes::TOO_MANY_ROWS,
        "PGRST103" => codes::RANGE,
        "PGRST100" | "PGRST108" | "PGRST118" => codes::QUERY_REFUSED,
        "PGRST201" | "PGRST203" => codes::AMBIGUOUS,
        "PGRST123" | "PGRST127" => codes::NOT_OFFERED,
        // The same key twice in one payload: a 500 that a repeat cannot mend.
        "21000" => codes::REJECTED,
        _ => by_status(status, None),
    }
}

fn auth(status: StatusCode, word: Option<&str>) -> ErrorCode {
    match word {
        Some("bad_jwt" | "no_authorization") => codes::TOKEN_REFUSED,
        Some("conflict") => codes::UNAVAILABLE,
        _ => by_status(status, None),
    }
}

fn functions(status: StatusCode, platform: Option<&str>, headers: &HeaderMap, body: Option<&Body>) -> ErrorCode {
    if header_text(headers, "x-relay-error").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return codes::UNAVAILABLE;
    }
    match platform {
        Some("UNAUTHORIZED_LEGACY_JWT" | "UNAUTHORIZED_ASYMMETRIC_JWT") => codes::TOKEN_REFUSED,
        Some("UNAUTHORIZED_NO_AUTH_HEADER") => codes::UNAUTHENTICATED,
        Some(code) if code.starts_with("UNAUTHORIZED") => codes::KEY_REFUSED,
        Some("NOT_FOUND" | "NOT_FOUND_FUNCTION_BLOB") => codes::SCHEMA,
        Some("RATE_LIMIT_EXCEEDED") => codes::RATE_LIMITED,
        Some("IDLE_TIMEOUT") => codes::UNAVAILABLE,
        Some("BOOT_ERROR" | "WORKER_ERROR" | "WORKER_LIMIT" | "WORKER_RESOURCE_LIMIT") => codes::SERVER_FAULT,
        _ if body.and_then(Body::message) == Some("Invalid JWT") => codes::TOKEN_REFUSED,
        _ => by_status(status, body),
    }
}

/// What storage says: the message of its JSON, or the plain text of its upload server.
fn storage_message(body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<Body>(body);
    parsed.ok().and_then(|body| body.message().map(str::to_owned)).unwrap_or_else(|| {
        let kept = body.get(..body.len().min(1024)).unwrap_or_default();
        String::from_utf8_lossy(kept).into_owned()
    })
}

/// The texts of a token whose time is over; a forged one says `signature verification failed` and stays refused.
fn speaks_of_token(message: &str) -> bool {
    message.contains("\"exp\" claim") || message.contains("jwt expired") || message.contains("JWT expired")
}

/// Storage answers 400 for nearly everything: `code`, then `statusCode` in the body decide. `code` is newer than many
/// servers, and the published numbers differ from the real ones, so names win over numbers.
fn storage(status: StatusCode, body: Option<&Body>, raw: &[u8]) -> ErrorCode {
    let message = storage_message(raw);
    let named = body.and_then(|body| text(body.code.as_ref())).unwrap_or_default();
    let said = body.and_then(|body| text(body.error.as_ref())).unwrap_or_default();
    // A number as text, a number, or on very old servers a database's own code.
    let number = body.and_then(|body| body.status_code.as_ref()).map(|number| match number.as_str() {
        Some(text) => text.to_owned(),
        None => number.to_string(),
    });
    let real = number.as_deref().and_then(|number| number.parse().ok()).unwrap_or(status.as_u16());
    match named {
        "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" => return codes::NOT_FOUND,
        "InvalidJWT" | "InvalidSignature" | "ExpiredToken" | "InvalidUploadSignature" => {
            return if speaks_of_token(&message) { codes::TOKEN_REFUSED } else { codes::LINK_INVALID };
        }
        "ResourceAlreadyExists" | "KeyAlreadyExists" | "BucketAlreadyExists" | "ResourceReferenced" => {
            return codes::CONFLICT;
        }
        "InvalidKey" | "InvalidBucketName" => return codes::NAME_INVALID,
        "EntityTooLarge" => return codes::FILE_TOO_LARGE,
        "InvalidMimeType" => return codes::TYPE_REFUSED,
        "ResourceLocked"
        | "LockTimeout"
        | "DatabaseTimeout"
        | "DatabaseReadOnly"
        | "DatabaseError"
        | "DatabaseInvalidObjectDefinition"
        | "TransactionError"
        | "InternalError"
        | "S3Error"
        | "Aborted" => {
            return codes::UNAVAILABLE;
        }
        "SlowDown" => return codes::RATE_LIMITED,
        "FeatureNotEnabled" | "NotSupported" => return codes::SCHEMA,
        "TenantNotFound" => return codes::KEY_REFUSED,
        _ => {}
    }
    let refused = matches!(status.as_u16(), 400 | 401 | 403) && matches!(real, 400 | 401 | 403);
    match real {
        _ if refused && speaks_of_token(&message) => codes::TOKEN_REFUSED,
        _ if number.as_deref() == Some("42501") => codes::FORBIDDEN,
        400 if said == "invalid_mime_type" => codes::TYPE_REFUSED,
        400 if message.starts_with("Invalid key") || message.starts_with("Bucket name invalid") => codes::NAME_INVALID,
        // Another request on the same upload took its lock; this one can go on in a moment.
        400 if message.contains("lock acquired") => codes::UNAVAILABLE,
        400 if ["x-signature", "Invalid Compact JWS", "signature verification"].iter().any(|t| message.contains(t)) => {
            codes::LINK_INVALID
        }
        410 => codes::NOT_FOUND,
        413 => codes::FILE_TOO_LARGE,
        415 => codes::TYPE_REFUSED,
        423 | 500..=599 => codes::UNAVAILABLE,
        _ => by_status(StatusCode::from_u16(real).unwrap_or(status), body),
    }
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
mod tests {
    use http::HeaderValue;

    use super::*;

    type Case = (Service, u16, &'static [(&'static str, &'static str)], &'static str, ErrorCode);

    #[test]
    fn every_known_shape_gets_its_code() {
        use Service::{Auth, Functions, Rest, Storage};
        let json: &[(&str, &str)] = &[("content-type", "application/json")];
        let html: &[(&str, &str)] = &[("content-type", "text/html; charset=utf-8")];
        let cases: &[Case] = &[
            (Rest, 401, json, r#"{"code":"PGRST303","message":"JWT expired"}"#, codes::TOKEN_REFUSED),
            (Rest, 401, json, r#"{"code":"PGRST301","message":"JWSError"}"#, codes::TOKEN_REFUSED),
            (Rest, 401, json, r#"{"code":"42501","message":"denied"}"#, codes::UNAUTHENTICATED),
            (Rest, 403, json, r#"{"code":"42501","message":"denied"}"#, codes::FORBIDDEN),
            (Rest, 404, json, r#"{"code":"PGRST205"}"#, codes::SCHEMA),
            (Rest, 404, json, r#"{"code":"42P01"}"#, codes::SCHEMA),
            (Rest, 400, json, r#"{"code":"42703"}"#, codes::SCHEMA),
            (Rest, 409, json, r#"{"code":"23505"}"#, codes::CONFLICT),
            (Rest, 500, json, r#"{"code":"21000"}"#, codes::REJECTED),
            (Rest, 500, json, r#"{"code":"57014"}"#, codes::SERVER_FAULT),
            (Rest, 503, json, r#"{"code":"PGRST002"}"#, codes::UNAVAILABLE),
            (Rest, 406, json, r#"{"code":"PGRST116","details":"The result contains 0 rows"}"#, codes::NO_ROW),
            (Rest, 406, json, r#"{"code":"PGRST116","details":"Results contain 0 rows, …"}"#, codes::NO_ROW),
            (Rest, 406, json, r#"{"code":"PGRST116","details":"The result contains 10 rows"}"#, codes::NOT_ONE_ROW),
            (Rest, 406, json, r#"{"code":"PGRST116","details":null}"#, codes::NOT_ONE_ROW),
            (Rest, 406, &[("proxy-status", "PostgREST; error=PGRST116")], "", codes::NOT_ONE_ROW),
            (Rest, 400, json, r#"{"code":"PGRST124","details":"The query affects 14 rows"}"#, codes::TOO_MANY_ROWS),
            (Rest, 416, json, r#"{"code":"PGRST103"}"#, codes::RANGE),
            (Rest, 416, &[("proxy-status", "PostgREST; error=PGRST103")], "", codes::RANGE),
            (Rest, 400, json, r#"{"code":"PGRST100"}"#, codes::QUERY_REFUSED),
            (Rest, 400, json, r#"{"code":"PGRST108"}"#, codes::QUERY_REFUSED),
            (Rest, 400, json, r#"{"code":"PGRST123"}"#, codes::NOT_OFFERED),
            (Rest, 300, json, r#"{"code":"PGRST201","details":[{}]}"#, codes::AMBIGUOUS),
            (Rest, 300, json, r#"{"code":"PGRST203"}"#, codes::AMBIGUOUS),
            (Rest, 401, json, r#"{"message":"Invalid API key","hint":"x"}"#, codes::KEY_REFUSED),
            (Auth, 401, json, r#"{"message":"No API key found in request"}"#, codes::KEY_REFUSED),
            (Auth, 403, json, r#"{"code":403,"error_code":"bad_jwt","msg":"x"}"#, codes::TOKEN_REFUSED),
            (Auth, 409, json, r#"{"code":"conflict","message":"x"}"#, codes::UNAVAILABLE),
            (Auth, 429, json, r#"{"code":429,"error_code":"over_request_rate_limit","msg":"x"}"#, codes::RATE_LIMITED),
            (Functions, 401, json, r#"{"code":401,"message":"Invalid JWT"}"#, codes::TOKEN_REFUSED),
            (Functions, 401, json, r#"{"error":"nope"}"#, codes::UNAUTHENTICATED),
            (Functions, 200, &[("x-relay-error", "true")], "", codes::UNAVAILABLE),
            (Functions, 404, &[("sb-error-code", "NOT_FOUND")], "{}", codes::SCHEMA),
            (Functions, 429, json, r#"{"error":"x","usage":{"used":1,"limit":1,"tier":"free"}}"#, codes::QUOTA),
            (Functions, 402, json, r#"{"error":"credits"}"#, codes::QUOTA),
            (Functions, 418, json, r#"{"error":{"message":"short and stout"}}"#, codes::REJECTED),
            (Rest, 502, html, "<html>Bad Gateway</html>", codes::UNAVAILABLE),
            (Rest, 522, html, "<html>", codes::UNAVAILABLE),
            (Rest, 500, html, "<html>", codes::SERVER_FAULT),
            (Rest, 429, html, "<html>", codes::RATE_LIMITED),
            (Auth, 400, html, "<html>captive portal</html>", codes::INTERCEPTED),
            (Auth, 401, html, "<html>", codes::INTERCEPTED),
            (Auth, 413, html, "<html>", codes::INTERCEPTED),
            (Rest, 413, html, "<html>", codes::REJECTED),
            (Storage, 413, html, "<html>413 Request Entity Too Large</html>", codes::FILE_TOO_LARGE),
            (Rest, 414, &[("content-type", "text/plain")], "URI too long", codes::REJECTED),
            (Rest, 307, &[("location", "https://elsewhere.example")], "", codes::REDIRECTED),
        ];
        for (service, status, headers, body, expected) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            let status = StatusCode::from_u16(*status).unwrap();
            let answer = Answer { service: *service, status, headers: &map, body: body.as_bytes() };
            let error = classify(answer, SystemTime::UNIX_EPOCH);
            assert_eq!(error.code(), *expected, "{service:?} {status} {body}");
        }
    }

    /// Wire shapes of `supabase/storage` (`object.test.ts`, `tus.test.ts`, `errors/codes.ts`).
    #[test]
    fn storage_is_believed_by_name_then_by_the_number_in_its_body() {
        let rls = "new row violates row-level security policy";
        let cases: &[(u16, String, ErrorCode)] = &[
            (
                400,
                body("413", "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge"),
                codes::FILE_TOO_LARGE,
            ),
            (
                400,
                body("413", "Payload too large", "The object exceeded the maximum allowed size", ""),
                codes::FILE_TOO_LARGE,
            ),
            (400, body("403", "Unauthorized", rls, "AccessDenied"), codes::FORBIDDEN),
            (400, body("403", "Unauthorized", rls, ""), codes::FORBIDDEN),
            (400, body("42501", "", rls, ""), codes::FORBIDDEN),
            (
                400,
                body("403", "Unauthorized", r#"\"exp\" claim timestamp check failed"#, "AccessDenied"),
                codes::TOKEN_REFUSED,
            ),
            (400, body("404", "not_found", "Object not found", "NoSuchKey"), codes::NOT_FOUND),
            (400, body("404", "not_found", "Object not found", ""), codes::NOT_FOUND),
            (400, body("404", "Bucket not found", "Bucket not found", "NoSuchBucket"), codes::NOT_FOUND),
            (
                400,
                body("415", "invalid_mime_type", "mime type image/png is not supported", "InvalidMimeType"),
                codes::TYPE_REFUSED,
            ),
            (400, body("415", "invalid_mime_type", "mime type image/png is not supported", ""), codes::TYPE_REFUSED),
            (500, body("500", "Unknown error", "S3ServiceException", "S3Error"), codes::UNAVAILABLE),
            (500, body("500", "Unknown error", "S3ServiceException", ""), codes::UNAVAILABLE),
            (400, body("409", "Duplicate", "The resource already exists", "KeyAlreadyExists"), codes::CONFLICT),
            (400, body("409", "Duplicate", "The resource already exists", ""), codes::CONFLICT),
            (400, body("400", "InvalidKey", "Invalid key: a bé.txt", "InvalidKey"), codes::NAME_INVALID),
            (400, body("400", "InvalidKey", "Invalid key: a bé.txt", ""), codes::NAME_INVALID),
            (400, body("423", "x", "The resource is locked", "ResourceLocked"), codes::UNAVAILABLE),
            (400, body("503", "acquiring_lock_timeout", "x", "LockTimeout"), codes::UNAVAILABLE),
            (429, body("429", "too_many_connections", "x", "SlowDown"), codes::RATE_LIMITED),
            (400, body("503", "x", "x", "SlowDown"), codes::RATE_LIMITED),
            (544, body("544", "x", "The connection to the database timed out", "DatabaseTimeout"), codes::UNAVAILABLE),
            (400, body("400", "x", "x", "InvalidSignature"), codes::LINK_INVALID),
            (400, body("403", "x", "x", "InvalidJWT"), codes::LINK_INVALID),
            (400, body("400", "x", "x", "TenantNotFound"), codes::KEY_REFUSED),
            (400, body("409", "x", "x", "FeatureNotEnabled"), codes::SCHEMA),
            (400, body("400", "x", "x", "InvalidRange"), codes::REJECTED),
            (400, r#"{"code":"NoSuchKey","message":"x"}"#.to_owned(), codes::NOT_FOUND),
            (400, r#"{"statusCode":404,"message":"x"}"#.to_owned(), codes::NOT_FOUND),
            (404, "Bucket not found".to_owned(), codes::NOT_FOUND),
            (410, "The file for this url no longer exists\n".to_owned(), codes::NOT_FOUND),
            (413, "Maximum size exceeded\n".to_owned(), codes::FILE_TOO_LARGE),
            (409, "Upload-Offset conflict\n".to_owned(), codes::CONFLICT),
            (400, "Request aborted due to lock acquired".to_owned(), codes::UNAVAILABLE),
            (400, r#""exp" claim timestamp check failed"#.to_owned(), codes::TOKEN_REFUSED),
            (400, "Invalid Compact JWS".to_owned(), codes::LINK_INVALID),
            (400, "Missing x-signature header".to_owned(), codes::LINK_INVALID),
            (400, String::new(), codes::REJECTED),
        ];
        for (status, body, expected) in cases {
            let (status, headers) = (StatusCode::from_u16(*status).unwrap(), HeaderMap::new());
            let answer = Answer { service: Service::Storage, status, headers: &headers, body: body.as_bytes() };
            assert_eq!(classify(answer, SystemTime::UNIX_EPOCH).code(), *expected, "{status} {body}");
        }
    }

    fn body(number: &str, error: &str, message: &str, code: &str) -> String {
        let code = if code.is_empty() { String::new() } else { format!(r#","code":"{code}""#) };
        format!(r#"{{"statusCode":"{number}","error":"{error}","message":"{message}"{code}}}"#)
    }

    #[test]
    fn only_a_refused_token_asks_for_a_refresh() {
        let none = HeaderMap::new();
        let asks = |service, status, body: &str| is_token_refusal(service, status, &none, body.as_bytes());
        assert!(asks(Service::Rest, 401, r#"{"code":"PGRST303"}"#));
        assert!(asks(Service::Functions, 401, r#"{"code":401,"message":"Invalid JWT"}"#));
        assert!(asks(Service::Auth, 403, r#"{"code":403,"error_code":"bad_jwt","msg":"x"}"#));
        assert!(asks(
            Service::Storage,
            400,
            r#"{"statusCode":"403","message":"\"exp\" claim timestamp check failed"}"#
        ));
        assert!(asks(Service::Storage, 400, r#""exp" claim timestamp check failed"#));
        assert!(!asks(Service::Storage, 400, "Invalid Compact JWS"));
        assert!(!asks(Service::Functions, 401, r#"{"error":"nope"}"#));
        assert!(!asks(Service::Functions, 401, r#"{"code":401,"message":"Missing authorization header"}"#));
        assert!(!asks(Service::Rest, 401, r#"{"code":"42501"}"#));
        assert!(!asks(Service::Rest, 401, "<html>"));
        assert!(!asks(Service::Auth, 400, r#"{"error_code":"refresh_token_not_found"}"#));
    }
}
