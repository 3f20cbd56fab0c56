//! A store that fails or hangs at a chosen call, and whose contents can be looked at.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cloud_auth::{
    codes::STORE_FAILED,
    store::{SecretKey, SecretStore},
};
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    FailBefore,
    FailAfter,
    HangBefore,
    HangAfter,
    /// This call and all later ones fail.
    FailForEver,
}

#[derive(Debug, Default)]
struct Inner {
    secrets: BTreeMap<String, String>,
    calls: usize,
    trouble: Option<(usize, Trouble)>,
    reached: bool,
}

/// Secrets in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes wrong at the call number `call` from now on.
    pub(crate) fn break_at(&self, call: usize, trouble: Trouble) {
        self.with(|inner| (inner.calls, inner.trouble, inner.reached) = (0, Some((call, trouble)), false));
    }

    pub(crate) fn heal(&self) {
        self.with(|inner| inner.trouble = None);
    }

    pub(crate) fn reached(&self) -> bool {
        self.with(|inner| inner.reached)
    }

    /// Everything that is stored, as one text.
    pub(crate) fn text(&self) -> String {
        self.with(|inner| inner.secrets.values().cloned().collect())
    }

    pub(crate) fn replace(&self, change: impl Fn(&str) -> String) {
        self.with(|inner| inner.secrets.values_mut().for_each(|text| *text = change(text)));
    }

    async fn call<T: Send>(&self, work: impl FnOnce(&mut BTreeMap<String, String>) -> T + Send) -> Result<T, Error> {
        let trouble = self.with(|inner| {
            let call = inner.calls;
            inner.calls += 1;
            let hit =
                inner.trouble.filter(|(at, trouble)| call == *at || (call > *at && *trouble == Trouble::FailForEver));
            inner.reached |= hit.is_some();
            hit.map(|(_, trouble)| trouble)
        });
        match trouble {
            None => Ok(self.with(|inner| work(&mut inner.secrets))),
            Some(Trouble::FailBefore | Trouble::FailForEver) => Err(Error::new(STORE_FAILED)),
            Some(Trouble::FailAfter) => {
                self.with(|inner| work(&mut inner.secrets));
                Err(Error::new(STORE_FAILED))
            }
            Some(Trouble::HangBefore) => std::future::pending().await,
            Some(Trouble::HangAfter) => {
                self.with(|inner| work(&mut inner.secrets));
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl SecretStore for Disk {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let found = self.call(|secrets| secrets.get(key.as_str()).cloned()).await?;
        Ok(found.map(SecretString::from))
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.call(|secrets| secrets.insert(key.as_str().to_owned(), value.expose_secret().to_owned())).await.map(drop)
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.call(|secrets| secrets.remove(key.as_str())).await.map(drop)
    }
}
