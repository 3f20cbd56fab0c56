//! The rules of the machine, one by one, and what no sequence of events may break.
use proptest::prelude::*;

use super::*;
use crate::{context::OrganizationId, status::SignOutReason};

#[test]
fn a03_a_token_is_shown_only_after_the_store_has_it() {
    let bench = Bench::storing();
    assert_eq!(bench.live().access.as_ref().unwrap().token.generation, 1, "still the former one");
    let bench = bench.written(Ok(Wrote::Ours));
    assert_eq!(bench.live().access.as_ref().unwrap().token.generation, 2);
    assert_eq!(bench.emitted(), [&AuthChange::TokenRefreshed]);
}

#[test]
fn a03_while_the_store_fails_the_token_that_it_has_is_spent() {
    let bench = Bench::storing().written(Err(Error::new(STORE_FAILED)));
    assert!(bench.emitted().contains(&&AuthChange::StoreDegraded { code: "store.failed" }));
    assert!(matches!(bench.machine.status(), Some(AuthStatus::SignedIn(session)) if !session.stored));
    // The store still fails when the next refresh is due: rt-1, which is stored, is spent, and not rt-2.
    let bench = bench.later(1).step(Event::Tick);
    assert_eq!(bench.name(), "saving");
    let bench = bench.written(Err(Error::new(STORE_FAILED))).step(Event::Asked(Ask::Now));
    let bench = bench.looked(Looked::Read(Some(record("u1", 1))));
    assert_eq!(bench.spent().as_deref(), Some("rt-1"));
    // The server no longer takes it: rt-2 is tried before anything is given up.
    let ticket = bench.awaited();
    let bench = bench.step(Event::Over { ticket, error: over() }).checked(Ok(Some(record("u1", 1))));
    assert_eq!(bench.spent().as_deref(), Some("rt-2"));
    let bench = bench.renewed("u1", 3).written(Ok(Wrote::Ours));
    assert!(bench.emitted().contains(&&AuthChange::StoreRecovered));
    assert!(matches!(bench.machine.status(), Some(AuthStatus::SignedIn(session)) if session.stored));
}

#[test]
fn a06_a_newer_token_in_the_store_is_tried_before_the_end() {
    let bench = Bench::checking().checked(Ok(Some(record("u1", 7))));
    assert_eq!(bench.spent().as_deref(), Some("rt-7"));
    let ticket = bench.awaited();
    let bench = bench.step(Event::Over { ticket, error: over() }).checked(Ok(Some(record("u1", 7))));
    assert_eq!(bench.name(), "out");
    let reason = SignOutReason::SessionOver { server_code: "session_not_found".to_owned() };
    assert_eq!(bench.emitted(), [&AuthChange::SignedOut { reason }], "told once");
}

#[test]
fn a06_a_store_that_cannot_be_read_ends_no_session() {
    let bench = Bench::checking().checked(Err(Error::new(STORE_FAILED)));
    assert_eq!(bench.name(), "idle");
    assert_eq!(bench.live().trouble.as_ref().unwrap().error.code(), STORE_FAILED);
}

#[test]
fn a02_a_newer_token_of_another_process_is_spent_instead_of_ours() {
    let bench = Bench::looking().looked(Looked::Read(Some(record("u1", 4))));
    assert_eq!(bench.spent().as_deref(), Some("rt-4"));
}

#[test]
fn a07_another_user_in_the_store_is_a_switch_and_fences_the_former_tokens() {
    let bench = Bench::looking().looked(Looked::Read(Some(record("u2", 4)))).renewed("u2", 5);
    let bench = bench.written(Ok(Wrote::Ours));
    assert!(
        matches!(bench.emitted().as_slice(), [AuthChange::SignedIn { user, verified: true }, ..] if user.id.as_str() == "u2")
    );
    assert!(bench.live().floor > 1 && bench.live().context.is_none());
}

#[test]
fn a07_a_sign_in_begun_before_a_sign_out_does_not_count() {
    let bench = Bench::out().step(LOCAL);
    let late = fresh("u1", 1, bench.now);
    let bench = bench.step(Event::Entered { arrival: Arrival::default(), entry: 1, fresh: late, user: user("u1") });
    assert_eq!(bench.name(), "out");
    assert!(matches!(bench.effects.as_slice(), [Effect::Revoke { .. }]), "ended at the server, too");
}

#[test]
fn a05_failures_back_off_up_to_five_minutes_and_a_success_forgets_them() {
    let mut bench = Bench::sending();
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench = bench.failed(connect());
        let wait = bench.machine.wake_in(bench.now).unwrap();
        waits.push(wait);
        bench = bench.later(wait.as_secs() + 1).step(Event::Tick);
        assert_eq!(bench.name(), "looking");
        bench = bench.looked(Looked::Read(Some(record("u1", 1))));
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert_eq!(waits.last(), Some(&Duration::from_secs(150)), "half of five minutes at half the jitter");
    let bench = bench.renewed("u1", 2).written(Ok(Wrote::Ours)).later(3590).step(Event::Tick);
    let bench = bench.looked(Looked::Read(None)).failed(connect());
    assert!(bench.machine.wake_in(bench.now).unwrap() < Duration::from_secs(1));
}

#[test]
fn a09_refusals_without_end_are_paced_and_a_person_is_not() {
    let mut bench = Bench::idle();
    let (mut n, mut refreshes) = (1, 0);
    for _ in 0..100 {
        bench.effects.clear();
        let refused = bench.live().access.as_ref().unwrap().token.generation;
        bench = bench.later(1).step(Event::Asked(Ask::Refused(refused)));
        if bench.name() == "looking" {
            refreshes += 1;
            bench = bench.looked(Looked::Read(Some(record("u1", n)))).renewed("u1", n + 1).written(Ok(Wrote::Ours));
            n += 1;
        }
    }
    assert_eq!(refreshes, 12);
    assert_eq!(bench.live().trouble.as_ref().unwrap().error.code(), crate::codes::REFRESH_PACED);
    assert_eq!(bench.clone().step(Event::Tick).name(), "idle");
    assert_eq!(bench.step(Event::Asked(Ask::Now)).name(), "looking");
}

#[test]
fn a_removal_that_failed_is_tried_again() {
    let bench = Bench::idle().step(LOCAL);
    let ticket = bench.awaited();
    let bench = bench.step(Event::Removed { ticket, result: Err(Error::new(STORE_FAILED)) });
    assert!(!bench.emitted().is_empty() && bench.machine.wake_in(bench.now).is_some());
    let bench = bench.later(1).step(Event::Tick);
    assert!(matches!(bench.effects.as_slice(), [Effect::Remove(again)] if *again == ticket));
    let bench = bench.step(Event::Removed { ticket, result: Ok(()) });
    assert_eq!(bench.emitted(), [&AuthChange::StoreRecovered]);
    assert_eq!(bench.machine.wake_in(bench.now), None);
}

#[test]
fn a_store_that_comes_back_restores_the_login() {
    let bench = Bench::blind().later(2).step(Event::Tick);
    let ticket = bench.awaited();
    let bench = bench.step(Event::Restored { ticket, found: Ok(Found::Login(record("u1", 1))) });
    assert_eq!(bench.name(), "looking");
}

#[test]
fn a_context_is_saved_without_touching_a_newer_token() {
    let bench = Bench::saving();
    let over = bench.effects.iter().find_map(|effect| match effect {
        Effect::Write { how: How::Over(Some(known)), .. } => Some(same(known, &"rt-1".into())),
        _ => None,
    });
    assert_eq!(over, Some(true));
    assert_eq!(bench.step(Event::Asked(Ask::Now)).written(Ok(Wrote::Ours)).name(), "looking", "the wish is kept");
}

#[test]
fn s0_20_a_chosen_organisation_outlives_a_reload_of_the_context() {
    let bench = Bench::saving().step(Event::Chosen(OrganizationId::new("o2"))).written(Ok(Wrote::Ours));
    let session = bench.live().floor;
    let bench = bench.step(Event::ContextLoaded { session, result: Ok(context()) });
    assert_eq!(bench.live().context.as_ref().unwrap().active().unwrap().org_id.as_str(), "o2");
}

#[test]
fn b04_an_offline_start_waits_instead_of_spinning() {
    let bench = Bench::restoring();
    let ticket = bench.ticket();
    let bench = bench.step(Event::Restored { ticket, found: Ok(Found::Login(record("u1", 1))) });
    let bench = bench.looked(Looked::Read(Some(record("u1", 1)))).failed(connect());
    assert!(bench.machine.wake_in(bench.now).unwrap() >= Duration::from_millis(250), "the context waits for a token");
}

/// What may happen, by number; replies use the ticket that is awaited, or an old one.
fn event(kind: u8, late: bool, bench: &Bench) -> Event {
    let ticket = if late { bench.awaited().saturating_sub(1) } else { bench.awaited() };
    let n = u32::from(kind);
    match kind % 20 {
        0 => Event::Tick,
        1 => Event::Asked(Ask::Stale),
        2 => Event::Asked(Ask::Refused(u64::from(kind) % 5)),
        3 => Event::Asked(Ask::Now),
        4 => Event::Looked { ticket, looked: Looked::Read(Some(record("u1", n))) },
        5 => Event::Looked { ticket, looked: Looked::Read(None) },
        6 => Event::Looked { ticket, looked: Looked::Locked(Error::new(STORE_FAILED)) },
        7..=9 => Event::Renewed { ticket, fresh: fresh(if kind > 100 { "u1" } else { "u2" }, n, bench.now) },
        10 => Event::Failed { ticket, error: connect() },
        11 => Event::Over { ticket, error: over() },
        12 => Event::Checked { ticket, found: Ok(Some(record("u1", n))) },
        13 => Event::Checked { ticket, found: Err(Error::new(STORE_FAILED)) },
        14 => Event::Written { ticket, result: Err(Error::new(STORE_FAILED)) },
        15 | 16 => Event::Written { ticket, result: Ok(Wrote::Ours) },
        19 => Event::Wish { entry: n.into() },
        20 => Event::Upgraded { ticket, fresh: fresh("u1", n, bench.now) },
        21 => Event::NotUpgraded { ticket, error: over() },
        22 => Event::UserLoaded(changed("u1")),
        23 => Event::UserLoaded(user("u1")),
        17 => Event::Removed { ticket, result: Ok(()) },
        18 => {
            let fence = bench.machine.fence - u64::from(late && bench.machine.fence > 0);
            Event::Entered {
                arrival: Arrival { fence, recovery: n % 2 == 0 },
                entry: n.into(),
                fresh: fresh("u1", n, bench.now),
                user: user("u1"),
            }
        }
        _ if kind > 200 => LOCAL,
        _ => Event::ContextLoaded { session: 1, result: Ok(context()) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_sequence_breaks_the_promises(
        steps in proptest::collection::vec((any::<u8>(), prop::bool::weighted(0.1), 0_u64..400), 1..80),
    ) {
        let mut bench = Bench::restoring();
        let mut told_in = false;
        for (kind, late, seconds) in steps {
            bench = bench.later(seconds);
            bench.effects.clear();
            let generation = bench.machine.generation;
            let event = event(kind, late, &bench);
            bench = bench.step(event);
            let count = |pick: fn(&Effect) -> bool| bench.effects.iter().filter(|effect| pick(effect)).count();
            // A1: at most one exchange is asked for, and only by the state that waits for it.
            let exchanges = count(|effect| matches!(effect, Effect::Exchange(..)));
            prop_assert!(exchanges <= 1 && (exchanges == 0 || bench.name() == "sending"));
            // Generations never go back.
            prop_assert!(bench.machine.generation >= generation);
            // News alternate: nobody is signed out twice.
            for change in bench.emitted() {
                match change {
                    AuthChange::SignedIn { .. } => told_in = true,
                    AuthChange::SignedOut { .. } => {
                        prop_assert!(told_in || matches!(bench.name(), "out"));
                        told_in = false;
                    }
                    _ => {}
                }
            }
            // Something is always due: by a reply, by time, or because nobody is signed in.
            let waits = bench.awaited() != 0 || bench.machine.wake_in(bench.now).is_some();
            prop_assert!(waits || bench.name() == "out", "{} is stuck", bench.name());
            // A6: a session ends only by sign-out or after a second look.
            prop_assert!(bench.live_or_out());
        }
    }
}

impl Bench {
    /// A signed-in state always has a refresh token to go on with.
    fn live_or_out(&self) -> bool {
        use secrecy::ExposeSecret as _;
        match &self.machine.state {
            State::SignedIn(live) => !live.refresh.expose_secret().is_empty(),
            _ => true,
        }
    }
}
