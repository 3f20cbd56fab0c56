//! The end at every step: the store and the network fail or hang at each call, then the process dies.
use std::time::Duration;

use cloud_auth::status::AuthStatus;

use crate::{
    disk::{Disk, Trouble},
    family::{Family, Lost},
    world::pass,
};

async fn signed_in(family: &Family, disk: &Disk) {
    let auth = family.open(disk.clone());
    auth.sign_in_with_password("ada@example.com", "secret".into()).await.expect("signed in");
    pass(0).await;
    assert!(auth.close(Duration::from_secs(1)).await);
}

/// Starts again with a sound store: the login must be there and work.
async fn verdict(family: &Family, disk: &Disk, case: &str) {
    disk.heal();
    let auth = family.open(disk.clone());
    assert!(auth.settled().await.is_signed_in(), "{case}: the login is gone");
    // Longer than any pause after a failure.
    pass(600).await;
    assert!(matches!(auth.status(), AuthStatus::SignedIn(session) if session.verified && session.stored), "{case}");
    family.books(|books| assert_eq!(books.stale, 0, "{case}: a token two behind was spent"));
    auth.close(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a04_a_crash_at_any_call_of_the_store_or_the_network_keeps_a_working_login() {
    let troubles = [Trouble::FailBefore, Trouble::FailAfter, Trouble::HangBefore, Trouble::HangAfter];
    let losses = [None, Some((0, Lost::Request)), Some((0, Lost::Answer)), Some((1, Lost::Answer))];
    let mut cases = 0;
    for call in 0..12 {
        for trouble in troubles {
            for loss in losses {
                let (family, disk) = (Family::default(), Disk::default());
                signed_in(&family, &disk).await;
                disk.break_at(call, trouble);
                if let Some((nth, lost)) = loss {
                    family.lose(nth, lost);
                }
                let auth = family.open(disk.clone());
                for _ in 0..30 {
                    pass(600).await;
                    let hangs = matches!(trouble, Trouble::HangBefore | Trouble::HangAfter);
                    if disk.reached() && hangs {
                        break;
                    }
                }
                assert!(disk.reached(), "call {call} is never made");
                // Cut short, as a crash would.
                auth.close(Duration::ZERO).await;
                verdict(&family, &disk, &format!("{trouble:?} at call {call}, {loss:?}")).await;
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 192);
}

#[tokio::test(start_paused = true)]
async fn a04_a_crash_in_the_very_moment_keeps_a_working_login() {
    for call in 0..8 {
        for trouble in [Trouble::HangBefore, Trouble::HangAfter] {
            let (family, disk) = (Family::default(), Disk::default());
            signed_in(&family, &disk).await;
            disk.break_at(call, trouble);
            let auth = family.open(disk.clone());
            for _ in 0..40_000 {
                if disk.reached() {
                    break;
                }
                pass(1).await;
            }
            assert!(disk.reached());
            auth.close(Duration::ZERO).await;
            verdict(&family, &disk, &format!("{trouble:?} at call {call}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a03_a_store_that_fails_for_ever_costs_no_login() {
    for call in 0..8 {
        let (family, disk) = (Family::default(), Disk::default());
        signed_in(&family, &disk).await;
        disk.break_at(call, Trouble::FailForEver);
        let auth = family.open(disk.clone());
        pass(8 * 3600).await;
        // Unless the very first read failed, the session works all the time, only not durably.
        let status = auth.status();
        match call {
            0 => assert_eq!(status, AuthStatus::StoreUnavailable { code: "store.failed" }),
            _ => assert!(
                matches!(status, AuthStatus::SignedIn(session) if session.verified && session.problem.is_none())
            ),
        }
        auth.close(Duration::ZERO).await;
        verdict(&family, &disk, &format!("for ever from call {call}")).await;
    }
}
