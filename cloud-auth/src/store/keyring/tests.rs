//! A keyring that behaves badly in every way there is: each is told by a code of its own, and none is "nothing stored".
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex as StdMutex, PoisonError},
};

use zeroize::Zeroizing;

use super::*;
use crate::testing::secret_store_conformance;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Absent,
    Locked,
    Denied,
    TooSmall,
    /// Takes everything and has nothing.
    Amnesic,
    Hangs,
}

#[derive(Debug)]
struct Fake {
    entries: StdMutex<BTreeMap<String, Vec<u8>>>,
    mood: StdMutex<Mood>,
    freed: Condvar,
}

impl Fake {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { entries: StdMutex::default(), mood: StdMutex::new(mood), freed: Condvar::new() })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.freed.notify_all();
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, Mood) -> T) -> Result<T, Refusal> {
        let mut mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        while *mood == Mood::Hangs {
            mood = self.freed.wait(mood).unwrap();
        }
        match *mood {
            Mood::Absent => Err(Refusal::Absent(cause("no bus"))),
            Mood::Locked => Err(Refusal::Locked),
            Mood::Denied => Err(Refusal::Denied(cause("prompt dismissed"))),
            mood => Ok(work(&mut self.entries.lock().unwrap(), mood)),
        }
    }
}

impl Ring for Fake {
    fn get(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        self.with(|entries, _| entries.get(name).cloned().map(Zeroizing::new))
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        self.with(|entries, mood| match mood {
            Mood::TooSmall => Err(Refusal::TooSmall(cause("2560"))),
            Mood::Amnesic => Ok(()),
            _ => {
                entries.insert(name.to_owned(), value.to_vec());
                Ok(())
            }
        })?
    }

    fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.with(|entries, _| drop(entries.remove(name)))
    }
}

fn store(ring: &Arc<Fake>, directory: &tempfile::TempDir) -> KeyringStore {
    KeyringStore::on(Arc::clone(ring) as Arc<dyn Ring>, directory.path().join("login"))
}

#[tokio::test]
async fn a_keyring_keeps_the_promises_of_the_seam() {
    let directory = tempfile::tempdir().unwrap();
    secret_store_conformance(&store(&Fake::new(Mood::Well), &directory)).await.unwrap();
}

#[tokio::test]
async fn a16_every_way_of_not_working_has_a_code_of_its_own_and_is_no_empty_keyring() {
    let directory = tempfile::tempdir().unwrap();
    let key = SecretKey::new("KEY");
    let ring = Fake::new(Mood::Well);
    let store = store(&ring, &directory);
    store.put(&key, "secret".into()).await.unwrap();
    let mut seen = BTreeSet::new();
    for (mood, code) in [
        (Mood::Absent, KEYRING_ABSENT),
        (Mood::Locked, KEYRING_LOCKED),
        (Mood::Denied, KEYRING_DENIED),
        (Mood::TooSmall, KEYRING_TOO_SMALL),
        (Mood::Amnesic, KEYRING_NOT_PERSISTENT),
    ] {
        ring.set(mood);
        assert_eq!(store.put(&key, "other".into()).await.unwrap_err().code(), code, "{mood:?}");
        match store.get(&key).await {
            Ok(kept) => assert_eq!(kept.unwrap().expose_secret(), "secret", "{mood:?}: the former value is whole"),
            Err(error) => assert_eq!(error.code(), code, "{mood:?}"),
        }
        seen.insert(code.as_str());
        ring.set(Mood::Well);
        assert!(store.get(&key).await.unwrap().is_some(), "{mood:?} passes");
    }
    assert_eq!(seen.len(), 5);
}

/// Time that passes only while somebody waits for the keyring: Tokio's own stands still while a thread is busy.
#[derive(Debug)]
struct Impatient(Arc<Fake>, StdMutex<Duration>);

#[async_trait]
impl cloud_client::clock::Clock for Impatient {
    fn wall(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        *self.1.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        if *self.0.mood.lock().unwrap() != Mood::Hangs {
            std::future::pending::<()>().await;
        }
        *self.1.lock().unwrap() += duration;
    }
}

#[tokio::test]
async fn d02_a_keyring_that_hangs_is_given_up_and_takes_one_thread_only() {
    let directory = tempfile::tempdir().unwrap();
    let key = SecretKey::new("KEY");
    let ring = Fake::new(Mood::Hangs);
    let clock = SharedClock::new(Impatient(Arc::clone(&ring), StdMutex::default()));
    let store = store(&ring, &directory).with_clock(clock.clone());
    for calls in 1..4 {
        assert_eq!(store.get(&key).await.unwrap_err().code(), STORE_TIMEOUT);
        assert_eq!(clock.monotonic(), CALL_LIMIT * calls);
    }
    assert_eq!(
        Arc::strong_count(&ring),
        4,
        "the test's, the clock's, the store's, and that of the one call that hangs"
    );
    ring.set(Mood::Well);
    store.put(&key, "late".into()).await.unwrap();
    assert!(store.get(&key).await.unwrap().is_some());
}
