//! Who is connected, who has joined what, and what goes to whom: the state all sockets share.
//!
//! A socket's session, the HTTP endpoint and the database's changes call in; frames leave through the [`Outbox`]es.
//! Nothing here waits, reads a clock or asks the database. One lock covers it all and is held for one step. A public
//! and a private channel of one name are different rooms. A broadcast is written once per serializer version.
//! Wire source: Phoenix channels, PubSub and Presence; Supabase Realtime `MessageDispatcher`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{body::Bytes, extract::ws::Message};
use serde_json::{Map, Value};
use tokio::{sync::watch, time::Instant};

use super::{
    changes::Subscription,
    limits::Window,
    options::RealtimeOptions,
    outbox::Outbox,
    presence::Presence,
    room, session,
    token::Token,
    wire::{self, Body, Outbound, Ref, UserBroadcast, Version},
};
use crate::core::Identity;

/// Names one connection for as long as it lasts.
pub(crate) type SocketId = u64;

/// How far back presence calls count.
const PRESENCE_WINDOW: Duration = Duration::from_secs(30);

/// A topic as it stands on the wire, and which of the two rooms of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Room {
    pub(crate) topic: String,
    pub(crate) private: bool,
}

/// One joined topic of one socket.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) join_ref: Ref,
    pub(crate) room: Room,
    pub(crate) echo: bool,
    pub(crate) ack: bool,
    pub(crate) may_write: bool,
    pub(crate) presence_key: String,
    /// Whether it hears who comes and goes.
    pub(crate) hears_presence: bool,
    pub(crate) token: Token,
    /// What of the tables it wants to hear.
    pub(crate) changes: Arc<[Subscription]>,
    /// Whose rows it hears of; nobody's before the subscription works.
    pub(crate) live: Option<Arc<Identity>>,
    pub(crate) presence_calls: Window,
}

impl Channel {
    /// The window that its presence calls have to fit in.
    pub(crate) const fn presence_window(calls: u32) -> Window {
        Window::new(calls, PRESENCE_WINDOW)
    }
}

/// What goes to everybody in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fanout<'a> {
    /// An event with JSON text as its payload.
    Text { event: &'a str, payload: &'a str },
    /// A user's broadcast: a frame of its own on version 2, text on version 1 if it can be.
    User(&'a UserBroadcast),
    /// Bytes under an event; only version 2 can carry them.
    Binary { event: &'a str, data: &'a [u8] },
}

/// The shared state.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    max_sockets: usize,
    sockets: watch::Sender<usize>,
}

#[derive(Debug)]
pub(crate) struct State {
    next: SocketId,
    references: u64,
    pub(crate) sockets: HashMap<SocketId, Socket>,
    rooms: HashMap<Room, Members>,
    joins: Window,
    messages: Window,
    presences: Window,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) version: Version,
    pub(crate) outbox: Outbox,
    pub(crate) channels: BTreeMap<String, Channel>,
}

#[derive(Debug, Default)]
struct Members {
    here: BTreeMap<SocketId, Member>,
    presence: Presence,
}

#[derive(Debug)]
struct Member {
    version: Version,
    outbox: Outbox,
    hears_presence: bool,
}

impl Hub {
    pub(crate) fn new(options: &RealtimeOptions) -> Self {
        let second = Duration::from_secs(1);
        let state = State {
            next: 1,
            references: 0,
            sockets: HashMap::new(),
            rooms: HashMap::new(),
            joins: Window::new(options.joins_per_second, second),
            messages: Window::new(options.messages_per_second, second),
            presences: Window::new(options.presence_per_second, second),
        };
        Self { state: Mutex::new(state), max_sockets: options.max_sockets, sockets: watch::Sender::new(0) }
    }

    /// The state, for one step.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sockets there are, now and later.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.sockets.subscribe()
    }

    /// Whether one more socket fits.
    pub(crate) fn has_room(&self) -> bool {
        self.state().sockets.len() < self.max_sockets
    }

    /// Adds a socket.
    pub(crate) fn open(&self, version: Version, outbox: Outbox) -> SocketId {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.sockets.insert(id, Socket { version, outbox, channels: BTreeMap::new() });
        self.sockets.send_replace(state.sockets.len());
        id
    }

    /// Removes a socket with its channels; those who stay hear who has gone.
    pub(crate) fn close(&self, socket: SocketId) {
        let mut state = self.state();
        let topics: Vec<String> =
            state.sockets.get(&socket).map(|found| found.channels.keys().cloned().collect()).unwrap_or_default();
        for topic in topics {
            state.leave(socket, &topic);
        }
        state.sockets.remove(&socket);
        self.sockets.send_replace(state.sockets.len());
    }

    /// Tells every socket that the server is about to end it.
    pub(crate) fn announce_end(&self) {
        let payload = r#"{"extension":"system","status":"ok","message":"Server requested disconnect"}"#;
        let (nobody, state) = (&Ref::Null, self.state());
        for (id, socket) in &state.sockets {
            for topic in socket.channels.keys() {
                let message = Outbound { join_ref: nobody, reference: nobody, topic, event: "system", payload };
                state.send(*id, &message);
            }
        }
    }

    /// Ends every channel of the service as if its process had died.
    pub(crate) fn crash_channels(&self) {
        let mut state = self.state();
        let joined: Vec<_> = state
            .sockets
            .iter()
            .flat_map(|(id, socket)| socket.channels.keys().map(|topic| (*id, topic.clone())))
            .collect();
        for (id, topic) in joined {
            if let Some(Channel { join_ref, .. }) = state.leave(id, &topic) {
                state.send(id, &session::ended(&join_ref, &topic, "phx_error"));
            }
        }
    }

    /// Ends every subscription to the tables, at once.
    pub(crate) fn break_off(&self) {
        for socket in self.state().sockets.values_mut() {
            socket.channels.values_mut().for_each(|channel| channel.live = None);
        }
    }

    /// Sends numbered broadcasts to the public room of a name.
    pub(crate) fn flood(&self, topic: &str, messages: usize) {
        let room = Room { topic: format!("{}{topic}", room::REALTIME), private: false };
        let state = self.state();
        for n in 0..messages {
            let payload = format!(r#"{{"type":"broadcast","event":"flood","payload":{{"n":{n}}}}}"#);
            state.fan_out(&room, None, &Fanout::Text { event: "broadcast", payload: &payload });
        }
    }

    /// Every connection.
    pub(crate) fn outboxes(&self) -> Vec<Outbox> {
        self.state().sockets.values().map(|socket| socket.outbox.clone()).collect()
    }
}

impl State {
    /// A channel that is joined.
    pub(crate) fn channel(&mut self, socket: SocketId, topic: &str) -> Option<&mut Channel> {
        self.sockets.get_mut(&socket)?.channels.get_mut(topic)
    }

    /// The channel that was joined with `join_ref`, if it is still the one.
    pub(crate) fn instance(&mut self, socket: SocketId, topic: &str, join_ref: &Ref) -> Option<&mut Channel> {
        self.channel(socket, topic).filter(|channel| channel.join_ref == *join_ref)
    }

    /// How many topics a socket has joined.
    pub(crate) fn channels(&self, socket: SocketId) -> usize {
        self.sockets.get(&socket).map_or(0, |found| found.channels.len())
    }

    /// Whether one more join fits into the rate.
    pub(crate) fn may_join(&mut self, now: Instant) -> bool {
        self.joins.allows(now, 1)
    }

    /// Whether joins are at their limit, so that not even a new socket is let in.
    pub(crate) fn joins_are_many(&self, now: Instant) -> bool {
        self.joins.limit().is_some_and(|limit| self.joins.counted(now) >= limit)
    }

    /// Adds a channel to a socket that has none of the topic.
    pub(crate) fn join(&mut self, socket: SocketId, channel: Channel) {
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        let members = self.rooms.entry(channel.room.clone()).or_default();
        let (version, outbox, hears_presence) = (found.version, found.outbox.clone(), channel.hears_presence);
        members.here.insert(socket, Member { version, outbox, hears_presence });
        found.channels.insert(channel.room.topic.clone(), channel);
    }

    /// Takes a channel away; the others hear who has gone, it does not.
    pub(crate) fn leave(&mut self, socket: SocketId, topic: &str) -> Option<Channel> {
        let channel = self.sockets.get_mut(&socket)?.channels.remove(topic)?;
        let Some(members) = self.rooms.get_mut(&channel.room) else { return Some(channel) };
        members.here.remove(&socket);
        if let Some(diff) = members.presence.untrack(socket) {
            self.show(&channel.room, &diff);
        }
        if self.rooms.get(&channel.room).is_some_and(|members| members.here.is_empty()) {
            self.rooms.remove(&channel.room);
        }
        Some(channel)
    }

    /// Writes one message to one socket.
    pub(crate) fn send(&self, socket: SocketId, message: &Outbound<'_>) {
        if let Some(found) = self.sockets.get(&socket) {
            found.outbox.push(Message::text(wire::text(found.version, message)));
        }
    }

    /// Writes bytes to one socket, whose version must be able to carry them.
    pub(crate) fn send_binary(&self, socket: SocketId, frame: Vec<u8>) {
        if let Some(found) = self.sockets.get(&socket).filter(|found| found.version == Version::V2) {
            found.outbox.push(Message::binary(frame));
        }
    }

    /// Writes `message` to everybody in `room` but `except`.
    pub(crate) fn fan_out(&self, room: &Room, except: Option<SocketId>, message: &Fanout<'_>) {
        self.fan_out_to(room, |socket, _| Some(socket) != except, message);
    }

    /// Writes a diff to everybody in `room` who hears such.
    fn show(&self, room: &Room, diff: &str) {
        let message = Fanout::Text { event: "presence_diff", payload: diff };
        self.fan_out_to(room, |_, member| member.hears_presence, &message);
    }

    fn fan_out_to(&self, room: &Room, gets: impl Fn(SocketId, &Member) -> bool, message: &Fanout<'_>) {
        let Some(members) = self.rooms.get(room) else { return };
        let mut written = [None, None];
        for (_, member) in members.here.iter().filter(|(socket, member)| gets(**socket, member)) {
            let [one, two] = &mut written;
            let frame = match member.version {
                Version::V1 => one.get_or_insert_with(|| write(Version::V1, &room.topic, message)),
                Version::V2 => two.get_or_insert_with(|| write(Version::V2, &room.topic, message)),
            };
            if let Some(frame) = frame {
                member.outbox.push(frame.clone());
            }
        }
    }

    /// Counts a message to everybody in `room` but `except`, unless the rate is at its limit already; false then. The last
    /// one may go beyond it, for a message is delivered to all or to none.
    pub(crate) fn may_send(&mut self, now: Instant, room: &Room, except: Option<SocketId>) -> bool {
        let is_over = self.message_rate(now).is_some_and(|(counted, limit)| counted >= limit);
        if !is_over {
            self.count_message(now, room, except);
        }
        !is_over
    }

    /// Counts a message that was let through: once, and once for each who gets it.
    pub(crate) fn count_message(&mut self, now: Instant, room: &Room, except: Option<SocketId>) {
        let here = self.rooms.get(room).map(|members| &members.here);
        let receivers = here.map_or(0, |here| here.keys().filter(|socket| Some(**socket) != except).count());
        self.messages.count(now, u32::try_from(1 + receivers).unwrap_or(u32::MAX));
    }

    /// Whether one more change of a table fits into the rate of messages.
    pub(crate) fn may_deliver(&mut self, now: Instant) -> bool {
        self.messages.allows(now, 1)
    }

    /// Whether one more presence state or change fits into the rate.
    pub(crate) fn may_show(&mut self, now: Instant) -> bool {
        self.presences.allows(now, 1)
    }

    /// How many messages were counted just now, and how many may be; `None` without a limit.
    pub(crate) fn message_rate(&self, now: Instant) -> Option<(u32, u32)> {
        Some((self.messages.counted(now), self.messages.limit()?))
    }

    /// Whether a channel shows `payload` already.
    pub(crate) fn shows(&self, socket: SocketId, room: &Room, payload: &Map<String, Value>) -> bool {
        self.rooms.get(room).is_some_and(|members| members.presence.shows(socket, payload))
    }

    /// Shows `payload` under the key of a channel, and tells everybody, itself from now on included.
    pub(crate) fn track(&mut self, socket: SocketId, room: &Room, key: &str, payload: Map<String, Value>) {
        self.references += 1;
        let reference = format!("F{:016x}", self.references ^ (fastrand::u64(..) << 24));
        let Some(members) = self.rooms.get_mut(room) else { return };
        if let Some(member) = members.here.get_mut(&socket) {
            member.hears_presence = true;
        }
        if let Some(diff) = members.presence.track(socket, key, payload, reference) {
            self.show(room, &diff);
        }
    }

    /// Shows nothing any more; who asked hears it too.
    pub(crate) fn untrack(&mut self, socket: SocketId, room: &Room) {
        if let Some(diff) = self.rooms.get_mut(room).and_then(|members| members.presence.untrack(socket)) {
            self.show(room, &diff);
        }
    }

    /// Everybody who is present in a room, as JSON text.
    pub(crate) fn presence_state(&self, room: &Room) -> String {
        self.rooms.get(room).map_or_else(|| "{}".to_owned(), |members| members.presence.state())
    }
}

/// Writes one message for one version; `None` where the version cannot carry it.
fn write(version: Version, topic: &str, message: &Fanout<'_>) -> Option<Message> {
    let text = |event: &str, payload: &str| {
        let nobody = &Ref::Null;
        Message::text(wire::text(version, &Outbound { join_ref: nobody, reference: nobody, topic, event, payload }))
    };
    match (message, version) {
        (Fanout::Text { event, payload }, _) => Some(text(event, payload)),
        (Fanout::User(broadcast), Version::V2) => {
            wire::user_broadcast(topic, broadcast).ok().map(|frame| Message::Binary(Bytes::from(frame)))
        }
        (Fanout::User(broadcast), Version::V1) => json_payload(broadcast).map(|payload| text("broadcast", &payload)),
        (Fanout::Binary { event, data }, Version::V2) => wire::shout(topic, event, data).ok().map(Message::binary),
        (Fanout::Binary { .. }, Version::V1) => None,
    }
}

/// A user's broadcast as the payload of a text message, if it is no bytes.
pub(crate) fn json_payload(broadcast: &UserBroadcast) -> Option<String> {
    let Body::Json(payload) = &broadcast.body else { return None };
    let metadata = broadcast.metadata.as_deref().map(|text| format!(r#","meta":{text}"#)).unwrap_or_default();
    let event = wire::quoted(&broadcast.event);
    Some(format!(r#"{{"type":"broadcast","event":{event},"payload":{payload}{metadata}}}"#))
}
