//! The life of one instance: its turn, its join, its end.
use std::time::Duration;

use cloud_client::Error;

use super::{
    ChannelSet, Class, DATABASE_TIMEOUT, Effect, GapCause, JOIN_TIMEOUT, LEAVE_TIMEOUT, MAX_JOINING, PAUSES_SECONDS,
    Phase, core::Terms,
};
use crate::{
    channel::{ChannelEvent, Joined},
    codec::{Content, Envelope, Reply},
    codes::{CHANNEL_REFUSED, JOIN_TIMEOUT as TIMED_OUT},
    connection::{LIMITED_WAIT, Now},
    event,
    pause::{SHORTEST, USEFUL},
    refs::Ref,
};

impl ChannelSet {
    /// When the next join may go out under the limit per second.
    pub(super) fn next_slot(&self) -> Duration {
        let first = self.recent.len().checked_sub(self.joins_per_second).and_then(|index| self.recent.get(index));
        first.map_or(Duration::ZERO, |&at| at + Duration::from_secs(1))
    }

    /// Gives turns to waiting channels, oldest wish first. A topic that is still being left waits for that.
    pub(super) fn take_turns(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        if !self.open {
            return;
        }
        let mut room = self.window.saturating_sub(self.joining());
        let ready = |phase: Phase| matches!(phase, Phase::Waiting { until } if until <= now.at);
        let waiting: Vec<u64> = self.channels.iter().filter(|(_, core)| ready(core.phase)).map(|(&id, _)| id).collect();
        for id in waiting {
            if room == 0 || self.next_slot() > now.at {
                return;
            }
            let Some(topic) = self.channels.get(&id).map(|core| core.topic.clone()) else { continue };
            let being_left = |phase: Phase| matches!(phase, Phase::Leaving { .. });
            if self.channels.iter().any(|(&other, core)| other != id && core.topic == topic && being_left(core.phase)) {
                continue;
            }
            self.recent.push_back(now.at);
            if self.recent.len() > self.joins_per_second {
                self.recent.pop_front();
            }
            room -= 1;
            let Some(core) = self.channels.get_mut(&id) else { continue };
            if core.params.takes_token() {
                core.phase = Phase::Asking;
                self.ask_token(out);
            } else {
                self.join(id, now, out);
            }
        }
    }

    /// Sends the join, from the wish as it is now.
    pub(super) fn join(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        let token = self.token.current();
        let Some(core) = self.channels.get_mut(&id) else { return };
        let join_ref = now.refs.next();
        core.joined_as = core.params.takes_token().then_some(token).flatten();
        core.terms = Terms::of(&core.params);
        core.closing = None;
        core.phase = Phase::Joining { join_ref, until: now.at + JOIN_TIMEOUT };
        out.push(Effect::Join { id, join_ref });
    }

    pub(super) fn joined(&mut self, id: u64, join_ref: Ref, reply: &Reply<'_>, now: Now<'_>, out: &mut Vec<Effect>) {
        self.window = MAX_JOINING;
        let newest = self.token.current();
        let Some(core) = self.channels.get_mut(&id) else { return };
        core.renewed = false;
        let Terms { waits_for_database: waits, has_presence, takes_token } = core.terms;
        core.phase = Phase::Joined { join_ref, until: waits.then(|| now.at + DATABASE_TIMEOUT) };
        let response = reply.response.clone().into_owned();
        out.push(Effect::Joined { id, joined: Joined { join_ref, response }, has_presence });
        // Renewed while the join was on its way.
        if newest.is_some() && takes_token && core.joined_as != newest {
            core.joined_as = newest;
            out.push(Effect::SendToken { id, join_ref, reference: now.refs.next() });
        }
        core.telling.joined();
        core.tell_own(now, out);
        if let Some(push) = core.after_join.clone() {
            let envelope = push.into_envelope(core.topic.as_str().to_owned());
            let envelope = envelope.with_ref(now.refs.next()).with_join_ref(join_ref);
            out.push(Effect::Send { envelope, push: None });
        }
        if !waits {
            self.live(id, now.at, out);
        }
        self.flush(id, now, out);
    }

    /// Everything that was asked for flows (R3).
    pub(super) fn live(&mut self, id: u64, at: Duration, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id) else { return };
        let Phase::Joined { until, .. } = &mut core.phase else { return };
        *until = None;
        let event = if std::mem::replace(&mut core.live, true) {
            ChannelEvent::Resubscribed
        } else {
            core.live_since = Some(at);
            core.broken = false;
            ChannelEvent::Live
        };
        out.push(Effect::Tell { id, event });
    }

    /// The instance is over or never came to be; `words` says why.
    pub(super) fn failed(&mut self, id: u64, class: Class, words: &str, now: Now<'_>, out: &mut Vec<Effect>) {
        self.fail_answers(Some(id), out);
        let Some(core) = self.channels.get_mut(&id) else { return };
        if !core.wanted {
            self.remove(id, out);
            return;
        }
        if core.live_since.take().is_some_and(|since| now.at >= since + USEFUL) {
            core.failures = 0;
        }
        core.failures = core.failures.saturating_add(1);
        core.break_off(id, GapCause::Channel, out);
        let token = core.joined_as.map(|token| token.generation);
        match class {
            Class::Passing => core.wait(now.at + pause(core.failures, now)),
            Class::Limited | Class::ConnectionLimited => {
                core.wait(now.at + now.between(LIMITED_WAIT, LIMITED_WAIT * 2));
                if class == Class::ConnectionLimited {
                    out.push(Effect::Limited);
                }
            }
            Class::Expired | Class::Auth | Class::Forbidden | Class::Configuration => {
                match token.filter(|_| class == Class::Expired && !core.renewed) {
                    // Once: a token that looks good here and over there is told, not asked for again and again.
                    Some(token) => {
                        core.renewed = true;
                        core.phase = Phase::Renewing { token, until: now.at };
                    }
                    None => {
                        core.phase = Phase::Refused { token };
                        out.push(Effect::Tell { id, event: ChannelEvent::Refused(class.error(words)) });
                    }
                }
            }
        }
    }

    /// As [`Self::failed`], for the reason that the server gave before, if it did.
    pub(super) fn ended_as_told(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        let why = self.channels.get_mut(&id).and_then(|core| core.closing.take());
        let (class, words) = why.map_or((Class::Passing, String::new()), |why| (why.class, why.words));
        self.failed(id, class, &words, now, out);
    }

    /// The parameters are wrong: left, and not joined again before they are others.
    pub(super) fn misconfigured(&mut self, id: u64, words: &str, now: Now<'_>, out: &mut Vec<Effect>) {
        self.leave(id, now, out);
        let Some(core) = self.channels.get_mut(&id) else { return };
        core.break_off(id, GapCause::Database, out);
        core.phase = Phase::Refused { token: core.joined_as.map(|token| token.generation) };
        let error = Error::new(CHANNEL_REFUSED).with_detail(words);
        out.push(Effect::Tell { id, event: ChannelEvent::Refused(error) });
    }

    /// Leaves and joins again.
    pub(super) fn rejoin(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        self.leave(id, now, out);
        if let Some(core) = self.channels.get_mut(&id) {
            core.break_off(id, GapCause::Rejoin, out);
        }
    }

    /// Sends a leave for the present instance.
    pub(super) fn leave(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id) else { return };
        let (Phase::Joining { join_ref, .. } | Phase::Joined { join_ref, .. }) = core.phase else { return };
        let leave_ref = now.refs.next();
        core.phase = Phase::Leaving { join_ref, leave_ref, until: now.at + LEAVE_TIMEOUT };
        core.live = false;
        let envelope = Envelope::new(core.topic.as_str().to_owned(), event::LEAVE, Content::empty_object());
        out.push(Effect::Send { envelope: envelope.with_ref(leave_ref).with_join_ref(join_ref), push: None });
        self.fail_answers(Some(id), out);
    }

    /// The server has let go of the instance that was left, or had its time.
    pub(super) fn has_left(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        match self.channels.get_mut(&id) {
            Some(core) if core.wanted => core.wait(now.at),
            Some(_) => self.remove(id, out),
            None => {}
        }
    }

    pub(super) fn expire_phases(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        let due = |phase: Phase| match phase {
            Phase::Joining { until, .. } | Phase::Leaving { until, .. } | Phase::Joined { until: Some(until), .. } => {
                until <= now.at
            }
            _ => false,
        };
        let due: Vec<(u64, Phase)> =
            self.channels.iter().filter(|(_, core)| due(core.phase)).map(|(&id, core)| (id, core.phase)).collect();
        for (id, phase) in due {
            match phase {
                Phase::Leaving { .. } => self.has_left(id, now, out),
                // An answer that comes late finds another instance: the leave takes back whatever it opened.
                Phase::Joining { .. } => {
                    self.leave(id, now, out);
                    self.window = 1;
                    self.failed(id, Class::Passing, TIMED_OUT.as_str(), now, out);
                }
                _ => {
                    self.leave(id, now, out);
                    self.failed(id, Class::Passing, "", now, out);
                }
            }
        }
    }
}

/// Full jitter under a growing ceiling.
pub(super) fn pause(failures: u32, now: Now<'_>) -> Duration {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES_SECONDS.len() - 1);
    now.between(SHORTEST, PAUSES_SECONDS.get(index).map_or(SHORTEST, |&seconds| Duration::from_secs(seconds)))
}
