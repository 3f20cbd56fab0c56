//! Which workspace is at hand: the one that the host chose last, of whoever is signed in, whole or not at all.
use std::{future::poll_fn, path::PathBuf, pin::pin, task::Poll, time::Duration};

use cloud_dev::{DemoPerson, Running};
use cloud_sdk::{
    Cloud,
    auth::Scope,
    client::transport::{HttpTransport, SharedTransport},
};

use crate::{
    app::{App, cloud, sign_in, stop},
    live::{LIMIT, Slow},
};

/// The folder of the workspace at hand.
fn at_hand(cloud: &Cloud) -> Option<PathBuf> {
    let linked = cloud.status().linked_workspace?;
    Some(linked["folder"].as_str().unwrap().into())
}

/// Waits until a workspace is at hand, or none.
async fn until_at_hand(cloud: &Cloud, wanted: bool) {
    let mut events = cloud.events();
    let found = async {
        while at_hand(cloud).is_some() != wanted {
            // Not every change is told by an event of its own.
            let _ = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
        }
    };
    tokio::time::timeout(LIMIT, found).await.expect("it should be at hand by now");
}

/// Another folder of the app.
fn second_folder(app: &App) -> PathBuf {
    let folder = app.home.path().join("second");
    std::fs::create_dir(&folder).unwrap();
    folder
}

async fn new_workspace(cloud: &Cloud, server: &Running, person: &DemoPerson, name: &str) -> String {
    let engine = cloud.sync().await.unwrap();
    engine.create_workspace(&server.demo().org_id, &person.user_id, name).await.unwrap().id
}

#[tokio::test]
async fn a07_a_late_link_of_the_former_user_does_not_replace_the_workspace_of_the_present_one() {
    let server = cloud().await;
    let [ada, grace] = &server.demo().people;
    let app = App::new(&server);
    let slow = Slow::new(SharedTransport::new(HttpTransport::new(true)));
    let cloud = app.builder().transport(SharedTransport::new(slow.clone())).open().await.unwrap().unwrap();
    let (folder, second) = (app.folder(), second_folder(&app));
    sign_in(&cloud, grace).await.unwrap();
    slow.answers.notify_one();
    cloud.link(&folder, &server.demo().workspace_id).await.unwrap();
    slow.asked.notified().await;

    sign_in(&cloud, ada).await.unwrap();
    let change = async {
        slow.asked.notified().await;
        sign_in(&cloud, grace).await.unwrap();
        cloud.linked(&folder).await.unwrap().unwrap();
        slow.answers.notify_one();
    };
    let (late, ()) = tokio::join!(cloud.link(&second, &server.demo().workspace_id), change);
    assert_eq!(late.unwrap().user(), ada.user_id);
    assert_eq!(at_hand(&cloud), folder.canonicalize().ok());
}

#[tokio::test]
async fn h03_a_link_dropped_at_any_await_leaves_a_workspace_at_hand_that_is_live() {
    let server = cloud().await;
    let person = &server.demo().people[0];
    let app = App::new(&server);
    let cloud = app.builder().open().await.unwrap().unwrap();
    sign_in(&cloud, person).await.unwrap();
    let (folder, second) = (app.folder(), second_folder(&app));
    let other = new_workspace(&cloud, &server, person, "another").await;
    cloud.link(&second, &other).await.unwrap();
    cloud.link(&folder, &server.demo().workspace_id).await.unwrap();
    let mut dropped = 0;
    for polls in 1..=12 {
        let mut left = polls;
        {
            let mut work = pin!(cloud.linked(&second));
            let cut = poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                left -= 1;
                work.as_mut().poll(cx).map(Some)
            });
            dropped += usize::from(cut.await.is_none());
        }
        until_at_hand(&cloud, true).await;
        let mut status = cloud.realtime().watch_status();
        let live = tokio::time::timeout(LIMIT, status.until(|status| status.channels == 2)).await;
        live.expect("both channels should be open").unwrap();
        cloud.linked(&folder).await.unwrap().unwrap();
    }
    // How often it waits depends on the machine; that it was dropped while it waited, and that it came to its end, does not.
    assert!((1..12).contains(&dropped), "dropped {dropped} times");
    stop(cloud).await;
}

#[tokio::test]
async fn an_unlink_that_failed_can_be_repeated() {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
    cloud.sync().await.unwrap().close(Duration::from_secs(250)).await;
    for _ in 0..2 {
        assert_eq!(cloud.unlink().await.unwrap_err().code().as_str(), "sync.closed");
    }
    assert!(cloud.status().linked_workspace.is_some());
    stop(cloud).await;
}

#[tokio::test]
async fn the_workspace_that_was_at_hand_is_taken_up_again_when_its_user_is_back() {
    let server = cloud().await;
    let [ada, grace] = &server.demo().people;
    for (configured, name) in [(false, "first"), (true, "second")] {
        let app = App::new(&server);
        let builder = app.builder().clock(crate::app::hurried());
        let builder = if configured { builder.workspace(app.folder()) } else { builder };
        let cloud = builder.open().await.unwrap().unwrap();
        sign_in(&cloud, ada).await.unwrap();
        cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
        let chosen = second_folder(&app);
        let other = new_workspace(&cloud, &server, ada, name).await;
        cloud.link(&chosen, &other).await.unwrap();
        for between in [None, Some(grace)] {
            cloud.auth().sign_out(Scope::Local).await.unwrap();
            until_at_hand(&cloud, false).await;
            if let Some(person) = between {
                sign_in(&cloud, person).await.unwrap();
            }
            sign_in(&cloud, ada).await.unwrap();
            until_at_hand(&cloud, true).await;
            assert_eq!(at_hand(&cloud), chosen.canonicalize().ok());
        }
        assert!(cloud.unlink().await.unwrap());
        stop(cloud).await;
    }
}
