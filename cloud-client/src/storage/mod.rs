//! The files of the cloud: upload, download, list, move, sign, and uploads that survive a restart.
//!
//! A [`Bucket`] names a place, an object's key the thing in it. Bytes go through as streams in both directions, so that
//! memory does not grow with a file: [`Content`] is opened once for each attempt of an upload, an [`ObjectStream`] takes
//! up a download that was cut where it stopped. What the service answers is believed by its body, since nearly every
//! failure has status 400 (see [`error`](crate::error)).
//!
//! | Need                                        | Use                                                             |
//! |---------------------------------------------|-----------------------------------------------------------------|
//! | a key for any file name                     | [`ObjectName`]                                                  |
//! | a small file there                          | [`Bucket::upload`]                                              |
//! | a large file there, over restarts           | [`Bucket::upload_resumable`], [`ResumeTicket`]                  |
//! | a file here, in memory, on disk or as stream | [`Bucket::download`]                                            |
//! | what is there                               | [`Bucket::info`], [`Bucket::list`], [`Bucket::list_folder`]     |
//! | order                                       | [`Bucket::move_to`], [`Bucket::copy`], [`Bucket::remove`]       |
//! | somebody without an account                 | [`Bucket::sign_download`], [`Bucket::sign_upload`]              |
//!
//! The service has no conditional write: the last finisher wins, so versions are settled in a table. Wire source:
//! Supabase Storage (routes and `src/internal/errors/codes.ts`), storage-js, TUS 1.0.0.
//!
//! ```no_run
//! use cloud_client::{Client, storage::{ObjectName, UploadOptions}};
//!
//! # async fn example(client: Client) -> Result<(), cloud_client::Error> {
//! let files = client.storage().bucket("workspace-files");
//! let name = ObjectName::encode("Größe.txt")?;
//! files.upload(name.as_str(), "42".as_bytes(), &UploadOptions::default().content_type("text/plain")).await?;
//! let back = files.download(name.as_str()).bytes(1024).await?;
//! assert_eq!(back, "42");
//! # Ok(()) }
//! ```
mod bucket;
mod content;
mod download;
mod list;
mod name;
mod progress;
mod sign;
pub mod tus;
mod upload;

use crate::Client;

pub use self::{
    bucket::{Bucket, ObjectInfo},
    content::{Content, Source},
    download::{Download, ObjectHead, ObjectStream},
    list::{Entry, FolderList, List, Order, Page},
    name::{LIMIT_BYTES, NameError, ObjectName},
    progress::Progress,
    sign::{SignedLink, SignedLinkResult, SignedUpload},
    tus::{ResumableUpload, ResumeTicket},
    upload::{UploadOptions, Uploaded},
};

/// The files of one cloud. Cheap to make.
#[derive(Clone, Debug)]
pub struct Storage {
    client: Client,
}

impl Storage {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// One bucket. Its name is checked by the calls that use it.
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket::new(self.client.clone(), name.into())
    }
}
