//! Several accounts side by side: of one cloud, and of different ones.
//!
//! Every account has a slot, and every (origin, slot) a key of its own in the store, so that a session never meets the
//! record of another (A11). Which accounts there are is a small list in the same store, `<prefix>ACCOUNTS`:
//! `{"version":1,"accounts":[{"origin","slot"}],"active":{origin: slot}}`. It holds no secret; who is behind a slot is read
//! from the session's own record. Changes of the list happen under the store's lock. Every call of the store is bounded in
//! time: ten seconds, and ten for the lock.
use std::{collections::BTreeMap, fmt};

use cloud_client::{Client, Error, clock::SharedClock};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Auth, AuthBuilder,
    codes::{ACCOUNT_UNKNOWN, STORE_CORRUPT, STORE_FAILED},
    session::record::{Reading, Record},
    status::UserId,
    store::{BoundedStore, LOCK_LIMIT, SecretKey, SecretStoreHandle},
};

/// One place for an account at a cloud. The first is where an app with a single account keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(u32);

impl Slot {
    /// The slot of an app that knows one account only.
    pub const FIRST: Self = Self(0);

    /// The key of this slot's session.
    pub(crate) fn key(self, prefix: &str, origin: &str) -> SecretKey {
        let first = SecretKey::refresh_token(prefix, origin);
        if self == Self::FIRST { first } else { SecretKey::new(&format!("{}_{}", first.as_str(), self.0)) }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An account as it can be shown. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// The cloud.
    pub origin: String,
    /// Its place.
    pub slot: Slot,
    /// Whether it is the one in use at its cloud.
    pub active: bool,
    /// Who is signed in there; `None` while nobody is.
    pub user: Option<UserId>,
    /// Their address, where they have one.
    pub email: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listed {
    origin: String,
    slot: Slot,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct List {
    version: u32,
    accounts: Vec<Listed>,
    active: BTreeMap<String, Slot>,
}

impl Default for List {
    fn default() -> Self {
        Self { version: 1, accounts: Vec::new(), active: BTreeMap::new() }
    }
}

impl List {
    fn has(&self, origin: &str, slot: Slot) -> bool {
        self.accounts.iter().any(|listed| listed.origin == origin && listed.slot == slot)
    }

    /// The first slot that nobody has.
    fn free(&self, origin: &str) -> Slot {
        (0..).map(Slot).find(|slot| !self.has(origin, *slot)).unwrap_or_default()
    }
}

/// The accounts kept in one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    store: SecretStoreHandle,
    /// The same, for the calls made here.
    bounded: BoundedStore,
    prefix: String,
}

impl Accounts {
    /// The accounts in `store` whose names begin with `prefix`, as [`AuthBuilder::key_prefix`] has it.
    pub fn new(store: SecretStoreHandle, prefix: &str) -> Self {
        let bounded = BoundedStore::new(store.clone(), SharedClock::default());
        Self { store, bounded, prefix: prefix.to_owned() }
    }

    /// All accounts, in the order they were added.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn list(&self) -> Result<Vec<Account>, Error> {
        let list = self.read().await?;
        let mut accounts = Vec::with_capacity(list.accounts.len());
        for Listed { origin, slot } in list.accounts {
            let text = self.bounded.get(&slot.key(&self.prefix, &origin)).await?;
            let user = text.and_then(|text| match Record::parse(&text, &origin) {
                Reading::Ours(record) => Some(record.user),
                Reading::Foreign | Reading::Unreadable => None,
            });
            let active = list.active.get(&origin) == Some(&slot);
            let (user, email) = user.map(|user| (user.id, user.email)).unzip();
            accounts.push(Account { origin, slot, active, user, email: email.flatten() });
        }
        Ok(accounts)
    }

    /// Makes room for one more account at the cloud of `client`, and makes it the active one there. Sign in with
    /// [`Accounts::auth`] next.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn add(&self, client: &Client) -> Result<Slot, Error> {
        let origin = client.origin().as_str().to_owned();
        self.change(move |list| {
            let slot = list.free(&origin);
            list.accounts.push(Listed { origin: origin.clone(), slot });
            list.active.insert(origin, slot);
            Ok(slot)
        })
        .await
    }

    /// The account in use at the cloud of `client`; [`Slot::FIRST`] where none was added yet.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn active(&self, client: &Client) -> Result<Slot, Error> {
        Ok(self.read().await?.active.get(client.origin().as_str()).copied().unwrap_or_default())
    }

    /// Makes another account the active one, for this and later starts. Sessions that are open stay as they are.
    ///
    /// # Errors
    ///
    /// `auth.account_unknown`, or what the store answers.
    pub async fn switch(&self, client: &Client, slot: Slot) -> Result<(), Error> {
        let origin = client.origin().as_str().to_owned();
        self.change(move |list| {
            if !list.has(&origin, slot) {
                return Err(Error::new(ACCOUNT_UNKNOWN));
            }
            list.active.insert(origin, slot);
            Ok(())
        })
        .await
    }

    /// Forgets an account and its stored login on this machine. Sign out first to end the session at the cloud as well.
    ///
    /// # Errors
    ///
    /// `auth.account_unknown`, or what the store answers; the account is then still listed.
    pub async fn remove(&self, client: &Client, slot: Slot) -> Result<(), Error> {
        let origin = client.origin().as_str().to_owned();
        if !self.read().await?.has(&origin, slot) {
            return Err(Error::new(ACCOUNT_UNKNOWN));
        }
        // The secret first: a listed account without a login is harmless, a login that nobody lists is not.
        self.bounded.delete(&slot.key(&self.prefix, &origin)).await?;
        self.change(move |list| {
            list.accounts.retain(|listed| listed.origin != origin || listed.slot != slot);
            let next = list.accounts.iter().find(|listed| listed.origin == origin).map(|listed| listed.slot);
            if list.active.get(&origin) == Some(&slot) {
                match next {
                    Some(next) => list.active.insert(origin, next),
                    None => list.active.remove(&origin),
                };
            }
            Ok(())
        })
        .await
    }

    /// The session of one account. Open it once; two handles on one slot share its login as two processes do.
    pub fn auth(&self, client: Client, slot: Slot) -> AuthBuilder {
        Auth::builder(client, self.store.clone()).key_prefix(&self.prefix).account(slot)
    }

    fn key(&self) -> SecretKey {
        SecretKey::new(&format!("{}ACCOUNTS", self.prefix))
    }

    async fn read(&self) -> Result<List, Error> {
        let Some(text) = self.bounded.get(&self.key()).await? else { return Ok(List::default()) };
        let list = serde_json::from_str::<List>(text.expose_secret()).ok().filter(|list| list.version == 1);
        // Written by a newer version, perhaps: it is not overwritten.
        list.ok_or_else(|| Error::new(STORE_CORRUPT).during("reading the list of accounts"))
    }

    async fn change<T>(&self, change: impl FnOnce(&mut List) -> Result<T, Error>) -> Result<T, Error> {
        let _lock = self.bounded.lock(LOCK_LIMIT).await?;
        let mut list = self.read().await?;
        let value = change(&mut list)?;
        let text = serde_json::to_string(&list).map_err(|cause| Error::new(STORE_FAILED).with_source(cause))?;
        self.bounded.put(&self.key(), SecretString::from(text)).await?;
        Ok(value)
    }
}
