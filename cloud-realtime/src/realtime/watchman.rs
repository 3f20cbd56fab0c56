//! Notices that the machine slept: clocks in, the length of the sleep out (R10).
//!
//! Timers stand still while a machine sleeps, so a short one is kept running and both clocks are compared at every turn.
//! Either the wall clock got ahead of the monotonic one, or (where the monotonic clock goes on in sleep) the timer came
//! far too late. A wall clock that somebody sets forward looks the same; the price is one needless question.
use std::time::{Duration, SystemTime};

/// How often the clocks are compared while a socket is open or wanted.
const LOOK: Duration = Duration::from_secs(2);
/// A difference that is no correction of the clock and no busy machine.
const JUMP: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Watchman {
    wall: SystemTime,
    monotonic: Duration,
    watching: bool,
}

impl Watchman {
    pub(super) const fn new(wall: SystemTime, monotonic: Duration) -> Self {
        Self { wall, monotonic, watching: false }
    }

    /// When the clocks have to be compared again.
    pub(super) fn due(&mut self, needed: bool) -> Option<Duration> {
        self.watching = needed;
        needed.then(|| self.monotonic + LOOK)
    }

    /// How long the machine slept since the last call, if it did.
    pub(super) fn slept(&mut self, wall: SystemTime, monotonic: Duration) -> Option<Duration> {
        let steady = monotonic.saturating_sub(self.monotonic);
        let ahead = wall.duration_since(self.wall).unwrap_or_default().saturating_sub(steady);
        let late = if self.watching { steady.saturating_sub(LOOK) } else { Duration::ZERO };
        (self.wall, self.monotonic) = (wall, monotonic);
        let slept = ahead.max(late);
        (self.watching && slept >= JUMP).then_some(slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_a_sleep_is_noticed_on_either_kind_of_clock() {
        let s = Duration::from_secs;
        for (wall, monotonic, slept) in [
            (2, 2, None),
            (4, 2, None),                      // corrected by two seconds
            (28_802, 2, Some(s(28_800))),      // eight hours, timers stood still
            (28_802, 28_802, Some(s(28_800))), // eight hours, the timer came late
            (0, 2, None),                      // set back
        ] {
            let start = SystemTime::UNIX_EPOCH + s(1_000_000);
            let mut watchman = Watchman::new(start, s(10));
            assert_eq!(watchman.due(true), Some(s(12)));
            assert_eq!(watchman.slept(start + s(wall), s(10) + s(monotonic)), slept, "{wall} {monotonic}");
        }
    }

    #[test]
    fn nothing_is_watched_where_nothing_is_open() {
        let start = SystemTime::UNIX_EPOCH;
        let mut watchman = Watchman::new(start, Duration::ZERO);
        assert_eq!(watchman.due(false), None);
        let hours = Duration::from_secs(28_800);
        assert_eq!(watchman.slept(start + hours, hours), None);
    }
}
