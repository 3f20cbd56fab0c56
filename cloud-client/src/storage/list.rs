//! What is in a bucket, page by page: the newer list call with its cursor, and the older one for folders.
//!
//! prefix → `POST /object/list-v2/{bucket}` → [`Page`] → its cursor → next page; or folder →
//! `POST /object/list/{bucket}` → entries, by offset. Pages come by name unless told otherwise, because the cursor for
//! dates is cut to milliseconds and may repeat or skip rows. Wire source: Supabase Storage, list routes.
use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::Bucket;
use crate::{
    Error, ErrorKind,
    capability::{Capability, Support},
    error::codes::{TOO_LARGE, UNREADABLE},
};

/// The largest page of the newer call; the service lowers larger ones silently.
const PAGE: u32 = 1000;

/// How a page is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// By name, upwards.
    #[default]
    Name,
    /// By time of creation, newest first.
    Newest,
    /// By time of the last change, newest first.
    LastChanged,
}

impl Order {
    fn wire(self) -> Value {
        let (column, order) = match self {
            Self::Name => ("name", "asc"),
            Self::Newest => ("created_at", "desc"),
            Self::LastChanged => ("updated_at", "desc"),
        };
        json!({"column": column, "order": order})
    }
}

/// An object or a folder.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The whole key in the newer call; below the folder in the older one.
    pub name: String,
    /// The row's id; folders have none.
    #[serde(default)]
    pub id: Option<String>,
    /// When it was first written, as the server spells it.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was last written, as the server spells it.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// What the service keeps about it: `size`, `mimetype`, `eTag`, …
    #[serde(default, deserialize_with = "null_is_empty")]
    pub metadata: Map<String, Value>,
    /// What this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Entry {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.id.is_none()
    }

    /// The length in bytes.
    pub fn size_bytes(&self) -> Option<u64> {
        self.metadata.get("size").and_then(Value::as_u64)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    Option::<Map<String, Value>>::deserialize(from).map(Option::unwrap_or_default)
}

/// A page of the newer list call.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// Folders, only when asked for; their names end in `/`.
    #[serde(default)]
    pub folders: Vec<Entry>,
    /// Objects.
    #[serde(default)]
    pub objects: Vec<Entry>,
    /// Where the next page begins; opaque, and good for the same order only.
    #[serde(rename = "nextCursor", default)]
    pub next: Option<String>,
    #[serde(rename = "hasNext", default)]
    has_next: bool,
}

/// A listing by the newer call.
#[derive(Clone, Debug)]
#[must_use = "nothing is read until a page is fetched"]
pub struct List {
    bucket: Bucket,
    prefix: String,
    folders: bool,
    order: Order,
    limit: u32,
    cursor: Option<String>,
}

impl List {
    pub(super) fn new(bucket: Bucket, prefix: String) -> Self {
        Self { bucket, prefix, folders: false, order: Order::default(), limit: PAGE, cursor: None }
    }

    /// Gathers what lies below the next `/` into folders. Default: all keys, however deep.
    pub fn with_folders(mut self) -> Self {
        self.folders = true;
        self
    }

    /// Sorts. Default: by name, the only order in which a complete listing misses nothing.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Limits a page. Default and most: 1,000 entries.
    pub fn page_size(mut self, entries: u32) -> Self {
        self.limit = entries.clamp(1, PAGE);
        self
    }

    /// Begins where an earlier page ended ([`Page::next`]).
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// Fetches one page.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](crate::Client::send); `api.not_found` or `api.schema_mismatch` when the service is too old
    /// for this call, where [`Bucket::list_folder`] still works.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn page(&self) -> Result<Page, Error> {
        let mut body = json!({
            "prefix": self.prefix, "limit": self.limit, "with_delimiter": self.folders, "sortBy": self.order.wire(),
        });
        if let (Some(cursor), Some(fields)) = (&self.cursor, body.as_object_mut()) {
            fields.insert("cursor".to_owned(), cursor.as_str().into());
        }
        let call = self.bucket.plain(Method::POST, &["object", "list-v2"])?.value_segment("bucket", &self.bucket.name);
        let client = &self.bucket.client;
        let mut page: Page = match client.send(call.json(&body)?.repeatable()).await {
            Ok(reply) => reply.json()?,
            Err(error) => {
                let Some(unsupported) = Support::of_a_route(&error) else { return Err(error) };
                client.mark(Capability::STORAGE_LIST_V2, unsupported);
                return client.capabilities().require(&Capability::STORAGE_LIST_V2).and(Err(error));
            }
        };
        client.mark(Capability::STORAGE_LIST_V2, Support::Supported);
        if !page.has_next {
            page.next = None;
        } else if page.next.is_none() || page.next == self.cursor {
            // More, but no way to it: an endless loop or a listing cut short.
            return Err(Error::new(UNREADABLE));
        }
        Ok(page)
    }

    /// Fetches all pages: every object and, when asked for, folder. A service too old for this call is asked by the
    /// older one instead, folder by folder, as long as `prefix` is a folder (`""` or ending in `/`).
    ///
    /// # Errors
    ///
    /// `net.too_large` past `limit_entries`, otherwise as [`List::page`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn all(mut self, limit_entries: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        loop {
            let page = match self.page().await {
                Ok(page) => page,
                Err(error) if self.cursor.is_none() && self.is_too_old(&error) => {
                    return self.walk(limit_entries).await;
                }
                Err(error) => return Err(error),
            };
            entries.extend(page.folders);
            entries.extend(page.objects);
            if entries.len() > limit_entries {
                return Err(Error::new(TOO_LARGE));
            }
            match page.next {
                Some(next) => self.cursor = Some(next),
                None => return Ok(entries),
            }
        }
    }

    fn is_too_old(&self, error: &Error) -> bool {
        let folder = self.prefix.is_empty() || self.prefix.ends_with('/');
        folder && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Incompatible)
    }

    /// The same by the older call. Its names are below their folder, so the folder is put in front again.
    async fn walk(self, limit_entries: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut folders = vec![self.prefix.clone()];
        while let Some(folder) = folders.pop() {
            let list = self.bucket.list_folder(folder.clone()).order(self.order);
            for mut entry in list.all(limit_entries.saturating_sub(entries.len())).await? {
                entry.name = format!("{folder}{}", entry.name);
                if !entry.is_folder() {
                    entries.push(entry);
                } else {
                    entry.name.push('/');
                    if self.folders {
                        entries.push(entry);
                    } else {
                        folders.push(entry.name);
                    }
                }
            }
            if entries.len() + folders.len() > limit_entries {
                return Err(Error::new(TOO_LARGE));
            }
        }
        if self.order == Order::Name {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(entries)
    }
}

/// A listing of one folder by the older call.
#[derive(Clone, Debug)]
#[must_use = "nothing is read until a page is fetched"]
pub struct FolderList {
    bucket: Bucket,
    folder: String,
    order: Order,
    limit: u32,
    offset: u64,
    search: Option<String>,
}

impl FolderList {
    pub(super) fn new(bucket: Bucket, folder: String) -> Self {
        Self { bucket, folder, order: Order::default(), limit: 100, offset: 0, search: None }
    }

    /// Sorts. Default: by name.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Limits a page. Default: 100 entries.
    pub fn page_size(mut self, entries: u32) -> Self {
        self.limit = entries.max(1);
        self
    }

    /// Skips entries. Pages by offset are unstable while others write.
    pub fn offset(mut self, entries: u64) -> Self {
        self.offset = entries;
        self
    }

    /// Wants this text in the name. Default: any name.
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Fetches one page. A missing bucket or folder is an empty page. Folders are compared without regard to case.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn page(&self) -> Result<Vec<Entry>, Error> {
        let mut body = json!({
            "prefix": self.folder, "limit": self.limit, "offset": self.offset, "sortBy": self.order.wire(),
        });
        if let (Some(text), Some(fields)) = (&self.search, body.as_object_mut()) {
            fields.insert("search".to_owned(), text.as_str().into());
        }
        let call = self.bucket.plain(Method::POST, &["object", "list"])?.value_segment("bucket", &self.bucket.name);
        self.bucket.client.send(call.json(&body)?.repeatable()).await?.json()
    }

    /// Fetches all pages.
    ///
    /// # Errors
    ///
    /// `net.too_large` past `limit_entries`, otherwise as [`FolderList::page`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn all(mut self, limit_entries: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        loop {
            let page = self.page().await?;
            let arrived = page.len();
            entries.extend(page);
            if entries.len() > limit_entries {
                return Err(Error::new(TOO_LARGE));
            }
            if arrived < usize::try_from(self.limit).unwrap_or(usize::MAX) {
                return Ok(entries);
            }
            self.offset += arrived as u64;
        }
    }
}
