//! The builder against a second reading of the grammar, made after the server's parser.

use super::*;
use proptest::prelude::*;

/// Column, operator, operand and negation of each condition; the operand of `in` is an array literal.
type Parsed = Vec<(String, String, String, bool)>;

/// Commas divide outside brackets and quotes; a quote opens right after `.`, `(` or `,` only.
fn split(filter: &str) -> Vec<String> {
    let (mut parts, mut depth, mut is_quoted, mut before) = (vec![String::new()], 0_u32, false, '\0');
    let mut chars = filter.trim().chars();
    while let Some(char) = chars.next() {
        let part = parts.last_mut().unwrap();
        match char {
            '\\' if is_quoted => {
                part.push(char);
                part.extend(chars.next());
                continue;
            }
            '"' if is_quoted => is_quoted = false,
            '"' if matches!(before, '.' | '(' | ',') => is_quoted = true,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                before = '\0';
                continue;
            }
            _ => {}
        }
        part.push(char);
        before = char;
    }
    parts
}

fn parse(filter: &str) -> Option<Parsed> {
    let unquoted = |value: &str| {
        let inner = value.strip_prefix('"')?;
        let (mut out, mut chars) = (String::new(), inner.chars());
        while let Some(char) = chars.next() {
            match char {
                '"' => return chars.next().is_none().then_some(out),
                '\\' => out.extend(chars.next()),
                other => out.push(other),
            }
        }
        None
    };
    let condition = |part: &String| {
        let (column, rest) = part.trim().split_once('=')?;
        let (negated, rest) = rest.strip_prefix("not.").map_or((false, rest), |rest| (true, rest));
        let (operator, value) = rest.split_once('.')?;
        let operand = match operator {
            "in" => format!("{{{}}}", value.strip_prefix('(')?.strip_suffix(')')?),
            _ => unquoted(value).unwrap_or_else(|| value.to_owned()),
        };
        Some((column.to_owned(), operator.to_owned(), operand, negated))
    };
    split(filter).iter().map(condition).collect()
}

/// The elements of a Postgres array literal; `None` is SQL's null.
fn elements(literal: &str) -> Option<Vec<Option<String>>> {
    let inner = literal.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    while chars.peek().is_some() {
        let (mut element, quoted) = (String::new(), chars.peek() == Some(&'"'));
        if quoted {
            chars.next();
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => element.push(chars.next()?),
                    other => element.push(other),
                }
            }
            if chars.next().is_some_and(|char| char != ',') {
                return None;
            }
        } else {
            while let Some(char) = chars.next().filter(|char| *char != ',') {
                element.push(char);
            }
            if element.is_empty() || element.contains(['{', '}', '"', '\\']) {
                return None;
            }
            element = element.trim().to_owned();
        }
        let is_null = !quoted && element.eq_ignore_ascii_case("null");
        elements.push((!is_null).then_some(element));
    }
    Some(elements)
}

#[test]
fn each_operator_is_written_as_the_server_reads_it() {
    let cases = [
        (Condition::eq("id", 5), "id=eq.5"),
        (Condition::neq("id", -5), "id=neq.-5"),
        (Condition::lt("id", 1.5), "id=lt.1.5"),
        (Condition::lte("at", "2026-01-01T00:00:00Z"), "at=lte.2026-01-01T00:00:00Z"),
        (Condition::gt("id", i64::MAX), "id=gt.9223372036854775807"),
        (Condition::gte("id", 0), "id=gte.0"),
        (Condition::like("name", "A%"), "name=like.A%"),
        (Condition::ilike("name", "%b_"), "name=ilike.%b_"),
        (Condition::matches("name", "^a(b|c)$"), "name=match.\"^a(b|c)$\""),
        (Condition::imatches("name", "^a"), "name=imatch.^a"),
        (Condition::is_distinct("name", "x"), "name=isdistinct.x"),
        (Condition::is("gone_at", Is::Null), "gone_at=is.null"),
        (Condition::is("done", Is::Unknown).not(), "done=not.is.unknown"),
        (Condition::eq("id", 5).not(), "id=not.eq.5"),
        (Condition::eq("id", 5).not().not(), "id=eq.5"),
        (Condition::within("id", [1, 2, 3]), "id=in.(1,2,3)"),
        (Condition::within("name", ["a,b", "", "NULL", "c d", "{}"]), "name=in.(\"a,b\",\"\",\"NULL\",c d,\"{}\")"),
        (Condition::eq("name", "a,b"), "name=eq.\"a,b\""),
        (Condition::eq("name", " a "), "name=eq.\" a \""),
        (Condition::eq("name", r#"a"\"#), r#"name=eq."a\"\\""#),
        (Condition::eq("name", ""), "name=eq."),
        (Condition::eq("name", "not.eq.x"), "name=eq.not.eq.x"),
    ];
    for (condition, text) in cases {
        assert_eq!(Filter::all([condition]).unwrap().as_str(), text);
    }
}

#[test]
fn conditions_are_joined_by_commas() {
    let filter = Filter::all([Condition::gt("id", 0), Condition::lt("id", 100)]).unwrap();
    assert_eq!(String::from(filter), "id=gt.0,id=lt.100");
}

#[test]
fn a_hundred_values_are_taken_and_one_more_is_not() {
    assert!(Filter::all([Condition::within("id", 0..100)]).is_ok());
    assert_eq!(Filter::all([Condition::within("id", 0..101)]), Err(FilterError::TooManyValues { count: 101 }));
}

#[test]
fn columns_that_the_grammar_cannot_name_are_refused() {
    for column in ["", " id", "a=b", "a,b", "a(b", "a)b", "a\"b", "a\\b"] {
        let refused = Filter::all([Condition::eq(column, 1)]);
        assert_eq!(refused, Err(FilterError::Column { column: column.to_owned() }));
    }
    assert_eq!(Filter::all([]), Err(FilterError::Empty));
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z,.()\"\\\\ {}=]{0,8}", any::<String>(), Just("null".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_the_values_the_server_reads_the_same_conditions(
        one in value(), two in value(), list in prop::collection::vec(value(), 1..5),
    ) {
        let conditions = [
            Condition::eq("a", &one), Condition::within("b", &list), Condition::like("c", &two).not(),
        ];
        let parsed = parse(Filter::all(conditions).unwrap().as_str()).unwrap();
        prop_assert_eq!(parsed.len(), 3);
        prop_assert_eq!(&parsed[0], &("a".into(), "eq".into(), one, false));
        prop_assert_eq!(&parsed[2], &("c".into(), "like".into(), two, true));
        prop_assert_eq!((parsed[1].0.as_str(), parsed[1].1.as_str()), ("b", "in"));
        let wanted: Vec<_> = list.into_iter().map(Some).collect();
        prop_assert_eq!(elements(&parsed[1].2), Some(wanted));
    }
}
