//! The members of a channel as they come, change and go, typed.
//!
//! [`ChannelEvent`] → [`Roster`] → [`PresenceEvent`]. The server tells who is there once per join; the channel keeps it and
//! tells it again to a listener that comes late or has lost messages, so the roster is right whenever
//! [`PresenceEvent::Synced`] has come.
use std::collections::VecDeque;

use serde::de::DeserializeOwned;

use super::{Diff, Roster, State, Update};
use crate::{
    channel::{Channel, ChannelEvent, Events},
    codec::{Content, DecodeError, Payload},
    continuity::Continuity,
    event,
    message::Message,
};

/// One item of a stream of presence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PresenceEvent<T> {
    /// A member came, changed or went.
    Update(Update<T>),
    /// Everyone who is there has been told. Once per join, and again after messages were lost.
    Synced,
    /// Whether updates can be trusted to come. Members stay as they were until the next [`Self::Synced`].
    Continuity(Continuity),
    /// A message about presence that cannot be read.
    Unreadable(DecodeError),
}

/// Who is on a channel. The channel has to ask for presence
/// ([`JoinConfig::presence`](crate::join::JoinConfig::presence)). Dropping it stops listening; the channel stays.
#[derive(Debug)]
#[must_use = "presence is read only when asked for"]
pub struct Members<T> {
    events: Events,
    roster: Roster<T>,
    ready: VecDeque<PresenceEvent<T>>,
}

impl<T: DeserializeOwned + Clone> Members<T> {
    /// Listens for the members of `channel`. May come at any time.
    pub fn of(channel: &Channel) -> Self {
        Self::new(channel.events())
    }

    /// The members of the channel that these are the events of.
    pub fn new(events: Events) -> Self {
        Self { events, roster: Roster::new(), ready: VecDeque::new() }
    }

    /// Everyone, as of the last item.
    pub const fn roster(&self) -> &Roster<T> {
        &self.roster
    }

    /// The next item; `None` when the channel was left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no item.
    pub async fn next(&mut self) -> Option<PresenceEvent<T>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let event = self.events.next().await?;
            self.step(&event);
        }
    }

    fn step(&mut self, event: &ChannelEvent) {
        match event {
            ChannelEvent::Joined(joined) => self.roster.joining(joined.join_ref),
            ChannelEvent::Message(message) => {
                if let Err(error) = self.message(message) {
                    self.ready.push_back(PresenceEvent::Unreadable(error));
                }
            }
            other => self.ready.extend(Continuity::of(other).map(PresenceEvent::Continuity)),
        }
    }

    fn message(&mut self, message: &Message) -> Result<(), DecodeError> {
        let Payload::Content(Content::Json(raw)) = message.envelope().payload() else { return Ok(()) };
        match message.event() {
            event::PRESENCE_STATE => {
                let updates = self.roster.state(message.envelope().join_ref(), State::parse(raw)?);
                self.ready.extend(updates.into_iter().map(PresenceEvent::Update));
                if self.roster.is_synced() {
                    self.ready.push_back(PresenceEvent::Synced);
                }
            }
            event::PRESENCE_DIFF => {
                let updates = self.roster.diff(Diff::parse(raw)?);
                self.ready.extend(updates.into_iter().map(PresenceEvent::Update));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::{GapCause, Joined, Listeners},
        codec::Envelope,
        presence::ChangeKind,
        refs::Refs,
    };
    use serde_json::{Value, json};

    fn message(event: &str, payload: &Value) -> ChannelEvent {
        let content = Content::json(payload).unwrap();
        ChannelEvent::Message(Message::new(Envelope::new("realtime:r", event.to_owned(), content)))
    }

    #[test]
    fn r11_members_are_told_once_per_join_and_stay_through_a_gap() {
        let (refs, listeners) = (Refs::new(), Listeners::default());
        let mut members: Members<Value> =
            Members { events: listeners.add(), roster: Roster::new(), ready: VecDeque::new() };
        let mut told = |event: ChannelEvent| -> Vec<String> {
            members.step(&event);
            let short = |item: PresenceEvent<Value>| match item {
                PresenceEvent::Update(Update { key, kind: ChangeKind::Joined, .. }) => format!("+{key}"),
                PresenceEvent::Update(Update { key, kind: ChangeKind::Left, .. }) => format!("-{key}"),
                PresenceEvent::Update(Update { key, .. }) => format!("~{key}"),
                PresenceEvent::Synced => "synced".to_owned(),
                PresenceEvent::Continuity(continuity) => format!("{continuity:?}"),
                PresenceEvent::Unreadable(_) => "unreadable".to_owned(),
            };
            members.ready.drain(..).map(short).collect()
        };
        let joined = || ChannelEvent::Joined(Joined { join_ref: refs.next(), response: Content::empty_object() });
        let one = |phx_ref: &str| json!({"k": {"metas": [{"phx_ref": phx_ref}]}});
        assert_eq!(told(joined()), [""; 0]);
        assert_eq!(told(message("presence_diff", &json!({"joins": {"l": {"metas": [{"phx_ref": "R2"}]}}}))), [""; 0]);
        assert_eq!(told(message("presence_state", &one("R1"))), ["+k", "+l", "synced"]);
        assert_eq!(told(message("presence_diff", &json!({"joins": one("R3"), "leaves": one("R1")}))), ["~k"]);
        assert_eq!(told(message("presence_diff", &json!([]))), [""; 0]);
        assert_eq!(told(message("presence_diff", &json!({"joins": 1}))), ["unreadable"]);
        assert_eq!(told(message("saved", &json!({}))), [""; 0]);
        assert_eq!(told(ChannelEvent::Gap(GapCause::Connection)), ["Gap(Connection)"]);
        assert_eq!(told(joined()), [""; 0]);
        assert_eq!(told(message("presence_state", &one("R3"))), ["-l", "synced"]);
    }
}

#[cfg(test)]
#[path = "lag_tests.rs"]
mod lag_tests;
