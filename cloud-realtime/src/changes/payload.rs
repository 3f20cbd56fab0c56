//! One change as it came, borrowed; and the typed change that a listener gets.
//!
//! `{"ids":[…],"data":{…}}` → [`RowChange`]: kind, table and the places of record and old record in the
//! text → [`RowChange::decode`], once per listener that wants it: [`Decoded::Change`] with a typed row,
//! or [`Decoded::Reread`] when the message does not hold the whole row. The server leaves values out in
//! three ways: a change of over 1 MiB comes without its large values, an unchanged large value stays
//! out of an update, and a member without the right to read gets an empty record.
//! Source: Supabase Realtime, `postgres_changes`.

use super::{
    row::RawRow,
    split::{members, text},
};
use crate::{
    codec::{DecodeError, bad_json},
    join::RowEvent,
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A change that is not decoded yet. Borrows from its message.
#[derive(Clone, Debug)]
pub struct RowChange<'a> {
    ids: Option<&'a str>,
    kind: RowEvent,
    schema: Cow<'a, str>,
    table: Cow<'a, str>,
    commit_timestamp: Option<Cow<'a, str>>,
    columns: Option<&'a str>,
    record: Option<&'a str>,
    old_record: Option<&'a str>,
    errors: Option<&'a str>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change<T> {
    /// What happened.
    pub kind: RowEvent,
    /// The table's schema.
    pub schema: Cow<'static, str>,
    /// The table.
    pub table: String,
    /// The row as it is now; `None` when it was removed.
    pub row: Option<T>,
    /// What is known of the row as it was: its replica identity, which is the primary key by default.
    /// Nothing for a new row.
    pub old: Option<RawRow>,
    /// Columns that the table has and the message has not, in an update: large values that did not
    /// change. Keep what is held of them.
    pub missing: Vec<String>,
    /// When the change was committed, such as `2025-11-19T00:22:40.877Z`. Many changes share one: an
    /// order, not a cursor.
    pub commit_timestamp: Option<String>,
}

/// A change that is known to have happened, to a row that has to be fetched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reread {
    /// What happened.
    pub kind: RowEvent,
    /// The table's schema.
    pub schema: Cow<'static, str>,
    /// The table.
    pub table: String,
    /// What came of the row, the primary key at least; `None` when nothing did, and only reading the
    /// table again helps.
    pub key: Option<RawRow>,
    /// What the server says about it, such as `Error 413: Payload Too Large`. Nothing when the row
    /// merely lacks a large value that did not change.
    pub errors: Vec<String>,
}

/// What a message says about a row.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a message either holds the row or does not")]
pub enum Decoded<T> {
    /// The whole row, as far as it was asked for.
    Change(Change<T>),
    /// The row has to be fetched.
    Reread(Reread),
}

/// A column, as a message describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Column<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its type's name in Postgres, such as `int8` or `_text`.
    #[serde(borrow, rename = "type", default)]
    pub type_name: Cow<'a, str>,
}

impl<'a> RowChange<'a> {
    /// Reads the payload of a `postgres_changes` message. Rows stay text.
    ///
    /// # Errors
    ///
    /// When it does not say what happened to which table.
    pub fn parse(payload: &'a RawValue) -> Result<Self, DecodeError> {
        let missing = |name| bad_json("change")(serde_json::Error::missing_field(name));
        let (mut ids, mut schema, mut table, mut kind, mut commit_timestamp) = (None, None, None, None, None);
        let (mut columns, mut record, mut old_record, mut errors) = (None, None, None, None);
        let mut outer = members(payload.get());
        while let Some(name) = outer.name() {
            match &*name {
                "ids" => ids = outer.take(),
                "data" => {
                    // Of two, the later counts, as everywhere in JSON.
                    (schema, table, kind, commit_timestamp) = (None, None, None, None);
                    (columns, record, old_record, errors) = (None, None, None, None);
                    let mut data = outer.enter();
                    while let Some(name) = data.name() {
                        let Some(value) = data.take() else { break };
                        let some = (value != "null").then_some(value);
                        match &*name {
                            "schema" => schema = text(value),
                            "table" => table = text(value),
                            "type" => kind = text(value),
                            "commit_timestamp" => commit_timestamp = text(value),
                            "columns" => columns = some,
                            "record" => record = some,
                            "old_record" => old_record = some,
                            "errors" => errors = some,
                            _ => {}
                        }
                    }
                    outer.leave(&data);
                }
                _ => drop(outer.take()),
            }
        }
        Ok(Self {
            ids,
            kind: RowEvent::named(&kind.ok_or_else(|| missing("type"))?),
            schema: schema.ok_or_else(|| missing("schema"))?,
            table: table.ok_or_else(|| missing("table"))?,
            commit_timestamp,
            columns,
            record,
            old_record,
            errors,
        })
    }

    /// The server's ids of the listeners this is for, see [`Bindings`](super::Bindings). May repeat.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        // Checked to be JSON already; whatever is no plain list of whole numbers holds no id.
        let inside = self.ids.and_then(|ids| ids.strip_prefix('[')?.strip_suffix(']'));
        let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b',' || byte.is_ascii_whitespace();
        let list = inside.filter(|list| list.bytes().all(is_plain)).unwrap_or_default();
        list.as_bytes().split(|byte| *byte == b',').filter_map(number)
    }

    /// What happened.
    pub const fn kind(&self) -> &RowEvent {
        &self.kind
    }

    /// The table's schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The row as it is now, as JSON text. `None` when it was removed.
    pub const fn record(&self) -> Option<&'a str> {
        self.record
    }

    /// What is known of the row as it was, as JSON text.
    pub const fn old_record(&self) -> Option<&'a str> {
        self.old_record
    }

    /// The columns, with their types.
    ///
    /// # Errors
    ///
    /// When they are no list of columns.
    pub fn columns(&self) -> Result<Vec<Column<'a>>, DecodeError> {
        let Some(columns) = self.columns else { return Ok(Vec::new()) };
        serde_json::from_str(columns).map_err(bad_json("columns"))
    }

    /// What the server says is wrong with the record.
    pub fn errors(&self) -> Vec<String> {
        let Some(errors) = self.errors else { return Vec::new() };
        let list = serde_json::from_str(errors);
        list.or_else(|_| serde_json::from_str(errors).map(|one: String| vec![one]))
            // Neither a list nor a text: still something that the server found worth saying.
            .unwrap_or_else(|_| vec!["an error of unknown shape".to_owned()])
    }

    /// The change with its row as `T`; or what has to be fetched, when the message does not hold all of it.
    ///
    /// Numbers are read from their digits, so an `i64` is exact; a `numeric` of more than 15 digits needs
    /// [`Numeric`](super::Numeric). A field that can be null *and* missing needs
    /// [`Field`](super::Field); a plain `Option` without `#[serde(default)]` makes a missing value a reread.
    ///
    /// # Errors
    ///
    /// When the row is whole and no `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Decoded<T>, DecodeError> {
        let errors = self.errors();
        if !errors.is_empty() {
            return Ok(Decoded::Reread(self.reread(errors)));
        }
        let missing = if self.kind == RowEvent::UPDATE { self.missing()? } else { Vec::new() };
        let row = match self.record.filter(|_| self.kind != RowEvent::DELETE).map(decode_row) {
            Some(Err(_)) if !missing.is_empty() => return Ok(Decoded::Reread(self.reread(errors))),
            Some(row) => Some(row?),
            None => None,
        };
        Ok(Decoded::Change(Change {
            kind: self.kind.clone(),
            schema: own(&self.schema),
            table: self.table.clone().into_owned(),
            row,
            old: self.old_record.and_then(RawRow::new),
            missing,
            commit_timestamp: self.commit_timestamp.as_deref().map(str::to_owned),
        }))
    }

    fn reread(&self, errors: Vec<String>) -> Reread {
        let filled = |json: Option<&str>| json.and_then(RawRow::new).filter(|row| !row.is_empty());
        Reread {
            kind: self.kind.clone(),
            schema: own(&self.schema),
            table: self.table.clone().into_owned(),
            // The old record is the replica identity and nothing else; the record has more than the key.
            key: filled(self.old_record).or_else(|| filled(self.record)),
            errors,
        }
    }

    /// The columns that are described and not there.
    fn missing(&self) -> Result<Vec<String>, DecodeError> {
        let (Some(record), Some(columns)) = (self.record, self.columns) else { return Ok(Vec::new()) };
        super::row::missing(columns, record)
    }
}

/// The number that these digits say, with nothing but white space around them.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.trim_ascii();
    let next = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, next).filter(|_| !digits.is_empty())
}

/// The usual name costs nothing.
fn own(schema: &str) -> Cow<'static, str> {
    if schema == "public" { Cow::Borrowed("public") } else { Cow::Owned(schema.to_owned()) }
}

fn decode_row<T: DeserializeOwned>(json: &str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(bad_json("row"))
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
