//! A broadcast of a client: checked, counted, sent to the others, answered if the channel asked for answers.
//!
//! What a client adds as metadata goes no further.
//! Wire source: Supabase Realtime `BroadcastHandler`.

use tokio::time::Instant;

use super::{
    super::{
        hub::Fanout,
        wire::{Body, Inbound, Payload, UserBroadcast},
    },
    Session,
};

impl Session {
    pub(super) fn broadcast(&mut self, message: &Inbound) {
        let mut state = self.realtime().hub.state();
        let Some(channel) = state.channel(self.id, &message.topic) else { return };
        let (room, echo, ack, may_write) = (channel.room.clone(), channel.echo, channel.ack, channel.may_write);
        if !may_write {
            return; // and no answer either, so that the push times out
        }
        let size = match &message.payload {
            Payload::Json(text) => text.len(),
            Payload::Binary(_) => return,
            Payload::Broadcast(broadcast) => match &broadcast.body {
                Body::Json(text) => text.len(),
                Body::Binary(bytes) => bytes.len(),
            },
        };
        if size > self.realtime().options.max_payload_bytes {
            drop(state);
            if ack {
                self.answer(message, message.join_ref.clone(), "error", r#""payload_size_exceeded""#);
            }
            return;
        }
        let except = (!echo).then_some(self.id);
        if !state.may_send(Instant::now(), &room, except) {
            drop(state);
            return self.shut(&message.topic, &message.join_ref, "Too many messages per second");
        }
        match &message.payload {
            Payload::Json(payload) => state.fan_out(&room, except, &Fanout::Text { event: "broadcast", payload }),
            Payload::Broadcast(broadcast) => {
                let broadcast = UserBroadcast { metadata: None, ..broadcast.clone() };
                state.fan_out(&room, except, &Fanout::User(&broadcast));
            }
            Payload::Binary(_) => return,
        }
        drop(state);
        if ack {
            self.answer(message, message.join_ref.clone(), "ok", "{}");
        }
    }
}
