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

impl Filter {
    /// Reads a filter on `table`; the error says what is wrong with it.
    pub(crate) fn parse(table: &Table, text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let conditions =
            segments(text).into_iter().map(|segment| condition(table, &segment)).collect::<Result<_, _>>()?;
        Ok(Self { conditions })
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

fn condition(table: &Table, text: &str) -> Result<Condition, String> {
    let wrong = || format!("Error parsing `filter` params: [{text:?}]");
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let name = name.trim();
    let at = table.columns.iter().position(|column| column.name == name);
    let column = at.and_then(|at| table.columns.get(at));
    let (Some(at), Some(column)) = (at, column) else {
        return Err(unable(table, &format!("invalid column for filter {name}")));
    };
    let (negated, rest) = rest.strip_prefix("not.").map_or((false, rest), |rest| (true, rest));
    let (operator, value) = rest.split_once('.').ok_or_else(wrong)?;
    let read = |text: &str| from_text(column.ty, text).map_err(|error| unable(table, &error.message));
    let value_of = |text: &str| read(&unquoted(text));
    let test = match operator {
        "eq" => Test::Compare(Ordering::is_eq, value_of(value)?),
        "neq" => Test::Compare(Ordering::is_ne, value_of(value)?),
        "lt" => Test::Compare(Ordering::is_lt, value_of(value)?),
        "lte" => Test::Compare(Ordering::is_le, value_of(value)?),
        "gt" => Test::Compare(Ordering::is_gt, value_of(value)?),
        "gte" => Test::Compare(Ordering::is_ge, value_of(value)?),
        "isdistinct" if value.eq_ignore_ascii_case("null") => Test::Distinct(Value::Null),
        "isdistinct" => Test::Distinct(value_of(value)?),
        "in" => Test::In(list(value).ok_or_else(wrong)?.iter().map(|item| value_of(item)).collect::<Result<_, _>>()?),
        "is" => truth(column, value).ok_or_else(wrong)?,
        "like" | "ilike" if is_text(column) => Test::Like { pattern: unquoted(value), fold: operator == "ilike" },
        "match" | "imatch" if is_text(column) => {
            let regex = compile(&unquoted(value), operator == "imatch");
            Test::Match(regex.map_err(|_| unable(table, "invalid regular expression"))?)
        }
        "like" | "ilike" | "match" | "imatch" => {
            return Err(unable(table, &format!("operator does not exist: {} ~~ unknown", column.ty.name())));
        }
        _ => return Err(wrong()),
    };
    Ok(Condition { at, ty: column.ty, negated, test })
}

/// What is said of parameters that the database does not take.
pub(crate) fn unable(table: &Table, reason: &str) -> String {
    format!(
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect \
         parameters: [schema: public, table: {}]. Exception: {reason}",
        table.name
    )
}

fn is_text(column: &Column) -> bool {
    column.ty == PgType::Text
}

fn truth(column: &Column, text: &str) -> Option<Test> {
    match (text.to_ascii_lowercase().as_str(), column.ty) {
        ("null", _) | ("unknown", PgType::Bool) => Some(Test::Null),
        ("true", PgType::Bool) => Some(Test::Truth(true)),
        ("false", PgType::Bool) => Some(Test::Truth(false)),
        _ => None,
    }
}

/// `(a,"b,c")`, with at most so many values.
fn list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let items = segments(inner);
    (items.len() <= MAX_LIST).then_some(items)
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

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.to_owned() };
    let (mut plain, mut chars) = (String::new(), inner.chars());
    while let Some(next) = chars.next() {
        plain.push(if next == '\\' { chars.next().unwrap_or(next) } else { next });
    }
    plain
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
        Ok(Filter::parse(table, text)?.holds(&values.iter().map(Some).collect::<Vec<_>>()))
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
            ("bio=isdistinct.null", false),
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
    fn what_is_no_filter_is_refused() {
        let many = |count: usize| format!("display_name=in.({})", vec!["x"; count].join(","));
        assert_eq!(holds(&many(100), &[]), Ok(false));
        for filter in [
            many(101).as_str(),
            "display_name",
            "display_name=eq",
            "display_name=near.x",
            "display_name=eq.x,",
            ",display_name=eq.x",
            "bio=is.true",
            "bio=is.maybe",
            "display_name=in.x",
        ] {
            let error = holds(filter, &[]).unwrap_err();
            assert!(error.starts_with("Error parsing `filter` params"), "{filter}: {error}");
        }
        for filter in ["nothing=eq.1", "id=eq.x", "onboarding_completed=like.x", "display_name=match.("] {
            let error = holds(filter, &[]).unwrap_err();
            assert!(error.starts_with("Unable to subscribe to changes with given parameters"), "{filter}: {error}");
        }
    }
}
