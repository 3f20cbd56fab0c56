//! What a test does to the sockets: everything that makes them differ from a server in good health.
//!
//! [`RealtimeControl`](crate::RealtimeControl) sets it, the writer of each socket and the sessions ask it. Random
//! faults depend on the seed and on how many frames were written since it was set, so one client's run can be
//! repeated.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// Longest delay that can be asked for.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(60);

/// Frames that can be marked to be dropped.
const MAX_DROPS: usize = 1_000;

/// The codes that random faults close with.
const CODES: [u16; 6] = [1000, 1001, 1002, 1011, 1012, 4000];

/// What shall happen to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Write,
    /// Lost because the server is frozen.
    Swallow,
    Drop,
    Delay(Duration),
    Cut,
    Close(u16),
}

/// What shall happen to one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyFate {
    Now,
    Late(Duration),
    Never,
}

/// The switches of one server.
#[derive(Debug)]
pub(crate) struct Disturb {
    frozen: watch::Sender<bool>,
    early_success: AtomicBool,
    malformed: AtomicU64,
    stale: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frame_delay: Duration,
    join_delay: Duration,
    /// Frames still to pass before each one that is dropped.
    drops: Vec<u64>,
    lost_replies: u32,
    late_replies: (u32, Duration),
    /// What joins are refused with, and how many of them.
    refused_joins: (u32, String),
    random: Option<(fastrand::Rng, u16)>,
}

impl Disturb {
    pub(crate) fn new() -> Self {
        Self {
            frozen: watch::Sender::new(false),
            early_success: AtomicBool::new(false),
            malformed: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.send_if_modified(|now| std::mem::replace(now, frozen) != frozen);
    }

    /// Whether nothing is answered, now and later.
    pub(crate) fn frozen(&self) -> watch::Receiver<bool> {
        self.frozen.subscribe()
    }

    pub(crate) fn set_early_success(&self, early: bool) {
        self.early_success.store(early, Ordering::SeqCst);
    }

    /// Whether "Subscribed" is said before it is true.
    pub(crate) fn early_success(&self) -> bool {
        self.early_success.load(Ordering::SeqCst)
    }

    pub(crate) fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::SeqCst)
    }

    pub(crate) fn count_stale(&self) {
        self.stale.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn stale(&self) -> u64 {
        self.stale.load(Ordering::SeqCst)
    }

    pub(crate) fn set_frame_delay(&self, delay: Duration) {
        self.state().frame_delay = delay.min(MAX_DELAY);
    }

    pub(crate) fn frame_delay(&self) -> Duration {
        self.state().frame_delay
    }

    pub(crate) fn set_join_delay(&self, delay: Duration) {
        self.state().join_delay = delay.min(MAX_DELAY);
    }

    pub(crate) fn join_delay(&self) -> Duration {
        self.state().join_delay
    }

    pub(crate) fn drop_frame(&self, n: u64) {
        let mut state = self.state();
        if state.drops.len() < MAX_DROPS {
            state.drops.push(n.max(1));
        }
    }

    pub(crate) fn lose_replies(&self, replies: u32) {
        self.state().lost_replies = replies;
    }

    pub(crate) fn delay_replies(&self, replies: u32, delay: Duration) {
        self.state().late_replies = (replies, delay.min(MAX_DELAY));
    }

    pub(crate) fn refuse_joins(&self, joins: u32, reason: String) {
        self.state().refused_joins = (joins, reason);
    }

    /// Why the next join is refused, if it shall be.
    pub(crate) fn refused_join(&self) -> Option<String> {
        let (left, reason) = &mut self.state().refused_joins;
        *left = left.checked_sub(1)?;
        Some(reason.clone())
    }

    pub(crate) fn set_random(&self, random: Option<(u64, u16)>) {
        self.state().random = random.map(|(seed, per_mille)| (fastrand::Rng::with_seed(seed), per_mille));
    }

    /// Ends every disturbance but what the counters say.
    pub(crate) fn clear(&self) {
        *self.state() = State::default();
        self.set_early_success(false);
        self.set_frozen(false);
    }

    /// Decides about the next reply.
    pub(crate) fn reply(&self) -> ReplyFate {
        let mut state = self.state();
        if state.lost_replies > 0 {
            state.lost_replies -= 1;
            return ReplyFate::Never;
        }
        match state.late_replies {
            (0, _) => ReplyFate::Now,
            (left, delay) => {
                state.late_replies.0 = left - 1;
                ReplyFate::Late(delay)
            }
        }
    }

    /// Decides about the next frame.
    pub(crate) fn frame(&self) -> Fate {
        if *self.frozen.borrow() {
            return Fate::Swallow;
        }
        let mut state = self.state();
        let mut hit = false;
        state.drops.retain_mut(|left| {
            *left -= 1;
            hit |= *left == 0;
            *left > 0
        });
        if hit {
            return Fate::Drop;
        }
        let Some((rng, per_mille)) = &mut state.random else { return Fate::Write };
        if rng.u16(0..1_000) >= *per_mille {
            return Fate::Write;
        }
        match rng.u8(0..4) {
            0 => Fate::Drop,
            1 => Fate::Delay(Duration::from_millis(rng.u64(1..50))),
            2 => Fate::Cut,
            _ => Fate::Close(CODES.get(rng.usize(0..CODES.len())).copied().unwrap_or(1011)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_frame_from_now_is_dropped() {
        let disturb = Disturb::new();
        disturb.drop_frame(2);
        disturb.drop_frame(3);
        let fates: Vec<_> = (0..4).map(|_| disturb.frame()).collect();
        assert_eq!(fates, [Fate::Write, Fate::Drop, Fate::Drop, Fate::Write]);
    }

    #[test]
    fn a_seed_repeats_its_faults() {
        let run = |seed| {
            let disturb = Disturb::new();
            disturb.set_random(Some((seed, 300)));
            (0..100).map(|_| disturb.frame()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
        let hit = run(5).iter().filter(|fate| **fate != Fate::Write).count();
        assert!((10..60).contains(&hit), "{hit} of 100");
    }

    #[test]
    fn lost_replies_come_before_late_ones() {
        let disturb = Disturb::new();
        disturb.delay_replies(1, Duration::from_secs(1));
        disturb.lose_replies(1);
        let fates: Vec<_> = (0..3).map(|_| disturb.reply()).collect();
        assert_eq!(fates, [ReplyFate::Never, ReplyFate::Late(Duration::from_secs(1)), ReplyFate::Now]);
    }
}
