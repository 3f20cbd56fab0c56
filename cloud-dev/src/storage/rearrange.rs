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
use http::request::Parts;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Map, Value, json};

use super::{
    asker,
    content::{self, Content},
    error::StorageError,
    key::Place,
    object,
    rows::Object,
    upload::{self, Claim, Draft},
};
use crate::{
    cloud::{self, Cloud},
    core::{Identity, policy::Action},
};

/// Most keys in one removal.
const MAX_KEYS: usize = 1000;

/// `POST /object/move`.
pub(super) async fn rename(cloud: &Cloud, parts: &Parts, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = asker::required(cloud, &parts.headers)?;
    let (from, to) = places(&object(body).await?)?;
    let moved = cloud.db.call(move |conn| renamed(conn, &identity, &from, to)).await?;
    let body = json!({ "message": "Successfully moved", "Id": moved.id, "Key": moved.place.name });
    Ok(Json(body).into_response())
}

fn renamed(conn: &mut Connection, identity: &Identity, from: &Place, to: Place) -> Result<Object, StorageError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut object = Object::find(&tx, identity, from)?.ok_or_else(StorageError::no_such_key)?;
    let claim = Claim { identity: identity.clone(), owner: object.owner.clone(), place: to, upsert: false };
    let allowed = asker::may(&tx, identity, Action::UpdateUsing, from)?
        && asker::may(&tx, identity, Action::UpdateCheck, &claim.place)?;
    if !allowed {
        return Err(StorageError::policy());
    }
    upload::admit(&tx, &claim)?;
    tx.execute(
        "UPDATE storage_objects SET bucket_id = ?2, name = ?3, updated_at = ?4 WHERE id = ?1",
        (&object.id, &claim.place.bucket, &claim.place.name, cloud::now_micros()),
    )?;
    tx.commit()?;
    object.place = claim.place;
    Ok(object)
}

/// `POST /object/copy`.
pub(super) async fn copy(cloud: &Cloud, parts: &Parts, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = asker::required(cloud, &parts.headers)?;
    let body = object(body).await?;
    let (from, to) = places(&body)?;
    let claim = Claim {
        owner: asker::owner(&identity),
        identity: identity.clone(),
        place: to,
        upsert: content::upsert(&parts.headers),
    };
    let asked = claim.clone();
    let source = cloud.db.call(move |conn| {
        let found = Object::find(conn, &identity, &from)?.ok_or_else(StorageError::no_such_key)?;
        upload::admit(conn, &asked).map(|_| found)
    });
    let source = source.await?;
    let keeps = body.get("copyMetadata").and_then(Value::as_bool) != Some(false);
    let own = match content::metadata_header(&parts.headers)? {
        Some(metadata) => Some(metadata),
        None => body.get("metadata").filter(|metadata| metadata.is_object()).cloned(),
    };
    let content = Content {
        content_type: source.content_type,
        cache_control: source.cache_control,
        metadata: own.or(source.metadata.filter(|_| keeps)),
    };
    let version = uuid::Uuid::new_v4().to_string();
    cloud.storage.blobs.copy(&source.version, &version).await?;
    let draft = Draft { version: version.clone(), size: source.size, etag: source.etag, content };
    let stored = cloud.db.call(move |conn| {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let stored = upload::commit(&tx, &claim, draft)?;
        tx.commit()?;
        Ok::<_, StorageError>(stored)
    });
    match stored.await {
        Ok((copied, replaced)) => {
            cloud.storage.blobs.remove(replaced.into_iter().collect()).await;
            let mut answer = copied.row();
            answer["Id"] = json!(copied.id);
            answer["Key"] = json!(copied.place.path());
            Ok(Json(answer).into_response())
        }
        Err(error) => {
            cloud.storage.blobs.remove(vec![version]).await;
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
pub(super) async fn remove(cloud: &Cloud, parts: &Parts, place: Place) -> Result<Response, StorageError> {
    let identity = asker::required(cloud, &parts.headers)?;
    match removed(cloud, identity, vec![place]).await?.is_empty() {
        true => Err(StorageError::no_such_key()),
        false => Ok(Json(json!({ "message": "Successfully deleted" })).into_response()),
    }
}

/// `DELETE /object/{bucket}` with a list of keys.
pub(super) async fn remove_many(
    cloud: &Cloud,
    parts: &Parts,
    bucket: String,
    body: &mut BodyDataStream,
) -> Result<Response, StorageError> {
    let identity = asker::required(cloud, &parts.headers)?;
    let keys: Vec<String> = object(body)
        .await?
        .get("prefixes")
        .and_then(|keys| serde_json::from_value(keys.clone()).ok())
        .ok_or_else(|| StorageError::request("body must have required property 'prefixes'"))?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(StorageError::request(format!("body/prefixes must have 1 to {MAX_KEYS} items")));
    }
    let places = keys.into_iter().map(|name| Place { bucket: bucket.clone(), name }).collect();
    let gone = removed(cloud, identity, places).await?;
    Ok(Json(gone.iter().map(Object::row).collect::<Vec<_>>()).into_response())
}

/// Removes what is there and may be removed, and says what that was.
async fn removed(cloud: &Cloud, identity: Identity, places: Vec<Place>) -> Result<Vec<Object>, StorageError> {
    let gone = cloud.db.call(move |conn| {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = Vec::new();
        for place in &places {
            if let Some(object) = Object::find(&tx, &identity, place)?
                && asker::may(&tx, &identity, Action::Delete, place)?
            {
                object.remove(&tx)?;
                gone.push(object);
            }
        }
        tx.commit()?;
        Ok::<_, StorageError>(gone)
    });
    let gone = gone.await?;
    cloud.storage.blobs.remove(gone.iter().map(|object| object.version.clone()).collect()).await;
    Ok(gone)
}
