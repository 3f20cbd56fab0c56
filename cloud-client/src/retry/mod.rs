//! When a call is sent again: a pure decision from what happened, whether a repeat is safe, and the shared budget.
//!
//! outcome of an attempt → [`Policy::decide`] → wait, or give up. Only calls that are safe to repeat come here at all
//! (T2): reads, writes proven idempotent, and the session's refresh, which has its own machine. The budget ([`Budget`])
//! is shared by all calls of a client, so a cloud in trouble is not met by every caller's repeats at once (T8).
mod budget;
pub mod retry_after;

use std::time::Duration;

pub use budget::Budget;
use budget::{COST, COST_THROTTLED};

use crate::{Error, ErrorKind, error::codes, random::Random};

/// The longest wait that a server may ask for and get within a call (T3).
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(300);

/// How often and how patiently a call is repeated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Sends in all, the first one included. Default: 4.
    pub attempts: u32,
    /// The upper end of the first wait. Default: 200 ms.
    pub base: Duration,
    /// The upper end of any wait that the server did not ask for. Default: 10 s.
    pub cap: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts: 4, base: Duration::from_millis(200), cap: Duration::from_secs(10) }
    }
}

impl Policy {
    /// No repeat at all.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The wait before attempt number `sent + 1`, or `None` when `error` should reach the caller.
    ///
    /// Waits are uniform in `[0, base · 2^(sent−1)]`, capped ("full jitter"). A `Retry-After` is a lower bound, itself
    /// cut to [`RETRY_AFTER_LIMIT`]; a wait that would pass `left` (what remains of the caller's deadline) is not begun.
    pub fn decide(
        &self,
        error: &Error,
        sent: u32,
        left: Duration,
        budget: &Budget,
        random: &Random,
    ) -> Option<Duration> {
        let worth = matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout | ErrorKind::RateLimited)
            || (error.kind() == ErrorKind::Server && error.code() != codes::SERVER_FAULT);
        if !worth || is_hopeless(error) || sent >= self.attempts {
            return None;
        }
        let doubled = self.base.saturating_mul(1_u32.checked_shl(sent.saturating_sub(1)).unwrap_or(u32::MAX));
        let jittered = doubled.min(self.cap).mul_f64(random.fraction());
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_LIMIT);
        let wait = jittered.max(asked);
        let cost = if error.kind() == ErrorKind::RateLimited { COST_THROTTLED } else { COST };
        (wait < left && budget.spend(cost)).then_some(wait)
    }
}

/// Whether a repeat meets the same again, though the kind of `error` passes elsewhere: somebody between here and the
/// cloud answers in its place, or the two do not trust one another.
pub fn is_hopeless(error: &Error) -> bool {
    [codes::INTERCEPTED, codes::REDIRECTED, codes::TLS].contains(&error.code())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn only_passing_failures_are_repeated() {
        let (policy, budget, random) = (Policy::default(), Budget::default(), Random::seeded(1));
        let decide = |code| policy.decide(&Error::new(code), 1, LONG, &budget, &random).is_some();
        for code in [codes::CONNECT, codes::CUT, codes::TIMEOUT, codes::UNAVAILABLE, codes::RATE_LIMITED] {
            assert!(decide(code), "{code}");
        }
        for code in [
            codes::SERVER_FAULT,
            codes::INTERCEPTED,
            codes::TLS,
            codes::REJECTED,
            codes::TOKEN_REFUSED,
            codes::QUOTA,
            codes::UNREADABLE,
            codes::REDIRECTED,
        ] {
            assert!(!decide(code), "{code}");
        }
    }

    #[test]
    fn t08_a_dry_budget_stops_repeats_and_successes_refill_it() {
        let (policy, budget, random) = (Policy::default(), Budget::default(), Random::seeded(1));
        let error = Error::new(codes::CONNECT);
        let granted = (0..1000).filter(|_| policy.decide(&error, 1, LONG, &budget, &random).is_some()).count();
        assert_eq!(granted, 500 / 14);
        assert!(policy.decide(&error, 1, LONG, &budget, &random).is_none());
        (0..14).for_each(|_| budget.reward());
        assert!(policy.decide(&error, 1, LONG, &budget, &random).is_some());
    }

    proptest! {
        #[test]
        fn t03_a_wait_is_at_least_what_the_server_asks_and_never_past_the_deadline(
            sent in 1_u32..10, asked in 0_u64..1000, left in 0_u64..1000, seed: u64,
        ) {
            let policy = Policy { attempts: 20, ..Policy::default() };
            let error = Error::new(codes::RATE_LIMITED).with_retry_after(Duration::from_secs(asked));
            let left = Duration::from_secs(left);
            if let Some(wait) = policy.decide(&error, sent, left, &Budget::default(), &Random::seeded(seed)) {
                prop_assert!(wait < left);
                prop_assert!(wait >= Duration::from_secs(asked).min(RETRY_AFTER_LIMIT));
                prop_assert!(wait <= RETRY_AFTER_LIMIT.max(policy.cap));
            }
        }
    }
}
