//! Typing indicators.
//!
//! Keys → [`TypingSender`]: a start, repeated while keys come, then a stop → others: [`Typists`]. A start
//! counts for [`TYPING_TTL`], a little more than two repeats, so that one lost repeat does not flicker.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{MAX_PEOPLE, MAX_PERSON_BYTES};

/// The broadcast's event name.
pub const TYPING_EVENT: &str = "typing";
/// A start is repeated at most this often.
pub const TYPING_EVERY: Duration = Duration::from_secs(3);
/// After so long without a key, writing has stopped.
pub const STOP_AFTER: Duration = Duration::from_secs(4);
/// How long a start counts when nothing follows.
pub const TYPING_TTL: Duration = Duration::from_secs(7);

/// What is broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signal {
    /// Who. A claim of the sender's, like everything in a public channel.
    pub person: String,
    /// Writing, or not any more.
    pub is_typing: bool,
}

/// The own side: keys in, signals out.
#[derive(Clone, Debug)]
pub struct TypingSender {
    person: String,
    last_key: Option<Duration>,
    last_start: Option<Duration>,
}

impl TypingSender {
    /// For `person`, who writes nothing yet.
    pub fn new(person: impl Into<String>) -> Self {
        Self { person: person.into(), last_key: None, last_start: None }
    }

    /// A key was pressed at `now`. What to broadcast, if anything.
    pub fn key(&mut self, now: Duration) -> Option<Signal> {
        self.last_key = Some(now);
        if self.last_start.is_some_and(|at| now.saturating_sub(at) < TYPING_EVERY) {
            return None;
        }
        self.last_start = Some(now);
        Some(self.signal(true))
    }

    /// The text was sent or given up. What to broadcast, if anything.
    pub fn stop(&mut self) -> Option<Signal> {
        self.last_key = None;
        self.last_start.take().map(|_| self.signal(false))
    }

    /// Time passed. What to broadcast, if anything.
    pub fn tick(&mut self, now: Duration) -> Option<Signal> {
        if self.next_tick()? > now {
            return None;
        }
        self.stop()
    }

    /// When [`Self::tick`] has something to do; `None` while nothing is written.
    pub fn next_tick(&self) -> Option<Duration> {
        self.last_key.map(|at| at.saturating_add(STOP_AFTER))
    }

    fn signal(&self, is_typing: bool) -> Signal {
        Signal { person: self.person.clone(), is_typing }
    }
}

/// The others' side: signals in, people out.
#[derive(Clone, Debug, Default)]
pub struct Typists {
    until: BTreeMap<String, Duration>,
}

impl Typists {
    /// Nobody writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a signal that came at `now`. Whether the people who write are others now.
    pub fn heard(&mut self, signal: Signal, now: Duration) -> bool {
        let Signal { person, is_typing } = signal;
        if !is_typing {
            return self.until.remove(&person).is_some();
        }
        if person.len() > MAX_PERSON_BYTES {
            return false;
        }
        let is_new = self.until.insert(person, now.saturating_add(TYPING_TTL)).is_none();
        if self.until.len() > MAX_PEOPLE
            && let Some(first) = self.until.iter().min_by_key(|(_, until)| **until).map(|(person, _)| person.clone())
        {
            self.until.remove(&first);
        }
        is_new
    }

    /// The person left, or said what was being written. Whether that ends anything.
    pub fn gone(&mut self, person: &str) -> bool {
        self.until.remove(person).is_some()
    }

    /// Time passed. Whether somebody's signal ended.
    pub fn tick(&mut self, now: Duration) -> bool {
        let before = self.until.len();
        self.until.retain(|_, until| *until > now);
        self.until.len() != before
    }

    /// When [`Self::tick`] has something to do; `None` while nobody writes.
    pub fn next_tick(&self) -> Option<Duration> {
        self.until.values().min().copied()
    }

    /// Who writes, in the order of names.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        self.until.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn signal(person: &str, is_typing: bool) -> Signal {
        Signal { person: person.to_owned(), is_typing }
    }

    #[test]
    fn steady_writing_is_told_now_and_then_and_its_end_once() {
        let mut sender = TypingSender::new("ada");
        let told: Vec<u64> = (0..100).map(|n| n * 100).filter(|n| sender.key(at(*n)).is_some()).collect();
        assert_eq!(told, [0, 3_000, 6_000, 9_000]);
        assert_eq!(sender.next_tick(), Some(at(9_900) + STOP_AFTER));
        assert_eq!(sender.tick(at(13_899)), None);
        assert_eq!(sender.tick(at(13_900)), Some(signal("ada", false)));
        assert_eq!((sender.tick(at(99_999)), sender.stop(), sender.next_tick()), (None, None, None));
        assert_eq!(sender.key(at(100_000)), Some(signal("ada", true)));
    }

    #[test]
    fn sending_the_text_ends_it_at_once_and_the_next_key_starts_again() {
        let mut sender = TypingSender::new("ada");
        sender.key(at(0));
        assert_eq!(sender.stop(), Some(signal("ada", false)));
        assert_eq!(sender.key(at(1)), Some(signal("ada", true)));
    }

    #[test]
    fn each_person_ends_alone_and_by_the_clock() {
        let mut typists = Typists::new();
        assert!(typists.heard(signal("ada", true), at(0)));
        assert!(typists.heard(signal("bob", true), at(5_000)));
        assert!(!typists.heard(signal("bob", true), at(6_000)), "a repeat changes nothing to be seen");
        assert_eq!(typists.next_tick(), Some(TYPING_TTL));
        assert!(typists.tick(TYPING_TTL));
        assert_eq!(typists.people().collect::<Vec<_>>(), ["bob"]);
        assert!(typists.heard(signal("bob", false), at(8_000)));
        assert!(!typists.heard(signal("bob", false), at(8_001)));
        assert!(!typists.gone("ada"));
        assert_eq!(typists.next_tick(), None);
    }

    #[test]
    fn a_flood_of_names_stays_bounded_and_keeps_the_newest() {
        let mut typists = Typists::new();
        for n in 0..10_000 {
            typists.heard(signal(&n.to_string(), true), at(n));
        }
        assert_eq!(typists.people().count(), MAX_PEOPLE);
        assert!(typists.people().any(|person| person == "9999"));
        assert!(!typists.heard(signal(&"x".repeat(MAX_PERSON_BYTES + 1), true), at(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Signals may be lost, but whoever writes steadily (a key each half second) is seen, and whoever stopped is not, soon.
        #[test]
        fn others_see_what_happens_though_every_third_signal_is_lost(gaps in prop::collection::vec(1_u64..500, 1..200)) {
            let (mut sender, mut typists, mut now, mut sent) = (TypingSender::new("ada"), Typists::new(), at(0), 0);
            for gap in gaps {
                now += at(gap);
                typists.tick(now);
                if let Some(signal) = sender.key(now) {
                    sent += 1;
                    // Never two lost in a row, and not the first.
                    if sent % 3 != 0 {
                        typists.heard(signal, now);
                    }
                }
                prop_assert_eq!(typists.people().count(), 1, "at {:?}", now);
            }
            let end = now + STOP_AFTER;
            prop_assert!(sender.tick(end).is_some_and(|signal| !signal.is_typing));
            typists.tick(now + TYPING_TTL);
            prop_assert_eq!(typists.people().count(), 0);
        }
    }
}
