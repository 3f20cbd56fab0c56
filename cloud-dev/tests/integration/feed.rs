//! The feed with replay, request by request and frame by frame.
use std::time::Duration;

use cloud_dev::{CloudDev, FeedOptions};
use serde_json::{Value, json};

use crate::{
    caller::Caller,
    realtime::client::{Client, Frame},
};

const SOCKET: &str = "/feed/v1/socket/websocket";

async fn cloud(options: FeedOptions) -> Caller {
    Caller::with(CloudDev::builder().feed(options)).await
}

impl Caller {
    fn organization(&self) -> String {
        self.cloud.demo().org_id.clone()
    }

    async fn ticket(&self, token: &str) -> String {
        self.post("/feed/v1/tickets", Some(token), json!({})).await.text_at("/ticket")
    }

    async fn page(&self, token: &str, rest: &str) -> (u16, Value) {
        let path = format!("/feed/v1/items?organization={}{rest}", self.organization());
        let answer = self.get(&path, Some(token)).await;
        (answer.status, answer.json())
    }

    fn numbers(&self, numbers: std::ops::Range<u32>) {
        let control = self.cloud.feed().unwrap();
        for n in numbers {
            control.publish(&self.organization(), None, &n.to_string()).unwrap();
        }
    }
}

#[tokio::test]
async fn there_is_no_feed_unless_it_was_asked_for() {
    let caller = Caller::start().await;
    assert!(caller.cloud.feed().is_none());
    for path in ["/feed/v1/items", "/feed/v1/events"] {
        assert_eq!(caller.get(path, None).await.status, 404, "{path}");
    }
    assert_eq!(Client::try_connect(&caller, SOCKET, "?vsn=2.0.0").await.err().unwrap().status(), 404);
}

#[tokio::test]
async fn only_services_publish_and_only_members_read() {
    let caller = cloud(FeedOptions::default()).await;
    let (token, key) = (caller.token().await, caller.cloud.feed().unwrap().publish_key().to_owned());
    let message = json!({ "organization": caller.organization(), "data": { "n": 1 } });
    for (bearer, status) in [(None, 403), (Some(token.as_str()), 403), (Some(key.as_str()), 201)] {
        assert_eq!(caller.post("/feed/v1/publish", bearer, message.clone()).await.status, status);
    }
    let (status, page) = caller.page(&token, "").await;
    assert_eq!((status, &page["items"][0]["data"], &page["more"]), (200, &json!({ "n": 1 }), &json!(false)));
    let person = json!({ "email": "eve@example.com", "password": "a long enough password" });
    let eve = caller.post("/auth/v1/signup", None, person).await.text_at("/access_token");
    assert_eq!(caller.page(&eve, "").await.0, 403);
    let path = format!("/feed/v1/items?organization={}", caller.organization());
    assert_eq!(caller.get(&path, None).await.status, 401);
    assert_eq!(caller.get("/feed/v1/items", Some(&token)).await.status, 422);
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_says_who_reads() {
    let caller = cloud(FeedOptions::default().ticket_lifetime(Duration::from_millis(300))).await;
    let token = caller.token().await;
    assert_eq!(caller.post("/feed/v1/tickets", None, json!({})).await.status, 401);
    let ticket = caller.ticket(&token).await;
    let query = format!("?vsn=2.0.0&ticket={ticket}");
    let mut socket = Client::try_connect(&caller, SOCKET, &query).await.unwrap();
    for used in [query.as_str(), "?vsn=2.0.0&ticket=unknown", "?vsn=2.0.0"] {
        assert_eq!(Client::try_connect(&caller, SOCKET, used).await.err().unwrap().status(), 401, "{used}");
    }
    let topic = format!("feed:{}", caller.organization());
    assert_eq!(socket.join("1", "feed:another", json!({})).await["response"], json!({ "reason": "unauthorized" }));
    assert_eq!(socket.join("2", "room:1", json!({})).await["response"], json!({ "reason": "unmatched topic" }));
    assert_eq!(socket.join("3", &topic, json!({})).await["status"], "ok");
    assert_eq!(socket.json().await[3], "caught_up");
    caller.numbers(7..8);
    let item = socket.json().await;
    assert_eq!((&item[3], &item[4]["data"], &item[4]["replayed"]), (&json!("item"), &json!(7), &json!(false)));
    socket.expect_nothing().await;
    caller.cloud.feed().unwrap().restart();
    assert_eq!(socket.frame().await, Frame::Closed(Some(1012)));
}

#[tokio::test]
async fn a_join_replays_what_comes_after_its_position_and_says_when_that_is_gone() {
    let caller = cloud(FeedOptions::default().replayed_messages(3).repeated_messages(2)).await;
    let (token, topic) = (caller.token().await, format!("feed:{}", caller.organization()));
    caller.numbers(0..6);
    let (_, page) = caller.page(&token, "&limit=6").await;
    let mut joins = Vec::new();
    for n in [3, 1] {
        let query = format!("?vsn=2.0.0&ticket={}", caller.ticket(&token).await);
        let mut socket = Client::try_connect(&caller, SOCKET, &query).await.unwrap();
        let reply = socket.join("1", &topic, json!({ "after": page["items"][n]["position"] })).await;
        assert_eq!(reply["status"], "ok");
        let mut events = Vec::new();
        for _ in 0..if n == 3 { 5 } else { 2 } {
            let message = socket.json().await;
            let replayed = if message[4]["replayed"] == true { "r" } else { "" };
            events
                .push(format!("{}{}{replayed}", message[3].as_str().unwrap(), message[4]["data"]).replace("null", ""));
        }
        socket.expect_nothing().await;
        joins.push(events.join(" "));
    }
    assert_eq!(joins, ["item4r item5r caught_up item4 item5", "too_old caught_up"]);
}

#[tokio::test]
async fn pages_follow_one_another_until_their_positions_are_forgotten() {
    let caller = cloud(FeedOptions::default()).await;
    let token = caller.token().await;
    caller.numbers(0..5);
    caller.cloud.feed().unwrap().publish("another", None, "9").unwrap();
    let (mut after, mut heard) = (String::new(), Vec::new());
    for more in [true, true, false] {
        let (_, page) = caller.page(&token, &format!("&limit=2{after}")).await;
        heard.extend(page["items"].as_array().unwrap().iter().map(|item| item["data"].clone()));
        assert_eq!(page["more"], more);
        after = format!("&after={}", page["position"].as_str().unwrap());
    }
    assert_eq!(heard, [0, 1, 2, 3, 4].map(Value::from));
    caller.cloud.feed().unwrap().forget_replay();
    assert_eq!(caller.page(&token, &after).await.0, 200);
    caller.cloud.feed().unwrap().forget_positions();
    assert_eq!(caller.page(&token, &after).await.0, 410);
}

#[tokio::test]
async fn an_event_stream_names_its_positions_and_can_be_cut_inside_an_event() {
    let caller = cloud(FeedOptions::default()).await;
    let token = caller.token().await;
    caller.numbers(0..3);
    let (_, page) = caller.page(&token, "").await;
    let path = format!("/feed/v1/events?organization={}", caller.organization());
    let last = page["items"][1]["position"].as_str().unwrap();
    let request = caller.request(reqwest::Method::GET, &path).bearer_auth(&token).header("last-event-id", last);
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("caught_up") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    let item = page["items"][2]["position"].as_str().unwrap();
    assert!(text.starts_with(&format!("retry: 1000\n\nid: {item}\nevent: item\ndata: {{")), "{text}");
    assert_eq!(text.matches("event: item").count(), 1);
    caller.cloud.feed().unwrap().cut_in_events(1);
    caller.numbers(3..4);
    let mut half = String::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        half.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let half = half.rsplit("\n\n").next().unwrap();
    assert!(half.starts_with("id: ") && half.contains("event: item"), "{half}");
}

#[tokio::test]
async fn an_item_is_one_line_of_an_event_and_may_be_cut_at_any_of_its_bytes() {
    let caller = cloud(FeedOptions::default()).await;
    let (token, control) = (caller.token().await, caller.cloud.feed().unwrap());
    control.publish(&caller.organization(), None, "{\r\n  \"n\": [\n1, 2\n]\n}").unwrap();
    let (_, page) = caller.page(&token, "&limit=1").await;
    assert_eq!(page["items"][0]["data"], json!({ "n": [1, 2] }));
    let path = format!("/feed/v1/events?organization={}", caller.organization());
    // Two bytes each: one of two neighbours has its middle inside of a character.
    for pad in ["", "x", "xx"] {
        let mut response = caller.request(reqwest::Method::GET, &path).bearer_auth(&token).send().await.unwrap();
        let mut text = String::new();
        while !text.contains("caught_up") {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        control.publish(&caller.organization(), None, "{\n\"n\":\n3\n}").unwrap();
        while !text.contains("{\"n\":3}}\n\n") {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        control.cut_in_events(1);
        control.publish(&caller.organization(), None, &format!("\"{pad}{}\"", "ü".repeat(200))).unwrap();
        let mut half = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            half.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        assert!(half.contains("\"data\":\"") && !half.contains("\n\n"), "{half}");
    }
}
