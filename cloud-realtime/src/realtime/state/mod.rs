//! The task's state between two waits: both machines, the socket, the handles. Nothing here waits.
//!
//! An event goes into a machine; its effects are done in order, and what they cause goes into the machines again until
//! nothing is left. Frames are only put into the outbox here.
mod effects;
mod outgoing;
mod report;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use base64::Engine as _;
use cloud_client::{AccessToken, Error, clock::SharedClock, error::codes::CLOSED, random::Random};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use super::{
    Intent,
    builder::RealtimeBuilder,
    jobs::{Attempted, Step, TokenAnswer},
};
use crate::{
    channel::{
        Shared,
        command::{Command, Waiter},
        set::{self, ChannelSet, Heard, NoChannel, Outcome, Token, Wish},
    },
    codec::{Codec, Sender},
    codes::{TOO_MANY_CHANNELS, TOPIC_TAKEN},
    connection::{self, Connection, Event, Now},
    credentials::Credentials,
    event,
    presence::ShownAs,
    refs::Refs,
    socket::{Frame, Received, Socket, SocketError},
    status::{ChannelState, Status},
    topic::HEARTBEAT_TOPIC,
};

/// What is to be written, in order.
#[derive(Debug)]
pub(super) enum Out {
    Frame(Frame),
    /// Everything before this was taken by the socket: tell whoever waits for that.
    Sent(u64),
}

pub(super) struct Live {
    pub(super) clock: SharedClock,
    pub(super) now: Duration,
    pub(super) socket: Option<Box<dyn Socket>>,
    /// A socket that still gets a goodbye.
    pub(super) leaving: Option<Box<dyn Socket>>,
    pub(super) outbox: VecDeque<Out>,
    random: Random,
    refs: Refs,
    codec: Codec,
    connection: Connection,
    set: ChannelSet,
    connection_effects: Vec<connection::Effect>,
    set_effects: Vec<set::Effect>,
    handles: BTreeMap<u64, Arc<Shared>>,
    waiters: HashMap<u64, Waiter>,
    pushes: u64,
    token: Option<AccessToken>,
    credentials: Option<Credentials>,
    status: watch::Sender<Status>,
    shown: Status,
    set_due: Option<Duration>,
    /// Whether that may be out of date.
    set_moved: bool,
    wanted: bool,
}

impl Live {
    pub(super) fn new(options: Arc<RealtimeBuilder>, clock: SharedClock, status: watch::Sender<Status>) -> Self {
        Self {
            now: clock.monotonic(),
            clock,
            socket: None,
            leaving: None,
            outbox: VecDeque::new(),
            random: options.client.random().clone(),
            refs: Refs::new(),
            codec: Codec::new(options.version).max_received_bytes(options.max_received_bytes),
            connection: Connection::new(options.connect_timeout),
            set: ChannelSet::new(options.max_channels, options.joins_per_second),
            connection_effects: Vec::new(),
            set_effects: Vec::new(),
            handles: BTreeMap::new(),
            waiters: HashMap::new(),
            pushes: 0,
            token: None,
            credentials: None,
            status,
            shown: Status::default(),
            set_due: None,
            set_moved: false,
            wanted: false,
        }
    }

    pub(super) fn read_clock(&mut self) {
        self.now = self.clock.monotonic();
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.connection.deadline().into_iter().chain(self.set_due).min()
    }

    /// Whether a sleep of the machine would matter.
    pub(super) fn needs_watch(&self) -> bool {
        self.connection.deadline().is_some()
    }

    pub(super) fn connection(&mut self, event: Event<'_>) {
        let now = Now { at: self.now, random: &self.random, refs: &self.refs };
        self.connection.step(event, now, &mut self.connection_effects);
    }

    /// Whether a machine has something to be done.
    pub(super) fn has_work(&self) -> bool {
        !self.connection_effects.is_empty() || !self.set_effects.is_empty()
    }

    fn set(&mut self, work: impl FnOnce(&mut ChannelSet, Now<'_>, &mut Vec<set::Effect>)) {
        self.set_moved = true;
        let now = Now { at: self.now, random: &self.random, refs: &self.refs };
        work(&mut self.set, now, &mut self.set_effects);
    }

    /// Lets time pass in both machines.
    pub(super) fn tick(&mut self, after_frame: bool) {
        if self.connection.deadline().is_some_and(|due| due <= self.now) {
            self.connection(Event::Tick);
        }
        // A message that changed nothing leaves the channels' timers as they were.
        if !after_frame || !self.set_effects.is_empty() || self.set_due.is_some_and(|due| due <= self.now) {
            self.set(ChannelSet::tick);
        }
    }

    pub(super) fn intent(&mut self, before: Intent, now: Intent) {
        if before.connected && !now.connected {
            self.connection(Event::Disconnect);
        } else if now.connected && before.restarts != now.restarts {
            self.connection(Event::Reconnect);
        } else if now.connected && before.wakes != now.wakes {
            self.connection(Event::Woke { slept: Duration::ZERO });
        }
        if before.sessions != now.sessions {
            self.set(|set, _, out| set.look_at_token(out));
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        match command {
            // Whoever asked has gone, and the word of that was heard before there was a channel to leave.
            Command::Open { shared, .. } if shared.abandoned.load(Ordering::Acquire) => {}
            Command::Open { shared, params, taken } => {
                let wish = Wish { id: shared.id, topic: shared.topic.clone(), params };
                let mut answer = Ok(());
                self.set(|set, now, out| answer = set.open(wish, now, out));
                let answer = answer.map_err(|why| match why {
                    NoChannel::Taken => Error::new(TOPIC_TAKEN),
                    NoChannel::TooMany => Error::new(TOO_MANY_CHANNELS),
                });
                if answer.is_ok() {
                    self.handles.insert(shared.id, shared);
                }
                // A caller that goes now drops its handle, and the sweep finds it.
                let _ = taken.send(answer);
            }
            Command::Configure { id, params, rejoin } => {
                self.set(|set, now, out| set.configure(id, params, rejoin, now, out));
            }
            Command::AfterJoin { id, push } => self.set(|set, _, _| set.after_join(id, push)),
            Command::Push { id, push, waiter } => {
                self.pushes += 1;
                let (number, answer) = (self.pushes, matches!(waiter, Waiter::Answer(_)));
                self.waiters.insert(number, waiter);
                self.set(|set, now, out| set.push((id, number), push, answer, now, out));
            }
        }
    }

    /// Refuses a request that came too late.
    pub(super) fn refuse(&self, command: Command) {
        match command {
            Command::Open { taken, .. } => drop(taken.send(Err(Error::new(CLOSED)))),
            Command::Push { waiter, .. } => waiter.fail(Error::new(CLOSED)),
            Command::Configure { .. } | Command::AfterJoin { .. } => {}
        }
    }

    /// Looks at what handles have left beside their channels: a wish for the own presence, or that nobody wants the channel
    /// any more.
    pub(super) fn sweep(&mut self) {
        let wishes: Vec<(u64, ShownAs)> =
            self.handles.values().filter_map(|shared| Some((shared.id, shared.shown.new_wish()?))).collect();
        for (id, wish) in wishes {
            self.set(|set, now, out| set.show(id, wish, now, out));
        }
        let abandoned = |shared: &Shared| shared.abandoned.load(Ordering::Acquire);
        let ids: Vec<u64> = self.handles.values().filter(|shared| abandoned(shared)).map(|shared| shared.id).collect();
        for id in ids {
            self.set(|set, now, out| set.abandon(id, now, out));
        }
    }

    pub(super) fn attempted(&mut self, done: Attempted) {
        let generation = done.generation;
        match done.outcome {
            Ok(Step::Acquired(credentials)) => {
                let valid_for = credentials.valid_for;
                self.credentials = Some(credentials);
                self.connection(Event::Acquired { generation, valid_for });
            }
            Ok(Step::Connected(socket)) => {
                if generation == self.connection.generation() {
                    self.socket = Some(socket);
                }
                self.connection(Event::Connected { generation });
            }
            Err((verdict, error)) => {
                tracing::debug!(code = %error.code(), status = error.status(), "the live connection did not open");
                self.shown.last_error = Some(error);
                self.connection(Event::Failed { generation, verdict });
            }
        }
    }

    pub(super) fn token_answer(&mut self, answer: TokenAnswer) {
        let answer = match answer {
            Ok(token) => {
                let known =
                    token.as_ref().map(|token| Token { generation: token.generation, subject: subject(&token.secret) });
                let changed = known.map(|token| token.generation) != self.token.as_ref().map(|token| token.generation);
                self.token = token;
                if changed {
                    self.connection(Event::NewToken);
                }
                Ok(known)
            }
            Err(error) => {
                tracing::debug!(code = %error.code(), "no token for the live channels");
                self.shown.last_error = Some(error);
                Err(())
            }
        };
        self.set(|set, now, out| set.token(answer, now, out));
    }

    pub(super) fn received(&mut self, received: Result<Received, SocketError>) {
        let generation = self.connection.generation();
        let frame = match received {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::Alive) => return self.connection(Event::Frame),
            Ok(Received::Closed(reason)) => {
                return self.connection(Event::Closed { generation, code: reason.code });
            }
            Err(SocketError::TooLarge { .. }) => {
                return self.connection(Event::Closed { generation, code: Some(1009) });
            }
            Err(_) => return self.connection(Event::Closed { generation, code: None }),
        };
        self.connection(Event::Frame);
        let codec = self.codec;
        let envelope = match codec.decode(Sender::Server, &frame) {
            Ok(envelope) => envelope,
            // A frame that cannot be read costs itself, not the socket (R13).
            Err(error) => {
                self.shown.unreadable_frames += 1;
                tracing::debug!(%error, "a frame of the server cannot be read");
                return;
            }
        };
        if envelope.topic() == HEARTBEAT_TOPIC {
            if let (event::REPLY, Some(reference)) = (envelope.event(), envelope.message_ref()) {
                self.connection(Event::HeartbeatAnswered { reference });
            }
            return;
        }
        let (mut heard, moved) = (Heard::Ignored, self.set_moved);
        self.set(|set, now, out| heard = set.receive(&envelope, now, out));
        // What the application says moves no timer, and to look at those of all channels costs more than the message.
        self.set_moved = moved || event::is_about_channel(envelope.event());
        if let Heard::Message(id) = heard
            && let Some(shared) = self.handles.get(&id)
        {
            // Whatever the message itself caused is told after it, in the same turn: none of that is about messages.
            shared.listeners.hear(envelope);
        }
    }

    /// The socket has taken this push and everything before it.
    pub(super) fn sent(&mut self, push: u64) {
        if let Some(Waiter::Sent(waiter)) = self.waiters.remove(&push) {
            // Whoever asked may have gone.
            let _ = waiter.send(Ok(()));
        }
    }

    /// Every handle and every waiter hears of the end.
    pub(super) fn shut_down(&mut self) {
        self.set(|set, _, out| set.shut_down(out));
        for effect in std::mem::take(&mut self.set_effects) {
            match effect {
                set::Effect::Gone { id } => {
                    if let Some(shared) = self.handles.remove(&id) {
                        shared.state.send_replace(ChannelState::Left);
                        shared.listeners.end();
                    }
                }
                set::Effect::Settle { push, outcome: Outcome::Failed(error) } => {
                    if let Some(waiter) = self.waiters.remove(&push) {
                        waiter.fail(error);
                    }
                }
                _ => {}
            }
        }
        self.waiters.drain().for_each(|(_, waiter)| waiter.fail(Error::new(CLOSED)));
        self.shown.live_channels = 0;
    }
}

/// Whose token it is: a hash of the claim `sub`, which is not checked here and tells users apart, nothing more.
fn subject(token: &SecretString) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let mut hasher = DefaultHasher::new();
    serde_json::from_slice::<Claims>(&claims).ok()?.sub.hash(&mut hasher);
    Some(hasher.finish())
}
