//! Cases that every Phoenix server brings up: joins, replies, closes, crashes, limits of pushes.
use cloud_client::{ErrorCode, error::codes::CLOSED};
use cloud_realtime::{
    Push,
    channel::GapCause,
    codec::{Content, Reply},
    codes::{
        CHANNEL_REFUSED, JOIN_TIMEOUT, PUSH_EXPIRED, PUSH_INVALID, PUSH_OVERFLOW, PUSH_TIMEOUT, PUSH_UNCERTAIN,
        TOPIC_TAKEN,
    },
    status::{ChannelState, ConnectionState},
};

use super::*;

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

fn value(reply: &Reply<'_>) -> Value {
    reply.response.decode().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_join_a_push_and_a_leave_are_answered_by_ref() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    assert_eq!(realtime.status().connection, ConnectionState::Idle);
    let payload = Content::json(&json!({"nick": "ann"})).unwrap();
    let room = realtime.channel(topic("room:9")).params(payload).open().await.unwrap();
    let mut events = room.events();
    let mut server = Server::accept(&mut server).await;
    let join = server.join().await;
    assert_eq!((&join.0, join.2.as_str(), &join.4), (&join.1, "room:9", &json!({"nick": "ann"})));
    until_live(&mut events).await;

    // Two pushes, answered the wrong way round.
    let answers =
        async { tokio::join!(room.push(Push::json("a", &1).unwrap()), room.push(Push::json("b", &2).unwrap())) };
    let serve = async {
        let (first, second) = (server.next().await.unwrap(), server.next().await.unwrap());
        assert_eq!((&first.0, &second.0), (&join.0, &join.0), "the join ref is on every push");
        server.reply(&second, "ok", json!("second")).await;
        server.reply(&first, "busy", json!(["first"])).await;
        server
    };
    let ((first, second), mut server) = tokio::join!(answers, serve);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((&*first.status, value(&first)), ("busy", json!(["first"])));
    assert_eq!((second.is_ok(), value(&second)), (true, json!("second")));

    drop(room);
    let leave = server.expect("phx_leave").await;
    assert_eq!(leave.0, join.0);
    server.reply(&leave, "ok", json!({})).await;
    assert!(events.next().await.is_none(), "the events of a channel that was left are over");
    assert!(realtime.close(Duration::from_secs(1)).await);
    assert_eq!(realtime.status().connection, ConnectionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn pushes_wait_for_the_join_and_go_out_once_in_order() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, _events) = open(&realtime, "room:9").await;
    let sends = async {
        for n in 0..3 {
            room.send(Push::json("n", &n).unwrap()).await.unwrap();
        }
    };
    let serve = async {
        let mut server = Server::accept(&mut server).await;
        server.join().await;
        for n in 0..3 {
            assert_eq!(server.expect("n").await.4, json!(n));
        }
    };
    tokio::join!(sends, serve);
}

#[tokio::test(start_paused = true)]
async fn a_push_has_a_limit_of_time_and_the_queue_one_of_length() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, _events) = open(&realtime, "room:9").await;
    // Nobody opens the socket: what waits expires and is never sent.
    let started = now();
    assert_eq!(code(room.send(Push::json("early", &1).unwrap()).await), Some(PUSH_EXPIRED));
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    let waiting: Vec<_> = (0..100).map(|n| room.push(Push::json("n", &n).unwrap())).collect();
    let (waiting, overflow) =
        tokio::join!(futures::future::join_all(waiting), room.push(Push::json("n", &100).unwrap()));
    assert!(waiting.into_iter().all(|result| code(result) == Some(PUSH_EXPIRED)));
    assert_eq!(code(overflow), Some(PUSH_OVERFLOW));
    let large = || room.push(Push::binary("n", vec![0; 3 * 1024 * 1024]));
    let (first, second, third) = tokio::join!(large(), large(), large());
    let codes = [first, second, third].map(code);
    assert_eq!(codes, [Some(PUSH_EXPIRED), Some(PUSH_EXPIRED), Some(PUSH_OVERFLOW)], "8 MiB may wait");

    // The first attempts were given up meanwhile.
    let (mut server, join) = loop {
        let mut server = Server::accept(&mut server).await;
        if let Some(join) = server.next().await {
            break (server, join);
        }
    };
    server.reply(&join, "ok", json!({})).await;
    let (answer, sent) = tokio::join!(room.push(Push::json("late", &2).unwrap()), server.next());
    assert_eq!(sent.unwrap().3, "late", "what had expired was not sent");
    assert_eq!(code(answer), Some(PUSH_TIMEOUT));
    let long = Push::binary("e".repeat(256), vec![1]);
    assert_eq!(code(room.push(long).await), Some(PUSH_INVALID));
}

#[tokio::test(start_paused = true)]
async fn r01_r02_a_lost_connection_is_a_gap_and_everything_is_joined_again() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let (_hall, mut others) = open(&realtime, "hall").await;
    let mut first = Server::accept(&mut server).await;
    let old = first.join().await;
    first.join().await;
    until_live(&mut events).await;
    until_live(&mut others).await;
    assert!(realtime.watch_status().until(|status| status.is_live()).await.is_some());

    let unanswered = async {
        let (answer, ()) = tokio::join!(room.push(Push::json("ask", &1).unwrap()), async {
            first.expect("ask").await;
            drop(first);
        });
        code(answer)
    };
    assert_eq!(unanswered.await, Some(PUSH_UNCERTAIN));
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Connection)));
    assert!(!realtime.status().is_live());
    let lost = now();
    let mut second = Server::accept(&mut server).await;
    assert!(lost.elapsed() <= Duration::from_secs(5), "a connection that was lost is spread over 5 s");
    let new = second.join().await;
    second.join().await;
    assert_ne!(old.0, new.0, "a new instance has a new join ref");
    until_live(&mut events).await;

    // R4: what is still on its way for the old instance reaches nobody.
    second.say(json!([old.0, null, "room:9", "shout", {"n": 1}])).await;
    second.say(json!([old.0, old.0, "room:9", "phx_close", {}])).await;
    second.say(json!([new.0, null, "room:9", "shout", {"n": 2}])).await;
    assert_eq!(message(&mut events).await, ("shout".to_owned(), json!({"n": 2})));
    assert_eq!(room.state(), ChannelState::Live);
    assert_eq!(realtime.status().stale_messages, 2);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_crashes_or_is_closed_by_the_server_is_joined_again() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    let mut join = server.join().await;
    until_live(&mut events).await;
    for end in ["phx_error", "phx_close"] {
        server.say(json!([join.0, join.0, "room:9", end, {}])).await;
        assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Channel)), "{end}");
        // What is asked for meanwhile is sent once, afterwards.
        let (sent, next) = tokio::join!(room.send(Push::json("meanwhile", &1).unwrap()), async {
            let join = server.join().await;
            server.expect("meanwhile").await;
            join
        });
        sent.unwrap();
        assert_ne!(join.0, next.0);
        join = next;
        until_live(&mut events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_join_is_told_or_tried_again_by_its_reason() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    let join = server.expect("phx_join").await;
    server.reply(&join, "error", json!({"reason": "join crashed"})).await;
    let join = server.expect("phx_join").await;
    server.say(json!([null, join.1, "room:9", "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}}])).await;
    let ChannelEvent::Refused(error) = news(&mut events).await else { panic!("not refused") };
    assert_eq!((error.code(), error.detail()), (CHANNEL_REFUSED, Some("unmatched topic")));
    assert_eq!(room.state(), ChannelState::Refused);
    room.configure_params(Content::empty_object(), cloud_realtime::channel::Rejoin::Now).await.unwrap();
    server.join().await;
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_join_without_an_answer_is_taken_back_and_its_late_answer_ignored() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    let join = server.expect("phx_join").await;
    let asked = now();
    let leave = server.expect("phx_leave").await;
    assert_eq!((leave.0, asked.elapsed()), (join.0.clone(), Duration::from_secs(15)));
    server.reply(&join, "ok", json!({})).await;
    server.say(json!([join.0, join.0, "room:9", "phx_close", {}])).await;
    let again = server.join().await;
    assert_ne!(join.0, again.0);
    until_live(&mut events).await;
    assert_eq!((room.state(), JOIN_TIMEOUT.as_str()), (ChannelState::Live, "realtime.join_timeout"));
}

#[tokio::test(start_paused = true)]
async fn r04_on_version_1_the_close_of_the_old_instance_spares_the_new() {
    let (builder, mut server) = builder();
    let realtime = builder.version(cloud_realtime::Version::V1).open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let attempt = server.next_attempt().await.unwrap();
    assert!(attempt.request().url().query().unwrap().contains("vsn=1.0.0"));
    let mut peer = attempt.accept();
    let mut refs = Vec::new();
    for instance in 1..=2 {
        let Received::Frame(Frame::Text(text)) = peer.receive().await else { panic!("no join") };
        let join: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&join["event"], &join["join_ref"]), (&json!("phx_join"), &join["ref"]));
        let reply = json!({"topic": "room:9", "event": "phx_reply", "ref": join["ref"], "payload": {"status": "ok", "response": {}}});
        peer.send(Frame::text(reply.to_string())).await.unwrap();
        until_live(&mut events).await;
        refs.push(join["ref"].clone());
        let close = json!({"topic": "room:9", "event": "phx_close", "ref": refs[0], "payload": {}});
        peer.send(Frame::text(close.to_string())).await.unwrap();
        if instance == 1 {
            assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Channel)));
        }
    }
    let shout = json!({"topic": "room:9", "event": "shout", "ref": null, "payload": {"n": 1}});
    peer.send(Frame::text(shout.to_string())).await.unwrap();
    assert_eq!(message(&mut events).await.0, "shout");
    assert_eq!(room.state(), ChannelState::Live);
}

#[tokio::test(start_paused = true)]
async fn r13_garbage_of_the_server_costs_nothing_but_itself() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    let join = server.join().await;
    for garbage in ["", "{", "[]", "[1,2,3,4]", "{\"topic\":1}", "null"] {
        server.peer.send(Frame::text(garbage)).await.unwrap();
    }
    server.peer.send(Frame::Binary(vec![9, 9].into())).await.unwrap();
    for strange in [
        json!([null, null, "room:unknown", "shout", {}]),
        json!([null, "999", "room:9", "phx_reply", {"status": "ok", "response": null}]),
        json!([null, "999", "room:9", "phx_reply", "nonsense"]),
        json!(["999", "999", "room:9", "phx_error", {}]),
        json!([join.0, null, "room:9", "shout", "a string"]),
    ] {
        server.say(strange).await;
    }
    assert_eq!(message(&mut events).await, ("shout".to_owned(), json!("a string")));
    let status = realtime.watch_status().until(|status| status.unreadable_frames == 7).await.unwrap();
    assert_eq!((status.connection, room.state()), (ConnectionState::Open, ChannelState::Live));
}

#[tokio::test(start_paused = true)]
async fn one_topic_has_one_channel_and_a_new_one_waits_for_the_leave() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    assert_eq!(code(realtime.channel(topic("room:9")).open().await), Some(TOPIC_TAKEN));
    let mut server = Server::accept(&mut server).await;
    server.join().await;
    until_live(&mut events).await;
    let clone = room.clone();
    drop(room);
    assert_eq!(clone.state(), ChannelState::Live, "a clone keeps the channel");
    let (_again, leave) = tokio::join!(
        async {
            drop(clone);
            // The handle's end is noticed before the next request.
            open(&realtime, "room:9").await
        },
        server.expect("phx_leave")
    );
    server.reply(&leave, "ok", json!({})).await;
    let join = server.join().await;
    assert_ne!(join.0, leave.0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_answers_in_any_order_find_their_pushes() {
    const PUSHES: usize = 10_000;
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    server.join().await;
    until_live(&mut events).await;
    let ask = |n: usize| room.push(Push::json("n", &n).unwrap().within(LONG));
    let serve = async {
        let mut asked = Vec::new();
        while asked.len() < PUSHES {
            asked.push(server.expect("n").await);
        }
        let refs: std::collections::HashSet<_> = asked.iter().map(|wire| wire.1.to_string()).collect();
        assert_eq!(refs.len(), PUSHES, "no ref twice");
        fastrand::Rng::with_seed(1).shuffle(&mut asked);
        for wire in &asked {
            server.reply(wire, "ok", wire.4.clone()).await;
        }
    };
    let (answers, ()) = tokio::join!(futures::future::join_all((0..PUSHES).map(ask)), serve);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(value(&answer.unwrap()), json!(n));
    }
}

#[tokio::test(start_paused = true)]
async fn h01_close_ends_everything_and_says_so_to_all_who_wait() {
    let (builder, mut server) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut server).await;
    server.join().await;
    until_live(&mut events).await;
    let asking = room.push(Push::json("ask", &1).unwrap());
    let (answer, closed) = tokio::join!(asking, async {
        server.expect("ask").await;
        realtime.close(Duration::from_secs(1)).await
    });
    assert!(closed);
    assert!(matches!(code(answer), Some(PUSH_UNCERTAIN | CLOSED)));
    assert!(events.next().await.is_none());
    assert_eq!(room.state(), ChannelState::Left);
    assert_eq!(code(room.send(Push::json("late", &1).unwrap()).await), Some(CLOSED));
    assert!(server.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn r02_a_channel_that_the_server_does_not_know_any_more_is_joined_anew() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    let (reply, ()) = tokio::join!(room.push(Push::json("echo", &json!({})).unwrap()), async {
        let push = server.expect("echo").await;
        server.say(json!([null, push.1, "room:9", "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}}])).await;
    });
    assert!(!reply.unwrap().is_ok());
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(cloud_realtime::channel::GapCause::Channel)));
    assert_ne!(server.join().await.0, join.0);
    until_live(&mut events).await;
}
