//! Filters of row changes: conditions that all have to hold, written in the server's grammar.
//!
//! ```text
//! filter    = condition *("," condition)
//! condition = column "=" ["not."] operator "." value
//! ```
//! A value with a comma, a bracket, a quote or a backslash goes in quotes, and so does one with blanks
//! around it. The list of `in` becomes an array literal of Postgres on the server, whose elements have
//! their own reasons to be quoted. A deleted row is compared by its replica identity only, which is the
//! primary key unless the table says otherwise. Servers from before mid-2026 know the first seven
//! operators, one condition and no quotes; nothing is quoted that need not be.
//! Source: Supabase Realtime, filter parser of its subscriptions.

use std::fmt::{self, Display, Write as _};

/// Most values in one `in`; the server takes no more.
pub const MAX_IN_VALUES: usize = 100;

/// One condition on one column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    column: String,
    operator: &'static str,
    negated: bool,
    operand: Operand,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Operand {
    Value(String),
    List(Vec<String>),
}

/// What a column can be besides a value; all but null are for boolean columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SQL knows these four")]
pub enum Is {
    /// No value.
    Null,
    /// True, and not null.
    True,
    /// False, and not null.
    False,
    /// Null, said of a boolean.
    Unknown,
}

/// Why conditions make no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The grammar has no quotes for columns.
    #[error("a filter cannot name the column {column:?}: no blanks around it, and none of = , ( ) \" \\")]
    Column {
        /// The name that was given.
        column: String,
    },
    /// More than [`MAX_IN_VALUES`].
    #[error("`in` takes {MAX_IN_VALUES} values, {count} were given; listen without it and sort out the rows here")]
    TooManyValues {
        /// How many were given.
        count: usize,
    },
    /// A filter is at least one condition; a request without a filter gets every row.
    #[error("a filter needs a condition")]
    Empty,
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $operator:literal,)*) => {$(
        $(#[$doc])*
        pub fn $name(column: impl Into<String>, value: impl Display) -> Self {
            Self::new(column, $operator, Operand::Value(value.to_string()))
        }
    )*};
}

impl Condition {
    comparisons! {
        /// Equal to `value`.
        eq => "eq",
        /// Not equal to `value`; null is neither.
        neq => "neq",
        /// Below `value`.
        lt => "lt",
        /// At most `value`.
        lte => "lte",
        /// Above `value`.
        gt => "gt",
        /// At least `value`.
        gte => "gte",
        /// Matches the pattern: `%` is any text, `_` any character.
        like => "like",
        /// [`like`](Self::like) in any case.
        ilike => "ilike",
        /// Matches the regular expression.
        matches => "match",
        /// [`matches`](Self::matches) in any case.
        imatches => "imatch",
        /// Not equal to `value`, where null is a value like any other.
        is_distinct => "isdistinct",
    }

    /// One of `values`, of which there may be [`MAX_IN_VALUES`].
    pub fn within<V: Display>(column: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(|value| value.to_string()).collect();
        Self::new(column, "in", Operand::List(values))
    }

    /// Null, or a boolean.
    pub fn is(column: impl Into<String>, state: Is) -> Self {
        let word = match state {
            Is::Null => "null",
            Is::True => "true",
            Is::False => "false",
            Is::Unknown => "unknown",
        };
        Self::new(column, "is", Operand::Value(word.to_owned()))
    }

    /// The opposite.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "`!condition` would read worse among method calls")]
    pub fn not(mut self) -> Self {
        self.negated = !self.negated;
        self
    }

    fn new(column: impl Into<String>, operator: &'static str, operand: Operand) -> Self {
        Self { column: column.into(), operator, negated: false, operand }
    }

    fn check(&self) -> Result<(), FilterError> {
        let column = self.column.as_str();
        if column.is_empty() || column.trim() != column || column.contains(['=', ',', '(', ')', '"', '\\']) {
            return Err(FilterError::Column { column: column.to_owned() });
        }
        match &self.operand {
            Operand::List(values) if values.len() > MAX_IN_VALUES => {
                Err(FilterError::TooManyValues { count: values.len() })
            }
            _ => Ok(()),
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "not." } else { "" };
        write!(f, "{}={not}{}.", self.column, self.operator)?;
        match &self.operand {
            Operand::Value(value) if needs_quotes(value) => quoted(f, value),
            Operand::Value(value) => f.write_str(value),
            Operand::List(values) => {
                f.write_char('(')?;
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        f.write_char(',')?;
                    }
                    if needs_quotes(value) || is_special_in_array(value) {
                        quoted(f, value)?;
                    } else {
                        f.write_str(value)?;
                    }
                }
                f.write_char(')')
            }
        }
    }
}

fn needs_quotes(value: &str) -> bool {
    value.trim() != value || value.contains([',', '(', ')', '"', '\\'])
}

/// Whether Postgres would read an element of an array literal as something else.
fn is_special_in_array(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("null") || value.contains(['{', '}'])
}

fn quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    f.write_char('"')?;
    for char in value.chars() {
        if matches!(char, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(char)?;
    }
    f.write_char('"')
}

/// Conditions that all have to hold.
///
/// ```
/// use cloud_realtime::changes::{Condition, Filter, Is};
///
/// # fn main() -> Result<(), cloud_realtime::changes::FilterError> {
/// let filter = Filter::all([Condition::eq("room", "7, left"), Condition::is("done", Is::True).not()])?;
/// assert_eq!(filter.as_str(), r#"room=eq."7, left",done=not.is.true"#);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// The filter that lets a row through when every one of `conditions` holds.
    ///
    /// # Errors
    ///
    /// When there is no condition, a column cannot be named, or an `in` is too long.
    pub fn all(conditions: impl IntoIterator<Item = Condition>) -> Result<Self, FilterError> {
        let mut text = String::new();
        for condition in conditions {
            condition.check()?;
            let comma = if text.is_empty() { "" } else { "," };
            text = format!("{text}{comma}{condition}");
        }
        if text.is_empty() { Err(FilterError::Empty) } else { Ok(Self(text)) }
    }

    /// The text that goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Filter> for String {
    fn from(value: Filter) -> Self {
        value.0
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
