//! A better session in place of the present one, and the user described while a flight is under way.
use secrecy::ExposeSecret as _;

use super::*;
use crate::codes::{BUSY, MFA_CODE_WRONG, NOT_SIGNED_IN, STORE_LOCKED};

impl Bench {
    fn refused(&self) -> Option<Error> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Refuse { error, .. } => Some(error.clone()),
            _ => None,
        })
    }

    fn shows_token(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Upgrade { .. }))
    }

    fn refresh_token(&self) -> String {
        self.live().refresh.expose_secret().to_owned()
    }
}

#[test]
fn a03_a_better_session_is_shown_only_after_the_store_has_it() {
    let bench = Bench::upgrading();
    assert!(bench.shows_token());
    let bench = bench.upgraded("u1", 2);
    assert!(matches!(bench.effects.as_slice(), [Effect::Write { how: How::Held, .. }]), "under the same lock");
    assert_eq!((bench.live().access.as_ref().unwrap().token.generation, bench.machine.upgraded), (1, 0));
    let bench = bench.written(Ok(Wrote::Ours));
    assert_eq!((bench.live().access.as_ref().unwrap().token.generation, bench.machine.upgraded), (2, 5));
    assert_eq!(bench.refresh_token(), "rt-2");
    // The former refresh token is never spent again.
    let bench = bench.later(3580).step(Event::Tick).looked(Looked::Read(Some(record("u1", 2))));
    assert_eq!(bench.spent().as_deref(), Some("rt-2"));
}

#[test]
fn a02_a_wish_waits_for_the_refresh_that_is_under_way() {
    let bench = Bench::sending().step(Event::Wish { entry: 5 });
    assert_eq!(bench.name(), "sending");
    let bench = bench.renewed("u1", 2).written(Ok(Wrote::Ours));
    assert_eq!(bench.name(), "looking", "then it looks once more");
    let bench = bench.looked(Looked::Read(Some(record("u1", 2))));
    assert_eq!(bench.name(), "upgrading");
}

#[test]
fn a02_a_refresh_asked_for_meanwhile_is_not_sent_beside_it() {
    let bench = Bench::upgrading().step(Event::Asked(Ask::Now)).step(Event::Asked(Ask::Refused(1)));
    assert_eq!((bench.name(), bench.spent()), ("upgrading", None));
    // The token that comes back serves them.
    let bench = bench.upgraded("u1", 2).written(Ok(Wrote::Ours));
    assert_eq!(bench.name(), "idle");
}

#[test]
fn a02_what_another_process_stored_is_refreshed_first() {
    let bench = Bench::idle().step(Event::Wish { entry: 5 }).looked(Looked::Read(Some(record("u1", 4))));
    assert_eq!((bench.name(), bench.spent().as_deref()), ("sending", Some("rt-4")));
    let bench = bench.renewed("u1", 5).written(Ok(Wrote::Ours)).looked(Looked::Read(Some(record("u1", 5))));
    assert_eq!(bench.name(), "upgrading");
}

#[test]
fn a05_a_wrong_code_changes_nothing() {
    let bench = Bench::upgrading().not_upgraded(Error::new(MFA_CODE_WRONG));
    assert_eq!(bench.refused().unwrap().code(), MFA_CODE_WRONG);
    assert_eq!((bench.name(), bench.refresh_token().as_str()), ("idle", "rt-1"));
    assert!(bench.live().trouble.is_none() && bench.live().wish.is_none());
}

#[test]
fn a06_a_session_that_is_said_to_be_over_is_asked_about_by_a_refresh() {
    let bench = Bench::upgrading().not_upgraded(over());
    assert_eq!((bench.name(), bench.refused().unwrap().code()), ("looking", SESSION_OVER));
}

#[test]
fn a07_a_better_session_that_comes_too_late_is_ended_at_the_server() {
    let bench = Bench::upgrading();
    let ticket = bench.awaited();
    let bench = bench.step(LOCAL).step(Event::Upgraded { ticket, fresh: fresh("u1", 2, at(1)) });
    assert_eq!(bench.name(), "out");
    assert!(matches!(bench.effects.as_slice(), [Effect::Revoke { scope: Scope::Local, .. }]));
}

#[test]
fn a03_nothing_is_wished_for_while_the_store_is_a_token_behind() {
    let bench = Bench::storing().written(Err(Error::new(STORE_FAILED))).step(Event::Wish { entry: 5 });
    assert_eq!(bench.name(), "saving", "the store gets its chance first");
    let failed = bench.clone().written(Err(Error::new(STORE_FAILED)));
    assert_eq!((failed.name(), failed.refused().unwrap().code()), ("idle", STORE_FAILED));
    let bench = bench.written(Ok(Wrote::Ours)).looked(Looked::Read(Some(record("u1", 2))));
    assert_eq!(bench.name(), "upgrading");
}

#[test]
fn a14_a_store_that_another_process_holds_refuses_the_wish_and_spares_the_session() {
    let bench = Bench::idle().step(Event::Wish { entry: 5 }).looked(Looked::Locked(Error::new(STORE_LOCKED)));
    assert_eq!((bench.name(), bench.refused().unwrap().code()), ("idle", STORE_LOCKED));
    assert!(bench.live().trouble.is_none());
}

#[test]
fn a14_a_store_that_cannot_be_locked_is_not_asked_again_and_again_for_a_wish() {
    // The token is due for renewal and still good: the wish does not outlive the failure, or it would go round at once.
    let bench = Bench::looking().step(Event::Wish { entry: 5 }).looked(Looked::Locked(Error::new(STORE_FAILED)));
    assert_eq!((bench.name(), bench.refused().unwrap().code()), ("idle", STORE_FAILED));
    assert!(bench.live().trouble.is_some() && bench.live().wish.is_none());
    assert!(bench.machine.wake_in(bench.now).is_some_and(|pause| !pause.is_zero()));
}

#[test]
fn one_wish_at_a_time_and_none_without_a_session() {
    assert_eq!(Bench::upgrading().step(Event::Wish { entry: 6 }).refused().unwrap().code(), BUSY);
    assert_eq!(Bench::out().step(Event::Wish { entry: 6 }).refused().unwrap().code(), NOT_SIGNED_IN);
}

#[test]
fn a_wish_ends_with_the_refresh_that_it_needed() {
    // The access token has ended: without a refresh there is nothing to show.
    let bench = Bench::idle().later(4000).step(Event::Wish { entry: 5 }).looked(Looked::Read(Some(record("u1", 1))));
    assert_eq!(bench.name(), "sending");
    let bench = bench.failed(connect());
    assert_eq!((bench.name(), bench.refused().unwrap().code()), ("idle", cloud_client::error::codes::CONNECT));
    // It is good for a while still: the refresh may fail, and the wish is pursued.
    let bench = Bench::sending().step(Event::Wish { entry: 5 }).failed(connect());
    assert_eq!((bench.name(), bench.refused().is_none()), ("looking", true));
}

#[test]
fn a_user_described_during_a_refresh_is_not_overwritten_by_it() {
    for (start, after) in [(Bench::sending(), "idle"), (Bench::storing(), "saving")] {
        let mut bench = start.step(Event::UserLoaded(changed("u1")));
        assert_eq!(bench.emitted(), [&AuthChange::UserUpdated { user: changed("u1") }]);
        if bench.name() == "sending" {
            bench = bench.renewed("u1", 2);
        }
        let bench = bench.written(Ok(Wrote::Ours));
        assert_eq!(bench.live().user, changed("u1"));
        assert_eq!(bench.emitted(), [&AuthChange::TokenRefreshed], "told once");
        // What the store got before the user was described is written again.
        assert_eq!(bench.name(), after);
        let bench = if after == "saving" { bench.written(Ok(Wrote::Ours)) } else { bench };
        let bench = bench.later(3580).step(Event::Tick);
        let bench = bench.looked(Looked::Read(Some(record("u1", 2)))).renewed("u1", 3).written(Ok(Wrote::Ours));
        assert_eq!(bench.live().user, user("u1"), "the next flight counts again");
        assert!(bench.emitted().contains(&&AuthChange::UserUpdated { user: user("u1") }));
    }
}

#[test]
fn a_level_that_changes_is_told_and_one_that_stays_is_not() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let level = |bench: Bench, n: u32, level: &str| {
        let access = format!("e30.{}.s", URL_SAFE_NO_PAD.encode(format!(r#"{{"aal":"{level}"}}"#)));
        let (ticket, fresh) = (bench.awaited(), Fresh { access: access.into(), ..fresh("u1", n, bench.now) });
        bench.step(Event::Upgraded { ticket, fresh }).written(Ok(Wrote::Ours))
    };
    let wish = |bench: Bench, n| bench.step(Event::Wish { entry: 5 }).looked(Looked::Read(Some(record("u1", n))));
    let bench = level(Bench::upgrading(), 2, "aal1");
    assert_eq!(bench.emitted(), [&AuthChange::TokenRefreshed], "nothing was known before");
    let bench = level(wish(bench, 2), 3, "aal1");
    assert_eq!(bench.emitted(), [&AuthChange::TokenRefreshed]);
    let bench = level(wish(bench, 3), 4, "aal2");
    let level = crate::status::AssuranceLevel::AAL2;
    assert_eq!(bench.emitted(), [&AuthChange::TokenRefreshed, &AuthChange::AssuranceChanged { level }]);
}
