//! Syncing on its own: soon after a local change, and from time to time.
//!
//! One task for each started workspace, owned by the engine. A change is followed by a sync after the debounce, counted
//! from the *first* change, so that a busy host is never put off for ever (W8); failures back off with jitter and are
//! told by the state, never by stopping.
use std::time::Duration;

use super::Workspace;

/// When to sync without being asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AutoSync {
    /// Between two syncs when nothing happens here. Default: 30 s.
    pub interval: Duration,
    /// From a local change to its push. Default: 5 s.
    pub debounce: Duration,
}

impl Default for AutoSync {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), debounce: Duration::from_secs(5) }
    }
}

impl AutoSync {
    /// Sets the time between two syncs.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the time from a local change to its push.
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }
}

/// The longest pause after failures.
const PAUSE_LIMIT: Duration = Duration::from_secs(300);

impl Workspace {
    /// Syncs from now on without being asked, until the engine is closed or [`StopSync`] is dropped.
    pub fn keep_synced(&self, when: AutoSync) -> StopSync {
        let stop = self.scope.context.tasks.stop_signal();
        let own = stop.clone();
        // The task must not keep the engine, and so itself, alive: it holds a handle only while it syncs.
        let clock = self.scope.context.client.clock().clone();
        let random = self.scope.context.client.random().clone();
        let cell = self.scope.cell();
        let weak = self.scope.downgrade();
        self.scope.context.tasks.spawn(async move {
            let mut failures = 0_u32;
            // At once, then from time to time.
            let mut begun = false;
            loop {
                let pause = match (std::mem::replace(&mut begun, true), failures) {
                    (false, _) => Duration::ZERO,
                    (true, 0) => when.interval,
                    (true, _) => backoff(failures, when.interval, random.fraction()),
                };
                tokio::select! {
                    biased;
                    () = own.cancelled() => return,
                    () = cell.changed.notified() => {
                        let wait = if failures == 0 { when.debounce } else { when.debounce.max(pause) };
                        if own.run_until_cancelled(clock.sleep(wait)).await.is_none() {
                            return;
                        }
                    }
                    () = clock.sleep(pause) => {}
                }
                let Some(workspace) = weak.upgrade().map(Self::new) else { return };
                // Stopped between steps is safe: whatever was sent is recognised by the next sync.
                match own.run_until_cancelled(workspace.sync()).await {
                    None => return,
                    Some(Ok(_)) => failures = 0,
                    Some(Err(error)) => {
                        failures = failures.saturating_add(1);
                        tracing::debug!(code = %error.code(), failures, "sync failed");
                    }
                }
            }
        });
        StopSync(stop)
    }
}

/// Full jitter above a floor of one second, growing with `failures` from the interval to five minutes.
fn backoff(failures: u32, interval: Duration, fraction: f64) -> Duration {
    let top =
        interval.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(PAUSE_LIMIT.max(interval));
    Duration::from_secs(1) + top.mul_f64(fraction)
}

/// Ends the syncing of [`Workspace::keep_synced`] when dropped.
#[derive(Debug)]
#[must_use = "dropping this ends the automatic sync"]
pub struct StopSync(cloud_client::tasks::CancellationToken);

impl Drop for StopSync {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn o11_a_pause_is_never_zero_and_never_endless(failures: u32, fraction in 0.0_f64..1.0) {
            let pause = backoff(failures, Duration::from_secs(30), fraction);
            prop_assert!(pause >= Duration::from_secs(1) && pause <= PAUSE_LIMIT + Duration::from_secs(1));
        }
    }
}
