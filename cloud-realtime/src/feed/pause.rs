//! The pauses of a feed: they grow while it fails (R6), and are never shorter than the server asks.
use std::time::Duration;

use cloud_client::{Error, random::Random, retry::RETRY_AFTER_LIMIT};

use crate::pause::{ALONE, SHORTEST, between, jittered};

/// The pauses of one thing that is tried again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
}

impl Pauses {
    /// It worked: the next pause is short again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure.
    pub(super) fn after(&mut self, error: &Error, random: &Random) -> Duration {
        self.at_least(error.retry_after().unwrap_or_default(), random)
    }

    /// The same, with a wish of the server: it is kept, and clients that share it are spread behind it.
    pub(super) fn at_least(&mut self, wish: Duration, random: &Random) -> Duration {
        let pause = wish.min(RETRY_AFTER_LIMIT) + jittered(ALONE, self.failures, random);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// `interval`, a tenth more or less, so that clients which began together do not stay together.
pub(super) fn spread(interval: Duration, random: &Random) -> Duration {
    between(interval.mul_f64(0.9), interval.mul_f64(1.1), random).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::LONGEST;

    #[test]
    fn pauses_grow_to_a_ceiling_keep_the_servers_wish_and_never_vanish() {
        let random = Random::seeded(3);
        let mut pauses = Pauses::default();
        for failure in 0..200_u32 {
            let ceiling = ALONE.saturating_mul(1 << failure.min(8)).min(LONGEST);
            let pause = pauses.at_least(Duration::ZERO, &random);
            assert!((SHORTEST..=ceiling).contains(&pause), "{failure}: {pause:?}");
        }
        pauses.reset();
        let wish = Duration::from_secs(30);
        assert!((wish..=wish + ALONE).contains(&pauses.at_least(wish, &random)));
        assert!(pauses.at_least(Duration::MAX, &random) <= RETRY_AFTER_LIMIT + ALONE * 2);
        for _ in 0..200 {
            let second = Duration::from_secs(1);
            assert!((second * 9 / 10..=second * 11 / 10).contains(&spread(second, &random)));
        }
    }
}
