//! A store that forgets everything when the process ends: for tests, and for hosts that want no login to last.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cloud_client::Error;
use secrecy::SecretString;

use super::{SecretKey, SecretStore};

/// Secrets in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<SecretKey, SecretString>>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<SecretKey, SecretString>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("secrets", &self.with(|map| map.len())).finish()
    }
}

#[async_trait]
impl SecretStore for MemoryStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        Ok(self.with(|map| map.get(key).cloned()))
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.with(|map| map.insert(key.clone(), value));
        Ok(())
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.with(|map| map.remove(key));
        Ok(())
    }
}
