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
