//! When an access token ends (A10) and how often a session may be refreshed (A9). Pure: time comes in as a [`Moment`].
//!
//! Expiry is counted from the sending of the request, by two clocks of this machine: the monotonic one, which stands
//! still while the machine sleeps, and the wall clock, which may step. The earlier end counts. The server's own
//! `expires_at` is never compared with the local clock.
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use cloud_client::{AccessToken, clock::SharedClock};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: Duration,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now(clock: &SharedClock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.wall() }
    }
}

/// An access token and its end.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) token: AccessToken,
    /// The first generation of this session: a token below it belonged to somebody else (A7).
    pub(crate) floor: u64,
    lifetime: Duration,
    leeway: Duration,
    until: Moment,
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        self.token.generation == other.token.generation && self.until == other.until
    }
}

impl Access {
    /// A token that lives for `lifetime` from `asked` on and is renewed `leeway` before its end. Tokens that live
    /// shorter than four leeways are renewed at three quarters of their life.
    pub(crate) fn new(token: AccessToken, floor: u64, lifetime: Duration, asked: Moment, leeway: Duration) -> Self {
        let wall = asked.wall.checked_add(lifetime).unwrap_or(asked.wall);
        let until = Moment { monotonic: asked.monotonic.saturating_add(lifetime), wall };
        Self { token, floor, lifetime, leeway: leeway.min(lifetime / 4), until }
    }

    /// What is left by the clock that has less.
    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        let wall = self.until.wall.duration_since(now.wall).unwrap_or_default();
        self.until.monotonic.saturating_sub(now.monotonic).min(wall)
    }

    pub(crate) fn is_alive(&self, now: Moment) -> bool {
        self.remaining(now) > Duration::ZERO
    }

    /// Whether it can be used without asking for a new one first.
    pub(crate) fn is_fresh(&self, now: Moment) -> bool {
        self.remaining(now) > self.leeway
    }

    /// How long until it should be renewed.
    pub(crate) fn renew_in(&self, now: Moment) -> Duration {
        self.remaining(now).saturating_sub(self.leeway)
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The end by the wall clock, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> u64 {
        self.until.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// How many refreshes an hour may see, whatever the clocks do (A9).
const REFRESHES_AN_HOUR: usize = 12;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Lifetimes below this one are not allowed to raise the limit further.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(30);

/// Counts refreshes by the monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(VecDeque<Duration>);

impl Pace {
    /// Notes one refresh.
    pub(crate) fn count(&mut self, now: Moment) {
        self.0.push_back(now.monotonic);
        // The limit is at most 2 · 3600 / 30; older entries cannot matter.
        if self.0.len() > 256 {
            self.0.pop_front();
        }
    }

    /// How long the next refresh has to wait; `None` when it may go at once. Sessions whose tokens live for less than
    /// ten minutes need more than twelve refreshes, and get twice what their lifetime explains.
    pub(crate) fn wait(&self, now: Moment, lifetime: Duration) -> Option<Duration> {
        let explained = HOUR.as_secs_f64() / lifetime.max(SHORTEST_LIFETIME).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 240")]
        let limit = REFRESHES_AN_HOUR.max((2.0 * explained) as usize);
        let nth = self.0.len().checked_sub(limit)?;
        let until = self.0.get(nth)?.saturating_add(HOUR);
        Some(until.saturating_sub(now.monotonic)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
