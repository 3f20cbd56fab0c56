//! Staying signed in: one exchange for all, failures that pass, ends that fence, processes that share a store.
use std::time::Duration;

use cloud_auth::{
    Scope,
    codes::SUPERSEDED,
    events::AuthChange,
    status::{AuthStatus, SignOutReason},
    store::{FileStore, MemoryStore},
};
use cloud_client::{
    AccessToken, TokenSource as _,
    error::codes::CONNECT,
    events::Heard,
    testing::{Scripted, Step},
};
use futures::future::join_all;
use secrecy::ExposeSecret as _;

use crate::{
    disk::{Disk, Trouble},
    family::Family,
    world::{grant, grant_for, no_profile, open, pass, refreshes, refusal, signed_in},
};

fn text(token: Option<AccessToken>) -> Option<String> {
    token.map(|token| token.secret.expose_secret().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a01_a_hundred_callers_share_one_exchange() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let refused = auth.token().await.unwrap().unwrap();
    cloud.then([grant(2).after(Duration::from_secs(2))]);
    let tokens = join_all((0..100).map(|_| auth.replace(&refused))).await;
    assert!(tokens.into_iter().all(|token| text(token.unwrap()).as_deref() == Some("at-2")));
    assert_eq!(refreshes(&cloud).len(), 1);
    // Whoever comes later with the same refusal gets the token that is there.
    assert_eq!(text(auth.replace(&refused).await.unwrap()).as_deref(), Some("at-2"));
    assert_eq!(refreshes(&cloud).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a08_a_caller_that_goes_away_cancels_nothing() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let refused = auth.token().await.unwrap().unwrap();
    cloud.then([grant(2).after(Duration::from_secs(2))]);
    let clock = auth.client().clock().clone();
    assert!(clock.within(Duration::from_secs(1), auth.replace(&refused)).await.is_none(), "dropped half-way");
    pass(2).await;
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-2"));
    assert_eq!(refreshes(&cloud).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s2_75_a_token_is_renewed_a_minute_before_its_end() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    cloud.then([grant(2)]);
    pass(3530).await;
    assert!(refreshes(&cloud).is_empty());
    pass(20).await;
    assert_eq!(refreshes(&cloud).len(), 1);
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-2"));
}

#[tokio::test(start_paused = true)]
async fn l01_an_offline_start_keeps_the_login_and_recovers() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    signed_in(&cloud, &store).await.close(Duration::from_secs(1)).await;
    for code in ["net.connect", "server.unavailable"] {
        let step =
            || if code == "net.connect" { Step::fail(CONNECT) } else { Step::answer(503, "text/html", "<html>") };
        let cloud = Scripted::new((0..3).map(|_| step()));
        let auth = open(&cloud, &store);
        assert!(auth.settled().await.is_signed_in());
        let error = auth.token().await.unwrap_err();
        assert_eq!(error.code().as_str(), code);
        assert!(error.is_retryable());
        let AuthStatus::SignedIn(session) = auth.status() else { panic!("the login is gone") };
        assert_eq!((session.verified, session.problem), (false, Some(code)));
        // Back on the net. The timer finds out by itself.
        cloud.then([grant(1), grant(1), grant(1)]);
        pass(600).await;
        let AuthStatus::SignedIn(session) = auth.status() else { panic!("the login is gone") };
        assert!(session.verified && session.problem.is_none());
        auth.close(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn l04_a_failed_timed_refresh_is_tried_again_and_the_good_token_served_meanwhile() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    pass(3550).await;
    assert!(!refreshes(&cloud).is_empty(), "the script is empty: it failed");
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-1"), "still good for a while");
    pass(60).await;
    let error = auth.token().await.unwrap_err();
    assert_eq!(error.code(), CONNECT);
    cloud.then([grant(2)]);
    pass(300).await;
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-2"));
}

#[tokio::test(start_paused = true)]
async fn case_28_a_rate_limit_keeps_the_session_and_waits_a_minute() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    cloud.then([refusal(429, "over_request_rate_limit")]);
    let error = auth.refresh().await.unwrap_err();
    assert_eq!(error.code().as_str(), "auth.rate_limited");
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-1"));
    // Not even a person gets around it.
    assert_eq!(auth.refresh().await.unwrap_err().code().as_str(), "auth.rate_limited");
    assert_eq!(refreshes(&cloud).len(), 1);
    cloud.then([grant(2)]);
    pass(76).await;
    auth.refresh().await.unwrap();
    assert_eq!(refreshes(&cloud).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn case_27_a_lost_answer_is_made_good_by_the_old_token() {
    let (family, disk) = (Family::default(), Disk::default());
    let auth = family.open(disk.clone());
    auth.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    family.lose(0, crate::family::Lost::Answer);
    assert!(auth.refresh().await.is_err());
    assert!(disk.text().contains("rt-0-0"));
    auth.refresh().await.unwrap();
    assert!(disk.text().contains("rt-0-1"), "the server's current one: {}", disk.text());
}

#[tokio::test(start_paused = true)]
async fn a07_a_sign_out_fences_a_late_refresh() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let refused = auth.token().await.unwrap().unwrap();
    cloud.then([grant(2).after(Duration::from_secs(5)), Step::answer(204, "text/plain", "")]);
    let clock = auth.client().clock().clone();
    assert!(clock.within(Duration::from_secs(1), auth.replace(&refused)).await.is_none());
    let mut events = auth.events();
    auth.sign_out(Scope::Local).await.unwrap();
    pass(10).await;
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: SignOutReason::Asked });
    assert!(format!("{store:?}").contains("secrets: 0"));
    assert!(auth.replace(&refused).await.unwrap().is_none());
    let Some(Heard::Event(event)) = events.try_next() else { panic!("no news") };
    assert_eq!(event.change, AuthChange::SignedOut { reason: SignOutReason::Asked });
    assert_eq!(events.try_next(), None, "told once, and nothing after it");
}

#[tokio::test(start_paused = true)]
async fn a07_a_user_switch_fences_the_former_users_requests() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let former = auth.token().await.unwrap().unwrap();
    cloud.then([grant_for("u2", 7)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u2@example.com", "secret".into()).await.unwrap();
    assert_eq!(text(auth.token().await.unwrap()).as_deref(), Some("at-7"));
    assert!(auth.replace(&former).await.unwrap().is_none(), "nothing of u1 is repeated in the name of u2");
    assert_eq!(auth.status().user().unwrap().id.as_str(), "u2");
}

#[tokio::test(start_paused = true)]
async fn a07_a_sign_in_that_is_overtaken_by_a_sign_out_does_not_count() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    auth.settled().await;
    cloud.then([grant(1).after(Duration::from_secs(2)), Step::answer(204, "text/plain", "")]);
    let sign_in = auth.sign_in_with_password("u1@example.com", "secret".into());
    let sign_out = async {
        pass(1).await;
        auth.sign_out(Scope::Local).await
    };
    let (entered, left) = futures::join!(sign_in, sign_out);
    assert_eq!(entered.unwrap_err().code(), SUPERSEDED);
    assert!(left.is_ok());
    pass(1).await;
    assert!(!auth.status().is_signed_in());
    assert!(cloud.sent().iter().any(|sent| sent.target == "POST /auth/v1/logout?scope=local"), "ended at the server");
}

#[tokio::test(start_paused = true)]
async fn a06_an_ended_session_signs_out_once_with_its_reason() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let mut events = auth.events();
    let refused = auth.token().await.unwrap().unwrap();
    cloud.then([refusal(400, "session_expired")]);
    let answers = join_all((0..10).map(|_| auth.replace(&refused))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_none()));
    let reason = SignOutReason::SessionOver { server_code: "session_expired".to_owned() };
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: reason.clone() });
    let Some(Heard::Event(event)) = events.try_next() else { panic!("no news") };
    assert_eq!(event.change, AuthChange::SignedOut { reason });
    assert_eq!(events.try_next(), None);
    assert!(format!("{store:?}").contains("secrets: 0"));
}

#[tokio::test(start_paused = true)]
async fn a02_case_26_two_processes_never_overlap_and_never_spend_an_old_token() {
    let directory = tempfile::tempdir().unwrap();
    let family = Family::slow(Duration::from_millis(300));
    let path = directory.path().join("login");
    let one = family.open(FileStore::new(&path));
    one.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    let two = family.open(FileStore::new(&path));
    assert!(two.settled().await.is_signed_in());
    for _ in 0..5 {
        let (first, second) = futures::join!(one.refresh(), two.refresh());
        first.and(second).unwrap();
        // One of them falls behind by more than the server forgives.
        for _ in 0..3 {
            one.refresh().await.unwrap();
        }
    }
    family.books(|books| assert_eq!((books.overlap, books.stale), (1, 0)));
    assert!(one.status().is_signed_in() && two.status().is_signed_in());
}

#[tokio::test(start_paused = true)]
async fn d02_a_store_that_hangs_holds_up_nothing_and_is_no_sign_out() {
    let (family, disk) = (Family::default(), Disk::default());
    let first = family.open(disk.clone());
    first.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    first.close(Duration::from_secs(1)).await;
    disk.break_at(0, Trouble::HangBefore);
    let auth = family.open(disk.clone());
    assert_eq!(auth.status(), AuthStatus::Restoring);
    let clock = auth.client().clock().clone();
    let before = clock.monotonic();
    assert_eq!(auth.settled().await, AuthStatus::StoreUnavailable { code: "store.timeout" });
    assert!(clock.monotonic() - before <= Duration::from_millis(10_100));
    pass(10).await;
    assert!(auth.status().is_signed_in(), "the store answers again, and the login is there");
}

#[tokio::test(start_paused = true)]
async fn h01_closing_ends_within_its_limit_although_the_server_hangs() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    cloud.then([grant(2).after(Duration::from_secs(3600))]);
    let clock = auth.client().clock().clone();
    assert!(clock.within(Duration::from_secs(1), auth.refresh()).await.is_none());
    let before = clock.monotonic();
    assert!(!auth.close(Duration::from_secs(2)).await);
    assert!(clock.monotonic() - before <= Duration::from_millis(2101));
    assert_eq!(auth.refresh().await.unwrap_err().code().as_str(), "client.closed");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_an_exchange_that_ends_in_time() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    let client = crate::world::client(&cloud);
    let auth = cloud_auth::Auth::builder(client, cloud_auth::store::SecretStoreHandle::new(disk.clone())).open();
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    cloud.then([grant(2).after(Duration::from_secs(3))]);
    let clock = auth.client().clock().clone();
    assert!(clock.within(Duration::from_secs(1), auth.refresh()).await.is_none());
    assert!(auth.close(Duration::from_secs(5)).await);
    assert!(disk.text().contains("rt-2"), "what was spent has its answer stored");
}

#[tokio::test(start_paused = true)]
async fn d05_a_login_that_cannot_be_read_is_set_aside_and_told() {
    let (family, disk) = (Family::default(), Disk::default());
    let auth = family.open(disk.clone());
    auth.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    auth.close(Duration::from_secs(1)).await;
    disk.replace(|text| format!("damaged {text}"));
    let auth = family.open(disk.clone());
    assert_eq!(auth.settled().await, AuthStatus::SignedOut { reason: SignOutReason::StoreCorrupt });
    auth.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    assert!(disk.text().contains("damaged"), "kept under another name");
}
