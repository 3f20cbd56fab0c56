//! The session's corner of the store: one record under one key, every call bounded in time.
//!
//! Turns what a [`SecretStore`](crate::SecretStore) says into what the machine asks. Something unreadable is copied to a
//! key of its own before anything else is written under ours (D5); a record of another origin is treated the same.
use std::time::Duration;

use cloud_client::{Error, clock::SharedClock, error::codes::ENCODE};
use secrecy::SecretString;

use super::{
    expiry::Moment,
    machine::{Found, How, Looked, Wrote},
    owed::{Change, Owed},
    record::{Reading, Record, same},
};
use crate::store::{BoundedStore, LOCK_LIMIT, SecretKey, SecretStoreHandle, StoreLock};

/// The longest a sign-out waits for the lock: the removal matters more than the order.
const REMOVAL_LOCK_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Vault {
    store: BoundedStore,
    key: SecretKey,
    origin: String,
    clock: SharedClock,
}

impl Vault {
    pub(super) fn new(store: SecretStoreHandle, key: SecretKey, origin: String, clock: SharedClock) -> Self {
        Self { store: BoundedStore::new(store, clock.clone()), key, origin, clock }
    }

    /// What is stored for this origin.
    async fn find(&self) -> Result<Found, Error> {
        let Some(text) = self.store.get(&self.key).await? else { return Ok(Found::Nothing) };
        Ok(match Record::parse(&text, &self.origin) {
            Reading::Ours(record) => Found::Login(record),
            Reading::Foreign => {
                self.set_aside(text).await;
                Found::Nothing
            }
            Reading::Unreadable => {
                self.set_aside(text).await;
                Found::Corrupt
            }
        })
    }

    async fn set_aside(&self, text: SecretString) {
        let key = self.key.set_aside();
        match self.store.put(&key, text).await {
            Ok(()) => tracing::warn!(key = key.as_str(), "a stored login that is not ours to read was set aside"),
            Err(error) => tracing::warn!(%error, "a stored login could not be set aside"),
        }
    }

    pub(super) async fn restore(&self) -> Result<Found, Error> {
        match self.find().await {
            // The store has set its file aside itself.
            Err(error) if error.code() == crate::codes::STORE_CORRUPT => Ok(Found::Corrupt),
            found => found,
        }
    }

    pub(super) async fn read(&self) -> Result<Option<Record>, Error> {
        Ok(match self.restore().await? {
            Found::Login(record) => Some(record),
            Found::Nothing | Found::Corrupt => None,
        })
    }

    /// Takes the lock, then reads.
    pub(super) async fn look(&self) -> (Looked, Option<StoreLock>) {
        match self.store.lock(LOCK_LIMIT).await {
            Err(error) => (Looked::Locked(error), None),
            Ok(lock) => match self.read().await {
                Ok(record) => (Looked::Read(record), Some(lock)),
                Err(error) => (Looked::Unreadable(error), Some(lock)),
            },
        }
    }

    pub(super) async fn write(&self, record: Record, how: How) -> Result<Wrote, Error> {
        let _lock = match how {
            How::Held => None,
            How::Replace | How::Over(_) => Some(self.store.lock(LOCK_LIMIT).await?),
        };
        if let How::Over(known) = how
            && let Some(stored) = self.read().await?
        {
            let known = known.is_some_and(|known| same(&known, &stored.refresh));
            if !known && !same(&stored.refresh, &record.refresh) {
                return Ok(Wrote::Newer(stored));
            }
        }
        let text = record.text(&self.origin, Moment::now(&self.clock));
        let text = text.map_err(|cause| Error::new(ENCODE).during("storing the session").with_source(cause))?;
        self.store.put(&self.key, text).await?;
        Ok(Wrote::Ours)
    }

    /// The key of what is owed: beside the login's, so that neither is ever taken for the other.
    fn owed_key(&self) -> SecretKey {
        SecretKey::new(&format!("{}_OWED", self.key.as_str()))
    }

    /// The sessions that an earlier run could not end.
    pub(super) async fn owed(&self) -> Result<Owed, Error> {
        let now = Moment::now(&self.clock);
        let text = self.store.get(&self.owed_key()).await?;
        Ok(text.map(|text| Owed::parse(&text, &self.origin, now)).unwrap_or_default())
    }

    /// Changes the stored list; other processes may have put theirs into it.
    pub(super) async fn change_owed(&self, change: Change) -> Result<(), Error> {
        let _lock = self.store.lock(REMOVAL_LOCK_LIMIT).await?;
        let mut owed = self.owed().await?;
        owed.apply(change);
        if owed.is_empty() {
            return self.store.delete(&self.owed_key()).await;
        }
        let text = owed.text(&self.origin);
        let text = text.map_err(|cause| Error::new(ENCODE).during("storing what is owed").with_source(cause))?;
        self.store.put(&self.owed_key(), text).await
    }

    pub(super) async fn remove(&self) -> Result<(), Error> {
        let _lock = self.store.lock(REMOVAL_LOCK_LIMIT).await.ok();
        self.store.delete(&self.key).await
    }
}
