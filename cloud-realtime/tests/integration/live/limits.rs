//! Whatever limit the server names, and however: nothing is tried again within half a minute, whoever asks (R14).
use cloud_realtime::{
    Push,
    socket::{CloseReason, ConnectError},
    status::ConnectionState,
};

use super::*;

const ROOM: &str = "realtime:room";
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// Wakes all the time, as an impatient host does, until `done`.
async fn impatiently<T>(realtime: &cloud_realtime::Realtime, done: impl Future<Output = T>) -> T {
    tokio::pin!(done);
    loop {
        match tokio::time::timeout(Duration::from_millis(700), &mut done).await {
            Ok(done) => return done,
            Err(_) => {
                realtime.wake();
                realtime.reconnect();
                realtime.session_changed();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r14_no_join_comes_within_half_a_minute_of_a_limit_that_closed_the_channel() {
    for words in ["Too many messages per second", "Client presence rate limit exceeded", "Too many presence messages"] {
        for ends_with in ["phx_close", "phx_error", "socket"] {
            let (builder, mut network) = builder();
            let realtime = builder.open();
            let (_room, mut events) = open(&realtime, ROOM).await;
            let mut server = Server::accept(&mut network).await;
            let join = server.join().await;
            until_live(&mut events).await;
            let system = json!({"extension": "system", "status": "error", "message": words});
            server.say(json!([join.0, null, ROOM, "system", system])).await;
            let told = now();
            if ends_with == "socket" {
                server.peer.close(CloseReason::new(1001, "")).await;
                server = impatiently(&realtime, Server::accept(&mut network)).await;
            } else {
                server.say(json!([join.0, join.0, ROOM, ends_with, {}])).await;
            }
            impatiently(&realtime, server.join()).await;
            assert!(told.elapsed() >= HALF_A_MINUTE, "{words}, {ends_with}: {:?}", told.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r14_no_join_comes_within_half_a_minute_of_one_that_was_refused_for_a_limit() {
    for reason in [
        "ChannelRateLimitReached: Too many channels",
        "ConnectionRateLimitReached: Too many connected users",
        "ClientJoinRateLimitReached: Too many joins per second",
        "too many channels joined",
    ] {
        let (builder, mut network) = builder();
        let realtime = builder.open();
        let (_room, _events) = open(&realtime, ROOM).await;
        let mut server = Server::accept(&mut network).await;
        let join = server.expect("phx_join").await;
        server.reply(&join, "error", json!({ "reason": reason })).await;
        let told = now();
        impatiently(&realtime, server.join()).await;
        assert!(told.elapsed() >= HALF_A_MINUTE, "{reason}: {:?}", told.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn r14_no_attempt_comes_within_half_a_minute_of_a_close_or_a_refusal_that_names_a_limit() {
    for code in [1013, 4429] {
        let (builder, mut network) = builder();
        let realtime = builder.open();
        let (_room, mut events) = open(&realtime, ROOM).await;
        let mut server = Server::accept(&mut network).await;
        server.join().await;
        until_live(&mut events).await;
        server.peer.close(CloseReason::new(code, "")).await;
        let told = now();
        let attempt = impatiently(&realtime, network.next_attempt()).await.unwrap();
        assert!(told.elapsed() >= HALF_A_MINUTE, "{code}: {:?}", told.elapsed());
        attempt.refuse(ConnectError::refused(429, "{}", None));
        let told = now();
        impatiently(&realtime, network.next_attempt()).await.unwrap();
        assert!(told.elapsed() >= HALF_A_MINUTE, "429: {:?}", told.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn r14_the_close_counts_that_the_server_sent_while_the_client_was_writing() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    // After frames it is the turn of a request, and the close behind them is not read before it.
    let push = room.send(Push::json("n", &json!({})).unwrap());
    let close = async {
        for n in 0..40 {
            server.say(json!([join.0, null, ROOM, "n", n])).await;
        }
        server.peer.close(CloseReason::new(1013, "")).await;
    };
    let ((), _) = tokio::join!(close, push);
    let status = realtime.watch_status().until(|status| status.connection == ConnectionState::Backoff).await.unwrap();
    let told = now();
    assert_eq!(status.last_error.unwrap().server_code(), Some("1013"));
    network.next_attempt().await.unwrap();
    assert!(told.elapsed() >= Duration::from_secs(29), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r14_a_close_over_credentials_is_not_answered_at_once_whoever_is_impatient() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, _events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    for _ in 0..10 {
        server.peer.close(CloseReason::new(4401, "")).await;
        let told = now();
        server = impatiently(&realtime, Server::accept(&mut network)).await;
        assert!(told.elapsed() >= Duration::from_secs(5), "{:?}", told.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn r14_a_limit_counts_that_the_server_told_just_before_it_closed_while_the_client_was_writing() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    let (_two, _) = open(&realtime, "realtime:two").await;
    let second = server.expect("phx_join").await;
    let push = room.send(Push::json("n", &json!({})).unwrap());
    let close = async {
        for n in 0..40 {
            server.say(json!([join.0, null, ROOM, "n", n])).await;
        }
        let reason = json!({"reason": "ClientJoinRateLimitReached: Too many joins per second"});
        server.reply(&second, "error", reason).await;
        server.peer.close(CloseReason::new(1001, "")).await;
    };
    let ((), _) = tokio::join!(close, push);
    realtime.watch_status().until(|status| status.connection == ConnectionState::Backoff).await.unwrap();
    let told = now();
    network.next_attempt().await.unwrap();
    assert!(told.elapsed() >= Duration::from_secs(29), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_old_reason_says_nothing_about_the_end_of_a_socket_long_after_it() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    let system = json!({"extension": "system", "status": "error", "message": "Too many messages per second"});
    server.say(json!([join.0, null, ROOM, "system", system])).await;
    // The channel stays open, and its connection is lost much later.
    let said = tokio::time::timeout(Duration::from_secs(60), server.next()).await;
    assert!(said.is_err(), "nothing but heartbeats, which are answered: {said:?}");
    server.peer.close(CloseReason::new(1001, "")).await;
    let lost = now();
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    assert!(lost.elapsed() < HALF_A_MINUTE, "{:?}", lost.elapsed());
}
