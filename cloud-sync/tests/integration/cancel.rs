//! Every public future dropped at every await point: nothing is lost, doubled, or left at work.
use std::{future::poll_fn, pin::pin, task::Poll};

use cloud_sync::{NewMessage, SyncState};

use crate::devices::{Device, cloud};

/// Polls `work` so often, and drops it where it would be polled once more. How often the store's thread is awaited varies,
/// so each test goes past the longest course, and knows only how many requests there are at least.
async fn cut<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

#[tokio::test]
async fn h03_a_sync_dropped_at_any_await_loses_and_doubles_nothing_and_is_not_left_at_work() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let (mut written, mut dropped) = (Vec::new(), 0);
    for polls in 1..=60 {
        let text = format!("line {polls}");
        ada.chat().await.append(NewMessage::user(&text)).await.unwrap();
        ada.workspace.set("current_step", text.clone()).await.unwrap();
        written.push(text);
        let over = cut(ada.workspace.sync(), polls).await;
        assert_ne!(ada.workspace.sync_state(), SyncState::Syncing, "dropped after {polls} polls");
        dropped += usize::from(over.is_none());
        let report = match over {
            Some(report) => report,
            None => ada.workspace.sync().await,
        };
        assert!(report.unwrap().conflicts.is_empty(), "alone, there is nothing to clash with");
    }
    assert!((5..60).contains(&dropped), "dropped {dropped} times");
    grace.workspace.sync().await.unwrap();
    assert_eq!(ada.texts_in_cloud().await, written);
    assert_eq!((ada.texts().await, grace.texts().await), (written.clone(), written.clone()));
    assert_eq!(grace.field("current_step").await, *written.last().unwrap());
}

#[tokio::test]
async fn p03_a_pull_dropped_at_any_await_misses_nothing() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for device in [&ada, &grace] {
        device.chat().await.cloud_id().await.unwrap();
    }
    let (mut written, mut dropped) = (Vec::new(), 0);
    for polls in 1..=30 {
        let text = format!("line {polls}");
        ada.chat().await.append(NewMessage::user(&text)).await.unwrap();
        ada.chat().await.push().await.unwrap();
        written.push(text);
        dropped += usize::from(cut(async { grace.chat().await.pull().await }, polls).await.is_none());
        grace.chat().await.pull().await.unwrap();
        // Cursor and rows moved together, or not at all.
        assert_eq!(grace.texts().await, written, "dropped after {polls} polls");
    }
    assert!((2..30).contains(&dropped), "dropped {dropped} times");
}

#[tokio::test]
async fn w05_a_change_made_at_any_moment_of_a_push_is_neither_lost_nor_in_conflict() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    device.workspace.sync().await.unwrap();
    let mut amid = 0;
    for polls in 1..=30 {
        device.workspace.set("current_step", format!("first {polls}")).await.unwrap();
        let mut push = Box::pin(device.workspace.push());
        let over = cut(push.as_mut(), polls).await.is_some();
        device.workspace.set("current_step", format!("second {polls}")).await.unwrap();
        if !over {
            amid += 1;
            assert!(push.await.unwrap().conflicts.is_empty());
        }
        device.workspace.push().await.unwrap();
        let state = device.workspace.state().await.unwrap();
        assert_eq!((&state.fields["current_step"], state.unsent.len()), (&format!("second {polls}").into(), 0));
        let row = device.client.table("workspaces").select(["current_step"]).eq("id", device.workspace.id());
        let row = row.one::<serde_json::Value>().await.unwrap().unwrap();
        assert_eq!(row["current_step"], format!("second {polls}"), "changed after {polls} polls");
    }
    assert!((1..30).contains(&amid), "amid a push {amid} times");
}

#[tokio::test]
async fn o01_an_append_dropped_at_any_await_is_kept_whole_or_not_at_all() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let mut known = 0;
    for polls in 1..=10 {
        let both = vec![NewMessage::user("question"), NewMessage::assistant("answer")];
        let over = cut(async { device.chat().await.append_all(both).await }, polls).await;
        let kept = device.texts().await.len();
        match over {
            Some(ids) => assert_eq!((ids.unwrap().len(), kept), (2, known + 2), "durable when it returns"),
            None => assert!(kept == known || kept == known + 2, "{kept} after {known}"),
        }
        known = kept;
    }
    assert!(known > 0);
}
