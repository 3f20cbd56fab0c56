//! Where secrets are kept: the seam, and the stores that ship with us.
//!
//! The session's record goes in and comes back as one secret text under one [`SecretKey`]. A store that several
//! processes share offers a lock, so that a refresh token is never spent twice (A2). The session task is the only
//! caller; it bounds every call in time, so a keyring that hangs delays nothing but itself.
//!
//! | Store            | Feature   | Keeps secrets in                                            |
//! |------------------|-----------|-------------------------------------------------------------|
//! | [`MemoryStore`]  |           | the process                                                 |
//! | [`FileStore`]    |           | a plain file that only its owner can read                   |
//! | [`ChainStore`]   |           | the best of several stores that works, and says why not a better one |
//! | `VaultStore`     | `vault`   | an encrypted file; key from a passphrase or a `KeySource`   |
//! | `KeyringStore`   | `keyring` | the system's keyring                                        |
//!
//! Hosts with a store of their own run `testing::secret_store_conformance` on it.
mod bounded;
mod chain;
pub(crate) mod codes;
mod file;
#[cfg(feature = "keyring")]
mod keyring;
mod memory;
#[cfg(feature = "vault")]
mod vault;
mod whole_file;

use std::{any::Any, fmt, sync::Arc};

use async_trait::async_trait;
use cloud_client::Error;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

pub(crate) use bounded::{BoundedStore, LOCK_LIMIT};
#[cfg(feature = "keyring")]
pub use keyring::KeyringStore;
#[cfg(feature = "vault")]
pub use vault::{KeySource, StoredKey, VaultKey, VaultStore};
pub use {
    chain::{ChainStatus, ChainStore, PassedOver},
    file::FileStore,
    memory::MemoryStore,
};

/// The name of one secret: capital letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKey(String);

impl SecretKey {
    /// A key; characters that a key may not hold become `_`.
    pub fn new(name: &str) -> Self {
        let fold = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_uppercase() } else { '_' };
        Self(name.chars().map(fold).collect())
    }

    /// The key of the refresh token for one cloud: every origin has its own (A11).
    pub(crate) fn refresh_token(prefix: &str, origin: &str) -> Self {
        Self::of_origin(prefix, "REFRESH_TOKEN", origin)
    }

    /// The key of the browser sign-ins that wait, for one cloud.
    pub(crate) fn sign_ins(prefix: &str, origin: &str) -> Self {
        Self::of_origin(prefix, "SIGN_INS", origin)
    }

    fn of_origin(prefix: &str, what: &str, origin: &str) -> Self {
        let hash = Sha256::digest(origin.as_bytes());
        let part: String = hash.iter().take(6).map(|byte| format!("{byte:02X}")).collect();
        Self::new(&format!("{prefix}{what}_{part}"))
    }

    /// Where something that could not be read is kept (D5).
    pub(crate) fn set_aside(&self) -> Self {
        Self(format!("{}_SET_ASIDE", self.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps secrets.
///
/// Calls on one key take effect in the order they were made, also when a caller has dropped its future meanwhile.
/// Values never go into environment variables, arguments or logs.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// The value, or `None` when there is none.
    ///
    /// # Errors
    ///
    /// Kind `Local`. A store that is locked, denied or absent says so; it never answers `None` for that.
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error>;

    /// Replaces the value and returns once it is durable.
    ///
    /// # Errors
    ///
    /// Kind `Local`; the former value is then still whole.
    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error>;

    /// Removes the value and returns once that is durable. A value that is not there is no error.
    ///
    /// # Errors
    ///
    /// Kind `Local`.
    async fn delete(&self, key: &SecretKey) -> Result<(), Error>;

    /// Keeps other processes from refreshing until the guard is dropped. Stores of one process need none.
    ///
    /// # Errors
    ///
    /// `store.locked` when another process holds it for too long (A14).
    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::none())
    }
}

/// Holds a store's lock until it is dropped.
#[must_use = "the lock is freed when this is dropped"]
pub struct StoreLock(Option<Box<dyn Any + Send + Sync>>);

impl StoreLock {
    /// For stores that no other process uses.
    pub fn none() -> Self {
        Self(None)
    }

    /// Frees the lock by dropping `guard`.
    pub fn holding(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreLock(held: {})", self.0.is_some())
    }
}

/// A cheap-clone handle on a [`SecretStore`].
#[derive(Clone, Debug)]
pub struct SecretStoreHandle(Arc<dyn SecretStore>);

impl SecretStoreHandle {
    /// Wraps an implementation.
    pub fn new(store: impl SecretStore + 'static) -> Self {
        Self(Arc::new(store))
    }

    /// See [`SecretStore::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        self.0.get(key).await
    }

    /// See [`SecretStore::put`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.0.put(key, value).await
    }

    /// See [`SecretStore::delete`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.0.delete(key).await
    }

    pub(crate) async fn lock(&self) -> Result<StoreLock, Error> {
        self.0.lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_every_origin_has_its_own_key() {
        let key = |origin| SecretKey::refresh_token("APP_CLOUD_", origin);
        let first = key("https://a.example");
        assert!(first.as_str().starts_with("APP_CLOUD_REFRESH_TOKEN_"), "{first:?}");
        assert_ne!(first, key("https://b.example"));
        assert_eq!(first, key("https://a.example"));
        assert_eq!(SecretKey::new("a/b.c\n").as_str(), "A_B_C_");
    }
}
