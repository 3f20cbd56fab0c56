//! A whole life of a login over real HTTP, with the development cloud and a file.
use std::time::Duration;

use cloud_auth::{
    Auth, Scope, SendOptions, SignUp,
    status::{AuthStatus, SignOutReason},
    store::{FileStore, SecretStoreHandle},
};
use cloud_client::{Client, TokenSource as _, events::Heard};
use cloud_dev::{CloudDev, Running};

fn open(cloud: &Running, path: &std::path::Path) -> Auth {
    let client = Client::builder(cloud.url(), cloud.publishable_key()).expect("a good address").build();
    Auth::builder(client, SecretStoreHandle::new(FileStore::new(path))).open()
}

/// Waits until the status is as wanted; the test's own limit ends a wait that has no end.
async fn until(auth: &Auth, wanted: fn(&AuthStatus) -> bool) -> AuthStatus {
    let mut events = auth.events();
    let wait = async {
        while !wanted(&auth.status()) {
            assert!(matches!(events.next().await, Some(Heard::Event(_))));
        }
        auth.status()
    };
    let clock = auth.client().clock().clone();
    clock.within(Duration::from_secs(20), wait).await.expect("the status changes in time")
}

fn verified(status: &AuthStatus) -> bool {
    matches!(status, AuthStatus::SignedIn(session) if session.verified)
}

#[tokio::test]
async fn a_login_from_sign_up_to_sign_out() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app").join("login");
    let auth = open(&cloud, &path);
    assert_eq!(auth.settled().await, AuthStatus::SignedOut { reason: SignOutReason::NeverSignedIn });

    let (email, password) = ("lin@example.net", "a long password");
    assert!(matches!(auth.sign_up(email, password.into(), SendOptions::default()).await.unwrap(), SignUp::SignedIn(_)));
    let again = auth.sign_up(email, password.into(), SendOptions::default()).await.unwrap_err();
    assert_eq!(again.code().as_str(), "auth.user_exists");
    let context = auth.load_context().await.unwrap();
    assert_eq!(context.active().unwrap().role, "owner");
    assert!(context.profile.is_some() && context.active_organization().is_some());
    assert!(auth.sign_out(Scope::Local).await.unwrap().revoked.is_ok());

    let wrong = auth.sign_in_with_password(email, "wrong".into()).await.unwrap_err();
    assert_eq!(wrong.code().as_str(), "auth.invalid_credentials");
    let user = auth.sign_in_with_password(email, password.into()).await.unwrap();
    assert_eq!(user.email.as_deref(), Some(email));
    let first = auth.token().await.unwrap().unwrap();
    auth.refresh().await.unwrap();
    assert!(auth.token().await.unwrap().unwrap().generation > first.generation);
    // Loaded behind the sign-in; a start without a network can only know what was there before the end.
    auth.load_context().await.unwrap();
    assert!(auth.close(Duration::from_secs(5)).await);

    // The next start: offline first, then the cloud is back.
    cloud.set_offline(true);
    let auth = open(&cloud, &path);
    assert!(auth.settled().await.is_signed_in());
    assert!(auth.token().await.unwrap_err().is_retryable());
    assert!(auth.user_context().is_some(), "known from the last time");
    cloud.set_offline(false);
    auth.refresh().await.unwrap();
    assert!(verified(&auth.status()));

    // A token that the server refuses is replaced behind the call.
    cloud.expire_access_tokens();
    let profiles = auth.client().table("profiles").select(["id"]).fetch::<serde_json::Value>().await.unwrap();
    assert!(!profiles.is_empty());

    assert!(auth.sign_out(Scope::Global).await.unwrap().revoked.is_ok());
    auth.close(Duration::from_secs(5)).await;
    let auth = open(&cloud, &path);
    assert!(!auth.settled().await.is_signed_in());
    cloud.shutdown().await;
}

#[tokio::test]
async fn a06_a_session_that_the_server_ended_is_over_at_the_next_refresh() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let auth = open(&cloud, &path);
    auth.sign_up("lin@example.net", "a long password".into(), SendOptions::default()).await.unwrap();
    assert!(cloud.revoke_user("lin@example.net").await);
    assert_eq!(auth.refresh().await.unwrap_err().code().as_str(), "auth.not_signed_in");
    let status = until(&auth, |status| !status.is_signed_in()).await;
    assert!(matches!(status, AuthStatus::SignedOut { reason: SignOutReason::SessionOver { .. } }), "{status:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a02_two_handles_on_one_file_share_a_login() {
    let cloud = CloudDev::builder().refresh_reuse_interval(Duration::ZERO).start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("login");
    let one = open(&cloud, &path);
    one.sign_up("lin@example.net", "a long password".into(), SendOptions::default()).await.unwrap();
    let two = open(&cloud, &path);
    until(&two, verified).await;
    for _ in 0..5 {
        let (first, second) = futures::join!(one.refresh(), two.refresh());
        first.and(second).unwrap();
        one.refresh().await.unwrap();
        one.refresh().await.unwrap();
    }
    assert!(one.status().is_signed_in() && two.status().is_signed_in());
    cloud.shutdown().await;
}
