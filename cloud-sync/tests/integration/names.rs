//! Names of conversations: what the cloud calls one, what a device calls it, and what happens when these part.
use cloud_sync::NewMessage;
use serde_json::{Value, json};

use crate::devices::{Device, cloud};

/// Begins a conversation in the cloud, as another client would.
async fn begin(device: &Device, id: u32, name: &Value) -> String {
    let id = format!("c0000000-0000-4000-8000-{id:012}");
    let row = json!({"id": id, "workspace_id": device.workspace.id(), "name": name});
    device.client.table("conversations").insert(&row).send().await.unwrap();
    id
}

#[tokio::test]
async fn any_usable_name_is_the_same_on_every_device() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let long = "n".repeat(200);
    let names = ["a/b\\c", "..", "名前 🚀", "  ", "%2F?&=,.()\"'", "chat~c0000000", "e\u{301}", "é", &*long];
    for name in names {
        ada.workspace.conversation(name).await.unwrap().append(NewMessage::user(name)).await.unwrap();
    }
    ada.workspace.sync().await.unwrap();
    grace.workspace.sync().await.unwrap();
    for name in names {
        let there = grace.workspace.conversation(name).await.unwrap();
        assert_eq!(there.messages().await.unwrap().len(), 1, "{name:?}");
        there.append(NewMessage::user("seen")).await.unwrap();
    }
    assert_eq!(grace.workspace.sync().await.unwrap().sent, names.len());
    assert_eq!(grace.workspace.conversations().await.unwrap().len(), names.len());
    assert_eq!(ada.workspace.sync().await.unwrap().received, names.len());
}

#[tokio::test]
async fn of_two_conversations_of_one_name_every_device_takes_the_oldest() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    // The younger one comes first by id, which is how pages are read.
    let oldest = begin(&ada, 2, &json!("chat")).await;
    begin(&ada, 1, &json!("chat")).await;
    // One has begun "chat" before it heard of either, the other hears first.
    ada.chat().await.append(NewMessage::user("from ada")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    grace.workspace.sync().await.unwrap();
    assert_eq!(ada.chat().await.cloud_id().await.unwrap(), oldest);
    assert_eq!(grace.chat().await.cloud_id().await.unwrap(), oldest);
    assert_eq!(grace.texts().await, ["from ada"]);
}

#[tokio::test]
async fn a_conversation_renamed_in_the_cloud_does_not_stop_the_sync() {
    let cloud = cloud().await;
    let ada = Device::new(&cloud, &cloud.demo().people[0]).await;
    let plan = ada.workspace.conversation("plan").await.unwrap();
    plan.append(NewMessage::user("one")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let id = plan.cloud_id().await.unwrap();
    ada.client.table("conversations").update(&json!({"name": "old plan"})).eq("id", &id).send().await.unwrap();

    // Its new name is free on this device.
    let renamed = ada.workspace.conversation("old plan").await.unwrap();
    renamed.append(NewMessage::user("two")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    assert_ne!(renamed.cloud_id().await.unwrap(), id);
    assert_eq!(plan.cloud_id().await.unwrap(), id);

    // Its old name is free on another.
    let grace = Device::new(&cloud, &cloud.demo().people[1]).await;
    grace.workspace.conversation("plan").await.unwrap().append(NewMessage::user("three")).await.unwrap();
    grace.workspace.sync().await.unwrap();
    assert_eq!(grace.texts_in_cloud().await.len(), 3);
    assert_ne!(grace.workspace.conversation("plan").await.unwrap().cloud_id().await.unwrap(), id);
}

#[tokio::test]
async fn a_conversation_without_a_name_is_taken_up_under_one() {
    let cloud = cloud().await;
    let ada = Device::new(&cloud, &cloud.demo().people[0]).await;
    for (id, name) in [Value::Null, json!(""), json!("a\nb"), json!("x".repeat(5000))].iter().enumerate() {
        begin(&ada, u32::try_from(id).unwrap(), name).await;
    }
    ada.workspace.sync().await.unwrap();
    let known = ada.workspace.conversations().await.unwrap();
    assert_eq!(known.len(), 4);
    for conversation in known {
        conversation.append(NewMessage::user("hello")).await.unwrap();
    }
    assert_eq!(ada.workspace.sync().await.unwrap().sent, 4);
}

#[tokio::test]
async fn a_conversation_that_was_only_opened_here_receives_too() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let shown = grace.chat().await;
    grace.workspace.sync().await.unwrap();
    ada.chat().await.append(NewMessage::user("hello")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    assert_eq!(grace.workspace.sync().await.unwrap().received, 1);
    assert_eq!(shown.messages().await.unwrap().len(), 1);
    assert_eq!(grace.workspace.conversations().await.unwrap().len(), 1);
}
