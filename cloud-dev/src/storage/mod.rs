//! Files: buckets, objects, signed addresses and resumable uploads, as Supabase Storage has them.
//!
//! Request → [`route`] → rules in the database, bytes in files → answer. Bytes go in and out chunk by chunk;
//! no object is ever in memory as a whole. A refused request's body is read to a bound and thrown away, so
//! that its sender gets to see the refusal.
//! Wire source: Supabase Storage under `/storage/v1`.
//!
//! | Module                       | What lives there                                    |
//! |------------------------------|-----------------------------------------------------|
//! | [`call`]                     | one request, one transaction                        |
//! | [`key`], [`content`]         | names, and what an upload says about its bytes      |
//! | [`asker`], [`error`]         | who may do what, and how a refusal looks            |
//! | [`rows`], [`blob`]           | the tables, and the files                           |
//! | [`upload`], [`download`]     | bytes in, bytes out                                 |
//! | [`list`], [`rearrange`]      | what is there; moving, copying, removing            |
//! | [`sign`], [`bucket`]         | addresses for others; buckets                       |
//! | [`tus`]                      | uploads that go on after a break                    |

mod asker;
mod blob;
mod bucket;
mod call;
mod content;
mod download;
mod error;
mod key;
mod list;
mod range;
mod rearrange;
mod rows;
mod sign;
mod tus;
mod upload;

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use http::Method;
use serde_json::{Map, Value, json};

pub(crate) use self::{
    blob::Blobs,
    rows::{WORKSPACE_BUCKET, create, versions},
};
use self::{call::Call, download::Door, error::StorageError, key::Place, tus::Turns};
use crate::cloud::Cloud;

/// Where these endpoints are mounted.
pub(crate) const PATH: &str = "/storage/v1";

/// Where resumable uploads are, below [`PATH`].
const RESUMABLE: &str = "/upload/resumable";

/// Largest JSON body that is read.
const MAX_JSON_BYTES: usize = 1 << 20;

/// How much of a refused body is read and thrown away.
const MAX_DRAINED_BYTES: usize = 64 << 20;

/// What the storage of one cloud keeps outside the database.
#[derive(Debug)]
pub(crate) struct Store {
    blobs: Blobs,
    turns: Turns,
}

impl Store {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self { blobs, turns: Turns::default() }
    }
}

/// Whether an `OPTIONS` request asks this service, and is not a browser's question to the gateway.
pub(crate) fn answers_options(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|path| path.starts_with(RESUMABLE))
}

/// Answers a request under [`PATH`].
pub(crate) async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let call = Call { cloud: &cloud, parts: &parts };
    let path = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let mut response = match path.strip_prefix(RESUMABLE) {
        Some(rest) => tus::handle(call, rest, &mut body).await,
        None => route(call, path, &mut body).await.unwrap_or_else(StorageError::into_response),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        drain(&mut body).await;
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }
    response
}

async fn route(call: Call<'_>, path: &str, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let path = path.trim_start_matches('/');
    match path.split_once('/').unwrap_or((path, "")) {
        ("object", path) => route_object(call, path, body).await,
        ("bucket", id) => bucket::handle(call, id, body).await,
        ("status", "") if call.reads() => Ok(Json(json!({ "status": "ok" })).into_response()),
        _ => Err(StorageError::no_route()),
    }
}

async fn route_object(call: Call<'_>, path: &str, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let reads = call.reads();
    let bucket = |text: &str| key::decode(text).ok_or_else(StorageError::invalid_bucket_name);
    match (first, &call.parts.method) {
        ("list", &Method::POST) => list::folder(call, bucket(rest)?, body).await,
        ("list-v2", &Method::POST) => list::all(call, bucket(rest)?, body).await,
        ("move", &Method::POST) if rest.is_empty() => rearrange::rename(call, body).await,
        ("copy", &Method::POST) if rest.is_empty() => rearrange::copy(call, body).await,
        ("sign", &Method::POST) if rest.contains('/') => sign::one(call, Place::from_path(rest)?, body).await,
        ("sign", &Method::POST) => sign::many(call, bucket(rest)?, body).await,
        ("sign", _) if reads => sign::download(call, Place::from_path(rest)?).await,
        ("upload", method) if rest.starts_with("sign/") => {
            let place = Place::from_path(rest.trim_start_matches("sign/"))?;
            match *method {
                Method::POST => sign::offer_upload(call, place).await,
                Method::PUT => sign::upload(call, place, body).await,
                _ => Err(StorageError::no_route()),
            }
        }
        ("info", _) if reads => {
            let (door, path) = door(rest).unwrap_or((Door::Open, rest));
            download::info(call, door, Place::from_path(path)?).await
        }
        ("authenticated" | "public", _) if reads => {
            let (door, path) = door(path).ok_or_else(StorageError::no_route)?;
            download::handle(call, door, Place::from_path(path)?).await
        }
        (_, _) if reads => download::handle(call, Door::Open, Place::from_path(path)?).await,
        (_, &Method::POST | &Method::PUT) => upload::handle(call, Place::from_path(path)?, body).await,
        (_, &Method::DELETE) if rest.is_empty() => rearrange::remove_many(call, bucket(first)?, body).await,
        (_, &Method::DELETE) => rearrange::remove(call, Place::from_path(path)?).await,
        _ => Err(StorageError::no_route()),
    }
}

/// The door that a path names, and what follows.
fn door(path: &str) -> Option<(Door, &str)> {
    match path.split_once('/')? {
        ("authenticated", rest) => Some((Door::Authenticated, rest)),
        ("public", rest) => Some((Door::Public, rest)),
        _ => None,
    }
}

/// Reads a JSON object; an empty body is an empty one.
async fn object(body: &mut BodyDataStream) -> Result<Map<String, Value>, StorageError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| StorageError::aborted())?);
        if bytes.len() > MAX_JSON_BYTES {
            return Err(StorageError::too_large());
        }
    }
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&bytes).map_err(|_| StorageError::request("Body is not valid JSON"))
}

async fn drain(body: &mut BodyDataStream) {
    let mut left = MAX_DRAINED_BYTES;
    while let Some(Ok(chunk)) = body.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}
