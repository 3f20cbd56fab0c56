//! A join, from its payload to what follows the reply.
//!
//! Topic → room for one more → token → right to the topic → channel → reply, the close of the instance before it,
//! presences, and later the subscription to the tables. A refusal waits for its penalty and leaves no channel.
//! Wire source: Supabase Realtime `RealtimeChannel.join/3` and its error codes.

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
    Later, Next, Session, name,
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
        let before = self.realtime().hub.state().leave(self.id, &message.topic).map(|channel| channel.join_ref);
        let next = if room::is_plain(&message.topic) && self.realtime().options.rooms {
            self.plain_join(&message);
            Next::Go
        } else if message.topic.starts_with(room::REALTIME) {
            self.realtime_join(&message).await
        } else {
            self.answer(&message, Ref::Null, "error", r#"{"reason":"unmatched topic"}"#);
            Next::Go
        };
        if let Some(join_ref) = before {
            self.closed(&join_ref, &message.topic, "phx_close");
        }
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
                if self.realtime().options.joins_block {
                    pause(penalty).await;
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
        {
            let options = &self.realtime().options;
            let mut state = self.realtime().hub.state();
            if state.channels(self.id) >= options.max_channels {
                return Err("ChannelRateLimitReached: Too many channels".to_owned().into());
            }
            if !state.may_join(Instant::now()) {
                let reason = "ClientJoinRateLimitReached: Too many joins per second".to_owned();
                return Err(Refusal { reason, closes: true });
            }
        }
        if self.realtime().options.private_only && !wanted.private {
            return Err("PrivateOnly: This project only allows private channels".to_owned().into());
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
        let replay = match wanted.replay {
            None => Vec::new(),
            Some(_) if !wanted.private => {
                let text = "UnableToReplayMessages: Replay is not allowed for public channels";
                return Err(text.to_owned().into());
            }
            Some(Replay::Invalid) => {
                return Err("UnableToReplayMessages: Replay params are not valid".to_owned().into());
            }
            Some(Replay::Since { millis, limit }) => {
                self.realtime().stored.since(topic, millis, limit, self.cloud.clock.millis())
            }
        };

        let room = Room { topic: message.topic.clone(), private: wanted.private };
        let (echoed, changes) = changes::subscriptions(&wanted.changes);
        let listens = !wanted.changes.is_empty();
        let channel = Channel {
            join_ref: message.join_ref.clone(),
            room: room.clone(),
            echo: wanted.echo,
            ack: wanted.ack,
            may_write,
            presence_key: wanted.presence_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            token,
            changes: changes.clone().unwrap_or_else(|_| [].into()),
            live: None,
            presence_calls: Channel::presence_window(self.realtime().options.presence_calls),
        };
        let mut state = self.realtime().hub.state();
        state.join(self.id, channel);
        let presences = wanted.presence.then(|| state.presence_state(&room));
        drop(state);

        let response = json!({ "postgres_changes": echoed }).to_string();
        self.answer(message, message.join_ref.clone(), "ok", &response);
        if let Some(payload) = presences {
            self.tell(&message.topic, &message.join_ref, "presence_state", &payload);
        }
        for stored in replay {
            stored.replay(&self.realtime().hub, self.id, &message.topic, &message.join_ref);
        }
        match changes {
            Ok(_) if listens => self.subscribe_later(&message.topic, &message.join_ref),
            Ok(_) => {}
            Err(text) => self.system(&message.topic, &message.join_ref, "postgres_changes", "error", &text),
        }
        if wanted.replication_ready {
            let text = "Replication connection established";
            self.system(&message.topic, &message.join_ref, "system", "ok", text);
        }
        self.plan_check();
        Ok(())
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
