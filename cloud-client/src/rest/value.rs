//! Values to compare with: their text, and the PostgreSQL literals of arrays and ranges.
//!
//! Rust value → text as PostgreSQL reads it. How the text is quoted depends on where it stands, which
//! [`operator`](super::operator) knows; the quotes made here are those *inside* a literal. Wire source: PostgreSQL
//! "Array Input and Output Syntax" and "Range Input/Output".
use std::{
    borrow::Cow,
    ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive},
};

use super::name::push_quoted;

/// A value to compare with, as text.
///
/// Text, numbers, booleans and UUIDs are themselves; an array, a [`Vec`] or an [`Array`] is a PostgreSQL array; a Rust range
/// is a PostgreSQL range; a [`serde_json::Value`] is JSON.
///
/// ```
/// use cloud_client::rest::Value;
///
/// assert_eq!(Value::from(["a,b", "c"]).as_str(), r#"{"a,b",c}"#);
/// assert_eq!(Value::from(1..5).as_str(), "[1,5)");
/// assert_eq!(Value::from("2026-01-01".."2026-02-01").as_str(), "[2026-01-01,2026-02-01)");
/// assert_eq!(Value::from(serde_json::json!({"a": 1})).as_str(), r#"{"a":1}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(String);

impl Value {
    /// The text, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! value_from {
    ($($from:ty),+) => { $(impl From<$from> for Value {
        fn from(value: $from) -> Self {
            Self(value.to_string())
        }
    })+ };
}
value_from!(&str, &String, Cow<'_, str>, bool, char, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
value_from!(f32, f64, uuid::Uuid, &uuid::Uuid, serde_json::Value, &serde_json::Value);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&Self> for Value {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

/// A PostgreSQL array whose elements may be null, or arrays themselves.
///
/// ```
/// use cloud_client::rest::{Array, Value};
///
/// let array = Array::of(["plain", "NULL", "", "a b"]).null();
/// assert_eq!(Value::from(array).as_str(), r#"{plain,"NULL","","a b",NULL}"#);
/// assert_eq!(Value::from(Array::nested([Array::of([1, 2]), Array::of([3, 4])])).as_str(), "{{1,2},{3,4}}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Array {
    /// The elements as they stand in the literal.
    parts: Vec<String>,
}

impl Array {
    /// An array of these elements.
    pub fn of<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Self {
        Self { parts: elements.into_iter().map(|element| element_text(&element.into().0)).collect() }
    }

    /// An array of arrays, which PostgreSQL wants to be equally long.
    pub fn nested(rows: impl IntoIterator<Item = Self>) -> Self {
        Self { parts: rows.into_iter().map(|row| row.text()).collect() }
    }

    /// Adds an element.
    pub fn push(mut self, element: impl Into<Value>) -> Self {
        self.parts.push(element_text(&element.into().0));
        self
    }

    /// Adds a null.
    pub fn null(mut self) -> Self {
        self.parts.push("NULL".to_owned());
        self
    }

    fn text(&self) -> String {
        format!("{{{}}}", self.parts.join(","))
    }
}

/// An element of an array literal: quoted when PostgreSQL would read it as something else.
fn element_text(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:+/@".contains(&byte);
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self(array.text())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(elements: [T; N]) -> Self {
        Array::of(elements).into()
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Array::of(elements).into()
    }
}

fn range(lower: Bound<Value>, upper: Bound<Value>) -> Value {
    // A bound is quoted by the rules of an array element; an empty text would mean "no bound".
    let end = |bound: &Bound<Value>| match bound {
        Bound::Included(value) | Bound::Excluded(value) => element_text(&value.0),
        Bound::Unbounded => String::new(),
    };
    let open = if matches!(lower, Bound::Included(_)) { '[' } else { '(' };
    let close = if matches!(upper, Bound::Included(_)) { ']' } else { ')' };
    Value(format!("{open}{},{}{close}", end(&lower), end(&upper)))
}

/// Any range, also one without its lower bound.
impl<T: Into<Self>> From<(Bound<T>, Bound<T>)> for Value {
    fn from((lower, upper): (Bound<T>, Bound<T>)) -> Self {
        range(lower.map(Into::into), upper.map(Into::into))
    }
}

impl<T: Into<Self>> From<Range<T>> for Value {
    fn from(Range { start, end }: Range<T>) -> Self {
        range(Bound::Included(start.into()), Bound::Excluded(end.into()))
    }
}

impl<T: Into<Self>> From<RangeInclusive<T>> for Value {
    fn from(both: RangeInclusive<T>) -> Self {
        let (start, end) = both.into_inner();
        range(Bound::Included(start.into()), Bound::Included(end.into()))
    }
}

impl<T: Into<Self>> From<RangeFrom<T>> for Value {
    fn from(RangeFrom { start }: RangeFrom<T>) -> Self {
        range(Bound::Included(start.into()), Bound::Unbounded)
    }
}

impl<T: Into<Self>> From<RangeTo<T>> for Value {
    fn from(RangeTo { end }: RangeTo<T>) -> Self {
        range(Bound::Unbounded, Bound::Excluded(end.into()))
    }
}

impl<T: Into<Self>> From<RangeToInclusive<T>> for Value {
    fn from(RangeToInclusive { end }: RangeToInclusive<T>) -> Self {
        range(Bound::Unbounded, Bound::Included(end.into()))
    }
}

impl From<RangeFull> for Value {
    fn from(_: RangeFull) -> Self {
        range(Bound::Unbounded, Bound::Unbounded)
    }
}
