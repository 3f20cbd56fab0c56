//! An encrypted file: what it holds is of no use to whoever copies it without the key.
//!
//! secrets → JSON → [`seal`] → the same whole-file replacement as the plain store. The key comes from a [`KeySource`]
//! (32 bytes in the system's keyring, or wherever the host keeps them) or from a passphrase. Four cases are kept apart:
//! no file: nothing is stored; damaged: set aside and reported (D5); `store.key_wrong` and `store.key_missing`: the file
//! is whole and stays where it is, so neither is a sign-out.
mod key;
mod seal;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cloud_client::{Error, clock::SharedClock};
use secrecy::{ExposeSecret as _, SecretString};

pub use key::{KeySource, StoredKey, VaultKey};

use self::seal::{Cost, Derived};
use super::{
    SecretKey, SecretStore, StoreLock,
    codes::{KEY_MISSING, KEY_WRONG},
    whole_file::{Bytes, Contents, Unread, WholeFile},
};

/// Secrets in one encrypted file.
#[derive(Clone)]
pub struct VaultStore {
    pub(in crate::store) file: WholeFile,
    opener: Opener,
}

#[derive(Clone)]
enum Opener {
    Source(Arc<dyn KeySource>),
    /// The key is derived again only for another salt: that takes a while on purpose.
    Passphrase {
        passphrase: Arc<SecretString>,
        cost: Cost,
        derived: Arc<Mutex<Option<Derived>>>,
    },
}

/// What opens the file in one call.
#[derive(Clone)]
enum Means {
    Key(VaultKey),
    /// The source has none.
    Nothing,
    Passphrase {
        passphrase: Arc<SecretString>,
        cost: Cost,
        derived: Arc<Mutex<Option<Derived>>>,
    },
}

impl VaultStore {
    /// A vault in the file at `path` whose key `source` keeps. Nothing is opened yet.
    pub fn with_key_source(path: impl Into<PathBuf>, source: impl KeySource + 'static) -> Self {
        Self { file: WholeFile::new(path.into()), opener: Opener::Source(Arc::new(source)) }
    }

    /// A vault in the file at `path` whose key is derived from a passphrase by Argon2id (64 MiB, three passes; salt and
    /// cost are in the file). Nothing is opened yet; the first use takes some tenths of a second.
    pub fn with_passphrase(path: impl Into<PathBuf>, passphrase: SecretString) -> Self {
        let (passphrase, cost) = (Arc::new(passphrase), Cost::default());
        let opener = Opener::Passphrase { passphrase, cost, derived: Arc::default() };
        Self { file: WholeFile::new(path.into()), opener }
    }

    /// Derives the key of a *new* file with `memory_kib` KiB and `passes` passes: 8 to 1,048,576 and 1 to 16, what is
    /// beyond counts as the limit. Without effect where there is no passphrase.
    #[must_use]
    pub fn passphrase_cost(mut self, memory_kib: u32, passes: u32) -> Self {
        if let Opener::Passphrase { cost, .. } = &mut self.opener {
            *cost = Cost::new(memory_kib, passes);
        }
        self
    }

    /// Waits for locks on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.file.clock = clock;
        self
    }

    /// Keeps the present file under another name, so that the next secret starts a new one: the way on when the
    /// passphrase is forgotten.
    ///
    /// # Errors
    ///
    /// Kind `Local`.
    pub async fn start_over(&self) -> Result<(), Error> {
        self.file.start_over().await
    }

    async fn means(&self) -> Result<Means, Error> {
        Ok(match &self.opener {
            Opener::Source(source) => source.key().await?.map_or(Means::Nothing, Means::Key),
            Opener::Passphrase { passphrase, cost, derived } => {
                let (passphrase, derived) = (Arc::clone(passphrase), Arc::clone(derived));
                Means::Passphrase { passphrase, cost: *cost, derived }
            }
        })
    }

    async fn change(&self, change: impl FnOnce(&mut Contents) -> bool + Send + 'static) -> Result<(), Error> {
        // The turn comes first: two processes must not make two keys.
        let turn = self.file.writing().await?;
        let (means, made) = match (self.means().await?, &self.opener) {
            (Means::Nothing, Opener::Source(source)) => {
                let key = VaultKey::random()?;
                source.keep(&key).await?;
                (Means::Key(key), true)
            }
            (means, _) => (means, false),
        };
        let sealer = means.clone();
        let change = move |contents: Option<Contents>| {
            let mut contents = contents.unwrap_or_default();
            if change(&mut contents) { sealer.seal(&contents.bytes()?).map(Some) } else { Ok(None) }
        };
        // The key of a former file is gone for good where a new one had to be made.
        self.file.change(turn, made, move |bytes| means.open(bytes), change).await
    }
}

impl Means {
    fn open(&self, bytes: &[u8]) -> Result<Contents, Unread> {
        let vault = seal::read(bytes).ok_or(Unread::Damaged)?;
        let key = match (self, &vault.derivation) {
            (Self::Nothing, _) => return Err(Unread::Refused(Error::new(KEY_MISSING))),
            (Self::Key(key), None) => key.clone(),
            (Self::Passphrase { passphrase, derived, .. }, Some(derivation)) => {
                let mut known = derived.lock().unwrap_or_else(PoisonError::into_inner);
                match known.as_ref().filter(|known| known.derivation == *derivation) {
                    Some(known) => known.key.clone(),
                    None => {
                        let fresh = derivation.derive(passphrase.expose_secret()).map_err(Unread::Refused)?;
                        known.insert(fresh).key.clone()
                    }
                }
            }
            // Made with a passphrase and opened with a key, or the other way round.
            _ => return Err(Unread::Refused(Error::new(KEY_WRONG))),
        };
        if !vault.fits(&key) {
            return Err(Unread::Refused(Error::new(KEY_WRONG)));
        }
        vault.open(&key).and_then(|text| Contents::parse(&text)).ok_or(Unread::Damaged)
    }

    fn seal(&self, text: &[u8]) -> Result<Bytes, Error> {
        match self {
            Self::Nothing => Err(Error::new(KEY_MISSING)),
            Self::Key(key) => seal::write(None, key, text),
            Self::Passphrase { passphrase, cost, derived } => {
                let mut known = derived.lock().unwrap_or_else(PoisonError::into_inner);
                let derived = match &mut *known {
                    Some(derived) => derived,
                    none => none.insert(cost.salted()?.derive(passphrase.expose_secret())?),
                };
                seal::write(Some(&derived.derivation), &derived.key, text)
            }
        }
    }
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore").field("path", &self.file).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for VaultStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        // Where there is no file, nobody has to be asked for a key.
        if !self.file.exists().await? {
            return Ok(None);
        }
        let means = self.means().await?;
        let contents = self.file.load(move |bytes| means.open(bytes)).await?;
        Ok(contents.and_then(|mut contents| contents.take(key)))
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
        if !self.file.exists().await? {
            return Ok(());
        }
        let key = key.as_str().to_owned();
        self.change(move |contents| contents.remove(&key)).await
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::holding(self.file.locked(".lock").await?))
    }
}

#[cfg(test)]
mod tests;
