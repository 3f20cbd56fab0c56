//! What each service means by its codes and messages: status, word and body in, code out.
//!
//! Called once it is clear that the answer is the service's own.
//! Wire shapes: see the module above.
use http::{HeaderMap, StatusCode};

use super::{Body, by_status, codes, header_text, text};
use crate::error::ErrorCode;

pub(super) fn rest(status: StatusCode, word: Option<&str>, body: Option<&Body>) -> ErrorCode {
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

pub(super) fn auth(status: StatusCode, word: Option<&str>) -> ErrorCode {
    match word {
        Some("bad_jwt" | "no_authorization") => codes::TOKEN_REFUSED,
        Some("conflict") => codes::UNAVAILABLE,
        _ => by_status(status, None),
    }
}

pub(super) fn functions(
    status: StatusCode,
    platform: Option<&str>,
    headers: &HeaderMap,
    body: Option<&Body>,
) -> ErrorCode {
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
pub(super) fn storage_message(body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<Body>(body);
    parsed.ok().and_then(|body| body.message().map(str::to_owned)).unwrap_or_else(|| {
        let kept = body.get(..body.len().min(1024)).unwrap_or_default();
        String::from_utf8_lossy(kept).into_owned()
    })
}

/// The texts of a token whose time is over; a forged one says `signature verification failed` and stays refused.
pub(super) fn speaks_of_token(message: &str) -> bool {
    message.contains("\"exp\" claim") || message.contains("jwt expired") || message.contains("JWT expired")
}

/// Storage answers 400 for nearly everything: `code`, then `statusCode` in the body decide. `code` is newer than many
/// servers, and the published numbers differ from the real ones, so names win over numbers.
pub(super) fn storage(status: StatusCode, body: Option<&Body>, raw: &[u8]) -> ErrorCode {
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
