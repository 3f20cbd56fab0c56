//! The tables of the storage, and an object's row.
//!
//! A row names the file that holds its bytes by `version`, which changes with every upload; so a row and its
//! bytes change together, in the transaction that points the row at the new file.
//! Wire source: Supabase Storage, the tables `storage.buckets` and `storage.objects`.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row};
use serde_json::{Value, json};

use super::key::Place;
use crate::core::{
    Identity,
    policy::{self, Action},
};

/// The bucket that is always there.
pub(crate) const WORKSPACE_BUCKET: &str = "workspace-files";

/// Creates the tables, and the bucket of the workspaces.
pub(crate) fn create(conn: &Connection, now: i64) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS storage_buckets (
             id TEXT PRIMARY KEY,
             owner_id TEXT,
             public INTEGER NOT NULL DEFAULT 0,
             file_size_limit INTEGER,
             allowed_mime_types TEXT,
             created_at INTEGER NOT NULL,
             updated_at INTEGER NOT NULL
         ) STRICT;
         CREATE TABLE IF NOT EXISTS storage_objects (
             id TEXT PRIMARY KEY,
             bucket_id TEXT NOT NULL REFERENCES storage_buckets (id),
             name TEXT NOT NULL,
             owner_id TEXT,
             version TEXT NOT NULL UNIQUE,
             size INTEGER NOT NULL,
             etag TEXT NOT NULL,
             content_type TEXT NOT NULL,
             cache_control TEXT NOT NULL,
             user_metadata TEXT,
             created_at INTEGER NOT NULL,
             updated_at INTEGER NOT NULL,
             UNIQUE (bucket_id, name)
         ) STRICT;
         CREATE TABLE IF NOT EXISTS storage_uploads (
             version TEXT PRIMARY KEY,
             bucket_id TEXT NOT NULL REFERENCES storage_buckets (id),
             name TEXT NOT NULL,
             length INTEGER NOT NULL,
             content_type TEXT NOT NULL,
             cache_control TEXT NOT NULL,
             user_metadata TEXT,
             described TEXT NOT NULL,
             finished INTEGER NOT NULL DEFAULT 0,
             expires_at INTEGER NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS storage_uploads_end ON storage_uploads (expires_at);",
    )?;
    conn.execute(
        "INSERT OR IGNORE INTO storage_buckets (id, created_at, updated_at) VALUES (?1, ?2, ?2)",
        (WORKSPACE_BUCKET, now),
    )?;
    Ok(())
}

/// Forgets uploads whose time is over, and returns the versions that rows still need.
pub(crate) fn versions(conn: &Connection, now: i64) -> rusqlite::Result<HashSet<String>> {
    conn.execute("DELETE FROM storage_uploads WHERE expires_at < ?1", [now])?;
    let text = "SELECT version FROM storage_objects UNION SELECT version FROM storage_uploads WHERE finished = 0";
    conn.prepare(text)?.query_map([], |row| row.get(0))?.collect()
}

/// Forgets uploads whose time was over before `then`, those `in_work` excepted, and returns the versions that no row
/// needs any more.
pub(super) fn abandoned(conn: &Connection, then: i64, in_work: &[String]) -> rusqlite::Result<Vec<String>> {
    let text = "DELETE FROM storage_uploads WHERE expires_at < ?1 AND version NOT IN (SELECT value FROM json_each(?2))
                RETURNING CASE finished WHEN 0 THEN version END";
    let in_work = Value::from(in_work).to_string();
    let versions: Vec<Option<String>> =
        conn.prepare_cached(text)?.query_map((then, in_work), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(versions.into_iter().flatten().collect())
}

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) owner: Option<String>,
    pub(super) version: String,
    pub(super) size: u64,
    /// Quoted, as it is sent.
    pub(super) etag: String,
    pub(super) content_type: String,
    pub(super) cache_control: String,
    pub(super) metadata: Option<Value>,
    /// Microseconds since 1970, like the next.
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

const COLUMNS: &str = "o.id, o.bucket_id, o.name, o.owner_id, o.version, o.size, o.etag, o.content_type, \
                       o.cache_control, o.user_metadata, o.created_at, o.updated_at";

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let metadata: Option<String> = row.get(9)?;
        Ok(Self {
            id: row.get(0)?,
            place: Place { bucket: row.get(1)?, name: row.get(2)? },
            owner: row.get(3)?,
            version: row.get(4)?,
            size: row.get::<_, i64>(5)?.unsigned_abs(),
            etag: row.get(6)?,
            content_type: row.get(7)?,
            cache_control: row.get(8)?,
            metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()),
            created_at: row.get(10)?,
            updated_at: row.get(11)?,
        })
    }

    /// The object at `place`, if `identity` may see it.
    pub(super) fn find(conn: &Connection, identity: &Identity, place: &Place) -> rusqlite::Result<Option<Self>> {
        let rule = policy::STORAGE_OBJECTS.predicate(identity, Action::Select, "o");
        let text = format!(
            "SELECT {COLUMNS} FROM storage_objects o WHERE o.bucket_id = ?2 AND o.name = ?3 AND {rule} AND ?1 IS ?1"
        );
        let mut statement = conn.prepare_cached(&text)?;
        statement.query_row((&identity.user_id, &place.bucket, &place.name), Self::read).optional()
    }

    /// What `identity` sees of a bucket under `prefix`, by name.
    pub(super) fn list(
        conn: &Connection,
        identity: &Identity,
        bucket: &str,
        prefix: &str,
        fold_case: bool,
    ) -> rusqlite::Result<Vec<Self>> {
        let rule = policy::STORAGE_OBJECTS.predicate(identity, Action::Select, "o");
        let begins = match fold_case {
            true => "lower(substr(o.name, 1, length(?3))) = lower(?3)",
            false => "substr(o.name, 1, length(?3)) = ?3",
        };
        let text = format!(
            "SELECT {COLUMNS} FROM storage_objects o
             WHERE o.bucket_id = ?2 AND {begins} AND {rule} AND ?1 IS ?1 ORDER BY o.name"
        );
        let mut statement = conn.prepare_cached(&text)?;
        statement.query_map((&identity.user_id, bucket, prefix), Self::read)?.collect()
    }

    /// Stores the row, in place of the one that is there.
    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        conn.execute(
            "INSERT INTO storage_objects (id, bucket_id, name, owner_id, version, size, etag, content_type,
                                          cache_control, user_metadata, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (bucket_id, name) DO UPDATE SET
                 owner_id = excluded.owner_id, version = excluded.version, size = excluded.size,
                 etag = excluded.etag, content_type = excluded.content_type, cache_control = excluded.cache_control,
                 user_metadata = excluded.user_metadata, updated_at = excluded.updated_at",
            rusqlite::params![
                self.id,
                self.place.bucket,
                self.place.name,
                self.owner,
                self.version,
                size,
                self.etag,
                self.content_type,
                self.cache_control,
                self.metadata.as_ref().map(Value::to_string),
                self.created_at,
                self.updated_at
            ],
        )?;
        Ok(())
    }

    pub(super) fn remove(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.execute("DELETE FROM storage_objects WHERE id = ?1", [&self.id]).map(|_| ())
    }

    /// What the back end of the real service knows of an object.
    pub(super) fn system_metadata(&self) -> Value {
        json!({
            "eTag": self.etag,
            "size": self.size,
            "mimetype": self.content_type,
            "cacheControl": self.cache_control,
            "lastModified": iso(self.updated_at),
            "contentLength": self.size,
            "httpStatusCode": 200,
        })
    }

    /// The entry of a listing, under the name that it has there.
    pub(super) fn entry(&self, name: &str) -> Value {
        json!({
            "id": self.id,
            "name": name,
            "updated_at": iso(self.updated_at),
            "created_at": iso(self.created_at),
            "last_accessed_at": iso(self.created_at),
            "metadata": self.system_metadata(),
        })
    }

    /// The whole row.
    pub(super) fn row(&self) -> Value {
        let mut row = self.entry(&self.place.name);
        row["bucket_id"] = json!(self.place.bucket);
        row["owner"] = json!(self.owner);
        row["owner_id"] = json!(self.owner);
        row["version"] = json!(self.version);
        row["user_metadata"] = json!(self.metadata);
        row
    }
}

/// Microseconds since 1970 as JavaScript prints a date.
pub(super) fn iso(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
