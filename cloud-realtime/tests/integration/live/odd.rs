//! A server that says odd things: what it cannot have meant costs itself, and nothing else.
use std::collections::BTreeMap;

use cloud_realtime::{
    Push,
    changes::{Changes, ChangesEvent},
    join::{ChangesRequest, JoinConfig, RowEvent},
    status::ChannelState,
};

use super::*;

const ROOM: &str = "realtime:room";

fn rows() -> ChangesRequest {
    ChangesRequest::table(RowEvent::ANY, "public", "messages")
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_answered_again_and_again_is_joined_once() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    for status in ["ok", "error", "ok", "timeout"] {
        server.reply(&join, status, json!({"reason": "Unauthorized: no"})).await;
    }
    server.say(json!([join.0, null, ROOM, "n", 1])).await;
    let mut told = Vec::new();
    loop {
        match events.next().await.unwrap() {
            ChannelEvent::Message(_) => break,
            event => told.push(event),
        }
    }
    assert!(matches!(told[..], [ChannelEvent::Joined(_), ChannelEvent::Live]), "{told:?}");
    assert_eq!(room.state(), ChannelState::Live);
}

#[tokio::test(start_paused = true)]
async fn answers_of_every_shape_are_answers() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (mut server, mut rooms) = (None, Vec::new());
    let shapes = [json!("ok"), json!(null), json!([1, [2]]), json!(7), json!(false), json!({})];
    for (n, response) in shapes.iter().enumerate() {
        let (room, mut events) = open(&realtime, &format!("realtime:{n}")).await;
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(Server::accept(&mut network).await),
        };
        let join = server.expect("phx_join").await;
        server.reply(&join, "ok", response.clone()).await;
        until_live(&mut events).await;
        let push = room.push(Push::json("ask", &json!({})).unwrap());
        let (answer, ()) = tokio::join!(push, async {
            let asked = server.expect("ask").await;
            server.reply(&asked, "of tomorrow", response.clone()).await;
        });
        let answer = answer.unwrap();
        assert_eq!((answer.is_ok(), answer.response.decode::<Value>().unwrap()), (false, response.clone()));
        // Without a status, or no object at all: still nobody has to wait for it.
        for payload in [json!({}), json!([]), json!(null), json!("ok"), json!({"status": 1})] {
            let push = room.push(Push::json("ask", &json!({})).unwrap());
            let (answer, ()) = tokio::join!(push, async {
                let asked = server.expect("ask").await;
                server.say(json!([asked.0, asked.1, asked.2, "phx_reply", payload])).await;
            });
            assert!(!answer.unwrap().is_ok(), "{payload}");
        }
        rooms.push(room);
    }
    assert_eq!(realtime.status().unreadable_frames, 0);
}

#[tokio::test(start_paused = true)]
async fn system_messages_of_odd_shapes_change_nothing() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let room = realtime.channel(topic(ROOM)).config(JoinConfig::new().changes(rows())).open().await.unwrap();
    let mut events = room.events();
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    assert!(matches!(news(&mut events).await, ChannelEvent::Joined(_)));
    let subscribed = "Subscribed to PostgreSQL";
    for odd in [
        json!(null),
        json!(subscribed),
        json!([]),
        json!({}),
        json!({"extension": "postgres_changes", "status": "ok", "message": null}),
        json!({"extension": "postgres_changes", "status": true, "message": subscribed}),
        json!({"extension": ["postgres_changes"], "status": "ok", "message": subscribed}),
        json!({"extension": "postgres_changes", "status": "ok", "message": {"text": subscribed}}),
        json!({"extension": "of_tomorrow", "status": "error", "message": "Token has expired"}),
        json!({"extension": "system", "status": "ok", "message": "Server requested disconnect"}),
    ] {
        server.say(json!([join.0, null, ROOM, "system", odd])).await;
        assert_eq!(message(&mut events).await.1, odd);
        assert_eq!(room.state(), ChannelState::Joined, "{odd}");
    }
    let ready = json!({"extension": "postgres_changes", "status": "ok", "message": subscribed, "of_tomorrow": [1]});
    server.say(json!([join.0, null, ROOM, "system", ready])).await;
    until_live(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn r13_frames_and_refs_of_every_kind_cost_only_themselves() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (_room, mut events) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    let join = server.join().await;
    until_live(&mut events).await;
    let (deep, long) = ("[".repeat(100_000), "9".repeat(10_000));
    for text in ["", " ", "null", "[]", "{}", "[1,2,3,4]", "\u{feff}[1]", r#"[null,null,7,"e",{}]"#, &deep] {
        server.peer.send(Frame::Text(text.to_owned().into())).await.unwrap();
    }
    for bytes in [vec![], vec![9], vec![0], vec![4, 255, 255, 255, 1], vec![1, 1, 1, 1, 1], vec![255; 300]] {
        server.peer.send(Frame::Binary(bytes.into())).await.unwrap();
    }
    for reference in [json!(long), json!(""), json!("-1"), json!("00"), json!(-1), json!("1e3"), json!(u64::MAX)] {
        for event in ["phx_reply", "phx_close", "phx_error", "presence_state", "n"] {
            let payload = json!({"status": "ok", "response": {}});
            server.say(json!([reference, reference, ROOM, event, payload])).await;
            server.say(json!([reference, null, "realtime:nobody", event, payload])).await;
        }
        server.say(json!([null, reference, "phoenix", "phx_reply", {"status": "ok", "response": {}}])).await;
    }
    server.say(json!([join.0, null, ROOM, "last", 1])).await;
    assert_eq!(message(&mut events).await.0, "last", "none of it was for the room");
    let status = realtime.watch_status().until(|status| status.unreadable_frames == 15).await.unwrap();
    assert!(status.stale_messages > 0);
}

/// What a stream of rows makes of one message.
async fn told(changes: &mut Changes<BTreeMap<String, i64>>) -> Option<&'static str> {
    loop {
        match tokio::time::timeout(LONG, changes.next()).await.unwrap().unwrap() {
            ChangesEvent::Change(change) if change.row.as_ref().is_some_and(|row| row.contains_key("end")) => {
                return None;
            }
            ChangesEvent::Change(change) => {
                assert_eq!(change.row.unwrap()["id"], i64::MAX);
                return Some("change");
            }
            ChangesEvent::Reread(_) => return Some("reread"),
            ChangesEvent::Unreadable(_) => return Some("unreadable"),
            ChangesEvent::Continuity(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn row_changes_of_odd_shapes_are_told_as_what_they_are() {
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let room = realtime.channel(topic(ROOM)).config(JoinConfig::new().changes(rows())).open().await.unwrap();
    let mut changes = Changes::<BTreeMap<String, i64>>::of(&room, &rows());
    let mut server = Server::accept(&mut network).await;
    let join = server.expect("phx_join").await;
    let echo = json!({"id": 7, "event": "*", "schema": "public", "table": "messages"});
    let reply = json!({"postgres_changes": [{"id": "x"}, echo, echo, {"id": 1e30}, null], "of_tomorrow": 1});
    server.reply(&join, "ok", reply).await;
    let ready = json!({"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL"});
    server.say(json!([join.0, null, ROOM, "system", ready])).await;
    let change = |ids: &str, data: Value| {
        let text = json!([null, null, ROOM, "postgres_changes", {"ids": "IDS", "data": data}]).to_string();
        Frame::Text(text.replace("\"IDS\"", ids).into())
    };
    let data = |record: Value, columns: Value, errors: Value| {
        json!({"schema": "public", "table": "messages", "type": "UPDATE", "commit_timestamp": null,
            "columns": columns, "record": record, "old_record": {"id": 1}, "errors": errors})
    };
    let (row, none) = (|| json!({"id": i64::MAX}), || json!(null));
    let columns = || json!([{"name": "id", "type": "of_tomorrow"}]);
    let untyped = json!([{"name": "id"}, {"name": "body", "type": null}]);
    for (ids, data, wanted) in [
        ("[8]", data(row(), columns(), none()), None),
        ("[18446744073709551616,1e30]", data(row(), columns(), none()), None),
        (r#"{"7":7}"#, data(row(), columns(), none()), None),
        ("[7,7,8,7]", data(row(), columns(), none()), Some("change")),
        ("[7]", data(row(), untyped, none()), Some("unreadable")),
        ("[7]", data(row(), none(), none()), Some("change")),
        ("[7]", data(json!({"id": "x"}), columns(), none()), Some("unreadable")),
        ("[7]", data(json!([1]), columns(), none()), Some("unreadable")),
        ("[7]", data(json!({}), json!([]), json!(["Error 401: Unauthorized"])), Some("reread")),
        ("[7]", data(json!({}), columns(), json!("Error 413: Payload Too Large")), Some("reread")),
        ("[7]", data(json!({}), json!([]), json!({"code": 7})), Some("reread")),
        ("[7]", json!({"schema": "public", "table": "messages"}), Some("unreadable")),
        ("[7]", json!([]), Some("unreadable")),
    ] {
        let end = json!({"schema": "public", "table": "messages", "type": "INSERT", "record": {"end": 1}});
        server.peer.send(change(ids, data.clone())).await.unwrap();
        server.peer.send(change("[7]", end)).await.unwrap();
        assert_eq!(told(&mut changes).await, wanted, "{ids} {data}");
        assert!(wanted.is_none() || told(&mut changes).await.is_none(), "told once: {ids} {data}");
    }
}

#[tokio::test(start_paused = true)]
async fn r08_a_hundred_thousand_broadcasts_reach_the_quick_and_tell_the_slow_how_many_it_missed() {
    const COUNT: u64 = 100_000;
    let (builder, mut network) = builder();
    let realtime = builder.open();
    let (room, mut quick) = open(&realtime, ROOM).await;
    let mut server = Server::accept(&mut network).await;
    server.join().await;
    until_live(&mut quick).await;
    let mut slow = room.events();
    let flood = async {
        for n in 0..COUNT {
            server.say(json!([null, null, ROOM, "broadcast", {"type": "broadcast", "event": "n", "payload": n}])).await;
        }
    };
    let hear = async {
        for n in 0..COUNT {
            assert_eq!(message(&mut quick).await.1["payload"], json!(n));
        }
    };
    tokio::join!(flood, hear);
    assert!(matches!(slow.try_next(), Some(ChannelEvent::Lagged { missed }) if missed == COUNT - 1_024));
    let mut left = 0;
    while let Some(event) = slow.try_next() {
        left += usize::from(matches!(event, ChannelEvent::Message(_)));
    }
    assert_eq!(left, 1_024);
}
