//! What is due when: the pure part of syncing on its own.
//!
//! changes, messages, hints, ends of steps → [`Agenda`] → the next moment and the [`Work`] that is due then.
use std::time::Duration;

/// The longest pause after failures.
const PAUSE_LIMIT: Duration = Duration::from_secs(300);
/// And the shortest.
const PAUSE_FLOOR: Duration = Duration::from_millis(500);
/// From a hint to the pull: what happens together is pulled together.
const GATHER: Duration = Duration::from_millis(25);

/// What one step of the task does; each includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Everything.
    Sync,
    /// What hints asked for, and before it the messages that wait.
    Send,
    /// What hints asked for.
    Pull,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Well,
    /// The cloud refused a part of it, and went along with the others: that part waits for the next regular sync, and
    /// nothing waits for it (O6).
    Refused,
    /// The cloud was not reached, or nothing is to be had of it at the moment.
    Failed,
}

/// What is due when, on the monotonic clock.
#[derive(Debug)]
pub(super) struct Agenda {
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
    pub(super) const fn starting(now: Duration) -> Self {
        Self { last: None, push: None, send: None, sent: None, pull: None, failures: 0, rest: now }
    }

    pub(super) fn changed(&mut self, now: Duration, debounce: Duration) {
        self.push.get_or_insert(now.saturating_add(debounce));
    }

    /// The first message goes at once; those that follow closely go together.
    pub(super) fn appended(&mut self, now: Duration, delay: Duration) {
        let earliest = self.sent.map_or(now, |sent| sent.saturating_add(delay));
        self.send.get_or_insert(earliest.max(now));
    }

    /// The cloud was reached in another way: what failed before need not wait.
    pub(super) fn reached(&mut self, now: Duration) {
        (self.failures, self.rest) = (0, now);
    }

    pub(super) fn hinted(&mut self, now: Duration) {
        self.pull.get_or_insert(now + GATHER);
    }

    /// Regular syncs take the place of hints, the first one within an interval.
    pub(super) fn take_over(&mut self, now: Duration, interval: Duration, fraction: f64) {
        let as_if = now.saturating_add(interval.mul_f64(fraction)).saturating_sub(interval);
        self.last = self.last.map(|last| last.max(as_if));
    }

    fn regular(&self, interval: Duration) -> Duration {
        self.last.map_or(self.rest, |last| last.saturating_add(interval))
    }

    pub(super) fn next(&self, interval: Duration) -> Duration {
        let due = [self.push, self.send, self.pull].into_iter().flatten().fold(self.regular(interval), Duration::min);
        due.max(self.rest)
    }

    /// The least that does what is due.
    pub(super) fn work(&self, now: Duration, interval: Duration) -> Work {
        let due = |moment: Option<Duration>| moment.is_some_and(|moment| moment <= now);
        match () {
            () if due(self.push) || self.regular(interval) <= now => Work::Sync,
            () if due(self.send) => Work::Send,
            () => Work::Pull,
        }
    }

    pub(super) fn done(&mut self, now: Duration, work: Work, end: End, fraction: f64) {
        let (whole, sent) = (work == Work::Sync, work != Work::Pull);
        let through = end != End::Failed;
        self.pull = None;
        if through {
            if sent {
                (self.send, self.sent) = (None, Some(now));
            }
            (self.failures, self.rest) = (0, now);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.rest = now.saturating_add(backoff(self.failures, fraction));
        }
        if whole && through {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIVE_INTERVAL: Duration = at(300);
    const REGULAR: Duration = Duration::from_secs(30);
    const DEBOUNCE: Duration = Duration::from_secs(5);

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn synced(now: Duration) -> Agenda {
        let mut agenda = Agenda::starting(now);
        agenda.done(now, Work::Sync, End::Well, 0.5);
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
        agenda.done(at(2), Work::Pull, End::Well, 0.5);
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
        agenda.done(at(1), Work::Pull, End::Well, 0.5);
        assert_eq!(agenda.next(REGULAR), at(2), "a pull sends nothing");
        assert_eq!(agenda.work(at(2), REGULAR), Work::Send);
        agenda.done(at(2), Work::Send, End::Failed, 0.5);
        assert_eq!(agenda.work(at(3), REGULAR), Work::Send, "after a failure they wait still");
        agenda.done(at(3), Work::Send, End::Well, 0.5);
        assert_eq!(agenda.next(REGULAR), at(6), "sent");
        agenda.appended(at(3), at(2));
        assert_eq!(agenda.next(REGULAR), at(5), "those that follow closely go together");
        agenda.done(at(6), Work::Sync, End::Well, 0.5);
        agenda.appended(at(20), at(2));
        assert_eq!(agenda.next(REGULAR), at(20), "and a single one at once");
    }

    #[test]
    fn o06_what_is_refused_waits_for_the_regular_sync_and_nothing_waits_for_it() {
        let mut agenda = synced(at(0));
        agenda.changed(at(1), DEBOUNCE);
        agenda.done(at(6), Work::Sync, End::Refused, 0.9);
        assert_eq!(agenda.next(REGULAR), at(36), "not before");
        agenda.appended(at(10), GATHER);
        assert_eq!((agenda.next(REGULAR), agenda.work(at(10), REGULAR)), (at(10), Work::Send), "and no pause");
        agenda.done(at(10), Work::Send, End::Refused, 0.9);
        assert_eq!(agenda.next(REGULAR), at(36));
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
            agenda.done(now, Work::Pull, End::Failed, 0.5);
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
                    3 => agenda.done(now, Work::Sync, End::Well, 0.9),
                    4 => agenda.done(now, Work::Send, End::Failed, 0.9),
                    _ => agenda.done(now, Work::Pull, End::Well, 0.9),
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
