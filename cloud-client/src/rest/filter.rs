//! Filters as values, and their text in each of the places where the quoting differs.
//!
//! A value alone (`name=eq.V`) is taken verbatim to the end and must not be quoted; inside a list or a logic tree it
//! ends at `,` or `)` and is quoted whenever it holds anything unusual. What a user typed is always one operand: it
//! cannot become a second condition.
use std::borrow::Cow;

/// A value to compare with, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
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
value_from!(&str, String, &String, Cow<'_, str>, bool, i32, u32, i64, u64, f64, uuid::Uuid, &uuid::Uuid);

/// A condition on a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a filter does nothing until it is given to a query"]
pub struct Filter(Node);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Leaf { column: String, negated: bool, op: &'static str, operand: Operand },
    Tree { negated: bool, word: &'static str, parts: Vec<Filter> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    One(Value),
    List(Vec<Value>),
    Word(&'static str),
}

macro_rules! comparisons {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => { $(
        $(#[$doc])+
        pub fn $name(column: &str, value: impl Into<Value>) -> Self {
            Self::leaf(column, stringify!($name), Operand::One(value.into()))
        }
    )+ };
}

impl Filter {
    fn leaf(column: &str, op: &'static str, operand: Operand) -> Self {
        Self(Node::Leaf { column: identifier(column), negated: false, op, operand })
    }

    comparisons! {
        /// `column` equals the value. Null never does, see [`Filter::is_null`].
        eq,
        /// `column` differs from the value. Rows where it is null are left out.
        neq,
        /// `column` is greater.
        gt,
        /// `column` is greater or equal.
        gte,
        /// `column` is less.
        lt,
        /// `column` is less or equal.
        lte,
        /// `column` matches a pattern in which `*` (or `%`) stands for anything.
        like,
        /// As [`Filter::like`], whatever the case of letters.
        ilike,
    }

    /// `column` is one of `values`; none matches an empty list.
    pub fn is_in<V: Into<Value>>(column: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::leaf(column, "in", Operand::List(values.into_iter().map(Into::into).collect()))
    }

    /// `column` is null.
    pub fn is_null(column: &str) -> Self {
        Self::leaf(column, "is", Operand::Word("null"))
    }

    /// `column` is true or false (and not null).
    pub fn is_bool(column: &str, value: bool) -> Self {
        Self::leaf(column, "is", Operand::Word(if value { "true" } else { "false" }))
    }

    /// At least one of `filters` holds. An empty list is refused when the query is sent.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self(Node::Tree { negated: false, word: "or", parts: filters.into_iter().collect() })
    }

    /// All of `filters` hold. An empty list is refused when the query is sent.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self(Node::Tree { negated: false, word: "and", parts: filters.into_iter().collect() })
    }

    /// The opposite condition (for rows where it is not unknown).
    #[expect(clippy::should_implement_trait, reason = "reads better in a chain than an operator would")]
    pub fn not(mut self) -> Self {
        match &mut self.0 {
            Node::Leaf { negated, .. } | Node::Tree { negated, .. } => *negated = !*negated,
        }
        self
    }

    /// Whether some tree in it has no branches, which the server refuses.
    pub(super) fn is_hollow(&self) -> bool {
        match &self.0 {
            Node::Leaf { .. } => false,
            Node::Tree { parts, .. } => parts.is_empty() || parts.iter().any(Self::is_hollow),
        }
    }

    /// Name and value of the query parameter, not yet percent-encoded.
    pub(super) fn parameter(&self) -> (String, String) {
        match &self.0 {
            Node::Leaf { column, negated, op, operand } => {
                let not = if *negated { "not." } else { "" };
                let value = match operand {
                    Operand::One(value) => value.0.clone(),
                    other => other.inside_tree(),
                };
                (column.clone(), format!("{not}{op}.{value}"))
            }
            Node::Tree { negated, word, parts } => {
                let not = if *negated { "not." } else { "" };
                (format!("{not}{word}"), branches(parts))
            }
        }
    }

    fn inside_tree(&self) -> String {
        match &self.0 {
            Node::Leaf { column, negated, op, operand } => {
                let not = if *negated { "not." } else { "" };
                format!("{column}.{not}{op}.{}", operand.inside_tree())
            }
            Node::Tree { negated, word, parts } => {
                let not = if *negated { "not." } else { "" };
                format!("{not}{word}{}", branches(parts))
            }
        }
    }
}

impl Operand {
    fn inside_tree(&self) -> String {
        match self {
            Self::One(value) => quoted(&value.0).into_owned(),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(|value| quoted(&value.0)).collect();
                format!("({})", values.join(","))
            }
            Self::Word(word) => (*word).to_owned(),
        }
    }
}

fn branches(parts: &[Filter]) -> String {
    let parts: Vec<_> = parts.iter().map(Filter::inside_tree).collect();
    format!("({})", parts.join(","))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A value where `,` and `)` would end it.
fn quoted(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Cow::Owned(out)
}

/// A column, with an optional relation before a `.` and an optional JSON path after `->`.
pub(super) fn identifier(text: &str) -> String {
    let (name, path) = text.find("->").map_or((text, ""), |at| text.split_at(at));
    let quoted = |part: &str| {
        let bare = part == "*" || (!part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'));
        if bare { part.to_owned() } else { format!("\"{}\"", part.replace('\\', "\\\\").replace('"', "\\\"")) }
    };
    let parts: Vec<_> = name.split('.').map(quoted).collect();
    format!("{}{path}", parts.join("."))
}

/// The methods that every filtered builder has. Each expects a field `filters: Vec<Filter>`.
macro_rules! filter_methods {
    () => {
        /// Keeps rows for which `filter` holds; several filters must all hold.
        pub fn filter(mut self, filter: $crate::rest::Filter) -> Self {
            self.filters.push(filter);
            self
        }

        /// Keeps rows where `column` equals the value.
        pub fn eq(self, column: &str, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::eq(column, value))
        }

        /// Keeps rows where `column` is greater.
        pub fn gt(self, column: &str, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::gt(column, value))
        }

        /// Keeps rows where `column` is less.
        pub fn lt(self, column: &str, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::lt(column, value))
        }

        /// Keeps rows where `column` is one of `values`.
        pub fn is_in<V: Into<$crate::rest::Value>>(self, column: &str, values: impl IntoIterator<Item = V>) -> Self {
            self.filter($crate::rest::Filter::is_in(column, values))
        }
    };
}
pub(super) use filter_methods;

/// Adds the filters to a query.
///
/// # Errors
///
/// `rest.query_invalid` for a logic tree without branches.
pub(super) fn push_filters(query: &mut String, filters: &[Filter]) {
    for filter in filters {
        let (name, value) = filter.parameter();
        super::push_pair(query, &name, &value);
    }
}
