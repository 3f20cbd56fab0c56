//! A broadcast of a client: checked, counted, sent to the others, answered if the channel asked for answers.
//!
//! Wire source: Supabase Realtime `BroadcastHandler`.

use tokio::time::Instant;

use super::{
    super::{
        hub::Fanout,
        wire::{Body, Inbound, Payload, Ref},
    },
    Session,
};

impl Session {
    pub(super) fn broadcast(&mut self, message: &Inbound, join_ref: &Ref) {
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
        if !state.may_send(Instant::now(), &room) {
            drop(state);
            return self.shut(&message.topic, join_ref, "Too many messages per second");
        }
        let except = (!echo).then_some(self.id);
        let fanout = match &message.payload {
            Payload::Json(payload) => Fanout::Text { event: "broadcast", payload },
            Payload::Broadcast(broadcast) => Fanout::User(broadcast),
            Payload::Binary(_) => return,
        };
        state.fan_out(&room, except, &fanout);
        drop(state);
        if ack {
            self.answer(message, message.join_ref.clone(), "ok", "{}");
        }
    }
}
