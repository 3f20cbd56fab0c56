//! What the file store does to the disk: rights, whole replacement, damage, and locks between processes.
use cloud_client::clock::SharedClock;
use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    store::{FileStore, SecretStore as _},
    testing::secret_store_conformance,
};

fn key() -> SecretKey {
    SecretKey::new("KEY")
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn both_stores_keep_the_promises_of_the_seam() {
    let directory = tempfile::tempdir().unwrap();
    secret_store_conformance(&FileStore::new(directory.path().join("login"))).await.unwrap();
    secret_store_conformance(&super::super::MemoryStore::new()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_file_and_its_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app").join("login");
    let store = FileStore::new(&path);
    store.put(&key(), "secret".into()).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(store.get(&key()).await.unwrap().is_some());
    assert_eq!(mode(&path), 0o600, "a file open to others is closed again");
}

#[tokio::test]
async fn d05_a_damaged_file_is_set_aside_and_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let store = FileStore::new(&path);
    for (n, damage) in ["", "{", "[]", r#"{"version":2,"secrets":{}}"#, "\u{0}\u{0}"].iter().enumerate() {
        fs::write(&path, damage).unwrap();
        assert_eq!(store.get(&key()).await.unwrap_err().code(), STORE_CORRUPT, "{damage:?}");
        assert!(store.get(&key()).await.unwrap().is_none());
        let aside = directory.path().join(format!("login.corrupt-{}", n + 1));
        assert_eq!(fs::read_to_string(aside).unwrap(), *damage);
        store.put(&key(), "new".into()).await.unwrap();
    }
    fs::write(&path, "damaged just before a write").unwrap();
    store.put(&key(), "new".into()).await.unwrap();
    assert!(store.get(&key()).await.unwrap().is_some());
    assert_eq!(names(directory.path()).iter().filter(|name| name.contains("corrupt")).count(), 6);
}

#[tokio::test]
async fn a04_a_write_that_fails_leaves_the_former_value_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let store = FileStore::new(&path);
    store.put(&key(), "former".into()).await.unwrap();
    let left_over = |names: Vec<String>| names.into_iter().filter(|name| name.ends_with(".new")).count();
    assert_eq!(left_over(names(directory.path())), 0, "no temporary file stays behind");
    // A directory where the file should go: the last step, the rename, must fail.
    let blocked = FileStore::new(directory.path().join("taken"));
    fs::create_dir(directory.path().join("taken")).unwrap();
    assert!(blocked.put(&key(), "later".into()).await.is_err());
    assert_eq!(left_over(names(directory.path())), 0);
    assert!(store.get(&key()).await.unwrap().is_some());
}

#[tokio::test]
async fn a02_two_handles_exclude_each_other_as_two_processes_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let (one, two) = (FileStore::new(&path), FileStore::new(&path));
    let held = one.lock().await.unwrap();
    assert!(open_lock(&directory.path().join("login.lock")).unwrap().try_lock().is_err(), "held by the first");
    let waits = two.lock();
    futures::pin_mut!(waits);
    assert!(futures::poll!(&mut waits).is_pending());
    drop(held);
    assert!(waits.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a14_a_lock_that_is_never_freed_is_waited_for_ten_seconds_and_not_stolen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let (one, two) = (FileStore::new(&path), FileStore::new(&path));
    let held = one.lock().await.unwrap();
    let clock = SharedClock::default();
    let before = clock.monotonic();
    assert_eq!(two.lock().await.unwrap_err().code(), STORE_LOCKED);
    let waited = clock.monotonic() - before;
    assert!((LOCK_WAIT..LOCK_WAIT * 2).contains(&waited), "{waited:?}");
    drop(held);
    assert!(two.lock().await.is_ok());
}

#[tokio::test]
async fn many_writers_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let writers = (0..24).map(|n| {
        let store = FileStore::new(&path);
        async move { store.put(&SecretKey::new(&format!("K{n}")), n.to_string().into()).await }
    });
    futures::future::try_join_all(writers).await.unwrap();
    let text = fs::read(&path).unwrap();
    assert_eq!(serde_json::from_slice::<Contents>(&text).unwrap().secrets.len(), 24);
}

#[tokio::test]
async fn a_dropped_write_still_keeps_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::new(directory.path().join("login"));
    let key = key();
    let mut first = Box::pin(store.put(&key, "first".into()));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    store.put(&key, "second".into()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().unwrap().expose_secret(), "second");
}
