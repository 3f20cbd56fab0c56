//! An upload in one request, streamed.
//!
//! content → measured body with `Content-Length` → `POST /object/{bucket}/{key}` → [`Uploaded`]. Without replacing, a
//! repeat cannot harm what is there, so lost answers are repeated like any other; the conflict that a repeat may meet
//! is settled by comparing the object with the content, byte for byte. Wire source: Supabase Storage, upload routes.
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Bucket, Content, Progress, SignedUpload, bucket::UPSERT, progress::Listener};
use crate::{
    Error,
    call::{Call, Speaker},
    error::codes::{CONFLICT, LINK_INVALID, REJECTED, TOKEN_REFUSED},
    pace::Pace,
};

/// What a transfer is allowed besides the time for its bytes.
const BASE_LIMIT: Duration = Duration::from_secs(60);
/// The slowest transfer that is waited for, in bytes a second.
const SLOWEST: u64 = 16 * 1024;

/// How an object is stored.
#[derive(Clone, Debug, Default)]
#[must_use]
#[non_exhaustive]
pub struct UploadOptions {
    content_type: Option<String>,
    upsert: bool,
    cache_control: Option<Duration>,
    metadata: Option<Map<String, Value>>,
    timeout: Option<Duration>,
    pub(super) listener: Listener,
}

impl UploadOptions {
    /// Sets the content type. Default: `application/octet-stream`.
    pub fn content_type(mut self, kind: impl Into<String>) -> Self {
        self.content_type = Some(kind.into());
        self
    }

    /// Replaces an object that is already there. Default: that is a conflict.
    pub fn upsert(mut self) -> Self {
        self.upsert = true;
        self
    }

    /// Lets caches keep the object this long. Default: not at all.
    pub fn cache_control(mut self, keep: Duration) -> Self {
        self.cache_control = Some(keep);
        self
    }

    /// Attaches values that [`Bucket::info`] gives back. No secrets.
    pub fn metadata(mut self, values: Map<String, Value>) -> Self {
        self.metadata = Some(values);
        self
    }

    /// Limits the whole transfer, repeats included. Default: a minute, and the time its bytes take at 16 KiB a second.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Tells how far the upload is, about every 256 KiB. Called on the task that uploads, so it must be quick.
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(listener);
        self
    }

    pub(super) fn kind(&self) -> &str {
        self.content_type.as_deref().unwrap_or("application/octet-stream")
    }

    pub(super) fn keep_seconds(&self) -> Option<u64> {
        self.cache_control.map(|keep| keep.as_secs())
    }

    /// The attached values as JSON text.
    pub(super) fn metadata_text(&self) -> Option<String> {
        self.metadata.as_ref().map(|values| Value::Object(values.clone()).to_string())
    }

    pub(super) fn upsert_header(&self) -> HeaderValue {
        HeaderValue::from_static(if self.upsert { "true" } else { "false" })
    }

    /// The limit for `len` bytes.
    pub(super) fn limit(&self, len: u64) -> Duration {
        self.timeout.unwrap_or_else(|| BASE_LIMIT.saturating_add(Duration::from_secs(len / SLOWEST)))
    }

    /// Puts everything that travels as a header on a one-request upload.
    fn describe(&self, mut call: Call) -> Result<Call, Error> {
        call = call.header(header::CONTENT_TYPE, header_value(self.kind())?).header(UPSERT, self.upsert_header());
        if let Some(seconds) = self.keep_seconds() {
            call = call.header(header::CACHE_CONTROL, header_value(&format!("max-age={seconds}"))?);
        }
        if let Some(text) = self.metadata_text() {
            let name = HeaderName::from_static("x-metadata");
            call = call.header(name, header_value(&STANDARD.encode(text))?);
        }
        Ok(call)
    }
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uploaded {
    /// The object's key, without its bucket.
    pub key: String,
    /// The row's id, when the service told.
    pub id: Option<String>,
    /// The length in bytes.
    pub size_bytes: u64,
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(rename = "Id")]
    id: Option<String>,
}

impl Bucket {
    /// Uploads in one request. Memory does not grow with the content.
    ///
    /// # Errors
    ///
    /// `api.conflict` when the key is taken by other bytes, `storage.too_large`, `storage.type_refused`,
    /// `storage.name_invalid`, `storage.source_changed`, `api.forbidden`, otherwise as [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the object may have been stored whole, never in part.
    pub async fn upload(
        &self,
        key: &str,
        content: impl Into<Content>,
        options: &UploadOptions,
    ) -> Result<Uploaded, Error> {
        let content = content.into();
        let call = self.call(Method::POST, &["object"], key)?;
        self.deliver(call, key, &content, options).await
    }

    /// Uploads by a signed permission, for which nobody needs to be signed in. Whether it may replace was fixed when
    /// the permission was signed.
    ///
    /// # Errors
    ///
    /// `storage.link_invalid` when the permission is over or for something else, otherwise as [`Bucket::upload`].
    ///
    /// # Cancel safety
    ///
    /// As [`Bucket::upload`].
    pub async fn upload_signed(
        &self,
        permission: &SignedUpload,
        content: impl Into<Content>,
        options: &UploadOptions,
    ) -> Result<Uploaded, Error> {
        let (content, key) = (content.into(), permission.key());
        let call = self.call(Method::PUT, &["object", "upload", "sign"], key)?;
        let call = call.query("token", permission.token()).speaker(Speaker::Nobody);
        self.deliver(call, key, &content, options).await.map_err(link_error)
    }

    async fn deliver(
        &self,
        call: Call,
        key: &str,
        content: &Content,
        options: &UploadOptions,
    ) -> Result<Uploaded, Error> {
        let (pace, len) = (Pace::default(), content.len_bytes());
        let body = content.body(0, len, &pace, &options.listener);
        // A repeat replaces an object by the same bytes, or meets the conflict that is looked into below.
        let call = options.describe(call)?.stream(body, pace).timeout(options.limit(len)).repeatable();
        let key = super::bucket::object_key(key)?;
        match self.client.send(call).await {
            Ok(reply) => {
                let id = reply.json::<Answer>().unwrap_or_default().id;
                Ok(Uploaded { key, id, size_bytes: len })
            }
            // An earlier attempt of this very call may be what is in the way.
            Err(error) if error.code() == CONFLICT && error.attempts() > 1 => {
                match self.client.clock().within(options.limit(len), self.holds(&key, content)).await {
                    Some(Ok(true)) => Ok(Uploaded { key, id: None, size_bytes: len }),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// A signed call has no token of a user's that could have been refused.
pub(super) fn link_error(error: Error) -> Error {
    if error.code() != TOKEN_REFUSED {
        return error;
    }
    Error::new(LINK_INVALID).with_status(error.status().unwrap_or_default()).with_source(error)
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|cause| Error::new(REJECTED).with_source(cause))
}
