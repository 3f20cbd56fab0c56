//! Buckets: listing, showing and making them, and what a bucket allows.
//!
//! Everybody who is signed in sees the bucket of the workspaces and the buckets they made; whoever made a
//! bucket may do everything in it.
//! Wire source: Supabase Storage, `/bucket`.

use axum::{
    Json,
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use http::Method;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde_json::{Value, json};

use super::{asker, call::Call, error::StorageError, key, object, rows::iso};
use crate::core::{
    Identity,
    policy::{self, Action},
};

/// A bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    id: String,
    owner: Option<String>,
    pub(super) public: bool,
    size_limit: Option<u64>,
    mime_types: Option<Vec<String>>,
    created_at: i64,
    updated_at: i64,
}

const COLUMNS: &str = "b.id, b.owner_id, b.public, b.file_size_limit, b.allowed_mime_types, b.created_at, b.updated_at";

impl Bucket {
    /// The bucket, whoever asks: what it allows holds for everybody.
    pub(super) fn find(conn: &Connection, id: &str) -> Result<Self, StorageError> {
        let text = format!("SELECT {COLUMNS} FROM storage_buckets b WHERE b.id = ?1");
        let found = conn.prepare_cached(&text)?.query_row([id], Self::read).optional()?;
        found.ok_or_else(StorageError::no_such_bucket)
    }

    /// The most bytes an object may have here, given the limit of the whole cloud.
    pub(super) fn limit(&self, all: u64) -> u64 {
        self.size_limit.map_or(all, |own| own.min(all))
    }

    /// Refuses a type that may not be stored here.
    pub(super) fn check_type(&self, content_type: &str) -> Result<(), StorageError> {
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let refused = || StorageError::mime_type(&name);
        let token = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte);
            !text.is_empty() && text.bytes().all(allowed)
        };
        let (family, kind) = name.split_once('/').ok_or_else(refused)?;
        if !token(family) || !token(kind) || content_type.contains('\t') {
            return Err(refused());
        }
        let fits = |allowed: &String| match allowed.strip_suffix("/*") {
            Some(whole) => whole == family || whole == "*",
            None => *allowed == name,
        };
        match &self.mime_types {
            Some(allowed) if !allowed.iter().any(fits) => Err(refused()),
            _ => Ok(()),
        }
    }

    fn visible(conn: &Connection, identity: &Identity) -> rusqlite::Result<Vec<Self>> {
        let rule = policy::STORAGE_BUCKETS.predicate(identity, Action::Select, "b");
        let text = format!("SELECT {COLUMNS} FROM storage_buckets b WHERE {rule} AND ?1 IS ?1 ORDER BY b.id");
        conn.prepare_cached(&text)?.query_map([&identity.user_id], Self::read)?.collect()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mime_types: Option<String> = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            public: row.get(2)?,
            size_limit: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
            mime_types: mime_types.and_then(|text| serde_json::from_str(&text).ok()),
            created_at: row.get(5)?,
            updated_at: row.get(6)?,
        })
    }

    /// Reads the body of a creation.
    fn from_body(body: &Value, owner: String, now: i64) -> Result<Self, StorageError> {
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        let id = text("id").or_else(|| text("name")).unwrap_or_default();
        if !key::is_bucket(id) || id.trim() != id {
            return Err(StorageError::invalid_bucket_name());
        }
        let size_limit = match body.get("file_size_limit") {
            None | Some(Value::Null) => None,
            Some(limit) => Some(bytes(limit).ok_or_else(|| StorageError::parameter("file_size_limit is no size"))?),
        };
        let mime_types = match body.get("allowed_mime_types") {
            None | Some(Value::Null) => None,
            Some(list) => Some(
                serde_json::from_value(list.clone())
                    .map_err(|_| StorageError::parameter("allowed_mime_types is no list of names"))?,
            ),
        };
        let public = body.get("public").and_then(Value::as_bool) == Some(true);
        Ok(Self {
            id: id.to_owned(),
            owner: Some(owner),
            public,
            size_limit,
            mime_types,
            created_at: now,
            updated_at: now,
        })
    }

    fn insert(&self, conn: &Connection) -> Result<(), StorageError> {
        let inserted = conn.execute(
            "INSERT INTO storage_buckets
                 (id, owner_id, public, file_size_limit, allowed_mime_types, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING",
            (
                &self.id,
                &self.owner,
                self.public,
                self.size_limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
                self.mime_types.as_ref().map(|list| json!(list).to_string()),
                self.created_at,
            ),
        )?;
        if inserted == 0 { Err(StorageError::bucket_exists()) } else { Ok(()) }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.id,
            "owner": self.owner.as_deref().unwrap_or(""),
            "public": self.public,
            "type": "STANDARD",
            "file_size_limit": self.size_limit,
            "allowed_mime_types": self.mime_types,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        })
    }
}

/// A size as a number of bytes, or as a text such as `10kb` or `5MB`.
fn bytes(size: &Value) -> Option<u64> {
    let Some(text) = size.as_str() else { return size.as_u64() };
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits)? {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1_u64 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

/// Answers a request under `/bucket`; `id` is what follows, percent-encoded.
pub(super) async fn handle(call: Call<'_>, id: &str, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = call.identity()?;
    match (&call.parts.method, id) {
        (&Method::GET | &Method::HEAD, "") => {
            let buckets = call.read(move |conn| Bucket::visible(conn, &identity)).await?;
            Ok(Json(buckets.iter().map(Bucket::json).collect::<Vec<_>>()).into_response())
        }
        (&Method::GET | &Method::HEAD, id) => {
            let id = key::decode(id).ok_or_else(StorageError::no_such_bucket)?;
            let buckets = call.read(move |conn| Bucket::visible(conn, &identity)).await?;
            let found = buckets.iter().find(|bucket| bucket.id == id).ok_or_else(StorageError::no_such_bucket)?;
            Ok(Json(found.json()).into_response())
        }
        (&Method::POST, "") => {
            let body = Value::Object(object(body).await?);
            let owner = asker::owner(&identity).ok_or_else(StorageError::policy)?;
            let made = call.transaction(move |tx| {
                let bucket = Bucket::from_body(&body, owner, tx.now)?;
                bucket.insert(tx.conn).map(|()| bucket.id)
            });
            let name = made.await?;
            Ok(Json(json!({ "name": name })).into_response())
        }
        _ => Err(StorageError::no_route()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_or_has_a_unit() {
        for (size, expected) in [
            (json!(10), Some(10)),
            (json!("10kb"), Some(10_240)),
            (json!("2MB"), Some(2 << 20)),
            (json!("1 gb"), Some(1 << 30)),
            (json!("7"), Some(7)),
            (json!("7 parsecs"), None),
            (json!(-1), None),
            (json!("99999999999gb"), None),
        ] {
            assert_eq!(bytes(&size), expected, "{size}");
        }
    }

    #[test]
    fn a_bucket_takes_the_types_it_lists() {
        let bucket = |types: Value| {
            let body = json!({ "name": "b", "allowed_mime_types": types });
            Bucket::from_body(&body, "u".to_owned(), 0).unwrap()
        };
        for (types, given, fits) in [
            (Value::Null, "image/png", true),
            (Value::Null, "application/vnd.api+json; charset=utf-8", true),
            (Value::Null, "image", false),
            (Value::Null, "image/\tpng", false),
            (json!(["image/*", "text/plain"]), "image/png", true),
            (json!(["image/*", "text/plain"]), "Text/Plain; charset=utf-8", true),
            (json!(["image/*", "text/plain"]), "text/html", false),
            (json!(["image/jpeg"]), "image/png", false),
        ] {
            assert_eq!(bucket(types.clone()).check_type(given).is_ok(), fits, "{types} {given}");
        }
    }
}
