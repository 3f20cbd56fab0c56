//! A limit for transfers of any length: an attempt may last as long as bytes move.
//!
//! The body that is being sent counts what is taken from it; the attempt ends when nothing was taken for a whole
//! [`IDLE`] and no answer came. The caller's own limit still bounds the whole (T1).
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::clock::SharedClock;

/// How long a transfer may stand still.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// Counts the bytes of one transfer. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(Arc<AtomicU64>);

impl Pace {
    /// Bytes moved.
    pub(crate) fn moved(&self, bytes: u64) {
        self.0.fetch_add(bytes, Relaxed);
    }

    /// Runs `work` for at most `limit`, and no longer than [`IDLE`] to twice that without a byte moving.
    pub(crate) async fn within<T>(
        &self,
        clock: &SharedClock,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let started = clock.monotonic();
        let mut work = pin!(work);
        loop {
            let before = self.0.load(Relaxed);
            let left = limit.saturating_sub(clock.monotonic().saturating_sub(started));
            if let Some(value) = clock.within(left.min(IDLE), &mut work).await {
                return Some(value);
            }
            if left <= IDLE || self.0.load(Relaxed) == before {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t01_moving_bytes_keep_an_attempt_alive_until_its_limit_and_silence_ends_it() {
        let (clock, pace) = (SharedClock::default(), Pace::default());
        let moving = async {
            loop {
                clock.sleep(Duration::from_secs(20)).await;
                pace.moved(1);
            }
        };
        let started = clock.monotonic();
        let limit = Duration::from_secs(500);
        assert!(pace.within(&clock, limit, moving).await.is_none());
        assert_eq!((clock.monotonic() - started).as_secs(), 500);

        let started = clock.monotonic();
        assert!(pace.within(&clock, limit, std::future::pending::<()>()).await.is_none());
        assert_eq!(clock.monotonic() - started, IDLE);
    }
}
