//! What Supabase Realtime adds: readiness of row changes, tokens on channels, sign-out, limits.
use cloud_realtime::{
    Push,
    channel::GapCause,
    codes::{CHANNEL_FORBIDDEN, CHANNEL_REFUSED, CHANNEL_UNAUTHENTICATED, LIMITED},
    join::{ChangesRequest, JoinConfig, RowEvent},
    status::ChannelState,
};

use super::*;

const ROOM: &str = "realtime:room";

fn rows() -> JoinConfig {
    JoinConfig::new().changes(ChangesRequest::table(RowEvent::ANY, "public", "messages").filter("id=eq.1"))
}

fn system(join: &Wire, extension: &str, status: &str, message: &str) -> Value {
    json!([join.0, null, join.2, "system",
        {"extension": extension, "status": status, "message": message, "channel": "room"}])
}

fn subscribed(join: &Wire) -> Value {
    system(join, "postgres_changes", "ok", "Subscribed to PostgreSQL")
}

fn client(session: &Session) -> Client {
    let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap();
    client.random(Random::seeded(7)).build().with_token_source(Arc::new(session.clone()))
}

#[tokio::test(start_paused = true)]
async fn r03_live_comes_with_the_database_and_each_later_subscription_asks_for_a_pull() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let channel = realtime.channel(topic(ROOM)).config(rows()).open().await.unwrap();
    let mut events = channel.events();
    let mut server = Server::accept(&mut server).await;
    let join = server.join().await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Joined(_)));
    assert_eq!(channel.state(), ChannelState::Joined);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(channel.state(), ChannelState::Joined, "no change flows yet");
    server.say(subscribed(&join)).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Live));
    server.say(subscribed(&join)).await;
    let again = news(&mut events).await;
    assert!(matches!(again, ChannelEvent::Resubscribed) && again.asks_for_catch_up());

    // A late listener hears where things stand.
    let mut late = channel.events();
    assert!(matches!(late.next().await, Some(ChannelEvent::Joined(_))));
    assert!(matches!(late.next().await, Some(ChannelEvent::Live)));
    server.say(system(&join, "postgres_changes", "error", "Too many database timeouts")).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Database)));
    server.say(subscribed(&join)).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Live));
}

#[tokio::test(start_paused = true)]
async fn r02_a_database_that_never_gets_ready_is_asked_anew_with_the_whole_configuration() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let channel = realtime.channel(topic(ROOM)).config(rows().presence("me").private()).open().await.unwrap();
    let mut server = Server::accept(&mut server).await;
    let first = server.join().await;
    let joined = now();
    server.expect("phx_leave").await;
    assert_eq!(joined.elapsed(), Duration::from_secs(60));
    let second = server.join().await;
    assert_eq!(first.4, second.4);
    let changes = json!([{"event": "*", "schema": "public", "table": "messages", "filter": "id=eq.1"}]);
    assert_eq!(second.4["config"]["postgres_changes"], changes);
    drop(channel);
}

#[tokio::test(start_paused = true)]
async fn wrong_parameters_are_told_and_not_tried_again_before_they_change() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let channel = realtime.channel(topic(ROOM)).config(rows()).open().await.unwrap();
    let mut events = channel.events();
    let mut server = Server::accept(&mut server).await;
    let join = server.join().await;
    let words = "Unable to subscribe to changes with given parameters. Please check Realtime is enabled";
    server.say(system(&join, "postgres_changes", "error", words)).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Joined(_)));
    let ChannelEvent::Refused(error) = news(&mut events).await else { panic!("not refused") };
    assert_eq!((error.code(), error.detail()), (CHANNEL_REFUSED, Some(words)));
    server.expect("phx_leave").await;
    channel.configure(JoinConfig::new(), cloud_realtime::channel::Rejoin::Later).await.unwrap();
    server.join().await;
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn r07_a_refreshed_token_is_pushed_to_every_joined_channel_and_into_the_next_join() {
    let session = Session::signed_in(1);
    let (builder, mut network) = over(client(&session));
    let realtime = builder.open();
    let (_a, mut a) = open(&realtime, ROOM).await;
    let (_b, mut b) = open(&realtime, "realtime:hall").await;
    let mut server = Server::accept(&mut network).await;
    let first = server.join().await;
    assert_eq!(first.4["access_token"], json!(token(1, 1)));
    server.join().await;
    until_live(&mut a).await;
    until_live(&mut b).await;

    // Without a word of the host it is seen within half a minute.
    session.set(1, 2);
    let changed = now();
    for _ in 0..2 {
        let push = server.expect("access_token").await;
        assert_eq!((push.0.is_string(), &push.4), (true, &json!({"access_token": token(1, 2)})));
    }
    assert!(changed.elapsed() <= Duration::from_secs(30));
    // With one, at once.
    session.set(1, 3);
    realtime.session_changed();
    let changed = now();
    server.expect("access_token").await;
    server.expect("access_token").await;
    assert_eq!(changed.elapsed(), Duration::ZERO);
    drop(server);
    session.set(1, 4);
    let mut server = Server::accept(&mut network).await;
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 4)), "fetched at join time");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_renewed_once_and_then_another_is_waited_for() {
    let session = Session::signed_in(1);
    let (builder, mut network) = over(client(&session));
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let expired = json!({"reason": "InvalidJWTToken: Token has expired 5 seconds ago"});
    for generation in 1..=2 {
        let join = server.expect("phx_join").await;
        assert_eq!(join.4["access_token"], json!(token(1, generation)));
        server.reply(&join, "error", expired.clone()).await;
    }
    let ChannelEvent::Refused(error) = news(&mut events).await else { panic!("not refused") };
    assert_eq!((error.code(), room.state()), (CHANNEL_UNAUTHENTICATED, ChannelState::Refused));
    assert_eq!(session.0.replaced.load(Ordering::SeqCst), 1, "auth never loops");
    session.set(1, 9);
    let join = server.join().await;
    assert_eq!(join.4["access_token"], json!(token(1, 9)));
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_the_server_closes_says_why_and_acts_by_it() {
    let session = Session::signed_in(1);
    let (builder, mut network) = over(client(&session));
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;

    let join = server.join().await;
    until_live(&mut events).await;
    server.say(system(&join, "system", "error", "Token has expired 2 seconds ago")).await;
    server.say(json!([join.0, join.0, ROOM, "phx_close", {}])).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Channel)));
    let join = server.join().await;
    assert_eq!(join.4["access_token"], json!(token(1, 2)), "renewed");
    until_live(&mut events).await;

    server.say(system(&join, "system", "error", "Too many messages per second")).await;
    server.say(json!([join.0, join.0, ROOM, "phx_close", {}])).await;
    let closed = now();
    let join = server.join().await;
    assert!(closed.elapsed() >= Duration::from_secs(30));
    until_live(&mut events).await;

    server.say(system(&join, "system", "error", "You no longer have permission to read from this topic")).await;
    server.say(json!([join.0, join.0, ROOM, "phx_close", {}])).await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Channel)));
    let ChannelEvent::Refused(error) = news(&mut events).await else { panic!("not refused") };
    assert_eq!((error.code(), room.state()), (CHANNEL_FORBIDDEN, ChannelState::Refused));
}

#[tokio::test(start_paused = true)]
async fn sign_out_and_a_change_of_user_leave_what_the_old_token_opened() {
    let session = Session::signed_in(1);
    let (builder, mut network) = over(client(&session));
    let realtime = builder.open();
    let private = realtime.channel(topic(ROOM)).config(JoinConfig::new().private()).open().await.unwrap();
    let mut events = private.events();
    let mut server = Server::accept(&mut network).await;
    let old = server.join().await;
    until_live(&mut events).await;

    session.set(2, 2);
    realtime.session_changed();
    let leave = server.expect("phx_leave").await;
    assert_eq!(leave.0, old.0);
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Rejoin)));
    // Frames of the old user that are still in flight reach nobody, with or without a join ref.
    server.say(json!([old.0, null, ROOM, "shout", {"of": 1}])).await;
    server.say(json!([null, null, ROOM, "shout", {"of": 1}])).await;
    server.reply(&leave, "ok", json!({})).await;
    let new = server.join().await;
    assert_eq!(new.4["access_token"], json!(token(2, 2)));
    server.say(json!([null, null, ROOM, "shout", {"of": 2}])).await;
    assert_eq!(message(&mut events).await.1, json!({"of": 2}));

    session.set(0, 0);
    realtime.session_changed();
    server.expect("phx_leave").await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Rejoin)));
    assert!(matches!(news(&mut events).await, ChannelEvent::Refused(_)));
    assert_eq!(private.state(), ChannelState::Refused);
    session.set(1, 5);
    realtime.session_changed();
    assert_eq!(server.join().await.4["access_token"], json!(token(1, 5)));
}

#[tokio::test(start_paused = true)]
async fn a_join_limit_of_the_server_holds_the_whole_connection_back() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, _events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.expect("phx_join").await;
    let reason = json!({"reason": "ClientJoinRateLimitReached: Too many joins per second"});
    server.reply(&join, "error", reason).await;
    let refused = now();
    server.peer.close(cloud_realtime::socket::CloseReason::new(1001, "")).await;
    let mut server = Server::accept(&mut network).await;
    assert!(refused.elapsed() >= Duration::from_secs(30));
    server.join().await;
    assert_eq!(LIMITED.as_str(), "realtime.rate_limited");
}

#[tokio::test(start_paused = true)]
async fn r06_at_most_ten_joins_go_out_in_any_second_and_four_at_once() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let mut channels = Vec::new();
    for n in 0..45 {
        channels.push(open(&realtime, &format!("realtime:{n}")).await);
    }
    let mut server = Server::accept(&mut network).await;
    let mut joins = Vec::new();
    for _ in 0..4 {
        joins.push(server.expect("phx_join").await);
    }
    assert!(tokio::time::timeout(Duration::from_secs(9), server.next()).await.is_err(), "a fifth join");
    let mut at = Vec::new();
    for join in &joins {
        server.reply(join, "ok", json!({})).await;
    }
    for _ in 4..45 {
        server.join().await;
        at.push(now());
    }
    for (n, first) in at.iter().enumerate() {
        let within = at.iter().skip(n).filter(|time| time.duration_since(*first) < Duration::from_secs(1)).count();
        assert!(within <= 10, "{within} joins within a second");
    }
    assert!(realtime.watch_status().until(|status| status.live_channels == 45).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn r08_a_slow_listener_is_told_how_much_it_missed_and_holds_nobody_up() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut quick) = open(&realtime, ROOM).await;
    let mut slow = room.events();
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut quick).await;
    for n in 0..2_000 {
        server.say(json!([join.0, null, ROOM, "n", n])).await;
        assert_eq!(message(&mut quick).await.1, json!(n));
    }
    let Some(ChannelEvent::Lagged { missed }) = slow.next().await else { panic!("not told") };
    assert_eq!(missed, 2_000 - 1_024);
    assert!(matches!(slow.next().await, Some(ChannelEvent::Joined(_))), "the ids of its rows are in it");
    assert!(matches!(slow.next().await, Some(ChannelEvent::Live)));
    assert_eq!(message(&mut slow).await.1, json!(2_000 - 1_024));

    // By size: nine messages of a mebibyte.
    while slow.try_next().is_some() {}
    let large = "x".repeat(1024 * 1024);
    for _ in 0..9 {
        server.say(json!([join.0, null, ROOM, "large", large])).await;
        message(&mut quick).await;
    }
    assert!(matches!(slow.next().await, Some(ChannelEvent::Lagged { missed: 2 })));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_forgets_is_sent_after_every_join_before_anything_else() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    room.set_after_join(Some(Push::json("presence", &json!({"event": "track"})).unwrap())).await.unwrap();
    let serve = async {
        for _ in 0..2 {
            let mut server = Server::accept(&mut network).await;
            let join = server.join().await;
            assert_eq!(server.expect("presence").await.0, join.0);
        }
    };
    tokio::join!(serve, until_live(&mut events));
}
