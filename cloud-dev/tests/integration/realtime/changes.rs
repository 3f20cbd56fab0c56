//! `postgres_changes`: what is heard of the tables, by whom, and from when on.

use std::time::Duration;

use cloud_dev::RealtimeOptions;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, cloud};
use crate::caller::{Caller, send};

const TOPIC: &str = "realtime:any";

/// Joins with subscriptions as a person, and waits until they work; returns their ids.
async fn listen(client: &mut Client, token: &str, wanted: Value) -> Vec<u64> {
    let reply =
        client.join("1", TOPIC, json!({ "config": { "postgres_changes": wanted }, "access_token": token })).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    let echoed = reply["response"]["postgres_changes"].as_array().unwrap().clone();
    for (echo, wanted) in echoed.iter().zip(wanted.as_array().unwrap()) {
        let mut same = echo.clone();
        same.as_object_mut().unwrap().remove("id");
        assert_eq!(&same, wanted, "the subscription comes back as it was asked for");
    }
    client.expect(system("ok", "Subscribed to PostgreSQL")).await;
    echoed.iter().map(|echo| echo["id"].as_u64().unwrap()).collect()
}

fn system(status: &str, text: &str) -> Value {
    let payload = json!({ "extension": "postgres_changes", "status": status, "message": text, "channel": "any" });
    json!(["1", null, TOPIC, "system", payload])
}

/// The ids and the data of the next change.
async fn change(client: &mut Client) -> (Value, Value) {
    let frame = client.json().await;
    assert_eq!((&frame[0], &frame[2], &frame[3]), (&Value::Null, &json!(TOPIC), &json!("postgres_changes")), "{frame}");
    (frame[4]["ids"].clone(), frame[4]["data"].clone())
}

async fn create(caller: &Caller, token: &str, slug: &str) -> String {
    let body = json!({ "org_id": caller.cloud.demo().org_id, "name": "W", "slug": slug });
    let request = caller
        .request(Method::POST, "/rest/v1/workspaces")
        .bearer_auth(token)
        .header("prefer", "return=representation");
    let answer = send(request.json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.text_at("/0/id")
}

async fn rename(caller: &Caller, token: &str, id: &str, name: &str) {
    let request = caller.request(Method::PATCH, &format!("/rest/v1/workspaces?id=eq.{id}")).bearer_auth(token);
    assert_eq!(send(request.json(&json!({ "name": name }))).await.status, 204);
}

async fn delete(caller: &Caller, token: &str, id: &str) {
    let request = caller.request(Method::DELETE, &format!("/rest/v1/workspaces?id=eq.{id}")).bearer_auth(token);
    assert_eq!(send(request).await.status, 204);
}

/// Somebody of no organisation.
async fn stranger(caller: &Caller) -> String {
    let body = json!({ "email": "eve@example.com", "password": "a long enough password" });
    caller.post("/auth/v1/signup", None, body).await.text_at("/access_token")
}

#[tokio::test]
async fn inserts_updates_and_deletes_arrive_in_their_shapes() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    let wanted = json!([
        { "event": "*", "schema": "public", "table": "workspaces" },
        { "event": "UPDATE", "schema": "public", "table": "workspaces", "filter": "name=eq.Two" },
    ]);
    let ids = listen(&mut client, &token, wanted).await;
    let id = create(&caller, &token, "one").await;
    let (heard, data) = change(&mut client).await;
    assert_eq!((heard, &data["type"], &data["record"]["id"]), (json!([ids[0]]), &json!("INSERT"), &json!(id)));
    assert!(data["record"]["created_at"].is_string() && data.get("old_record").is_none(), "{data}");
    rename(&caller, &token, &id, "Two").await;
    let (heard, data) = change(&mut client).await;
    assert_eq!((heard, &data["type"]), (json!(ids), &json!("UPDATE")));
    assert_eq!((&data["record"]["name"], &data["old_record"]), (&json!("Two"), &json!({ "id": id })));
    delete(&caller, &token, &id).await;
    let (heard, data) = change(&mut client).await;
    assert_eq!((heard, &data["type"], data.get("record")), (json!([ids[0]]), &json!("DELETE"), None));
    assert_eq!(data["old_record"], json!({ "id": id }));
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_person_hears_of_the_rows_their_policies_show_and_of_every_delete() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (ada, eve) = (caller.token().await, stranger(&caller).await);
    let mut listening = Client::connect(&caller).await;
    listen(&mut listening, &eve, json!([{ "event": "*", "schema": "public", "table": "workspaces" }])).await;
    let id = create(&caller, &ada, "secret").await;
    rename(&caller, &ada, &id, "Still secret").await;
    delete(&caller, &ada, &id).await;
    let (_, data) = change(&mut listening).await;
    assert_eq!((&data["type"], &data["old_record"]), (&json!("DELETE"), &json!({ "id": id })));
    listening.expect_nothing().await;
}

#[tokio::test]
async fn changes_before_subscribed_are_lost_and_an_early_success_is_a_lie() {
    let caller = cloud(RealtimeOptions::default().subscribe_delay(Duration::from_millis(300))).await;
    let token = caller.token().await;
    let payload = json!({ "config": { "postgres_changes": [{ "event": "*", "schema": "public", "table": "workspaces" }] }, "access_token": token });
    for early in [false, true] {
        caller.cloud.realtime().set_early_success(early);
        let mut client = Client::connect(&caller).await;
        client.join("1", TOPIC, payload.clone()).await;
        if early {
            client.expect(system("ok", "Subscribed to PostgreSQL")).await;
        }
        create(&caller, &token, &format!("lost-{early}")).await;
        if early {
            // What makes it true is not said; the next change that is heard is a later one.
            let mut later = None;
            for n in 0..5_000 {
                let slug = format!("later-{n}");
                create(&caller, &token, &slug).await;
                client.send(json!([null, "p", "phoenix", "heartbeat", {}])).await;
                let frame = client.json().await;
                if frame[3] == "postgres_changes" {
                    later = Some(frame[4]["data"]["record"]["slug"].clone());
                    break;
                }
            }
            assert!(later.is_some_and(|slug| slug.as_str().unwrap().starts_with("later-")));
        } else {
            client.expect(system("ok", "Subscribed to PostgreSQL")).await;
            let id = create(&caller, &token, "heard").await;
            assert_eq!(change(&mut client).await.1["record"]["id"], json!(id));
        }
    }
}

#[tokio::test]
async fn wrong_parameters_are_a_system_error_and_the_channel_stays() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let unable = "Unable to subscribe to changes with given parameters.";
    let none = "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to:";
    let exception = "An exception happened so please check your connect parameters:";
    for (wanted, text) in [
        (
            json!({ "event": "insert", "schema": "public", "table": "nothing", "filter": "a=not.eq.b" }),
            format!(
                "{unable} Please check Realtime is enabled for the given connect parameters: [event: INSERT, schema: \
                 public, table: nothing, filters: [{{\"a\", \"eq\", \"b\", true}}], select: nil]"
            ),
        ),
        (
            json!({ "event": "*", "schema": "private" }),
            format!(
                "{unable} Please check Realtime is enabled for the given connect parameters: [event: *, schema: private, \
                 table: *, filters: [], select: nil]"
            ),
        ),
        (
            json!({ "event": "*", "schema": "public", "table": "workspaces", "filter": "name=near.x" }),
            "Error parsing `filter` params: [\"near\", \"x\"]".to_owned(),
        ),
        (json!({ "event": "*" }), format!("{none} %{{\"event\" => \"*\"}}")),
        (
            json!({ "schema": "public", "filter": "id=eq.1" }),
            format!("{none} %{{\"filter\" => \"id=eq.1\", \"schema\" => \"public\"}}"),
        ),
        (
            json!({ "event": "*", "schema": "public", "select": ["id"] }),
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
                .to_owned(),
        ),
        (
            json!({ "event": "*", "table": "workspaces", "select": "id" }),
            "Error parsing `select` params: expected a list of column name strings, e.g. select: [\"col1\", \"col2\"]"
                .to_owned(),
        ),
        (
            json!({ "event": "*", "table": "workspaces", "select": ["x"] }),
            format!(
                "{unable} {exception} [event: *, schema: public, table: workspaces, filters: [], select: [\"x\"]]. \
                 Exception: ERROR P0001 (raise_exception) invalid column for select x"
            ),
        ),
    ] {
        let mut client = Client::connect(&caller).await;
        let reply =
            client.join("1", TOPIC, json!({ "config": { "postgres_changes": [wanted] }, "access_token": token })).await;
        assert_eq!(reply["status"], "ok");
        client.expect(system("error", &text)).await;
        create(&caller, &token, &uuid(&wanted.to_string())).await;
        client.expect_nothing().await;
        assert_eq!(caller.cloud.realtime().channels(), 1);
        drop(client);
        assert!(caller.cloud.realtime().wait_for_sockets(0, Duration::from_secs(10)).await);
    }
}

#[tokio::test]
async fn changes_over_the_rate_are_skipped_and_nobody_is_told() {
    let caller = cloud(RealtimeOptions::default().messages_per_second(2)).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    listen(&mut client, &token, json!([{ "event": "INSERT", "schema": "public", "table": "workspaces" }])).await;
    let rows: Vec<Value> =
        (0..3).map(|n| json!({ "org_id": caller.cloud.demo().org_id, "name": "W", "slug": format!("w{n}") })).collect();
    let request = caller.request(Method::POST, "/rest/v1/workspaces").bearer_auth(&token).json(&rows);
    assert_eq!(send(request).await.status, 201);
    for slug in ["w0", "w1"] {
        assert_eq!(change(&mut client).await.1["record"]["slug"], slug);
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_filter_on_all_tables_is_held_against_the_rows_of_each() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let ids = [create(&caller, &token, "one").await, create(&caller, &token, "two").await];
    let mut client = Client::connect(&caller).await;
    let filter = format!("id=eq.{}", ids[1]);
    listen(&mut client, &token, json!([{ "event": "*", "schema": "public", "table": "*", "filter": filter }])).await;
    for id in &ids {
        rename(&caller, &token, id, "Renamed").await;
    }
    assert_eq!(change(&mut client).await.1["record"]["id"], json!(ids[1]));
    client.expect_nothing().await;
    let wanted = json!({ "event": "*", "schema": "public", "table": "*", "filter": "slug=eq.x" });
    client.join("2", "realtime:any", json!({ "config": { "postgres_changes": [wanted] } })).await;
    client.json().await; // the close of the first
    let refused = client.json().await[4]["message"].clone();
    assert!(refused.as_str().unwrap().ends_with("invalid column for filter slug"), "{refused}");
}

#[tokio::test]
async fn a_channel_listens_to_so_many_things_and_no_more() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    let wanted = json!({ "event": "DELETE", "schema": "public", "table": "workspaces" });
    listen(&mut client, &token, json!(vec![wanted.clone(); 100])).await;
    let reply = client.join("1", TOPIC, json!({ "config": { "postgres_changes": vec![wanted; 101] } })).await;
    assert_eq!(reply["status"], "ok");
    let told = [client.json().await, client.json().await];
    let refused = "Unable to subscribe to changes with given parameters. \
                   At most 100 subscriptions are allowed for a channel.";
    assert!(told.contains(&system("error", refused)), "{told:?}");
}

/// A slug made of a text.
fn uuid(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
}

#[tokio::test]
async fn a_new_token_makes_the_subscription_anew() {
    let caller = cloud(RealtimeOptions::default()).await;
    let (ada, eve) = (caller.token().await, stranger(&caller).await);
    let mut client = Client::connect(&caller).await;
    listen(&mut client, &eve, json!([{ "event": "INSERT", "schema": "public", "table": "workspaces" }])).await;
    create(&caller, &ada, "unseen").await;
    client.send(json!(["1", "2", TOPIC, "access_token", { "access_token": ada }])).await;
    client.expect(system("ok", "Subscribed to PostgreSQL")).await;
    let id = create(&caller, &ada, "seen").await;
    assert_eq!(change(&mut client).await.1["record"]["id"], json!(id));
    client.send(json!(["1", "3", TOPIC, "access_token", { "access_token": ada }])).await;
    client.expect_nothing().await; // the same token again is nothing
}

#[tokio::test]
async fn a_restart_of_the_feed_loses_what_happens_meanwhile() {
    let caller = cloud(RealtimeOptions::default()).await;
    let token = caller.token().await;
    let mut client = Client::connect(&caller).await;
    listen(&mut client, &token, json!([{ "event": "*", "schema": "public", "table": "workspaces" }])).await;
    caller.cloud.realtime().restart_changes(Duration::from_millis(200));
    client.expect(system("error", "Too many database timeouts")).await;
    create(&caller, &token, "lost").await;
    client.expect(system("ok", "Subscribed to PostgreSQL")).await;
    let id = create(&caller, &token, "heard").await;
    assert_eq!(change(&mut client).await.1["record"]["id"], json!(id));
}
