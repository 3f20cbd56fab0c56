//! One bucket: what is known of an object, moving, copying and removing.
//!
//! key → checked → `…/object/…` → answer. Keys are the service's own names; [`ObjectName`](super::ObjectName) makes them
//! from file names. Slashes at the ends are cut and doubled ones joined, as every client of the service does; what the
//! service would refuse is refused here, before anything is sent. Wire source: Supabase Storage, object routes.
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Content, Download, FolderList, List, name::is_legal};
use crate::{
    Client, Error, ErrorKind,
    call::Call,
    error::{Service, codes::NAME_INVALID},
};

/// The longest key of the S3 protocol, in bytes.
const KEY_LIMIT_BYTES: usize = 1024;
/// The longest bucket name, in bytes.
const BUCKET_LIMIT_BYTES: usize = 100;
/// Names in one call for removing or signing.
pub(super) const BATCH: usize = 1000;

/// One bucket of the cloud. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
}

/// What the service knows of an object.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The row's id.
    pub id: Option<String>,
    /// The key.
    pub name: Option<String>,
    /// Changes with every upload.
    pub version: Option<String>,
    /// The length in bytes.
    pub size: Option<u64>,
    /// The content type.
    pub content_type: Option<String>,
    /// How long caches may keep it.
    pub cache_control: Option<String>,
    /// The entity tag; no content hash in general.
    pub etag: Option<String>,
    /// What the uploader attached.
    pub metadata: Option<Map<String, Value>>,
    /// When it was last written, as the server spells it.
    pub last_modified: Option<String>,
    /// When it was first written, as the server spells it.
    pub created_at: Option<String>,
    /// What this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Bucket {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of an object.
    ///
    /// # Errors
    ///
    /// `api.not_found` when it does not exist or may not be seen, otherwise as [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn info(&self, key: &str) -> Result<ObjectInfo, Error> {
        self.client.send(self.call(Method::GET, &["object", "info"], key)?).await?.json()
    }

    /// Whether an object exists and may be seen. Asks for its [`info`](Bucket::info), because the answer to a `HEAD`
    /// does not tell a missing object from a token whose time is over.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        match self.client.send(self.call(Method::GET, &["object", "info"], key)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads an object: as a stream, into memory, into a writer or a file.
    pub fn download(&self, key: impl Into<String>) -> Download {
        Download::new(self.clone(), key.into())
    }

    /// The objects whose keys begin with `prefix`, page by page, by the newer list call.
    pub fn list(&self, prefix: impl Into<String>) -> List {
        List::new(self.clone(), prefix.into())
    }

    /// What lies directly in `folder`, page by page, by the older list call.
    pub fn list_folder(&self, folder: impl Into<String>) -> FolderList {
        FolderList::new(self.clone(), folder.into())
    }

    /// Renames an object. When the answer is lost, a destination that is there and a source that is not count as done.
    ///
    /// # Errors
    ///
    /// `api.not_found` without a source, `api.conflict` when the destination exists, otherwise as [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the object was moved.
    pub async fn move_to(&self, from: &str, to: &str) -> Result<(), Error> {
        let (from, to) = (object_key(from)?, object_key(to)?);
        let body = json!({"bucketId": self.name, "sourceKey": from, "destinationKey": to});
        match self.client.send(self.plain(Method::POST, &["object", "move"])?.json(&body)?).await {
            Ok(_) => Ok(()),
            Err(lost) if lost.is_retryable() => {
                let moved = self.exists(&to).await? && !self.exists(&from).await?;
                if moved { Ok(()) } else { Err(lost) }
            }
            Err(error) => Err(error),
        }
    }

    /// Copies an object to a key that is free.
    ///
    /// # Errors
    ///
    /// `api.not_found` without a source, `api.conflict` when the destination exists, otherwise as [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the copy was made.
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        let call = self.copying(from, to)?;
        self.client.send(call).await.map(|_| ())
    }

    /// Copies an object over whatever is at the destination.
    ///
    /// # Errors
    ///
    /// As [`Bucket::copy`], without the conflict.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the copy was made; repeating it is harmless.
    pub async fn copy_over(&self, from: &str, to: &str) -> Result<(), Error> {
        let call = self.copying(from, to)?.header(UPSERT, HeaderValue::from_static("true")).repeatable();
        self.client.send(call).await.map(|_| ())
    }

    fn copying(&self, from: &str, to: &str) -> Result<Call, Error> {
        let (from, to) = (object_key(from)?, object_key(to)?);
        let body = json!({"bucketId": self.name, "sourceKey": from, "destinationKey": to});
        self.plain(Method::POST, &["object", "copy"])?.json(&body)
    }

    /// Removes objects, 1,000 a call, and gives the keys that were removed. Keys that are missing, or may not be
    /// removed, are absent from it; so are those that an earlier attempt removed whose answer was lost.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]. Batches before the failed one have been removed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open which objects were removed; repeating it is harmless.
    pub async fn remove<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
        }
        let keys = keys.into_iter().map(|key| object_key(key.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut removed = Vec::new();
        for batch in keys.chunks(BATCH) {
            let call = self.plain(Method::DELETE, &["object"])?.value_segment("bucket", &self.name);
            let reply = self.client.send(call.json(&Prefixes { prefixes: batch })?.repeatable()).await?;
            removed.extend(reply.json::<Vec<Row>>()?.into_iter().map(|row| row.name));
        }
        Ok(removed)
    }

    /// A call whose path is `fixed` segments, for this bucket, which is named in the body or added by the caller.
    pub(super) fn plain(&self, method: Method, fixed: &[&str]) -> Result<Call, Error> {
        let good = !self.name.is_empty()
            && self.name.len() <= BUCKET_LIMIT_BYTES
            && self.name != "."
            && self.name != ".."
            && self.name.bytes().all(is_legal);
        if !good {
            return Err(Error::new(NAME_INVALID));
        }
        let call = Call::new(Service::Storage, method);
        Ok(fixed.iter().fold(call, |call, segment| call.segment(segment)))
    }

    /// A call about one object: `fixed` segments, this bucket, the key.
    pub(super) fn call(&self, method: Method, fixed: &[&str], key: &str) -> Result<Call, Error> {
        Ok(self.plain(method, fixed)?.value_segment("bucket", &self.name).object_name(&object_key(key)?))
    }

    /// Whether the object under `key` has exactly these bytes: by length, and then by reading it.
    pub(super) async fn holds(&self, key: &str, content: &Content) -> Result<bool, Error> {
        if self.info(key).await?.size.is_some_and(|size| size != content.len_bytes()) {
            return Ok(false);
        }
        let (mut there, mut here) = (self.download(key).open().await?, content.read(0, content.len_bytes()));
        super::download::same_bytes(&mut there, &mut here).await
    }
}

#[derive(Serialize)]
struct Prefixes<'a> {
    prefixes: &'a [String],
}

/// Whether an existing object may be replaced.
pub(super) const UPSERT: HeaderName = HeaderName::from_static("x-upsert");

/// A key as the service wants it, or the error it would answer with.
pub(super) fn object_key(key: &str) -> Result<String, Error> {
    let segments: Vec<&str> = key.split('/').filter(|segment| !segment.is_empty()).collect();
    let legal = |segment: &&str| segment.bytes().all(is_legal) && !matches!(*segment, "." | "..");
    let key = segments.join("/");
    if key.is_empty() || key.len() > KEY_LIMIT_BYTES || !segments.iter().all(legal) {
        return Err(Error::new(NAME_INVALID));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of `src/storage/limits.test.ts` of Supabase Storage, and of storage-js for slashes.
    #[test]
    fn keys_and_bucket_names_are_taken_and_refused_as_the_service_does() {
        let longest = "a".repeat(1023);
        for (good, key) in [
            ("folder/file-name_01.jpg", "folder/file-name_01.jpg"),
            ("file/!-*'() &$@=;:+,?name", "file/!-*'() &$@=;:+,?name"),
            ("file_name", "file_name"),
            (&format!("{longest}/"), longest.as_str()),
            ("/a//b/", "a/b"),
            ("a..b/...", "a..b/..."),
        ] {
            assert_eq!(object_key(good).unwrap(), key);
        }
        let bad =
            ["", "/", "file\tname", "file\nname", "file\u{7f}", "file%20name", "file#[]{}^~`\"<>\\|", "ä", "a/../b"];
        for bad in bad.into_iter().chain([".", "ファイル-emoji-😀.txt", "a".repeat(1025).as_str()]) {
            assert_eq!(object_key(bad).unwrap_err().code(), NAME_INVALID, "{bad:?}");
        }
        let client = Client::builder("http://127.0.0.1:1", "sb_publishable_key").unwrap().build();
        let names = |name: &str| client.storage().bucket(name).call(Method::GET, &["object"], "a").is_ok();
        assert!(names(&"b".repeat(100)) && names("workspace-files"));
        assert!(!names(&"b".repeat(101)) && !names("folder/name") && !names("") && !names(".."));
    }
}
