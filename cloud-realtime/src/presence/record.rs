//! Who is on a channel, kept for listeners that were not there or have lost messages: told to them as the server would.
//!
//! Every presence message of the channel is folded here once, whoever listens, so memory grows with the members and not
//! with what they do. A listener that is told all of it has to hear no message that was folded already.
use super::{Diff, Presence, State};
use crate::{
    codec::{Content, Envelope, Payload},
    event,
    message::Message,
    refs::Ref,
};
use serde::Serialize;
use std::cell::OnceCell;

/// The members of one channel, and how to tell them.
#[derive(Debug, Default)]
pub(crate) struct Record {
    presence: Presence,
    topic: String,
    /// [`Self::state`] as it was told last; several listeners that lag are told the same.
    told: OnceCell<Option<Message>>,
}

impl Record {
    /// A join: `wanted` says whether presence was asked for. Where it was not, nothing is kept.
    pub(crate) fn joining(&mut self, join_ref: Ref, wanted: bool) {
        self.told.take();
        if wanted {
            self.presence.joining(join_ref);
        } else {
            self.presence.clear();
        }
    }

    /// A message of the channel, which may be about presence. One that cannot be read is no listener's either.
    pub(crate) fn hear(&mut self, envelope: &Envelope<'_>) {
        if !self.presence.is_wanted() {
            return;
        }
        let Payload::Content(Content::Json(raw)) = envelope.payload() else { return };
        self.told.take();
        if self.topic != envelope.topic() {
            envelope.topic().clone_into(&mut self.topic);
        }
        if envelope.event() == event::PRESENCE_STATE {
            if let Ok(state) = State::parse(raw) {
                self.presence.state(envelope.join_ref(), state);
            }
        } else if let Ok(diff) = Diff::parse(raw) {
            self.presence.diff(diff);
        }
    }

    /// Whether the state of the present instance is still to come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.presence.is_wanted() && !self.presence.is_synced()
    }

    /// Everyone who is known, as a `presence_state`. `None` where presence is not kept.
    pub(crate) fn state(&self) -> Option<Message> {
        let state = || self.message(event::PRESENCE_STATE, &self.presence.members);
        self.presence.is_wanted().then(|| self.told.get_or_init(state).clone())?
    }

    /// What brings a listener of the present instance up to date: everyone who is there, or, where the state is still to
    /// come, one `presence_diff` of what has come before it. `None` when that is nothing.
    pub(crate) fn now(&self) -> Option<Message> {
        if !self.is_waiting() {
            return self.state();
        }
        let diff = (self.presence.pending() > 0).then(|| self.presence.pending_as_one())?;
        self.message(event::PRESENCE_DIFF, &diff)
    }

    fn message(&self, event: &'static str, payload: &impl Serialize) -> Option<Message> {
        // The parts are JSON already, so writing them cannot fail.
        let content = Content::json(payload).ok()?;
        Some(Message::new(Envelope::new(self.topic.as_str(), event, content)))
    }
}
