//! A chain whose rungs fail in turn: nothing is lost, nothing old comes back, and every step down says why.
use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    codes::{KEYRING_DENIED, KEYRING_LOCKED},
    store::MemoryStore,
    testing::secret_store_conformance,
};

/// A store that can be made to fail.
#[derive(Clone, Debug, Default)]
struct Moody {
    secrets: MemoryStore,
    trouble: Arc<Mutex<Option<cloud_client::ErrorCode>>>,
    calls: Arc<Mutex<usize>>,
}

impl Moody {
    fn fail(&self, trouble: impl Into<Option<cloud_client::ErrorCode>>) {
        *self.trouble.lock().unwrap() = trouble.into();
    }

    fn check(&self) -> Result<(), Error> {
        *self.calls.lock().unwrap() += 1;
        self.trouble.lock().unwrap().map_or(Ok(()), |code| Err(Error::new(code)))
    }

    fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    async fn text(&self) -> Option<String> {
        self.secrets.get(&key()).await.unwrap().map(|secret| secret.expose_secret().to_owned())
    }
}

#[async_trait]
impl SecretStore for Moody {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        self.check()?;
        self.secrets.get(key).await
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        self.check()?;
        self.secrets.put(key, value).await
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        self.check()?;
        self.secrets.delete(key).await
    }
}

fn key() -> SecretKey {
    SecretKey::new("KEY")
}

struct World {
    directory: tempfile::TempDir,
    keyring: Moody,
    file: Moody,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), keyring: Moody::default(), file: Moody::default() }
    }

    /// A process of its own on the same stores.
    fn chain(&self) -> ChainStore {
        let handle = |store: &Moody| SecretStoreHandle::new(store.clone());
        let chain = ChainStore::new(self.directory.path().join("places"));
        chain.or("keyring", handle(&self.keyring)).or("file", handle(&self.file))
    }

    async fn read(&self) -> Result<Option<String>, &'static str> {
        let read = self.chain().get(&key()).await;
        read.map(|value| value.map(|value| value.expose_secret().to_owned())).map_err(|error| error.code().as_str())
    }

    async fn write(&self, value: &str) -> Result<ChainStatus, &'static str> {
        let chain = self.chain();
        let written = chain.put(&key(), value.into()).await;
        written.map(|()| chain.status()).map_err(|error| error.code().as_str())
    }
}

fn codes(status: &ChainStatus) -> Vec<&str> {
    status.passed_over.iter().map(|passed| passed.code).collect()
}

#[tokio::test]
async fn a_chain_keeps_the_promises_of_the_seam_also_with_its_first_rung_gone() {
    let world = World::new();
    secret_store_conformance(&world.chain()).await.unwrap();
    world.keyring.fail(KEYRING_ABSENT);
    secret_store_conformance(&world.chain()).await.unwrap();
}

#[tokio::test]
async fn a16_each_step_down_says_why_and_the_login_moves_up_again() {
    let world = World::new();
    world.keyring.fail(KEYRING_DENIED);
    let status = world.write("1").await.unwrap();
    assert_eq!((status.place.as_deref(), codes(&status)), (Some("file"), vec!["store.keyring_denied"]));
    assert!(!status.passed_over[0].advice.is_empty());
    world.keyring.fail(None);
    assert_eq!(world.read().await.unwrap().as_deref(), Some("1"), "found where it is");
    let status = world.write("2").await.unwrap();
    assert_eq!((status.place.as_deref(), codes(&status)), (Some("keyring"), vec![]));
    assert_eq!(
        (world.keyring.text().await.as_deref(), world.file.text().await),
        (Some("2"), None),
        "moved, not copied"
    );
    let shown = serde_json::to_string(&status).unwrap();
    assert_eq!(shown, r#"{"place":"keyring","passed_over":[]}"#);
}

#[tokio::test]
async fn a16_a_rung_that_holds_the_login_and_cannot_be_read_is_an_error_whatever_it_is() {
    for trouble in [KEYRING_ABSENT, KEYRING_LOCKED, KEYRING_DENIED, KEYRING_NOT_PERSISTENT, STORE_TIMEOUT] {
        let world = World::new();
        world.write("1").await.unwrap();
        world.keyring.fail(trouble);
        assert_eq!(world.read().await, Err(trouble.as_str()), "never: nothing stored");
        world.keyring.fail(None);
        assert_eq!(world.read().await.unwrap().as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a02_an_older_copy_never_takes_the_place_of_a_newer_one() {
    let world = World::new();
    world.write("1").await.unwrap();
    // The keyring is locked while the token rotates: the newer one goes to the file.
    world.keyring.fail(KEYRING_LOCKED);
    assert_eq!(world.write("2").await.unwrap().place.as_deref(), Some("file"));
    world.keyring.fail(None);
    assert_eq!(world.keyring.text().await.as_deref(), Some("1"), "it could not be removed");
    assert_eq!(world.read().await.unwrap().as_deref(), Some("2"));
    world.write("3").await.unwrap();
    assert_eq!(world.read().await.unwrap().as_deref(), Some("3"));
    // And a removed login does not come back from a keyring that was locked then.
    world.keyring.fail(KEYRING_LOCKED);
    assert!(world.chain().delete(&key()).await.is_err(), "it is still there, and that is told");
    world.keyring.fail(None);
    assert_eq!(world.keyring.text().await.as_deref(), Some("3"));
    assert_eq!(world.read().await.unwrap(), None);
}

#[tokio::test]
async fn with_no_rung_left_the_session_keeps_it_and_is_told() {
    let world = World::new();
    world.keyring.fail(KEYRING_ABSENT);
    world.file.fail(STORE_FAILED);
    assert_eq!(world.write("1").await, Err("store.memory_only"));
    // But where a durable copy exists, its own failure is what matters.
    world.file.fail(None);
    world.write("1").await.unwrap();
    world.file.fail(STORE_FAILED);
    assert_eq!(world.write("2").await, Err("store.failed"));
    assert_eq!(world.read().await, Err("store.failed"));
    world.file.fail(None);
    assert_eq!(world.read().await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_machine_without_a_keyring_starts_signed_out_and_a_locked_one_does_not() {
    let world = World::new();
    world.keyring.fail(KEYRING_ABSENT);
    assert_eq!(world.read().await, Ok(None));
    world.keyring.fail(KEYRING_LOCKED);
    assert_eq!(world.read().await, Err("store.keyring_locked"), "it may hold a login of an earlier installation");
}

#[tokio::test]
async fn a04_the_end_between_any_two_steps_of_a_move_loses_nothing() {
    // What each step leaves behind: (the ledger's word, keyring, file), moving "new" from the file up to the keyring.
    let place = |held: Option<&str>, trying: Option<&str>| Place {
        held: held.map(str::to_owned),
        trying: trying.map(str::to_owned),
    };
    let steps = [
        (place(Some("file"), None), None, Some("old"), "old"),
        (place(Some("file"), Some("keyring")), None, Some("old"), "old"),
        (place(Some("file"), Some("keyring")), Some("new"), Some("old"), "new"),
        (place(Some("keyring"), None), Some("new"), Some("old"), "new"),
        (place(Some("keyring"), None), Some("new"), None, "new"),
    ];
    for (place, in_keyring, in_file, expected) in steps {
        let world = World::new();
        for (store, value) in [(&world.keyring, in_keyring), (&world.file, in_file)] {
            if let Some(value) = value {
                store.secrets.put(&key(), value.into()).await.unwrap();
            }
        }
        world.chain().record(&key(), place.clone()).await.unwrap();
        assert_eq!(world.read().await.unwrap().as_deref(), Some(expected), "{place:?}");
        world.write("next").await.unwrap();
        assert_eq!(world.read().await.unwrap().as_deref(), Some("next"), "{place:?}");
    }
}

#[tokio::test]
async fn d05_a_damaged_ledger_costs_no_login() {
    let world = World::new();
    world.write("1").await.unwrap();
    std::fs::write(world.directory.path().join("places"), "{").unwrap();
    assert_eq!(world.read().await.unwrap().as_deref(), Some("1"));
    std::fs::write(world.directory.path().join("places"), "{").unwrap();
    world.keyring.fail(KEYRING_LOCKED);
    assert_eq!(world.read().await, Err("store.keyring_locked"));
}

#[tokio::test(start_paused = true)]
async fn d02_a_rung_that_hung_is_passed_over_for_five_minutes() {
    let world = World::new();
    let clock = SharedClock::default();
    let chain = world.chain().with_clock(clock.clone());
    world.keyring.fail(STORE_TIMEOUT);
    chain.put(&key(), "1".into()).await.unwrap();
    world.keyring.fail(None);
    let asked = world.keyring.calls();
    chain.put(&key(), "2".into()).await.unwrap();
    assert_eq!(chain.status().place.as_deref(), Some("file"));
    assert!(world.keyring.calls() <= asked + 1, "only to remove an older copy");
    clock.sleep(REST).await;
    chain.put(&key(), "3".into()).await.unwrap();
    assert_eq!(chain.status().place.as_deref(), Some("keyring"));
}
