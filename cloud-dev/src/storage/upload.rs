//! An upload in one request: permission → bytes into a new file → the row, in one transaction.
//!
//! The rules are asked twice, before the bytes and again when the row is stored, since either may take long.
//! An upload that fails leaves neither row nor file. The resumable upload uses [`admit`] and [`commit`] too.
//! Wire source: Supabase Storage, `POST` and `PUT /object/{bucket}/{key}`.

use axum::{
    Json,
    body::{BodyDataStream, Bytes},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _};
use http::{Method, header::CONTENT_LENGTH};
use rusqlite::Connection;
use serde_json::json;

use super::{
    asker,
    blob::Writer,
    bucket::Bucket,
    call::{Call, Tx},
    content::{self, Content},
    error::StorageError,
    key::Place,
    rows::Object,
};
use crate::core::{Identity, policy::Action};

/// Whose upload it is, where it goes, and whether it may replace what is there.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) identity: Identity,
    pub(super) owner: Option<String>,
    pub(super) place: Place,
    pub(super) upsert: bool,
}

/// Bytes that are there, on their way to become an object.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) version: String,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) content: Content,
}

/// `POST` or `PUT /object/{bucket}/{key}`.
pub(super) async fn handle(call: Call<'_>, place: Place, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let asked = call.claim(place)?;
    let claim = Claim { upsert: asked.upsert || call.parts.method == Method::PUT, ..asked };
    let object = receive(call, claim, body).await?;
    Ok(Json(json!({ "Id": object.id, "Key": object.place.path() })).into_response())
}

/// Takes the bytes of a request and stores them as an object.
pub(super) async fn receive(call: Call<'_>, claim: Claim, body: &mut BodyDataStream) -> Result<Object, StorageError> {
    let asked = claim.clone();
    let bucket = call.read(move |conn| admit(conn, &asked)).await?;
    let cloud = call.cloud;
    let limit = match claim.place.is_folder_marker() {
        true => 0,
        false => bucket.limit(cloud.settings.max_object_bytes),
    };
    let version = uuid::Uuid::new_v4().to_string();
    let mut writer = cloud.storage.blobs.create(&version).await?;
    let content = match content::boundary(call.headers()) {
        Some(boundary) => {
            let (content, file) = content::form(body, boundary).await?;
            bucket.check_type(&content.content_type)?;
            pour(&mut writer, file, limit).await?;
            content
        }
        None => {
            let content = Content::from_headers(call.headers())?;
            bucket.check_type(&content.content_type)?;
            if length(call).is_some_and(|length| length > limit) {
                return Err(StorageError::too_large());
            }
            pour(&mut writer, body, limit).await?;
            content
        }
    };
    writer.settle().await?;
    let draft = Draft { version, size: writer.size(), etag: writer.etag(), content };
    let (object, replaced) = call.transaction(move |tx| commit(tx, &claim, draft)).await?;
    writer.keep();
    cloud.storage.blobs.remove(replaced.into_iter().collect()).await;
    Ok(object)
}

/// The body's length, if the request says it.
pub(super) fn length(call: Call<'_>) -> Option<u64> {
    call.header(&CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

/// Writes a stream into a file that may have `limit` bytes.
async fn pour<S, E>(writer: &mut Writer, mut bytes: S, limit: u64) -> Result<(), StorageError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Send,
{
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|_| StorageError::aborted())?;
        if writer.size() + chunk.len() as u64 > limit {
            return Err(StorageError::too_large());
        }
        writer.write(chunk).await?;
    }
    Ok(())
}

/// Asks the rules whether `claim` may be stored, and returns its bucket.
pub(super) fn admit(conn: &Connection, claim: &Claim) -> Result<Bucket, StorageError> {
    let bucket = Bucket::find(conn, &claim.place.bucket)?;
    let mut actions = vec![Action::InsertCheck];
    if claim.upsert {
        actions.extend([Action::Select, Action::UpdateUsing, Action::UpdateCheck]);
    }
    for action in actions {
        if !asker::may(conn, &claim.identity, action, &claim.place)? {
            return Err(StorageError::policy());
        }
    }
    if !claim.upsert && Object::find(conn, &Identity::service(), &claim.place)?.is_some() {
        return Err(StorageError::exists());
    }
    Ok(bucket)
}

/// Stores the row; also returns the version that it replaces.
pub(super) fn commit(tx: &Tx<'_>, claim: &Claim, draft: Draft) -> Result<(Object, Option<String>), StorageError> {
    admit(tx.conn, claim)?;
    let replaced = Object::find(tx.conn, &Identity::service(), &claim.place)?;
    let object = Object {
        id: replaced.as_ref().map_or_else(|| uuid::Uuid::new_v4().to_string(), |object| object.id.clone()),
        place: claim.place.clone(),
        owner: claim.owner.clone(),
        version: draft.version,
        size: draft.size,
        etag: draft.etag,
        content_type: draft.content.content_type,
        cache_control: draft.content.cache_control,
        metadata: draft.content.metadata,
        created_at: replaced.as_ref().map_or(tx.now, |object| object.created_at),
        updated_at: tx.now,
    };
    object.store(tx.conn)?;
    Ok((object, replaced.map(|object| object.version)))
}
