//! The members of a JSON object, by name, without reading what is in them.
//!
//! Only for text that is known to be JSON, such as the payload of an envelope: it is not checked a second
//! time, which is most of what another pass would cost. Text that is no JSON gives members of no meaning,
//! or fewer of them, and never a panic.

use std::borrow::Cow;

/// Goes through the members of an object, in order: a name, then its value. Nothing for anything else.
#[derive(Clone, Debug)]
pub(super) struct Members<'a> {
    rest: &'a str,
}

/// The members of `json`.
pub(super) fn members(json: &str) -> Members<'_> {
    Members { rest: json.trim_ascii_start().strip_prefix('{').unwrap_or_default() }
}

/// The text of a JSON string; `None` for any other value.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

impl<'a> Members<'a> {
    /// The next name. Its value has to be taken or entered before the one after.
    pub(super) fn name(&mut self) -> Option<Cow<'a, str>> {
        let start = self.rest.trim_ascii_start();
        self.rest = start.strip_prefix(',').unwrap_or(start).trim_ascii_start();
        let (end, is_plain) = string_end(self.rest.strip_prefix('"')?.as_bytes())?;
        // The quote before it is one byte, and so is the one behind it.
        let (name, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        if is_plain { name.get(1..end).map(Cow::Borrowed) } else { text(name) }
    }

    /// The value of the name that was just read.
    pub(super) fn take(&mut self) -> Option<&'a str> {
        let (value, rest) = self.rest.split_at_checked(value_bytes(self.rest.as_bytes())?)?;
        self.rest = rest;
        Some(value)
    }

    /// The members of that value, read in place instead of taken, so that it is gone through once.
    pub(super) fn enter(&self) -> Self {
        members(self.rest)
    }

    /// Goes on behind a value whose members were all read.
    pub(super) fn leave(&mut self, inside: &Self) {
        self.rest = inside.rest.trim_ascii_start().strip_prefix('}').unwrap_or_default();
    }
}

/// How long the value is that starts here.
fn value_bytes(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match json.get(at)? {
            b'"' => at += 1 + string_end(json.get(at + 1..)?)?.0,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' if depth == 0 => return None,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            _ => at += json.get(at..)?.iter().take_while(|byte| is_of_word(**byte)).count().max(1),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Numbers, `true`, `false`, `null`.
const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Where the string ends whose inside starts here, behind its quote; and whether it says what it means, without escapes.
fn string_end(json: &[u8]) -> Option<(usize, bool)> {
    let (mut from, mut is_plain) = (0, true);
    loop {
        let stop = from + next_mark(json.get(from..)?)?;
        if json.get(stop) == Some(&b'"') {
            return Some((stop + 1, is_plain));
        }
        (from, is_plain) = (stop + 2, false);
    }
}

/// Where the next quote or backslash is. Most names and many values are shorter than eight bytes, and to call a search for
/// them would cost more than to look at all eight at once.
#[inline]
fn next_mark(json: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The lowest bit that is set belongs to the first such byte; what is above it may be wrong.
    const fn places(word: u64, byte: u8) -> u64 {
        let zero = word ^ (ONES * byte as u64);
        zero.wrapping_sub(ONES) & !zero & (ONES << 7)
    }
    if let Some(first) = json.first_chunk::<8>() {
        let word = u64::from_le_bytes(*first);
        let places = places(word, b'"') | places(word, b'\\');
        if places != 0 {
            return Some(places.trailing_zeros() as usize / 8);
        }
    }
    memchr::memchr2(b'"', b'\\', json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn all(json: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        let mut members = members(json);
        std::iter::from_fn(move || Some((members.name()?, members.take()?)))
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c\"\\\\{}\\[\\],: é\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\}]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_members_of_an_object_are_those_that_serde_reads(
            object in prop::collection::btree_map("[a-c\"\\\\}é]{0,3}", json(), 0..5), is_pretty in any::<bool>(),
        ) {
            let object: Map<String, Value> = object.into_iter().collect();
            let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let json = write(&object).unwrap();
            let found: Map<String, Value> =
                all(&json).map(|(name, value)| (name.into_owned(), serde_json::from_str(value).unwrap())).collect();
            // The same one level down, with something behind it.
            let outer = format!("{{\"in\": {json}, \"b\":1}}");
            let mut reader = members(&outer);
            reader.name().unwrap();
            let mut inside = reader.enter();
            let within = std::iter::from_fn(|| Some((inside.name()?, inside.take()?))).count();
            prop_assert_eq!(within, found.len());
            reader.leave(&inside);
            let behind = reader.name();
            prop_assert_eq!((behind.as_deref(), reader.take()), (Some("b"), Some("1")));
            let wanted: Map<String, Value> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn r13_no_text_makes_it_panic_or_go_on_for_ever(text in "[\\[\\]{}\",:\\\\ a1é]{0,24}") {
            prop_assert!(all(&text).count() <= text.len());
        }
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for json in ["", "null", "[1]", "\"{\"", "{}", " { } ", "1"] {
            assert_eq!(all(json).count(), 0, "{json}");
        }
        assert_eq!((text("\"a\\u0062\"").as_deref(), text("1"), text("\"")), (Some("ab"), None, None));
    }
}
