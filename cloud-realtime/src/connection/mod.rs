//! When there is a socket: a pure machine from events to effects. No clock, no network, no token in it.
//!
//! ```text
//! Idle ─channel─► Acquiring ─► Connecting ─► Open ─lost─► Backoff ─► Acquiring …
//!                     └──────── failed ────────┘              (Disconnected, Stopped: wait for the host)
//! ```
//! Each attempt has a generation, and whatever comes from an earlier one is ignored. There is no limit to attempts;
//! pauses are random (R6), so that clients which were dropped together do not come back together. The counter that
//! lengthens them starts anew only after half a minute of live messages, not when a socket opens.
mod liveness;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use self::verdict::{LIMITED_WAIT, Verdict, of_attempt, of_credentials};
use self::{
    liveness::{Due, Liveness},
    verdict::{Return, of_close},
};
use crate::{
    refs::{Ref, Refs},
    status::ConnectionState,
};
use cloud_client::random::Random;
use std::time::Duration;

/// Clients whose connection the server ended come back within this time, evenly.
const SPREAD: Duration = Duration::from_secs(5);
/// The shortest pause after a failure.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// Ceiling of the first pause of a client that fails alone.
const ALONE: Duration = Duration::from_secs(2);
/// The same after a connection was lost: others have probably lost theirs too.
const TOGETHER: Duration = Duration::from_secs(15);
/// The shortest pause after a close that speaks of credentials.
const AFTER_AUTH: Duration = Duration::from_secs(5);
/// After a wake, the next attempt comes within this time.
const AFTER_WAKE: Duration = Duration::from_millis(500);
/// Attempts that wakes ask for are at least this far apart.
const BETWEEN_WAKES: Duration = Duration::from_secs(1);
/// A socket is of no use after a sleep that is longer than servers wait for a heartbeat.
const LONG_SLEEP: Duration = Duration::from_secs(60);
/// So long live, and the connection counts as good.
const USEFUL: Duration = Duration::from_secs(30);
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

/// What happened. Those with a generation count only if it is the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// Whether any channel is wanted.
    Wanted(bool),
    /// The host wants no socket.
    Disconnect,
    /// The host wants a socket, whatever went before.
    Reconnect,
    /// The machine or the network came back; `slept` is how long it was away, as far as known.
    Woke {
        slept: Duration,
    },
    /// There is another token than before.
    NewToken,
    Acquired {
        generation: u64,
        valid_for: Option<Duration>,
    },
    Connected {
        generation: u64,
    },
    Failed {
        generation: u64,
        verdict: Verdict,
    },
    Closed {
        generation: u64,
        code: Option<u16>,
    },
    Frame,
    HeartbeatAnswered {
        reference: &'a str,
    },
    /// Whether a join is being worked on.
    Joining(bool),
    /// Whether any channel is live.
    Live(bool),
    /// The server asked for fewer joins or connections.
    Limited,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Get credentials; renewed ones if the last were refused.
    Acquire { generation: u64, renew: bool },
    /// Open the socket with them.
    Connect { generation: u64 },
    /// Give the attempt up, or drop the socket without waiting for the other end.
    Drop,
    /// Close the socket with a word.
    Close,
    /// The socket can be used.
    Opened,
    /// The socket cannot be used any more.
    Lost(Loss),
    /// Send a heartbeat with this ref.
    Heartbeat(Ref),
}

/// Why a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The other end or the network ended it.
    Closed { code: Option<u16> },
    /// It went silent.
    Silent,
    /// The machine slept.
    Slept,
    /// Nobody wants it.
    Unwanted,
}

/// What a step may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    pub(crate) at: Duration,
    pub(crate) random: &'a Random,
    pub(crate) refs: &'a Refs,
}

impl Now<'_> {
    /// Evenly between `least` and `most`.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.random.fraction())
    }
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
                    let ticket_until = valid_for.map(|limit| now.at + limit.max(SHORTEST_TICKET));
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
            Event::Limited => self.not_before = self.not_before.max(limited(now)),
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
        self.state = State::Acquiring { until: now.at + self.attempt_limit };
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

    fn failed(&mut self, verdict: Verdict, now: Now<'_>) {
        if !matches!(self.state, State::Acquiring { .. } | State::Connecting { .. }) {
            return;
        }
        self.generation += 1;
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause(now);
        let until = match verdict {
            Verdict::Retry => now.at + pause,
            Verdict::NotBefore(wait) => {
                // The server's wish outlives whatever would shorten the pause.
                self.not_before = self.not_before.max(now.at + wait);
                now.at + now.between(wait, wait + wait.max(pause))
            }
            // Once, at once; the second refusal in a row is final (auth never loops).
            Verdict::Renew if !self.renewed => {
                (self.renew, self.renewed) = (true, true);
                now.at
            }
            Verdict::Renew | Verdict::Stop => {
                self.state = State::Stopped;
                return;
            }
        };
        self.state = State::Backoff { until: until.max(self.not_before) };
    }

    fn lost(&mut self, loss: Loss, now: Now<'_>, out: &mut Vec<Effect>) {
        self.settle(now.at);
        (self.live_since, self.together) = (None, true);
        self.generation += 1;
        out.push(Effect::Lost(loss));
        let way = match loss {
            Loss::Closed { code } => of_close(code),
            Loss::Silent | Loss::Slept | Loss::Unwanted => Return::Spread,
        };
        let useless = self.failures > 0 || way != Return::Spread;
        // Whoever hinted at a wake was right: the socket had died before the question was answered.
        let probed = matches!(&self.state, State::Open { life, .. } if life.is_probed());
        let woken = loss == Loss::Slept || (probed && way == Return::Spread);
        // The counter grows with every connection that came to nothing, so that a server which drops everybody right
        // after the start is not asked at full speed for ever.
        self.failures = self.failures.saturating_add(1);
        let until = match way {
            _ if woken => self.after_wake(now),
            Return::Spread if !useless => now.at + now.between(Duration::ZERO, SPREAD),
            Return::Spread | Return::Pause => now.at + self.pause(now),
            Return::Renew => {
                self.renew = true;
                now.at + self.pause(now).max(AFTER_AUTH)
            }
            Return::Limited => limited(now),
        };
        self.state = if self.wanted { State::Backoff { until: until.max(self.not_before) } } else { State::Idle };
    }

    /// Full jitter (R6).
    fn pause(&self, now: Now<'_>) -> Duration {
        let first = if self.together { TOGETHER } else { ALONE };
        // The loss itself is counted too, and was paid for with its own pause.
        let doublings = self.failures.saturating_sub(if self.together { 2 } else { 1 }).min(8);
        now.between(SHORTEST, LONGEST.min(first * (1 << doublings)))
    }

    /// Forgets failures once the connection has been of use.
    fn settle(&mut self, at: Duration) {
        if self.live_since.is_some_and(|since| at >= since + USEFUL) {
            (self.failures, self.together) = (0, false);
        }
    }

    fn woke(&mut self, slept: Duration, now: Now<'_>, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::Open { .. } if slept >= LONG_SLEEP => {
                out.push(Effect::Drop);
                self.lost(Loss::Slept, now, out);
            }
            State::Open { life, .. } => {
                let reference = now.refs.next();
                life.sent(reference, now.at, true);
                out.push(Effect::Heartbeat(reference));
            }
            State::Backoff { until } => {
                self.together = false;
                let until = (*until).min(self.after_wake(now).max(self.not_before));
                self.state = State::Backoff { until };
            }
            // An attempt that slept with the machine starts over.
            State::Acquiring { .. } | State::Connecting { .. } if slept >= LONG_SLEEP => {
                out.push(Effect::Drop);
                self.begin(now, out);
            }
            _ => {}
        }
    }

    /// Soon, and an impatient host cannot make a loop of this (B4).
    fn after_wake(&self, now: Now<'_>) -> Duration {
        let least = self.attempted.map_or(now.at, |at| at + BETWEEN_WAKES);
        least.max(now.at + now.between(Duration::ZERO, AFTER_WAKE))
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

fn limited(now: Now<'_>) -> Duration {
    now.at + now.between(LIMITED_WAIT, LIMITED_WAIT * 2)
}
