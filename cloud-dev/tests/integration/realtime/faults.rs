//! Limits, and what a test can do to sockets.

use std::time::Duration;

use cloud_dev::RealtimeOptions;
use serde_json::{Value, json};

use super::client::{Client, close, cloud, ok, system_error};
use crate::caller::Caller;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

async fn joined(caller: &Caller) -> Client {
    let mut client = Client::connect(caller).await;
    client.join_ok("1", "realtime:r", json!({ "config": { "broadcast": { "self": true, "ack": true } } })).await;
    client
}

fn broadcast(reference: &str) -> Value {
    json!(["1", reference, "realtime:r", "broadcast", { "type": "broadcast", "event": "e", "payload": {} }])
}

fn reason(reply: &Value) -> &str {
    reply["response"]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn limits_answer_with_the_service_s_own_words() {
    let caller = cloud(RealtimeOptions::default().max_channels(2)).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:1", json!({})).await;
    client.join_ok("2", "realtime:2", json!({})).await;
    assert_eq!(reason(&client.join("3", "realtime:3", json!({})).await), "ChannelRateLimitReached: Too many channels");

    let caller = cloud(RealtimeOptions::default().joins_per_second(1)).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:1", json!({})).await;
    assert_eq!(
        reason(&client.join("2", "realtime:2", json!({})).await),
        "ClientJoinRateLimitReached: Too many joins per second"
    );
    assert_eq!(client.closed().await, Some(1001));

    let caller = cloud(RealtimeOptions::default().messages_per_second(4)).await;
    let mut client = joined(&caller).await;
    for reference in ["2", "3"] {
        client.send(broadcast(reference)).await;
        client.json().await;
        client.expect(ok("1", reference, "realtime:r")).await;
    }
    client.send(broadcast("4")).await;
    client.expect(system_error("1", "realtime:r", "Too many messages per second")).await;
    client.expect(close("1", "realtime:r")).await;

    let caller = cloud(RealtimeOptions::default().private_only()).await;
    let mut client = Client::connect(&caller).await;
    let refused = client.join("1", "realtime:r", json!({})).await;
    assert_eq!(reason(&refused), "PrivateOnly: This project only allows private channels");
}

#[tokio::test]
async fn a_refused_join_holds_its_socket_for_the_penalty_unless_told_otherwise() {
    let options = RealtimeOptions::default().penalties(Duration::ZERO, Duration::from_millis(100));
    for (options, blocks) in [(options.clone(), true), (options.joins_do_not_block(), false)] {
        let caller = cloud(options).await;
        let mut client = Client::connect(&caller).await;
        client.send(json!(["1", "1", "realtime:", "phx_join", {}])).await;
        client.send(json!([null, "2", "phoenix", "heartbeat", {}])).await;
        let order = [client.json().await[1].clone(), client.json().await[1].clone()];
        assert_eq!(order, if blocks { ["1", "2"] } else { ["2", "1"] }.map(Value::from));
    }
}

#[tokio::test]
async fn a_refusal_that_ends_the_socket_is_heard_before_its_end() {
    let options = RealtimeOptions::default().joins_per_second(1).penalties(Duration::ZERO, Duration::from_millis(100));
    for options in [options.clone(), options.joins_do_not_block()] {
        let caller = cloud(options).await;
        let mut client = Client::connect(&caller).await;
        client.join_ok("1", "realtime:1", json!({})).await;
        let refused = client.join("2", "realtime:2", json!({})).await;
        assert_eq!(reason(&refused), "ClientJoinRateLimitReached: Too many joins per second");
        assert_eq!(client.closed().await, Some(1001));
    }
}

#[tokio::test]
async fn the_close_of_a_replaced_channel_waits_for_a_refusal_that_comes_late() {
    let options = RealtimeOptions::default().penalties(Duration::ZERO, Duration::from_millis(100));
    let caller = cloud(options.joins_do_not_block()).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", json!({})).await;
    let refused = client.join("2", "realtime:r", json!({ "access_token": "x" })).await;
    assert_eq!(refused["status"], "error");
    client.expect(close("1", "realtime:r")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_message_goes_out_as_long_as_the_rate_is_below_its_limit_however_many_hear_it() {
    let caller = cloud(RealtimeOptions::default().messages_per_second(3)).await;
    let mut room = Vec::new();
    for _ in 0..6 {
        room.push(joined(&caller).await);
    }
    let mut sender = room.pop().unwrap();
    sender.send(broadcast("2")).await;
    for client in &mut room {
        assert_eq!(client.json().await[3], "broadcast");
    }
    assert_eq!(sender.json().await[3], "broadcast");
    sender.expect(ok("1", "2", "realtime:r")).await;
    sender.send(broadcast("3")).await;
    sender.expect(system_error("1", "realtime:r", "Too many messages per second")).await;

    let caller = cloud(RealtimeOptions::default().messages_per_second(2)).await;
    let mut alone = Client::connect(&caller).await;
    alone.join_ok("1", "realtime:r", json!({ "config": { "broadcast": { "ack": true } } })).await;
    for reference in ["2", "3"] {
        alone.send(broadcast(reference)).await;
        alone.expect(ok("1", reference, "realtime:r")).await;
    }
    alone.send(broadcast("4")).await;
    alone.expect(system_error("1", "realtime:r", "Too many messages per second")).await;
}

#[tokio::test]
async fn times_that_no_clock_can_show_are_never() {
    let options = RealtimeOptions::default().channel_check(Duration::MAX).idle_limit(Duration::MAX);
    let caller = cloud(options.subscribe_delay(Duration::MAX)).await;
    let mut client = Client::connect(&caller).await;
    let wanted = json!({ "event": "*", "schema": "public", "table": "messages" });
    let reply = client.join("1", "realtime:r", json!({ "config": { "postgres_changes": [wanted] } })).await;
    assert_eq!(reply["status"], "ok");
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_socket_that_says_nothing_is_closed() {
    let caller = cloud(RealtimeOptions::default().idle_limit(Duration::from_millis(50))).await;
    let mut client = joined(&caller).await;
    assert_eq!(client.closed().await, Some(1000));
    assert!(caller.cloud.realtime().wait_for_sockets(0, SOON).await);
}

#[tokio::test]
async fn sockets_end_the_way_a_test_wants_it() {
    let caller = cloud(RealtimeOptions::default()).await;
    let control = caller.cloud.realtime();
    let mut client = joined(&caller).await;
    control.cut();
    assert_eq!(client.closed().await, None);
    for code in [1000, 1001, 1002, 1009, 1011, 1012, 4000] {
        let mut client = joined(&caller).await;
        control.close(code);
        assert_eq!(client.closed().await, Some(code));
    }
    let mut client = joined(&caller).await;
    control.drain();
    assert_eq!(client.json().await[4]["message"], "Server requested disconnect");
    assert_eq!(client.closed().await, Some(1012));
    assert!(control.wait_for_sockets(0, SOON).await);
    control.refuse_upgrades(429, 1);
    let query = format!("?apikey={}", caller.cloud.publishable_key());
    assert_eq!(Client::try_connect(&caller, "/realtime/v1/websocket", &query).await.err().unwrap().status(), 429);
    let mut client = joined(&caller).await;
    caller.cloud.shutdown().await;
    assert_eq!(client.closed().await, Some(1012));
}

#[tokio::test]
async fn a_frozen_server_reads_and_never_answers_and_what_got_lost_is_noticed() {
    let caller = cloud(RealtimeOptions::default()).await;
    let control = caller.cloud.realtime();
    let mut client = joined(&caller).await;
    let mut quiet = Client::connect(&caller).await;
    quiet.expect_nothing().await;
    control.freeze();
    client.send(broadcast("2")).await;
    let silence = tokio::time::timeout(Duration::from_millis(100), client.frame()).await;
    assert!(silence.is_err(), "{silence:?}");
    control.thaw();
    assert_eq!(client.closed().await, None, "a socket with a gap does not go on");
    quiet.expect_nothing().await; // one that missed nothing does
}

#[tokio::test]
async fn frames_and_replies_get_lost_or_late() {
    let caller = cloud(RealtimeOptions::default()).await;
    let control = caller.cloud.realtime();
    let mut client = joined(&caller).await;
    let heartbeat = |reference: &str| json!([null, reference, "phoenix", "heartbeat", {}]);
    control.drop_frame(2);
    for reference in ["a", "b", "c"] {
        client.send(heartbeat(reference)).await;
    }
    assert_eq!([client.json().await[1].clone(), client.json().await[1].clone()], ["a", "c"].map(Value::from));
    control.lose_replies(1);
    control.delay_replies(1, Duration::from_millis(50));
    for reference in ["d", "e", "f"] {
        client.send(heartbeat(reference)).await;
    }
    assert_eq!([client.json().await[1].clone(), client.json().await[1].clone()], ["f", "e"].map(Value::from));
    control.disturb(7, 1_000);
    control.heal();
    client.expect_nothing().await;
}

#[tokio::test]
async fn ten_thousand_broadcasts_reach_every_reader_in_order() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (mut one, mut two) = (joined(&caller).await, joined(&caller).await);
    caller.cloud.realtime().flood("r", 10_000);
    for client in [&mut one, &mut two] {
        for n in 0..10_000 {
            assert_eq!(client.json().await[4]["payload"]["n"], n);
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_cut() {
    let caller = cloud(RealtimeOptions::default().outbox_frames(100)).await;
    let mut client = joined(&caller).await;
    caller.cloud.realtime().flood("r", 100_000);
    assert!(caller.cloud.realtime().wait_for_sockets(0, SOON).await);
    assert_eq!(client.closed().await, None);
}

#[tokio::test]
async fn a_socket_that_has_left_its_last_channel_is_cut_at_the_next_look() {
    let caller = cloud(RealtimeOptions::default().channel_check(Duration::ZERO)).await; // as often as there is a look
    let mut fresh = Client::connect(&caller).await;
    let mut kept = joined(&caller).await;
    let mut left = joined(&caller).await;
    left.send(json!(["1", "2", "realtime:r", "phx_leave", {}])).await;
    assert_eq!(left.closed().await, None, "without a close frame");
    assert!(caller.cloud.realtime().wait_for_sockets(2, SOON).await);
    fresh.expect_nothing().await; // one that never had a channel stays, and so does one that has
    kept.expect_nothing().await;
}

#[tokio::test]
async fn channels_crash_and_joins_are_refused_on_request() {
    let caller = cloud(RealtimeOptions::default()).await;
    let control = caller.cloud.realtime();
    let mut client = joined(&caller).await;
    control.crash_channels();
    client.expect(json!(["1", "1", "realtime:r", "phx_error", {}])).await;
    assert_eq!(control.channels(), 0);
    let text = "RealtimeRestarting: Realtime is restarting, please standby";
    control.refuse_joins(1, text);
    assert_eq!(reason(&client.join("2", "realtime:r", json!({})).await), text);
    client.join_ok("3", "realtime:r", json!({})).await;
}

#[tokio::test]
async fn refused_upgrades_say_what_the_service_says() {
    let caller = cloud(RealtimeOptions::default().joins_per_second(1)).await;
    let query = format!("?apikey={}", caller.cloud.publishable_key());
    let refused = async || {
        let refused = Client::try_connect(&caller, "/realtime/v1/websocket", &query).await.err().unwrap();
        let body: Value = serde_json::from_slice(refused.body().as_deref().unwrap()).unwrap();
        (refused.status().as_u16(), body["error"].as_str().unwrap().to_owned())
    };
    for (status, text) in [
        (403, "Realtime was disabled for this tenant"),
        (404, "Tenant not found"),
        (429, "Too many connected users"),
        (500, "Error connecting to Realtime"),
    ] {
        caller.cloud.realtime().refuse_upgrades(status, 1);
        assert_eq!(refused().await, (status, text.to_owned()));
    }
    let _held = joined(&caller).await;
    assert_eq!(refused().await, (429, "Too many joins per second".to_owned()));
}

#[tokio::test]
async fn a_strict_phoenix_closes_a_silent_socket_as_its_server_does() {
    let options = RealtimeOptions::default().strict_phoenix().idle_limit(Duration::from_millis(50));
    let caller = cloud(options).await;
    assert_eq!(Client::connect(&caller).await.closed().await, Some(1002));
}
