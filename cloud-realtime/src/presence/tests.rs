use super::*;
use crate::refs::Refs;
use serde_json::{Value, json};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn state(value: Value) -> State {
    State::parse(&raw(&value)).unwrap()
}

fn diff(joins: Value, leaves: Value) -> Diff {
    Diff::parse(&raw(&json!({"joins": joins, "leaves": leaves}))).unwrap()
}

fn one(key: &str, phx_ref: &str) -> Value {
    json!({key: {"metas": [{"phx_ref": phx_ref}]}})
}

/// Ref 1, a presence that waits for its state.
fn waiting() -> (Refs, Presence) {
    let (refs, mut presence) = (Refs::new(), Presence::new());
    presence.joining(refs.next());
    (refs, presence)
}

fn synced(value: Value) -> (Refs, Presence) {
    let (refs, mut presence) = waiting();
    presence.state(Some("1"), state(value));
    (refs, presence)
}

fn short(changes: &[Change]) -> Vec<(&str, ChangeKind, usize)> {
    changes.iter().map(|change| (change.key.as_str(), change.kind, change.instances)).collect()
}

#[test]
fn r11_an_update_is_one_change_and_never_an_absence() {
    let (_, mut presence) = synced(json!({"k": {"metas": [{"phx_ref": "R1", "s": "on"}]}}));
    let changes = presence.diff(diff(
        json!({"k": {"metas": [{"phx_ref": "R2", "phx_ref_prev": "R1", "s": "off"}]}}),
        json!({"k": {"metas": [{"phx_ref": "R1", "s": "on"}]}}),
    ));
    assert_eq!(short(&changes), [("k", ChangeKind::Updated, 1)]);
    assert_eq!(changes[0].joined[0].decode::<Value>().unwrap()["s"], "off");
    assert_eq!(changes[0].left[0].decode::<Value>().unwrap()["s"], "on");
}

#[test]
fn r11_one_of_two_devices_leaves_and_the_member_stays() {
    let (_, mut presence) = synced(json!({"k": {"metas": [{"phx_ref": "R1"}, {"phx_ref": "R2"}]}}));
    let changes = presence.diff(diff(json!({}), one("k", "R1")));
    assert_eq!(short(&changes), [("k", ChangeKind::Left, 1)]);
    assert_eq!(presence.metas("k").iter().map(Meta::phx_ref).collect::<Vec<_>>(), ["R2"]);
    assert_eq!(short(&presence.diff(diff(json!({}), one("k", "R2")))), [("k", ChangeKind::Left, 0)]);
    assert_eq!(presence.members().count(), 0);
}

#[test]
fn r11_diffs_before_the_state_wait_and_are_applied_after_it() {
    let (_, mut presence) = waiting();
    assert_eq!(presence.diff(diff(one("late", "R9"), json!({}))), []);
    assert_eq!((presence.pending(), presence.is_synced()), (1, false));
    let changes = presence.state(Some("1"), state(one("early", "R1")));
    assert_eq!(short(&changes), [("early", ChangeKind::Joined, 1), ("late", ChangeKind::Joined, 1)]);
    assert_eq!((presence.pending(), presence.is_synced()), (0, true));
}

#[test]
fn r11_a_rejoin_reports_only_what_changed_meanwhile() {
    let (refs, mut presence) = synced(json!({
        "gone": {"metas": [{"phx_ref": "R1"}]}, "same": {"metas": [{"phx_ref": "R2"}]},
    }));
    presence.joining(refs.next());
    assert_eq!(presence.members().count(), 2, "members stay visible while the new state is on its way");
    let changes = presence.state(
        Some("2"),
        state(json!({
            "new": {"metas": [{"phx_ref": "R3"}]}, "same": {"metas": [{"phx_ref": "R2"}]},
        })),
    );
    assert_eq!(short(&changes), [("gone", ChangeKind::Left, 0), ("new", ChangeKind::Joined, 1)]);
}

#[test]
fn r04_the_state_of_an_earlier_instance_changes_nothing() {
    let (refs, mut presence) = synced(one("k", "R1"));
    presence.joining(refs.next());
    assert_eq!(presence.state(Some("1"), state(json!({}))), []);
    assert!(!presence.is_synced());
    assert_eq!(presence.metas("k").len(), 1);
}

#[test]
fn a_state_without_a_join_ref_belongs_to_whoever_holds_the_topic() {
    let (_, mut presence) = waiting();
    assert_eq!(short(&presence.state(None, state(one("k", "R1")))), [("k", ChangeKind::Joined, 1)]);
}

#[test]
fn r11_a_hundred_thousand_diffs_without_a_state_stay_bounded() {
    let (_, mut presence) = waiting();
    for n in 0..100_000 {
        presence.diff(diff(one("k", &format!("R{n}")), json!({})));
    }
    assert_eq!((presence.pending(), presence.dropped()), (MAX_PENDING_DIFFS, 99_000));
}

#[test]
fn r11_large_diffs_are_bounded_by_their_bytes() {
    let (_, mut presence) = waiting();
    let large = "x".repeat(1024 * 1024);
    for n in 0..20 {
        presence.diff(diff(json!({"k": {"metas": [{"phx_ref": n.to_string(), "note": large}]}}), json!({})));
    }
    assert_eq!((presence.pending(), presence.dropped()), (7, 13));
}

#[test]
fn diffs_are_dropped_where_presence_was_not_asked_for() {
    let mut presence = Presence::new();
    assert_eq!(presence.diff(diff(one("k", "R1"), json!({}))), []);
    assert_eq!((presence.pending(), presence.members().count()), (0, 0));
}

#[test]
fn leaves_of_unknown_members_and_refs_are_ignored() {
    let (_, mut presence) = synced(one("k", "R1"));
    assert_eq!(presence.diff(diff(json!({}), one("k", "other"))), []);
    assert_eq!(presence.diff(diff(json!({}), one("nobody", "R1"))), []);
    assert_eq!(presence.metas("k").len(), 1);
}

#[test]
fn any_string_is_a_key() {
    let keys = ["", "__proto__", "a b", "\u{1f389}"];
    let (_, mut presence) = waiting();
    for key in keys {
        presence.diff(diff(one(key, "R1"), json!({})));
    }
    presence.state(Some("1"), state(json!({})));
    assert!(keys.iter().all(|key| presence.metas(key).len() == 1));
}

#[test]
fn leaving_for_good_reports_everyone_as_gone() {
    let (_, mut presence) = synced(one("k", "R1"));
    assert_eq!(short(&presence.clear()), [("k", ChangeKind::Left, 0)]);
    assert_eq!(presence.members().count(), 0);
}

#[test]
fn numbers_in_a_meta_keep_every_digit() {
    let text = r#"{"k":{"metas":[{"phx_ref":"R1","row":9223372036854775807,"price":0.1234567890123456789}]}}"#;
    let (_, mut presence) = waiting();
    presence.state(None, State::parse(serde_json::from_str(text).unwrap()).unwrap());
    let meta: BTreeMap<String, Box<RawValue>> = presence.metas("k")[0].decode().unwrap();
    assert_eq!((meta["row"].get(), meta["price"].get()), ("9223372036854775807", "0.1234567890123456789"));
}

#[test]
fn payloads_of_another_shape_are_errors_that_quote_nothing() {
    for text in ["[]", "1", r#"{"k":{}}"#, r#"{"k":{"metas":[{"note":"s3cret"}]}}"#, r#"{"k":{"metas":["s3cret"]}}"#] {
        let error = State::parse(serde_json::from_str(text).unwrap()).unwrap_err();
        assert!(matches!(error, DecodeError::Json { what: "presence state", .. }), "{text}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
