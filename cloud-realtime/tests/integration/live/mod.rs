//! The live connection by its public API: paused time, a server whose every frame the test decides.

mod feed;
mod flood;
mod fragments;
mod host;
mod limits;
mod odd;
mod phoenix;
mod presence;
mod supabase;
mod ticket;
mod time;
mod tokens;
mod websocket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    clock::{Clock, SharedClock, SystemClock},
    random::Random,
};
use cloud_realtime::{
    Channel, ChannelEvent, Events, Frame, RealtimeBuilder, Topic,
    socket::Received,
    testing::{FakeConnector, FakePeer, FakeServer},
};
use serde_json::{Value, json};

/// Longer than anything here waits; time is paused, so it costs nothing.
const LONG: Duration = Duration::from_secs(3_600);

#[expect(clippy::disallowed_methods, reason = "time is paused; the clock under test is measured by another")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A connection over a fake network.
fn builder() -> (RealtimeBuilder, FakeServer) {
    over(Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap().random(Random::seeded(7)).build())
}

fn over(client: Client) -> (RealtimeBuilder, FakeServer) {
    let (connector, server) = FakeConnector::new();
    (cloud_realtime::Realtime::builder(&client).connector(connector), server)
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

/// The server's end of one socket, in the words of the protocol.
struct Server {
    peer: FakePeer,
}

/// A message as five values.
type Wire = (Value, Value, String, String, Value);

impl Server {
    async fn accept(server: &mut FakeServer) -> Self {
        let attempt = tokio::time::timeout(LONG, server.next_attempt()).await.unwrap().unwrap();
        Self { peer: attempt.accept() }
    }

    /// The next message other than heartbeats, which are answered.
    async fn next(&mut self) -> Option<Wire> {
        loop {
            let Received::Frame(Frame::Text(text)) = tokio::time::timeout(LONG, self.peer.receive()).await.unwrap()
            else {
                return None;
            };
            let wire: Wire = serde_json::from_str(&text).unwrap();
            if wire.2 == "phoenix" {
                self.say(json!([null, wire.1, "phoenix", "phx_reply", {"status": "ok", "response": {}}])).await;
            } else {
                return Some(wire);
            }
        }
    }

    /// The next message, which has to be `event`.
    async fn expect(&mut self, event: &str) -> Wire {
        let wire = self.next().await.unwrap();
        assert_eq!(wire.3, event, "{wire:?}");
        wire
    }

    async fn say(&self, message: Value) {
        let _ = self.peer.send(Frame::text(message.to_string())).await;
    }

    async fn reply(&self, to: &Wire, status: &str, response: Value) {
        self.say(json!([to.0, to.1, to.2, "phx_reply", {"status": status, "response": response}])).await;
    }

    /// Takes the next join.
    async fn join(&mut self) -> Wire {
        let join = self.expect("phx_join").await;
        self.reply(&join, "ok", json!({"postgres_changes": []})).await;
        join
    }
}

/// The next event that is not a message.
async fn news(events: &mut Events) -> ChannelEvent {
    loop {
        match tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap() {
            ChannelEvent::Message(_) => {}
            event => return event,
        }
    }
}

async fn until_live(events: &mut Events) {
    while !matches!(news(events).await, ChannelEvent::Live) {}
}

/// The payload of the next message.
async fn message(events: &mut Events) -> (String, Value) {
    loop {
        if let ChannelEvent::Message(message) = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap() {
            return (message.event().to_owned(), message.envelope().decode().unwrap());
        }
    }
}

async fn open(realtime: &cloud_realtime::Realtime, name: &str) -> (Channel, Events) {
    let channel = realtime.channel(topic(name)).open().await.unwrap();
    let events = channel.events();
    (channel, events)
}

/// A session whose token the test changes.
#[derive(Clone, Debug, Default)]
struct Session(Arc<SessionState>);

#[derive(Debug, Default)]
struct SessionState {
    generation: AtomicU64,
    user: AtomicU64,
    replaced: AtomicU64,
    asked: AtomicU64,
    /// So many questions for a token end in an error.
    failing: AtomicU64,
}

impl Session {
    fn signed_in(user: u64) -> Self {
        let session = Self::default();
        session.set(user, 1);
        session
    }

    /// User 0 is nobody.
    fn set(&self, user: u64, generation: u64) {
        self.0.user.store(user, Ordering::SeqCst);
        self.0.generation.store(generation, Ordering::SeqCst);
    }

    fn current(&self) -> Option<AccessToken> {
        let (user, generation) = (self.0.user.load(Ordering::SeqCst), self.0.generation.load(Ordering::SeqCst));
        (user > 0).then(|| AccessToken::new(token(user, generation).into(), generation))
    }
}

fn token(user: u64, generation: u64) -> String {
    // {"sub":"user-N"} without padding.
    let claims = ["", "eyJzdWIiOiJ1c2VyLTEifQ", "eyJzdWIiOiJ1c2VyLTIifQ"];
    format!("head.{}.t{generation}", claims.get(usize::try_from(user).unwrap()).unwrap())
}

#[async_trait]
impl TokenSource for Session {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let one_less = |failing: u64| failing.checked_sub(1);
        if self.0.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(Error::new(cloud_client::error::codes::TIMEOUT));
        }
        Ok(self.current())
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.0.replaced.fetch_add(1, Ordering::SeqCst);
        if self.0.generation.load(Ordering::SeqCst) == refused.generation {
            self.0.generation.fetch_add(1, Ordering::SeqCst);
        }
        Ok(self.current())
    }
}

/// Tokio's time, and a wall clock that the test can push.
#[derive(Clone, Debug, Default)]
struct Sleeper {
    system: SystemClock,
    asleep: Arc<AtomicU64>,
}

impl Sleeper {
    fn sleep_for(&self, seconds: u64) {
        self.asleep.fetch_add(seconds, Ordering::SeqCst);
    }

    fn shared(&self) -> SharedClock {
        SharedClock::new(self.clone())
    }
}

#[async_trait]
impl Clock for Sleeper {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.system.monotonic() + Duration::from_secs(self.asleep.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}
