//! The whole machine under clocks that do what they like.
use proptest::prelude::*;

use super::*;

/// A signed-in machine whose store and server answer at once and well; gives how many refreshes a step led to.
struct Easy {
    machine: Machine,
    issued: u32,
}

impl Easy {
    fn new(now: Moment) -> Self {
        let mut easy = Self { machine: Machine::new(Duration::from_secs(60)), issued: 0 };
        assert_eq!(easy.step(Event::Started, now), 1, "the first token");
        easy
    }

    fn step(&mut self, event: Event, now: Moment) -> usize {
        let (mut events, mut refreshes) = (std::collections::VecDeque::from([event]), 0);
        while let Some(event) = events.pop_front() {
            let machine = std::mem::replace(&mut self.machine, Machine::new(Duration::ZERO));
            let (machine, effects) = machine.step(event, now, 0.5);
            self.machine = machine;
            for effect in effects {
                events.extend(match effect {
                    Effect::Restore(ticket) => {
                        Some(Event::Restored { ticket, found: Ok(Found::Login(record("u1", self.issued))) })
                    }
                    Effect::Look(ticket) => {
                        Some(Event::Looked { ticket, looked: Looked::Read(Some(record("u1", self.issued))) })
                    }
                    Effect::Exchange(ticket, _) => {
                        (self.issued, refreshes) = (self.issued + 1, refreshes + 1);
                        Some(Event::Renewed { ticket, fresh: fresh("u1", self.issued, now) })
                    }
                    Effect::Write { ticket, .. } => Some(Event::Written { ticket, result: Ok(Wrote::Ours) }),
                    Effect::Emit(AuthChange::SignedOut { reason }) => panic!("a clock signed somebody out: {reason:?}"),
                    _ => None,
                });
            }
        }
        refreshes
    }

    fn generation(&self) -> u64 {
        match &self.machine.state {
            State::SignedIn(live) => live.access.as_ref().map_or(0, |access| access.token.generation),
            state => panic!("{state:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Callers, timers and refusals of the server, while the wall clock jumps by up to a year in both directions and the
    /// monotonic one stands still or runs ahead: nobody is signed out, and no hour sees more than twelve refreshes.
    #[test]
    fn a09_a10_no_clock_signs_anybody_out_or_causes_a_storm(
        moves in proptest::collection::vec((0_u64..600, -31_536_000_i64..31_536_000, 0_u8..4), 400),
    ) {
        let mut wall = 2_000_000_000_i64;
        let (mut monotonic, mut refreshed) = (0, Vec::new());
        let moment = |monotonic: u64, wall: i64| Moment {
            monotonic: Duration::from_secs(monotonic),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall.max(0).unsigned_abs()),
        };
        let mut easy = Easy::new(moment(0, wall));
        refreshed.push(0);
        for (passed, jump, what) in moves {
            monotonic += passed;
            wall = (wall + jump).clamp(0, 4_000_000_000);
            let event = match what {
                0 => Event::Tick,
                1 => Event::Asked(Ask::Stale),
                _ => Event::Asked(Ask::Refused(easy.generation())),
            };
            let refreshes = easy.step(event, moment(monotonic, wall));
            prop_assert!(refreshes <= 1);
            refreshed.extend((0..refreshes).map(|_| monotonic));
        }
        prop_assert!(refreshed.len() > 12, "the clocks were harmless: {}", refreshed.len());
        for first in &refreshed {
            let hour = refreshed.iter().filter(|other| *other >= first && **other < first + 3600).count();
            prop_assert!(hour <= 12, "{hour} refreshes in an hour");
        }
    }
}
