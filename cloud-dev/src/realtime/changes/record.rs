//! One change as the JSON that subscribers get: rows, column types, and what is left out.
//!
//! [`Change`] → `data` of a `postgres_changes` message. Numbers keep all their digits. The old row is its key, unless the
//! table's identity is full; a long value that an update did not touch is missing; a change that is too large loses its
//! values over 64 bytes.
//! Wire source: Supabase Realtime `realtime.apply_rls`, `Adapters.Changes`; PostgreSQL TOAST.

use std::fmt::Write as _;

use rusqlite::types::Value as Stored;

use super::super::wire::quoted;
use crate::core::{
    changes::{Change, Kind},
    schema::{Column, PgType},
};

/// Largest change that is sent as a whole, in bytes of JSON.
const MAX_BYTES: usize = 1_048_576;

/// Longest value that stays in a change that is too large.
const MAX_VALUE_BYTES: usize = 64;

/// A value longer than this is stored outside its row, and not sent when it did not change.
const TOAST_BYTES: usize = 2_000;

/// A change, and what is sent of it.
#[derive(Debug)]
pub(crate) struct Data<'c> {
    change: &'c Change,
    full: bool,
    timestamp: String,
}

impl<'c> Data<'c> {
    /// `full` says that the table's identity is the whole row.
    pub(crate) fn new(change: &'c Change, full: bool) -> Self {
        let now = jiff::Timestamp::now();
        let millis = now.as_millisecond().rem_euclid(1_000);
        let timestamp = format!("{}.{millis:03}Z", now.strftime("%Y-%m-%dT%H:%M:%S"));
        Self { change, full, timestamp }
    }

    /// The values that filters are held against, in column order: the new row, or of a deleted one its identity.
    pub(crate) fn tested(&self) -> Vec<Option<&'c Stored>> {
        if self.change.kind != Kind::Delete {
            return self.change.new.iter().map(Some).collect();
        }
        let columns = self.change.table.columns.iter().zip(&self.change.old);
        columns.map(|(column, value)| (self.full || self.is_key(column)).then_some(value)).collect()
    }

    /// The JSON, with the columns of `select` alone.
    pub(crate) fn to_json(&self, select: Option<&[&str]>) -> String {
        let whole = self.write(select, usize::MAX);
        if whole.len() <= MAX_BYTES { whole } else { self.write(select, MAX_VALUE_BYTES) }
    }

    fn write(&self, select: Option<&[&str]>, longest: usize) -> String {
        let change = self.change;
        let chosen = |column: &Column| select.is_none_or(|names| names.contains(&column.name));
        let columns: Vec<String> = change
            .table
            .columns
            .iter()
            .filter(|column| chosen(column))
            .map(|column| format!(r#"{{"name":"{}","type":"{}"}}"#, column.name, column.ty.short_name()))
            .collect();
        let mut json = format!(
            r#"{{"schema":"public","table":"{}","type":"{}","commit_timestamp":"{}","columns":[{}]"#,
            change.table.name,
            change.kind.name(),
            self.timestamp,
            columns.join(",")
        );
        if change.kind != Kind::Delete {
            let untouched = |at: usize, value: &Stored| {
                change.kind == Kind::Update
                    && !self.full
                    && size(value) > TOAST_BYTES
                    && change.old.get(at) == Some(value)
            };
            let keep =
                |at, column: &Column, value: &Stored| chosen(column) && size(value) <= longest && !untouched(at, value);
            let _ = write!(json, r#","record":{}"#, self.row(&change.new, keep));
        }
        if change.kind != Kind::Insert {
            // Row security is on for every table: of a deleted row, nobody gets more than the key.
            let full = self.full && change.kind == Kind::Update;
            let keep = |_, column: &Column, value: &Stored| {
                chosen(column) && size(value) <= longest && (full || self.is_key(column))
            };
            let _ = write!(json, r#","old_record":{}"#, self.row(&change.old, keep));
        }
        let errors = if longest == usize::MAX { "null" } else { r#"["Error 413: Payload Too Large"]"# };
        let _ = write!(json, r#","errors":{errors}}}"#);
        json
    }

    fn row(&self, values: &[Stored], keep: impl Fn(usize, &Column, &Stored) -> bool) -> String {
        let columns = self.change.table.columns.iter().zip(values).enumerate();
        let members: Vec<String> = columns
            .filter(|(at, (column, value))| keep(*at, column, value))
            .map(|(_, (column, value))| format!(r#""{}":{}"#, column.name, printed(column.ty, value)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn is_key(&self, column: &Column) -> bool {
        self.change.table.primary_key.contains(&column.name)
    }
}

fn size(value: &Stored) -> usize {
    match value {
        Stored::Text(text) => text.len(),
        Stored::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

fn printed(ty: PgType, value: &Stored) -> String {
    match (ty, value) {
        (PgType::Bool, Stored::Integer(flag)) => (*flag != 0).to_string(),
        (PgType::Jsonb, Stored::Text(json)) => json.clone(),
        (_, Stored::Integer(number)) => number.to_string(),
        (_, Stored::Text(text)) => quoted(text),
        _ => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::schema::{TABLES, find};

    fn change(kind: Kind, new: &[(&str, Stored)], old: &[(&str, Stored)]) -> Change {
        let table = find(TABLES, "workspace_files").unwrap();
        let row = |set: &[(&str, Stored)]| -> Vec<Stored> {
            let value =
                |name| set.iter().find(|(set, _)| *set == name).map_or(Stored::Null, |(_, value)| value.clone());
            table.columns.iter().map(|column| value(column.name)).collect()
        };
        let (new, old) = match kind {
            Kind::Insert => (row(new), Vec::new()),
            Kind::Update => (row(new), row(old)),
            Kind::Delete => (Vec::new(), row(old)),
        };
        Change { table, kind, rowid: 1, new, old }
    }

    fn text(text: &str) -> Stored {
        Stored::Text(text.to_owned())
    }

    fn parsed(data: &Data<'_>, select: Option<&[&str]>) -> Value {
        serde_json::from_str(&data.to_json(select)).unwrap()
    }

    #[test]
    fn each_kind_has_its_records() {
        let row = [("id", text("i")), ("file_size", Stored::Integer(i64::MAX)), ("is_deleted", Stored::Integer(0))];
        let inserted = change(Kind::Insert, &row, &[]);
        let json = Data::new(&inserted, false).to_json(None);
        assert!(
            json.contains(r#""file_size":9223372036854775807"#) && json.contains(r#""is_deleted":false"#),
            "{json}"
        );
        let json = parsed(&Data::new(&inserted, false), None);
        assert_eq!((&json["type"], json.get("old_record"), &json["errors"]), (&json!("INSERT"), None, &Value::Null));
        assert_eq!(json["columns"][0], json!({ "name": "id", "type": "uuid" }));
        assert_eq!(json["commit_timestamp"].as_str().unwrap().len(), "2025-11-19T00:22:40.877Z".len());

        let updated = change(Kind::Update, &row, &row);
        assert_eq!(parsed(&Data::new(&updated, false), None)["old_record"], json!({ "id": "i" }));
        assert_eq!(parsed(&Data::new(&updated, true), None)["old_record"]["file_size"], json!(i64::MAX));
        let deleted = change(Kind::Delete, &[], &row);
        for full in [false, true] {
            let json = parsed(&Data::new(&deleted, full), None);
            assert_eq!((json.get("record"), &json["old_record"]), (None, &json!({ "id": "i" })));
        }
        assert_eq!(Data::new(&deleted, false).tested().iter().flatten().count(), 1);
        let narrow = parsed(&Data::new(&updated, false), Some(&["file_size", "id"]));
        assert_eq!(narrow["record"], json!({ "id": "i", "file_size": i64::MAX }));
        assert_eq!(narrow["columns"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_long_value_that_did_not_change_is_missing_unless_the_identity_is_full() {
        let long = "x".repeat(TOAST_BYTES + 1);
        let row = |checksum: &str| [("id", text("i")), ("checksum", text(checksum))];
        let same = change(Kind::Update, &row(&long), &row(&long));
        assert_eq!(parsed(&Data::new(&same, false), None)["record"].get("checksum"), None);
        assert_eq!(parsed(&Data::new(&same, true), None)["record"]["checksum"], json!(long));
        let other = change(Kind::Update, &row(&long), &row("y"));
        assert_eq!(parsed(&Data::new(&other, false), None)["record"]["checksum"], json!(long));
    }

    #[test]
    fn a_change_over_a_mebibyte_keeps_its_short_values() {
        let row = |bytes: usize| {
            [("id", text("i")), ("checksum", text(&"x".repeat(bytes))), ("file_path", text(&"p".repeat(64)))]
        };
        let large = change(Kind::Insert, &row(MAX_BYTES), &[]);
        let json = parsed(&Data::new(&large, false), None);
        assert_eq!(json["errors"], json!(["Error 413: Payload Too Large"]));
        assert_eq!((json["record"].get("checksum"), &json["record"]["file_path"]), (None, &json!("p".repeat(64))));
        let fits = change(Kind::Insert, &row(MAX_BYTES / 2), &[]);
        assert_eq!(parsed(&Data::new(&fits, false), None)["errors"], Value::Null);
    }
}
