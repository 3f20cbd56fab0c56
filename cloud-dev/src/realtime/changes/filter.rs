//! The filter of a subscription: `column=[not.]op.value`, several with commas between, all of which must hold.
//!
//! Text → [`Filter`] against a table's columns, with values read as their types are → [`Filter::holds`] for stored
//! values. A comma inside parentheses or quotes does not separate. Null meets no test but `is` and `isdistinct`.
//! Wire source: Supabase Realtime `Extensions.PostgresCdcRls.Subscriptions`; PostgreSQL operators.

use std::cmp::Ordering;

use rusqlite::types::Value;

use crate::{
    core::schema::{Column, PgType, Table},
    postgrest::{compile, from_text, instant, like},
};

/// Values that `in` takes.
const MAX_LIST: usize = 100;

/// The operators there are.
const OPERATORS: [&str; 13] =
    ["eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"];

/// Conditions that must all hold; none at all always do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    /// Where the column stands in its table.
    at: usize,
    ty: PgType,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Compare(fn(Ordering) -> bool, Value),
    In(Vec<Value>),
    Null,
    Truth(bool),
    Like { pattern: String, fold: bool },
    Match(regex::Regex),
    Distinct(Value),
}

/// One condition as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    column: String,
    operator: &'static str,
    /// Without its quotes; of `in`, the list with its parentheses.
    value: String,
    negated: bool,
}

impl Written {
    /// How the real service shows it.
    pub(super) fn inspect(&self) -> String {
        let Self { column, operator, value, negated } = self;
        let value = match *operator {
            "in" => format!("{{{}}}", value.get(1..value.len() - 1).unwrap_or_default()),
            _ => value.clone(),
        };
        format!("{{{column:?}, {operator:?}, {value:?}, {negated}}}")
    }
}

/// Reads a filter; the error says what is wrong with the way it is written.
pub(super) fn conditions(text: &str) -> Result<Vec<Written>, String> {
    match text.trim() {
        "" => Ok(Vec::new()),
        text => segments(text).iter().map(|segment| written(segment.trim())).collect(),
    }
}

fn written(text: &str) -> Result<Written, String> {
    if text.is_empty() {
        return Err("filter must not contain empty segments (check for extra commas)".to_owned());
    }
    let (column, rest) = text.split_once('=').ok_or_else(|| format!("[{text:?}]"))?;
    let (negated, rest) = rest.strip_prefix("not.").map_or((false, rest), |rest| (true, rest));
    let (name, value) = rest.split_once('.').ok_or_else(|| format!("[{rest:?}]"))?;
    let known = OPERATORS.iter().find(|operator| **operator == name);
    let operator = known.ok_or_else(|| format!("[{name:?}, {value:?}]"))?;
    let value = match *operator {
        "in" if value.len() >= 2 && value.starts_with('(') && value.ends_with(')') => value.to_owned(),
        "in" => return Err("`in` filter value must be wrapped by parentheses".to_owned()),
        _ => unquoted(value),
    };
    Ok(Written { column: column.to_owned(), operator, value, negated })
}

impl Filter {
    /// What the conditions mean on `table`; the error is the database's, without its `ERROR`.
    pub(super) fn of(table: &Table, conditions: &[Written]) -> Result<Self, String> {
        Ok(Self { conditions: conditions.iter().map(|written| condition(table, written)).collect::<Result<_, _>>()? })
    }

    /// Whether `values` (in column order) meet it; a column that is not there meets nothing.
    pub(crate) fn holds(&self, values: &[Option<&Value>]) -> bool {
        self.conditions.iter().all(|condition| {
            let value = values.get(condition.at).copied().flatten();
            value.and_then(|value| condition.outcome(value)).is_some_and(|outcome| outcome != condition.negated)
        })
    }
}

impl Condition {
    /// `None` is SQL's unknown.
    fn outcome(&self, value: &Value) -> Option<bool> {
        let null = *value == Value::Null;
        match &self.test {
            Test::Null => Some(null),
            Test::Distinct(other) => {
                Some(compare(self.ty, value, other) != Some(Ordering::Equal) && !(null && *other == Value::Null))
            }
            Test::Truth(wanted) => Some(*value == Value::Integer(i64::from(*wanted))),
            _ if null => None,
            Test::Compare(fits, other) => compare(self.ty, value, other).map(fits),
            Test::In(list) => Some(list.iter().any(|other| compare(self.ty, value, other) == Some(Ordering::Equal))),
            Test::Like { pattern, fold: true } => Some(like(&shown(value).to_lowercase(), &pattern.to_lowercase())),
            Test::Like { pattern, fold: false } => Some(like(&shown(value), pattern)),
            Test::Match(regex) => Some(regex.is_match(&shown(value))),
        }
    }
}

fn condition(table: &Table, written: &Written) -> Result<Condition, String> {
    let Written { column: name, operator, value, negated } = written;
    let raised = |text: String| format!("P0001 (raise_exception) {text}");
    let at = table.columns.iter().position(|column| column.name == name);
    let column = at.and_then(|at| table.columns.get(at));
    let (Some(at), Some(column)) = (at, column) else {
        return Err(raised(format!("invalid column for filter {name}")));
    };
    let read = |text: &str| {
        from_text(column.ty, text).map_err(|error| format!("22P02 (invalid_text_representation) {}", error.message))
    };
    let text_only = || {
        let ty = column.ty.name();
        match column.ty {
            PgType::Text => Ok(()),
            _ => Err(raised(format!("operator {operator} requires a text-compatible column type, got {ty}"))),
        }
    };
    let test = match *operator {
        "eq" => Test::Compare(Ordering::is_eq, read(value)?),
        "neq" => Test::Compare(Ordering::is_ne, read(value)?),
        "lt" => Test::Compare(Ordering::is_lt, read(value)?),
        "lte" => Test::Compare(Ordering::is_le, read(value)?),
        "gt" => Test::Compare(Ordering::is_gt, read(value)?),
        "gte" => Test::Compare(Ordering::is_ge, read(value)?),
        "isdistinct" => Test::Distinct(read(value)?),
        "in" => {
            let items = list(value);
            if items.len() > MAX_LIST {
                return Err(raised("too many values for `in` filter. Maximum 100".to_owned()));
            }
            Test::In(items.iter().map(|item| read(item)).collect::<Result<_, _>>()?)
        }
        "is" => truth(column, value).map_err(raised)?,
        "like" | "ilike" => {
            text_only()?;
            Test::Like { pattern: value.clone(), fold: *operator == "ilike" }
        }
        _ => {
            text_only()?;
            let regex = compile(value, *operator == "imatch");
            Test::Match(
                regex.map_err(|_| raised(format!("invalid regular expression for {operator} filter: {value}")))?,
            )
        }
    };
    Ok(Condition { at, ty: column.ty, negated: *negated, test })
}

fn truth(column: &Column, text: &str) -> Result<Test, String> {
    match (text, column.ty) {
        ("null", _) | ("unknown", PgType::Bool) => Ok(Test::Null),
        ("true", PgType::Bool) => Ok(Test::Truth(true)),
        ("false", PgType::Bool) => Ok(Test::Truth(false)),
        ("true" | "false" | "unknown", ty) => {
            Err(format!("is {text} filter requires a boolean column, got {}", ty.name()))
        }
        _ => Err("invalid value for is filter: must be null, true, false, or unknown".to_owned()),
    }
}

/// The values of `(a,"b,c")`, which the database reads as an array: blanks around a value do not count.
fn list(text: &str) -> Vec<String> {
    let inner = text.get(1..text.len() - 1).unwrap_or_default();
    if inner.trim().is_empty() {
        return Vec::new();
    }
    let (mut items, mut item, mut inside, mut quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => item.extend(chars.next()),
            '"' => (inside, quoted) = (!inside, true),
            ',' if !inside => {
                items.push(value(&item, quoted));
                item.clear();
                quoted = false;
            }
            blank if blank.is_whitespace() && !inside && (quoted || item.is_empty()) => {}
            other => item.push(other),
        }
    }
    items.push(value(&item, quoted));
    items
}

fn value(item: &str, quoted: bool) -> String {
    if quoted { item.to_owned() } else { item.trim_end().to_owned() }
}

/// The parts between commas that stand in no parentheses and no quotes.
fn segments(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut before) = (0_usize, false, ',');
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' if quoted => {
                part.push(next);
                part.extend(chars.next());
                continue;
            }
            '"' if quoted => quoted = false,
            '"' if matches!(before, '.' | '(' | ',') => quoted = true,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                before = next;
                continue;
            }
            _ => {}
        }
        before = next;
        part.push(next);
    }
    parts.push(part);
    parts
}

/// A text without the quotes around it; one that is not quoted as a whole stays as it is.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let (mut plain, mut chars) = (String::new(), inner.chars());
    while let Some(next) = chars.next() {
        match next {
            '\\' => plain.extend(chars.next()),
            '"' if chars.as_str().is_empty() => return plain,
            '"' => return text.to_owned(),
            _ => plain.push(next),
        }
    }
    text.to_owned()
}

/// The order of two stored values of one type.
fn compare(ty: PgType, left: &Value, right: &Value) -> Option<Ordering> {
    match (ty, left, right) {
        (PgType::Timestamptz, Value::Text(left), Value::Text(right)) => Some(instant(left)?.cmp(&instant(right)?)),
        (_, Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (_, Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::schema::{TABLES, find};

    fn parse(table: &Table, text: &str) -> Result<Filter, String> {
        let conditions = conditions(text).map_err(|reason| format!("written: {reason}"))?;
        Filter::of(table, &conditions)
    }

    /// A profile with a few values set, and the rest null.
    fn holds(text: &str, set: &[(&str, Value)]) -> Result<bool, String> {
        let table = find(TABLES, "profiles").unwrap();
        let values: Vec<Value> = table
            .columns
            .iter()
            .map(|column| {
                set.iter().find(|(name, _)| *name == column.name).map_or(Value::Null, |(_, value)| value.clone())
            })
            .collect();
        Ok(parse(table, text)?.holds(&values.iter().map(Some).collect::<Vec<_>>()))
    }

    #[test]
    fn every_operator_does_what_postgresql_does() {
        let row = [
            ("display_name", Value::Text("Ada, \"Countess\"".into())),
            ("onboarding_completed", Value::Integer(1)),
            ("last_active_at", Value::Text("2026-02-19T23:00:00.1+00:00".into())),
        ];
        for (filter, wanted) in [
            ("", true),
            ("  ", true),
            (r#"display_name=eq."Ada, \"Countess\"""#, true),
            ("display_name=neq.Ada", true),
            ("display_name=lt.B", true),
            ("display_name=gte.B", false),
            ("display_name=gt.Ad,display_name=lte.Az", true),
            (r#"display_name=in.(Bob,"Ada, \"Countess\"")"#, true),
            ("display_name=not.in.(Bob,Eve)", true),
            ("display_name=like.Ada%", true),
            ("display_name=like.ada%", false),
            ("display_name=ilike.ada%", true),
            ("display_name=match.^Ada", true),
            ("display_name=imatch.COUNTESS", true),
            ("display_name=not.match.^Ada", false),
            ("display_name=isdistinct.Ada", true),
            ("bio=isdistinct.null", true), // the word, which no null is
            ("bio=not.isdistinct.null", false),
            ("display_name=in.()", false),
            (r#"display_name=in.( Bob , "Ada, \"Countess\"" )"#, true),
            (r#"display_name=not.eq."Ada""#, true),
            (r#"display_name=neq."Ada"x"#, true),
            (" display_name=neq.Bob , bio=is.null ", true),
            ("bio=isdistinct.x", true),
            ("bio=is.null", true),
            ("bio=not.is.null", false),
            ("bio=eq.x", false),
            ("bio=neq.x", false),
            ("bio=not.eq.x", false),
            ("onboarding_completed=is.true", true),
            ("onboarding_completed=is.false", false),
            ("onboarding_completed=is.unknown", false),
            ("onboarding_completed=eq.t", true),
            ("last_active_at=gt.2026-02-19T23:00:00.09Z", true),
            ("last_active_at=eq.2026-02-20T00:00:00.1+01:00", true),
            ("display_name=like.Ada%,bio=is.null", true),
            ("display_name=like.Ada%,bio=eq.x", false),
        ] {
            assert_eq!(holds(filter, &row), Ok(wanted), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_in_the_words_of_the_service_or_of_its_database() {
        let many = |count: usize| format!("display_name=in.({})", vec!["x"; count].join(","));
        assert_eq!(holds(&many(100), &[]), Ok(false));
        let raised = "P0001 (raise_exception)";
        let empty = "written: filter must not contain empty segments (check for extra commas)";
        for (filter, wanted) in [
            ("display_name", r#"written: ["display_name"]"#.to_owned()),
            ("display_name=eq", r#"written: ["eq"]"#.to_owned()),
            ("display_name=near.x", r#"written: ["near", "x"]"#.to_owned()),
            ("display_name=eq.x,", empty.to_owned()),
            (",display_name=eq.x", empty.to_owned()),
            ("display_name=in.x", "written: `in` filter value must be wrapped by parentheses".to_owned()),
            (&many(101), format!("{raised} too many values for `in` filter. Maximum 100")),
            ("nothing=eq.1", format!("{raised} invalid column for filter nothing")),
            ("bio=is.true", format!("{raised} is true filter requires a boolean column, got text")),
            ("bio=is.NULL", format!("{raised} invalid value for is filter: must be null, true, false, or unknown")),
            (
                "onboarding_completed=like.x",
                format!("{raised} operator like requires a text-compatible column type, got boolean"),
            ),
            ("display_name=match.(", format!("{raised} invalid regular expression for match filter: (")),
        ] {
            assert_eq!(holds(filter, &[]), Err(wanted), "{filter}");
        }
        let error = holds("id=eq.x", &[]).unwrap_err();
        assert!(error.starts_with("22P02 (invalid_text_representation) invalid input syntax for type uuid"), "{error}");
    }

    #[test]
    fn a_condition_is_shown_as_the_service_shows_it() {
        let shown = |text: &str| conditions(text).unwrap().iter().map(Written::inspect).collect::<Vec<_>>();
        assert_eq!(
            shown(r#"a=eq."x, y",b=not.in.(1,2)"#),
            [r#"{"a", "eq", "x, y", false}"#, r#"{"b", "in", "{1,2}", true}"#]
        );
    }
}
