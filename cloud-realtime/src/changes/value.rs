//! Values that JSON's usual Rust types would spoil: exact numbers, bytes, and null against missing.
//!
//! Postgres renders rows by `to_jsonb`: int8 and numeric are number literals of full length, bytea is hex,
//! NaN and the infinities are null. Integers up to 64 bits are read exactly by their Rust types already.
//! Source: Supabase Realtime, `record`; Postgres `to_jsonb`; wal2json for NaN.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Visitor},
    ser::Error as _,
};
use serde_json::value::RawValue;
use std::{fmt, str::FromStr};

/// A number with all its digits, as Postgres wrote them.
///
/// Read from a number or from a text, since other paths of the same data (the table interface, JSON made
/// by triggers) say `"NaN"`. Two are equal when they are spelled alike: `1.0` is not `1.00`.
///
/// ```
/// use cloud_realtime::changes::Numeric;
///
/// let price: Numeric = serde_json::from_str("0.1234567890123456789012345678901234567890")?;
/// assert_eq!(price.as_str(), "0.1234567890123456789012345678901234567890");
/// assert_eq!(price.parse(), Ok(0.12345678901234568_f64)); // the caller's choice, not ours
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Numeric(Box<str>);

impl Numeric {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is no number. Postgres' numeric has such a value.
    pub fn is_nan(&self) -> bool {
        self.0.eq_ignore_ascii_case("nan")
    }

    /// The number as a type that reads itself from text, such as a decimal of some library.
    ///
    /// # Errors
    ///
    /// When that type does not take it.
    pub fn parse<T: FromStr>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }
}

impl FromStr for Numeric {
    type Err = NotNumeric;

    fn from_str(text: &str) -> Result<Self, NotNumeric> {
        let special = ["nan", "infinity", "-infinity"].iter().any(|word| text.eq_ignore_ascii_case(word));
        let digits = text.bytes().any(|byte| byte.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
            // The grammar in full, at the price of a value that nobody keeps.
            && text.parse::<f64>().is_ok();
        if special || digits { Ok(Self(text.into())) } else { Err(NotNumeric) }
    }
}

/// The text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number")]
#[non_exhaustive]
pub struct NotNumeric;

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Numeric {
    /// From JSON text only: other formats have no literal to keep.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) => inside,
            None => raw.get(),
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Numeric {
    /// As a number where JSON has one for it, else as text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match RawValue::from_string(self.0.to_string()) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) if self.parse::<f64>().is_ok() => serializer.serialize_str(&self.0),
            Err(_) => Err(S::Error::custom(NotNumeric)),
        }
    }
}

/// Bytes of a `bytea`, from hex with or without `\x`.
///
/// Servers from before February 2026 send hex of hex, which looks the same and is not told apart: there,
/// decode what comes a second time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytea(Vec<u8>);

impl Bytea {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Bytea {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl Visitor<'_> for Hex {
            type Value = Bytea;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes in hex")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytea, E> {
                let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
                let (pairs, rest) = digits.as_chunks::<2>();
                let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
                let byte = |&[high, low]: &[u8; 2]| Some(value(high)? << 4 | value(low)?);
                let bytes = pairs.iter().map(byte).collect::<Option<_>>().filter(|_| rest.is_empty());
                // Not the text: it belongs to somebody.
                bytes.map(Bytea).ok_or_else(|| E::custom("not bytes in hex"))
            }
        }
        deserializer.deserialize_str(Hex)
    }
}

/// A column that may be missing from an update, which is not the same as null.
///
/// Needs `#[serde(default)]` on the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a key is missing, null or has a value")]
pub enum Field<T> {
    /// Not sent: keep what is held.
    #[default]
    Missing,
    /// Null now.
    Null,
    /// This now.
    Value(T),
}

impl<T> Field<T> {
    /// What the field is after the update of a row that had `held`.
    pub fn or_held(self, held: Option<T>) -> Option<T> {
        match self {
            Self::Missing => held,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Null, Self::Value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        for text in ["9223372036854775807", "-0.0", "1e400", "12345678901234567890123456789012345678.90", "1.10"] {
            let number: Numeric = serde_json::from_str(text).unwrap();
            assert_eq!((number.as_str(), serde_json::to_string(&number).unwrap().as_str()), (text, text));
            assert_eq!(serde_json::from_str::<Numeric>(&format!("\"{text}\"")).unwrap(), number);
        }
    }

    #[test]
    fn nan_is_a_text_and_null_is_no_number() {
        let nan: Numeric = serde_json::from_str("\"NaN\"").unwrap();
        assert!(nan.is_nan());
        assert_eq!(serde_json::to_string(&nan).unwrap(), "\"NaN\"");
        assert_eq!(serde_json::from_str::<Option<Numeric>>("null").unwrap(), None);
        for text in ["\"\"", "\"1,5\"", "\"one\"", "true", "[1]", "\"1e\"", "\"-\"", "null"] {
            assert!(serde_json::from_str::<Numeric>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_come_from_hex_of_either_spelling() {
        for text in [r#""00ffAb""#, r#""\\x00ffab""#] {
            assert_eq!(serde_json::from_str::<Bytea>(text).unwrap().as_bytes(), [0, 255, 0xab], "{text}");
        }
        assert_eq!(serde_json::from_str::<Bytea>("\"\"").unwrap().into_bytes(), Vec::<u8>::new());
        for text in ["\"0\"", "\"0g\"", "\"+1\"", "\"é\"", "1"] {
            assert!(serde_json::from_str::<Bytea>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_field_keeps_what_is_held() {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default)]
            note: Field<String>,
        }
        let after = |text: &str| serde_json::from_str::<Row>(text).unwrap().note.or_held(Some("held".to_owned()));
        assert_eq!(after("{}").as_deref(), Some("held"));
        assert_eq!(after(r#"{"note":null}"#), None);
        assert_eq!(after(r#"{"note":"new"}"#).as_deref(), Some("new"));
    }
}
