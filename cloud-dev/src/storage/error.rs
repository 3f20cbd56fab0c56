//! What a refused request to the storage looks like.
//!
//! One [`StorageError`] becomes the odd shape of this service: nearly always HTTP 400, with the status that
//! is meant as a text in the body. Every code is made here, so a code and its texts cannot drift apart.
//! Wire source: Supabase Storage, error codes and `renderError`.

use std::{borrow::Cow, io};

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::key;
use crate::{core::jwt::JwtError, gateway};

type Text = Cow<'static, str>;

/// A refusal on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageError {
    pub(super) code: &'static str,
    /// The status that is meant; see [`StorageError::into_response`] for the one that is sent.
    pub(super) status: u16,
    error: Text,
    pub(super) message: Text,
}

impl StorageError {
    fn new(code: &'static str, status: u16, error: impl Into<Text>, message: impl Into<Text>) -> Self {
        Self { code, status, error: error.into(), message: message.into() }
    }

    pub(super) fn no_such_key() -> Self {
        Self::new("NoSuchKey", 404, "not_found", "Object not found")
    }

    pub(super) fn no_such_bucket() -> Self {
        Self::new("NoSuchBucket", 404, "Bucket not found", "Bucket not found")
    }

    pub(super) fn exists() -> Self {
        Self::new("KeyAlreadyExists", 409, "Duplicate", "The resource already exists")
    }

    pub(super) fn bucket_exists() -> Self {
        Self::new("ResourceAlreadyExists", 409, "Duplicate", "The resource already exists")
    }

    pub(super) fn policy() -> Self {
        Self::denied("new row violates row-level security policy")
    }

    fn denied(message: impl Into<Text>) -> Self {
        Self::new("AccessDenied", 403, "Unauthorized", message)
    }

    /// An access token that is not good.
    pub(super) fn access_token(error: JwtError) -> Self {
        Self::denied(jwt_message(error))
    }

    /// The token of a signed address that is not good.
    pub(super) fn signed_token(error: JwtError) -> Self {
        Self::new("InvalidJWT", 400, "InvalidJWT", jwt_message(error))
    }

    /// A good token for something else.
    pub(super) fn signature() -> Self {
        Self::new("InvalidSignature", 400, "InvalidSignature", "The signature does not fit this address")
    }

    pub(super) fn invalid_key(name: &str) -> Self {
        Self::new("InvalidKey", 400, "InvalidKey", format!("Invalid key: {}", key::shown(name)))
    }

    pub(super) fn invalid_bucket_name() -> Self {
        Self::new("InvalidBucketName", 400, "Invalid Input", "Bucket name invalid")
    }

    pub(super) fn too_large() -> Self {
        Self::new("EntityTooLarge", 413, "Payload too large", "The object exceeded the maximum allowed size")
    }

    pub(super) fn mime_type(name: &str) -> Self {
        Self::new("InvalidMimeType", 415, "invalid_mime_type", format!("mime type {name} is not supported"))
    }

    pub(super) fn range() -> Self {
        Self::new("InvalidRange", 416, "invalid_range", "The requested range is not satisfiable")
    }

    /// A request that does not have the form it should.
    pub(super) fn request(message: impl Into<Text>) -> Self {
        Self::new("InvalidRequest", 400, "Error", message)
    }

    /// A header or field with a value that makes no sense.
    pub(super) fn parameter(message: impl Into<Text>) -> Self {
        Self::new("InvalidParameter", 400, "InvalidParameter", message)
    }

    /// A body that broke off.
    pub(super) fn aborted() -> Self {
        Self::new("Aborted", 500, "Aborted", "The request was aborted")
    }

    pub(super) fn no_route() -> Self {
        Self::new("InvalidRequest", 404, "Not Found", "Route not found")
    }

    /// The answer, as the clients of this service know it.
    pub(super) fn into_response(self) -> Response {
        let status = match self.status {
            500 => StatusCode::INTERNAL_SERVER_ERROR,
            416 => StatusCode::RANGE_NOT_SATISFIABLE,
            _ if self.code == "InvalidRequest" && self.status == 404 => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({
            "statusCode": self.status.to_string(),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        });
        gateway::refuse(status, body)
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the storage could not use its database");
        Self::new("DatabaseError", 500, "DatabaseError", "The database could not be used")
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the storage could not use its files");
        Self::new("S3Error", 500, "Unknown error", "S3ServiceException")
    }
}

/// What the real service's token library says.
pub(super) const fn jwt_message(error: JwtError) -> &'static str {
    match error {
        JwtError::Expired => "\"exp\" claim timestamp check failed",
        JwtError::Signature => "signature verification failed",
        JwtError::Malformed => "Invalid Compact JWS",
    }
}
