//! When there is a socket: a pure machine from events to effects. No clock, no network, no token in it.
//!
//! ```text
//! Idle ─channel─► Acquiring ─► Connecting ─► Open ─lost─► Backoff ─► Acquiring …
//!                     └──────── failed ────────┘              (Disconnected, Stopped: wait for the host)
//! ```
//! Each attempt has a generation, and whatever comes from an earlier one is ignored. There is no limit to attempts;
//! pauses are random (R6), so that clients which were dropped together do not come back together. The counter that
//! lengthens them starts anew only after half a minute of live messages, not when a socket opens.
mod comeback;
mod event;
mod liveness;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod verdict;

use self::{
    comeback::limited,
    liveness::{Due, Liveness},
};
pub(crate) use self::{
    event::{Effect, Event, Loss, Now},
    verdict::{LIMITED_WAIT, Verdict, of_attempt, of_credentials},
};
use crate::status::ConnectionState;
use std::time::Duration;

/// A ticket that is good for less is tried for so long all the same, so that minting cannot become a loop (B4).
const SHORTEST_TICKET: Duration = Duration::from_secs(1);
/// A socket without channels is closed after this; servers drop it later and without a word.
const UNUSED: Duration = Duration::from_secs(50);

/// The machine.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    /// Whether any channel is wanted.
    wanted: bool,
    generation: u64,
    failures: u32,
    /// Whether the last socket was lost together with, perhaps, many others.
    together: bool,
    renew: bool,
    renewed: bool,
    live_since: Option<Duration>,
    not_before: Duration,
    attempted: Option<Duration>,
    attempt_limit: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Acquiring { until: Duration },
    Connecting { until: Duration, ticket_until: Option<Duration> },
    Open { life: Liveness, unused_since: Option<Duration> },
    Backoff { until: Duration },
    Disconnected,
    Stopped,
}

impl Connection {
    pub(crate) const fn new(attempt_limit: Duration) -> Self {
        Self {
            state: State::Idle,
            wanted: false,
            generation: 0,
            failures: 0,
            together: false,
            renew: false,
            renewed: false,
            live_since: None,
            not_before: Duration::ZERO,
            attempted: None,
            attempt_limit,
        }
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(crate) const fn shown(&self) -> ConnectionState {
        match self.state {
            State::Idle => ConnectionState::Idle,
            State::Acquiring { .. } | State::Connecting { .. } => ConnectionState::Connecting,
            State::Open { .. } => ConnectionState::Open,
            State::Backoff { .. } => ConnectionState::Backoff,
            State::Disconnected => ConnectionState::Disconnected,
            State::Stopped => ConnectionState::Stopped,
        }
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Idle | State::Disconnected | State::Stopped => None,
            State::Acquiring { until } | State::Backoff { until } => Some(*until),
            State::Connecting { until, ticket_until } => Some(ticket_until.map_or(*until, |ticket| ticket.min(*until))),
            State::Open { life, unused_since } => {
                Some(unused_since.map_or(life.at(), |since| life.at().min(since + UNUSED)))
            }
        }
    }

    /// One event. Total: every event is answered in every state.
    pub(crate) fn step(&mut self, event: Event<'_>, now: Now<'_>, out: &mut Vec<Effect>) {
        let stale = |generation: u64| generation != self.generation;
        match event {
            Event::Wanted(wanted) => self.want(wanted, now, out),
            Event::Disconnect => {
                self.let_go(out);
                self.state = State::Disconnected;
            }
            Event::Reconnect => {
                if matches!(self.state, State::Disconnected | State::Stopped) {
                    (self.state, self.renewed) = (State::Idle, false);
                    self.want(self.wanted, now, out);
                } else {
                    self.woke(Duration::ZERO, now, out);
                }
            }
            Event::Woke { slept } => self.woke(slept, now, out),
            Event::NewToken => {
                if matches!(self.state, State::Stopped) {
                    (self.state, self.renewed) = (State::Idle, false);
                    self.want(self.wanted, now, out);
                }
            }
            Event::Acquired { generation, .. } | Event::Connected { generation } | Event::Failed { generation, .. }
                if stale(generation) => {}
            Event::Acquired { generation, valid_for } => {
                if let State::Acquiring { until } = self.state {
                    let ticket_until = valid_for.map(|limit| now.at.saturating_add(limit.max(SHORTEST_TICKET)));
                    self.state = State::Connecting { until, ticket_until };
                    out.push(Effect::Connect { generation });
                }
            }
            Event::Connected { .. } => {
                if matches!(self.state, State::Connecting { .. }) {
                    (self.renew, self.renewed) = (false, false);
                    let unused_since = (!self.wanted).then_some(now.at);
                    self.state = State::Open { life: Liveness::new(now.at), unused_since };
                    out.push(Effect::Opened);
                }
            }
            Event::Failed { verdict, .. } => self.failed(verdict, now),
            Event::Closed { generation, code } => {
                if !stale(generation) && self.is_open() {
                    self.lost(Loss::Closed { code }, now, out);
                }
            }
            Event::Frame => self.life(|life| life.frame(now.at)),
            Event::HeartbeatAnswered { reference } => self.life(|life| life.answered(reference)),
            Event::Joining(joining) => self.life(|life| life.joining(joining)),
            Event::Live(false) => {
                self.settle(now.at);
                self.live_since = None;
            }
            Event::Live(true) => {
                self.live_since.get_or_insert(now.at);
            }
            Event::Limited => {
                self.not_before = self.not_before.max(limited(now));
                // The connection may have ended before the limit was told.
                if let State::Backoff { until } = &mut self.state {
                    *until = (*until).max(self.not_before);
                }
            }
            Event::Tick => self.tick(now, out),
        }
    }

    fn want(&mut self, wanted: bool, now: Now<'_>, out: &mut Vec<Effect>) {
        self.wanted = wanted;
        match &mut self.state {
            State::Idle if wanted => {
                // A rate limit outlives the last channel.
                if now.at < self.not_before {
                    self.state = State::Backoff { until: self.not_before };
                } else {
                    self.begin(now, out);
                }
            }
            State::Open { unused_since, .. } if wanted => *unused_since = None,
            State::Open { unused_since, .. } => {
                unused_since.get_or_insert(now.at);
            }
            State::Acquiring { .. } | State::Connecting { .. } | State::Backoff { .. } if !wanted => {
                self.let_go(out);
                self.state = State::Idle;
            }
            _ => {}
        }
    }

    /// A new attempt; whatever an earlier one still says does not count.
    fn begin(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        self.generation += 1;
        self.attempted = Some(now.at);
        self.state = State::Acquiring { until: now.at.saturating_add(self.attempt_limit) };
        out.push(Effect::Acquire { generation: self.generation, renew: self.renew });
    }

    fn let_go(&mut self, out: &mut Vec<Effect>) {
        match self.state {
            State::Acquiring { .. } | State::Connecting { .. } => out.push(Effect::Drop),
            State::Open { .. } => out.extend([Effect::Close, Effect::Lost(Loss::Unwanted)]),
            _ => {}
        }
        self.generation += 1;
        self.live_since = None;
    }

    fn tick(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        if self.deadline().is_none_or(|due| now.at < due) {
            return;
        }
        match &mut self.state {
            State::Backoff { .. } => self.begin(now, out),
            State::Acquiring { until } | State::Connecting { until, .. } if now.at >= *until => {
                out.push(Effect::Drop);
                self.failed(Verdict::Retry, now);
            }
            // The ticket ran out before the socket was open: a new one, at no cost in patience.
            State::Connecting { until, .. } => {
                let until = *until;
                out.push(Effect::Drop);
                self.begin(now, out);
                self.state = State::Acquiring { until };
            }
            State::Open { unused_since: Some(since), .. } if now.at >= *since + UNUSED => {
                self.let_go(out);
                self.state = State::Idle;
            }
            State::Open { life, .. } => match life.due(now.at) {
                Due::Nothing => {}
                Due::Heartbeat => {
                    let reference = now.refs.next();
                    life.sent(reference, now.at, false);
                    out.push(Effect::Heartbeat(reference));
                }
                Due::Dead => {
                    out.push(Effect::Drop);
                    self.lost(Loss::Silent, now, out);
                }
            },
            _ => {}
        }
    }

    fn life(&mut self, change: impl FnOnce(&mut Liveness)) {
        if let State::Open { life, .. } = &mut self.state {
            change(life);
        }
    }
}
