//! What one socket asks for, and the answers: heartbeats, joins, leaves, tokens, pushes.
//!
//! [`Inbound`] → steps on the [hub](super::hub) → frames in outboxes, in the order of the requests. What has to wait
//! (a subscription, a late reply, the end of a token) is kept with its time, and [`tick`](Session::tick) does it.
//! Wire source: `Phoenix.Socket`, `Phoenix.Channel.Server`; Supabase Realtime `RealtimeChannel`.

mod broadcast;
mod joining;
mod presence;
mod waiting;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use self::waiting::{Answer, Later, Waiting};
use super::{
    Realtime, access,
    disturb::ReplyFate,
    door::after,
    hub::{Channel, Hub, SocketId},
    options::SHORTEST_CHECK,
    room,
    token::Token,
    wire::{Inbound, Outbound, Payload, Ref},
};
use crate::cloud::Cloud;

/// What a socket does after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    Close(u16, &'static str),
}

/// The state of one socket that is nobody else's business.
#[derive(Debug)]
pub(crate) struct Session {
    cloud: Arc<Cloud>,
    id: SocketId,
    /// The token of the connect, for joins without one.
    token: Token,
    waiting: Waiting,
    next_check: Instant,
    /// The instance that the join under way replaces, until its client is told.
    replaced: Option<Ref>,
    /// When it has to have a channel, if it ever had one.
    next_count: Instant,
    /// Whether it ever had a channel.
    joined: bool,
}

impl Session {
    pub(crate) fn new(cloud: Arc<Cloud>, id: SocketId, token: Token) -> Self {
        let (now, options) = (Instant::now(), &cloud.realtime.options);
        let (next_check, next_count) = (after(now, options.token_check), after(now, options.channel_check));
        Self { cloud, id, token, waiting: Waiting::default(), next_check, replaced: None, next_count, joined: false }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn due(&self) -> Instant {
        let checks = self.next_check.min(self.next_count);
        self.waiting.next().map_or(checks, |at| at.min(checks))
    }

    /// Does what is due; false when the socket has lost its last channel and is not worth keeping.
    pub(crate) async fn tick(&mut self) -> bool {
        let now = Instant::now();
        for what in self.waiting.due(now) {
            match what {
                Later::Answer(answer) => self.send(&answer),
                Later::Subscribe { topic, join_ref, announce } => self.subscribe(topic, join_ref, announce).await,
            }
        }
        if self.next_check <= now {
            self.check_tokens();
        }
        if self.next_count > now {
            return true;
        }
        self.next_count = after(now, self.realtime().options.channel_check);
        !self.joined || self.hub().state().channels(self.id) > 0
    }

    /// Answers one message.
    pub(crate) async fn take(&mut self, message: Inbound) -> Next {
        match (message.topic.as_str(), message.event.as_str()) {
            ("phoenix", "heartbeat") => self.answer(&message, Ref::Null, "ok", "{}"),
            (_, "phx_join") => return self.join(message).await,
            (_, "phx_leave") => self.leave(&message),
            _ => self.push(message).await,
        }
        Next::Go
    }

    fn leave(&mut self, message: &Inbound) {
        let mut state = self.realtime().hub.state();
        let joined = state.channel(self.id, &message.topic).map(|channel| channel.join_ref.clone());
        let stale = joined.as_ref().is_some_and(|joined| !message.join_ref.is_null() && *joined != message.join_ref);
        if stale {
            return;
        }
        let left = state.leave(self.id, &message.topic).map(|channel| channel.join_ref);
        drop(state);
        self.answer(message, left.clone().unwrap_or_else(|| message.join_ref.clone()), "ok", "{}");
        if let Some(join_ref) = left {
            self.closed(&join_ref, &message.topic, "phx_close");
        }
    }

    async fn push(&mut self, mut message: Inbound) {
        let joined = self.realtime().hub.state().channel(self.id, &message.topic).map(|found| found.join_ref.clone());
        let Some(join_ref) = joined else {
            return self.answer(&message, Ref::Null, "error", r#"{"reason":"unmatched topic"}"#);
        };
        if join_ref != message.join_ref {
            self.realtime().disturb.count_stale();
            if self.realtime().options.drops_stale_pushes {
                return;
            }
        }
        message.join_ref = join_ref; // a reply carries the channel's, whatever the push said
        if room::is_plain(&message.topic) {
            return self.plain_push(&message);
        }
        match message.event.as_str() {
            "access_token" => self.access_token(&message).await,
            "broadcast" => self.broadcast(&message),
            "presence" => self.presence(&message),
            _ => {} // the service takes no other, and says nothing
        }
    }

    /// A new token for a channel; nothing is said about a good one.
    async fn access_token(&mut self, message: &Inbound) {
        let (Payload::Json(payload), join_ref) = (&message.payload, &message.join_ref) else { return };
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let text = payload["access_token"].as_str().filter(|text| !text.starts_with("sb_"));
        let Some(text) = text.map(str::to_owned) else { return };
        let Some((same, room)) = self
            .realtime()
            .hub
            .state()
            .channel(self.id, &message.topic)
            .map(|channel| (channel.token.is(&text), channel.room.clone()))
        else {
            return;
        };
        if same {
            return;
        }
        let token = match Token::check(&self.cloud, &text) {
            Ok(token) => token,
            Err(refused) => return self.shut(&message.topic, join_ref, &refused.to_string()),
        };
        let mut may_write = true;
        if room.private {
            let rights = access::of(&self.cloud, &token.identity, name(&room.topic)).await;
            may_write = rights.write;
            if !rights.read {
                let text = access::denied(name(&room.topic));
                return self.shut(&message.topic, join_ref, &text);
            }
        }
        let mut state = self.realtime().hub.state();
        let Some(channel) = state.instance(self.id, &message.topic, join_ref) else { return };
        channel.token = token;
        channel.may_write = may_write;
        let listens = !channel.changes.is_empty();
        drop(state);
        if listens {
            self.subscribe_later(&message.topic, join_ref);
        }
        self.plan_check();
    }

    /// Breaks off every subscription of this socket, and makes it work again after `gap`.
    pub(crate) fn restart_changes(&mut self, gap: Duration) {
        let mut broken = Vec::new();
        if let Some(socket) = self.hub().state().sockets.get_mut(&self.id) {
            for (topic, channel) in &mut socket.channels {
                if !channel.changes.is_empty() {
                    channel.live = None;
                    broken.push((topic.clone(), channel.join_ref.clone()));
                }
            }
        }
        for (topic, join_ref) in broken {
            self.system(&topic, &join_ref, "postgres_changes", "error", "Too many database timeouts");
            self.later(gap, Later::Subscribe { topic, join_ref, announce: true });
        }
    }

    /// Closes the channels whose token is good no longer.
    pub(crate) fn check_tokens(&mut self) {
        let mut ended = Vec::new();
        if let Some(socket) = self.realtime().hub.state().sockets.get(&self.id) {
            for (topic, channel) in &socket.channels {
                if let Err(refused) = channel.token.again(&self.cloud) {
                    ended.push((topic.clone(), channel.join_ref.clone(), refused.to_string()));
                }
            }
        }
        for (topic, join_ref, text) in ended {
            self.shut(&topic, &join_ref, &text);
        }
        self.plan_check();
    }

    /// The next look at the tokens: when the first one ends, and at least every few minutes.
    fn plan_check(&mut self) {
        let state = self.realtime().hub.state();
        let channels = state.sockets.get(&self.id).into_iter().flat_map(|socket| socket.channels.values());
        let first = channels.map(|channel| channel.token.expires).min().unwrap_or(i64::MAX);
        drop(state);
        let left = u64::try_from(first.saturating_sub(self.cloud.now_seconds())).unwrap_or(0);
        let left = Duration::from_secs(left).min(self.realtime().options.token_check);
        // The clock of the token counts whole seconds: a little later it has certainly ended.
        self.next_check = after(Instant::now(), left.max(SHORTEST_CHECK));
    }

    /// Ends a channel with a reason that the application can read.
    fn shut(&mut self, topic: &str, join_ref: &Ref, text: &str) {
        let left = {
            let mut state = self.realtime().hub.state();
            if state.instance(self.id, topic, join_ref).is_none() {
                return;
            }
            state.leave(self.id, topic)
        };
        if left.is_some() {
            self.system(topic, join_ref, "system", "error", text);
            self.closed(join_ref, topic, "phx_close");
        }
    }

    fn system(&self, topic: &str, join_ref: &Ref, extension: &str, status: &str, text: &str) {
        let payload =
            json!({ "extension": extension, "status": status, "message": text, "channel": name(topic) }).to_string();
        let message = Outbound { join_ref, reference: &Ref::Null, topic, event: "system", payload: &payload };
        self.realtime().hub.state().send(self.id, &message);
    }

    /// Says that the instance of a channel with this reference is no more.
    fn closed(&self, join_ref: &Ref, topic: &str, event: &str) {
        self.hub().state().send(self.id, &ended(join_ref, topic, event));
    }

    /// Answers `message`, unless the reply shall be late or lost; `response` is JSON text.
    pub(super) fn answer(&mut self, message: &Inbound, join_ref: Ref, status: &str, response: &str) {
        let answer = Answer::new(message, join_ref, status, response);
        if let Some(answer) = self.fated(answer) {
            self.send(&answer);
        }
    }

    /// The answer, if it shall go out now.
    fn fated(&mut self, answer: Answer) -> Option<Answer> {
        match self.realtime().disturb.reply() {
            ReplyFate::Now => return Some(answer),
            ReplyFate::Late(delay) => self.later(delay, Later::Answer(answer)),
            ReplyFate::Never => {}
        }
        None
    }

    /// Answers the join of a channel that was let in, and adds it, in one step: what others send comes after the
    /// reply, and nothing that they send from then on is missed. Says who is present, if that is wanted.
    pub(super) fn enter(&mut self, message: &Inbound, response: &str, channel: Channel, presences: bool) {
        let answer = self.fated(Answer::new(message, message.join_ref.clone(), "ok", response));
        let (id, room) = (self.id, channel.room.clone());
        self.joined = true;
        let replaced = self.replaced.take();
        let mut state = self.hub().state();
        if let Some(answer) = answer {
            state.send(id, &answer.outbound());
        }
        if let Some(join_ref) = &replaced {
            state.send(id, &ended(join_ref, &room.topic, "phx_close"));
        }
        state.join(id, channel);
        if presences {
            let payload = state.presence_state(&room);
            let (join_ref, topic, event) = (&message.join_ref, &room.topic, "presence_state");
            state.send(id, &Outbound { join_ref, reference: &Ref::Null, topic, event, payload: &payload });
        }
    }

    /// Tells of the instance that a join replaced, behind the reply to the join.
    fn close_replaced(&mut self, topic: &str) {
        if let Some(join_ref) = self.replaced.take() {
            self.closed(&join_ref, topic, "phx_close");
        }
    }

    /// Answers `message` after `delay`, and goes on meanwhile; the end of an instance that it replaced is told then.
    pub(super) fn answer_after(
        &mut self,
        delay: Duration,
        message: &Inbound,
        join_ref: Ref,
        status: &str,
        response: &str,
    ) {
        let mut answer = Answer::new(message, join_ref, status, response);
        answer.replaced = self.replaced.take();
        self.later(delay, Later::Answer(answer));
    }

    fn send(&self, answer: &Answer) {
        self.hub().state().send(self.id, &answer.outbound());
        if let Some(join_ref) = &answer.replaced {
            self.closed(join_ref, &answer.topic, "phx_close");
        }
    }

    fn later(&mut self, delay: Duration, what: Later) {
        let (hub, id) = (&self.cloud.realtime.hub, self.id);
        let lives = |topic: &str, join_ref: &Ref| hub.state().instance(id, topic, join_ref).is_some();
        if let Some(answer) = self.waiting.add(after(Instant::now(), delay), what, lives) {
            self.send(&answer);
        }
    }

    pub(super) fn id(&self) -> SocketId {
        self.id
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.cloud.realtime.hub
    }

    /// Whether one more channel fits.
    pub(super) fn has_room(&self) -> bool {
        self.hub().state().channels(self.id) < self.realtime().options.max_channels
    }

    pub(super) fn connect_token(&self) -> Token {
        self.token.clone()
    }

    fn realtime(&self) -> &Realtime {
        &self.cloud.realtime
    }
}

/// What says that an instance of a channel is no more.
pub(super) fn ended<'a>(join_ref: &'a Ref, topic: &'a str, event: &'a str) -> Outbound<'a> {
    Outbound { join_ref, reference: join_ref, topic, event, payload: "{}" }
}

/// A topic without the part that says which service it is for.
fn name(topic: &str) -> &str {
    topic.strip_prefix(room::REALTIME).unwrap_or(topic)
}
