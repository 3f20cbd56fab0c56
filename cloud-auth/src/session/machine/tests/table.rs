//! Every state meets every event, with the awaited reply and with a late one: the table is total.
use cloud_client::ErrorKind;

use super::*;
use crate::context::OrganizationId;

const STATES: [&str; 11] = [
    "restoring",
    "blind",
    "out",
    "entering",
    "idle",
    "looking",
    "sending",
    "checking",
    "storing",
    "saving",
    "upgrading",
];

fn bench(name: &str) -> Bench {
    let bench = match name {
        "restoring" => Bench::restoring(),
        "blind" => Bench::blind(),
        "out" => Bench::out(),
        "entering" => Bench::entering(),
        "idle" => Bench::idle(),
        "looking" => Bench::looking(),
        "sending" => Bench::sending(),
        "checking" => Bench::checking(),
        "storing" => Bench::storing(),
        "upgrading" => Bench::upgrading(),
        _ => Bench::saving(),
    };
    assert_eq!(bench.name(), name);
    bench
}

/// An event that answers `ticket`, and for each state the state it leads to: `.` stays, else the state's number.
fn events(ticket: Ticket, now: Moment) -> Vec<(&'static str, &'static str, Event)> {
    let failed = || Error::new(STORE_FAILED);
    let (nothing, corrupt) = (Ok(Found::Nothing), Ok(Found::Corrupt));
    let entered = |fence| Event::Entered {
        arrival: Arrival { fence, recovery: false },
        entry: 9,
        fresh: fresh("u2", 9, now),
        user: user("u2"),
    };
    let loaded = |result| Event::ContextLoaded { session: 1, result };
    vec![
        // name               0123456789a
        ("started", "...........", Event::Started),
        ("started alone", "...........", Event::StartedAlone),
        ("tick", "...........", Event::Tick),
        ("restored nothing", "2..........", Event::Restored { ticket, found: nothing }),
        ("restored corrupt", "2..........", Event::Restored { ticket, found: corrupt }),
        ("restored login", "5..........", Event::Restored { ticket, found: Ok(Found::Login(record("u1", 1))) }),
        ("restored failure", "1..........", Event::Restored { ticket, found: Err(failed()) }),
        ("entered", "33333333333", entered(0)),
        ("entered too late", "...........", entered(7)),
        ("asked, stale", "...........", Event::Asked(Ask::Stale)),
        ("asked, refused", "....5......", Event::Asked(Ask::Refused(1))),
        ("asked, refused long ago", "...........", Event::Asked(Ask::Refused(0))),
        ("asked by a person", "....5......", Event::Asked(Ask::Now)),
        ("looked: ours", ".....6.....", Event::Looked { ticket, looked: Looked::Read(Some(record("u1", 1))) }),
        ("looked: newer", ".....6.....", Event::Looked { ticket, looked: Looked::Read(Some(record("u1", 5))) }),
        ("looked: nothing", ".....6.....", Event::Looked { ticket, looked: Looked::Read(None) }),
        ("looked: failure", ".....6.....", Event::Looked { ticket, looked: Looked::Unreadable(failed()) }),
        ("looked: locked", ".....4.....", Event::Looked { ticket, looked: Looked::Locked(failed()) }),
        ("renewed", "......8....", Event::Renewed { ticket, fresh: fresh("u1", 2, now) }),
        ("failed", "......4....", Event::Failed { ticket, error: connect() }),
        ("over", "......7....", Event::Over { ticket, error: over() }),
        ("checked: ours", ".......2...", Event::Checked { ticket, found: Ok(Some(record("u1", 1))) }),
        ("checked: newer", ".......6...", Event::Checked { ticket, found: Ok(Some(record("u1", 5))) }),
        ("checked: nothing", ".......2...", Event::Checked { ticket, found: Ok(None) }),
        ("checked: failure", ".......4...", Event::Checked { ticket, found: Err(failed()) }),
        ("written", "...4....44.", Event::Written { ticket, result: Ok(Wrote::Ours) }),
        ("written: newer there", "...4....45.", Event::Written { ticket, result: Ok(Wrote::Newer(record("u1", 5))) }),
        ("written: failure", "...4....44.", Event::Written { ticket, result: Err(failed()) }),
        ("removed", "...........", Event::Removed { ticket, result: Ok(()) }),
        ("removed: failure", "...........", Event::Removed { ticket, result: Err(failed()) }),
        ("sign-out", "22222222222", LOCAL),
        ("wish", "....5......", Event::Wish { entry: 9 }),
        ("upgraded", "..........8", Event::Upgraded { ticket, fresh: fresh("u1", 2, now) }),
        ("not upgraded", "..........4", Event::NotUpgraded { ticket, error: connect() }),
        ("user, the same", "...........", Event::UserLoaded(user("u1"))),
        ("user, changed", "....9......", Event::UserLoaded(changed("u1"))),
        ("user, another", "...........", Event::UserLoaded(changed("u2"))),
        ("context", "....9......", loaded(Ok(context()))),
        ("context: failure", "...........", loaded(Err(connect()))),
        ("chosen", "...........", Event::Chosen(OrganizationId::new("o9"))),
    ]
}

/// What carries a ticket and therefore has a late form.
fn answers(event: &Event) -> bool {
    matches!(
        event,
        Event::Restored { .. }
            | Event::Looked { .. }
            | Event::Renewed { .. }
            | Event::Failed { .. }
            | Event::Over { .. }
            | Event::Checked { .. }
            | Event::Written { .. }
            | Event::Removed { .. }
            | Event::NotUpgraded { .. }
    )
}

#[test]
fn every_state_has_an_answer_to_every_event() {
    let mut cells = 0;
    for (column, state) in STATES.iter().enumerate() {
        let start = bench(state);
        for (name, row, event) in events(start.awaited(), start.now) {
            let expected = match row.as_bytes().get(column) {
                Some(digit @ b'0'..=b'9') => STATES[usize::from(digit - b'0')],
                Some(b'a') => "upgrading",
                _ => state,
            };
            // A blind machine looks again when asked, and stays blind until the answer.
            assert_eq!(start.clone().step(event).name(), expected, "{state} × {name}");
            cells += 1;
        }
    }
    assert_eq!(cells, 440);
}

#[test]
fn a07_a_late_reply_changes_nothing_in_any_state() {
    let mut cells = 0;
    for state in STATES {
        let start = bench(state);
        for ticket in [0, start.awaited() + 1, start.awaited().wrapping_sub(1)] {
            for (name, _, event) in events(ticket, start.now).into_iter().filter(|(.., event)| answers(event)) {
                if ticket == start.awaited() {
                    continue;
                }
                let before = format!("{:?}", start.machine);
                let (machine, effects) = start.machine.clone().step(event, start.now, 0.5);
                assert!(effects.is_empty(), "{state} × {name}: {effects:?}");
                assert_eq!(format!("{machine:?}"), before, "{state} × {name}");
                cells += 1;
            }
        }
    }
    assert!(cells > 400, "{cells}");
}

#[test]
fn a13_whatever_holds_the_lock_gives_it_back() {
    // From each state of a refresh, every way out asks for the lock to be freed.
    for state in ["looking", "sending", "checking", "storing", "upgrading"] {
        let start = bench(state);
        for (name, _, event) in events(start.awaited(), start.now) {
            let next = Bench { effects: Vec::new(), ..start.clone() }.step(event);
            let refreshing = ["looking", "sending", "checking", "storing", "upgrading"].contains(&next.name());
            let freed = next.effects.iter().any(|effect| matches!(effect, Effect::Unlock));
            assert_eq!(!refreshing, freed, "{state} × {name}: {:?}", next.effects);
        }
    }
}

#[test]
fn a_failed_refresh_waits_as_long_as_its_reason_asks() {
    let wait = |error: Error| {
        let bench = Bench::sending().failed(error);
        bench.machine.wake_in(bench.now).unwrap()
    };
    let limited = Error::new(crate::codes::AUTH_RATE_LIMITED);
    assert_eq!(limited.kind(), ErrorKind::RateLimited);
    assert!(wait(connect()) < Duration::from_secs(2));
    assert!(wait(limited.clone()) >= Duration::from_secs(60));
    assert!(wait(limited.with_retry_after(Duration::from_secs(200))) >= Duration::from_secs(200));
    let asked = connect().with_retry_after(Duration::from_secs(100_000));
    assert!(wait(asked) <= Duration::from_secs(375), "an absurd wish is cut");
}
