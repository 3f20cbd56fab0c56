//! A plain Phoenix server that drops what is stale: both versions, text and bytes, crashes and faults.
use cloud_realtime::{
    ChannelEvent, Push, Version,
    codec::Content,
    codes::{PUSH_EXPIRED, PUSH_TIMEOUT, PUSH_UNCERTAIN},
    realtime::{Endpoint, KeyPlacement},
};

use super::*;

async fn strict() -> Place {
    Place::with(RealtimeOptions::default().rooms().strict_phoenix()).await
}

/// No session: a plain server knows none.
fn phoenix(place: &Place, version: Version) -> Realtime {
    let client = Client::builder(place.server.url(), place.server.publishable_key()).unwrap();
    let client = client.clock(SharedClock::new(Hurried::default())).build();
    Realtime::builder(&client)
        .endpoint(Endpoint::Path("/socket".into()))
        .key_placement(KeyPlacement::Query)
        .version(version)
        .open()
}

async fn enter(realtime: &Realtime, name: &str) -> Channel {
    let channel = realtime.channel(Topic::parse(name).unwrap()).params(Content::empty_object());
    let channel = channel.open().await.unwrap();
    live(&channel).await;
    channel
}

fn json_push(event: &str, n: u32) -> Push {
    Push::json(event, &json!({ "n": n })).unwrap()
}

#[tokio::test]
async fn r04_every_kind_of_message_is_understood_and_no_push_is_ever_stale() {
    for version in [Version::V1, Version::V2] {
        let place = strict().await;
        let realtime = phoenix(&place, version);
        let room = enter(&realtime, "room:9").await;
        let mut events = room.events();
        for (event, status) in [("echo", "ok"), ("fail", "error"), ("late", "ok")] {
            let reply = room.push(json_push(event, 7)).await.unwrap();
            let response: Value = reply.response.decode().unwrap();
            assert_eq!((&*reply.status, response), (status, json!({ "n": 7 })), "{event}");
        }
        let unanswered = room.push(json_push("silent", 1)).await.unwrap_err();
        assert_eq!(unanswered.code(), PUSH_TIMEOUT);
        let mut heard = Vec::new();
        room.send(json_push("shout", 1)).await.unwrap();
        room.send(json_push("push", 2)).await.unwrap();
        if version == Version::V2 {
            let reply = room.push(Push::binary("echo", vec![1, 2, 255])).await.unwrap();
            assert_eq!(reply.response, Content::binary(vec![1, 2, 255]));
            room.send(Push::binary("shout", vec![3])).await.unwrap();
            room.send(Push::binary("push", vec![4])).await.unwrap();
        }
        let wanted = if version == Version::V2 { 4 } else { 2 };
        while heard.len() < wanted {
            if let ChannelEvent::Message(message) = soon("messages", events.next()).await.unwrap()
                && ["shout", "push"].contains(&message.event())
            {
                heard.push(message);
            }
        }
        // It crashes, and it stops: both times it is joined again.
        for end in ["crash", "stop"] {
            room.send(json_push(end, 0)).await.unwrap();
            soon("the gap", async { while !matches!(events.next().await, Some(ChannelEvent::Gap(_))) {} }).await;
            live(&room).await;
            assert!(room.push(json_push("echo", 1)).await.unwrap().is_ok());
        }
        // Left and entered at once.
        room.leave().await;
        let again = enter(&realtime, "room:9").await;
        assert!(again.push(json_push("echo", 2)).await.unwrap().is_ok());
        assert_eq!((place.control().stale_pushes(), place.control().malformed_frames()), (0, 0));
    }
}

#[tokio::test]
async fn r04_under_random_faults_no_push_is_stale_and_every_answer_is_the_right_one() {
    for (seed, version) in [(1, Version::V2), (2, Version::V1), (3, Version::V2)] {
        let place = strict().await;
        let realtime = phoenix(&place, version);
        let rooms = [enter(&realtime, "room:1").await, enter(&realtime, "room:2").await];
        place.control().disturb(seed, 100);
        let mut answered = 0;
        for n in 0..60 {
            for room in &rooms {
                if n % 20 == 19 {
                    // Whether it got through is the same to us.
                    let _ = room.send(json_push("crash", n)).await;
                }
                match soon("an end", room.push(json_push("echo", n))).await {
                    Ok(reply) => {
                        let response: Value = reply.response.decode().unwrap();
                        // A crash before it: nobody is there to echo.
                        if reply.is_ok() {
                            assert_eq!(response, json!({ "n": n }));
                            answered += 1;
                        }
                    }
                    Err(error) => {
                        assert!([PUSH_EXPIRED, PUSH_TIMEOUT, PUSH_UNCERTAIN].contains(&error.code()), "{error:?}");
                        realtime.wake();
                    }
                }
            }
        }
        place.control().heal();
        realtime.wake();
        all_live(&realtime).await;
        for room in &rooms {
            // Where the word of a crash was lost, the first push finds out.
            let found = async { while !room.push(json_push("echo", 99)).await.is_ok_and(|reply| reply.is_ok()) {} };
            soon("the room is entered again", found).await;
            live(room).await;
        }
        assert!(answered > 20, "{answered}");
        assert_eq!((place.control().stale_pushes(), place.control().malformed_frames()), (0, 0), "seed {seed}");
    }
}
