//! The machine by tables of events, and one property: it always comes back, and never in a fast loop.
use super::{comeback::*, *};
use crate::pause::{LONGEST, SHORTEST};
use crate::refs::Refs;
use cloud_client::random::Random;
use proptest::prelude::*;

const LIMIT: Duration = Duration::from_secs(20);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine with its surroundings.
pub(super) struct Rig {
    pub(super) machine: Connection,
    pub(super) at: Duration,
    random: Random,
    refs: Refs,
}

impl Rig {
    pub(super) fn new(seed: u64) -> Self {
        Self { machine: Connection::new(LIMIT), at: s(100), random: Random::seeded(seed), refs: Refs::new() }
    }

    pub(super) fn step(&mut self, event: Event<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine.step(event, Now { at: self.at, random: &self.random, refs: &self.refs }, &mut out);
        out
    }

    /// Lets time pass to the next deadline.
    pub(super) fn tick(&mut self) -> Vec<Effect> {
        self.at = self.at.max(self.machine.deadline().unwrap());
        self.step(Event::Tick)
    }

    fn fail(&mut self, verdict: Verdict) {
        self.step(Event::Failed { generation: self.machine.generation(), verdict });
    }

    fn close(&mut self, code: Option<u16>) -> Vec<Effect> {
        self.step(Event::Closed { generation: self.machine.generation(), code })
    }

    pub(super) fn open(&mut self) {
        let generation = self.machine.generation();
        assert_eq!(self.step(Event::Acquired { generation, valid_for: None }), [Effect::Connect { generation }]);
        assert_eq!(self.step(Event::Connected { generation }), [Effect::Opened]);
    }

    pub(super) fn opened(seed: u64) -> Self {
        let mut rig = Self::new(seed);
        assert_eq!(rig.step(Event::Wanted(true)), [Effect::Acquire { generation: 1, renew: false }]);
        rig.open();
        rig
    }

    pub(super) fn live(seed: u64) -> Self {
        let mut rig = Self::opened(seed);
        rig.step(Event::Live(true));
        rig.at += USEFUL;
        rig
    }

    fn wait(&self) -> Duration {
        self.machine.deadline().unwrap().saturating_sub(self.at)
    }
}

#[test]
fn r06_pauses_are_random_between_half_a_second_and_a_minute_without_an_end() {
    let mut longest = Vec::new();
    for failures in 0..40_usize {
        let waits = (0..200).map(|seed| {
            let mut rig = Rig::new(seed);
            rig.step(Event::Wanted(true));
            for _ in 0..failures {
                rig.fail(Verdict::Retry);
                rig.tick();
            }
            rig.fail(Verdict::Retry);
            rig.wait()
        });
        let waits: Vec<_> = waits.collect();
        assert!(waits.iter().all(|wait| (SHORTEST..=LONGEST).contains(wait)), "{failures}");
        longest.push(waits.into_iter().max().unwrap());
    }
    assert!(longest[0] < s(2) && longest[0] > s(1), "the first pause of one that fails alone is short");
    assert!(longest[39] > s(55), "later ones grow");
}

#[test]
fn r06_a_close_is_spread_and_the_counter_starts_anew_only_after_half_a_minute_live() {
    let waits = |live: Duration| -> Vec<Duration> {
        let wait = |seed| {
            let mut rig = Rig::opened(seed);
            rig.step(Event::Live(true));
            rig.at += live;
            rig.close(Some(1012));
            rig.tick();
            rig.open();
            rig.close(Some(1012));
            rig.wait()
        };
        (0..200).map(wait).collect()
    };
    // The second close came right after the open: an open socket alone is no success.
    assert!(waits(USEFUL).into_iter().max().unwrap() > s(10));
    let mut rig = Rig::live(1);
    rig.close(Some(1012));
    assert!(rig.wait() <= SPREAD);
    assert_eq!(rig.machine.failures(), 1);
    rig.tick();
    rig.open();
    rig.step(Event::Live(true));
    rig.at += s(29);
    rig.close(None);
    assert_eq!(rig.machine.failures(), 2, "29 s are not enough");
    rig.tick();
    rig.open();
    rig.step(Event::Live(true));
    rig.at += USEFUL;
    rig.step(Event::Live(false));
    assert_eq!(rig.machine.failures(), 0);
}

#[test]
fn r14_every_close_code_leads_back_and_each_by_its_own_way() {
    for seed in 0..50 {
        for (code, least, most, renew) in [
            (None, Duration::ZERO, SPREAD, false),
            (Some(1000), Duration::ZERO, SPREAD, false),
            (Some(1001), Duration::ZERO, SPREAD, false),
            (Some(1002), Duration::ZERO, SPREAD, false),
            (Some(1009), SHORTEST, TOGETHER, false),
            (Some(1011), Duration::ZERO, SPREAD, false),
            (Some(1012), Duration::ZERO, SPREAD, false),
            (Some(1013), s(30), s(60), false),
            (Some(4000), Duration::ZERO, SPREAD, false),
            (Some(4401), s(5), TOGETHER, true),
        ] {
            let mut rig = Rig::live(seed);
            assert_eq!(rig.close(code), [Effect::Lost(Loss::Closed { code })]);
            assert!((least..=most).contains(&rig.wait()), "{code:?} {:?}", rig.wait());
            assert_eq!(rig.tick(), [Effect::Acquire { generation: rig.machine.generation(), renew }], "{code:?}");
        }
    }
}

#[test]
fn r14_refused_credentials_are_renewed_once_and_then_wait_for_the_host() {
    let mut rig = Rig::new(1);
    rig.step(Event::Wanted(true));
    rig.fail(Verdict::Renew);
    assert_eq!(rig.wait(), Duration::ZERO);
    assert!(matches!(rig.tick()[..], [Effect::Acquire { renew: true, .. }]));
    rig.fail(Verdict::Renew);
    assert_eq!((rig.machine.shown(), rig.machine.deadline()), (ConnectionState::Stopped, None));
    rig.step(Event::Woke { slept: s(9_000) });
    assert_eq!(rig.machine.shown(), ConnectionState::Stopped);
    for start in [Event::NewToken, Event::Reconnect] {
        assert!(matches!(rig.step(start)[..], [Effect::Acquire { .. }]));
        rig.fail(Verdict::Stop);
        assert_eq!(rig.machine.shown(), ConnectionState::Stopped);
    }
}

#[test]
fn a_server_that_asks_for_silence_gets_it() {
    let mut rig = Rig::new(1);
    rig.step(Event::Wanted(true));
    rig.fail(Verdict::NotBefore(s(30)));
    assert!((s(30)..=s(60)).contains(&rig.wait()));
    rig.step(Event::Woke { slept: s(3) });
    assert!(rig.wait() >= s(30));

    let mut rig = Rig::live(1);
    rig.step(Event::Limited);
    rig.close(Some(1001));
    assert!((s(30)..=s(60)).contains(&rig.wait()));
    // Neither a wake nor a host that wants a channel anew gets around it.
    rig.step(Event::Woke { slept: s(3) });
    assert!(rig.wait() >= s(30));
    rig.step(Event::Wanted(false));
    assert_eq!(rig.step(Event::Wanted(true)), []);
    assert!(rig.wait() >= s(30));
}

#[test]
fn r10_a_wake_tests_an_open_socket_replaces_a_dead_one_and_ends_a_pause() {
    let mut rig = Rig::live(1);
    assert!(matches!(rig.step(Event::Woke { slept: s(7) })[..], [Effect::Heartbeat(_)]));
    assert_eq!(rig.wait(), s(2));
    assert_eq!(rig.tick(), [Effect::Drop, Effect::Lost(Loss::Silent)]);
    assert!(rig.wait() <= AFTER_WAKE);

    // The network came back before the socket was known to be dead, again and again.
    let mut rig = Rig::live(1);
    for _ in 0..12 {
        rig.step(Event::Woke { slept: Duration::ZERO });
        rig.close(None);
        assert!(rig.wait() <= BETWEEN_WAKES + AFTER_WAKE);
        rig.tick();
        rig.open();
    }
    rig.step(Event::Woke { slept: Duration::ZERO });
    rig.close(Some(1013));
    assert!(rig.wait() >= s(30), "a wish of the server is kept");

    let mut rig = Rig::live(1);
    assert_eq!(rig.step(Event::Woke { slept: s(28_800) }), [Effect::Drop, Effect::Lost(Loss::Slept)]);
    assert!(rig.wait() <= AFTER_WAKE);

    for _ in 0..12 {
        rig.tick();
        rig.fail(Verdict::Retry);
    }
    rig.at += s(1);
    rig.step(Event::Woke { slept: s(28_800) });
    assert!(rig.wait() <= AFTER_WAKE);
}

#[test]
fn a_ticket_that_runs_out_before_the_socket_opens_is_replaced() {
    let mut rig = Rig::new(1);
    rig.step(Event::Wanted(true));
    rig.step(Event::Acquired { generation: 1, valid_for: Some(s(5)) });
    assert_eq!(rig.wait(), s(5));
    assert_eq!(rig.tick(), [Effect::Drop, Effect::Acquire { generation: 2, renew: false }]);
    assert_eq!(rig.step(Event::Connected { generation: 1 }), [], "the attempt before is over");
    rig.step(Event::Acquired { generation: 2, valid_for: Some(Duration::ZERO) });
    assert_eq!(rig.wait(), s(1));
    // All of it has to fit into the limit of one attempt.
    while rig.machine.shown() == ConnectionState::Connecting {
        let generation = rig.machine.generation();
        rig.step(Event::Acquired { generation, valid_for: Some(s(5)) });
        rig.tick();
    }
    assert_eq!((rig.machine.shown(), rig.at), (ConnectionState::Backoff, s(100) + LIMIT));
}

#[test]
fn disconnect_is_a_state_that_nothing_but_reconnect_leaves() {
    for mut rig in [Rig::new(1), Rig::opened(1), Rig::live(1)] {
        rig.step(Event::Disconnect);
        let generation = rig.machine.generation();
        for event in [
            Event::Wanted(true),
            Event::Woke { slept: s(9_000) },
            Event::NewToken,
            Event::Connected { generation },
            Event::Failed { generation, verdict: Verdict::Retry },
            Event::Closed { generation, code: None },
            Event::Tick,
        ] {
            assert_eq!(rig.step(event), [], "{event:?}");
            assert_eq!(rig.machine.shown(), ConnectionState::Disconnected);
        }
        assert!(matches!(rig.step(Event::Reconnect)[..], [Effect::Acquire { .. }]));
    }
}

#[test]
fn a_socket_without_channels_is_closed_after_fifty_seconds() {
    let mut rig = Rig::opened(1);
    rig.step(Event::Wanted(false));
    let begin = rig.at;
    loop {
        let effects = rig.tick();
        if let [Effect::Heartbeat(reference)] = effects[..] {
            let reference = reference.to_string();
            rig.step(Event::HeartbeatAnswered { reference: &reference });
        } else {
            assert_eq!(effects, [Effect::Close, Effect::Lost(Loss::Unwanted)]);
            break;
        }
    }
    assert_eq!((rig.at - begin, rig.machine.shown()), (UNUSED, ConnectionState::Idle));
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let generation = 0..12_u64;
    prop_oneof![
        any::<bool>().prop_map(Event::Wanted),
        Just(Event::Disconnect),
        Just(Event::Reconnect),
        (0..200_u64).prop_map(|slept| Event::Woke { slept: s(slept) }),
        Just(Event::NewToken),
        generation.clone().prop_map(|generation| Event::Acquired { generation, valid_for: None }),
        generation.clone().prop_map(|generation| Event::Connected { generation }),
        (generation.clone(), 0..4_u8).prop_map(|(generation, verdict)| Event::Failed {
            generation,
            verdict: [Verdict::Retry, Verdict::NotBefore(s(3)), Verdict::Renew, Verdict::Stop][usize::from(verdict)],
        }),
        (generation, proptest::option::of(1000..1016_u16))
            .prop_map(|(generation, code)| Event::Closed { generation, code }),
        Just(Event::Frame),
        Just(Event::HeartbeatAnswered { reference: "1" }),
        any::<bool>().prop_map(Event::Joining),
        any::<bool>().prop_map(Event::Live),
        Just(Event::Limited),
        Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: effects fit the state, a connection that is wanted has a timer, and once nothing fails any
    /// more it opens.
    #[test]
    fn a_wanted_connection_always_comes_back(
        events in proptest::collection::vec((event(), 0..20_000_u64), 0..60),
        seed in any::<u64>(),
    ) {
        let mut rig = Rig::new(seed);
        for (event, wait) in events {
            rig.at += Duration::from_millis(wait);
            let was_open = rig.machine.is_open();
            let effects = rig.step(event);
            let opened = effects.contains(&Effect::Opened);
            let lost = effects.iter().any(|effect| matches!(effect, Effect::Lost(_)));
            prop_assert_eq!(rig.machine.is_open(), (was_open || opened) && !lost, "{:?}", effects);
            if rig.machine.wanted && !matches!(rig.machine.shown(), ConnectionState::Disconnected | ConnectionState::Stopped) {
                prop_assert!(rig.machine.deadline().is_some());
            }
        }
        rig.step(Event::Wanted(true));
        rig.step(Event::Reconnect);
        let mut turns = 0;
        while !rig.machine.is_open() {
            let generation = rig.machine.generation();
            rig.step(Event::Acquired { generation, valid_for: None });
            rig.step(Event::Connected { generation });
            if !rig.machine.is_open() {
                rig.tick();
            }
            turns += 1;
            prop_assert!(turns < 5);
        }
    }
}
