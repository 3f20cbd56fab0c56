//! A host that does odd things: drops what it asked for, wakes all the time, has clocks that jump and sessions that fail.
use std::{pin::pin, sync::Mutex, task::Poll};

use cloud_realtime::{
    Push,
    channel::{GapCause, Rejoin},
    codes::CHANNEL_UNAUTHENTICATED,
    join::{ChangesRequest, JoinConfig, RowEvent},
    status::ConnectionState,
};
use tokio::sync::Semaphore;

use super::*;

const ROOM: &str = "realtime:room";

fn plain() -> cloud_client::ClientBuilder {
    Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap().random(Random::seeded(7))
}

fn with(session: impl TokenSource + 'static) -> (RealtimeBuilder, FakeServer) {
    over(plain().build().with_token_source(Arc::new(session)))
}

#[tokio::test(start_paused = true)]
async fn channels_that_are_dropped_while_they_are_opened_or_joined_are_left_and_forgotten() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_kept, mut events) = open(&realtime, "realtime:kept").await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    // Dropped before anybody has looked at the wish.
    {
        let mut opening = pin!(realtime.channel(topic("realtime:never")).open());
        let polled = futures::poll!(opening.as_mut());
        assert!(matches!(polled, Poll::Pending));
    }
    assert!(tokio::time::timeout(Duration::from_secs(20), server.next()).await.is_err(), "joined for nobody");
    assert_eq!(realtime.status().channels, 1);
    // Thousands of them, dropped at every stage; the server answers slowly or not at all.
    let mut joined = std::collections::BTreeSet::new();
    let mut serve = |wire: &Wire| match wire.3.as_str() {
        "phx_join" => assert!(joined.insert(wire.1.to_string()), "a ref came twice"),
        "phx_leave" => drop(joined.remove(&wire.0.to_string())),
        other => panic!("{other}"),
    };
    for n in 0..3_000_u32 {
        let (channel, _events) = open(&realtime, &format!("realtime:{}", n % 7)).await;
        if n % 3 == 0 {
            tokio::time::advance(Duration::from_millis(40)).await;
        }
        if n % 10 == 0 {
            while let Ok(wire) = tokio::time::timeout(Duration::from_millis(1), server.next()).await {
                let wire = wire.expect("the connection is kept");
                serve(&wire);
                server.reply(&wire, "ok", json!({})).await;
            }
        }
        drop(channel);
        realtime.watch_status().until(|status| status.channels == 1).await.unwrap();
    }
    while let Ok(wire) = tokio::time::timeout(Duration::from_secs(20), server.next()).await {
        let wire = wire.expect("the connection is kept");
        serve(&wire);
        server.reply(&wire, "ok", json!({})).await;
    }
    assert!(joined.is_empty(), "joined and not left: {joined:?}");
}

#[tokio::test(start_paused = true)]
async fn r05_a_host_that_wakes_all_the_time_does_not_hide_that_the_connection_is_dead() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut frozen = Server::accept(&mut network).await;
    frozen.join().await;
    until_live(&mut events).await;
    let start = now();
    let storm = async {
        loop {
            for _ in 0..100 {
                realtime.wake();
            }
            tokio::time::advance(Duration::from_millis(500)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = storm => {}
        event = tokio::time::timeout(LONG, events.next()) => {
            assert!(matches!(event, Ok(Some(ChannelEvent::Gap(GapCause::Connection)))), "{event:?}");
        }
    }
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
    let mut beats = 0;
    while let Ok(Received::Frame(_)) = tokio::time::timeout(Duration::from_secs(1), frozen.peer.receive()).await {
        beats += 1;
    }
    assert_eq!(beats, 1, "one question is enough");
}

#[tokio::test(start_paused = true)]
async fn times_without_an_end_are_times_without_an_end() {
    let (builder, mut network) = builder();
    let realtime = builder.connect_timeout(Duration::MAX).open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let push = room.push(Push::json("n", &json!({})).unwrap().within(Duration::MAX));
    let serve = async {
        let mut server = Server::accept(&mut network).await;
        server.join().await;
        let asked = server.expect("n").await;
        server.reply(&asked, "ok", json!({})).await;
        until_live(&mut events).await;
        server
    };
    let (answer, _server) = tokio::join!(push, serve);
    assert!(answer.unwrap().is_ok());
}

/// A session that says what it is told to, one word at a time.
#[derive(Clone, Debug)]
struct Script(Arc<(Semaphore, Mutex<Vec<String>>)>);

impl Script {
    fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Mutex::default())))
    }

    fn say(&self, words: &[&str]) {
        self.0.1.lock().unwrap().extend(words.iter().map(|word| (*word).to_owned()));
        self.0.0.add_permits(words.len());
    }

    async fn word(&self) -> Result<Option<AccessToken>, Error> {
        self.0.0.acquire().await.unwrap().forget();
        match self.0.1.lock().unwrap().remove(0).as_str() {
            "down" => Err(Error::new(cloud_client::error::codes::TIMEOUT)),
            generation => {
                let generation = generation.parse().unwrap();
                Ok(Some(AccessToken::new(token(1, generation).into(), generation)))
            }
        }
    }
}

#[async_trait]
impl TokenSource for Script {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        self.word().await
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.word().await
    }
}

fn expired() -> Value {
    json!({"reason": "InvalidJWTToken: Token has expired 5 seconds ago"})
}

#[tokio::test(start_paused = true)]
async fn r07_a_renewal_that_fails_is_asked_for_again_and_the_dead_token_is_not_sent_meanwhile() {
    let session = Script::new();
    let (builder, mut network) = with(session.clone());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    session.say(&["1"]);
    let join = server.expect("phx_join").await;
    // The last is for the join itself.
    session.say(&["down", "down", "down", "2", "2"]);
    server.reply(&join, "error", expired()).await;
    let start = now();
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 2)), "no join with the dead token between");
    assert!(
        (Duration::from_millis(1_500)..Duration::from_secs(30)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_successor_is_told_as_refused() {
    let session = Script::new();
    let (builder, mut network) = with(session.clone());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    session.say(&["1"]);
    let join = server.expect("phx_join").await;
    session.say(&["1"]);
    server.reply(&join, "error", expired()).await;
    let ChannelEvent::Refused(error) = news(&mut events).await else { panic!("not told") };
    assert_eq!(error.code(), CHANNEL_UNAUTHENTICATED);
    session.say(&["1", "2", "2"]);
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 2)), "found within half a minute");
}

#[tokio::test(start_paused = true)]
async fn r07_a_refusal_while_the_token_is_being_looked_at_leads_to_a_renewal_all_the_same() {
    let session = Script::new();
    let (builder, mut network) = with(session.clone());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    session.say(&["1"]);
    let join = server.expect("phx_join").await;
    // The host hints at another session; the answer is the old token, and comes after the refusal.
    realtime.session_changed();
    tokio::time::advance(Duration::from_millis(10)).await;
    server.reply(&join, "error", expired()).await;
    tokio::time::advance(Duration::from_millis(10)).await;
    session.say(&["1", "2", "2"]);
    let start = now();
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 2)));
    assert!(start.elapsed() < Duration::from_secs(5));
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_disconnect_joins_nothing_and_the_next_join_asks_again() {
    let session = Script::new();
    let (builder, mut network) = with(session.clone());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    tokio::time::advance(Duration::from_millis(10)).await;
    realtime.disconnect();
    assert!(server.next().await.is_none(), "the socket is closed");
    session.say(&["1"]);
    assert!(tokio::time::timeout(LONG, network.next_attempt()).await.is_err());
    realtime.reconnect();
    let mut server = Server::accept(&mut network).await;
    session.say(&["2"]);
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 2)));
    until_live(&mut events).await;
}

/// A wall clock that can be set, over time that goes on.
#[derive(Clone, Debug, Default)]
struct SetClock {
    system: SystemClock,
    back: Arc<AtomicU64>,
}

#[async_trait]
impl Clock for SetClock {
    fn wall(&self) -> SystemTime {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        start + self.system.monotonic() - Duration::from_secs(self.back.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_wall_clock_that_is_set_back_ten_years_changes_nothing() {
    let clock = SetClock::default();
    let (builder, mut network) = over(plain().clock(SharedClock::new(clock.clone())).build());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    for back in [10, 3_600, 315_360_000] {
        clock.back.store(back, Ordering::SeqCst);
        // Heartbeats are answered here, and go on.
        assert!(tokio::time::timeout(Duration::from_secs(100), server.next()).await.is_err());
    }
    assert!(events.try_next().is_none());
    assert_eq!(realtime.status().connection, ConnectionState::Open);
}

#[tokio::test(start_paused = true)]
async fn r10_a_sleep_while_the_token_is_fetched_ends_in_a_join_all_the_same() {
    let (session, sleeper) = (Script::new(), Sleeper::default());
    let client = plain().clock(sleeper.shared()).build().with_token_source(Arc::new(session.clone()));
    let (builder, mut network) = over(client);
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let server = Server::accept(&mut network).await;
    tokio::time::advance(Duration::from_millis(10)).await;
    sleeper.sleep_for(8 * 3_600);
    let mut next = Server::accept(&mut network).await;
    session.say(&["1", "2"]);
    next.join().await;
    until_live(&mut events).await;
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn r03_what_is_configured_while_a_join_is_on_its_way_counts_from_the_next() {
    let rows = || JoinConfig::new().changes(ChangesRequest::table(RowEvent::ANY, "public", "messages"));
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let room = realtime.channel(topic(ROOM)).config(rows()).open().await.unwrap();
    let mut events = room.events();
    let mut server = Server::accept(&mut network).await;
    let join = server.expect("phx_join").await;
    room.configure(JoinConfig::new(), Rejoin::Later).await.unwrap();
    tokio::time::advance(Duration::from_millis(10)).await;
    server.reply(&join, "ok", json!({"postgres_changes": []})).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Joined(_)));
    assert!(tokio::time::timeout(Duration::from_secs(9), events.next()).await.is_err(), "live before its rows are");
    let ready = json!({"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL"});
    server.say(json!([join.0, null, ROOM, "system", ready])).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Live));
    room.configure(rows(), Rejoin::Later).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(90), server.next()).await.is_err(), "left and joined anew");
}

#[tokio::test(start_paused = true)]
async fn r04_frames_of_the_user_before_that_are_still_on_their_way_reach_nobody() {
    let session = Session::signed_in(1);
    let (builder, mut network) = with(session.clone());
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let old = server.join().await;
    until_live(&mut events).await;
    session.set(2, 2);
    realtime.session_changed();
    let leave = server.expect("phx_leave").await;
    for join_ref in [old.0.clone(), json!(null)] {
        server.say(json!([join_ref, null, ROOM, "secret", {"of": 1}])).await;
    }
    server.reply(&leave, "ok", json!({})).await;
    server.say(json!([old.0, null, ROOM, "secret", {"of": 1}])).await;
    let join = server.expect("phx_join").await;
    server.say(json!([old.0, null, ROOM, "secret", {"of": 1}])).await;
    server.say(json!([null, null, ROOM, "secret", {"of": 1}])).await;
    server.reply(&join, "ok", json!({})).await;
    server.say(json!([old.0, null, ROOM, "secret", {"of": 1}])).await;
    server.say(json!([null, null, ROOM, "open", {"of": 2}])).await;
    assert_eq!(message(&mut events).await, ("open".to_owned(), json!({"of": 2})));
}

#[tokio::test(start_paused = true)]
async fn r04_a_yes_that_comes_after_the_join_was_given_up_opens_nothing() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let first = server.expect("phx_join").await;
    let leave = server.expect("phx_leave").await;
    assert_eq!(leave.0, first.0);
    server.reply(&first, "ok", json!({})).await;
    server.reply(&leave, "ok", json!({})).await;
    let second = server.expect("phx_join").await;
    server.reply(&first, "ok", json!({})).await;
    server.say(json!([first.0, null, ROOM, "n", 1])).await;
    server.reply(&second, "ok", json!({})).await;
    let ChannelEvent::Joined(joined) = news(&mut events).await else { panic!("not joined") };
    assert_eq!(json!(joined.join_ref.to_string()), second.0);
}
