//! The own presence over rejoins, within the budget and refused; who is there, for whoever comes late or reads slowly.
use cloud_realtime::{
    Push,
    codes::{PRESENCE_REFUSED, PUSH_INVALID, PUSH_TIMEOUT},
    join::{ChangesRequest, JoinConfig, RowEvent},
    presence::{Members, PresenceEvent, Tracker},
    status::ChannelState,
};

use super::*;

const ROOM: &str = "realtime:room";

async fn room(realtime: &cloud_realtime::Realtime, config: JoinConfig) -> (Channel, Events) {
    realtime.channel(topic(ROOM)).config(config.presence("me")).listen().await.unwrap()
}

fn one(phx_ref: &str) -> Value {
    json!({"k": {"metas": [{ "phx_ref": phx_ref }]}})
}

/// The next presence call: what is told, and the message to answer.
async fn told(server: &mut Server) -> (Value, Wire) {
    let call = server.expect("presence").await;
    assert_eq!(call.4["type"], "presence");
    let told = match call.4["event"].as_str().unwrap() {
        "track" => call.4["payload"].clone(),
        other => json!(other),
    };
    (told, call)
}

#[tokio::test(start_paused = true)]
async fn r11_the_own_presence_is_told_after_every_join_before_live_and_before_every_push() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let rows = ChangesRequest::table(RowEvent::ANY, "public", "messages");
    let (room, mut events) = room(&realtime, JoinConfig::new().changes(rows)).await;
    let tracker = Tracker::of(&room);
    tracker.track(&json!({"n": 0})).unwrap();
    tracker.track(&json!({"n": 1})).unwrap();
    room.set_after_join(Some(Push::json("mine", &json!({})).unwrap())).await.unwrap();
    for _ in 0..3 {
        let serve = async {
            let mut server = Server::accept(&mut network).await;
            let join = server.join().await;
            let (told, call) = told(&mut server).await;
            assert_eq!((told, &call.0), (json!({"n": 1}), &join.0));
            server.expect("mine").await;
            server.expect("waited").await;
            assert_ne!(room.state(), ChannelState::Live, "the database is not ready, and the presence has been told");
            server.reply(&call, "ok", json!({})).await;
            let ready = json!({"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL"});
            server.say(json!([join.0, null, ROOM, "system", ready])).await;
            until_live(&mut events).await;
        };
        let (sent, ()) = tokio::join!(room.send(Push::json("waited", &json!({})).unwrap().within(LONG)), serve);
        sent.unwrap();
    }
    drop(tracker);
}

#[tokio::test(start_paused = true)]
async fn r11_joins_and_wishes_share_one_budget_of_five_calls_in_half_a_minute() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let tracker = Tracker::of(&room);
    let mut at = Vec::new();
    let mut n = 0;
    tracker.track(&json!({ "n": n })).unwrap();
    while at.len() < 20 {
        let mut server = Server::accept(&mut network).await;
        server.join().await;
        until_live(&mut events).await;
        // After every join two wishes more, and then the connection is lost.
        for _ in 0..3 {
            let (told, call) = told(&mut server).await;
            at.push(now());
            assert_eq!(told, json!({ "n": n }), "only the newest");
            server.reply(&call, "ok", json!({})).await;
            for _ in 0..2 {
                n += 1;
                tracker.track(&json!({ "n": n })).unwrap();
            }
        }
        drop(server);
    }
    for (first, sixth) in at.iter().zip(at.iter().skip(5)) {
        assert!(sixth.duration_since(*first) >= Duration::from_secs(30), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r11_a_refused_presence_is_told_to_the_host_and_silence_is_made_good() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let tracker = Tracker::of(&room);
    tracker.track(&json!({"s": "on"})).unwrap();
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    let (_, call) = told(&mut server).await;
    server.reply(&call, "error", json!({"reason": "Presence track payload must be a map"})).await;
    until_refusal(&tracker, Some(PRESENCE_REFUSED)).await;
    assert!(tokio::time::timeout(Duration::from_secs(20), server.next()).await.is_err(), "the same is not told again");

    tracker.track(&json!({"s": "off"})).unwrap();
    told(&mut server).await;
    let asked = now();
    let (again, call) = told(&mut server).await;
    assert_eq!(
        (again, asked.elapsed()),
        (json!({"s": "off"}), Duration::from_secs(20)),
        "10 s for the answer, 10 more"
    );
    until_refusal(&tracker, Some(PUSH_TIMEOUT)).await;
    server.reply(&call, "ok", json!({})).await;
    until_refusal(&tracker, None).await;

    for wrong in [json!(1), json!([]), json!({"x": "y".repeat(5_000_000)})] {
        assert_eq!(tracker.track(&wrong).unwrap_err().code(), PUSH_INVALID);
    }
}

async fn until_refusal(tracker: &Tracker, wanted: Option<cloud_client::ErrorCode>) {
    for _ in 0..10_000 {
        if tracker.refusal().map(|error| error.code()) == wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?}, not {wanted:?}", tracker.refusal());
}

#[tokio::test(start_paused = true)]
async fn a_presence_that_the_server_closes_the_channel_over_is_not_told_again() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let tracker = Tracker::of(&room);
    tracker.track(&json!({"s": "much"})).unwrap();
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    told(&mut server).await;
    let words = "Track message size exceeded";
    server
        .say(json!([join.0, null, ROOM, "system", {"extension": "system", "status": "error", "message": words}]))
        .await;
    server.say(json!([join.0, join.0, ROOM, "phx_close", {}])).await;
    server.join().await;
    until_live(&mut events).await;
    until_live(&mut events).await;
    assert!(tokio::time::timeout(Duration::from_secs(50), server.next()).await.is_err(), "told again");
    let error = tracker.refusal().unwrap();
    assert_eq!((error.code(), error.detail()), (PRESENCE_REFUSED, Some(words)));
    tracker.track(&json!({"s": "little"})).unwrap();
    assert_eq!(told(&mut server).await.0, json!({"s": "little"}));
}

#[tokio::test(start_paused = true)]
async fn the_newest_wish_counts_and_a_dropped_tracker_takes_back_only_its_own() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let (first, second) = (Tracker::of(&room), Tracker::of(&room));
    first.track(&json!({"of": 1})).unwrap();
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    let (seen, call) = told(&mut server).await;
    assert_eq!(seen, json!({"of": 1}));
    server.reply(&call, "ok", json!({})).await;
    second.track(&json!({"of": 2})).unwrap();
    let (seen, call) = told(&mut server).await;
    assert_eq!(seen, json!({"of": 2}));
    server.reply(&call, "ok", json!({})).await;
    drop(first);
    assert!(tokio::time::timeout(Duration::from_secs(20), server.next()).await.is_err());
    // The channel lives on without the tracker.
    drop(second);
    assert_eq!(told(&mut server).await.0, json!("untrack"));
    assert_eq!(room.state(), ChannelState::Live);
}

#[tokio::test(start_paused = true)]
async fn r11_whoever_listens_late_or_reads_slowly_knows_who_is_there() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let slow = Members::<Value>::of(&room);
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    server.say(json!([join.0, null, ROOM, "presence_state", one("R1")])).await;
    server.say(json!([null, null, ROOM, "presence_diff", {"joins": one("R2"), "leaves": one("R1")}])).await;
    for n in 0..2_000 {
        server.say(json!([null, null, ROOM, "n", n])).await;
    }
    while message(&mut events).await.1 != json!(1_999) {}
    for mut members in [slow, Members::of(&room)] {
        let synced = async { while !matches!(members.next().await, Some(PresenceEvent::Synced)) {} };
        tokio::time::timeout(LONG, synced).await.unwrap();
        assert_eq!(members.roster().of("k").collect::<Vec<_>>(), [&json!({"phx_ref": "R2"})]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_presence_asked_for_what_the_server_tells_of_it_is_not_kept() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    for n in 0..50 {
        server.say(json!([null, null, ROOM, "presence_diff", {"joins": one(&n.to_string()), "leaves": {}}])).await;
    }
    server.say(json!([join.0, null, ROOM, "n", 1])).await;
    while message(&mut events).await.0 != "n" {}
    let mut late = room.events();
    assert!(matches!(late.try_next(), Some(ChannelEvent::Joined(_))));
    assert!(matches!(late.try_next(), Some(ChannelEvent::Live)));
    assert!(late.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn r11_what_is_configured_while_a_join_is_on_its_way_changes_nothing_of_who_is_there() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.expect("phx_join").await;
    room.configure(JoinConfig::new(), cloud_realtime::channel::Rejoin::Later).await.unwrap();
    server.reply(&join, "ok", json!({})).await;
    server.say(json!([join.0, null, ROOM, "presence_state", one("R1")])).await;
    until_live(&mut events).await;
    message(&mut events).await;
    let mut late = Members::<Value>::of(&room);
    while !matches!(tokio::time::timeout(LONG, late.next()).await.unwrap().unwrap(), PresenceEvent::Synced) {}
    assert_eq!(late.roster().members().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_listens_to_a_channel_that_was_left_is_told_of_nothing_but_the_end() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = room(&realtime, JoinConfig::new()).await;
    let kept = room.clone();
    let serve = async {
        let mut server = Server::accept(&mut network).await;
        server.join().await;
        until_live(&mut events).await;
        server
    };
    let mut server = serve.await;
    let answer = async {
        let leave = server.expect("phx_leave").await;
        server.reply(&leave, "ok", json!({})).await;
    };
    tokio::join!(room.leave(), answer);
    assert!(kept.events().next().await.is_none());
}
