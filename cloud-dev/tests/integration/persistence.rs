//! A data directory: what survives a restart, and who may use it.

use std::{path::Path, time::Duration};

use cloud_dev::{CloudDev, StartError};
use serde_json::json;

use crate::caller::Caller;

fn on(directory: &Path) -> cloud_dev::Builder {
    CloudDev::builder().data_dir(directory)
}

#[tokio::test]
async fn keys_sessions_and_accounts_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = Caller::with(on(directory.path())).await;
    let keys = (first.cloud.anon_key().to_owned(), first.cloud.publishable_key().to_owned());
    let session = first.sign_in(0).await;
    let body = json!({ "email": "new@example.com", "password": "long enough" });
    assert_eq!(first.post("/auth/v1/signup", None, body.clone()).await.status, 200);
    first.cloud.shutdown().await;

    let second = Caller::with(on(directory.path())).await;
    assert_eq!(keys, (second.cloud.anon_key().to_owned(), second.cloud.publishable_key().to_owned()));
    let user = second.get("/auth/v1/user", Some(&session.text_at("/access_token"))).await;
    assert_eq!(user.status, 200, "{}", user.text);
    assert_eq!(second.refresh(&session.text_at("/refresh_token")).await.status, 200);
    assert_eq!(second.post("/auth/v1/signup", None, body).await.status, 422, "the account is there");
    second.cloud.shutdown().await;

    let third = Caller::with(on(directory.path()).discard_data()).await;
    let gone = third.get("/auth/v1/user", Some(&session.text_at("/access_token"))).await;
    assert_eq!(gone.text_at("/error_code"), "session_not_found", "the key is good, the session is not there");
    third.cloud.shutdown().await;
}

#[tokio::test]
async fn in_memory_every_start_has_its_own_keys() {
    let (one, two) = (Caller::start().await, Caller::start().await);
    assert_ne!(one.cloud.publishable_key(), two.cloud.publishable_key());
    assert_ne!(one.cloud.anon_key(), two.cloud.anon_key());
    let token = one.token().await;
    assert_eq!(two.get("/auth/v1/user", Some(&token)).await.text_at("/error_code"), "bad_jwt");
}

#[cfg(unix)]
#[tokio::test]
async fn files_with_secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let caller = Caller::with(on(directory.path())).await;
    caller.sign_in(0).await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, wanted, "{:?}", entry.file_name());
    }
    caller.cloud.shutdown().await;
    let keys = directory.path().join("keys.json");
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o644)).unwrap();
    Caller::with(on(directory.path())).await.cloud.shutdown().await;
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600, "tightened again");
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let running = on(directory.path()).start().await.unwrap();
    let again = on(directory.path()).start().await;
    assert!(matches!(again, Err(StartError::DataDirInUse { .. })), "{again:?}");
    let again = on(directory.path()).discard_data().start().await;
    assert!(matches!(again, Err(StartError::DataDirInUse { .. })), "{again:?}");
    let port: u16 = running.url().rsplit(':').next().unwrap().parse().unwrap();
    let busy = CloudDev::builder().port(port).start().await;
    assert!(matches!(busy, Err(StartError::PortInUse { port: named }) if named == port), "{busy:?}");
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let unusable = on(&file.join("below")).start().await;
    assert!(matches!(unusable, Err(StartError::DataDir { .. })), "{unusable:?}");
    let upstream = CloudDev::builder().ai_upstream("not an address").start().await;
    assert!(matches!(upstream, Err(StartError::Upstream { .. })), "{upstream:?}");
}

#[tokio::test]
async fn h1_a_shutdown_ends_even_while_an_answer_is_running() {
    let caller = Caller::with(CloudDev::builder().token_pace(Duration::from_secs(30))).await;
    let token = caller.token().await;
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "stream": true });
    let request = caller.request(reqwest::Method::POST, "/functions/v1/ai-proxy").bearer_auth(&token).json(&body);
    let running = request.send().await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(8), caller.cloud.shutdown()).await;
    assert!(stopped.is_ok());
    assert!(running.bytes().await.is_err(), "the answer was cut");
}
