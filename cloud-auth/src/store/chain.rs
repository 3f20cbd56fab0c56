//! The best store that works: keyring → encrypted file → memory, and the reason at every step down.
//!
//! A secret is put into the first rung that takes it, and removed from the others. Rungs come and go (a keyring is locked,
//! a desktop session ends), so a small ledger beside them says where each secret is: `{"version":1,"places":{KEY:
//! {"held","trying"}}}`, names of rungs only. A secret whose rung cannot be read now is an error and never "nothing
//! stored" (A16), and an older copy in another rung never takes its place (A2). The next write tries the better rungs
//! again, so a login moves up by itself. The last rung is memory: it is the session itself, which goes on with a secret
//! that was refused as `store.memory_only` and offers it again later.
use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{Error, clock::SharedClock};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    SecretKey, SecretStore, SecretStoreHandle, StoreLock,
    codes::{KEYRING_ABSENT, KEYRING_NOT_PERSISTENT, MEMORY_ONLY},
    whole_file::{Turn, Unread, WholeFile},
};
use crate::codes::{STORE_CORRUPT, STORE_FAILED, STORE_TIMEOUT};

/// How long a rung that hung is passed over: waiting for it delays everybody.
const REST: Duration = Duration::from_secs(300);

/// Where secrets are kept at the moment, for people to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChainStatus {
    /// The rung that took the last secret; `None` before the first one, and while only memory has it.
    pub place: Option<String>,
    /// The better ones, and why they did not take it.
    pub passed_over: Vec<PassedOver>,
}

/// A rung that did not take a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PassedOver {
    /// Its name.
    pub rung: String,
    /// Why, such as `store.keyring_locked`.
    pub code: &'static str,
    /// What somebody can do about it.
    pub advice: &'static str,
}

/// Several stores, best first. Clones share them.
#[derive(Clone)]
pub struct ChainStore {
    rungs: Vec<Rung>,
    ledger: WholeFile,
    clock: SharedClock,
    status: Arc<Mutex<ChainStatus>>,
    /// Writes take effect in the order they were asked for.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
struct Rung {
    name: String,
    store: SecretStoreHandle,
    /// Until when, by the monotonic clock, it is passed over.
    rests: Arc<Mutex<Option<(Duration, Error)>>>,
}

/// Where one secret is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// `None`: removed.
    held: Option<String>,
    /// A rung that may have taken a newer value, had the process not ended just then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trying: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Ledger {
    version: u32,
    places: BTreeMap<String, Place>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { version: 1, places: BTreeMap::new() }
    }
}

/// Whether the failure says that nothing can be in there, unless the ledger knows better.
fn holds_nothing(error: &Error) -> bool {
    [KEYRING_ABSENT, KEYRING_NOT_PERSISTENT].contains(&error.code())
}

fn decode(bytes: &[u8]) -> Result<Ledger, Unread> {
    serde_json::from_slice::<Ledger>(bytes).ok().filter(|ledger| ledger.version == 1).ok_or(Unread::Damaged)
}

impl ChainStore {
    /// A chain without rungs yet; `ledger` is the file that says where each secret is. Its directory is made when
    /// something is first stored.
    pub fn new(ledger: impl Into<PathBuf>) -> Self {
        Self {
            rungs: Vec::new(),
            ledger: WholeFile::new(ledger.into()),
            clock: SharedClock::default(),
            status: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// The usual chain of a desktop app: a vault in `directory` whose key is in the system's keyring under `service`.
    /// Add what else the host can offer, such as a vault with a passphrase; without it, only memory is left where there is
    /// no keyring. Nothing is ever kept in plain text.
    #[cfg(feature = "keyring")]
    pub fn with_keyring(service: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        use super::{KeyringStore, StoredKey, VaultStore};
        let directory = directory.into();
        let keyring = SecretStoreHandle::new(KeyringStore::new(service, directory.join("keyring")));
        let key = StoredKey::new(keyring, SecretKey::new("VAULT_KEY"));
        let vault = VaultStore::with_key_source(directory.join("login.vault"), key);
        Self::new(directory.join("login.places")).or("keyring", SecretStoreHandle::new(vault))
    }

    /// Adds a rung below the present ones. The name is for people and for the ledger: it must stay the same, and be
    /// another one for each rung.
    #[must_use]
    pub fn or(mut self, name: &str, store: SecretStoreHandle) -> Self {
        self.rungs.push(Rung { name: name.to_owned(), store, rests: Arc::default() });
        self
    }

    /// Waits and counts on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.ledger.clock = clock.clone();
        self.clock = clock;
        self
    }

    /// Which store has the secrets, and why not a better one. As of the last write.
    pub fn status(&self) -> ChainStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rung(&self, name: Option<&str>) -> Option<&Rung> {
        self.rungs.iter().find(|rung| Some(rung.name.as_str()) == name)
    }

    /// The ledger; `None` when there is none, or none that can be read.
    async fn ledger(&self) -> Result<Option<Ledger>, Error> {
        match self.ledger.load(decode).await {
            // It holds nothing that could be lost: all rungs are asked then.
            Err(error) if error.code() == STORE_CORRUPT => Ok(None),
            ledger => ledger,
        }
    }

    /// Writes where `key` is.
    async fn record(&self, key: &SecretKey, place: Place) -> Result<(), Error> {
        let turn: Turn = self.ledger.writing().await?;
        let key = key.as_str().to_owned();
        let change = move |ledger: Option<Ledger>| {
            let mut ledger = ledger.unwrap_or_default();
            if ledger.places.get(&key) == Some(&place) {
                return Ok(None);
            }
            ledger.places.insert(key, place);
            let text = serde_json::to_vec(&ledger).map_err(|cause| Error::new(STORE_FAILED).with_source(cause))?;
            Ok(Some(Zeroizing::new(text)))
        };
        self.ledger.change(turn, false, decode, change).await
    }

    /// Looks into every rung, best first; used where nobody wrote down which.
    async fn search(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let mut unsure = None;
        for rung in &self.rungs {
            match rung.store.get(key).await {
                Ok(Some(value)) => return Ok(Some(value)),
                Ok(None) => {}
                // Nothing was ever there.
                Err(error) if holds_nothing(&error) => {}
                Err(error) => unsure = unsure.or(Some(error)),
            }
        }
        unsure.map_or(Ok(None), Err)
    }

    /// Offers a value to one rung.
    async fn offer(&self, rung: &Rung, key: &SecretKey, value: &SecretString, held: Option<&str>) -> Result<(), Error> {
        let now = self.clock.monotonic();
        let resting = rung.rests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = resting.filter(|(until, _)| *until > now) {
            return Err(error);
        }
        let to_itself = held == Some(rung.name.as_str());
        if !to_itself {
            // Before anything is written there: a reader must know of both places from then on.
            let place = Place { held: held.map(str::to_owned), trying: Some(rung.name.clone()) };
            self.record(key, place).await?;
        }
        let result = rung.store.put(key, value.clone()).await;
        let rest = result.as_ref().err().filter(|error| error.code() == STORE_TIMEOUT);
        let rest = rest.map(|error| (now.saturating_add(REST), error.clone()));
        *rung.rests.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        result?;
        if !to_itself {
            self.record(key, Place { held: Some(rung.name.clone()), trying: None }).await?;
        }
        for other in self.rungs.iter().filter(|other| other.name != rung.name) {
            // An old copy that stays is never read: the ledger says where the new one is.
            if let Err(error) = other.store.delete(key).await {
                tracing::debug!(rung = other.name, code = error.code().as_str(), "an older copy could not be removed");
            }
        }
        Ok(())
    }

    fn show(&self, status: ChainStatus) {
        let mut shown = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != status {
            let why = status.passed_over.first().map_or("", |passed| passed.code);
            tracing::info!(place = status.place.as_deref().unwrap_or("memory"), why, "secrets are kept elsewhere now");
            *shown = status;
        }
    }
}

impl fmt::Debug for ChainStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rungs: Vec<_> = self.rungs.iter().map(|rung| &rung.name).collect();
        f.debug_struct("ChainStore").field("rungs", &rungs).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for ChainStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let Some(ledger) = self.ledger().await? else { return self.search(key).await };
        let Some(place) = ledger.places.get(key.as_str()) else {
            // The ledger knows of every secret that was ever put: what cannot be read now holds none.
            return Ok(self.search(key).await.unwrap_or_default());
        };
        let tried = match self.rung(place.trying.as_deref()) {
            Some(rung) => rung.store.get(key).await,
            None => Ok(None),
        };
        if let Ok(Some(value)) = tried {
            return Ok(Some(value));
        }
        let held = match (self.rung(place.held.as_deref()), &place.held) {
            (Some(rung), _) => rung.store.get(key).await?,
            // The host has taken that rung out of the chain.
            (None, Some(_)) => self.search(key).await?,
            (None, None) => None,
        };
        match (held, tried) {
            (Some(value), _) => Ok(Some(value)),
            (None, Err(error)) if !holds_nothing(&error) => Err(error),
            (None, _) => Ok(None),
        }
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let place = self.ledger().await?.unwrap_or_default().places.remove(key.as_str()).unwrap_or_default();
        let mut status = ChainStatus::default();
        let (mut first, mut of_holder) = (None, None);
        for rung in &self.rungs {
            match self.offer(rung, key, &value, place.held.as_deref()).await {
                Ok(()) => {
                    status.place = Some(rung.name.clone());
                    self.show(status);
                    return Ok(());
                }
                Err(error) => {
                    let (code, advice) = (error.code().as_str(), error.code().advice());
                    status.passed_over.push(PassedOver { rung: rung.name.clone(), code, advice });
                    if place.held.as_deref() == Some(&rung.name) {
                        of_holder = Some(error.clone());
                    }
                    first = first.or(Some(error));
                }
            }
        }
        self.show(status);
        let memory = Error::new(MEMORY_ONLY).during("storing a secret");
        Err(of_holder.unwrap_or_else(|| match first {
            Some(cause) => memory.with_source(cause),
            None => memory,
        }))
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let place = self.ledger().await?.unwrap_or_default().places.remove(key.as_str()).unwrap_or_default();
        // First of all: what cannot be removed now is not read any more.
        let recorded = self.record(key, Place::default()).await;
        let mut failed = None;
        for rung in &self.rungs {
            if let Err(error) = rung.store.delete(key).await {
                let held = place.held.as_deref() == Some(&rung.name);
                let tried = place.trying.as_deref() == Some(&rung.name);
                if held || (tried && !holds_nothing(&error)) {
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(recorded, Err)
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::holding(self.ledger.locked(".lock").await?))
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
