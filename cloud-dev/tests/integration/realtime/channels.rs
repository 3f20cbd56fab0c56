//! Connecting, joining, leaving, and what a plain Phoenix client meets.

use cloud_dev::RealtimeOptions;
use serde_json::json;

use super::client::{Client, Frame, close, cloud, ok};

#[tokio::test]
async fn four_requests_of_a_plain_channel_are_answered_and_it_closes_once() {
    for options in [RealtimeOptions::default().rooms(), RealtimeOptions::default().rooms().strict_phoenix()] {
        let caller = cloud(options).await;
        let mut client = Client::connect(&caller).await;
        client.send(json!(["1", "1", "room:9", "phx_join", {}])).await;
        client.send(json!(["1", "2", "room:9", "echo", { "a": 1 }])).await;
        client.send(json!([null, "3", "phoenix", "heartbeat", {}])).await;
        client.send(json!(["1", "4", "room:9", "phx_leave", {}])).await;
        client.expect(ok("1", "1", "room:9")).await;
        client.expect(json!(["1", null, "room:9", "presence_state", {}])).await;
        client.expect(json!(["1", "2", "room:9", "phx_reply", { "status": "ok", "response": { "a": 1 } }])).await;
        client.expect(json!([null, "3", "phoenix", "phx_reply", { "status": "ok", "response": {} }])).await;
        client.expect(ok("1", "4", "room:9")).await;
        client.expect(close("1", "room:9")).await;
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn the_second_join_of_a_topic_closes_the_first_after_its_reply() {
    let caller = cloud(RealtimeOptions::default()).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:a", json!({})).await;
    client.join_ok("2", "realtime:a", json!({})).await;
    client.expect(close("1", "realtime:a")).await;
    client.send(json!(["1", "3", "realtime:a", "phx_leave", {}])).await;
    client.expect_nothing().await; // a stale leave is not answered
    client.send(json!(["2", "4", "realtime:a", "phx_leave", {}])).await;
    client.expect(ok("2", "4", "realtime:a")).await;
    client.expect(close("2", "realtime:a")).await;
    assert_eq!(caller.cloud.realtime().channels(), 0);

    let mut old = Client::with_version(&caller, "1.0.0").await;
    for reference in ["1", "2"] {
        let join = json!({ "topic": "realtime:a", "event": "phx_join", "payload": {}, "ref": reference, "join_ref": reference });
        old.send(join).await;
        let response = json!({ "status": "ok", "response": { "postgres_changes": [] } });
        old.expect(json!({ "topic": "realtime:a", "event": "phx_reply", "payload": response, "ref": reference })).await;
    }
    old.expect(json!({ "topic": "realtime:a", "event": "phx_close", "payload": {}, "ref": "1" })).await;
}

#[tokio::test]
async fn joins_and_pushes_that_cannot_be_are_refused_in_the_server_s_words() {
    let caller = cloud(RealtimeOptions::default().rooms()).await;
    let mut client = Client::connect(&caller).await;
    let refused = |join_ref: Option<&str>, reference: &str, topic: &str, reason: &str| json!([join_ref, reference, topic, "phx_reply", { "status": "error", "response": { "reason": reason } }]);
    for (topic, join_ref, reason) in [
        ("nowhere", None, "unmatched topic"),
        ("realtime:", Some("1"), "TopicNameRequired: You must provide a topic name"),
        ("room:refused", Some("1"), "unauthorized"),
        ("room:broken", Some("1"), "join crashed"),
    ] {
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        client.expect(refused(join_ref, "1", topic, reason)).await;
    }
    client.send(json!(["1", 7, "realtime:x", "broadcast", {}])).await;
    client.expect(json!([null, 7, "realtime:x", "phx_reply", { "status": "error", "response": { "reason": "unmatched topic" } }])).await;
    client.send(json!(["1", "8", "realtime:x", "phx_leave", {}])).await;
    client.expect(ok("1", "8", "realtime:x")).await;
}

#[tokio::test]
async fn a_channel_that_crashes_or_stops_says_so_and_can_be_joined_again() {
    let caller = cloud(RealtimeOptions::default().rooms()).await;
    let mut client = Client::connect(&caller).await;
    for (reference, event, end) in [("1", "crash", "phx_error"), ("2", "stop", "phx_close")] {
        client.send(json!([reference, reference, "room:1", "phx_join", {}])).await;
        client.expect(ok(reference, reference, "room:1")).await;
        client.json().await;
        client.send(json!([reference, "9", "room:1", event, {}])).await;
        client.expect(json!([reference, reference, "room:1", end, {}])).await;
        client.send(json!([reference, "10", "room:1", "echo", {}])).await;
        assert_eq!(client.json().await[4]["response"]["reason"], "unmatched topic");
    }
}

#[tokio::test]
async fn bytes_travel_in_all_the_frames_of_version_2() {
    let caller = cloud(RealtimeOptions::default().rooms()).await;
    let mut client = Client::connect(&caller).await;
    client.send(json!(["1", "1", "room:9", "phx_join", {}])).await;
    client.json().await;
    client.json().await;
    let push = |event: &str, data: &[u8]| {
        [&[0, 1, 1, 6, u8::try_from(event.len()).unwrap()], &b"12room:9"[..], event.as_bytes(), data].concat()
    };
    client.send_bytes(&push("echo", &[1, 2, 255])).await;
    assert_eq!(client.frame().await, Frame::Bytes([&[1, 1, 1, 6, 2], &b"12room:9ok"[..], &[1, 2, 255]].concat()));
    client.send_bytes(&push("shout", &[7])).await;
    assert_eq!(client.frame().await, Frame::Bytes([&[2, 6, 5], &b"room:9shout"[..], &[7]].concat()));
    client.send_bytes(&push("push", &[9])).await;
    assert_eq!(client.frame().await, Frame::Bytes([&[0, 1, 6, 4], &b"1room:9push"[..], &[9]].concat()));
}

#[tokio::test]
async fn a_stale_push_is_handled_or_dropped_by_profile_and_counted() {
    for (options, answered) in
        [(RealtimeOptions::default().rooms(), true), (RealtimeOptions::default().rooms().strict_phoenix(), false)]
    {
        let caller = cloud(options).await;
        let mut client = Client::connect(&caller).await;
        client.send(json!(["5", "5", "room:1", "phx_join", {}])).await;
        client.json().await;
        client.json().await;
        for join_ref in [json!("4"), json!(null)] {
            client.send(json!([join_ref, "6", "room:1", "echo", {}])).await;
            if answered {
                client.expect(ok("5", "6", "room:1")).await;
            } else {
                client.expect_nothing().await;
            }
        }
        assert_eq!(caller.cloud.realtime().stale_pushes(), 2);
    }
}

#[tokio::test]
async fn a_malformed_message_is_skipped_or_ends_the_socket_by_profile() {
    for text in ["{", "[]", r#"["1","2","t","e"]"#, r#"{"topic":"t","event":"e","payload":{},"ref":"1"}"#] {
        let caller = cloud(RealtimeOptions::default()).await;
        let mut client = Client::connect(&caller).await;
        client.send_text(text).await;
        client.expect_nothing().await;
        assert_eq!(caller.cloud.realtime().malformed_frames(), 1, "{text}");
    }
    let caller = cloud(RealtimeOptions::default().strict_phoenix()).await;
    let mut client = Client::connect(&caller).await;
    client.send_bytes(&[0, 1]).await;
    assert_eq!(client.closed().await, Some(1011));
}

#[tokio::test]
async fn an_upgrade_is_refused_with_status_and_text() {
    let caller = cloud(RealtimeOptions::default().max_sockets(1)).await;
    let (key, token) = (caller.cloud.publishable_key().to_owned(), caller.token().await);
    for path in ["/realtime/v1/websocket", "/socket/websocket"] {
        for (query, status, text) in [
            (String::new(), 401, "API key is missing"),
            ("?apikey=".to_owned(), 401, "The token provided is not a valid JWT"),
            ("?apikey=x".to_owned(), 401, "The token provided is not a valid JWT"),
            (format!("?apikey={}x", token), 401, "Failed to validate JWT signature"),
            (format!("?apikey={key}&vsn=3.0.0"), 403, ""),
            (format!("?apikey={key}&vsn="), 403, ""),
        ] {
            let refused = Client::try_connect(&caller, path, &query).await.err().unwrap();
            let body = String::from_utf8(refused.body().clone().unwrap_or_default()).unwrap();
            let wanted = if text.is_empty() { String::new() } else { json!({ "error": text }).to_string() };
            assert_eq!((refused.status().as_u16(), body), (status, wanted), "{path}{query}");
        }
    }
    let held = Client::try_connect(&caller, "/socket/websocket", &format!("?apikey={token}")).await.unwrap();
    let refused = Client::try_connect(&caller, "/socket/websocket", &format!("?apikey={key}")).await.err().unwrap();
    assert_eq!(refused.status(), 429);
    drop(held);
    caller.cloud.expire_access_tokens();
    let expired = Client::try_connect(&caller, "/socket/websocket", &format!("?apikey={token}")).await.err().unwrap();
    let body = String::from_utf8(expired.body().clone().unwrap()).unwrap();
    assert_eq!((expired.status().as_u16(), body.as_str()), (401, r#"{"error":"Token has expired"}"#));
    assert_eq!(caller.get("/realtime/v1/websocket", None).await.status, 400);
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_socket_with_1009() {
    let caller = cloud(RealtimeOptions::default()).await;
    let mut client = Client::connect(&caller).await;
    let frame = |size: usize| format!(r#"[null,"1","phoenix","heartbeat",{{"x":"{}"}}]"#, "x".repeat(size));
    let overhead = frame(0).len();
    client.send_text(&frame(5_000_000 - overhead)).await;
    client.expect(json!([null, "1", "phoenix", "phx_reply", { "status": "ok", "response": {} }])).await;
    client.send_text(&frame(5_000_001 - overhead)).await;
    assert_eq!(client.closed().await, Some(1009));
}

#[tokio::test]
async fn a_reply_carries_the_reference_of_its_channel_and_a_heartbeat_none() {
    let caller = cloud(RealtimeOptions::default()).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", json!({ "config": { "broadcast": { "ack": true } } })).await;
    for stale in [json!(null), json!("0")] {
        client.send(json!([stale, "2", "realtime:r", "broadcast", { "event": "e", "payload": {} }])).await;
        client.expect(ok("1", "2", "realtime:r")).await;
    }
    client.send(json!(["1", "3", "phoenix", "heartbeat", {}])).await;
    client.expect(json!([null, "3", "phoenix", "phx_reply", { "status": "ok", "response": {} }])).await;
    client.send(json!([null, "4", "realtime:r", "phx_leave", {}])).await;
    client.expect(ok("1", "4", "realtime:r")).await;
    client.expect(close("1", "realtime:r")).await;
}

#[tokio::test]
async fn the_close_of_a_replaced_channel_comes_between_the_reply_and_all_else() {
    let caller = cloud(RealtimeOptions::default()).await;
    let mut client = Client::connect(&caller).await;
    let wants = json!({ "config": { "presence": { "enabled": true } } });
    client.join_ok("1", "realtime:r", wants.clone()).await;
    client.expect(json!(["1", null, "realtime:r", "presence_state", {}])).await;
    client.join_ok("2", "realtime:r", wants).await;
    client.expect(close("1", "realtime:r")).await;
    client.expect(json!(["2", null, "realtime:r", "presence_state", {}])).await;
    let refused = client.join("3", "realtime:r", json!({ "access_token": "x" })).await;
    assert_eq!(refused["status"], "error");
    client.expect(close("2", "realtime:r")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn an_older_server_refuses_every_upgrade_with_a_bare_403() {
    let caller = cloud(RealtimeOptions::default().bare_refusals().max_sockets(0)).await;
    for query in ["", "?apikey=x", &format!("?apikey={}", caller.cloud.publishable_key())] {
        let refused = Client::try_connect(&caller, "/realtime/v1/websocket", query).await.err().unwrap();
        assert_eq!(
            (refused.status().as_u16(), refused.body().clone().unwrap_or_default()),
            (403, Vec::new()),
            "{query}"
        );
    }
}
