//! A cloud that does not keep to the protocol, takes rights away, or writes in another way: bounded, told, and nothing
//! local is lost.
use cloud_client::{
    Client,
    error::codes::UNREADABLE,
    testing::{Scripted, Step},
};
use cloud_dev::{Fault, Running};
use cloud_sync::{Engine, MessageState, NewMessage, codes};
use serde_json::{Value, json};

use crate::devices::{Device, cloud};

const MESSAGES: &str = "/rest/v1/messages";

/// The next reads of messages are answered with `rows`.
fn answer_reads(cloud: &Running, rows: &Value, times: u32) {
    let answer = Fault::answer(200).body("application/json", rows.to_string());
    cloud.inject(answer.on(MESSAGES).method("GET").times(times));
}

fn row(id: &str, seq: i64) -> Value {
    json!({
        "id": id, "seq": seq, "role": "user", "content": format!("text {seq}"), "sender_user_id": null,
        "sender_agent_id": null, "created_at": null, "client_created_at": null,
    })
}

/// A device whose conversation the cloud knows.
async fn synced(cloud: &Running) -> Device {
    let device = Device::new(cloud, &cloud.demo().people[0]).await;
    device.chat().await.append(NewMessage::user("one")).await.unwrap();
    device.workspace.sync().await.unwrap();
    device
}

#[tokio::test]
async fn b04_a_cloud_that_gives_the_same_page_for_ever_is_given_up() {
    let cloud = cloud().await;
    let device = synced(&cloud).await;
    let before = cloud.requests(MESSAGES);
    answer_reads(&cloud, &json!([row("a", 2)]), 50);
    let error = device.chat().await.pull().await.unwrap_err();
    assert_eq!(error.code(), UNREADABLE);
    assert_eq!(cloud.requests(MESSAGES) - before, 2, "the page, and the one that should have been another");
    assert_eq!(device.texts().await, ["one", "text 2"]);
}

#[tokio::test]
async fn p04_p05_rows_given_twice_and_in_any_order_are_stored_once_and_read_in_order() {
    let cloud = cloud().await;
    let device = synced(&cloud).await;
    answer_reads(&cloud, &json!([row("c", 4), row("b", 3), row("c", 4)]), 1);
    answer_reads(&cloud, &json!([row("b", 3), row("d", 5), row("a", 2)]), 1);
    device.chat().await.pull().await.unwrap();
    assert_eq!(device.texts().await, ["one", "text 2", "text 3", "text 4", "text 5"]);
}

#[tokio::test]
async fn o05_no_row_in_the_answer_is_no_proof_of_arrival() {
    let cloud = cloud().await;
    let device = synced(&cloud).await;
    let chat = device.chat().await;
    let cloud_id = chat.cloud_id().await.unwrap();
    for (what, reason) in [(None, "sync.not_visible"), (Some("another text"), "sync.id_taken")] {
        let id = chat.append(NewMessage::user("mine")).await.unwrap();
        let held = what.map(|content| {
            json!({
                "id": id, "seq": 9, "created_at": null, "conversation_id": cloud_id, "role": "user",
                "content": content, "sender_user_id": device.workspace.user(),
            })
        });
        cloud.inject(Fault::answer(201).body("application/json", "[]").on(MESSAGES).method("POST"));
        answer_reads(&cloud, &Value::from_iter(held), 1);
        let sent = chat.push().await.unwrap();
        assert_eq!((sent.sent, sent.parked), (0, 1), "{reason}");
        let kept = chat.messages().await.unwrap().into_iter().find(|message| message.id == id).unwrap();
        assert_eq!((kept.state, kept.reason.as_deref()), (MessageState::Parked, Some(reason)));
    }
    assert_eq!(device.texts_in_cloud().await, ["one"]);
}

#[tokio::test]
async fn p08_a_workspace_that_is_gone_takes_no_local_history_with_it() {
    let cloud = cloud().await;
    let device = synced(&cloud).await;
    device.workspace.set("current_step", "mine").await.unwrap();
    device.chat().await.append(NewMessage::user("two")).await.unwrap();
    let nothing = || Fault::answer(200).body("application/json", "[]").on("/rest/v1/").times(100);
    cloud.inject(nothing());
    assert_eq!(device.workspace.sync().await.unwrap_err().code(), codes::WORKSPACE_GONE);
    assert_eq!(device.texts().await, ["one", "two"]);
    assert_eq!(device.field("current_step").await, "mine");
    cloud.clear_faults();
    device.workspace.sync().await.unwrap();
    assert_eq!(device.texts_in_cloud().await, ["one", "two"]);
}

#[tokio::test]
async fn w03_a_version_goes_back_as_it_came_to_the_last_digit() {
    let row = |version: &str, goal: &str| {
        let row = json!([{"id": "w", "name": "n", "updated_at": version, "task_goal": goal}]);
        Step::json(200, &row.to_string())
    };
    for (version, sent) in [
        ("2026-05-01T12:00:00.123456+00:00", "eq.2026-05-01T12%3A00%3A00.123456%2B00%3A00"),
        ("no time & none of ours", "eq.no%20time%20%26%20none%20of%20ours"),
    ] {
        let scripted = Scripted::new([row(version, "a"), row(version, "a"), row("another", "b")]);
        let client = Client::builder("https://cloud.example", "sb_publishable_key").unwrap();
        let home = tempfile::tempdir().unwrap();
        let client = client.transport(scripted.shared()).build();
        let engine = Engine::open(client, home.path().join("sync.db")).await.unwrap();
        let workspace = engine.link(home.path(), "u", "w").await.unwrap();
        workspace.pull().await.unwrap();
        workspace.set("task_goal", "b").await.unwrap();
        assert_eq!(workspace.push().await.unwrap().fields, ["task_goal"]);
        let target = scripted.sent().pop().unwrap().target;
        assert!(target.starts_with("PATCH ") && target.contains(sent), "{target}");
    }
}
