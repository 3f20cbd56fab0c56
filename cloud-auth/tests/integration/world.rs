//! A scripted cloud, a store, and the session between them.
use std::time::Duration;

use cloud_auth::{
    Auth,
    status::AuthStatus,
    store::{MemoryStore, SecretStoreHandle},
};
use cloud_client::{
    Client,
    retry::Policy,
    testing::{Scripted, Sent, Step},
};

pub(crate) const ORIGIN: &str = "https://cloud.example";

pub(crate) fn client(cloud: &Scripted) -> Client {
    let builder = Client::builder(ORIGIN, "sb_publishable_test").expect("a good address");
    builder.transport(cloud.shared()).retry(Policy::never()).build()
}

pub(crate) fn open(cloud: &Scripted, store: &MemoryStore) -> Auth {
    Auth::builder(client(cloud), SecretStoreHandle::new(store.clone())).open()
}

/// A session as the server issues it: tokens `at-<n>` and `rt-<n>`.
pub(crate) fn grant(n: u32) -> Step {
    grant_for("u1", n)
}

pub(crate) fn grant_for(user: &str, n: u32) -> Step {
    Step::json(
        200,
        &format!(
            r#"{{"access_token":"at-{n}","token_type":"bearer","expires_in":3600,"expires_at":1,"refresh_token":"rt-{n}",
            "user":{{"id":"{user}","email":"{user}@example.com","aud":"authenticated"}}}}"#
        ),
    )
}

pub(crate) fn no_profile() -> [Step; 2] {
    [Step::json(200, "[]"), Step::json(200, "[]")]
}

pub(crate) fn refusal(status: u16, word: &str) -> Step {
    Step::json(status, &format!(r#"{{"code":"{word}","message":"no"}}"#)).header("x-supabase-api-version", "2024-01-01")
}

/// Lets everything run that can, and `seconds` of time go by.
pub(crate) async fn pass(seconds: u64) {
    #[expect(clippy::disallowed_methods, reason = "time is paused: this only lets the other tasks run")]
    tokio::time::sleep(Duration::from_millis(seconds * 1000 + 1)).await;
}

pub(crate) fn refreshes(cloud: &Scripted) -> Vec<Sent> {
    cloud.sent().into_iter().filter(|sent| sent.target.contains("grant_type=refresh_token")).collect()
}

/// Signs `u1` in with `at-1` and `rt-1`.
pub(crate) async fn signed_in(cloud: &Scripted, store: &MemoryStore) -> Auth {
    let auth = open(cloud, store);
    assert!(!auth.settled().await.is_signed_in());
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.expect("signed in");
    pass(0).await;
    assert!(matches!(auth.status(), AuthStatus::SignedIn(_)));
    auth
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
}
