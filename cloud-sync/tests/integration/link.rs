//! Making and ending links.
use std::time::Duration;

use cloud_client::{clock::SharedClock, retry::Policy};
use cloud_dev::Fault;
use cloud_sync::{
    Engine, NewMessage, codes,
    link::{LINK_FILE_NAME, LinkRecord},
};

use crate::devices::{Device, client, client_with, cloud};

#[tokio::test]
async fn a_link_is_recorded_and_pointed_to_by_a_readable_file() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let record = LinkRecord::read(&device.folder()).unwrap().unwrap();
    assert_eq!((record.version, &record.cloud_workspace_id), (1, &cloud.demo().workspace_id));
    assert!(record.sync_config.auto_sync && !record.sync_config.sync_files);
    assert_eq!(record.sync_config.sync_interval_ms, 30_000);

    device.chat().await.append(NewMessage::user("hello")).await.unwrap();
    device.workspace.sync().await.unwrap();
    let record = LinkRecord::read(&device.folder()).unwrap().unwrap();
    assert!(record.last_sync_at.is_some());
    assert!(record.conversations["chat"].last_local_message_id.is_some());
}

#[tokio::test]
async fn a_workspace_that_cannot_be_seen_is_not_linked() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let other = device.folder().join("inner");
    std::fs::create_dir(&other).unwrap();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let error = device.engine.link(&other, device.workspace.user(), unknown).await.unwrap_err();
    assert_eq!(error.code(), codes::WORKSPACE_GONE);
    assert!(!other.join(LINK_FILE_NAME).exists());

    let organization = &cloud.demo().org_id;
    let second = device.engine.create_workspace(organization, device.workspace.user(), "second one").await.unwrap();
    let error = device.engine.link(&device.folder(), device.workspace.user(), &second.id).await.unwrap_err();
    assert_eq!(error.code(), codes::ALREADY_LINKED);
    assert_eq!(device.engine.list_workspaces(organization).await.unwrap().len(), 2);
}

#[tokio::test]
async fn c02_a_link_file_that_came_with_a_folder_does_nothing_by_itself() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let home = tempfile::tempdir().unwrap();
    let planted = home.path().join("clone");
    std::fs::create_dir(&planted).unwrap();
    std::fs::copy(device.folder().join(LINK_FILE_NAME), planted.join(LINK_FILE_NAME)).unwrap();
    assert!(device.engine.linked(&planted, device.workspace.user()).await.unwrap().is_none());
    let proposed = device.engine.proposed_link(&planted).await.unwrap().unwrap();
    assert_eq!(proposed.cloud_workspace_id, cloud.demo().workspace_id);
}

#[tokio::test]
async fn o08_a_link_belongs_to_one_user() {
    let cloud = cloud().await;
    let [ada, grace] = &cloud.demo().people;
    let device = Device::new(&cloud, ada).await;
    assert!(device.engine.linked(&device.folder(), &grace.user_id).await.unwrap().is_none());
}

#[tokio::test]
async fn o10_unlinking_deletes_nothing_and_linking_again_doubles_nothing() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let chat = device.chat().await;
    chat.append(NewMessage::user("one")).await.unwrap();
    device.workspace.sync().await.unwrap();
    chat.append(NewMessage::user("two")).await.unwrap();
    device.workspace.unlink().await.unwrap();
    assert!(!device.folder().join(LINK_FILE_NAME).exists());
    assert!(device.engine.linked(&device.folder(), device.workspace.user()).await.unwrap().is_none());

    let again = device.engine.link(&device.folder(), device.workspace.user(), device.workspace.id()).await.unwrap();
    again.sync().await.unwrap();
    assert_eq!(device.texts_in_cloud().await, ["one", "two"]);
    assert_eq!(device.texts().await, ["one", "two"]);
}

#[tokio::test]
async fn c04_nothing_leaves_or_arrives_once_the_link_is_ended() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let (workspace, chat) = (&device.workspace, device.chat().await);
    chat.append(NewMessage::user("one")).await.unwrap();
    workspace.sync().await.unwrap();
    let unsent = workspace.conversation("never sent").await.unwrap();
    workspace.unlink().await.unwrap();
    chat.append(NewMessage::user("two")).await.unwrap();
    workspace.set("current_step", "alone").await.unwrap();
    let before = cloud.requests("/rest/v1/");
    let refused = [
        workspace.sync().await.map(drop),
        workspace.push().await.map(drop),
        workspace.pull().await.map(drop),
        chat.push().await.map(drop),
        chat.pull().await.map(drop),
        unsent.cloud_id().await.map(drop),
        workspace.members().await.map(drop),
        workspace.report_presence(None).await,
    ];
    for answer in refused {
        assert_eq!(answer.unwrap_err().code(), codes::NOT_LINKED);
    }
    assert_eq!(cloud.requests("/rest/v1/"), before);
    assert_eq!(device.texts().await, ["one", "two"], "local work goes on");
    assert!(chat.cloud_id().await.is_ok(), "what is known needs no cloud");
    workspace.unlink().await.unwrap();
}

#[tokio::test]
async fn c04_linking_again_revives_no_handle_of_the_former_link() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let (before, chat) = (&device.workspace, device.chat().await);
    before.unlink().await.unwrap();
    let again = device.engine.link(&device.folder(), before.user(), before.id()).await.unwrap();
    chat.append(NewMessage::user("kept for the link")).await.unwrap();
    assert_eq!(before.sync().await.unwrap_err().code(), codes::NOT_LINKED);
    assert_eq!(chat.push().await.unwrap_err().code(), codes::NOT_LINKED);
    before.unlink().await.unwrap();
    assert_eq!(again.sync().await.unwrap().sent, 1, "the former link was ended once, and this one not at all");
}

#[tokio::test]
async fn a_workspace_whose_answer_was_lost_is_made_once() {
    let cloud = cloud().await;
    let ada = &cloud.demo().people[0];
    let home = tempfile::tempdir().unwrap();
    let client = client_with(&cloud, ada, Policy::default(), SharedClock::default()).await;
    let engine = Engine::open(client, home.path().join("sync.db")).await.unwrap();
    cloud.inject(Fault::lose_reply().on("/rest/v1/workspaces").method("POST"));
    let made = engine.create_workspace(&cloud.demo().org_id, &ada.user_id, "second one").await.unwrap();
    assert_eq!(made.name, "second one");
    let all = engine.list_workspaces(&cloud.demo().org_id).await.unwrap();
    assert_eq!(all.iter().filter(|seen| seen.id == made.id).count(), 1);
    assert_eq!(all.len(), 2);
    let error = engine.create_workspace(&cloud.demo().org_id, &ada.user_id, "second one").await.unwrap_err();
    assert_eq!(error.kind(), cloud_client::ErrorKind::Conflict, "another one of this name is none of ours");
}

#[tokio::test]
async fn h02_h04_a_closed_engine_has_let_go_and_can_be_opened_again_at_once() {
    let cloud = cloud().await;
    let ada = &cloud.demo().people[0];
    let home = tempfile::tempdir().unwrap();
    let client = client(&cloud, ada).await;
    let open = || Engine::open(client.clone(), home.path().join("sync.db"));
    let mut old = Vec::new();
    for _ in 0..3 {
        let engine = open().await.unwrap();
        let workspace = engine.link(home.path(), &ada.user_id, &cloud.demo().workspace_id).await.unwrap();
        let kept = workspace.keep_synced(cloud_sync::AutoSync::default());
        assert!(engine.close(Duration::from_secs(20)).await && engine.close(Duration::ZERO).await);
        // Whoever still has a handle learns that it is over, and does not hold the store.
        assert_eq!(workspace.state().await.unwrap_err().code(), codes::STORE_CLOSED);
        old.push((engine, workspace, kept));
    }
}

#[tokio::test]
async fn p01_a_lost_state_directory_comes_back_from_the_cloud_without_doubles() {
    let cloud = cloud().await;
    let ada = &cloud.demo().people[0];
    let device = Device::new(&cloud, ada).await;
    device.chat().await.append_all(vec![NewMessage::user("a"), NewMessage::assistant("b")]).await.unwrap();
    device.workspace.sync().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::open(client(&cloud, ada).await, home.path().join("new/sync.db")).await.unwrap();
    let workspace = engine.link(&device.folder(), &ada.user_id, device.workspace.id()).await.unwrap();
    workspace.sync().await.unwrap();
    workspace.sync().await.unwrap();
    let messages = workspace.conversation("chat").await.unwrap().messages().await.unwrap();
    assert_eq!(messages.iter().map(|message| &*message.content).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(device.texts_in_cloud().await.len(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_whose_file_cannot_be_written_was_not_made() {
    let cloud = cloud().await;
    let ada = &cloud.demo().people[0];
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::open(client(&cloud, ada).await, home.path().join("state/sync.db")).await.unwrap();
    let folder = home.path().join("project");
    // Nothing can take this name, whatever the rights of whoever runs the test.
    std::fs::create_dir_all(folder.join(LINK_FILE_NAME)).unwrap();
    for n in 1..=1000 {
        std::fs::create_dir(folder.join(format!("{LINK_FILE_NAME}.damaged-{n}"))).unwrap();
    }
    let link = || engine.link(&folder, &ada.user_id, &cloud.demo().workspace_id);
    assert_eq!(link().await.unwrap_err().code(), codes::LINK_FILE);
    assert!(engine.linked(&folder, &ada.user_id).await.unwrap().is_none());
    std::fs::remove_dir(folder.join(LINK_FILE_NAME)).unwrap();
    link().await.unwrap();
    assert!(engine.linked(&folder, &ada.user_id).await.unwrap().is_some());
}
