//! What one does to one's account: what is sent, what is told, and what fails.
use std::time::Duration;

use cloud_auth::{
    Auth, IdToken,
    account::UserChange,
    events::AuthChange,
    status::AuthStatus,
    store::{MemoryStore, SecretStoreHandle},
};
use cloud_client::{
    TokenSource as _,
    events::{Heard, Listener},
    testing::{Scripted, Step},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    disk::Disk,
    world::{client, grant, no_profile, open, pass, refreshes, refusal, signed_in},
};

fn user(more: &Value) -> Step {
    let mut user = json!({ "id": "u1", "email": "u1@example.com", "phone": "", "aud": "authenticated" });
    for (name, value) in more.as_object().into_iter().flatten() {
        user[name] = value.clone();
    }
    Step::json(200, &user.to_string())
}

fn told(events: &mut Listener<cloud_auth::events::AuthEvent>) -> Vec<AuthChange> {
    std::iter::from_fn(|| match events.try_next() {
        Some(Heard::Event(event)) => Some(event.change),
        _ => None,
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn a_changed_user_is_shown_stored_and_told_once() {
    let (cloud, disk) = (Scripted::new([grant(1)]), Disk::default());
    cloud.then(no_profile());
    let auth = Auth::builder(client(&cloud), SecretStoreHandle::new(disk.clone())).open();
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    let mut events = auth.events();
    cloud.then([
        user(&json!({})),
        user(&json!({ "new_email": "ada@new.example" })),
        user(&json!({ "email": "ada@new.example" })),
    ]);
    auth.account().fetch().await.unwrap();
    assert_eq!(told(&mut events), [], "nothing is different");
    let change = UserChange::default().email("ada@new.example").redirect("app://done");
    let pending = auth.account().update(change).await.unwrap();
    assert_eq!(
        (pending.email.as_deref(), pending.new_email.as_deref()),
        (Some("u1@example.com"), Some("ada@new.example"))
    );
    let sent = cloud.sent().pop().unwrap();
    assert_eq!(sent.target, "PUT /auth/v1/user?redirect_to=app%3A%2F%2Fdone");
    assert_eq!((sent.body.as_str(), sent.header("authorization")), (r#"{"email":"ada@new.example"}"#, "Bearer at-1"));
    assert_eq!(auth.status().user(), Some(&pending));
    assert_eq!(told(&mut events), [AuthChange::UserUpdated { user: pending }]);
    // Confirmed on another device meanwhile.
    let changed = auth.account().fetch().await.unwrap();
    assert_eq!(told(&mut events), [AuthChange::UserUpdated { user: changed }]);
    pass(0).await;
    assert!(disk.text().contains("ada@new.example") && disk.text().contains("rt-1"), "{}", disk.text());
}

#[tokio::test(start_paused = true)]
async fn a_start_tells_nobody_of_metadata_that_are_as_before() {
    let session = |n: u32, theme: &str| {
        let user = json!({ "id": "u1", "email": "u1@example.com", "user_metadata": { "theme": theme } });
        let grant = json!({ "access_token": format!("at-{n}"), "refresh_token": format!("rt-{n}"), "user": user });
        Step::json(200, &grant.to_string())
    };
    let (cloud, disk) = (Scripted::new([session(1, "dark")]), Disk::default());
    cloud.then(no_profile());
    let open = || Auth::builder(client(&cloud), SecretStoreHandle::new(disk.clone())).open();
    let auth = open();
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    for (n, theme, told_of) in [(2, "dark", 0), (3, "light", 1), (4, "light", 0)] {
        auth.close(Duration::from_secs(1)).await;
        assert!(!disk.text().contains("theme"), "the metadata themselves are not kept");
        cloud.then([session(n, theme)]);
        let auth = open();
        let mut events = auth.events();
        auth.settled().await;
        pass(1).await;
        assert_eq!(auth.status().user().unwrap().user_metadata["theme"], theme);
        let updates = told(&mut events);
        let updates = updates.iter().filter(|change| matches!(change, AuthChange::UserUpdated { .. }));
        assert_eq!(updates.count(), told_of, "start {n}");
        auth.close(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_password_goes_with_whatever_the_cloud_wants_to_see() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let change = |secret: &str| UserChange::default().password(secret.to_owned().into());
    let cases = [
        ((400, "reauthentication_needed"), "auth.reauthentication_needed"),
        ((422, "reauthentication_not_valid"), "auth.nonce_invalid"),
        ((400, "current_password_required"), "auth.current_password_required"),
        ((400, "current_password_invalid"), "auth.current_password_wrong"),
        ((422, "same_password"), "auth.same_password"),
        ((422, "weak_password"), "auth.weak_password"),
        ((401, "insufficient_aal"), "auth.mfa_required"),
        ((422, "user_sso_managed"), "auth.sso_managed"),
        ((422, "email_exists"), "auth.user_exists"),
    ];
    for ((status, word), expected) in cases {
        cloud.then([refusal(status, word)]);
        let error = auth.account().update(change("new password")).await.unwrap_err();
        assert_eq!(error.code().as_str(), expected);
    }
    for bad in [String::new(), "x".repeat(73)] {
        assert_eq!(auth.account().update(change(&bad)).await.unwrap_err().code().as_str(), "auth.password_invalid");
    }
    cloud.then([Step::json(200, "{}"), user(&json!({}))]);
    auth.account().reauthenticate().await.unwrap();
    assert_eq!(cloud.sent().pop().unwrap().target, "GET /auth/v1/reauthenticate");
    let change = change("new password").nonce("123456".into()).current_password("old".into());
    auth.account().update(change).await.unwrap();
    let body: Value = serde_json::from_str(&cloud.sent().pop().unwrap().body).unwrap();
    assert_eq!(body, json!({ "password": "new password", "nonce": "123456", "current_password": "old" }));
    assert!(refreshes(&cloud).is_empty(), "a refusal is no reason to doubt the session");
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_user_becomes_one_who_can_sign_in_again() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let nobody = json!({ "id": "u1", "email": "", "is_anonymous": true });
    let session = json!({ "access_token": "at-1", "refresh_token": "rt-1", "expires_in": 3600, "user": nobody });
    cloud.then([Step::json(200, &session.to_string())]);
    cloud.then(no_profile());
    let stranger = auth.sign_in_anonymously(None).await.unwrap();
    assert!(stranger.is_anonymous && stranger.email.is_none());
    assert!(serde_json::to_string(&auth.status()).unwrap().contains(r#""is_anonymous":true"#));
    pass(0).await;
    cloud.then([user(&json!({ "is_anonymous": false })), grant(2)]);
    let change = UserChange::default().email("u1@example.com").password("long enough".into());
    assert!(!auth.account().update(change).await.unwrap().is_anonymous);
    let token = auth.token().await.unwrap().unwrap();
    assert_eq!(token.secret.expose_secret(), "at-2", "row policies read it from the token");
}

#[tokio::test(start_paused = true)]
async fn identities_are_listed_linked_and_taken_away() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let identities = json!([
        { "identity_id": "i1", "id": "u1", "provider": "email", "email": "u1@example.com", "user_id": "u1" },
        { "identity_id": "i/2", "id": "g7", "provider": "google", "identity_data": { "name": "Ada" } },
    ]);
    cloud.then([user(&json!({ "identities": identities }))]);
    let listed = auth.account().identities().await.unwrap();
    assert_eq!((listed.len(), listed[1].provider.as_str()), (2, "google"));
    assert_eq!(listed[0].extra["user_id"], "u1", "what we do not name survives");
    cloud.then([Step::json(200, "{}"), user(&json!({}))]);
    auth.account().unlink(&listed[1].identity_id).await.unwrap();
    let sent = cloud.sent();
    assert_eq!(sent[sent.len() - 2].target, "DELETE /auth/v1/user/identities/i%2F2");
    for (word, status, expected) in [
        ("single_identity_not_deletable", 422, "auth.identity_needed"),
        ("identity_not_found", 422, "auth.identity_unknown"),
        ("manual_linking_disabled", 404, "auth.linking_disabled"),
    ] {
        cloud.then([refusal(status, word)]);
        assert_eq!(auth.account().unlink("i1").await.unwrap_err().code().as_str(), expected);
    }
    let linked = IdToken::new("apple", "idt".into()).nonce("raw".into());
    cloud.then([refusal(422, "identity_already_exists"), grant(2)]);
    let error = auth.account().link_id_token(linked.clone()).await.unwrap_err();
    assert_eq!(error.code().as_str(), "auth.user_exists");
    auth.account().link_id_token(linked).await.unwrap();
    let sent = cloud.sent().pop().unwrap();
    assert_eq!(
        (sent.target.as_str(), sent.header("authorization")),
        ("POST /auth/v1/token?grant_type=id_token", "Bearer at-1")
    );
    assert!(sent.body.contains(r#""link_identity":true"#));
    assert_eq!(auth.token().await.unwrap().unwrap().secret.expose_secret(), "at-2");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_in_nobodys_name() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    auth.settled().await;
    let account = auth.account();
    let refused = [
        account.fetch().await.map(drop),
        account.update(UserChange::default()).await.map(drop),
        account.reauthenticate().await,
        account.identities().await.map(drop),
        account.unlink("i").await,
        account.link_id_token(IdToken::new("google", "idt".into())).await.map(drop),
        auth.mfa().factors().await.map(drop),
        auth.mfa().enrol(None, None).await.map(drop),
        auth.mfa().unenrol(&cloud_auth::account::FactorId::new("f1")).await,
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().code().as_str(), "auth.not_signed_in");
    }
    assert!(cloud.sent().is_empty() && auth.mfa().assurance().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_refuses_is_replaced_behind_the_call() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    cloud.then([refusal(403, "bad_jwt"), grant(2), user(&json!({}))]);
    auth.account().fetch().await.unwrap();
    assert_eq!(refreshes(&cloud).len(), 1);
    assert_eq!(cloud.sent().pop().unwrap().header("authorization"), "Bearer at-2");
}

#[tokio::test(start_paused = true)]
async fn a06_a_call_that_hears_of_the_end_sends_the_session_to_see_for_itself() {
    for (answer, ends) in [(refusal(400, "session_not_found"), true), (grant(2), false)] {
        let (cloud, store) = (Scripted::default(), MemoryStore::new());
        let auth = signed_in(&cloud, &store).await;
        cloud.then([refusal(403, "session_not_found"), answer]);
        let error = auth.account().fetch().await.unwrap_err();
        assert_eq!(error.code().as_str(), "auth.session_over");
        assert_eq!(refreshes(&cloud).len(), 1);
        assert_eq!(matches!(auth.status(), AuthStatus::SignedIn(_)), !ends);
    }
}

#[tokio::test(start_paused = true)]
async fn a07_what_the_server_says_of_a_user_who_has_left_changes_nothing() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let late = user(&json!({ "email": "late@example.com" })).after(std::time::Duration::from_secs(5));
    cloud.then([late, Step::answer(204, "text/plain", "")]);
    let mut events = auth.events();
    let account = auth.account();
    let (fetched, left) = futures::join!(account.fetch(), async {
        pass(1).await;
        auth.sign_out(cloud_auth::Scope::Local).await
    });
    assert_eq!(fetched.unwrap_err().code().as_str(), "auth.superseded");
    assert!(left.is_ok() && matches!(told(&mut events).as_slice(), [AuthChange::SignedOut { .. }]));
}
