//! The system's keyring as a store: what it says and what it leaves unsaid.
//!
//! call → one blocking thread (the keyring libraries wait, and some bring a runtime of their own) → [`Ring`] →
//! [`Refusal`] → one of the five `store.keyring_*` codes (A16). A keyring that hangs is given up after [`CALL_LIMIT`]; the
//! thread stays with it, and further calls queue behind it instead of taking more threads. What was written is read back:
//! a keyring that took it and has it no more is `store.keyring_not_persistent`.
//!
//! A whole login may be too long for some systems (Windows takes 2,560 bytes): keep a vault's key here and the login in
//! the vault, as [`ChainStore::with_keyring`](super::ChainStore::with_keyring) does.
mod system;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{Error, clock::SharedClock};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::{
    SecretKey, SecretStore, StoreLock,
    codes::{KEYRING_ABSENT, KEYRING_DENIED, KEYRING_LOCKED, KEYRING_NOT_PERSISTENT, KEYRING_TOO_SMALL},
    whole_file::{Bytes, WholeFile},
};
use crate::codes::{STORE_FAILED, STORE_TIMEOUT};

/// The longest a call may take: less than the session grants to a store.
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// What the keyring itself said. It names no secret.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Cause(Box<dyn std::error::Error + Send + Sync>);

/// Keeps what the keyring said.
fn cause(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Cause {
    Cause(cause.into())
}

/// Why a keyring did not do what was asked.
#[derive(Debug)]
enum Refusal {
    Absent(Cause),
    Locked,
    Denied(Cause),
    TooSmall(Cause),
    NotPersistent,
    Failed(Cause),
}

/// A keyring. Calls may wait for as long as they like.
trait Ring: fmt::Debug + Send + Sync {
    fn get(&self, name: &str) -> Result<Option<Bytes>, Refusal>;
    fn put(&self, name: &str, value: &[u8]) -> Result<(), Refusal>;
    fn delete(&self, name: &str) -> Result<(), Refusal>;
}

/// Secrets in the system's keyring: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.
#[derive(Clone)]
pub struct KeyringStore {
    ring: Arc<dyn Ring>,
    lock: WholeFile,
    clock: SharedClock,
    turn: Arc<Mutex<()>>,
}

impl KeyringStore {
    /// Entries of the app called `service`. Processes that share them take the lock `<lock_beside>.lock`, since keyrings
    /// have none. Nothing is asked yet.
    pub fn new(service: impl Into<String>, lock_beside: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(system::SystemRing::new(service.into())), lock_beside.into())
    }

    fn on(ring: Arc<dyn Ring>, lock_beside: PathBuf) -> Self {
        Self { ring, lock: WholeFile::new(lock_beside), clock: SharedClock::default(), turn: Arc::default() }
    }

    /// Bounds calls and waits for locks on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.lock.clock = clock.clone();
        self.clock = clock;
        self
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&dyn Ring) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Error> {
        let ring = Arc::clone(&self.ring);
        let turn = Arc::clone(&self.turn).lock_owned();
        let call = async {
            let turn = turn.await;
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work(&*ring)
            });
            work.await.unwrap_or_else(|error| Err(Refusal::Failed(cause(error))))
        };
        match self.clock.within(CALL_LIMIT, call).await {
            Some(result) => result.map_err(|refusal| refusal.error().during(operation)),
            None => Err(Error::new(STORE_TIMEOUT).during(operation)),
        }
    }
}

impl Refusal {
    fn error(self) -> Error {
        match self {
            Self::Absent(cause) => Error::new(KEYRING_ABSENT).with_source(cause),
            Self::Locked => Error::new(KEYRING_LOCKED),
            Self::Denied(cause) => Error::new(KEYRING_DENIED).with_source(cause),
            Self::TooSmall(cause) => Error::new(KEYRING_TOO_SMALL).with_source(cause),
            Self::NotPersistent => Error::new(KEYRING_NOT_PERSISTENT),
            Self::Failed(cause) => Error::new(STORE_FAILED).with_source(cause),
        }
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore").field("ring", &self.ring).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for KeyringStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let name = key.as_str().to_owned();
        self.call("reading from the keyring", move |ring| {
            let Some(bytes) = ring.get(&name)? else { return Ok(None) };
            // Somebody else's entry under our name: not ours to read as a login.
            let text = str::from_utf8(&bytes).map_err(|error| Refusal::Failed(cause(error)))?;
            Ok(Some(SecretString::from(text)))
        })
        .await
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        let name = key.as_str().to_owned();
        self.call("writing to the keyring", move |ring| {
            let bytes = value.expose_secret().as_bytes();
            ring.put(&name, bytes)?;
            let kept = ring.get(&name)?;
            if kept.is_some_and(|kept| *kept == bytes) { Ok(()) } else { Err(Refusal::NotPersistent) }
        })
        .await
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        let name = key.as_str().to_owned();
        self.call("removing from the keyring", move |ring| ring.delete(&name)).await
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::holding(self.lock.locked(".lock").await?))
    }
}

#[cfg(test)]
mod tests;
