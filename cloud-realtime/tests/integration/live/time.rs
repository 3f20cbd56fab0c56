//! Heartbeats, silence, sleep, and the host's wishes for the connection.
use cloud_realtime::{channel::GapCause, codes::HEARTBEAT_LOST, status::ConnectionState};

use super::*;

fn sleeper() -> (RealtimeBuilder, FakeServer, Sleeper) {
    let sleeper = Sleeper::default();
    let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap();
    let (builder, server) = over(client.random(Random::seeded(7)).clock(sleeper.shared()).build());
    (builder, server, sleeper)
}

#[tokio::test(start_paused = true)]
async fn r05_a_server_that_freezes_is_left_within_35_seconds() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, "room:9").await;
    let mut frozen = Server::accept(&mut network).await;
    frozen.join().await;
    until_live(&mut events).await;
    let live = now();
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Connection)));
    assert_eq!(live.elapsed(), Duration::from_secs(35));
    let status = realtime.watch_status().until(|status| status.connection == ConnectionState::Backoff).await.unwrap();
    assert_eq!(status.last_error.unwrap().code(), HEARTBEAT_LOST);
    // The TCP connection is still there; the new socket is used all the same.
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    drop(frozen);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_out_every_25_seconds_under_constant_traffic() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    let (mut beats, start) = (Vec::new(), now());
    while beats.len() < 4 {
        let frame = tokio::time::timeout(Duration::from_millis(200), server.peer.receive()).await;
        if let Ok(Received::Frame(Frame::Text(text))) = frame {
            let beat: Wire = serde_json::from_str(&text).unwrap();
            assert_eq!((beat.0, beat.2.as_str(), beat.3.as_str()), (Value::Null, "phoenix", "heartbeat"));
            server.say(json!([null, beat.1, "phoenix", "phx_reply", {"status": "ok", "response": {}}])).await;
            beats.push(start.elapsed().as_secs());
        }
        server.say(json!([join.0, null, "room:9", "n", 1])).await;
        message(&mut events).await;
    }
    assert_eq!(beats, [25, 50, 75, 100]);
}

#[tokio::test(start_paused = true)]
async fn three_joins_that_take_five_seconds_each_are_no_death() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_a, mut events) = open(&realtime, "a").await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    // 24 s later three joins arrive, and the server answers nothing else before it has refused them all.
    assert!(tokio::time::timeout(Duration::from_secs(24), events.next()).await.is_err());
    let mut channels = Vec::new();
    for name in ["b", "c", "d"] {
        channels.push(open(&realtime, name).await);
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        let join = server.expect("phx_join").await;
        assert!(tokio::time::timeout(Duration::from_secs(5), events.next()).await.is_err(), "declared dead");
        server.reply(&join, "ok", json!({})).await;
        order.push(join.2);
    }
    assert_eq!(order, ["b", "c", "d"]);
    assert!(realtime.watch_status().until(|status| status.live_channels == 4).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn r10_after_a_sleep_the_connection_is_new_within_five_seconds() {
    for state in ["open", "backoff", "joining"] {
        let (builder, mut network, sleeper) = sleeper();
        let realtime = builder.open();
        let (_room, mut events) = open(&realtime, "room:9").await;
        let mut server = Server::accept(&mut network).await;
        let mut kept = None;
        match state {
            "joining" => {
                server.expect("phx_join").await;
                kept = Some(server);
            }
            "backoff" => {
                drop(server);
                for _ in 0..10 {
                    let attempt = network.next_attempt().await.unwrap();
                    attempt.refuse(cloud_realtime::socket::ConnectError::refused(500, "", None));
                }
                let waits = |status: &cloud_realtime::status::Status| status.connection == ConnectionState::Backoff;
                realtime.watch_status().until(waits).await.unwrap();
            }
            _ => {
                server.join().await;
                until_live(&mut events).await;
                kept = Some(server);
            }
        }
        sleeper.sleep_for(8 * 3_600);
        let woke = now();
        let mut server = Server::accept(&mut network).await;
        assert!(woke.elapsed() <= Duration::from_secs(5), "{state}: {:?}", woke.elapsed());
        server.join().await;
        until_live(&mut events).await;
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn r05_after_a_short_sleep_the_socket_is_tested_and_kept_if_it_answers() {
    let (builder, mut network, sleeper) = sleeper();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    sleeper.sleep_for(20);
    let woke = now();
    let Received::Frame(Frame::Text(beat)) = server.peer.receive().await else { panic!("no heartbeat") };
    let beat: Wire = serde_json::from_str(&beat).unwrap();
    assert!(woke.elapsed() <= Duration::from_secs(2));
    server.say(json!([null, beat.1, "phoenix", "phx_reply", {"status": "ok", "response": {}}])).await;
    assert!(tokio::time::timeout(Duration::from_secs(20), events.next()).await.is_err(), "kept");

    sleeper.sleep_for(20);
    let woke = now();
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Connection)));
    assert!(woke.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn disconnect_holds_until_reconnect_and_channels_stay_wanted() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
    realtime.disconnect();
    assert!(matches!(news(&mut events).await, ChannelEvent::Gap(GapCause::Connection)));
    assert!(server.next().await.is_none(), "the socket is closed");
    realtime.wake();
    realtime.session_changed();
    assert!(tokio::time::timeout(LONG, network.next_attempt()).await.is_err(), "no attempt in an hour");
    assert_eq!(realtime.status().connection, ConnectionState::Disconnected);
    realtime.reconnect();
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn d01_without_a_channel_there_is_no_socket_and_an_unused_one_is_closed() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    assert!(tokio::time::timeout(LONG, network.next_attempt()).await.is_err());
    let (room, _events) = open(&realtime, "room:9").await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    let (_, leave) = tokio::join!(room.leave(), async {
        let leave = server.expect("phx_leave").await;
        server.reply(&leave, "ok", json!({})).await;
        now()
    });
    assert!(server.next().await.is_none());
    assert_eq!(leave.elapsed(), Duration::from_secs(50));
    assert_eq!(realtime.status().connection, ConnectionState::Idle);
}
