//! An encrypted file: its passphrase, its key and what it keeps.
use cloud_dev::CloudDev;
use cloud_sdk::{
    ExposeSecret as _, SecretString,
    auth::{
        Auth,
        store::{SecretKey, SecretStoreHandle, StoredKey, VaultKey, VaultStore},
    },
    client::{Client, TokenSource as _},
};

use crate::{server, sinks::Sinks};

#[tokio::test]
async fn a12_neither_passphrase_nor_key_nor_contents_of_a_vault_come_out() {
    let mut sinks = Sinks::new();
    let server = server::start(CloudDev::builder()).await;
    let person = &server.demo().people[0];
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("vault");
    let vault = |passphrase: &'static str| {
        let store = VaultStore::with_passphrase(&path, SecretString::from(passphrase)).passphrase_cost(64, 1);
        SecretStoreHandle::new(store)
    };
    let passphrase = "a canary sits in the vault";
    let client = Client::builder(server.url(), server.publishable_key()).unwrap().build();
    let auth = Auth::builder(client, vault(passphrase)).open();
    auth.sign_in_with_password(&person.email, person.password.clone().into()).await.unwrap();
    sinks.debug(&vault(passphrase));
    let token = auth.token().await.unwrap().unwrap();
    let wrong = vault("another canary passphrase").get(&SecretKey::new("X")).await.unwrap_err();
    sinks.error(&wrong);
    auth.close(std::time::Duration::from_secs(5)).await;

    // The file itself is sealed: no part of what it keeps is in it, nor is what opens it.
    let sealed = std::fs::read(&path).unwrap();
    sinks.text("file", String::from_utf8_lossy(&sealed));

    // A key kept in another store; here in memory, so that every file can be searched.
    let keys = SecretStoreHandle::new(cloud_sdk::auth::store::MemoryStore::new());
    let name = SecretKey::new("VAULT_KEY");
    let by_key = VaultStore::with_key_source(home.path().join("by-key"), StoredKey::new(keys.clone(), name.clone()));
    let by_key = SecretStoreHandle::new(by_key);
    by_key.put(&SecretKey::new("X"), "a canary behind a key".into()).await.unwrap();
    sinks
        .text("debug", format!("{by_key:?} {keys:?} {:?}", VaultKey::from_bytes(*b"canary-key-of-thirty-two-bytes!!")));
    let kept = keys.get(&name).await.unwrap().unwrap();
    sinks.files(home.path(), &path);
    let mut secrets = vec![passphrase.to_owned(), "another canary passphrase".into(), "a canary behind a key".into()];
    secrets.extend([kept.expose_secret().to_owned(), "canary-key-of-thirty-two-bytes!!".into()]);
    secrets.extend([token.secret.expose_secret().to_owned(), person.password.clone()]);
    sinks.hold_none_of(&secrets);
    server.shutdown().await;
}
