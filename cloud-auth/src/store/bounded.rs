//! A store of secrets whose every call comes to an end, whatever the store itself would do: a keyring that hangs, or
//! another process that keeps the lock, holds up nobody for longer than the limits here.
use std::time::Duration;

use cloud_client::{Error, clock::SharedClock};
use secrecy::SecretString;

use super::{SecretKey, SecretStoreHandle, StoreLock};
use crate::codes::{STORE_LOCKED, STORE_TIMEOUT};

/// The longest a single call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The longest to wait for another process that holds the lock (A14).
pub(crate) const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// See the module. Clones are the same store.
#[derive(Clone, Debug)]
pub(crate) struct BoundedStore {
    store: SecretStoreHandle,
    clock: SharedClock,
}

impl BoundedStore {
    pub(crate) fn new(store: SecretStoreHandle, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    pub(crate) async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        self.bounded(self.store.get(key)).await
    }

    pub(crate) async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.bounded(self.store.put(key, value)).await
    }

    pub(crate) async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.bounded(self.store.delete(key)).await
    }

    /// The lock, waited for at most for `limit`.
    pub(crate) async fn lock(&self, limit: Duration) -> Result<StoreLock, Error> {
        let late = || Err(Error::new(STORE_LOCKED).during("locking the store of secrets"));
        self.clock.within(limit, self.store.lock()).await.unwrap_or_else(late)
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Err(Error::new(STORE_TIMEOUT).during("using the store of secrets"));
        self.clock.within(CALL_LIMIT, call).await.unwrap_or_else(late)
    }
}
