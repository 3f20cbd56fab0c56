//! A row as JSON text: every digit kept, read column by column, merged over what is held.
//!
//! Text in, text out: nothing passes through a floating-point number. An update may lack columns, so it
//! is laid over the held row instead of replacing it ([`RawRow::merged_onto`]).
//! Source: Supabase Realtime, `record` and `old_record`; Postgres `to_jsonb`.

use super::{payload::Column, value::Field};
use crate::codec::{DecodeError, bad_json};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// A row, or what came of it, as JSON text. Two are equal when their text is.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct RawRow(Box<RawValue>);

impl RawRow {
    /// `None` when the text is no JSON.
    pub(super) fn new(json: &str) -> Option<Self> {
        RawValue::from_string(json.to_owned()).ok().map(Self)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The row as `T`.
    ///
    /// # Errors
    ///
    /// When it has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(self.as_str()).map_err(bad_json("row"))
    }

    /// One column: missing, null or a value.
    ///
    /// # Errors
    ///
    /// When the value is no `T`, or the row no object.
    pub fn column<T: DeserializeOwned>(&self, name: &str) -> Result<Field<T>, DecodeError> {
        let columns = self.columns()?;
        let Some(raw) = columns.get(name) else { return Ok(Field::Missing) };
        serde_json::from_str(raw.get()).map_err(bad_json("column"))
    }

    /// This row laid over `held`: what is here wins, null included; what is missing here stays.
    ///
    /// # Errors
    ///
    /// When one of them is no object.
    pub fn merged_onto(&self, held: &Self) -> Result<Self, DecodeError> {
        let mut columns = held.columns()?;
        columns.extend(self.columns()?);
        // The parts are JSON already, so writing them cannot fail; the error type leaves no other way.
        serde_json::value::to_raw_value(&columns).map(Self).map_err(bad_json("row"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns().is_ok_and(|columns| columns.is_empty())
    }

    fn columns(&self) -> Result<BTreeMap<Cow<'_, str>, &RawValue>, DecodeError> {
        serde_json::from_str(self.as_str()).map_err(bad_json("row"))
    }
}

impl From<Box<RawValue>> for RawRow {
    fn from(value: Box<RawValue>) -> Self {
        Self(value)
    }
}

impl PartialEq for RawRow {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for RawRow {
    /// Rows belong to people: only the size is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawRow({} bytes)", self.as_str().len())
    }
}

impl<'de> Deserialize<'de> for RawRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

/// The columns that `columns` names and `record` lacks.
pub(super) fn missing(columns: &str, record: &str) -> Result<Vec<String>, DecodeError> {
    // Nearly always the record has every column, in the same order: then counting is enough.
    let has: usize = serde_json::from_str::<Length>(record).map_err(bad_json("row"))?.0;
    let named: usize = serde_json::from_str::<Length>(columns).map_err(bad_json("columns"))?.0;
    if has >= named {
        return Ok(Vec::new());
    }
    let held: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_str(record).map_err(bad_json("row"))?;
    let columns: Vec<Column<'_>> = serde_json::from_str(columns).map_err(bad_json("columns"))?;
    let absent = columns.into_iter().filter(|column| !held.contains_key(&column.name));
    Ok(absent.map(|column| column.name.into_owned()).collect())
}

/// How many elements or keys there are.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or an object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Length, A::Error> {
                let mut count = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Length(count))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Length, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Length(count))
            }
        }
        deserializer.deserialize_any(Counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn row(text: &str) -> RawRow {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn null_and_missing_are_two_things() {
        let row = row(r#"{"id":1,"note":null}"#);
        assert_eq!(row.column::<u64>("id").unwrap(), Field::Value(1));
        assert_eq!(row.column::<String>("note").unwrap(), Field::Null);
        assert_eq!(row.column::<String>("body").unwrap(), Field::Missing);
        assert!(row.column::<String>("id").is_err());
    }

    #[test]
    fn an_update_is_laid_over_what_is_held_and_keeps_every_digit() {
        let held = row(r#"{"id":9223372036854775807,"body":"long","price":1.10,"note":"x"}"#);
        let update =
            row(r#"{"id":9223372036854775807,"price":0.1234567890123456789012345678901234567890,"note":null}"#);
        assert_eq!(
            update.merged_onto(&held).unwrap().as_str(),
            r#"{"body":"long","id":9223372036854775807,"note":null,"price":0.1234567890123456789012345678901234567890}"#
        );
    }

    #[test]
    fn debug_shows_no_row() {
        assert_eq!(format!("{:?}", row(r#"{"s":"s3cret"}"#)), "RawRow(14 bytes)");
    }

    fn object() -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::btree_map(
            "[a-d\"é]",
            prop_oneof![any::<i64>().prop_map(Value::from), Just(json!(null))],
            0..5,
        )
        .prop_map(Map::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_merge_is_that_of_two_maps(held in object(), update in object()) {
            let text = |map: &Map<String, Value>| row(&serde_json::to_string(map).unwrap());
            let merged: Map<String, Value> = text(&update).merged_onto(&text(&held)).unwrap().decode().unwrap();
            let mut wanted = held;
            wanted.extend(update);
            prop_assert_eq!(merged, wanted);
        }
    }
}
