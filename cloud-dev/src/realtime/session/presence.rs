//! `track` and `untrack`: what a channel shows of itself, five times in 30 s.
//!
//! Wire source: Supabase Realtime `PresenceHandler`.

use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::wire::{Inbound, Payload, Ref},
    Session,
};

impl Session {
    pub(super) fn presence(&mut self, message: &Inbound, join_ref: &Ref) {
        let Payload::Json(text) = &message.payload else { return };
        let mut state = self.realtime().hub.state();
        let Some(channel) = state.channel(self.id, &message.topic) else { return };
        let (room, key, may_write) = (channel.room.clone(), channel.presence_key.clone(), channel.may_write);
        if !channel.presence_calls.allows(Instant::now(), 1) {
            drop(state);
            return self.shut(&message.topic, join_ref, "Client presence rate limit exceeded");
        }
        if text.len() > self.realtime().options.max_payload_bytes {
            drop(state);
            return self.shut(&message.topic, join_ref, "Track message size exceeded");
        }
        let mut payload: Value = serde_json::from_str(text).unwrap_or_default();
        let event = payload["event"].as_str().map(str::to_lowercase);
        let (status, response) = match (event.as_deref(), payload.get_mut("payload").map(Value::take)) {
            _ if !may_write => ("error", "{}"),
            (Some("track"), Some(Value::Object(shown))) => {
                state.track(self.id, &room, &key, shown);
                ("ok", "{}")
            }
            (Some("track"), None) => {
                state.track(self.id, &room, &key, serde_json::Map::new());
                ("ok", "{}")
            }
            (Some("track"), Some(_)) => ("error", r#"{"reason":"Presence track payload must be a map"}"#),
            (Some("untrack"), _) => {
                state.untrack(self.id, &room);
                ("ok", "{}")
            }
            _ => ("error", "{}"),
        };
        drop(state);
        self.answer(message, message.join_ref.clone(), status, response);
    }
}
