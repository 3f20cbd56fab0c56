//! `track` and `untrack`: what a channel shows of itself, five times in 30 s.
//!
//! A message without an event is none, and is answered with ok. Who may not write may still show nothing.
//! Wire source: Supabase Realtime `PresenceHandler`.

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    super::wire::{Inbound, Payload},
    Session,
};

/// Why the channel of a presence call is closed.
const CALLS: &str = "Client presence rate limit exceeded";
pub(super) const EVENTS: &str = "Too many presence messages per second";
const SIZE: &str = "Track message size exceeded";

/// What comes of a presence call.
enum Outcome {
    Ok,
    /// The response of the error reply.
    Refused(&'static str),
    /// The channel is closed, for this reason.
    Shut(&'static str),
}

impl Session {
    pub(super) fn presence(&mut self, message: &Inbound) {
        let Payload::Json(text) = &message.payload else { return };
        let mut payload: Value = serde_json::from_str(text).unwrap_or_default();
        let outcome = match payload["event"].as_str().map(str::to_ascii_lowercase) {
            Some(event) => self.present(message, &event, payload.get_mut("payload").map(Value::take)),
            None => Outcome::Ok,
        };
        let (status, response) = match outcome {
            Outcome::Ok => ("ok", "{}"),
            Outcome::Refused(response) => ("error", response),
            Outcome::Shut(text) => return self.shut(&message.topic, &message.join_ref, text),
        };
        self.answer(message, message.join_ref.clone(), status, response);
    }

    fn present(&self, message: &Inbound, event: &str, shown: Option<Value>) -> Outcome {
        let (now, mut state) = (Instant::now(), self.hub().state());
        let Some(channel) = state.channel(self.id, &message.topic) else { return Outcome::Ok };
        if !channel.presence_calls.allows(now, 1) {
            return Outcome::Shut(CALLS);
        }
        let (room, key, may_write) = (channel.room.clone(), channel.presence_key.clone(), channel.may_write);
        match (event, shown.unwrap_or_else(|| Map::new().into())) {
            ("track", _) if !may_write => Outcome::Refused("{}"),
            ("track", Value::Object(shown)) if state.shows(self.id, &room, &shown) => Outcome::Ok,
            ("track", shown) if shown.to_string().len() > self.realtime().options.max_payload_bytes => {
                Outcome::Shut(SIZE)
            }
            ("track", Value::Object(_)) if !state.may_show(now) => Outcome::Shut(EVENTS),
            ("track", Value::Object(shown)) => {
                state.track(self.id, &room, &key, shown);
                Outcome::Ok
            }
            ("track", _) => Outcome::Refused(r#"{"reason":"Presence track payload must be a map"}"#),
            ("untrack", _) => {
                state.untrack(self.id, &room);
                Outcome::Ok
            }
            _ => Outcome::Refused("{}"),
        }
    }
}
