//! Syncing on its own: soon after a local change, and from time to time.
//!
//! One task for each started workspace, owned by the engine. A change is followed by a sync after the debounce, counted
//! from the *first* change, so that a busy host is never put off for ever (W8); failures back off with jitter and are
//! told by the state, never by stopping: something is always due (O11).
use std::{sync::Arc, time::Duration};

use super::Workspace;
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
/// The longest pause after failures.
const PAUSE_LIMIT: Duration = Duration::from_secs(300);
/// And the shortest.
const PAUSE_FLOOR: Duration = Duration::from_millis(500);
/// From a hint to the pull: what happens together is pulled together.
const GATHER: Duration = Duration::from_millis(25);

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
                    match work {
                        Work::Sync => return workspace.sync().await.map(drop),
                        Work::Send => workspace.send_waiting().await?,
                        Work::Pull => {}
                    }
                    workspace.answer_hints(wanted).await
                };
                let Some(result) = own.run_until_cancelled(step).await else { return };
                if let Err(error) = &result {
                    if error.code() == NOT_LINKED {
                        return;
                    }
                    tracing::debug!(code = %error.code(), "sync failed");
                    workspace.scope.want_everything();
                }
                agenda.done(clock.monotonic(), work, result.is_ok(), random.fraction());
            }
        });
        StopSync(stop)
    }
}

/// What one step of the task does; each includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Everything.
    Sync,
    /// What hints asked for, and before it the messages that wait.
    Send,
    /// What hints asked for.
    Pull,
}

/// What is due when, on the monotonic clock.
#[derive(Debug)]
struct Agenda {
    /// The end of the last whole sync.
    last: Option<Duration>,
    /// A local change waits for this moment, counted from the first one (W8).
    push: Option<Duration>,
    /// Messages wait for this moment.
    send: Option<Duration>,
    /// When messages were sent last.
    sent: Option<Duration>,
    /// Hints wait for this moment.
    pull: Option<Duration>,
    failures: u32,
    /// Nothing is tried before this moment: the pause after failures (B4).
    rest: Duration,
}

impl Agenda {
    const fn starting(now: Duration) -> Self {
        Self { last: None, push: None, send: None, sent: None, pull: None, failures: 0, rest: now }
    }

    fn changed(&mut self, now: Duration, debounce: Duration) {
        self.push.get_or_insert(now.saturating_add(debounce));
    }

    /// The first message goes at once; those that follow closely go together.
    fn appended(&mut self, now: Duration, delay: Duration) {
        let earliest = self.sent.map_or(now, |sent| sent.saturating_add(delay));
        self.send.get_or_insert(earliest.max(now));
    }

    /// The cloud was reached in another way: what failed before need not wait.
    fn reached(&mut self, now: Duration) {
        (self.failures, self.rest) = (0, now);
    }

    fn hinted(&mut self, now: Duration) {
        self.pull.get_or_insert(now + GATHER);
    }

    /// Regular syncs take the place of hints, the first one within an interval.
    fn take_over(&mut self, now: Duration, interval: Duration, fraction: f64) {
        let as_if = now.saturating_add(interval.mul_f64(fraction)).saturating_sub(interval);
        self.last = self.last.map(|last| last.max(as_if));
    }

    fn regular(&self, interval: Duration) -> Duration {
        self.last.map_or(self.rest, |last| last.saturating_add(interval))
    }

    fn next(&self, interval: Duration) -> Duration {
        let due = [self.push, self.send, self.pull].into_iter().flatten().fold(self.regular(interval), Duration::min);
        due.max(self.rest)
    }

    /// The least that does what is due.
    fn work(&self, now: Duration, interval: Duration) -> Work {
        let due = |moment: Option<Duration>| moment.is_some_and(|moment| moment <= now);
        match () {
            () if due(self.push) || self.regular(interval) <= now => Work::Sync,
            () if due(self.send) => Work::Send,
            () => Work::Pull,
        }
    }

    fn done(&mut self, now: Duration, work: Work, well: bool, fraction: f64) {
        let (whole, sent) = (work == Work::Sync, work != Work::Pull);
        self.pull = None;
        if well {
            if sent {
                (self.send, self.sent) = (None, Some(now));
            }
            (self.failures, self.rest) = (0, now);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.rest = now.saturating_add(backoff(self.failures, fraction));
        }
        if whole && well {
            (self.last, self.push) = (Some(now), None);
        }
    }
}

/// Full jitter above a floor of half a second, doubling with `failures` up to five minutes: a short break is over soon, and a
/// long one costs little.
fn backoff(failures: u32, fraction: f64) -> Duration {
    let top = Duration::from_secs(1_u64.checked_shl(failures.min(16)).unwrap_or(u64::MAX)).min(PAUSE_LIMIT);
    PAUSE_FLOOR + top.mul_f64(fraction)
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

    const REGULAR: Duration = Duration::from_secs(30);
    const DEBOUNCE: Duration = Duration::from_secs(5);

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn synced(now: Duration) -> Agenda {
        let mut agenda = Agenda::starting(now);
        agenda.done(now, Work::Sync, true, 0.5);
        agenda
    }

    #[test]
    fn w08_changes_without_end_do_not_put_off_the_push() {
        let mut agenda = synced(at(0));
        for second in 1..5 {
            agenda.changed(at(second), DEBOUNCE);
            agenda.hinted(at(second));
        }
        assert_eq!(agenda.next(REGULAR), at(1) + GATHER, "a hint does not wait for the debounce");
        agenda.done(at(2), Work::Pull, true, 0.5);
        assert_eq!(agenda.next(REGULAR), at(6), "and does not take the place of the push");
        assert_eq!(agenda.work(at(6), REGULAR), Work::Sync);
    }

    #[test]
    fn a_hint_asks_for_less_than_a_sync_until_one_is_due() {
        let mut agenda = synced(at(0));
        agenda.hinted(at(1));
        assert_eq!(agenda.work(at(2), REGULAR), Work::Pull);
        assert_eq!(agenda.work(at(30), REGULAR), Work::Sync);
    }

    #[test]
    fn messages_do_not_wait_for_the_debounce_and_are_kept_in_mind_until_sent() {
        let mut agenda = synced(at(0));
        agenda.changed(at(1), DEBOUNCE);
        agenda.appended(at(1), at(2));
        assert_eq!(agenda.next(REGULAR), at(2), "the sync has sent messages, too: two seconds after it");
        agenda.hinted(at(1));
        agenda.done(at(1), Work::Pull, true, 0.5);
        assert_eq!(agenda.next(REGULAR), at(2), "a pull sends nothing");
        assert_eq!(agenda.work(at(2), REGULAR), Work::Send);
        agenda.done(at(2), Work::Send, false, 0.5);
        assert_eq!(agenda.work(at(3), REGULAR), Work::Send, "after a failure they wait still");
        agenda.done(at(3), Work::Send, true, 0.5);
        assert_eq!(agenda.next(REGULAR), at(6), "sent");
        agenda.appended(at(3), at(2));
        assert_eq!(agenda.next(REGULAR), at(5), "those that follow closely go together");
        agenda.done(at(6), Work::Sync, true, 0.5);
        agenda.appended(at(20), at(2));
        assert_eq!(agenda.next(REGULAR), at(20), "and a single one at once");
    }

    #[test]
    fn when_hints_cease_the_regular_sync_comes_within_an_interval_and_not_for_all_at_once() {
        for (fraction, due) in [(0.0, 100), (0.5, 115), (0.9, 127)] {
            let mut agenda = synced(at(0));
            assert_eq!(agenda.next(LIVE_INTERVAL), LIVE_INTERVAL);
            agenda.take_over(at(100), REGULAR, fraction);
            assert_eq!(agenda.next(REGULAR), at(due));
            agenda.appended(at(100), GATHER);
            assert_eq!(agenda.next(REGULAR), at(100), "what is written here does not wait for that");
        }
        let mut agenda = synced(at(99));
        agenda.take_over(at(100), REGULAR, 0.0);
        assert_eq!(agenda.next(REGULAR), at(129), "nothing is missed yet");
    }

    #[test]
    fn b04_hints_do_not_shorten_the_pause_after_failures() {
        let mut agenda = synced(at(0));
        for failure in 0..4_u64 {
            let now = at(100 * (failure + 1));
            agenda.hinted(now);
            agenda.done(now, Work::Pull, false, 0.5);
            agenda.hinted(now);
            agenda.changed(now, Duration::ZERO);
            assert!(agenda.next(REGULAR) > now + at(1 << failure), "failure {failure}");
        }
        agenda.reached(at(500));
        assert_eq!(agenda.next(REGULAR), at(500), "but a cloud that is live again is asked at once");
    }

    proptest! {
        #[test]
        fn o11_something_is_always_due(interval in 1_u64..1000, steps in prop::collection::vec((0_u8..6, 0_u64..100), 0..40)) {
            let interval = at(interval);
            let (mut now, mut agenda) = (at(0), Agenda::starting(at(0)));
            for (step, passed) in steps {
                now += at(passed);
                match step {
                    0 => agenda.changed(now, DEBOUNCE),
                    1 => agenda.hinted(now),
                    2 => agenda.appended(now, GATHER),
                    3 => agenda.done(now, Work::Sync, true, 0.9),
                    4 => agenda.done(now, Work::Send, false, 0.9),
                    _ => agenda.done(now, Work::Pull, true, 0.9),
                }
                prop_assert!(agenda.next(interval) <= now + interval.max(PAUSE_LIMIT) + at(1));
            }
        }

        #[test]
        fn o11_a_pause_is_never_zero_and_never_endless(failures: u32, fraction in 0.0_f64..1.0) {
            let pause = backoff(failures, fraction);
            prop_assert!(pause >= PAUSE_FLOOR && pause <= PAUSE_LIMIT + PAUSE_FLOOR);
        }
    }
}
