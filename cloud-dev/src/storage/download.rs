//! Reading an object: its bytes or a part of them, its headers, or what is known about it.
//!
//! Place → row that the asker may see → headers, 304, 206 or 200 → chunks of the file as they are taken.
//! Wire source: Supabase Storage, `GET /object/…` and `/object/info/…`; RFC 9110, conditional and range requests.

use std::io;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
    },
};
use jiff::{Timestamp, fmt::rfc2822};
use serde_json::json;

use super::{
    bucket::Bucket,
    call::Call,
    error::StorageError,
    key::Place,
    range,
    rows::{Object, iso},
};
use crate::core::Identity;

/// Which of the addresses of an object was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// A token counts if it is good; without one only public buckets answer.
    Open,
    /// A token is needed.
    Authenticated,
    /// No token is looked at, and only public buckets answer.
    Public,
}

/// How often a read starts over when its object was replaced between row and file.
const ATTEMPTS: u32 = 4;

/// Sends an object through one of its doors.
pub(super) async fn handle(call: Call<'_>, door: Door, place: Place) -> Result<Response, StorageError> {
    let identity = enter(call, door, &place).await?;
    send(call, identity, place).await
}

/// `/object/info/…`.
pub(super) async fn info(call: Call<'_>, door: Door, place: Place) -> Result<Response, StorageError> {
    let identity = enter(call, door, &place).await?;
    let object = find(call, identity, place).await?;
    let info = json!({
        "id": object.id,
        "name": object.place.name,
        "version": object.version,
        "bucket_id": object.place.bucket,
        "size": object.size,
        "content_type": object.content_type,
        "cache_control": object.cache_control,
        "etag": object.etag,
        "metadata": object.metadata,
        "last_modified": iso(object.updated_at),
        "created_at": iso(object.created_at),
    });
    Ok(Json(info).into_response())
}

/// The identity that `door` gives the asker.
async fn enter(call: Call<'_>, door: Door, place: &Place) -> Result<Identity, StorageError> {
    let signed_in = match door {
        Door::Authenticated => return call.identity(),
        Door::Open => call.identity().ok().filter(|identity| identity.user_id.is_some()),
        Door::Public => None,
    };
    let id = place.bucket.clone();
    let found = call.read(move |conn| Bucket::find(conn, &id)).await;
    match (signed_in, found?.public) {
        (_, true) => Ok(Identity::service()),
        (Some(identity), false) => Ok(identity),
        (None, false) => Err(StorageError::no_such_bucket()),
    }
}

async fn find(call: Call<'_>, identity: Identity, place: Place) -> Result<Object, StorageError> {
    let found = call.read(move |conn| Object::find(conn, &identity, &place)).await?;
    found.ok_or_else(StorageError::no_such_key)
}

/// Sends what `identity` sees at `place`.
pub(super) async fn send(call: Call<'_>, identity: Identity, place: Place) -> Result<Response, StorageError> {
    let mut left = ATTEMPTS;
    loop {
        let object = find(call, identity.clone(), place.clone()).await?;
        left -= 1;
        match answer(call, &object).await {
            Err(Failure::File(error)) if error.kind() == io::ErrorKind::NotFound && left > 0 => {}
            Err(Failure::File(error)) => return Err(error.into()),
            Err(Failure::Range) => return Err(StorageError::range()),
            Ok(response) => return Ok(response),
        }
    }
}

enum Failure {
    File(io::Error),
    Range,
}

async fn answer(call: Call<'_>, object: &Object) -> Result<Response, Failure> {
    let mut response = StatusCode::OK.into_response();
    describe(response.headers_mut(), object);
    if is_unchanged(call, object) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if let Some(name) = call.query("download") {
        set(response.headers_mut(), CONTENT_DISPOSITION, &disposition(&name));
    }
    let (mut first, mut length) = (0, object.size);
    if let Some(header) = call.header(&RANGE).filter(|_| call.parts.method == Method::GET) {
        let (from, to) = range::parse(header, object.size).map_err(|_| Failure::Range)?;
        (first, length) = (from, to - from + 1);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(response.headers_mut(), CONTENT_RANGE, &format!("bytes {from}-{to}/{}", object.size));
    }
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    if call.parts.method != Method::HEAD {
        let read = call.cloud.storage.blobs.read(&object.version, first, length).await;
        *response.body_mut() = read.map_err(Failure::File)?;
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, object: &Object) {
    // A page out of a bucket must not run as one.
    let content_type = match object.content_type.to_ascii_lowercase().starts_with("text/html") {
        true => object.content_type.to_ascii_lowercase().replace("text/html", "text/plain"),
        false => object.content_type.clone(),
    };
    set(headers, CONTENT_TYPE, &content_type);
    set(headers, CACHE_CONTROL, &object.cache_control);
    set(headers, ETAG, &object.etag);
    set(headers, LAST_MODIFIED, &http_date(object.updated_at));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Whether the client already has this version.
fn is_unchanged(call: Call<'_>, object: &Object) -> bool {
    if let Some(known) = call.header(&IF_NONE_MATCH) {
        let weak = |tag: &str| tag.trim().trim_start_matches("W/") == object.etag;
        return known.trim() == "*" || known.split(',').any(weak);
    }
    let since =
        call.header(&IF_MODIFIED_SINCE).and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    since.is_some_and(|since| object.updated_at.div_euclid(1_000_000) <= since.as_second())
}

/// How to save the object; an empty name stands for its own.
fn disposition(name: &str) -> String {
    if name.is_empty() {
        return "attachment;".to_owned();
    }
    let encoded: String = name.bytes().fold(String::new(), |mut text, byte| {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
        text
    });
    format!("attachment; filename={encoded}; filename*=UTF-8''{encoded};")
}

/// Microseconds since 1970 as HTTP prints a date.
pub(super) fn http_date(micros: i64) -> String {
    let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
