//! Broadcast and presence between sockets.

use cloud_dev::RealtimeOptions;
use serde_json::{Value, json};

use super::client::{Client, Frame, close, cloud, ok, system_error};

fn config(broadcast: Value, presence: Value) -> Value {
    json!({ "config": { "broadcast": broadcast, "presence": presence } })
}

fn broadcast(event: &str, payload: Value) -> Value {
    json!({ "type": "broadcast", "event": event, "payload": payload })
}

#[tokio::test]
async fn a_broadcast_reaches_the_others_and_its_sender_only_on_request() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (mut quiet, mut echoing) = (Client::connect(&caller).await, Client::connect(&caller).await);
    let mut old = Client::with_version(&caller, "1.0.0").await;
    quiet.join_ok("1", "realtime:r", config(json!({ "ack": true }), json!({}))).await;
    echoing.join_ok("1", "realtime:r", config(json!({ "self": true }), json!({}))).await;
    old.send(json!({ "topic": "realtime:r", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1" })).await;
    old.json().await;

    let payload = broadcast("e", json!({ "n": 9_223_372_036_854_775_807_i64 }));
    quiet.send(json!(["1", "2", "realtime:r", "broadcast", payload])).await;
    quiet.expect(ok("1", "2", "realtime:r")).await;
    echoing.expect(json!([null, null, "realtime:r", "broadcast", payload])).await;
    old.expect(json!({ "topic": "realtime:r", "event": "broadcast", "payload": payload, "ref": null })).await;

    echoing.send(json!(["1", "2", "realtime:r", "broadcast", payload])).await;
    echoing.expect(json!([null, null, "realtime:r", "broadcast", payload])).await;
    echoing.expect_nothing().await; // no acknowledgement that nobody asked for
    quiet.expect(json!([null, null, "realtime:r", "broadcast", payload])).await;
    quiet.expect_nothing().await;
}

#[tokio::test]
async fn a_broadcast_in_a_frame_of_its_own_becomes_text_for_version_1_unless_it_is_bytes() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (mut sender, mut reader) = (Client::connect(&caller).await, Client::connect(&caller).await);
    let mut old = Client::with_version(&caller, "1.0.0").await;
    sender.join_ok("1", "realtime:r", json!({})).await;
    reader.join_ok("1", "realtime:r", json!({})).await;
    old.send(json!({ "topic": "realtime:r", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1" })).await;
    old.json().await;
    sender.send_bytes(&[&[3, 1, 1, 10, 1, 0, 0], &b"12realtime:re"[..], &[1, 2]].concat()).await;
    sender.send_bytes(&[&[3, 1, 1, 10, 1, 0, 1], &b"13realtime:re"[..], br#"{"a":1}"#].concat()).await;
    assert_eq!(reader.frame().await, Frame::Bytes([&[4, 10, 1, 0, 0], &b"realtime:re"[..], &[1, 2]].concat()));
    assert_eq!(reader.frame().await, Frame::Bytes([&[4, 10, 1, 0, 1], &b"realtime:re"[..], br#"{"a":1}"#].concat()));
    let payload = broadcast("e", json!({ "a": 1 }));
    old.expect(json!({ "topic": "realtime:r", "event": "broadcast", "payload": payload, "ref": null })).await;
}

#[tokio::test]
async fn a_broadcast_that_is_too_large_is_refused_with_a_bare_text() {
    let caller = cloud(RealtimeOptions::default().max_payload_bytes(100)).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", config(json!({ "ack": true, "self": true }), json!({}))).await;
    let payload = broadcast("e", json!({ "x": "x".repeat(100) }));
    client.send(json!(["1", "2", "realtime:r", "broadcast", payload])).await;
    let refused = json!({ "status": "error", "response": "payload_size_exceeded" });
    client.expect(json!(["1", "2", "realtime:r", "phx_reply", refused])).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn presence_is_a_state_and_then_diffs_until_the_socket_is_lost() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (mut ada, mut grace) = (Client::connect(&caller).await, Client::connect(&caller).await);
    let wants = |key: &str| config(json!({}), json!({ "key": key, "enabled": true }));
    ada.join_ok("1", "realtime:r", wants("ada")).await;
    ada.expect(json!(["1", null, "realtime:r", "presence_state", {}])).await;
    ada.send(
        json!(["1", "2", "realtime:r", "presence", { "type": "presence", "event": "TRACK", "payload": { "s": "on" } }]),
    )
    .await;
    let joined = ada.json().await;
    assert_eq!((&joined[0], &joined[3]), (&Value::Null, &json!("presence_diff")));
    let meta = joined[4]["joins"]["ada"]["metas"][0].clone();
    assert_eq!((&meta["s"], joined[4]["leaves"].clone()), (&json!("on"), json!({})));
    ada.expect(ok("1", "2", "realtime:r")).await;

    grace.join_ok("1", "realtime:r", wants("grace")).await;
    grace.expect(json!(["1", null, "realtime:r", "presence_state", { "ada": { "metas": [meta] } }])).await;
    ada.send(json!(["1", "3", "realtime:r", "presence", { "event": "track", "payload": { "s": "off" } }])).await;
    let updated = grace.json().await[4].clone();
    assert_eq!(updated["joins"]["ada"]["metas"][0]["phx_ref_prev"], meta["phx_ref"]);
    assert_eq!(updated["leaves"]["ada"]["metas"][0], meta);
    drop(ada);
    let left = grace.json().await[4].clone();
    assert_eq!(left["leaves"]["ada"]["metas"][0]["phx_ref"], updated["joins"]["ada"]["metas"][0]["phx_ref"]);
    assert_eq!(left["joins"], json!({}));
}

#[tokio::test]
async fn presence_refuses_what_is_no_map_and_closes_at_the_sixth_call() {
    let caller = cloud(RealtimeOptions::default()).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", json!({})).await;
    for (reference, payload, status, response) in [
        (
            "2",
            json!({ "event": "track", "payload": 7 }),
            "error",
            json!({ "reason": "Presence track payload must be a map" }),
        ),
        ("3", json!({ "event": "dance" }), "error", json!({})),
        ("4", json!({}), "ok", json!({})), // no call at all, so it does not count
    ] {
        client.send(json!(["1", reference, "realtime:r", "presence", payload])).await;
        let wanted = json!({ "status": status, "response": response });
        client.expect(json!(["1", reference, "realtime:r", "phx_reply", wanted])).await;
    }
    for reference in ["5", "6", "7"] {
        client.send(json!(["1", reference, "realtime:r", "presence", { "event": "untrack" }])).await;
        client.expect(ok("1", reference, "realtime:r")).await;
    }
    client.send(json!(["1", "8", "realtime:r", "presence", { "event": "untrack" }])).await;
    client.expect(system_error("1", "realtime:r", "Client presence rate limit exceeded")).await;
    client.expect(close("1", "realtime:r")).await;
}

#[tokio::test]
async fn too_many_or_too_large_presences_close_their_channel() {
    let caller = cloud(RealtimeOptions::default().presence_per_second(2).max_payload_bytes(20)).await;
    let mut client = Client::connect(&caller).await;
    let track = |reference: &str, payload: Value| json!(["1", reference, "realtime:r", "presence", { "type": "presence", "event": "track", "payload": payload }]);
    client.join_ok("1", "realtime:r", json!({})).await;
    client.send(track("2", json!({ "long": "x".repeat(20) }))).await;
    client.expect(system_error("1", "realtime:r", "Track message size exceeded")).await;
    client.expect(close("1", "realtime:r")).await;
    client.join_ok("1", "realtime:r", json!({})).await;
    for (reference, payload) in [("2", json!({ "n": 1 })), ("3", json!({ "n": 1 })), ("4", json!({ "n": 2 }))] {
        client.send(track(reference, payload)).await; // the second says nothing new and does not count
    }
    for wanted in ["presence_diff", "phx_reply", "phx_reply", "presence_diff", "phx_reply"] {
        assert_eq!(client.json().await[3], wanted);
    }
    client.send(track("5", json!({ "n": 3 }))).await;
    client.expect(system_error("1", "realtime:r", "Too many presence messages per second")).await;
    client.expect(close("1", "realtime:r")).await;
}

#[tokio::test]
async fn what_a_client_adds_as_metadata_goes_no_further() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (mut sender, mut reader) = (Client::connect(&caller).await, Client::connect(&caller).await);
    sender.join_ok("1", "realtime:r", json!({})).await;
    reader.join_ok("1", "realtime:r", json!({})).await;
    let metadata = br#"{"replayed":true}"#;
    let header = [3, 1, 1, 10, 1, u8::try_from(metadata.len()).unwrap(), 1];
    sender.send_bytes(&[&header, &b"12realtime:re"[..], metadata, b"{}"].concat()).await;
    assert_eq!(reader.frame().await, Frame::Bytes([&[4, 10, 1, 0, 1], &b"realtime:re"[..], b"{}"].concat()));
}
