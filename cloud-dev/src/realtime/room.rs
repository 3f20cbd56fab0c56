//! Topics `room:…`: a plain Phoenix application, for clients that are to work with any.
//!
//! Messages → replies, pushes and broadcasts, JSON or bytes; channels that refuse, crash and stop. Presence with the
//! event `track`. Served only where a test asks for it.
//! Wire source: `Phoenix.Channel`, `Phoenix.Presence`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    hub::{Channel, Fanout, Room},
    session::{Session, ended},
    wire::{self, Inbound, Payload, Ref},
};

/// What topics of the service begin with.
pub(crate) const REALTIME: &str = "realtime:";

/// What topics of the plain application begin with.
const PLAIN: &str = "room:";

/// How late `late` answers.
const LATE: Duration = Duration::from_millis(100);

/// Whether a topic belongs to the plain application.
pub(crate) fn is_plain(topic: &str) -> bool {
    topic.starts_with(PLAIN)
}

impl Session {
    pub(super) fn plain_join(&mut self, message: &Inbound) {
        let refusal = match message.topic.as_str() {
            "room:refused" => Some(r#"{"reason":"unauthorized"}"#),
            "room:broken" => Some(r#"{"reason":"join crashed"}"#),
            _ if !self.has_room() => Some(r#"{"reason":"too many channels joined"}"#),
            _ => None,
        };
        if let Some(response) = refusal {
            return self.answer(message, message.join_ref.clone(), "error", response);
        }
        let room = Room { topic: message.topic.clone(), private: false };
        let channel = Channel {
            join_ref: message.join_ref.clone(),
            room,
            echo: true,
            ack: true,
            may_write: true,
            presence_key: uuid::Uuid::new_v4().to_string(),
            hears_presence: true,
            token: self.connect_token(),
            changes: [].into(),
            live: None,
            presence_calls: Channel::presence_window(u32::MAX),
        };
        self.enter(message, "{}", channel, true);
    }

    pub(super) fn plain_push(&mut self, message: &Inbound) {
        let join_ref = &message.join_ref;
        let room = Room { topic: message.topic.clone(), private: false };
        match (message.event.as_str(), &message.payload) {
            ("echo", Payload::Json(payload)) => self.answer(message, join_ref.clone(), "ok", payload),
            ("echo", Payload::Binary(data)) => {
                let frame = wire::reply(join_ref, &message.reference, &message.topic, "ok", data);
                self.write(frame);
            }
            ("fail", Payload::Json(payload)) => self.answer(message, join_ref.clone(), "error", payload),
            ("shout", Payload::Json(payload)) => {
                self.hub().state().fan_out(&room, None, &Fanout::Text { event: "shout", payload });
            }
            ("shout", Payload::Binary(data)) => {
                self.hub().state().fan_out(&room, None, &Fanout::Binary { event: "shout", data });
            }
            ("push", Payload::Json(payload)) => self.tell(&message.topic, join_ref, "push", payload),
            ("push", Payload::Binary(data)) => self.write(wire::push(join_ref, &message.topic, "push", data)),
            ("late", Payload::Json(payload)) => {
                self.answer_after(LATE, message, join_ref.clone(), "ok", payload);
            }
            ("track", Payload::Json(payload)) => {
                let shown: Map<String, Value> = serde_json::from_str(payload).unwrap_or_default();
                let key = shown.get("key").and_then(Value::as_str).unwrap_or("someone").to_owned();
                self.hub().state().track(self.id(), &room, &key, shown);
                self.answer(message, join_ref.clone(), "ok", "{}");
            }
            ("crash", _) => self.end_plain(&message.topic, join_ref, "phx_error"),
            ("stop", _) => self.end_plain(&message.topic, join_ref, "phx_close"),
            _ => {}
        }
    }

    fn end_plain(&mut self, topic: &str, join_ref: &Ref, event: &str) {
        let left = self.hub().state().leave(self.id(), topic);
        if left.is_some() {
            self.hub().state().send(self.id(), &ended(join_ref, topic, event));
        }
    }

    fn write(&self, frame: Result<Vec<u8>, wire::TooLong>) {
        if let Ok(frame) = frame {
            self.hub().state().send_binary(self.id(), frame);
        }
    }
}
