//! Rows of servers that send every value as text, turned into what newer servers send.
//!
//! Only the first generation of Supabase Realtime does this (`"id":"46"`, `"done":"t"`, `"tags":"{a,b}"`),
//! so nothing calls this by itself: a host that knows its server to be that old passes rows through it.
//! The columns' types decide. Digits are copied, never computed. What is not text, or not of its type's
//! form, stays as it is.
//! Source: Supabase Realtime of generation 1; realtime-js `transformers`; Postgres array literals.

use super::{payload::Column, row::RawRow, value::Numeric};
use crate::codec::{DecodeError, bad_json};
use serde_json::value::{RawValue, to_raw_value};
use std::{borrow::Cow, collections::BTreeMap};

/// `record`, a row as JSON text, with its texts converted by `columns`.
///
/// # Errors
///
/// When the record is no object.
pub fn from_text_values(columns: &[Column<'_>], record: &str) -> Result<RawRow, DecodeError> {
    let values: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(record).map_err(bad_json("row"))?;
    let type_of = |name: &str| columns.iter().find(|column| column.name == name).map(|column| &*column.type_name);
    let mut converted: BTreeMap<Cow<'_, str>, Cow<'_, RawValue>> = BTreeMap::new();
    for (name, raw) in values {
        let value = type_of(&name).and_then(|type_name| convert(type_name, raw));
        converted.insert(name, value.map_or(Cow::Borrowed(raw), Cow::Owned));
    }
    to_raw_value(&converted).map(RawRow::from).map_err(bad_json("row"))
}

/// `None`: leave it.
fn convert(type_name: &str, raw: &RawValue) -> Option<Box<RawValue>> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    RawValue::from_string(json(type_name, &text)?).ok()
}

fn json(type_name: &str, text: &str) -> Option<String> {
    if let Some(element) = type_name.strip_prefix('_') {
        return array(element, text);
    }
    match type_name {
        "bool" if text == "t" || text == "true" => Some("true".to_owned()),
        "bool" if text == "f" || text == "false" => Some("false".to_owned()),
        "int2" | "int4" | "int8" | "oid" | "float4" | "float8" | "numeric" => number(text),
        "json" | "jsonb" => serde_json::from_str::<&RawValue>(text).ok().map(|raw| raw.get().to_owned()),
        "timestamp" | "timestamptz" => serde_json::to_string(&text.replacen(' ', "T", 1)).ok(),
        "bytea" => serde_json::to_string(text.strip_prefix("\\x").unwrap_or(text)).ok(),
        _ => None,
    }
}

/// JSON has no NaN and no infinity; a newer server says null.
fn number(text: &str) -> Option<String> {
    let number: Numeric = text.parse().ok()?;
    let is_finite = number.as_str().bytes().any(|byte| byte.is_ascii_digit());
    Some(if is_finite { text.to_owned() } else { "null".to_owned() })
}

/// An array literal, of any depth. Ranges of indices before it (`[0:1]={…}`) stay text.
fn array(element: &str, text: &str) -> Option<String> {
    let mut reader = Literal { rest: text.strip_prefix('{')?, element };
    let out = reader.elements(0)?;
    reader.rest.is_empty().then_some(out)
}

/// Postgres has no arrays of more dimensions.
const MAX_DEPTH: u8 = 6;

struct Literal<'a> {
    rest: &'a str,
    element: &'a str,
}

impl Literal<'_> {
    /// What is between `{`, which is gone already, and its `}`.
    fn elements(&mut self, depth: u8) -> Option<String> {
        let mut out = String::from("[");
        if let Some(rest) = self.rest.strip_prefix('}') {
            self.rest = rest;
            return Some("[]".to_owned());
        }
        loop {
            out.push_str(&self.one(depth)?);
            let mut chars = self.rest.chars();
            let next = chars.next()?;
            self.rest = chars.as_str();
            match next {
                ',' => out.push(','),
                '}' => break,
                _ => return None,
            }
        }
        out.push(']');
        Some(out)
    }

    fn one(&mut self, depth: u8) -> Option<String> {
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            return if depth < MAX_DEPTH { self.elements(depth + 1) } else { None };
        }
        let (text, is_quoted) = match self.rest.strip_prefix('"') {
            Some(rest) => (self.quoted(rest)?, true),
            None => {
                let end = self.rest.find([',', '}'])?;
                let (text, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                (text.to_owned(), false)
            }
        };
        if !is_quoted && text.eq_ignore_ascii_case("null") {
            return Some("null".to_owned());
        }
        json(self.element, &text).or_else(|| serde_json::to_string(&text).ok())
    }

    fn quoted(&mut self, inside: &str) -> Option<String> {
        let (mut text, mut chars) = (String::new(), inside.chars());
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next()?),
                other => text.push(other),
            }
        }
        let used = inside.len() - chars.as_str().len();
        // `inside` is what follows the opening quote, so it is used up together with that quote.
        self.rest = self.rest.split_at_checked(1 + used)?.1;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_a_newer_server_sends() {
        let cases = [
            ("int8", r#""9223372036854775807""#, "9223372036854775807"),
            (
                "numeric",
                r#""0.1234567890123456789012345678901234567890""#,
                "0.1234567890123456789012345678901234567890",
            ),
            ("numeric", r#""NaN""#, "null"),
            ("float8", r#""-Infinity""#, "null"),
            ("float8", r#""1e+30""#, "1e+30"),
            ("int4", r#""""#, r#""""#),
            ("bool", r#""t""#, "true"),
            ("bool", r#""f""#, "false"),
            ("bool", r#""maybe""#, r#""maybe""#),
            ("jsonb", r#""{\"a\": 1.10}""#, r#"{"a": 1.10}"#),
            ("json", r#""{broken""#, r#""{broken""#),
            ("timestamptz", r#""2025-11-03 09:32:55+00""#, r#""2025-11-03T09:32:55+00""#),
            ("bytea", r#""\\x00ff""#, r#""00ff""#),
            ("text", r#""46""#, r#""46""#),
            ("int8", "46", "46"),
            ("int8", "null", "null"),
            ("_int8", r#""{1,NULL,9223372036854775807}""#, "[1,null,9223372036854775807]"),
            ("_text", r#""{a,\"b,\\\"c\\\\\",\"NULL\",\"\"}""#, r#"["a","b,\"c\\","NULL",""]"#),
            ("_int4", r#""{{1,2},{3,4}}""#, "[[1,2],[3,4]]"),
            ("_bool", r#""{}""#, "[]"),
            ("_int4", r#""{1,2""#, r#""{1,2""#),
            ("_int4", r#""{1,2}x""#, r#""{1,2}x""#),
            ("_int4", r#""[0:1]={1,2}""#, r#""[0:1]={1,2}""#),
            ("unheard_of", r#""x""#, r#""x""#),
        ];
        for (type_name, raw, wanted) in cases {
            let columns = [Column { name: "v".into(), type_name: type_name.into() }];
            let record = format!("{{\"other\":\"1\",\"v\":{raw}}}");
            let row = from_text_values(&columns, &record).unwrap();
            assert_eq!(row.as_str(), format!("{{\"other\":\"1\",\"v\":{wanted}}}"), "{type_name} {raw}");
        }
    }

    #[test]
    fn depth_without_end_is_left_as_text() {
        let deep = "{".repeat(100_000);
        assert_eq!(json("_int4", &deep), None);
    }
}
