//! Ownership of background work: what a handle starts, it can stop and wait for. Nothing else spawns.
use std::time::Duration;

pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;

/// The tasks of one handle. Dropping the last clone of a handle signals them; [`Tasks::close`] also waits.
#[derive(Debug)]
pub struct Tasks {
    stop: CancellationToken,
    running: TaskTracker,
    runtime: tokio::runtime::Handle,
}

impl Tasks {
    /// Tasks on the current Tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new() -> Self {
        Self { stop: CancellationToken::new(), running: TaskTracker::new(), runtime: tokio::runtime::Handle::current() }
    }

    /// The signal that every task looks at where stopping is safe.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Starts a task that belongs to this owner.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn_on(work, &self.runtime);
    }

    /// Signals all tasks and waits for their end, at most `limit`. `false` when some were still running (H1).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the signal stays given.
    pub async fn close(&self, clock: &SharedClock, limit: Duration) -> bool {
        self.stop.cancel();
        self.running.close();
        clock.within(limit, self.running.wait()).await.is_some()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
