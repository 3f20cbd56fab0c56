//! Payloads of row changes: ids, columns and errors are what is there; a row that goes through the converter or a merge
//! keeps its columns.
//!
//! The input is the payload's JSON.
#![no_main]
use std::collections::BTreeMap;

use cloud_realtime::{
    changes::{Bindings, Decoded, RawRow, RowChange, from_text_values},
    codec::Content,
    join::{ChangesRequest, RowEvent},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, value::RawValue};

type Columns<'a> = BTreeMap<String, &'a RawValue>;

fuzz_target!(|text: &str| {
    let Ok(payload) = serde_json::from_str::<&RawValue>(text) else { return };
    // The same text, taken for the answer to a join.
    let mut bindings = Bindings::new(&[ChangesRequest::schema(RowEvent::ANY, "public")]);
    let _ = bindings.joined(&Content::Json(std::borrow::Cow::Borrowed(payload)));
    let Ok(change) = RowChange::parse(payload) else { return };

    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let ids = value["ids"].as_array().filter(|ids| ids.iter().all(Value::is_u64));
        if let Some(ids) = ids {
            assert!(ids.iter().filter_map(Value::as_u64).eq(change.ids()));
        }
        assert_eq!(value["data"]["table"].as_str(), Some(change.table()));
    }
    let routed = bindings.route(&change);
    assert!(routed.listeners.len() <= 1);

    let has_errors = !change.errors().is_empty();
    match change.decode::<RawRow>() {
        Ok(Decoded::Reread(reread)) => assert!(has_errors, "{reread:?}"),
        Ok(Decoded::Change(decoded)) => {
            assert!(!has_errors);
            assert_eq!(decoded.row.is_some(), change.record().is_some() && *change.kind() != RowEvent::DELETE);
            if let (Some(row), Some(old)) = (&decoded.row, &decoded.old) {
                merge(row, old);
            }
        }
        Err(_) => assert!(*change.kind() == RowEvent::UPDATE, "only an update counts its columns"),
    }
    if let (Ok(columns), Some(record)) = (change.columns(), change.record()) {
        if let Ok(row) = from_text_values(&columns, record) {
            let (before, after) = (columns_of(record), columns_of(row.as_str()));
            assert!(before.keys().eq(after.keys()));
        }
    }
});

fn columns_of(text: &str) -> Columns<'_> {
    serde_json::from_str(text).expect("an object")
}

fn merge(row: &RawRow, old: &RawRow) {
    let Ok(merged) = row.merged_onto(old) else { return };
    let mut wanted = columns_of(old.as_str());
    wanted.extend(columns_of(row.as_str()));
    let texts = |columns: &Columns<'_>| -> Vec<(String, String)> {
        columns.iter().map(|(name, raw)| (name.clone(), raw.get().to_owned())).collect()
    };
    assert_eq!(texts(&columns_of(merged.as_str())), texts(&wanted));
}
