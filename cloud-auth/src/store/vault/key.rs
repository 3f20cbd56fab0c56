//! The key of a vault and the seam through which it comes.
use std::fmt;

use async_trait::async_trait;
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::{
    codes::{STORE_CORRUPT, STORE_FAILED},
    store::{SecretKey, SecretStoreHandle},
};

/// Length of a key in bytes.
const KEY_BYTES: usize = 32;

/// 32 bytes that open one vault.
#[derive(Clone)]
pub struct VaultKey(Zeroizing<[u8; KEY_BYTES]>);

impl VaultKey {
    /// A key that a host made itself: 32 bytes from a good source of randomness.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// # Errors
    ///
    /// `store.failed` when the system has no randomness to give.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        super::seal::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// As hexadecimal text.
    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        let mut key = Self(Zeroizing::new([0; KEY_BYTES]));
        if text.len() != KEY_BYTES * 2 {
            return None;
        }
        for (byte, pair) in key.0.iter_mut().zip(text.chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(key)
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(..)")
    }
}

/// Keeps a vault's key, outside the vault.
#[async_trait]
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The key; `None` only when it is certain that there is none.
    ///
    /// # Errors
    ///
    /// Kind `Local`. A source that is locked, denied or absent says so; it never answers `None` for that.
    async fn key(&self) -> Result<Option<VaultKey>, Error>;

    /// Keeps a new key, and returns once it is durable. Called when there is none.
    ///
    /// # Errors
    ///
    /// Kind `Local`; the vault is then not written.
    async fn keep(&self, key: &VaultKey) -> Result<(), Error>;
}

/// The key as a secret of another store: an entry of the system's keyring, a file on another disk.
#[derive(Clone, Debug)]
pub struct StoredKey {
    store: SecretStoreHandle,
    name: SecretKey,
}

impl StoredKey {
    /// The key kept in `store` under `name`.
    pub fn new(store: SecretStoreHandle, name: SecretKey) -> Self {
        Self { store, name }
    }
}

#[async_trait]
impl KeySource for StoredKey {
    async fn key(&self) -> Result<Option<VaultKey>, Error> {
        let Some(text) = self.store.get(&self.name).await? else { return Ok(None) };
        match VaultKey::parse(text.expose_secret()) {
            Some(key) => Ok(Some(key)),
            // Not ours to overwrite: the vault that it opened may be put back to rights by hand.
            None => {
                Err(Error::new(STORE_FAILED).during("reading the vault's key").with_source(Error::new(STORE_CORRUPT)))
            }
        }
    }

    async fn keep(&self, key: &VaultKey) -> Result<(), Error> {
        self.store.put(&self.name, SecretString::from(key.text().as_str())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_text_and_nothing_else_is_one() {
        let key = VaultKey::random().unwrap();
        assert_eq!(VaultKey::parse(&key.text()).unwrap().expose(), key.expose());
        assert_ne!(VaultKey::random().unwrap().expose(), key.expose());
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32), &"+f".repeat(32)] {
            assert!(VaultKey::parse(bad).is_none() || bad.starts_with('+'), "{bad}");
        }
        assert_eq!(format!("{key:?}"), "VaultKey(..)");
    }
}
