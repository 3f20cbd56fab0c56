//! What comes in: which channel it is for, whether that instance still exists, and what it changes.
use serde::Deserialize as _;

use super::{
    ChannelSet, Class, DATABASE_TIMEOUT, Effect, GapCause, Phase,
    core::Closing,
    refusal::{News, System, words},
};
use crate::{
    codec::{Content, Envelope, Payload, Reply},
    connection::Now,
    event,
    refs::Ref,
};

/// What a server says to a push for a channel that it does not know.
const UNMATCHED: &str = "unmatched topic";

/// What a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message for the listeners of this channel.
    Message(u64),
    /// An answer or a word about a channel, taken care of.
    Handled,
    /// For nobody: another instance, an unknown topic, an answer nobody waits for.
    Ignored,
}

impl ChannelSet {
    /// One message of the server.
    pub(crate) fn receive(&mut self, envelope: &Envelope<'_>, now: Now<'_>, out: &mut Vec<Effect>) -> Heard {
        let heard = match envelope.event() {
            event::REPLY => self.reply(envelope, now, out),
            event::CLOSE | event::ERROR => self.ended(envelope, now, out),
            _ => return self.message(envelope, now, out),
        };
        self.tick(now, out);
        heard
    }

    fn message(&mut self, envelope: &Envelope<'_>, now: Now<'_>, out: &mut Vec<Effect>) -> Heard {
        let Some(&id) = self.topics.get(envelope.topic()) else { return Heard::Ignored };
        let Some(core) = self.channels.get(&id) else { return Heard::Ignored };
        // Before the answer to its join a channel has no messages, and after a leave it has none any more: whatever
        // comes is for an instance before (R4).
        match core.phase {
            Phase::Joined { join_ref, .. } if envelope.is_for(join_ref) => {}
            _ => {
                self.stale += 1;
                return Heard::Ignored;
            }
        }
        if envelope.event() == event::SYSTEM {
            self.system(id, envelope, now, out);
            self.tick(now, out);
        }
        Heard::Message(id)
    }

    fn reply(&mut self, envelope: &Envelope<'_>, now: Now<'_>, out: &mut Vec<Effect>) -> Heard {
        let Some(reference) = envelope.message_ref().and_then(Ref::parse) else { return Heard::Ignored };
        let reply = match envelope.reply() {
            Some(Ok(reply)) => reply,
            // An answer that cannot be read is an answer all the same: nobody should wait for it.
            _ => Reply::new("unreadable", Content::null()),
        };
        if self.answered(reference, &reply, out) || self.presence_answered(reference, &reply, now, out) {
            self.unmatched(envelope, &reply, now, out);
            return Heard::Handled;
        }
        let joining = self.topics.get(envelope.topic()).copied();
        if let Some(id) = joining
            && let Some(core) = self.channels.get(&id)
            && let Phase::Joining { join_ref, .. } = core.phase
            && join_ref == reference
        {
            if reply.is_ok() {
                self.joined(id, join_ref, &reply, now, out);
            } else {
                let words = words(&reply);
                self.window = 1;
                self.failed(id, Class::of(&words), &words, now, out);
            }
            return Heard::Handled;
        }
        let left = |phase: Phase| matches!(phase, Phase::Leaving { leave_ref, .. } if leave_ref == reference);
        if let Some(id) = self.find(left) {
            self.has_left(id, now, out);
            return Heard::Handled;
        }
        Heard::Ignored
    }

    /// The server knows no such channel: whatever ended it was not heard here, and it is joined anew (R2). Only an
    /// answer to the present instance gets here, since a new one forgets the pushes of the one before.
    fn unmatched(&mut self, envelope: &Envelope<'_>, reply: &Reply<'_>, now: Now<'_>, out: &mut Vec<Effect>) {
        if reply.is_ok() || envelope.join_ref().is_some() || words(reply) != UNMATCHED {
            return;
        }
        if let Some(&id) = self.topics.get(envelope.topic())
            && self.channels.get(&id).is_some_and(|core| matches!(core.phase, Phase::Joined { .. }))
        {
            self.failed(id, Class::Passing, UNMATCHED, now, out);
        }
    }

    /// `phx_close` and `phx_error`: the instance that they name is over.
    fn ended(&mut self, envelope: &Envelope<'_>, now: Now<'_>, out: &mut Vec<Effect>) -> Heard {
        let named = |phase: Phase| match phase {
            Phase::Joining { join_ref, .. } | Phase::Joined { join_ref, .. } | Phase::Leaving { join_ref, .. } => {
                envelope.is_for(join_ref)
            }
            _ => false,
        };
        let found = self.channels.iter().find(|(_, core)| core.topic.as_str() == envelope.topic() && named(core.phase));
        let Some((&id, core)) = found else {
            self.stale += 1;
            return Heard::Ignored;
        };
        if let Phase::Leaving { .. } = core.phase {
            self.has_left(id, now, out);
        } else {
            self.ended_as_told(id, now, out);
        }
        Heard::Handled
    }

    fn system(&mut self, id: u64, envelope: &Envelope<'_>, now: Now<'_>, out: &mut Vec<Effect>) {
        let Payload::Content(Content::Json(raw)) = envelope.payload() else { return };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let Ok(system) = System::deserialize(&mut json) else { return };
        let Some(core) = self.channels.get_mut(&id) else { return };
        match system.news() {
            News::Subscribed if core.terms.waits_for_database => self.live(id, now.at, out),
            News::Misconfigured(words) => self.misconfigured(id, &words, now, out),
            News::DatabaseTrouble => {
                // The server tries by itself; if it does not succeed, the channel starts over.
                if let Phase::Joined { until, .. } = &mut core.phase {
                    *until = Some(now.at + DATABASE_TIMEOUT);
                }
                core.break_off(id, GapCause::Database, out);
            }
            News::Closing(class, words) => {
                self.blame_presence(id, &words, out);
                if let Some(core) = self.channels.get_mut(&id) {
                    core.closing = Some(Closing { class, words, at: now.at });
                }
            }
            News::Subscribed | News::Other => {}
        }
    }

    fn find(&self, is: impl Fn(Phase) -> bool) -> Option<u64> {
        self.channels.iter().find(|(_, core)| is(core.phase)).map(|(&id, _)| id)
    }
}
