//! Signing in and out, and what lasts.
use std::time::Duration;

use cloud_auth::{
    Scope, SendOptions, SignUp,
    status::{AuthStatus, SignOutReason},
    store::MemoryStore,
};
use cloud_client::{
    TokenSource as _,
    testing::{Scripted, Step},
};
use secrecy::ExposeSecret as _;

use crate::world::{grant, no_profile, open, pass, refreshes, refusal, signed_in};

#[tokio::test(start_paused = true)]
async fn a_password_signs_in_and_requests_carry_the_token() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let first = cloud.sent().remove(0);
    assert_eq!(first.target, "POST /auth/v1/token?grant_type=password");
    assert_eq!(first.body, r#"{"email":"u1@example.com","password":"secret"}"#);
    assert_eq!(first.header("x-supabase-api-version"), "2024-01-01");
    assert_eq!(first.header("authorization"), "");
    let token = auth.token().await.unwrap().unwrap();
    assert_eq!(token.secret.expose_secret(), "at-1");
    assert!(refreshes(&cloud).is_empty());
}

#[tokio::test(start_paused = true)]
async fn l02_closing_keeps_the_login() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    assert!(auth.close(Duration::from_secs(1)).await);
    assert_eq!(auth.token().await.unwrap_err().code().as_str(), "client.closed");
    let sent = cloud.sent().len();

    cloud.then([grant(2).after(Duration::from_secs(1))]);
    cloud.then(no_profile());
    let auth = open(&cloud, &store);
    let AuthStatus::SignedIn(session) = auth.settled().await else { panic!("the login is gone") };
    assert!(!session.verified && session.user.email.as_deref() == Some("u1@example.com"));
    pass(1).await;
    let AuthStatus::SignedIn(session) = auth.status() else { panic!("the login is gone") };
    assert!(session.verified && session.stored);
    assert_eq!(cloud.sent()[sent].body, r#"{"refresh_token":"rt-1"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_says_so_and_changes_nothing() {
    let (cloud, store) = (Scripted::new([refusal(400, "invalid_credentials")]), MemoryStore::new());
    let auth = open(&cloud, &store);
    let error = auth.sign_in_with_password("ada@example.com", "wrong".into()).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.server_code()), ("auth.invalid_credentials", Some("invalid_credentials")));
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: SignOutReason::NeverSignedIn });
    for (email, password) in [("", "x"), ("ada", "x"), ("a b@c", "x"), ("ada@example.com", "")] {
        assert!(auth.sign_in_with_password(email, password.into()).await.is_err(), "{email}");
    }
    assert_eq!(cloud.sent().len(), 1, "what cannot be right is not sent");
}

#[tokio::test(start_paused = true)]
async fn sign_up_outcomes_are_told_apart_by_shape() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let sign_up = || auth.sign_up("ada@example.com", "long enough".into(), SendOptions::default());
    cloud.then([Step::json(200, r#"{"id":"u7","email":"ada@example.com","identities":[{"provider":"email"}]}"#)]);
    assert!(matches!(sign_up().await.unwrap(), SignUp::ConfirmEmail(user) if user.id.as_str() == "u7"));
    cloud.then([Step::json(200, r#"{"id":"made-up","email":"ada@example.com","identities":[]}"#)]);
    assert_eq!(sign_up().await.unwrap(), SignUp::MaybeRegistered);
    let weak = r#"{"code":"weak_password","message":"m","weak_password":{"reasons":["length","pwned"]}}"#;
    cloud.then([Step::json(422, weak), refusal(422, "user_already_exists"), refusal(422, "signup_disabled")]);
    let error = sign_up().await.unwrap_err();
    assert_eq!((error.code().as_str(), error.detail()), ("auth.weak_password", Some("length, pwned")));
    assert_eq!(sign_up().await.unwrap_err().code().as_str(), "auth.user_exists");
    assert_eq!(sign_up().await.unwrap_err().code().as_str(), "auth.signup_disabled");
    cloud.then([grant(1)]);
    assert!(matches!(sign_up().await.unwrap(), SignUp::SignedIn(_)));
    assert!(auth.status().is_signed_in());
}

#[tokio::test(start_paused = true)]
async fn signing_out_removes_the_secret_even_when_the_server_is_away() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let outcome = auth.sign_out(Scope::Local).await.unwrap();
    assert!(outcome.removed.is_ok());
    assert_eq!(outcome.revoked.unwrap_err().code().as_str(), "net.connect");
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: SignOutReason::Asked });
    assert!(auth.token().await.unwrap().is_none());
    let next = open(&Scripted::default(), &store);
    assert!(!next.settled().await.is_signed_in(), "and no start brings it back");
    next.close(Duration::from_secs(1)).await;

    let auth = signed_in(&cloud, &store).await;
    cloud.then([Step::answer(204, "text/plain", "")]);
    assert!(auth.sign_out(Scope::Global).await.unwrap().revoked.is_ok());
    let last = cloud.sent().pop().unwrap();
    assert_eq!(
        (last.target.as_str(), last.header("authorization")),
        ("POST /auth/v1/logout?scope=global", "Bearer at-1")
    );
}
