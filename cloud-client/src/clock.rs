//! Time as a seam: wall clock, a monotonic reading and sleep. No other file asks the system for the time.
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

/// Time, as the crates of this family see it.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock. It may step in either direction.
    fn wall(&self) -> SystemTime;

    /// Time since some fixed moment; never steps back, and may stand still while the machine sleeps.
    fn monotonic(&self) -> Duration;

    /// Waits. Dropping the future forgets the timer.
    async fn sleep(&self, duration: Duration);
}

/// A cheap-clone handle on a [`Clock`].
#[derive(Clone, Debug)]
pub struct SharedClock(Arc<dyn Clock>);

impl SharedClock {
    /// Wraps an implementation.
    pub fn new(clock: impl Clock + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// The wall clock.
    pub fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    /// Time since some fixed moment.
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    /// Both clocks, read together.
    pub(crate) fn now(&self) -> Moment {
        Moment { wall: self.wall(), monotonic: self.monotonic() }
    }

    /// Waits. Cancel safe.
    pub async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    /// Runs `work` for at most `limit`; `None` when time ran out (and `work` was dropped).
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = work => Some(value),
            () = self.0.sleep(limit) => None,
        }
    }
}

/// What both clocks showed at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Duration,
}

/// Clocks drift and are corrected by seconds; a sleep that outlives no connection does not matter either.
const JUMP: Duration = Duration::from_secs(30);

impl Moment {
    /// Whether the clocks came apart since `earlier`: the machine slept, or somebody set the time. Never true on a
    /// system whose monotonic clock goes on while it sleeps.
    pub(crate) fn jumped_since(&self, earlier: &Self) -> bool {
        let steady = self.monotonic.saturating_sub(earlier.monotonic);
        let apart = match self.wall.duration_since(earlier.wall) {
            Ok(passed) => passed.abs_diff(steady),
            Err(back) => back.duration().saturating_add(steady),
        };
        apart > JUMP
    }
}

impl Default for SharedClock {
    fn default() -> Self {
        Self::new(SystemClock::default())
    }
}

/// The machine's own clocks; sleeping is Tokio's.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this file implements the seam")]
    fn default() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this file implements the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this file implements the seam")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_come_apart_by_more_than_half_a_minute_have_jumped() {
        let at = |wall: u64, monotonic: u64| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            monotonic: Duration::from_secs(monotonic),
        };
        for (wall, monotonic, jumped) in [
            (1000, 100, false),
            (1600, 700, false), // ten quiet minutes, awake
            (1030, 100, false), // exactly the limit
            (1031, 100, true),  // asleep
            (9000, 105, true),
            (970, 100, false), // set back within the limit
            (969, 100, true),
            (1000, 140, true), // the wall clock stood still: set back while time went on
            (0, u64::MAX, true),
        ] {
            assert_eq!(at(wall, monotonic).jumped_since(&at(1000, 100)), jumped, "{wall} {monotonic}");
        }
    }
}
