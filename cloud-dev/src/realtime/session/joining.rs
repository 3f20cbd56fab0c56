//! A join, from its payload to what follows the reply.
//!
//! Topic → room for one more → token → right to the topic → channel → reply, the close of the instance before it,
//! presences, and later the subscription to the tables. A refusal waits for its penalty and leaves no channel.
//! Wire source: Supabase Realtime `RealtimeChannel.join/3` and its error codes.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        access, changes,
        door::pause,
        hub::{Channel, Room},
        join::{Replay, Wanted},
        room,
        token::Token,
        wire::{Inbound, Outbound, Payload, Ref},
    },
    Later, Next, Session, name, presence,
};

/// A refused join: what the reply says, and whether the socket goes too.
#[derive(Debug)]
struct Refusal {
    reason: String,
    closes: bool,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, closes: false }
    }
}

impl Session {
    pub(super) async fn join(&mut self, message: Inbound) -> Next {
        pause(self.realtime().disturb.join_delay()).await;
        // Whatever comes of it, the instance before it is gone.
        let before = self.hub().state().leave(self.id, &message.topic);
        self.replaced = before.map(|channel| channel.join_ref);
        let next = if room::is_plain(&message.topic) && self.realtime().options.rooms {
            self.plain_join(&message);
            Next::Go
        } else if message.topic.starts_with(room::REALTIME) {
            self.realtime_join(&message).await
        } else {
            self.answer(&message, Ref::Null, "error", r#"{"reason":"unmatched topic"}"#);
            Next::Go
        };
        self.close_replaced(&message.topic);
        next
    }

    async fn realtime_join(&mut self, message: &Inbound) -> Next {
        let wanted = match &message.payload {
            Payload::Json(text) => Wanted::parse(text),
            _ => Wanted::default(),
        };
        match self.admit(message, &wanted).await {
            Ok(()) => Next::Go,
            Err(Refusal { reason, closes }) => {
                let response = json!({ "reason": reason }).to_string();
                let penalty = self.realtime().options.join_penalty;
                // Nothing comes after the end of the socket, so a reply before it does not wait.
                let blocks = self.realtime().options.joins_block;
                if blocks {
                    pause(penalty).await;
                }
                if blocks || closes || penalty.is_zero() {
                    self.answer(message, message.join_ref.clone(), "error", &response);
                } else {
                    self.answer_after(penalty, message, message.join_ref.clone(), "error", &response);
                }
                if closes { Next::Close(1001, "") } else { Next::Go }
            }
        }
    }

    async fn admit(&mut self, message: &Inbound, wanted: &Wanted) -> Result<(), Refusal> {
        let topic = name(&message.topic);
        if topic.is_empty() {
            return Err("TopicNameRequired: You must provide a topic name".to_owned().into());
        }
        if let Some(reason) = self.realtime().disturb.refused_join() {
            return Err(reason.into());
        }
        if self.realtime().options.private_only && !wanted.private {
            return Err("PrivateOnly: This project only allows private channels".to_owned().into());
        }
        if !self.hub().state().may_join(Instant::now()) {
            let reason = "ClientJoinRateLimitReached: Too many joins per second".to_owned();
            return Err(Refusal { reason, closes: true });
        }
        if !self.has_room() {
            return Err("ChannelRateLimitReached: Too many channels".to_owned().into());
        }
        let token = match wanted.access_token.as_deref().filter(|text| !text.starts_with("sb_")) {
            Some(text) => Token::check(&self.cloud, text),
            None => self.token.again(&self.cloud),
        };
        let token = token.map_err(|refused| format!("{}: {refused}", refused.code()))?;
        let mut may_write = true;
        if wanted.private {
            let rights = access::of(&self.cloud, &token.identity, topic).await;
            if !rights.read {
                return Err(format!("Unauthorized: {}", access::denied(topic)).into());
            }
            may_write = rights.write;
        }
        match wanted.replay {
            Some(_) if !wanted.private => {
                let text = "UnableToReplayMessages: Replay is not allowed for public channels";
                return Err(text.to_owned().into());
            }
            Some(Replay::Invalid) => {
                return Err("UnableToReplayMessages: Replay params are not valid".to_owned().into());
            }
            _ => {}
        }
        self.let_in(message, wanted, token, may_write);
        Ok(())
    }

    /// Makes the channel, and says what follows the reply.
    fn let_in(&mut self, message: &Inbound, wanted: &Wanted, token: Token, may_write: bool) {
        let room = Room { topic: message.topic.clone(), private: wanted.private };
        let (echoed, changes) = changes::subscriptions(&wanted.changes);
        let listens = !wanted.changes.is_empty();
        let channel = Channel {
            join_ref: message.join_ref.clone(),
            room,
            echo: wanted.echo,
            ack: wanted.ack,
            may_write,
            presence_key: wanted.presence_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            hears_presence: wanted.presence || !wanted.private,
            token,
            changes: changes.clone().unwrap_or_else(|_| [].into()),
            live: None,
            presence_calls: Channel::presence_window(self.realtime().options.presence_calls),
        };
        let response = json!({ "postgres_changes": echoed }).to_string();
        let cloud = Arc::clone(&self.cloud);
        // Held over the entry: what is stored by then comes again, and what is stored later comes live.
        let stored = cloud.realtime.stored.kept();
        let shows = wanted.presence && self.hub().state().may_show(Instant::now());
        self.enter(message, &response, channel, shows);
        if let Some(Replay::Since { millis, limit }) = wanted.replay {
            for stored in stored.since(name(&message.topic), millis, limit, cloud.clock.millis()) {
                stored.replay(&cloud.realtime.hub, self.id, &message.topic, &message.join_ref);
            }
        }
        drop(stored);
        match changes {
            Ok(_) if listens => self.subscribe_later(&message.topic, &message.join_ref),
            Ok(_) => {}
            Err(text) => self.system(&message.topic, &message.join_ref, "postgres_changes", "error", &text),
        }
        if wanted.replication_ready {
            let text = "Replication connection established";
            self.system(&message.topic, &message.join_ref, "system", "ok", text);
        }
        if wanted.presence && !shows {
            self.shut(&message.topic, &message.join_ref, presence::EVENTS);
        }
        self.plan_check();
    }

    /// Makes a subscription work after a while, and says so: then, or too early where a test wants it.
    pub(super) fn subscribe_later(&mut self, topic: &str, join_ref: &Ref) {
        let early = self.realtime().disturb.early_success();
        if early {
            self.system(topic, join_ref, "postgres_changes", "ok", changes::SUBSCRIBED);
        }
        let what = Later::Subscribe { topic: topic.to_owned(), join_ref: join_ref.clone(), announce: !early };
        self.later(self.realtime().options.subscribe_delay, what);
    }

    /// From the next commit on, changes are heard.
    pub(super) async fn subscribe(&mut self, topic: String, join_ref: Ref, announce: bool) {
        let live = changes::go_live(&self.cloud, self.id, topic.clone(), join_ref.clone()).await;
        if live && announce {
            self.system(&topic, &join_ref, "postgres_changes", "ok", changes::SUBSCRIBED);
        }
    }

    /// Sends an event that is no reply.
    pub(in crate::realtime) fn tell(&self, topic: &str, join_ref: &Ref, event: &str, payload: &str) {
        let message = Outbound { join_ref, reference: &Value::Null, topic, event, payload };
        self.realtime().hub.state().send(self.id, &message);
    }
}
