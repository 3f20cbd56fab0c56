//! The error bodies of GoTrue, old and new.
//!
//! One [`AuthError`] becomes either shape, by the API version the request names: `{code,message}` from
//! 2024-01-01 on, `{code,error_code,msg}` before. A missing refresh token keeps its older OAuth shape.
//! Wire source: GoTrue `internal/api/errors`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

const API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");

/// The first version with the new body.
const NEW_BODY: jiff::civil::Date = jiff::civil::date(2024, 1, 1);

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct AuthError {
    status: StatusCode,
    code: &'static str,
    message: String,
    reasons: Option<&'static [&'static str]>,
}

impl AuthError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reasons: None }
    }

    /// 400.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 403.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 422.
    pub(crate) fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(crate) fn bad_json() -> Self {
        Self::bad_request("bad_json", "Unable to parse JSON")
    }

    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_entity_too_large", "Request body is too large")
    }

    pub(crate) fn weak_password(message: impl Into<String>) -> Self {
        Self { reasons: Some(&["length"]), ..Self::unprocessable("weak_password", message) }
    }

    /// A refresh without a token, which GoTrue answers in the shape of OAuth.
    pub(crate) fn missing_refresh_token() -> Self {
        Self::bad_request(OAUTH, "refresh_token required")
    }

    /// The answer, in the shape that the request's headers ask for.
    pub(crate) fn into_response(self, request: &HeaderMap) -> Response {
        if self.code == OAUTH {
            let body = json!({ "error": OAUTH, "error_description": self.message });
            return (self.status, Json(body)).into_response();
        }
        let version = request.get(API_VERSION).filter(|version| asks_for_new_body(version));
        let mut body = match version {
            Some(_) => json!({ "code": self.code, "message": self.message }),
            None => json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message }),
        };
        if let Some(reasons) = self.reasons {
            body["weak_password"] = json!({ "message": self.message, "reasons": reasons });
        }
        if version.is_none() && self.status.is_server_error() {
            body["error_id"] = Value::String(uuid::Uuid::new_v4().to_string());
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.reasons.is_none() || version.is_none() {
            response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(self.code));
        }
        if version.is_some() {
            response.headers_mut().insert(API_VERSION, HeaderValue::from_static("2024-01-01"));
        }
        response
    }
}

impl From<rusqlite::Error> for AuthError {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the account database failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", "Database error")
    }
}

/// The `error` of the OAuth shape, which has no code.
const OAUTH: &str = "invalid_request";

fn asks_for_new_body(version: &HeaderValue) -> bool {
    let date = version.to_str().ok().and_then(|text| jiff::civil::Date::strptime("%Y-%m-%d", text).ok());
    date.is_some_and(|date| date >= NEW_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_header_chooses_the_body() {
        for (version, new) in [
            ("2024-01-01", true),
            ("2025-06-30", true),
            ("2023-12-31", false),
            ("2024-01-32", false),
            ("", false),
            ("notadate", false),
            ("Sat Feb 24 2024 17:59:17 GMT+0100", false),
        ] {
            assert_eq!(asks_for_new_body(&HeaderValue::from_static(version)), new, "{version}");
        }
    }
}
