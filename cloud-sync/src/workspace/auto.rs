//! Syncing on its own: soon after a local change, and from time to time.
//!
//! One task for each started workspace, owned by the engine. A change is followed by a sync after the debounce, counted
//! from the *first* change, so that a busy host is never put off for ever (W8); failures back off with jitter and are
//! told by the state, never by stopping: something is always due (O11).
use std::{sync::Arc, time::Duration};

use super::{
    Workspace,
    agenda::{Agenda, End, Work},
    parts::{Parts, is_refusal},
};
use crate::codes::NOT_LINKED;

/// When to sync without being asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AutoSync {
    /// Between two syncs when nothing happens here. Default: 30 s.
    pub interval: Duration,
    /// From a local change to its push. Default: 5 s.
    pub debounce: Duration,
    /// Between two pushes of messages: the first goes at once, those that follow closely go together. Default: 50 ms.
    pub message_delay: Duration,
    /// Between two syncs while hints come in as things happen (see [`Workspace::set_live`]). Default: 5 min.
    pub live_interval: Duration,
}

impl Default for AutoSync {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            debounce: Duration::from_secs(5),
            message_delay: Duration::from_millis(50),
            live_interval: LIVE_INTERVAL,
        }
    }
}

impl AutoSync {
    /// Sets the time between two syncs.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the time between two syncs while hints come in.
    pub fn live_interval(mut self, interval: Duration) -> Self {
        self.live_interval = interval;
        self
    }

    /// Sets the time between two pushes of messages.
    pub fn message_delay(mut self, delay: Duration) -> Self {
        self.message_delay = delay;
        self
    }

    /// Sets the time from a local change to its push.
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }
}

/// Live updates may fail without a word; what they miss is found this soon.
const LIVE_INTERVAL: Duration = Duration::from_secs(300);

impl Workspace {
    /// Syncs from now on without being asked, until the link is ended, the engine is closed or [`StopSync`] is dropped.
    pub fn keep_synced(&self, when: AutoSync) -> StopSync {
        let stop = self.scope.context.tasks.stop_signal();
        let own = stop.clone();
        // The task must not keep the engine, and so itself, alive: it holds a handle only while it syncs.
        let clock = self.scope.context.client.clock().clone();
        let random = self.scope.context.client.random().clone();
        let cell = Arc::clone(self.scope.cell());
        let weak = self.scope.downgrade();
        self.scope.context.tasks.spawn(async move {
            // At once, then from time to time.
            let mut agenda = Agenda::starting(clock.monotonic());
            let mut live = cell.is_live();
            loop {
                let now = clock.monotonic();
                let regular = if live { when.live_interval } else { when.interval };
                tokio::select! {
                    biased;
                    () = own.cancelled() => return,
                    () = cell.changed.notified() => {
                        agenda.changed(now, when.debounce);
                        continue;
                    }
                    () = cell.woken.notified() => {
                        agenda.reached(now);
                        continue;
                    }
                    () = cell.appended.notified() => {
                        agenda.appended(now, when.message_delay);
                        continue;
                    }
                    () = cell.hinted.notified() => {
                        let was_live = std::mem::replace(&mut live, cell.is_live());
                        match (was_live, live) {
                            (false, true) => agenda.reached(now),
                            // Everybody else of this cloud may have lost it at the same moment.
                            (true, false) => agenda.take_over(now, when.interval, random.fraction()),
                            _ => {}
                        }
                        agenda.hinted(now);
                        continue;
                    }
                    () = clock.sleep(agenda.next(regular).saturating_sub(now)) => {}
                }
                let Some(workspace) = weak.upgrade().map(Self::new) else { return };
                let begun = clock.monotonic();
                let work = agenda.work(begun, regular);
                // Stopped between steps is safe: whatever was sent is recognised by the next sync.
                let wanted = cell.take_wanted();
                let step = async {
                    let mut parts = Parts::default();
                    match work {
                        Work::Sync => return workspace.sync().await.map(drop),
                        Work::Send => drop(parts.part(workspace.send_waiting().await)?),
                        Work::Pull => {}
                    }
                    parts.part(workspace.answer_hints(wanted).await)?;
                    parts.end()
                };
                let Some(result) = own.run_until_cancelled(step).await else { return };
                let end = match &result {
                    Ok(()) => End::Well,
                    Err(error) if error.code() == NOT_LINKED => return,
                    Err(error) => {
                        tracing::debug!(code = %error.code(), "sync failed");
                        if is_refusal(error) { End::Refused } else { End::Failed }
                    }
                };
                if end == End::Failed {
                    workspace.scope.want_everything();
                }
                agenda.done(clock.monotonic(), work, end, random.fraction());
            }
        });
        StopSync(stop)
    }
}

impl Workspace {
    /// Ends the pause after failures, for a host that knows that its network, or its user, is back. Nothing happens where
    /// nothing keeps this workspace synced, or nothing is due.
    pub fn try_now(&self) {
        self.scope.cell().woken.notify_one();
    }
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
