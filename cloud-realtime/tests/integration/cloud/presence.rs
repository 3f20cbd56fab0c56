//! Presence: told, told again, changed, taken back; one person with two devices.
use cloud_realtime::{
    ChannelEvent,
    broadcast::Broadcast,
    presence::{ChangeKind, Members, PresenceEvent, Tracker, Update},
};

use super::*;

type Seen = Members<Value>;

/// Reads until the members are as `wanted` says: key → what its instances tell, sorted.
async fn until(members: &mut Seen, wanted: &[(&str, &[&str])]) -> Vec<Update<Value>> {
    let mut updates = Vec::new();
    loop {
        let held: Vec<(String, Vec<String>)> = members
            .roster()
            .members()
            .map(|(key, told)| {
                let mut told: Vec<String> = told.map(|told| told["at"].as_str().unwrap().to_owned()).collect();
                told.sort();
                (key.to_owned(), told)
            })
            .collect();
        let same = held.len() == wanted.len()
            && held.iter().zip(wanted).all(|((key, told), (name, places))| key == name && told == places);
        if same {
            return updates;
        }
        if let PresenceEvent::Update(update) = soon(&format!("{wanted:?}, not {held:?}"), members.next()).await.unwrap()
        {
            updates.push(update);
        }
    }
}

#[tokio::test]
async fn r11_members_come_change_and_go_and_are_told_again_after_a_cut() {
    let place = Place::new().await;
    let (ada, grace) = (place.ada().await, place.grace().await);
    let (desk, phone, other) = (ada.builder().open(), ada.builder().open(), grace.builder().open());
    let at_desk = open(&desk, "room", JoinConfig::new().presence("ada")).await;
    let on_phone = open(&phone, "room", JoinConfig::new().presence("ada")).await;
    let watching = open(&other, "room", JoinConfig::new().presence("grace")).await;
    let mut members = Seen::of(&watching);
    live(&watching).await;

    let first = Tracker::of(&at_desk);
    first.track(&json!({ "at": "desk" })).unwrap();
    until(&mut members, &[("ada", &["desk"])]).await;
    let second = Tracker::of(&on_phone);
    second.track(&json!({ "at": "phone" })).unwrap();
    let updates = until(&mut members, &[("ada", &["desk", "phone"])]).await;
    assert_eq!(
        updates.iter().map(|update| (update.kind, update.instances)).collect::<Vec<_>>(),
        [(ChangeKind::Joined, 2)]
    );

    first.track(&json!({ "at": "sofa" })).unwrap();
    let updates = until(&mut members, &[("ada", &["phone", "sofa"])]).await;
    assert_eq!(updates.iter().map(|update| update.kind).collect::<Vec<_>>(), [ChangeKind::Updated], "no leave between");

    // Everybody loses the socket, the watcher too; nobody does anything about it.
    place.control().cut();
    for realtime in [&desk, &phone, &other] {
        realtime.wake();
        all_live(realtime).await;
    }
    first.track(&json!({ "at": "bed" })).unwrap();
    until(&mut members, &[("ada", &["bed", "phone"])]).await;

    // A restart of the database feed is no reason to say nothing any more.
    place.control().restart_changes(Duration::ZERO);
    second.untrack();
    until(&mut members, &[("ada", &["bed"])]).await;
    second.track(&json!({ "at": "phone" })).unwrap();
    until(&mut members, &[("ada", &["bed", "phone"])]).await;
    drop(second);
    until(&mut members, &[("ada", &["bed"])]).await;
    assert!(first.refusal().is_none());
    drop(first);
    until(&mut members, &[]).await;
}

#[tokio::test]
async fn r11_a_tracker_goes_on_telling_after_the_database_feed_of_its_channel_broke_off() {
    let place = Place::new().await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let config = JoinConfig::new().presence("ada").changes(files(RowEvent::INSERT));
    let channel = open(&realtime, "room", config).await;
    let mut members = Seen::of(&channel);
    let tracker = Tracker::of(&channel);
    tracker.track(&json!({ "at": "desk" })).unwrap();
    until(&mut members, &[("ada", &["desk"])]).await;
    live(&channel).await;
    let mut events = channel.events();
    place.control().restart_changes(Duration::from_millis(5));
    soon("the gap", async { while !matches!(events.next().await, Some(cloud_realtime::ChannelEvent::Gap(_))) {} })
        .await;
    tracker.track(&json!({ "at": "sofa" })).unwrap();
    until(&mut members, &[("ada", &["sofa"])]).await;
}

#[tokio::test]
async fn who_listens_from_before_the_join_hears_who_is_there_however_late_it_reads() {
    let place = Place::new().await;
    let (ada, grace) = (place.ada().await, place.grace().await);
    let (first, second) = (ada.builder().open(), grace.builder().open());
    let there = open(&first, "room", JoinConfig::new().presence("ada")).await;
    let tracker = Tracker::of(&there);
    tracker.track(&json!({ "at": "desk" })).unwrap();
    until(
        &mut Seen::of(&open(&ada.builder().open(), "room", JoinConfig::new().presence("")).await),
        &[("ada", &["desk"])],
    )
    .await;

    let topic = Topic::realtime("room").unwrap();
    let (channel, events) = second.channel(topic).config(JoinConfig::new().presence("grace")).listen().await.unwrap();
    live(&channel).await;
    let mut late = channel.events();
    Broadcast::json("after that", &json!({})).unwrap().send(&there).await.unwrap();
    while !matches!(soon("a broadcast", late.next()).await.unwrap(), ChannelEvent::Message(_)) {}
    // Who is there was told before, and nobody has read it yet.
    until(&mut Seen::new(events), &[("ada", &["desk"])]).await;
}
