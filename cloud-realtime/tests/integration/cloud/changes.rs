//! Row changes, typed: whose, which, exact, and not whole.
use cloud_realtime::{
    changes::{Change, Condition, Filter, Reread},
    continuity::Continuity,
};

use super::*;

async fn change(changes: &mut Changes<File>) -> Change<File> {
    loop {
        match soon("a change", changes.next()).await.unwrap() {
            ChangesEvent::Change(change) => return change,
            ChangesEvent::Continuity(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn rows_come_typed_exact_filtered_and_only_to_those_who_may_see_them() {
    let place = Place::new().await;
    let (ada, eve) = (place.ada().await, place.eve().await);
    let only = Filter::all([Condition::eq("file_path", "a,\"b\".txt")]).unwrap();
    let (narrow, wide) = (files(RowEvent::ANY).filter(only), files(RowEvent::ANY));
    let (hers, others) = (ada.builder().open(), eve.builder().open());
    let config = JoinConfig::new().changes(narrow.clone()).changes(wide.clone());
    let channel = open(&hers, "files", config).await;
    let (mut narrow, mut all) = (Changes::<File>::of(&channel, &narrow), Changes::<File>::of(&channel, &wide));
    let outside = open(&others, "files", JoinConfig::new().changes(wide.clone())).await;
    let mut nothing = Changes::<File>::of(&outside, &wide);
    live(&channel).await;
    live(&outside).await;

    ada.write(place.workspace(), "other.txt").await;
    ada.write(place.workspace(), "a,\"b\".txt").await;
    let came = change(&mut narrow).await.row.unwrap();
    assert_eq!((came.file_path.as_str(), came.file_size), ("a,\"b\".txt", Some(i64::MAX)));
    assert_eq!(change(&mut all).await.row.unwrap().file_path, "other.txt");
    assert_eq!(change(&mut all).await.row.unwrap().id, came.id);

    let table = ada.client.table("workspace_files");
    table.update(&json!({ "file_size": i64::MAX - 1 })).eq("id", &*came.id).send().await.unwrap();
    let updated = change(&mut narrow).await;
    assert_eq!((updated.kind, updated.row.unwrap().file_size), (RowEvent::UPDATE, Some(i64::MAX - 1)));
    assert_eq!(change(&mut all).await.kind, RowEvent::UPDATE);

    table.delete().eq("id", &*came.id).send().await.unwrap();
    let gone = change(&mut all).await;
    let key: Value = gone.old.unwrap().decode().unwrap();
    assert_eq!((gone.kind, gone.row.is_none(), key), (RowEvent::DELETE, true, json!({ "id": came.id })));
    // Eve sees no row; that a row is gone is all she hears.
    assert_eq!(change(&mut nothing).await.kind, RowEvent::DELETE);
}

#[tokio::test]
async fn a_row_that_is_too_large_for_a_message_is_named_and_can_be_fetched() {
    let place = Place::new().await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let channel = open(&realtime, "files", JoinConfig::new().changes(files(RowEvent::INSERT))).await;
    let mut changes = Changes::<File>::of(&channel, &files(RowEvent::INSERT));
    live(&channel).await;
    let row = json!({ "workspace_id": place.workspace(), "file_path": "large", "storage_path": "x".repeat(1_100_000) });
    ada.client.table("workspace_files").insert(&row).send().await.unwrap();
    let reread: Reread = loop {
        match soon("the large row", changes.next()).await.unwrap() {
            ChangesEvent::Reread(reread) => break reread,
            ChangesEvent::Continuity(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let key: Value = reread.key.unwrap().decode().unwrap();
    let table = ada.client.table("workspace_files").select(["id", "file_path", "file_size"]);
    let whole: File = table.eq("id", key["id"].as_str().unwrap()).exactly_one().await.unwrap();
    assert_eq!((whole.file_path.as_str(), whole.file_size), ("large", None));
}

#[tokio::test]
async fn r03_rows_from_before_subscribed_come_by_the_pull_that_live_asks_for() {
    let place = Place::new().await;
    let ada = place.ada().await;
    for early in [false, true] {
        let realtime = ada.builder().open();
        place.control().set_early_success(early);
        let channel = open(&realtime, "files", JoinConfig::new().changes(files(RowEvent::INSERT))).await;
        let mut paths = Paths::of(&channel, &ada);
        let mut state = channel.watch_state();
        soon("joined", state.until(|state| matches!(state, ChannelState::Joined | ChannelState::Live))).await.unwrap();
        let path = format!("before-{early}");
        if !early {
            ada.write(place.workspace(), &path).await;
            paths.until(&path).await;
        }
        // A server that says so too early loses rows without a word. The next word heals that.
        ada.write(place.workspace(), &format!("{path}-2")).await;
        place.control().restart_changes(Duration::from_millis(5));
        paths.until(&format!("{path}-2")).await;
        channel.leave().await;
    }
}

#[tokio::test]
async fn r08_a_slow_reader_of_rows_is_told_and_hears_what_follows() {
    let place = Place::new().await;
    let ada = place.ada().await;
    // On real time: so many rows keep the server busy for a while.
    let realtime = Realtime::builder(&ada.client).open();
    let channel = open(&realtime, "files", JoinConfig::new().changes(files(RowEvent::INSERT))).await;
    let mut quick = Changes::<File>::of(&channel, &files(RowEvent::INSERT));
    let mut slow = Changes::<File>::of(&channel, &files(RowEvent::INSERT));
    live(&channel).await;
    let row = |n: u32| {
        let path = format!("f{n}");
        json!({ "workspace_id": place.workspace(), "file_path": path, "storage_path": path })
    };
    let rows: Vec<Value> = (0..1_500).map(row).collect();
    ada.client.table("workspace_files").insert(&rows).send().await.unwrap();
    while change(&mut quick).await.row.unwrap().file_path != "f1499" {}
    let first = soon("the word", slow.next()).await.unwrap();
    let ChangesEvent::Continuity(Continuity::Lagged { missed }) = first else { panic!("{first:?}") };
    assert!(missed >= 1_500 - 1_024, "{missed}");
    // The answer to the join, which holds the ids, went under with the oldest rows; the rest is heard all the same.
    assert_eq!(change(&mut slow).await.row.unwrap().file_path, format!("f{}", 1_500 - 1_024));
}
