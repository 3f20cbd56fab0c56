//! The four requests of a resumable upload.
//!
//! The row in `storage_uploads` says what is being uploaded; the length of its file says how far. A request
//! whose connection breaks leaves the bytes that came, and the next one goes on after them.
//! Wire source: `@tus/server` handlers and their texts.

use axum::{
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::StreamExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
};
use md5::Md5;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;
use sha2::{
    Sha256,
    digest::{Digest as _, DynDigest},
};

use super::{Proof, TusError, metadata, turn::Turn};
use crate::{
    cloud::Cloud,
    storage::{
        PATH, RESUMABLE,
        call::Call,
        content::Content,
        download,
        error::StorageError,
        key::Place,
        rows,
        upload::{self, Claim, Draft},
    },
};

const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const TUS_COMPLETE: HeaderName = HeaderName::from_static("tus-complete");

const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// How long an upload stays known after its time is over, in microseconds: who is late hears that it was there.
const KEPT: i64 = 24 * 3_600 * 1_000_000;

/// The status of a chunk whose checksum is another.
const CHECKSUM_MISMATCH: u16 = 460;

/// An upload that was created.
#[derive(Clone, Debug)]
struct Upload {
    version: String,
    place: Place,
    length: u64,
    content: Content,
    /// `Upload-Metadata` as it came.
    described: String,
    finished: bool,
    expires_at: i64,
}

impl Upload {
    fn insert(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.execute(
            "INSERT INTO storage_uploads (version, bucket_id, name, length, content_type, cache_control,
                                          user_metadata, described, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            rusqlite::params![
                self.version,
                self.place.bucket,
                self.place.name,
                i64::try_from(self.length).unwrap_or(i64::MAX),
                self.content.content_type,
                self.content.cache_control,
                self.content.metadata.as_ref().map(Value::to_string),
                self.described,
                self.expires_at
            ],
        )?;
        Ok(())
    }

    fn find(conn: &Connection, version: &str) -> rusqlite::Result<Option<Self>> {
        let text = "SELECT version, bucket_id, name, length, content_type, cache_control, user_metadata, described,
                           finished, expires_at FROM storage_uploads WHERE version = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let metadata: Option<String> = row.get(6)?;
            Ok(Self {
                version: row.get(0)?,
                place: Place { bucket: row.get(1)?, name: row.get(2)? },
                length: row.get::<_, i64>(3)?.unsigned_abs(),
                content: Content {
                    content_type: row.get(4)?,
                    cache_control: row.get(5)?,
                    metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()),
                },
                described: row.get(7)?,
                finished: row.get(8)?,
                expires_at: row.get(9)?,
            })
        };
        conn.prepare_cached(text)?.query_row([version], read).optional()
    }

    /// How many bytes are there.
    async fn offset(&self, cloud: &Cloud) -> Result<u64, TusError> {
        match self.finished {
            true => Ok(self.length),
            false => Ok(cloud.storage.blobs.size(&self.version).await?),
        }
    }
}

/// `POST`: a new upload, with or without its first bytes.
pub(super) async fn create(call: Call<'_>, proof: &Proof, body: &mut BodyDataStream) -> Result<Response, TusError> {
    let (cloud, length) = (call.cloud, announced(call)?);
    let described = call.header(&UPLOAD_METADATA).unwrap_or_default().to_owned();
    let pairs = metadata::parse(&described).ok_or_else(|| {
        TusError::new(400, "Upload-Metadata is invalid. It MUST consist of one or more comma-separated key-value pairs")
    })?;
    let find = |key: &str| pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
    let place = Place::new(find("bucketName").unwrap_or_default(), find("objectName").unwrap_or_default())?;
    if place.traverses() {
        return Err(StorageError::invalid_key(&place.name).into());
    }
    let content = Content::from_fields(find)?;
    let claim = proof.claim(call, place.clone())?;
    let lifetime = i64::try_from(cloud.settings.upload_lifetime.as_micros()).unwrap_or(i64::MAX);
    let upload = Upload {
        version: uuid::Uuid::new_v4().to_string(),
        place,
        length,
        content,
        described,
        finished: false,
        expires_at: cloud.now_micros().saturating_add(lifetime),
    };
    let (new, asked, most) = (upload.clone(), claim.clone(), cloud.settings.max_object_bytes);
    let in_work = cloud.storage.turns.taken();
    let stored = call.transaction(move |tx| {
        let bucket = upload::admit(tx.conn, &asked)?;
        bucket.check_type(&new.content.content_type)?;
        if new.length > bucket.limit(most) || (new.place.is_folder_marker() && new.length > 0) {
            return Err(TusError::new(413, "Maximum size exceeded\n"));
        }
        new.insert(tx.conn)?;
        Ok::<_, TusError>(rows::abandoned(tx.conn, tx.now.saturating_sub(KEPT), &in_work)?)
    });
    cloud.storage.blobs.remove(stored.await?).await;

    let id = metadata::id(&upload.place, &upload.version);
    let mut response = StatusCode::CREATED.into_response();
    let address = format!("{}{PATH}{RESUMABLE}{}/{id}", cloud.url(), proof.route());
    set(response.headers_mut(), LOCATION, &address);
    expires(response.headers_mut(), &upload);
    let brings_bytes = call.header(&CONTENT_TYPE) == Some(OFFSET_STREAM);
    if brings_bytes || length == 0 {
        let turn = turn(call, &upload.version).await?;
        let offset = receive(call, claim, upload, 0, turn, body).await?;
        response.headers_mut().insert(UPLOAD_OFFSET, offset.into());
    }
    Ok(response)
}

/// `HEAD`: how far an upload is.
pub(super) async fn ask(call: Call<'_>, proof: &Proof, id: &str) -> Result<Response, TusError> {
    let (upload, _turn) = open(call, proof, id).await?;
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, upload.offset(call.cloud).await?.into());
    headers.insert(UPLOAD_LENGTH, upload.length.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, UPLOAD_METADATA, &upload.described);
    if !upload.finished {
        expires(headers, &upload);
    }
    Ok(response)
}

/// `PATCH`: the next bytes.
pub(super) async fn append(
    call: Call<'_>,
    proof: &Proof,
    id: &str,
    body: &mut BodyDataStream,
) -> Result<Response, TusError> {
    let offset = call.header(&UPLOAD_OFFSET).and_then(|text| text.parse::<u64>().ok());
    let offset = offset.ok_or_else(|| TusError::new(403, "Upload-Offset header required\n"))?;
    if call.header(&CONTENT_TYPE) != Some(OFFSET_STREAM) {
        return Err(TusError::new(403, "Content-Type header required\n"));
    }
    let (upload, turn) = open(call, proof, id).await?;
    let claim = proof.claim(call, upload.place.clone())?;
    if upload.offset(call.cloud).await? != offset {
        return Err(TusError::new(409, "Upload-Offset conflict\n"));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if !upload.finished {
        let asked = claim.clone();
        call.read(move |conn| upload::admit(conn, &asked)).await?;
        expires(response.headers_mut(), &upload);
    }
    let length = upload.length;
    let reached = match upload.finished {
        true => length,
        false => receive(call, claim, upload, offset, turn, body).await?,
    };
    response.headers_mut().insert(UPLOAD_OFFSET, reached.into());
    if reached == length {
        response.headers_mut().insert(TUS_COMPLETE, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// `DELETE`: the upload is over, and what came is forgotten.
pub(super) async fn cancel(call: Call<'_>, proof: &Proof, id: &str) -> Result<Response, TusError> {
    let (upload, _turn) = open(call, proof, id).await?;
    if upload.finished {
        return Err(TusError::new(400, "Cannot terminate an already completed upload"));
    }
    let claim = Claim { upsert: true, ..proof.claim(call, upload.place.clone())? };
    let version = upload.version.clone();
    let deleted = call.transaction(move |tx| {
        upload::admit(tx.conn, &claim)?;
        tx.conn.execute("DELETE FROM storage_uploads WHERE version = ?1", [&version])?;
        Ok::<_, TusError>(())
    });
    deleted.await?;
    call.cloud.storage.blobs.remove(vec![upload.version]).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The upload that an address names, and the turn to work on it.
async fn open(call: Call<'_>, proof: &Proof, id: &str) -> Result<(Upload, Turn), TusError> {
    let (place, version) = metadata::from_id(id).ok_or_else(TusError::not_found)?;
    if let Proof::Token(_) = proof {
        proof.claim(call, place.clone())?; // a token is for one object
    }
    let turn = turn(call, &version).await?;
    let found = call.read(move |conn| Upload::find(conn, &version)).await?;
    let upload = found.filter(|upload| upload.place == place).ok_or_else(TusError::not_found)?;
    if upload.expires_at <= call.cloud.now_micros() && !upload.finished {
        return Err(gone());
    }
    Ok((upload, turn))
}

fn gone() -> TusError {
    TusError::new(410, "The file for this url no longer exists\n")
}

async fn turn(call: Call<'_>, version: &str) -> Result<Turn, TusError> {
    call.cloud
        .storage
        .turns
        .take(version)
        .await
        .ok_or_else(|| TusError::new(500, "failed to acquire lock before timeout"))
}

/// Appends the body from `offset` on, and makes the object once everything is there.
async fn receive(
    call: Call<'_>,
    claim: Claim,
    upload: Upload,
    offset: u64,
    turn: Turn,
    body: &mut BodyDataStream,
) -> Result<u64, TusError> {
    let end = upload::length(call).map(|length| offset.saturating_add(length));
    if end.is_some_and(|end| end > upload.length) {
        return Err(TusError::new(413, "upload's size exceeded\n"));
    }
    if let (Some(chunk), Some(end)) = (call.cloud.settings.upload_chunk_bytes, end)
        && end != upload.length
        && end - offset != chunk
    {
        return Err(TusError::new(400, format!("every chunk but the last must have {chunk} bytes\n")));
    }
    let checksum = checksum(call.headers())?;
    let (hash, wanted) = checksum.map_or((None, None), |(hash, wanted)| (Some(hash), Some(wanted)));
    let release = turn.release.clone();
    let mut writer = call.cloud.storage.blobs.append(&upload.version, hash, turn).await?;
    let ended = loop {
        match release.run_until_cancelled(body.next()).await {
            None => break Err(TusError::new(400, "Request aborted due to lock acquired")),
            Some(None) => break Ok(()),
            Some(Some(Err(_))) => break Err(TusError::broken()),
            Some(Some(Ok(chunk))) => {
                let room = usize::try_from(upload.length - writer.size()).unwrap_or(usize::MAX);
                let fits = chunk.len() <= room;
                writer.write(chunk.slice(..chunk.len().min(room))).await?;
                if !fits {
                    break Err(TusError::new(413, "upload's size exceeded\n"));
                }
            }
        }
    };
    if wanted.is_some() && (ended.is_err() || writer.hash().as_deref() != wanted.as_deref()) {
        writer.truncate(offset).await?; // what was not verified does not count
        ended?;
        return Err(TusError::new(CHECKSUM_MISMATCH, "Checksum Mismatch\n"));
    }
    writer.settle().await?;
    ended?;
    let reached = writer.size();
    if reached == upload.length {
        finish(call, claim, upload).await?;
    }
    drop(writer); // and with it the turn
    Ok(reached)
}

/// Turns a complete upload into an object.
async fn finish(call: Call<'_>, claim: Claim, upload: Upload) -> Result<(), TusError> {
    let blobs = &call.cloud.storage.blobs;
    let etag = blobs.etag(&upload.version).await?;
    let Upload { version, length, content, .. } = upload;
    let draft = Draft { version: version.clone(), size: length, etag, content };
    let stored = call.transaction(move |tx| {
        if tx.conn.execute("UPDATE storage_uploads SET finished = 1 WHERE version = ?1", [&version])? == 0 {
            return Err(gone()); // its bucket went, or it was forgotten
        }
        let (_, replaced) = upload::commit(tx, &claim, draft)?;
        Ok::<_, TusError>(replaced)
    });
    let replaced = stored.await?;
    blobs.remove(replaced.into_iter().collect()).await;
    Ok(())
}

/// The length that a creation announces.
fn announced(call: Call<'_>) -> Result<u64, TusError> {
    if call.headers().contains_key(UPLOAD_DEFER_LENGTH) {
        return Err(TusError::new(501, "creation-defer-length extension is not (yet) supported.\n"));
    }
    let length = call.header(&UPLOAD_LENGTH).and_then(|text| text.parse().ok());
    length.ok_or_else(|| TusError::new(400, "Upload-Length or Upload-Defer-Length header required\n"))
}

type Checksum = (Box<dyn DynDigest + Send>, Vec<u8>);

/// How the chunk is to be hashed, and what must come out.
fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, TusError> {
    let Some(header) = headers.get(UPLOAD_CHECKSUM) else { return Ok(None) };
    let unknown = || TusError::new(400, "Unsupported checksum: md5 and sha256 are known\n");
    let (name, value) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unknown)?;
    let hash: Box<dyn DynDigest + Send> = match name {
        "md5" => Box::new(Md5::new()),
        "sha256" => Box::new(Sha256::new()),
        _ => return Err(unknown()),
    };
    Ok(Some((hash, STANDARD.decode(value.trim()).map_err(|_| unknown())?)))
}

fn expires(headers: &mut HeaderMap, upload: &Upload) {
    set(headers, UPLOAD_EXPIRES, &download::http_date(upload.expires_at));
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
