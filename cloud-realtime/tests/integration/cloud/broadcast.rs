//! Broadcasts: to oneself, acknowledged, over HTTP, in bytes, replayed once.
use cloud_realtime::{
    ChannelEvent, Version,
    broadcast::{Broadcast, BroadcastEvent, Broadcasts, HttpBroadcasts, Inbox},
    codec::Content,
    codes::BROADCAST_TOO_LARGE,
};

use super::*;

async fn said(broadcasts: &mut Broadcasts<Value>) -> (Value, bool) {
    loop {
        match soon("a broadcast", broadcasts.next()).await.unwrap() {
            BroadcastEvent::Said { what, is_replayed, .. } => return (what["n"].clone(), is_replayed),
            BroadcastEvent::Continuity(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn numbered(n: u32) -> Broadcast {
    Broadcast::json("n", &json!({ "n": n })).unwrap()
}

#[tokio::test]
async fn a_broadcast_comes_back_is_acknowledged_and_reaches_either_version_by_either_way() {
    let place = Place::with(RealtimeOptions::default().max_payload_bytes(1_000)).await;
    let (ada, grace) = (place.ada().await, place.grace().await);
    let (new, old) = (ada.builder().open(), grace.builder().version(Version::V1).open());
    let config = JoinConfig::new().acknowledge_broadcasts().receive_own_broadcasts();
    let (hers, others) = (open(&new, "r", config).await, open(&old, "r", JoinConfig::new()).await);
    let (mut own, mut far) = (Broadcasts::<Value>::of(&hers, "n"), Broadcasts::<Value>::of(&others, "n"));
    live(&hers).await;
    live(&others).await;

    numbered(1).send_acknowledged(&hers).await.unwrap();
    let large = Broadcast::json("n", &json!({ "n": "x".repeat(1_000) })).unwrap();
    assert_eq!(large.send_acknowledged(&hers).await.unwrap_err().code(), BROADCAST_TOO_LARGE);
    Broadcast::binary("n", [0_u8, 255]).send_acknowledged(&hers).await.unwrap();
    numbered(2).send(&others).await.unwrap();
    let http = HttpBroadcasts::new(&ada.client);
    assert_eq!(said(&mut own).await.0, 1);
    let bytes = soon("the bytes", own.next()).await.unwrap();
    assert!(matches!(bytes, BroadcastEvent::Unreadable(_)), "bytes are no JSON: {bytes:?}");
    assert_eq!(said(&mut own).await.0, 2);
    assert_eq!(said(&mut far).await.0, 1);
    http.send(&topic("r"), &numbered(3)).await.unwrap();
    http.send_all([(&topic("r"), &numbered(4)), (&topic("r"), &numbered(5))]).await.unwrap();
    for n in 3..6 {
        assert_eq!(said(&mut own).await.0, n);
        // Neither the bytes nor its own came to the old one.
        assert_eq!(said(&mut far).await.0, n);
    }
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent() {
    let place = Place::new().await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let channel = open(&realtime, "größe €", JoinConfig::new().receive_own_broadcasts()).await;
    let mut events = channel.events();
    live(&channel).await;
    let bytes: Vec<u8> = (0..=255).collect();
    Broadcast::binary("🎉", bytes.clone()).send(&channel).await.unwrap();
    let mut inbox = Inbox::default();
    let content = loop {
        if let ChannelEvent::Message(message) = soon("the bytes", events.next()).await.unwrap()
            && let Some(Ok(heard)) = inbox.take(message.envelope())
        {
            assert_eq!(heard.event, "🎉");
            break heard.content.into_owned();
        }
    };
    assert_eq!(content, Content::binary(bytes));
}

#[tokio::test]
async fn r12_after_a_cut_the_replay_brings_what_was_missed_and_nothing_twice() {
    for version in [Version::V1, Version::V2] {
        let place = Place::new().await;
        let ada = place.ada().await;
        let realtime = ada.builder().version(version).open();
        let say = |n: u32| place.control().send("r", "n", &json!({ "n": n }).to_string(), true);
        say(1);
        say(2);
        let channel = open(&realtime, "r", JoinConfig::new().private().replay_broadcasts(0, None)).await;
        let mut broadcasts = Broadcasts::<Value>::of(&channel, "n");
        for n in 1..3 {
            assert_eq!(said(&mut broadcasts).await, (json!(n), true));
        }
        say(3);
        assert_eq!(said(&mut broadcasts).await, (json!(3), false));
        place.control().cut();
        assert!(place.control().wait_for_sockets(0, SOON).await);
        say(4);
        realtime.wake();
        assert_eq!(said(&mut broadcasts).await, (json!(4), true));
        live(&channel).await;
        say(5);
        assert_eq!(said(&mut broadcasts).await, (json!(5), false));
    }
}
