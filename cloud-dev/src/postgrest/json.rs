//! JSON that keeps what PostgreSQL keeps: the digits of a number and, until normalised, the order of keys.
//!
//! Body text → [`Json`] → column text. `serde_json` reads the tokens; numbers stay as written, so a bigint
//! or a long decimal never passes through a float.
//! Wire source: PostgreSQL `jsonb` input and output, PostgREST request bodies.

use std::{cmp::Ordering, fmt, fmt::Write as _};

use serde::{
    Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Numbers with a larger exponent stay as they are written.
const MAX_EXPONENT: u32 = 1_000;

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 200;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    Text(String),
    List(Vec<Self>),
    /// Keys in the order they were written, the last of equal ones kept.
    Object(Vec<(String, Self)>),
}

/// The text is not JSON, or is nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Json {
    /// Reads one JSON value.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        Self::read(text, 0)
    }

    fn read(text: &str, depth: usize) -> Result<Self, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let mut tokens = serde_json::Deserializer::from_str(text);
        match text.bytes().next() {
            Some(b'{') => {
                let raw_fields = tokens.deserialize_map(Fields).map_err(|_| Malformed)?;
                tokens.end().map_err(|_| Malformed)?;
                let mut fields: Vec<(String, Self)> = Vec::new();
                for (key, raw) in raw_fields {
                    let value = Self::read(raw.get(), depth + 1)?;
                    match fields.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, earlier)) => *earlier = value,
                        None => fields.push((key, value)),
                    }
                }
                Ok(Self::Object(fields))
            }
            Some(b'[') => {
                let items = tokens.deserialize_seq(Items).map_err(|_| Malformed)?;
                tokens.end().map_err(|_| Malformed)?;
                Ok(Self::List(items.iter().map(|raw| Self::read(raw.get(), depth + 1)).collect::<Result<_, _>>()?))
            }
            Some(b'"') => serde_json::from_str(text).map(Self::Text).map_err(|_| Malformed),
            _ => Ok(match serde_json::from_str::<&RawValue>(text).map_err(|_| Malformed)?.get() {
                "null" => Self::Null,
                "true" => Self::Bool(true),
                "false" => Self::Bool(false),
                digits => Self::Number(digits.to_owned()),
            }),
        }
    }

    /// The member named `key`.
    pub(crate) fn member(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The element at `index`; negative counts from the end.
    pub(crate) fn element(&self, index: i64) -> Option<&Self> {
        let Self::List(items) = self else { return None };
        let position = if index < 0 { i64::try_from(items.len()).ok()? + index } else { index };
        items.get(usize::try_from(position).ok()?)
    }

    /// The value as text: a string without its quotes, anything else as JSON; `None` for null.
    pub(crate) fn as_plain_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// Every string that is a value, in order; keys are none.
    pub(crate) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, value)| value.texts()).collect(),
            Self::Null | Self::Bool(_) | Self::Number(_) => Vec::new(),
        }
    }

    /// As `jsonb` stores it: shorter keys first, then by bytes; numbers written out.
    pub(crate) fn normalised(self) -> Self {
        match self {
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().map(|(key, value)| (key, value.normalised())).collect();
                fields.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
                Self::Object(fields)
            }
            Self::List(items) => Self::List(items.into_iter().map(Self::normalised).collect()),
            Self::Number(digits) => Self::Number(without_exponent(&digits).unwrap_or(digits)),
            other => other,
        }
    }

    /// Drops every member that is null, at any depth.
    pub(crate) fn without_nulls(self) -> Self {
        match self {
            Self::Object(fields) => Self::Object(
                fields
                    .into_iter()
                    .filter(|(_, value)| *value != Self::Null)
                    .map(|(key, value)| (key, value.without_nulls()))
                    .collect(),
            ),
            Self::List(items) => Self::List(items.into_iter().map(Self::without_nulls).collect()),
            other => other,
        }
    }

    /// Whether any text in the value holds the character PostgreSQL cannot store.
    pub(crate) fn has_nul(&self) -> bool {
        match self {
            Self::Text(text) => text.contains('\0'),
            Self::List(items) => items.iter().any(Self::has_nul),
            Self::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || value.has_nul()),
            _ => false,
        }
    }

    /// `jsonb`'s `@>`: whether `other` is part of this value.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(fields), Self::Object(wanted)) => {
                wanted.iter().all(|(key, value)| fields.iter().any(|(name, mine)| name == key && mine.contains(value)))
            }
            (Self::List(items), Self::List(wanted)) => {
                wanted.iter().all(|value| items.iter().any(|mine| mine.same_kind(value) && mine.contains(value)))
            }
            // At the top, an array also contains a bare scalar; below, the kinds were compared already.
            (Self::List(items), scalar) if !matches!(scalar, Self::Object(_)) => {
                items.iter().any(|mine| mine.compare(scalar) == Ordering::Equal)
            }
            (mine, value) => mine.compare(value) == Ordering::Equal,
        }
    }

    const fn same_kind(&self, other: &Self) -> bool {
        matches!(self, Self::List(_)) == matches!(other, Self::List(_))
    }

    /// `jsonb`'s order: null < text < number < bool < array < object.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => match (a.parse::<i64>(), b.parse::<i64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => a.parse::<f64>().unwrap_or(0.0).total_cmp(&b.parse::<f64>().unwrap_or(0.0)),
            },
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.len().cmp(&b.len()).then_with(|| {
                a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            }),
            (Self::Object(a), Self::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
                let (a, b) = (self.clone().normalised(), other.clone().normalised());
                let (Self::Object(a), Self::Object(b)) = (a, b) else { return Ordering::Equal };
                a.iter()
                    .zip(&b)
                    .map(|((key, value), (other_key, other))| key.cmp(other_key).then_with(|| value.compare(other)))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Text(_) => 1,
            Self::Number(_) => 2,
            Self::Bool(_) => 3,
            Self::List(_) => 4,
            Self::Object(_) => 5,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                f.write_char('[')?;
                for (position, item) in items.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_char(']')
            }
            Self::Object(fields) => {
                f.write_char('{')?;
                for (position, (key, value)) in fields.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {value}", quoted(key))?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

/// `1.5e3` → `1500`, as `numeric` prints it; `None` for what needs no change, or more digits than is sane.
fn without_exponent(digits: &str) -> Option<String> {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (negative, unsigned) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let is_zero = unsigned.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if mantissa.len() == digits.len() && !(negative && is_zero) {
        return None;
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.unsigned_abs() <= MAX_EXPONENT)?;
    let all: String = [whole, fraction].concat();
    // Where the point goes in `all`, which gets the zeros that are missing on either side.
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let before = usize::try_from(1 - point).unwrap_or(0);
    let after = usize::try_from(point).unwrap_or(0).saturating_sub(all.len());
    let padded = format!("{}{all}{}", "0".repeat(before), "0".repeat(after));
    let (whole, fraction) = padded.split_at_checked(usize::try_from(point.max(1)).ok()?)?;
    let whole = whole.trim_start_matches('0');
    let sign = if negative && !is_zero { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn stored_numbers_are_written_out() {
        for (written, stored) in [
            ("1e3", "1000"),
            ("1.10e1", "11.0"),
            ("1.10", "1.10"),
            ("-1.5E+2", "-150"),
            ("12e-1", "1.2"),
            ("1e-3", "0.001"),
            ("0.05e1", "0.5"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("0e5", "0"),
            ("9007199254740993", "9007199254740993"),
            ("1e99999", "1e99999"),
        ] {
            assert_eq!(Json::parse(written).unwrap().normalised().to_string(), stored, "{written}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_equal_keys_keep_the_last_value() {
        assert_eq!(json(" [9223372036854775807, 1.10] ").to_string(), "[9223372036854775807, 1.10]");
        assert_eq!(json(r#"{"b":1,"aa":2,"b":3}"#).normalised().to_string(), r#"{"b": 3, "aa": 2}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "[1,]", "nope", "1 2", "{\"a\":1}x", "[1] 2", "\"a", "01", "{\"a\" 1}"] {
            assert_eq!(Json::parse(text), Err(Malformed), "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), Err(Malformed));
    }

    #[test]
    fn containment_follows_jsonb() {
        for (whole, part, expected) in [
            (r#"{"a":1,"b":{"c":2}}"#, r#"{"b":{"c":2}}"#, true),
            (r#"{"a":1}"#, r#"{"a":2}"#, false),
            ("[1,2,3]", "[3,1]", true),
            ("[1,2,3]", "[4]", false),
            (r#"["a","b"]"#, r#""a""#, true),
            ("[[1,2]]", "[1]", false),
            ("[[1,2]]", "[[1]]", true),
            ("1", "1.0", true),
            ("{}", "[]", false),
        ] {
            assert_eq!(json(whole).contains(&json(part)), expected, "{whole} @> {part}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_parsed_or_refused_and_agrees_with_serde_json(text in "[\\[\\]{}\",:0-9a-c \\\\-]{0,24}") {
            let reference = serde_json::from_str::<serde_json::Value>(&text);
            let mine = Json::parse(&text);
            prop_assert_eq!(mine.is_ok(), reference.is_ok());
            if let (Ok(mine), Ok(reference)) = (mine, reference) {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&mine.to_string()).unwrap(), reference);
            }
        }
    }
}
