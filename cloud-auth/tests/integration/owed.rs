//! Sign-outs that the server did not hear of, and how it does later.
use std::time::Duration;

use cloud_auth::{Auth, Scope, store::SecretStoreHandle};
use cloud_client::testing::{Scripted, Sent, Step};

use crate::{
    disk::{Disk, Trouble},
    world::{client, grant, no_profile, pass, refreshes, refusal},
};

fn open(cloud: &Scripted, disk: &Disk) -> Auth {
    Auth::builder(client(cloud), SecretStoreHandle::new(disk.clone())).open()
}

async fn signed_in(cloud: &Scripted, disk: &Disk) -> Auth {
    let auth = open(cloud, disk);
    auth.settled().await;
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.expect("signed in");
    pass(0).await;
    auth
}

fn log_outs(cloud: &Scripted) -> Vec<Sent> {
    cloud.sent().into_iter().filter(|sent| sent.target.contains("/logout")).collect()
}

fn ended() -> Step {
    Step::answer(204, "text/plain", "")
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_without_a_network_is_made_good_later() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    assert!(auth.sign_out(Scope::Global).await.unwrap().revoked.is_err());
    assert!(!auth.status().is_signed_in() && !disk.text().contains("rt-1"), "the login itself is gone at once");
    cloud.then([refusal(503, "no"), refusal(429, "over_request_rate_limit"), ended()]);
    pass(600).await;
    let sent = log_outs(&cloud);
    assert_eq!(sent.len(), 4, "the first one, two that failed, and the last");
    for again in sent.iter().skip(1) {
        // The user may be back on every device by then: only the one session is ended.
        assert_eq!(again.target, "POST /auth/v1/logout?scope=local");
        assert_eq!(again.header("authorization"), "Bearer at-1");
    }
    assert_eq!(disk.text(), "", "nothing is kept of it");
    pass(3600).await;
    assert_eq!(log_outs(&cloud).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_is_made_good_by_the_next_start() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    assert!(auth.sign_out(Scope::Local).await.unwrap().revoked.is_err());
    assert!(auth.close(Duration::from_secs(1)).await);
    assert!(disk.text().contains("at-1") && !disk.text().contains("rt-1"), "{}", disk.text());
    cloud.then([ended()]);
    let auth = open(&cloud, &disk);
    assert!(!auth.settled().await.is_signed_in(), "a06: what is owed is no login");
    pass(1).await;
    assert_eq!((log_outs(&cloud).len(), disk.text().as_str()), (2, ""));
}

#[tokio::test(start_paused = true)]
async fn it_is_forgotten_when_its_token_has_ended() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    auth.sign_out(Scope::Local).await.unwrap();
    pass(2 * 3600).await;
    let tries = log_outs(&cloud).len();
    assert!((4..=30).contains(&tries), "{tries}");
    assert_eq!(disk.text(), "");
    pass(24 * 3600).await;
    assert_eq!(log_outs(&cloud).len(), tries);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_token_had_ended_is_ended_by_memory_alone() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    // A night without a network.
    pass(8 * 3600).await;
    let before = refreshes(&cloud).len();
    let outcome = auth.sign_out(Scope::Local).await.unwrap();
    assert!(outcome.removed.is_ok() && outcome.revoked.is_err());
    assert_eq!(disk.text(), "", "no token that could sign in again is left on the disk");
    cloud.then([refusal(503, "no"), grant(2), refusal(503, "no"), grant(3), ended()]);
    pass(900).await;
    let spent: Vec<_> = refreshes(&cloud).into_iter().skip(before).map(|sent| sent.body).collect();
    assert_eq!(spent.len(), 4, "the sign-out's own, one that failed, and two that were answered: {spent:?}");
    assert!(spent.iter().all(|body| body.contains("rt-1")), "the predecessor still counts: {spent:?}");
    let last = log_outs(&cloud).pop().unwrap();
    assert_eq!(
        (last.target.as_str(), last.header("authorization")),
        ("POST /auth/v1/logout?scope=local", "Bearer at-3")
    );
    assert!(disk.text().is_empty() && !auth.status().is_signed_in());
    pass(7200).await;
    assert_eq!(log_outs(&cloud).len(), 2, "done");
}

#[tokio::test(start_paused = true)]
async fn what_only_memory_owes_is_given_up_in_time_and_does_not_hold_up_the_end() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    pass(8 * 3600).await;
    auth.sign_out(Scope::Local).await.unwrap();
    let before = refreshes(&cloud).len();
    pass(3 * 3600).await;
    let tries = refreshes(&cloud).len() - before;
    assert!((4..=24).contains(&tries), "{tries}");
    pass(24 * 3600).await;
    assert_eq!(refreshes(&cloud).len() - before, tries);

    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    pass(8 * 3600).await;
    auth.sign_out(Scope::Local).await.unwrap();
    assert!(auth.close(Duration::from_secs(1)).await);
    assert_eq!(disk.text(), "");
}

#[tokio::test(start_paused = true)]
async fn a05_what_is_owed_leaves_the_next_login_alone() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = signed_in(&cloud, &disk).await;
    auth.sign_out(Scope::Global).await.unwrap();
    cloud.then([grant(2)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    cloud.then([refusal(403, "session_not_found")]);
    pass(600).await;
    assert!(auth.status().is_signed_in() && disk.text().contains("rt-2"));
    assert!(!disk.text().contains("at-1"));
    let other = log_outs(&cloud).into_iter().skip(1).all(|sent| sent.header("authorization") == "Bearer at-1");
    assert!(other, "the new session is never named");
}

#[tokio::test(start_paused = true)]
async fn a04_a_store_that_fails_at_any_call_neither_keeps_the_user_in_nor_loses_the_next_login() {
    for call in 0..8 {
        for trouble in [Trouble::FailBefore, Trouble::FailAfter, Trouble::HangBefore, Trouble::HangAfter] {
            let (cloud, disk) = (Scripted::default(), Disk::default());
            let auth = signed_in(&cloud, &disk).await;
            disk.break_at(call, trouble);
            assert!(auth.sign_out(Scope::Local).await.is_ok(), "{trouble:?} at {call}");
            assert!(!auth.status().is_signed_in(), "{trouble:?} at {call}");
            pass(60).await;
            disk.heal();
            auth.close(Duration::ZERO).await;
            let auth = signed_in(&cloud, &disk).await;
            assert!(auth.status().is_signed_in() && disk.text().contains("rt-1"), "{trouble:?} at {call}");
            auth.close(Duration::ZERO).await;
        }
    }
}
