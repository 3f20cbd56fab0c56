//! When to come back after a failure, a loss or a wake: random pauses (R6) that a server's wish prolongs.
use super::{
    Connection, Effect, Loss, Now, State, Verdict,
    verdict::{LIMITED_WAIT, Return, of_close},
};
use std::time::Duration;

use crate::pause::jittered;
pub(super) use crate::pause::{ALONE, USEFUL};

/// Clients whose connection the server ended come back within this time, evenly.
pub(super) const SPREAD: Duration = Duration::from_secs(5);
/// Ceiling of the first pause after a connection was lost: others have probably lost theirs too.
pub(super) const TOGETHER: Duration = Duration::from_secs(15);
/// The shortest pause after a close that speaks of credentials.
pub(super) const AFTER_AUTH: Duration = Duration::from_secs(5);
/// After a wake, the next attempt comes within this time.
pub(super) const AFTER_WAKE: Duration = Duration::from_millis(500);
/// Attempts that wakes ask for are at least this far apart.
pub(super) const BETWEEN_WAKES: Duration = Duration::from_secs(1);
/// A socket is of no use after a sleep that is longer than servers wait for a heartbeat.
pub(super) const LONG_SLEEP: Duration = Duration::from_secs(60);

impl Connection {
    pub(super) fn failed(&mut self, verdict: Verdict, now: Now<'_>) {
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

    pub(super) fn lost(&mut self, loss: Loss, now: Now<'_>, out: &mut Vec<Effect>) {
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
            // Neither a wake nor a new wish of the host gets around these two.
            Return::Renew => {
                self.renew = true;
                self.not_before = self.not_before.max(now.at + AFTER_AUTH);
                now.at + self.pause(now)
            }
            Return::Limited => {
                self.not_before = self.not_before.max(limited(now));
                self.not_before
            }
        };
        self.state = if self.wanted { State::Backoff { until: until.max(self.not_before) } } else { State::Idle };
    }

    /// Full jitter (R6).
    pub(super) fn pause(&self, now: Now<'_>) -> Duration {
        let first = if self.together { TOGETHER } else { ALONE };
        // The loss itself is counted too, and was paid for with its own pause.
        let doublings = self.failures.saturating_sub(if self.together { 2 } else { 1 });
        jittered(first, doublings, now.random)
    }

    /// Forgets failures once the connection has been of use.
    pub(super) fn settle(&mut self, at: Duration) {
        if self.live_since.is_some_and(|since| at >= since + USEFUL) {
            (self.failures, self.together) = (0, false);
        }
    }

    pub(super) fn woke(&mut self, slept: Duration, now: Now<'_>, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::Open { .. } if slept >= LONG_SLEEP => {
                out.push(Effect::Drop);
                self.lost(Loss::Slept, now, out);
            }
            // A question that is out is enough: to ask again and again would put off the answer.
            State::Open { life, .. } if life.is_probed() => {}
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
    pub(super) fn after_wake(&self, now: Now<'_>) -> Duration {
        let least = self.attempted.map_or(now.at, |at| at + BETWEEN_WAKES);
        least.max(now.at + now.between(Duration::ZERO, AFTER_WAKE))
    }
}

/// The server limits joins or connections.
pub(super) fn limited(now: Now<'_>) -> Duration {
    now.at + now.between(LIMITED_WAIT, LIMITED_WAIT * 2)
}
