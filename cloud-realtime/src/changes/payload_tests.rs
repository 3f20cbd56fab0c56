//! Each shape that the server gives to a change, and what a listener makes of it.

use super::*;
use crate::changes::{Bytea, Field, Numeric};
use serde_json::{Value, json, value::to_raw_value};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Task {
    id: i64,
    title: String,
    #[serde(default)]
    note: Field<String>,
}

fn raw(data: Value) -> Box<RawValue> {
    to_raw_value(&json!({"ids": [1], "data": data})).unwrap()
}

fn data(kind: &str, record: Value, old_record: Value, errors: Value) -> Value {
    let columns = json!([
        {"name": "id", "type": "int8"}, {"name": "title", "type": "text"}, {"name": "note", "type": "text"},
    ]);
    json!({"schema": "public", "table": "tasks", "type": kind, "commit_timestamp": "2025-11-19T00:22:40.877Z",
        "columns": columns, "record": record, "old_record": old_record, "errors": errors})
}

fn decoded(data: Value) -> Decoded<Task> {
    RowChange::parse(&raw(data)).unwrap().decode().unwrap()
}

fn change(data: Value) -> Change<Task> {
    match decoded(data) {
        Decoded::Change(change) => change,
        Decoded::Reread(reread) => panic!("{reread:?}"),
    }
}

fn reread(data: Value) -> Reread {
    match decoded(data) {
        Decoded::Change(change) => panic!("{change:?}"),
        Decoded::Reread(reread) => reread,
    }
}

#[test]
fn an_insert_has_a_row_and_no_past() {
    let change = change(data("INSERT", json!({"id": 1, "title": "a", "note": null}), json!(null), json!(null)));
    assert_eq!(change.kind, RowEvent::INSERT);
    assert_eq!((&*change.schema, change.table.as_str()), ("public", "tasks"));
    assert_eq!(change.row, Some(Task { id: 1, title: "a".into(), note: Field::Null }));
    assert_eq!((change.old, change.missing.len()), (None, 0));
    assert_eq!(change.commit_timestamp.as_deref(), Some("2025-11-19T00:22:40.877Z"));
}

#[test]
fn an_update_has_both() {
    let record = json!({"id": 1, "title": "b", "note": "n"});
    let change = change(data("UPDATE", record, json!({"id": 1}), json!(null)));
    assert_eq!(change.row, Some(Task { id: 1, title: "b".into(), note: Field::Value("n".into()) }));
    let old = change.old.unwrap();
    assert_eq!(old.column::<i64>("id"), Ok(Field::Value(1)));
    assert_eq!(old.column::<String>("title"), Ok(Field::Missing));
}

#[test]
fn a_delete_has_a_past_only_whatever_is_in_the_record() {
    for record in [json!(null), json!({})] {
        let change = change(data("DELETE", record, json!({"id": 1}), json!(null)));
        assert_eq!((change.kind, change.row, change.missing.len()), (RowEvent::DELETE, None, 0));
        assert_eq!(change.old.unwrap().as_str(), r#"{"id":1}"#);
    }
}

#[test]
fn an_update_without_a_large_value_says_which_column_is_missing() {
    let change = change(data("UPDATE", json!({"id": 1, "title": "b"}), json!({"id": 1}), json!(null)));
    assert_eq!(change.missing, ["note"]);
    assert_eq!(change.row.unwrap().note, Field::Missing);
}

#[test]
fn an_update_that_lacks_what_the_type_needs_is_fetched() {
    let reread = reread(data("UPDATE", json!({"id": 1, "note": null}), json!({"id": 1}), json!(null)));
    assert_eq!(reread.key.unwrap().as_str(), r#"{"id":1}"#);
    assert_eq!((reread.kind, reread.errors.len()), (RowEvent::UPDATE, 0));
}

#[test]
fn a_whole_row_of_another_shape_is_an_error_that_quotes_nothing() {
    let raw = raw(data("INSERT", json!({"id": "s3cret", "title": "s3cret", "note": null}), json!(null), json!(null)));
    let error = RowChange::parse(&raw).unwrap().decode::<Task>().unwrap_err();
    assert!(matches!(error, DecodeError::Json { what: "row", .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"));
}

#[test]
fn a_row_that_was_too_large_is_fetched_by_what_came_of_it() {
    let errors = json!(["Error 413: Payload Too Large"]);
    let inserted = reread(data("INSERT", json!({"id": 1, "note": null}), json!(null), errors.clone()));
    assert_eq!(inserted.key.unwrap().column::<i64>("id"), Ok(Field::Value(1)));
    assert_eq!(inserted.errors, ["Error 413: Payload Too Large"]);
    let updated = reread(data("UPDATE", json!({"id": 1, "note": null}), json!({"id": 1}), errors.clone()));
    assert_eq!(updated.key.unwrap().as_str(), r#"{"id":1}"#);
    let deleted = reread(data("DELETE", json!(null), json!({"id": 1}), errors));
    assert_eq!((deleted.kind, deleted.key.unwrap().as_str()), (RowEvent::DELETE, r#"{"id":1}"#));
}

#[test]
fn a_row_that_may_not_be_seen_has_no_key() {
    for error in ["Error 401: Unauthorized", "Error 400: Bad Request, no primary key"] {
        let data = json!({"schema": "public", "table": "tasks", "type": "UPDATE", "commit_timestamp": null,
            "columns": [], "record": {}, "old_record": {}, "errors": [error]});
        let reread = reread(data);
        assert_eq!((reread.key, reread.errors), (None, vec![error.to_owned()]));
    }
}

#[test]
fn errors_are_a_list_a_text_or_something_else() {
    let errors =
        |errors: Value| RowChange::parse(&raw(data("DELETE", json!(null), json!({}), errors))).unwrap().errors();
    assert_eq!(errors(json!(null)), Vec::<String>::new());
    assert_eq!(errors(json!([])), Vec::<String>::new());
    assert_eq!(errors(json!("Error 413")), ["Error 413"]);
    assert_eq!(errors(json!(["a", "b"])), ["a", "b"]);
    assert_eq!(errors(json!({"code": 413})).len(), 1);
}

#[test]
fn values_keep_what_they_are() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        big: i64,
        price: Numeric,
        none: Option<f64>,
        bytes: Bytea,
        tags: Vec<Option<String>>,
        grid: Vec<Vec<i32>>,
        meta: Deep,
        at: String,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(transparent)]
    struct Deep(Value);
    let record = r#"{"big":9223372036854775807,"price":1234567890123456789012345678901234567890.5,"none":null,
        "bytes":"00ff","tags":["a",null,"b,c"],"grid":[[1,2],[3,4]],"meta":{"deep":[1.5]},
        "at":"2025-11-03T09:32:55+00:00"}"#;
    let text = format!(
        r#"{{"ids":[1],"data":{{"schema":"public","table":"t","type":"INSERT","commit_timestamp":null,"columns":[],"record":{record},"errors":null}}}}"#
    );
    let raw: Box<RawValue> = serde_json::from_str(&text).unwrap();
    let Decoded::Change(change) = RowChange::parse(&raw).unwrap().decode::<Row>().unwrap() else { panic!("whole") };
    let row = change.row.unwrap();
    assert_eq!((row.big, row.price.as_str()), (i64::MAX, "1234567890123456789012345678901234567890.5"));
    assert_eq!((row.none, row.bytes.as_bytes()), (None, &[0, 255][..]));
    assert_eq!(row.tags, [Some("a".into()), None, Some("b,c".into())]);
    assert_eq!((row.grid, row.at.as_str()), (vec![vec![1, 2], vec![3, 4]], "2025-11-03T09:32:55+00:00"));
    assert_eq!(row.meta.0, json!({"deep": [1.5]}));
}

#[test]
fn a_row_can_stay_text() {
    let text = r#"{"ids":[1],"data":{"schema":"s","table":"t","type":"INSERT","record":{"n":1.10,"n2":18446744073709551616}}}"#;
    let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
    let Decoded::Change(change) = RowChange::parse(&raw).unwrap().decode::<RawRow>().unwrap() else { panic!("whole") };
    assert_eq!(change.row.unwrap().as_str(), r#"{"n":1.10,"n2":18446744073709551616}"#);
}

#[test]
fn the_parts_stay_borrowed() {
    let raw = raw(data("UPDATE", json!({"id": 1}), json!({"id": 1}), json!(null)));
    let change = RowChange::parse(&raw).unwrap();
    let inside = raw.get().as_bytes().as_ptr_range();
    let is_inside = |text: &str| inside.contains(&text.as_ptr());
    assert!(is_inside(change.schema()) && is_inside(change.table()));
    assert!(is_inside(change.record().unwrap()) && is_inside(change.old_record().unwrap()));
    assert_eq!(change.columns().unwrap().len(), 3);
}

#[test]
fn ids_are_whole_numbers_and_the_rest_is_nobodys() {
    for (ids, wanted) in [
        (json!([1, 2]), vec![1, 2]),
        (json!([]), vec![]),
        (json!(null), vec![]),
        (json!("1"), vec![]),
        (json!([0, 134_217_727]), vec![0, 134_217_727]),
        (json!([1.5, 2]), vec![]),
        (json!([-1, 2]), vec![]),
        (json!(["a,2,b"]), vec![]),
        (json!([[1, 2, 3]]), vec![]),
    ] {
        let data = data("INSERT", json!({}), json!(null), json!(null));
        let raw = to_raw_value(&json!({"ids": ids, "data": data})).unwrap();
        assert_eq!(RowChange::parse(&raw).unwrap().ids().collect::<Vec<_>>(), wanted, "{ids}");
    }
}

#[test]
fn a_payload_that_does_not_say_what_happened_is_an_error() {
    for text in
        ["{}", "[]", "null", r#"{"ids":[1]}"#, r#"{"ids":[1],"data":{}}"#, r#"{"data":{"schema":"s","table":1}}"#]
    {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        assert!(RowChange::parse(&raw).is_err(), "{text}");
    }
}
