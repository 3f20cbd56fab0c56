//! Whether the other end is still there: heartbeats with their own timer, and when silence means death (R5).
//!
//! A heartbeat goes out every 25 s whatever else is sent or received; a stall sends one, never the missed ones. Any
//! frame is life for the next 10 s, but an answer that stays out for a whole interval is not made good by traffic. A
//! join that is being worked on blocks a server's socket, so death waits for it, with a limit.
//! Source: Phoenix, heartbeat; Supabase Realtime, delays of refused joins.
use std::time::Duration;

use crate::refs::Ref;

/// Between two heartbeats. Servers close after 60 s without one.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(25);
/// Without any frame for so long after a heartbeat, the connection is dead.
pub(crate) const REPLY: Duration = Duration::from_secs(10);
/// As [`REPLY`], for the question after a wake.
pub(crate) const PROBE: Duration = Duration::from_secs(2);
/// A pending join cannot put death off for longer than this after the heartbeat.
pub(crate) const LONGEST_JOIN: Duration = Duration::from_secs(40);

/// What is known of an open socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    next: Duration,
    last_frame: Duration,
    asked: Option<Asked>,
    joining: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    reference: Ref,
    at: Duration,
    probe: bool,
}

/// What has to happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Heartbeat,
    Dead,
}

impl Liveness {
    pub(crate) const fn new(now: Duration) -> Self {
        Self { next: now.saturating_add(HEARTBEAT), last_frame: now, asked: None, joining: false }
    }

    pub(crate) const fn frame(&mut self, now: Duration) {
        self.last_frame = now;
    }

    /// Whether a join is being worked on by the server.
    pub(crate) const fn joining(&mut self, joining: bool) {
        self.joining = joining;
    }

    /// An answer; one to another heartbeat proves nothing more than any frame.
    pub(crate) fn answered(&mut self, reference: &str) {
        if self.asked.is_some_and(|asked| asked.reference.is(reference)) {
            self.asked = None;
        }
    }

    /// A heartbeat was sent.
    pub(crate) const fn sent(&mut self, reference: Ref, now: Duration, probe: bool) {
        self.asked = Some(Asked { reference, at: now, probe });
        self.next = now.saturating_add(HEARTBEAT);
    }

    /// Whether the question after a wake is still open.
    pub(crate) fn is_probed(&self) -> bool {
        self.asked.is_some_and(|asked| asked.probe)
    }

    pub(crate) fn due(&self, now: Duration) -> Due {
        if now < self.at() {
            Due::Nothing
        } else if self.asked.is_some() {
            Due::Dead
        } else {
            Due::Heartbeat
        }
    }

    /// When something has to happen, if nothing comes before.
    pub(crate) fn at(&self) -> Duration {
        let Some(asked) = self.asked else { return self.next };
        let silence = asked.at.max(self.last_frame) + if asked.probe { PROBE } else { REPLY };
        let death = silence.min(asked.at + HEARTBEAT);
        if self.joining && !asked.probe { death.max(asked.at + LONGEST_JOIN) } else { death }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::Refs;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asked() -> (Liveness, Ref) {
        let (mut life, reference) = (Liveness::new(s(0)), Refs::new().next());
        assert_eq!((life.due(s(24)), life.due(s(25))), (Due::Nothing, Due::Heartbeat));
        life.sent(reference, s(25), false);
        (life, reference)
    }

    #[test]
    fn r05_silence_after_a_heartbeat_is_death_within_35_seconds() {
        let (life, _) = asked();
        assert_eq!((life.due(s(34)), life.due(s(35))), (Due::Nothing, Due::Dead));
    }

    #[test]
    fn r05_traffic_is_life_but_does_not_replace_the_answer() {
        let (mut life, _) = asked();
        for second in 26..50 {
            life.frame(s(second));
            assert_eq!(life.due(s(second)), Due::Nothing, "{second}");
        }
        life.frame(s(50));
        assert_eq!(life.due(s(50)), Due::Dead);
    }

    #[test]
    fn traffic_never_puts_the_heartbeat_off() {
        let mut life = Liveness::new(s(0));
        (1..=25).for_each(|second| life.frame(s(second)));
        assert_eq!(life.due(s(25)), Due::Heartbeat);
    }

    #[test]
    fn only_the_answer_to_the_last_heartbeat_counts() {
        let (mut life, reference) = asked();
        life.answered("999");
        assert_eq!(life.due(s(35)), Due::Dead);
        life.answered(&reference.to_string());
        assert_eq!((life.due(s(49)), life.due(s(50))), (Due::Nothing, Due::Heartbeat));
    }

    #[test]
    fn a_pending_join_puts_death_off_but_not_for_ever() {
        let (mut life, _) = asked();
        life.joining(true);
        assert_eq!((life.due(s(64)), life.due(s(65))), (Due::Nothing, Due::Dead));
        life.joining(false);
        assert_eq!(life.due(s(35)), Due::Dead);
    }

    #[test]
    fn a_probe_is_answered_at_once_or_never() {
        let (mut life, reference) = (Liveness::new(s(0)), Refs::new().next());
        life.joining(true);
        life.sent(reference, s(3), true);
        assert_eq!((life.due(s(4)), life.due(s(5))), (Due::Nothing, Due::Dead));
    }
}
