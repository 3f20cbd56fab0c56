//! Tokens, private channels, stored messages, and broadcasts over HTTP.

use cloud_dev::{RealtimeOptions, TopicAccess};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Frame, close, cloud, system_error};
use crate::caller::{Caller, send};

fn private(token: &str, broadcast: Value) -> Value {
    json!({ "config": { "private": true, "broadcast": broadcast }, "access_token": token })
}

async fn stranger(caller: &Caller) -> String {
    let body = json!({ "email": "eve@example.com", "password": "a long enough password" });
    caller.post("/auth/v1/signup", None, body).await.text_at("/access_token")
}

fn reason(reply: &Value) -> &str {
    reply["response"]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_private_channel_is_for_members_of_what_its_name_names() {
    let options =
        RealtimeOptions::default().private_default(TopicAccess::Nothing).topic_rule("read:", TopicAccess::Read);
    let caller = cloud(options).await;
    let (ada, eve) = (caller.token().await, stranger(&caller).await);
    let workspace = format!("realtime:workspace:{}", caller.cloud.demo().workspace_id);
    let mut client = Client::connect(&caller).await;
    for (topic, token, joins) in [
        (workspace.as_str(), ada.as_str(), true),
        (&workspace, &eve, false),
        (&workspace, caller.cloud.anon_key(), false),
        (&workspace, caller.cloud.publishable_key(), false),
        ("realtime:lobby", &ada, false),
        ("realtime:read:x", &eve, true),
    ] {
        let reply = client.join("1", topic, private(token, json!({}))).await;
        assert_eq!(reply["status"] == "ok", joins, "{topic}: {reply}");
        if !joins {
            let name = topic.strip_prefix("realtime:").unwrap();
            let text = format!("Unauthorized: You do not have permissions to read from this Channel topic: {name}");
            assert_eq!(reason(&reply), text);
        }
        client.send(json!(["1", "9", topic, "phx_leave", {}])).await;
        client.json().await;
        if joins {
            client.expect(close("1", topic)).await;
        }
    }
    client.join_ok("1", "realtime:read:x", private(&ada, json!({ "ack": true, "self": true }))).await;
    client.send(json!(["1", "2", "realtime:read:x", "broadcast", { "event": "e", "payload": {} }])).await;
    client.expect_nothing().await; // without the right to write there is no answer, even with `ack`
}

#[tokio::test]
async fn a_public_and_a_private_channel_of_one_name_are_two_rooms() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let (mut open, mut closed) = (Client::connect(&caller).await, Client::connect(&caller).await);
    open.join_ok("1", "realtime:r", json!({})).await;
    closed.join_ok("1", "realtime:r", private(&token, json!({ "ack": true }))).await;
    closed.send(json!(["1", "2", "realtime:r", "broadcast", { "event": "e", "payload": {} }])).await;
    assert_eq!(closed.json().await[4]["status"], "ok");
    open.expect_nothing().await;
}

#[tokio::test]
async fn tokens_are_checked_at_the_join_when_they_change_and_when_they_end() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    let with = |token: &str| json!({ "access_token": token });
    for (token, text) in [
        ("x".to_owned(), "MalformedJWT: The token provided is not a valid JWT"),
        (format!("{token}x"), "JwtSignatureError: Failed to validate JWT signature"),
    ] {
        let reply = client.join("1", "realtime:r", with(&token)).await;
        assert_eq!(reason(&reply), text);
    }
    for topic in ["realtime:a", "realtime:b"] {
        client.join_ok(topic, topic, with(&token)).await;
    }
    client.join_ok("3", "realtime:c", with("sb_publishable_whatever")).await; // the key of the connect stands
    for same in [json!({ "access_token": null }), with(&token), with("sb_x")] {
        client.send(json!(["realtime:a", "4", "realtime:a", "access_token", same])).await;
        client.expect_nothing().await;
    }
    client.send(json!(["realtime:a", "5", "realtime:a", "access_token", with("")])).await;
    client.expect(system_error("realtime:a", "realtime:a", "The token provided is not a valid JWT")).await;
    client.expect(close("realtime:a", "realtime:a")).await;

    caller.cloud.expire_access_tokens();
    let ended = client.json().await;
    let text = ended[4]["message"].as_str().unwrap();
    assert!(
        ended[2] == "realtime:b" && text.starts_with("Token has expired ") && text.ends_with(" seconds ago"),
        "{ended}"
    );
    client.expect(close("realtime:b", "realtime:b")).await;
    client.expect_nothing().await; // the channel with the key goes on
    let reply = client.join("6", "realtime:b", with(&token)).await;
    assert!(reason(&reply).starts_with("InvalidJWTToken: Token has expired"), "{reply}");
}

#[tokio::test]
async fn stored_messages_come_again_on_request_at_most_25_of_them() {
    for (stored, limit, wanted) in [(0, 25, 0..0), (24, 25, 0..24), (25, 25, 0..25), (26, 25, 1..26), (26, 3, 23..26)] {
        let caller = cloud(RealtimeOptions::default()).await;
        let token = caller.token().await;
        for n in 0..stored {
            caller.cloud.realtime().send("r", "e", &json!({ "n": n }).to_string(), true);
        }
        caller.cloud.realtime().send_binary("other", "e", &[1], true);
        let mut client = Client::connect(&caller).await;
        client.join_ok("1", "realtime:r", private(&token, json!({ "replay": { "since": 0, "limit": limit } }))).await;
        for n in wanted {
            let frame = client.json().await;
            assert_eq!(
                (&frame[0], &frame[4]["payload"]["n"], &frame[4]["meta"]["replayed"]),
                (&json!("1"), &json!(n), &json!(true))
            );
            assert_eq!(frame[4]["meta"]["id"], frame[4]["payload"]["id"]);
        }
        client.expect_nothing().await;
    }
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    caller.cloud.realtime().send_binary("r", "e", &[7, 8], true);
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", private(&token, json!({ "replay": { "since": 0 } }))).await;
    let Frame::Bytes(bytes) = client.frame().await else { panic!("bytes come as bytes") };
    assert!(bytes[0] == 4 && bytes.ends_with(&[7, 8]), "{bytes:?}");
    for (payload, text) in [
        (
            json!({ "config": { "broadcast": { "replay": { "since": 0 } } } }),
            "Replay is not allowed for public channels",
        ),
        (private(&token, json!({ "replay": { "since": "x" } })), "Replay params are not valid"),
        (private(&token, json!({ "replay": { "since": 0, "limit": 26 } })), "Replay params are not valid"),
    ] {
        let reply = client.join("2", "realtime:s", payload).await;
        assert_eq!(reason(&reply), format!("UnableToReplayMessages: {text}"));
    }
}

#[tokio::test]
async fn http_sends_a_batch_or_one_message() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (token, eve) = (caller.token().await, stranger(&caller).await);
    let workspace = caller.cloud.demo().workspace_id.clone();
    let (mut open, mut members) = (Client::connect(&caller).await, Client::connect(&caller).await);
    open.join_ok("1", "realtime:r", json!({})).await;
    members.join_ok("1", &format!("realtime:{workspace}"), private(&token, json!({}))).await;
    let message =
        |topic: &str, private: bool| json!({ "topic": topic, "event": "e", "payload": { "a": 1 }, "private": private });
    let batch = json!({ "messages": [message("r", false), message(&workspace, true)] });
    let denied = caller.post("/realtime/v1/api/broadcast", Some(&eve), batch.clone()).await;
    assert_eq!((denied.status, denied.text.as_str()), (202, ""), "a denied private message is not told");
    let heard = json!({ "type": "broadcast", "event": "e", "payload": { "a": 1 } });
    open.expect(json!([null, null, "realtime:r", "broadcast", heard])).await;
    members.expect_nothing().await;
    assert_eq!(caller.post("/realtime/v1/api/broadcast", Some(&token), batch).await.status, 202);
    members.expect(json!([null, null, format!("realtime:{workspace}"), "broadcast", heard])).await;
    open.json().await;
    let blank = json!(["can't be blank"]);
    for (messages, errors) in [
        (json!([message("", false), message("r", false)]), json!([{ "topic": blank }, {}])),
        (json!(7), json!(["is invalid"])),
        (json!([]), blank.clone()),
        (json!(null), blank.clone()),
        (json!(vec![7; 1_001]), json!(["should have at most 1000 item(s)"])),
        (json!([{ "topic": "r" }]), json!([{ "event": blank, "payload": blank }])),
        (
            json!([{ "topic": 1, "event": "e", "payload": [], "private": "x" }]),
            json!([{ "topic": ["is invalid"], "payload": ["is invalid"], "private": ["is invalid"] }]),
        ),
    ] {
        let refused = caller.post("/realtime/v1/api/broadcast", None, json!({ "messages": messages })).await;
        assert_eq!((refused.status, refused.json()), (422, json!({ "errors": { "messages": errors } })), "{messages}");
    }
    let unauthorized = caller.post("/realtime/v1/api/broadcast", Some("x"), json!({ "messages": [] })).await;
    assert_eq!((unauthorized.status, unauthorized.text_at("/message").as_str()), (401, "Unauthorized"));
    open.expect_nothing().await; // all or nothing

    let single = |topic: &str, kind: &'static str, body: &'static [u8], token: &str| {
        let request = caller.request(Method::POST, &format!("/realtime/v1/api/broadcast/{topic}"));
        send(request.bearer_auth(token).header("content-type", kind).body(body))
    };
    assert_eq!(single("r/events/e", "application/json", br#"{"a":1}"#, &token).await.status, 202);
    open.expect(json!([null, null, "realtime:r", "broadcast", heard])).await;
    assert_eq!(single("r/events/e", "application/octet-stream", &[1, 2], &token).await.status, 202);
    assert_eq!(open.frame().await, Frame::Bytes([&[4, 10, 1, 0, 0], &b"realtime:re"[..], &[1, 2]].concat()));
    for (path, kind, token, status) in [
        (format!("{workspace}/events/e?private=true"), "application/json", &eve, 403),
        (format!("{workspace}/events/e?private=true"), "application/json", &token, 202),
        ("r/events/e".to_owned(), "text/plain", &token, 415),
    ] {
        assert_eq!(single(&path, kind, b"{}", token).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_batch_over_the_rate_is_refused_as_a_whole_and_each_answer_says_what_is_left() {
    let caller = cloud(RealtimeOptions::default().messages_per_second(5)).await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", json!({})).await;
    let send = async |messages: usize| {
        let message = json!({ "topic": "r", "event": "e", "payload": {}, "id": "m" });
        let batch = json!({ "messages": vec![message; messages] });
        let answer = caller.post("/realtime/v1/api/broadcast", None, batch).await;
        let left = answer.header("x-rate-limit-remaining").unwrap().to_owned();
        let text = if answer.text.is_empty() { String::new() } else { answer.text_at("/message") };
        (answer.status, text, left)
    };
    let text = "Too many messages to broadcast, please reduce the batch size";
    assert_eq!(send(6).await, (429, text.to_owned(), "5".to_owned()));
    client.expect_nothing().await;
    assert_eq!(send(3).await, (202, String::new(), "0".to_owned()), "each delivery counts too");
    for _ in 0..3 {
        let heard = json!({ "type": "broadcast", "event": "e", "payload": {}, "meta": { "id": "m" } });
        client.expect(json!([null, null, "realtime:r", "broadcast", heard])).await;
    }
    assert_eq!(send(1).await, (429, "Too many requests".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn who_may_only_listen_shows_nothing_and_may_still_stop_to() {
    let caller = cloud(RealtimeOptions::default().topic_rule("read:", TopicAccess::Read)).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:read:x", private(&token, json!({}))).await;
    for (event, status) in [("track", "error"), ("untrack", "ok")] {
        client.send(json!(["1", "2", "realtime:read:x", "presence", { "event": event, "payload": {} }])).await;
        let payload = json!({ "status": status, "response": {} });
        client.expect(json!(["1", "2", "realtime:read:x", "phx_reply", payload])).await;
    }
}

#[tokio::test]
async fn a_private_channel_without_presence_hears_of_none_until_it_shows_itself() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let track = |n: u8| json!(["1", "2", "realtime:r", "presence", { "event": "track", "payload": { "n": n } }]);
    for private in [true, false] {
        let wants = json!({ "config": { "private": private }, "access_token": token });
        let (mut shown, mut silent) = (Client::connect(&caller).await, Client::connect(&caller).await);
        shown.join_ok("1", "realtime:r", wants.clone()).await;
        silent.join_ok("1", "realtime:r", wants).await;
        shown.send(track(1)).await;
        for wanted in ["presence_diff", "phx_reply"] {
            assert_eq!(shown.json().await[3], wanted, "who shows something hears of it");
        }
        if private {
            silent.expect_nothing().await;
        } else {
            assert_eq!(silent.json().await[3], "presence_diff", "a public channel hears of everybody");
        }
        silent.send(track(2)).await;
        assert_eq!(shown.json().await[3], "presence_diff");
        assert_eq!(silent.json().await[3], "presence_diff");
    }
}

#[tokio::test]
async fn a_replay_that_asks_for_nothing_is_none_and_still_no_matter_of_public_channels() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    caller.cloud.realtime().send("r", "e", "{}", true);
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", private(&token, json!({ "replay": null }))).await;
    client.expect_nothing().await;
    let public = json!({ "config": { "broadcast": { "replay": null } } });
    let refused = client.join("2", "realtime:s", public).await;
    assert_eq!(reason(&refused), "UnableToReplayMessages: Replay is not allowed for public channels");
}

#[tokio::test]
async fn only_access_token_is_a_new_token() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:r", json!({ "access_token": token })).await;
    client.send(json!(["1", "2", "realtime:r", "access_token", { "user_token": "x" }])).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_clock_that_is_off_judges_tokens_on_a_socket_as_it_does_over_http() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    client.join_ok("1", "realtime:a", json!({ "access_token": token })).await;
    let query = format!("?apikey={token}");
    let connects = async || Client::try_connect(&caller, "/realtime/v1/websocket", &query).await.is_ok();
    assert!(connects().await && caller.get("/auth/v1/user", Some(&token)).await.status == 200);

    caller.cloud.skew_clock(3_601);
    let ended = client.json().await;
    let text = ended[4]["message"].as_str().unwrap();
    assert!(matches!(text, "Token has expired 1 seconds ago" | "Token has expired 2 seconds ago"), "{ended}");
    client.expect(close("1", "realtime:a")).await;
    assert!(reason(&client.join("2", "realtime:b", json!({ "access_token": token })).await).contains("has expired"));
    assert!(!connects().await && caller.get("/auth/v1/user", Some(&token)).await.status == 403);

    let ahead = caller.token().await;
    client.join_ok("3", "realtime:c", json!({ "access_token": ahead })).await;
    caller.cloud.skew_clock(0);
    assert!(connects().await && caller.get("/auth/v1/user", Some(&token)).await.status == 200);
    client.join_ok("4", "realtime:b", json!({ "access_token": token })).await;
    client.expect_nothing().await; // nobody's token has ended
    caller.cloud.skew_clock(3_700);
    assert_eq!(client.json().await[2], "realtime:b", "the older token ends, and the newer one does not");
    client.expect(close("4", "realtime:b")).await;
    client.expect_nothing().await;
}
