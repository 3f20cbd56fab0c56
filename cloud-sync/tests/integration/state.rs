//! The state of a workspace on two devices.
use cloud_dev::Fault;
use cloud_sync::{SyncState, codes, workspace::Choice};
use serde_json::{Value, json};

use crate::devices::{Device, cloud};

#[tokio::test]
async fn what_one_device_sets_the_other_sees_and_fields_not_set_stay() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    ada.workspace.set("task_goal", "Ship it").await.unwrap();
    ada.workspace.set("progress_data", json!({"files": 5, "deep": {"a": [1, null]}})).await.unwrap();
    assert_eq!(ada.workspace.state().await.unwrap().unsent, ["progress_data", "task_goal"]);
    assert_eq!(ada.workspace.sync().await.unwrap().pushed.len(), 2);
    assert!(ada.workspace.state().await.unwrap().unsent.is_empty());

    grace.workspace.sync().await.unwrap();
    assert_eq!(grace.field("task_goal").await, "Ship it");
    grace.workspace.set("current_step", "Testing").await.unwrap();
    grace.workspace.sync().await.unwrap();
    ada.workspace.sync().await.unwrap();
    // A partial local state writes nothing over what it does not hold.
    assert_eq!(ada.field("progress_data").await, json!({"files": 5, "deep": {"a": [1, null]}}));
    assert_eq!(ada.field("current_step").await, "Testing");
    assert_eq!(ada.workspace.sync_state(), SyncState::Synced);
}

#[tokio::test]
async fn w04_a_change_on_both_sides_keeps_the_clouds_value_and_logs_the_local_one() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for device in [&ada, &grace] {
        device.workspace.sync().await.unwrap();
    }
    let mut events = grace.engine.events();
    ada.workspace.set("current_step", "hers").await.unwrap();
    grace.workspace.set("current_step", "mine").await.unwrap();
    grace.workspace.set("task_goal", "only mine").await.unwrap();
    ada.workspace.sync().await.unwrap();
    let report = grace.workspace.sync().await.unwrap();

    assert_eq!(report.conflicts.len(), 1);
    let conflict = &report.conflicts[0];
    assert_eq!(
        (&*conflict.field, &conflict.local_value, &conflict.cloud_value),
        ("current_step", &json!("mine"), &json!("hers"))
    );
    assert_eq!(
        (grace.field("current_step").await, grace.field("task_goal").await),
        (json!("hers"), json!("only mine"))
    );
    assert_eq!(grace.workspace.conflicts().await.unwrap(), report.conflicts);
    let mut told = Vec::new();
    while let Some(cloud_client::events::Heard::Event(event)) = events.try_next() {
        told.push(serde_json::to_value(event).unwrap());
    }
    let told: Vec<_> = told.iter().filter(|event| event["type"] == "conflict").collect();
    assert_eq!((told.len(), &told[0]["local_value"], &told[0]["cloud_value"]), (1, &json!("mine"), &json!("hers")));

    // The person prefers the local value after all.
    assert!(grace.workspace.settle_conflict(conflict.id, Choice::Local).await.unwrap());
    assert!(!grace.workspace.settle_conflict(conflict.id, Choice::Local).await.unwrap());
    grace.workspace.sync().await.unwrap();
    ada.workspace.sync().await.unwrap();
    assert_eq!(ada.field("current_step").await, "mine");
    assert!(grace.workspace.conflicts().await.unwrap().is_empty());
}

#[tokio::test]
async fn w01_a_lost_answer_to_a_push_is_no_conflict() {
    let cloud = cloud().await;
    let (ada, _) = Device::pair(&cloud).await;
    ada.workspace.sync().await.unwrap();
    ada.workspace.set("task_goal", "once").await.unwrap();
    cloud.inject(Fault::lose_reply().on("/rest/v1/workspaces").method("PATCH"));
    ada.workspace.sync().await.unwrap_err();
    assert_eq!(ada.workspace.sync_state(), SyncState::Offline);
    let report = ada.workspace.sync().await.unwrap();
    assert!(report.conflicts.is_empty() && report.pushed.is_empty());
    assert!(ada.workspace.state().await.unwrap().unsent.is_empty());
}

#[tokio::test]
async fn w05_a_change_made_after_a_lost_answer_does_not_clash_with_ones_own_write() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    device.workspace.sync().await.unwrap();
    let before = device.field("current_step").await;
    for after in [json!("second"), before] {
        device.workspace.set("current_step", "first").await.unwrap();
        cloud.inject(Fault::lose_reply().on("/rest/v1/workspaces").method("PATCH"));
        device.workspace.sync().await.unwrap_err();
        // Also a change back to what was there before has to reach the cloud.
        device.workspace.set("current_step", after.clone()).await.unwrap();
        assert!(device.workspace.sync().await.unwrap().conflicts.is_empty());
        assert_eq!(device.field("current_step").await, after);
        assert!(device.workspace.sync().await.unwrap().pulled.is_empty());
    }
}

#[tokio::test]
async fn w01_an_own_write_that_arrives_late_is_no_conflict() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    device.workspace.sync().await.unwrap();
    device.workspace.set("current_step", "first").await.unwrap();
    cloud.inject(Fault::lose_request().on("/rest/v1/workspaces").method("PATCH"));
    device.workspace.sync().await.unwrap_err();
    // The write is still on its way while its writer looks, and while the next change is made.
    device.workspace.pull().await.unwrap();
    device.workspace.set("current_step", "second").await.unwrap();
    let late = device.client.table("workspaces").update(&json!({"current_step": "first"}));
    assert_eq!(late.eq("id", device.workspace.id()).affected().await.unwrap(), 1);
    let report = device.workspace.sync().await.unwrap();
    assert!(report.conflicts.is_empty(), "{report:?}");
    assert_eq!(report.pushed, ["current_step"]);
    assert_eq!(device.field("current_step").await, "second");
}

#[tokio::test]
async fn w05_numbers_arrive_as_they_were_set() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let random = cloud_client::random::Random::seeded(1);
    let numbers: Vec<f64> =
        (0..500).map(|_| random.fraction()).chain([0.1 + 0.2, 1.0 / 3.0, 31.245270191439438]).collect();
    ada.workspace.set("progress_data", json!({"numbers": numbers})).await.unwrap();
    assert_eq!(ada.workspace.sync().await.unwrap().pushed, ["progress_data"]);
    assert!(ada.workspace.state().await.unwrap().unsent.is_empty());
    grace.workspace.sync().await.unwrap();
    for device in [&ada, &grace] {
        assert_eq!(device.field("progress_data").await, json!({"numbers": numbers}));
    }
}

#[tokio::test]
async fn d04_a_state_is_told_once_and_a_quiet_sync_leaves_the_link_file_alone() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    device.workspace.sync().await.unwrap();
    let file = device.folder().join(cloud_sync::link::LINK_FILE_NAME);
    let written = std::fs::read(&file).unwrap();
    let mut events = device.engine.events();
    device.workspace.sync().await.unwrap();
    cloud.set_offline(true);
    device.workspace.sync().await.unwrap_err();
    device.workspace.sync().await.unwrap_err();
    let mut told = Vec::new();
    while let Some(cloud_client::events::Heard::Event(event)) = events.try_next() {
        told.push(serde_json::to_value(event).unwrap()["state"].clone());
    }
    assert_eq!(told, ["syncing", "synced", "syncing", "offline", "syncing", "offline"]);
    assert_eq!(std::fs::read(&file).unwrap(), written);
}

#[tokio::test]
async fn values_that_no_column_can_hold_are_refused_at_once() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    for (field, value) in
        [("task_goal", json!([1])), ("next_steps", json!("x")), ("shared_memory", json!({"a": ["\0"]}))]
    {
        assert_eq!(device.workspace.set(field, value).await.unwrap_err().code(), codes::BAD_VALUE, "{field}");
    }
}

#[tokio::test]
async fn a_change_back_to_what_the_cloud_holds_is_nothing_to_send() {
    let cloud = cloud().await;
    let (ada, _) = Device::pair(&cloud).await;
    ada.workspace.sync().await.unwrap();
    let before = ada.field("status").await;
    ada.workspace.set("status", "paused").await.unwrap();
    ada.workspace.set("status", before).await.unwrap();
    assert!(ada.workspace.sync().await.unwrap().pushed.is_empty());
    assert_eq!(cloud.requests("/rest/v1/workspaces"), 3 + 1, "links read it twice, syncs read it twice");
}

#[tokio::test]
async fn changes_survive_a_restart_and_unknown_fields_are_refused() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    device.workspace.set("next_steps", json!(["a", "b"])).await.unwrap();
    let error = device.workspace.set("id", Value::Null).await.unwrap_err();
    assert_eq!(error.code(), codes::UNKNOWN_FIELD);
    let device = device.restart().await;
    assert_eq!(device.field("next_steps").await, json!(["a", "b"]));
    assert_eq!(device.workspace.sync().await.unwrap().pushed, ["next_steps"]);
}

#[tokio::test]
async fn w06_taking_turns_on_one_field_ends_with_both_devices_alike() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for n in 0..10 {
        let (writer, reader) = if n % 2 == 0 { (&ada, &grace) } else { (&grace, &ada) };
        writer.workspace.set("shared_memory", json!({"turn": n})).await.unwrap();
        writer.workspace.sync().await.unwrap();
        let report = reader.workspace.sync().await.unwrap();
        assert!(report.conflicts.is_empty() && report.pushed.is_empty());
        assert_eq!(reader.field("shared_memory").await, json!({"turn": n}));
    }
}
