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
    oauth: Option<String>,
}

impl AuthError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reasons: None, oauth: None }
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

    pub(crate) fn no_user() -> Self {
        Self::forbidden("user_not_found", "User from sub claim in JWT does not exist")
    }

    pub(crate) fn email_exists() -> Self {
        Self::unprocessable("email_exists", "A user with this email address has already been registered")
    }

    /// 500.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", message)
    }

    pub(crate) fn no_randomness() -> Self {
        Self::internal("No randomness available")
    }

    /// A refusal in the shape of OAuth: some grants have it, and what a provider refuses.
    pub(crate) fn oauth(error: impl Into<String>, description: impl Into<String>) -> Self {
        Self { oauth: Some(error.into()), ..Self::bad_request("unknown", description) }
    }

    /// A refresh without a token, which GoTrue answers in the shape of OAuth.
    pub(crate) fn missing_refresh_token() -> Self {
        Self::oauth("invalid_request", "refresh_token required")
    }

    /// The same as fields of a redirect.
    pub(crate) fn for_redirect(&self) -> Vec<(&'static str, String)> {
        let description = ("error_description", self.message.clone());
        if let Some(error) = &self.oauth {
            return vec![("error", error.clone()), description];
        }
        let word = match (self.code, self.status.as_u16()) {
            ("signup_disabled" | "user_banned" | "provider_email_needs_verification", _) | (_, 403) => "access_denied",
            (_, 400) => "invalid_request",
            (_, 401) => "unauthorized_client",
            (_, 503) => "temporarily_unavailable",
            _ => "server_error",
        };
        vec![("error", word.to_owned()), ("error_code", self.code.to_owned()), description]
    }

    /// The answer, in the shape that the request's headers ask for.
    pub(crate) fn into_response(self, request: &HeaderMap) -> Response {
        if let Some(error) = self.oauth {
            let body = json!({ "error": error, "error_description": self.message });
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
        Self::internal("Database error")
    }
}

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
