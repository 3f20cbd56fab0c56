//! What an upload says about its bytes: type, caching, and the user's own metadata.
//!
//! Headers of a raw upload, fields of a form or pairs of a resumable one → [`Content`].
//! Wire source: Supabase Storage, `fileUploadFromRequest`; storage-js form fields.

use axum::body::BodyDataStream;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use multer::{Field, Multipart};
use serde_json::Value;

use super::error::StorageError;

const USER_METADATA: HeaderName = HeaderName::from_static("x-metadata");
const UPSERT: HeaderName = HeaderName::from_static("x-upsert");

/// Largest user metadata, in bytes of JSON.
const MAX_METADATA: usize = 1 << 20;

/// Text fields that a form may have before its file.
const MAX_FIELDS: usize = 10;

/// What is stored beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) content_type: String,
    pub(super) cache_control: String,
    pub(super) metadata: Option<Value>,
}

impl Content {
    /// Reads the headers of a raw upload.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, StorageError> {
        Ok(Self {
            content_type: text(headers, &CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned(),
            cache_control: text(headers, &http::header::CACHE_CONTROL).unwrap_or("no-cache").to_owned(),
            metadata: metadata_header(headers)?,
        })
    }

    /// Reads fields by name, as a form or a resumable upload has them.
    pub(super) fn from_fields<'f>(field: impl Fn(&str) -> Option<&'f str>) -> Result<Self, StorageError> {
        let seconds = field("cacheControl").filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        Ok(Self {
            content_type: field("contentType").unwrap_or("application/octet-stream").to_owned(),
            cache_control: seconds.map_or_else(|| "no-cache".to_owned(), |seconds| format!("max-age={seconds}")),
            metadata: field("metadata").map(metadata).transpose()?,
        })
    }
}

/// User metadata from the header `x-metadata`, if it is there.
pub(super) fn metadata_header(headers: &HeaderMap) -> Result<Option<Value>, StorageError> {
    let Some(encoded) = text(headers, &USER_METADATA) else { return Ok(None) };
    let bytes = STANDARD.decode(encoded).ok();
    let json = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad_metadata)?;
    metadata(&json).map(Some)
}

/// Whether the request may replace what is there.
pub(super) fn upsert(headers: &HeaderMap) -> bool {
    text(headers, &UPSERT) == Some("true")
}

/// The boundary of a form, if the body is one.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    multer::parse_boundary(text(headers, &CONTENT_TYPE)?).ok()
}

/// Reads a form up to its file, which is left to be read.
pub(super) async fn form<'b>(
    body: &'b mut BodyDataStream,
    boundary: String,
) -> Result<(Content, Field<'b>), StorageError> {
    let mut form = Multipart::new(body, boundary);
    let mut fields: Vec<(String, String)> = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() || name.is_empty() {
            let find = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            let mut content = Content::from_fields(find)?;
            if let Some(own) = field.content_type().filter(|_| find("contentType").is_none()) {
                content.content_type = own.to_string();
            }
            return Ok((content, field));
        }
        if fields.len() == MAX_FIELDS {
            return Err(StorageError::request("reach fields limit"));
        }
        let mut value = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            value.extend_from_slice(&chunk);
            if value.len() > MAX_METADATA {
                return Err(StorageError::request("a field of the form is too large"));
            }
        }
        fields.push((name, String::from_utf8(value).map_err(|_| StorageError::request("a field is no text"))?));
    }
    Err(StorageError::request("the form has no file"))
}

fn broken(_: multer::Error) -> StorageError {
    StorageError::request("the form cannot be read")
}

fn metadata(json: &str) -> Result<Value, StorageError> {
    let value = serde_json::from_str::<Value>(json).ok().filter(|_| json.len() <= MAX_METADATA);
    value.filter(Value::is_object).ok_or_else(bad_metadata)
}

fn bad_metadata() -> StorageError {
    StorageError::parameter("metadata is no JSON object of at most 1 MiB")
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_become_an_age_and_anything_else_no_cache() {
        for (given, expected) in
            [(Some("3600"), "max-age=3600"), (Some("public"), "no-cache"), (Some(""), "no-cache"), (None, "no-cache")]
        {
            let content = Content::from_fields(|name| given.filter(|_| name == "cacheControl")).unwrap();
            assert_eq!(content.cache_control, expected, "{given:?}");
        }
    }

    #[test]
    fn metadata_is_an_object_or_nothing() {
        assert_eq!(metadata(r#"{"a":"b"}"#).unwrap(), json!({ "a": "b" }));
        for bad in ["", "[]", "5", "{", "null"] {
            assert_eq!(metadata(bad).unwrap_err().code, "InvalidParameter", "{bad}");
        }
    }
}
