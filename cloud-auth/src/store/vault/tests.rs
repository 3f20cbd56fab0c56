//! Wrong key, damage and absence are kept apart; a file that was copied says nothing.
use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::{
    codes::STORE_CORRUPT,
    store::{FileStore, MemoryStore, SecretStoreHandle},
    testing::secret_store_conformance,
};

const SECRET: &str = "rt-canary-1234";

fn name() -> SecretKey {
    SecretKey::new("KEY")
}

/// A vault whose key is in `keys`.
fn vault(path: &Path, keys: &MemoryStore) -> VaultStore {
    let source = StoredKey::new(SecretStoreHandle::new(keys.clone()), SecretKey::new("VAULT_KEY"));
    VaultStore::with_key_source(path, source)
}

fn with_passphrase(path: &Path, passphrase: &str) -> VaultStore {
    VaultStore::with_passphrase(path, passphrase.into()).passphrase_cost(8, 1)
}

async fn text(store: &VaultStore) -> Option<String> {
    store.get(&name()).await.unwrap().map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn both_kinds_of_vault_keep_the_promises_of_the_seam() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    secret_store_conformance(&vault(&path("one"), &MemoryStore::new())).await.unwrap();
    secret_store_conformance(&with_passphrase(&path("two"), "correct horse")).await.unwrap();
    let key = StoredKey::new(SecretStoreHandle::new(FileStore::new(path("key"))), SecretKey::new("VAULT_KEY"));
    secret_store_conformance(&VaultStore::with_key_source(path("three"), key)).await.unwrap();
}

#[tokio::test]
async fn a12_the_file_shows_no_secret_and_no_two_writes_are_alike() {
    let directory = tempfile::tempdir().unwrap();
    let (path, keys) = (directory.path().join("login"), MemoryStore::new());
    let store = vault(&path, &keys);
    store.put(&name(), SECRET.into()).await.unwrap();
    let first = fs::read(&path).unwrap();
    store.put(&name(), SECRET.into()).await.unwrap();
    let second = fs::read(&path).unwrap();
    assert_ne!(first, second);
    for bytes in [first, second] {
        assert!(!bytes.windows(4).any(|part| SECRET.as_bytes().windows(4).any(|secret| secret == part)));
    }
    assert!(!format!("{store:?}").contains(SECRET));
}

#[tokio::test]
async fn a16_a_wrong_passphrase_is_neither_damage_nor_absence_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    assert_eq!(text(&with_passphrase(&path, "right")).await, None, "absent");
    with_passphrase(&path, "right").put(&name(), SECRET.into()).await.unwrap();
    let wrong = with_passphrase(&path, "wrong");
    let before = fs::read(&path).unwrap();
    assert_eq!(wrong.get(&name()).await.unwrap_err().code(), KEY_WRONG);
    assert_eq!(wrong.put(&name(), "other".into()).await.unwrap_err().code(), KEY_WRONG);
    assert_eq!(wrong.delete(&name()).await.unwrap_err().code(), KEY_WRONG);
    assert_eq!(vault(&path, &MemoryStore::new()).get(&name()).await.unwrap_err().code(), KEY_MISSING);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(text(&with_passphrase(&path, "right")).await.as_deref(), Some(SECRET), "the cost is in the file");
    // Forgotten: on with a new file, and the old one stays.
    wrong.start_over().await.unwrap();
    wrong.put(&name(), "new".into()).await.unwrap();
    assert_eq!(text(&wrong).await.as_deref(), Some("new"));
    assert_eq!(fs::read(directory.path().join("login.locked-1")).unwrap(), before);
}

#[tokio::test]
async fn a16_a_key_that_is_gone_is_no_empty_vault_and_signing_in_again_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, keys) = (directory.path().join("login"), MemoryStore::new());
    vault(&path, &keys).put(&name(), SECRET.into()).await.unwrap();
    let before = fs::read(&path).unwrap();
    let amnesic = MemoryStore::new();
    let store = vault(&path, &amnesic);
    assert_eq!(store.get(&name()).await.unwrap_err().code(), KEY_MISSING);
    store.put(&name(), "new".into()).await.unwrap();
    assert_eq!(text(&store).await.as_deref(), Some("new"));
    assert_eq!(fs::read(directory.path().join("login.locked-1")).unwrap(), before);
    // The former key does not open the new file, and does not destroy it either.
    assert_eq!(vault(&path, &keys).put(&name(), "x".into()).await.unwrap_err().code(), KEY_WRONG);
    assert_eq!(text(&store).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn d05_damage_at_any_byte_is_set_aside_and_never_taken_for_a_wrong_key() {
    let directory = tempfile::tempdir().unwrap();
    let (path, keys) = (directory.path().join("login"), MemoryStore::new());
    vault(&path, &keys).put(&name(), SECRET.into()).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let mut cases = 0;
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..whole.len()).step_by(7).map(|length| whole[..length].to_vec());
    for bytes in flipped.chain(cut) {
        fs::write(&path, &bytes).unwrap();
        let store = vault(&path, &keys);
        assert_eq!(store.get(&name()).await.unwrap_err().code(), STORE_CORRUPT);
        assert_eq!(text(&store).await, None, "reported once");
        cases += 1;
        assert_eq!(fs::read(directory.path().join(format!("login.corrupt-{cases}"))).unwrap(), bytes);
    }
    assert!(cases > 150, "{cases}");
}

#[tokio::test]
async fn a_file_that_asks_for_too_much_memory_gets_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    with_passphrase(&path, "right").put(&name(), SECRET.into()).await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 32);
    bytes[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    let digest = sha2::Sha256::digest(&bytes);
    bytes.extend(digest);
    fs::write(&path, bytes).unwrap();
    assert_eq!(with_passphrase(&path, "right").get(&name()).await.unwrap_err().code(), STORE_CORRUPT);
}

use sha2::Digest as _;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_comes_back_and_any_other_key_does_not_open_it(
        text in proptest::collection::vec(any::<u8>(), 0..2000),
        key in any::<[u8; 32]>(),
        other in any::<[u8; 32]>(),
    ) {
        let (key, other) = (VaultKey::from_bytes(key), VaultKey::from_bytes(other));
        let bytes = seal::write(None, &key, &text).unwrap();
        let vault = seal::read(&bytes).unwrap();
        prop_assert!(vault.fits(&key));
        prop_assert_eq!(&*vault.open(&key).unwrap(), &text);
        prop_assert!(!vault.fits(&other) && vault.open(&other).is_none());
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(seal::read(&bytes).is_none());
    }
}
