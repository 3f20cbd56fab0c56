//! What time it is for the services of one cloud, which a test may set ahead or back.
//!
//! What a service decides by time it decides by this clock: who has no [`Clock`] is given a time. The database has a
//! clock of its own, which no skew moves: `now_pg()` in [`db`](super::db), the word `now` of the table API and its
//! function of that name, and the time of a commit that changes carry.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// The clock of one cloud; clones show the same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// How far it is ahead of the real time, in seconds.
    skew: Arc<AtomicI64>,
}

impl Clock {
    /// Microseconds since 1970.
    pub(crate) fn micros(&self) -> i64 {
        jiff::Timestamp::now().as_microsecond().saturating_add(self.skew().saturating_mul(1_000_000))
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        self.micros().div_euclid(1_000_000)
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self) -> i64 {
        self.micros().div_euclid(1_000)
    }

    /// How far it is ahead of the real time, in seconds; negative is behind.
    pub(crate) fn skew(&self) -> i64 {
        self.skew.load(Ordering::SeqCst)
    }

    /// Sets how far it is ahead of the real time, in seconds.
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_moves_every_unit_of_every_clone() {
        let clock = Clock::default();
        let other = clock.clone();
        let before = clock.seconds();
        other.set_skew(1_000);
        let (seconds, millis, micros) = (clock.seconds(), clock.millis(), clock.micros());
        assert!((before + 1_000..before + 1_060).contains(&seconds), "{before} {seconds}");
        assert!((seconds..seconds + 60).contains(&(millis / 1_000)), "{seconds} {millis}");
        assert!((millis..millis + 60_000).contains(&(micros / 1_000)), "{millis} {micros}");
        clock.set_skew(i64::MAX);
        assert_eq!(clock.micros(), i64::MAX, "no skew is too much");
        clock.set_skew(i64::MIN);
        assert!(clock.micros() < 0, "nor too little");
    }
}
