//! Opening, living and closing.
use std::time::Duration;

use cloud_sdk::{
    Cloud, CloudEvent, Error, Status,
    auth::{
        SecretStore,
        store::{SecretKey, SecretStoreHandle},
    },
    client::events::Heard,
    sync::{MessageState, NewMessage, SyncEvent},
};
use secrecy::SecretString;

use crate::app::{App, cloud, sign_in, stop};

#[tokio::test]
async fn d01_without_settings_there_is_no_cloud_and_nothing_was_touched() {
    let home = tempfile::tempdir().unwrap();
    let opened = Cloud::builder(home.path().join("state")).prefix("NOBODY_SETS_THIS_").open().await.unwrap();
    assert!(opened.is_none());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    assert!(!Status::unconfigured().configured);
}

/// A keyring that never answers.
#[derive(Debug)]
struct Hung;

#[async_trait::async_trait]
impl SecretStore for Hung {
    async fn get(&self, _: &SecretKey) -> Result<Option<SecretString>, Error> {
        std::future::pending().await
    }

    async fn put(&self, _: &SecretKey, _: SecretString) -> Result<(), Error> {
        std::future::pending().await
    }

    async fn delete(&self, _: &SecretKey) -> Result<(), Error> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn d02_opening_waits_for_neither_network_nor_keyring_nor_disk() {
    let server = cloud().await;
    let mut app = App::new(&server);
    app.config.url = "https://no-such-host.invalid".to_owned();
    // The state directory cannot be made: a file is in its place.
    std::fs::write(app.home.path().join("state"), "in the way").unwrap();
    let clock = cloud_sdk::client::clock::SharedClock::default();
    let before = clock.monotonic();
    let cloud = app.builder().secrets(SecretStoreHandle::new(Hung)).open().await.unwrap().unwrap();
    assert!(cloud.status().configured && !cloud.status().logged_in);
    assert_eq!(clock.monotonic(), before, "no timer was waited for");
    assert_eq!(cloud.sync().await.unwrap_err().code().as_str(), "sync.store_failed");
    cloud.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn l02_closing_keeps_the_login_and_signing_out_ends_it() {
    let server = cloud().await;
    let app = App::new(&server);
    let person = &server.demo().people[0];
    stop(app.start_signed_in(person).await).await;
    for _ in 0..2 {
        let cloud = app.start().await;
        assert!(cloud.auth().settled().await.is_signed_in());
        stop(cloud).await;
    }
    let cloud = app.start().await;
    cloud.auth().settled().await;
    let out = cloud.auth().sign_out(cloud_sdk::auth::Scope::Local).await.unwrap();
    assert!(out.removed.is_ok() && out.revoked.is_ok(), "{out:?}");
    stop(cloud).await;
    let cloud = app.start().await;
    assert!(!cloud.auth().settled().await.is_signed_in());
    stop(cloud).await;
}

#[tokio::test]
async fn without_auto_login_a_stored_login_waits_untouched() {
    let server = cloud().await;
    let mut app = App::new(&server);
    stop(app.start_signed_in(&server.demo().people[0]).await).await;
    app.config.auto_login = false;
    let cloud = app.start().await;
    assert!(!cloud.auth().settled().await.is_signed_in());
    stop(cloud).await;
    app.config.auto_login = true;
    let cloud = app.start().await;
    assert!(cloud.auth().settled().await.is_signed_in());
    stop(cloud).await;
}

#[tokio::test]
async fn a_linked_folder_syncs_by_itself_and_is_taken_up_again_at_the_next_start() {
    let server = cloud().await;
    let [ada, grace] = &server.demo().people;
    let (one, two) = (App::new(&server), App::new(&server));
    let (here, there) = (one.start_signed_in(ada).await, two.start_signed_in(grace).await);
    let workspace = here.link(&one.folder(), &server.demo().workspace_id).await.unwrap();
    let mirror = there.link(&two.folder(), &server.demo().workspace_id).await.unwrap();
    let status = serde_json::to_value(here.status()).unwrap();
    let linked = serde_json::json!({"id": server.demo().workspace_id, "name": "Demo", "folder": workspace.folder()});
    assert_eq!(status["linkedWorkspace"], linked);

    let mut events = there.events();
    workspace.set("current_step", "nobody calls sync").await.unwrap();
    workspace.conversation("chat").await.unwrap().append(NewMessage::user("nor here")).await.unwrap();
    let (mut state, mut message) = (false, false);
    while !(state && message) {
        match events.next().await.unwrap() {
            // The first pull of all brings the field as it was before.
            Heard::Event(CloudEvent::Sync(SyncEvent::Pulled { .. })) => {
                state = mirror.state().await.unwrap().fields["current_step"] == "nobody calls sync";
            }
            Heard::Event(CloudEvent::Sync(SyncEvent::MessagesReceived { count, .. })) => message |= count == 1,
            _ => {}
        }
    }
    drop(mirror); // whoever holds it keeps the store open
    stop(here).await;
    stop(there).await;

    let again = two.builder().clock(crate::app::hurried()).workspace(two.folder()).open().await.unwrap().unwrap();
    let mut events = again.events();
    while again.status().linked_workspace.is_none() {
        events.next().await.unwrap();
    }
    let workspace = again.linked(&two.folder()).await.unwrap().unwrap();
    assert_eq!(workspace.state().await.unwrap().fields["current_step"], "nobody calls sync");
    assert!(again.unlink().await.unwrap());
    assert!(!again.unlink().await.unwrap());
    stop(again).await;
}

#[tokio::test]
async fn calls_that_need_somebody_say_so_and_do_nothing() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start().await;
    cloud.auth().settled().await;
    let error = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap_err();
    assert_eq!(error.code().as_str(), "cloud.sign_in_first");
    assert!(cloud.linked(&app.folder()).await.is_err());
    assert!(!app.folder().join(".cloud-link.json").exists());
    stop(cloud).await;
}

#[tokio::test]
async fn a_workspace_that_nobody_has_is_told_as_such_whatever_its_id_looks_like() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    for id in ["", "nonsense", "00000000-0000-4000-8000-000000000000"] {
        let error = cloud.link(&app.folder(), id).await.unwrap_err();
        assert_eq!(error.code().as_str(), "sync.workspace_gone", "{id:?}");
        assert!(error.to_string().contains("Check its id"), "{error}");
    }
    stop(cloud).await;
}

#[tokio::test]
async fn c02_signing_out_lets_go_of_the_workspace() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    let mut events = cloud.events();
    cloud.auth().sign_out(cloud_sdk::auth::Scope::Local).await.unwrap();
    while cloud.status().linked_workspace.is_some() {
        events.next().await.unwrap();
    }
    assert!(!cloud.status().logged_in);
    stop(cloud).await;
}

#[tokio::test]
async fn a07_what_one_user_wrote_is_never_sent_in_the_name_of_the_next() {
    let server = cloud().await;
    let [ada, grace] = &server.demo().people;
    let app = App::new(&server);
    let cloud = app.start_signed_in(ada).await;
    // Both may write to this workspace: the cloud would take Ada's words from Grace.
    let kept = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    let chat = kept.conversation("chat").await.unwrap();
    cloud.auth().sign_out(cloud_sdk::auth::Scope::Local).await.unwrap();
    chat.append(NewMessage::user("Ada's, written while nobody was signed in")).await.unwrap();
    assert_eq!(kept.sync().await.unwrap_err().code().as_str(), "client.other_user");

    sign_in(&cloud, grace).await.unwrap();
    chat.append(NewMessage::user("Ada's, written while Grace was signed in")).await.unwrap();
    assert_eq!(kept.sync().await.unwrap_err().code().as_str(), "client.other_user");
    let hers = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    hers.sync().await.unwrap();
    assert_eq!(hers.conversation("chat").await.unwrap().messages().await.unwrap().len(), 0);

    sign_in(&cloud, ada).await.unwrap();
    // Her workspace is taken up again: one of the two syncs has sent them.
    kept.sync().await.unwrap();
    let messages = chat.messages().await.unwrap();
    assert_eq!(messages.len(), 2, "nothing was lost");
    assert!(messages.iter().all(|message| message.state == MessageState::Sent), "{messages:?}");
    drop((chat, kept, hers)); // whoever holds them keeps the store open
    stop(cloud).await;
}
