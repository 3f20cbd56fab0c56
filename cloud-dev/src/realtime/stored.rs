//! Broadcasts that the database sent: kept for a while, and sent again to private channels that ask at their join.
//!
//! Only these are kept, never what a client sent. Bounded in number and in time.
//! Wire source: Supabase Realtime `realtime.send`, `Realtime.Messages`; retention of 72 h.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{
    hub::{Fanout, Hub, Room, SocketId, json_payload},
    room,
    wire::{self, Body, Outbound, Ref, UserBroadcast},
};

/// Messages that are kept, of all topics together.
const MAX_STORED: usize = 10_000;

/// How long one is kept, in milliseconds.
const RETENTION: i64 = 72 * 3600 * 1000;

/// What was sent, newest last.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    messages: Mutex<VecDeque<Message>>,
}

/// Access to what is kept.
pub(crate) struct Kept<'k>(MutexGuard<'k, VecDeque<Message>>);

/// One kept broadcast.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    id: String,
    topic: String,
    event: String,
    body: Body,
    millis: i64,
}

impl Stored {
    /// Sends a broadcast as the database would, and keeps it if its topic is private; returns its id.
    pub(crate) fn send(&self, hub: &Hub, topic: &str, event: &str, body: Body, private: bool, millis: i64) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let body = match body {
            Body::Json(text) => Body::Json(with_id(&text, &id)),
            bytes @ Body::Binary(_) => bytes,
        };
        let message = Message { id: id.clone(), topic: topic.to_owned(), event: event.to_owned(), body, millis };
        let room = Room { topic: format!("{}{topic}", room::REALTIME), private };
        let mut kept = self.kept();
        let broadcast = message.broadcast(&json!({ "id": id }));
        match json_payload(&broadcast) {
            Some(payload) => hub.state().fan_out(&room, None, &Fanout::Text { event: "broadcast", payload: &payload }),
            None => hub.state().fan_out(&room, None, &Fanout::User(&broadcast)),
        };
        if private {
            if kept.0.len() >= MAX_STORED {
                kept.0.pop_front();
            }
            kept.0.push_back(message);
        }
        id
    }

    /// What is kept; nothing is sent or added as long as this is held.
    pub(crate) fn kept(&self) -> Kept<'_> {
        Kept(self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept<'_> {
    /// The newest `limit` messages of a private topic from `millis` on, oldest first.
    pub(crate) fn since(
        &self,
        topic: &str,
        millis: i64,
        limit: usize,
        now: i64,
    ) -> impl DoubleEndedIterator<Item = &Message> {
        let fits = |message: &&Message| {
            message.topic == topic && message.millis >= millis && message.millis >= now - RETENTION
        };
        let newest: Vec<&Message> = self.0.iter().rev().filter(fits).take(limit).collect();
        newest.into_iter().rev()
    }
}

impl Message {
    /// Sends it to one channel once more.
    pub(crate) fn replay(&self, hub: &Hub, socket: SocketId, topic: &str, join_ref: &Ref) {
        let broadcast = self.broadcast(&json!({ "id": self.id, "replayed": true }));
        let state = hub.state();
        match json_payload(&broadcast) {
            Some(payload) => {
                let nobody = &Ref::Null;
                state.send(
                    socket,
                    &Outbound { join_ref, reference: nobody, topic, event: "broadcast", payload: &payload },
                );
            }
            None => {
                if let Ok(frame) = wire::user_broadcast(topic, &broadcast) {
                    state.send_binary(socket, frame);
                }
            }
        }
    }

    fn broadcast(&self, metadata: &Value) -> UserBroadcast {
        UserBroadcast { event: self.event.clone(), metadata: Some(metadata.to_string()), body: self.body.clone() }
    }
}

/// An object without an id gets the message's.
fn with_id(text: &str, id: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Value::Object(mut object)) if !object.contains_key("id") => {
            object.insert("id".to_owned(), id.into());
            Value::Object(object).to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::options::RealtimeOptions;

    #[test]
    fn the_newest_25_come_oldest_first() {
        let (stored, hub) = (Stored::default(), Hub::new(&RealtimeOptions::default()));
        for n in 0..26 {
            stored.send(&hub, "t", &format!("e{n}"), Body::Json("{}".into()), true, 1_000 + n);
        }
        stored.send(&hub, "t", "public", Body::Json("{}".into()), false, 2_000);
        stored.send(&hub, "u", "other", Body::Json("{}".into()), true, 2_000);
        let events = |millis, limit, now| -> Vec<String> {
            stored.kept().since("t", millis, limit, now).map(|message| message.event.clone()).collect()
        };
        assert_eq!(events(0, 25, 3_000), (1..26).map(|n| format!("e{n}")).collect::<Vec<_>>());
        assert_eq!(events(1_024, 25, 3_000), ["e24", "e25"]);
        assert_eq!(events(0, 1, 3_000), ["e25"]);
        assert!(events(0, 25, RETENTION + 2_000).is_empty(), "72 h later they are gone");
    }

    #[test]
    fn an_object_gets_an_id_unless_it_has_one() {
        assert_eq!(with_id(r#"{"a":1}"#, "x"), r#"{"a":1,"id":"x"}"#);
        for same in [r#"{"id":1}"#, "[1]", "7"] {
            assert_eq!(with_id(same, "x"), same);
        }
    }
}
