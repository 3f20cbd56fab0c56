//! Hints make a kept workspace pull, and never do more than that.
use std::time::Duration;

use cloud_client::events::{Heard, Listener};
use cloud_sync::{AutoSync, Hint, NewMessage, SyncEvent};
use serde_json::{Value, json};

use crate::devices::{Device, cloud};

/// So long that only a hint can be the reason for a sync.
const NEVER: Duration = Duration::from_secs(3600);

/// Waits for an event that `wanted` takes.
async fn heard<T>(events: &mut Listener<SyncEvent>, wanted: fn(SyncEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(Heard::Event(event)) = events.next().await
                && let Some(found) = wanted(event)
            {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap()
}

fn synced(event: SyncEvent) -> Option<()> {
    matches!(event, SyncEvent::State { state: cloud_sync::SyncState::Synced, .. }).then_some(())
}

fn received(event: SyncEvent) -> Option<usize> {
    if let SyncEvent::MessagesReceived { count, .. } = event { Some(count) } else { None }
}

async fn newest(device: &Device) -> (String, String) {
    let rows = device.client.table("messages").select(["id", "conversation_id"]).order("seq").fetch::<Value>().await;
    let row = rows.unwrap().into_iter().next_back().unwrap();
    (row["conversation_id"].as_str().unwrap().to_owned(), row["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn p07_a_hint_pulls_what_it_tells_of_and_stores_nothing_itself() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    ada.chat().await.append(NewMessage::user("one")).await.unwrap();
    ada.workspace.sync().await.unwrap();

    let mut events = grace.engine.events();
    let _kept = grace.workspace.keep_synced(AutoSync::default().interval(NEVER));
    heard(&mut events, synced).await;
    assert_eq!(grace.texts().await, ["one"]);

    ada.chat().await.append(NewMessage::user("two")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let (conversation, _) = newest(&ada).await;
    // A lie about the id costs a pull, no more.
    grace.workspace.hint(Hint::Message { conversation: conversation.clone(), id: "no such".to_owned() }).await;
    assert_eq!(heard(&mut events, received).await, 1);
    assert_eq!(grace.texts().await, ["one", "two"]);

    assert_eq!(grace.workspace.conversation("chat").await.unwrap().cloud_id().await.unwrap(), conversation);
}

#[tokio::test]
async fn p06_what_is_here_already_is_not_asked_for_again() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let other = ada.workspace.conversation("other").await.unwrap();
    ada.chat().await.append(NewMessage::user("known")).await.unwrap();
    other.append(NewMessage::user("one")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let mut events = grace.engine.events();
    let _kept = grace.workspace.keep_synced(AutoSync::default().interval(NEVER));
    heard(&mut events, synced).await;

    let known = grace.chat().await.messages().await.unwrap().pop().unwrap().id;
    let chat = grace.chat().await.cloud_id().await.unwrap();
    let row = grace.client.table("workspaces").select(["updated_at"]).one::<Value>().await.unwrap().unwrap();
    let (asked, states) = (cloud.requests("/rest/v1/messages"), cloud.requests("/rest/v1/workspaces"));
    let (rounds, mut pulls) = (3, 0);
    for round in 0..rounds {
        grace.workspace.hint(Hint::Message { conversation: chat.clone(), id: known.clone() }).await;
        grace.workspace.hint(Hint::State { version: row["updated_at"].as_str().unwrap().to_owned() }).await;
        // One that is new, so that there is something to wait for.
        other.append(NewMessage::user(format!("round {round}"))).await.unwrap();
        other.push().await.unwrap();
        pulls += 1;
        grace.workspace.hint(Hint::Message { conversation: other.cloud_id().await.unwrap(), id: String::new() }).await;
        heard(&mut events, received).await;
    }
    // Each push is one request, and each pull two: the page, and the empty one that ends it (not yet, for the last).
    let requests = cloud.requests("/rest/v1/messages") - asked;
    assert!((3 * pulls - 1..=3 * pulls).contains(&requests), "{requests}");
    assert_eq!(cloud.requests("/rest/v1/workspaces"), states);
}

#[tokio::test]
async fn a_conversation_that_a_hint_names_first_is_found() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let mut events = grace.engine.events();
    let _kept = grace.workspace.keep_synced(AutoSync::default().interval(NEVER));
    heard(&mut events, synced).await;

    let begun = ada.workspace.conversation("begun later").await.unwrap();
    begun.append(NewMessage::user("hello")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let (conversation, id) = newest(&ada).await;
    grace.workspace.hint(Hint::Message { conversation, id }).await;
    assert_eq!(heard(&mut events, received).await, 1);
}

#[tokio::test]
async fn a_hint_about_the_state_and_one_about_everything_sync() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let mut events = grace.engine.events();
    let _kept = grace.workspace.keep_synced(AutoSync::default().interval(NEVER));
    heard(&mut events, synced).await;

    for (step, hint) in [("first", Hint::State { version: "another".to_owned() }), ("second", Hint::Everything)] {
        ada.workspace.set("current_step", json!(step)).await.unwrap();
        ada.workspace.sync().await.unwrap();
        grace.workspace.hint(hint).await;
        heard(&mut events, synced).await;
        assert_eq!(grace.field("current_step").await, json!(step));
    }
}

#[tokio::test]
async fn messages_of_another_workspace_cost_one_sync_and_then_nothing() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let mut events = grace.engine.events();
    let _kept = grace.workspace.keep_synced(AutoSync::default().interval(NEVER));
    heard(&mut events, synced).await;
    let chat = ada.chat().await;
    chat.append(NewMessage::user("one")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let ours = newest(&ada).await.0;

    let foreign = || Hint::Message { conversation: "elsewhere".to_owned(), id: "m".to_owned() };
    let states = cloud.requests("/rest/v1/workspaces");
    grace.workspace.hint(foreign()).await;
    heard(&mut events, synced).await;
    assert_eq!(cloud.requests("/rest/v1/workspaces") - states, 1);
    // The next one is for us: by its arrival the foreign one would have cost a sync again.
    grace.workspace.hint(foreign()).await;
    chat.append(NewMessage::user("two")).await.unwrap();
    chat.push().await.unwrap();
    grace.workspace.hint(Hint::Message { conversation: ours, id: "new".to_owned() }).await;
    while grace.texts().await != ["one", "two"] {
        heard(&mut events, received).await;
    }
    grace.workspace.hint(Hint::Everything).await;
    heard(&mut events, synced).await;
    assert_eq!(cloud.requests("/rest/v1/workspaces") - states, 2);
}

#[tokio::test]
async fn a_message_leaves_at_once_and_a_change_of_state_after_the_debounce() {
    let cloud = cloud().await;
    let (ada, _) = Device::pair(&cloud).await;
    let mut events = ada.engine.events();
    let _kept = ada.workspace.keep_synced(AutoSync::default().interval(NEVER).debounce(NEVER));
    heard(&mut events, synced).await;
    let states = cloud.requests("/rest/v1/workspaces");
    ada.workspace.set("current_step", json!("writing")).await.unwrap();
    ada.chat().await.append(NewMessage::user("now")).await.unwrap();
    let sent = |event| if let SyncEvent::MessagesSent { count, .. } = event { Some(count) } else { None };
    assert_eq!(heard(&mut events, sent).await, 1);
    assert_eq!(ada.texts_in_cloud().await, ["now"]);
    assert_eq!(cloud.requests("/rest/v1/workspaces"), states);
}
