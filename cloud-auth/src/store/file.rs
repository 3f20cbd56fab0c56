//! One small file, readable by its owner only, replaced as a whole.
//!
//! `{"version":1,"secrets":{KEY: text}}` in plain text: for machines whose disk and account are trusted. How it is
//! replaced and locked is the business of [`WholeFile`].
use std::{fmt, path::PathBuf};

use async_trait::async_trait;
use cloud_client::{Error, clock::SharedClock};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    SecretKey, SecretStore, StoreLock,
    whole_file::{Contents, Unread, WholeFile},
};

/// Secrets in one file of the user's own.
#[derive(Clone)]
pub struct FileStore(pub(super) WholeFile);

impl FileStore {
    /// A store in the file at `path`. Nothing is opened yet; the directory is made when something is first stored.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(WholeFile::new(path.into()))
    }

    /// Waits for locks on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.0.clock = clock;
        self
    }

    async fn change(&self, change: impl FnOnce(&mut Contents) -> bool + Send + 'static) -> Result<(), Error> {
        let turn = self.0.writing().await?;
        let change = move |contents: Option<Contents>| {
            let mut contents = contents.unwrap_or_default();
            if change(&mut contents) { contents.bytes().map(Some) } else { Ok(None) }
        };
        self.0.change(turn, false, decode, change).await
    }
}

fn decode(bytes: &[u8]) -> Result<Contents, Unread> {
    Contents::parse(bytes).ok_or(Unread::Damaged)
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.0).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for FileStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        Ok(self.0.load(decode).await?.and_then(|mut contents| contents.take(key)))
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        let key = key.as_str().to_owned();
        self.change(move |contents| {
            contents.put(key, value.expose_secret());
            true
        })
        .await
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        let key = key.as_str().to_owned();
        self.change(move |contents| contents.remove(&key)).await
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::holding(self.0.locked(".lock").await?))
    }
}
