//! One request's view of its channel, event by event.

use super::*;
use crate::{channel::Joined, codec::Envelope, join::RowEvent, message::Message, refs::Refs};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Task {
    id: i64,
}

fn request() -> ChangesRequest {
    ChangesRequest::table(RowEvent::INSERT, "public", "tasks")
}

fn joined(id: u64) -> ChannelEvent {
    let echo = json!({"postgres_changes": [
        {"id": 7, "event": "*", "schema": "public", "table": "other"},
        {"id": id, "event": "INSERT", "schema": "public", "table": "tasks"},
    ]});
    ChannelEvent::Joined(Joined { join_ref: Refs::new().next(), response: Content::json(&echo).unwrap() })
}

fn change(ids: &Value, kind: &str, record: &Value) -> ChannelEvent {
    let payload = json!({"ids": ids, "data": {"schema": "public", "table": "tasks", "type": kind,
        "commit_timestamp": null, "columns": [{"name": "id", "type": "int8"}], "record": record, "errors": null}});
    let content = Content::json(&payload).unwrap();
    ChannelEvent::Message(Message::new(Envelope::new("realtime:r", event::POSTGRES_CHANGES, content)))
}

fn told(feed: &mut ChangesFold, event: &ChannelEvent) -> String {
    match feed.step::<Task>(event) {
        None => "nothing".to_owned(),
        Some(ChangesEvent::Change(change)) => format!("row {}", change.row.unwrap().id),
        Some(ChangesEvent::Reread(_)) => "reread".to_owned(),
        Some(ChangesEvent::Unconfirmed) => "unconfirmed".to_owned(),
        Some(ChangesEvent::Unreadable(_)) => "unreadable".to_owned(),
        Some(ChangesEvent::Continuity(Continuity::Live)) => "live".to_owned(),
        Some(ChangesEvent::Continuity(other)) => format!("{other:?}, catch up: {}", other.asks_for_catch_up()),
    }
}

#[test]
fn r03_each_subscription_and_each_gap_is_told_between_the_rows() {
    let mut feed = ChangesFold::new(&request());
    let events = [
        (joined(8), "nothing"),
        (ChannelEvent::Live, "live"),
        (change(&json!([8]), "INSERT", &json!({"id": 1})), "row 1"),
        (ChannelEvent::Resubscribed, "Resubscribed, catch up: true"),
        (change(&json!([8, 8]), "INSERT", &json!({"id": 2})), "row 2"),
        (ChannelEvent::Lagged { missed: 3 }, "Lagged { missed: 3 }, catch up: true"),
        (ChannelEvent::Gap(GapCause::Connection), "Gap(Connection), catch up: false"),
        (joined(9), "nothing"),
        (ChannelEvent::Live, "live"),
        (change(&json!([9]), "INSERT", &json!({"id": 3})), "row 3"),
    ];
    for (place, (event, wanted)) in events.iter().enumerate() {
        assert_eq!(told(&mut feed, event), *wanted, "event {place}");
    }
}

#[test]
fn r03_rows_go_on_after_the_database_feed_came_back_without_a_join() {
    let mut feed = ChangesFold::new(&request());
    for (event, wanted) in [
        (joined(8), "nothing"),
        (ChannelEvent::Live, "live"),
        (ChannelEvent::Gap(GapCause::Database), "Gap(Database), catch up: false"),
        (ChannelEvent::Live, "live"),
        (change(&json!([8]), "INSERT", &json!({"id": 1})), "row 1"),
    ] {
        assert_eq!(told(&mut feed, &event), wanted);
    }
}

#[test]
fn what_is_for_another_request_is_not_told() {
    let mut feed = ChangesFold::new(&request());
    told(&mut feed, &joined(8));
    for (ids, kind) in [(json!([7]), "INSERT"), (json!([]), "INSERT"), (json!([8]), "UPDATE")] {
        assert_eq!(told(&mut feed, &change(&ids, kind, &json!({"id": 1}))), "nothing", "{ids} {kind}");
    }
    let other = Envelope::new("realtime:r", "saved", Content::empty_object());
    assert_eq!(told(&mut feed, &ChannelEvent::Message(Message::new(other))), "nothing");
}

#[test]
fn r04_ids_of_an_earlier_join_are_nobodys() {
    let mut feed = ChangesFold::new(&request());
    told(&mut feed, &joined(8));
    told(&mut feed, &ChannelEvent::Gap(GapCause::Channel));
    assert_eq!(told(&mut feed, &change(&json!([8]), "INSERT", &json!({"id": 1}))), "nothing");
    told(&mut feed, &joined(9));
    assert_eq!(told(&mut feed, &change(&json!([8]), "INSERT", &json!({"id": 1}))), "nothing");
}

#[test]
fn a_request_that_the_server_does_not_confirm_is_told() {
    let mut feed = ChangesFold::new(&ChangesRequest::table(RowEvent::ANY, "public", "nowhere"));
    assert_eq!(told(&mut feed, &joined(8)), "unconfirmed");
}

#[test]
fn a_row_of_another_shape_does_not_end_the_stream() {
    let mut feed = ChangesFold::new(&request());
    told(&mut feed, &joined(8));
    assert_eq!(told(&mut feed, &change(&json!([8]), "INSERT", &json!({"id": "x"}))), "unreadable");
    let broken = Envelope::new("realtime:r", event::POSTGRES_CHANGES, Content::empty_object());
    assert_eq!(told(&mut feed, &ChannelEvent::Message(Message::new(broken))), "unreadable");
    assert_eq!(told(&mut feed, &change(&json!([8]), "INSERT", &json!({"id": 1}))), "row 1");
}
