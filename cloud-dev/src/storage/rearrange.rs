//! Moving, copying and removing objects.
//!
//! A move changes a row and no byte; a copy gives the same bytes a second row and a second file name; a
//! removal takes the row away first and the file after it.
//! Wire source: Supabase Storage, `/object/move`, `/object/copy`, `DELETE /object/…`.

use axum::{
    Json,
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};

use super::{
    asker,
    call::{Call, Tx},
    content::{self, Content},
    error::StorageError,
    key::Place,
    object,
    rows::Object,
    upload::{self, Claim, Draft},
};
use crate::core::{Identity, policy::Action};

/// Most keys in one removal.
const MAX_KEYS: usize = 1000;

/// `POST /object/move`.
pub(super) async fn rename(call: Call<'_>, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = call.identity()?;
    let (from, to) = places(&object(body).await?)?;
    let moved = call.transaction(move |tx| renamed(tx, &identity, &from, to)).await?;
    let body = json!({ "message": "Successfully moved", "Id": moved.id, "Key": moved.place.name });
    Ok(Json(body).into_response())
}

fn renamed(tx: &Tx<'_>, identity: &Identity, from: &Place, to: Place) -> Result<Object, StorageError> {
    let mut object = Object::find(tx.conn, identity, from)?.ok_or_else(StorageError::no_such_key)?;
    let claim = Claim { identity: identity.clone(), owner: object.owner.clone(), place: to, upsert: false };
    let allowed = asker::may(tx.conn, identity, Action::UpdateUsing, from)?
        && asker::may(tx.conn, identity, Action::UpdateCheck, &claim.place)?;
    if !allowed {
        return Err(StorageError::policy());
    }
    upload::admit(tx.conn, &claim)?;
    tx.conn.execute(
        "UPDATE storage_objects SET bucket_id = ?2, name = ?3, updated_at = ?4 WHERE id = ?1",
        (&object.id, &claim.place.bucket, &claim.place.name, tx.now),
    )?;
    object.place = claim.place;
    Ok(object)
}

/// `POST /object/copy`.
pub(super) async fn copy(call: Call<'_>, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    call.identity()?; // before what the body says
    let body = object(body).await?;
    let (from, to) = places(&body)?;
    let claim = call.claim(to)?;
    let asked = claim.clone();
    let source = call.read(move |conn| {
        let found = Object::find(conn, &asked.identity, &from)?.ok_or_else(StorageError::no_such_key)?;
        upload::admit(conn, &asked).map(|_| found)
    });
    let source = source.await?;
    let keeps = body.get("copyMetadata").and_then(Value::as_bool) != Some(false);
    let own = match content::metadata_header(call.headers())? {
        Some(metadata) => Some(metadata),
        None => body.get("metadata").filter(|metadata| metadata.is_object()).cloned(),
    };
    let content = Content {
        content_type: source.content_type,
        cache_control: source.cache_control,
        metadata: own.or(source.metadata.filter(|_| keeps)),
    };
    let version = uuid::Uuid::new_v4().to_string();
    let blobs = &call.cloud.storage.blobs;
    blobs.copy(&source.version, &version).await?;
    let draft = Draft { version: version.clone(), size: source.size, etag: source.etag, content };
    match call.transaction(move |tx| upload::commit(tx, &claim, draft)).await {
        Ok((copied, replaced)) => {
            blobs.remove(replaced.into_iter().collect()).await;
            let mut answer = copied.row();
            answer["Id"] = json!(copied.id);
            answer["Key"] = json!(copied.place.path());
            Ok(Json(answer).into_response())
        }
        Err(error) => {
            blobs.remove(vec![version]).await;
            Err(error)
        }
    }
}

/// Reads where from and where to.
fn places(body: &Map<String, Value>) -> Result<(Place, Place), StorageError> {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let required = |field: &str| {
        text(field).ok_or_else(|| StorageError::request(format!("body must have required property '{field}'")))
    };
    let bucket = required("bucketId")?;
    let from = Place::new(bucket, required("sourceKey")?)?;
    let to = Place::new(text("destinationBucket").unwrap_or(bucket), required("destinationKey")?)?;
    Ok((from, to))
}

/// `DELETE /object/{bucket}/{key}`.
pub(super) async fn remove(call: Call<'_>, place: Place) -> Result<Response, StorageError> {
    match removed(call, call.identity()?, vec![place]).await?.is_empty() {
        true => Err(StorageError::no_such_key()),
        false => Ok(Json(json!({ "message": "Successfully deleted" })).into_response()),
    }
}

/// `DELETE /object/{bucket}` with a list of keys.
pub(super) async fn remove_many(
    call: Call<'_>,
    bucket: String,
    body: &mut BodyDataStream,
) -> Result<Response, StorageError> {
    let identity = call.identity()?;
    let keys: Vec<String> = object(body)
        .await?
        .get("prefixes")
        .and_then(|keys| serde_json::from_value(keys.clone()).ok())
        .ok_or_else(|| StorageError::request("body must have required property 'prefixes'"))?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(StorageError::request(format!("body/prefixes must have 1 to {MAX_KEYS} items")));
    }
    let places = keys.into_iter().map(|name| Place { bucket: bucket.clone(), name }).collect();
    let gone = removed(call, identity, places).await?;
    Ok(Json(gone.iter().map(Object::row).collect::<Vec<_>>()).into_response())
}

/// Removes what is there and may be removed, and says what that was.
async fn removed(call: Call<'_>, identity: Identity, places: Vec<Place>) -> Result<Vec<Object>, StorageError> {
    let gone = call.transaction(move |tx| {
        let mut gone = Vec::new();
        for place in &places {
            if let Some(object) = Object::find(tx.conn, &identity, place)?
                && asker::may(tx.conn, &identity, Action::Delete, place)?
            {
                object.remove(tx.conn)?;
                gone.push(object);
            }
        }
        Ok::<_, StorageError>(gone)
    });
    let gone = gone.await?;
    call.cloud.storage.blobs.remove(gone.iter().map(|object| object.version.clone()).collect()).await;
    Ok(gone)
}
