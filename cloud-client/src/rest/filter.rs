//! Filters as values: conditions, their opposites, and trees of them.
//!
//! [`Filter`] → name and value of one query parameter. A tree speaks of one relation only, which becomes the prefix of
//! its parameter; what cannot be said is found by [`Filter::fault`] before anything is sent. Wire source: PostgREST
//! "Horizontal Filtering" and "Logical operators".
use super::{
    Array, Column, Compare, Search, Value,
    name::{push_name, push_path},
    operator::Operation,
    push_pair_with,
};

const EMPTY_TREE: &str = "any() and all() need at least one condition";
const MIXED_TREE: &str = "the conditions of any() or all() must be about one relation";
const NAMED_NOT: &str = "any() and all() cannot be about a relation called \"not\": give it an alias";

/// A condition on a row.
///
/// ```
/// # use cloud_client::{Client, rest::{Compare, Filter}};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let query = client
///     .table("tasks")
///     .select(["id"])
///     .filter(Filter::any([Filter::is_null("owner"), Filter::gt("due", "2026-01-01").not()]))
///     .filter(Filter::any_of("title", Compare::Ilike, ["*road*", "*rail*"]))
///     .filter(Filter::contains("tags", ["a,b"]));
/// let expected = "or=(owner.is.null,due.not.gt.2026-01-01)\
///                 &title=ilike(any).{\"*road*\",\"*rail*\"}&tags=cs.{\"a,b\"}";
/// let sent = query.url_query().replace("%22", "\"").replace("%7B", "{").replace("%7D", "}");
/// assert!(sent.ends_with(expected), "{sent}");
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a filter does nothing until it is given to a query"]
pub struct Filter(Node);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Leaf { column: Column, negated: bool, operation: Operation },
    Tree { negated: bool, word: &'static str, parts: Vec<Filter> },
}

macro_rules! comparisons {
    ($($(#[$doc:meta])+ $name:ident = $word:literal),+ $(,)?) => { $(
        $(#[$doc])+
        pub fn $name(column: impl Into<Column>, value: impl Into<Value>) -> Self {
            Self::leaf(column, Operation::one($word, value))
        }
    )+ };
}

impl Filter {
    fn leaf(column: impl Into<Column>, operation: Operation) -> Self {
        Self(Node::Leaf { column: column.into(), negated: false, operation })
    }

    comparisons! {
        /// `column` equals the value. Null never does, see [`Filter::is_null`].
        eq = "eq",
        /// `column` differs from the value. Rows where it is null are left out, see [`Filter::is_distinct`].
        neq = "neq",
        /// `column` is greater.
        gt = "gt",
        /// `column` is greater or equal.
        gte = "gte",
        /// `column` is less.
        lt = "lt",
        /// `column` is less or equal.
        lte = "lte",
        /// `column` matches a pattern in which `*` (or `%`) stands for anything and `_` for one character.
        like = "like",
        /// As [`Filter::like`], whatever the case of letters.
        ilike = "ilike",
        /// `column` matches a POSIX regular expression.
        matches = "match",
        /// As [`Filter::matches`], whatever the case of letters.
        imatches = "imatch",
        /// `column` differs from the value, or is null.
        is_distinct = "isdistinct",
        /// `column`, an array, range or JSON, holds all of the value.
        contains = "cs",
        /// `column`, an array, range or JSON, is wholly inside the value.
        contained_in = "cd",
        /// `column`, an array or range, has something in common with the value.
        overlaps = "ov",
        /// `column`, a range, ends before the value begins.
        left_of = "sl",
        /// `column`, a range, begins after the value ends.
        right_of = "sr",
        /// `column`, a range, does not reach beyond the end of the value.
        not_beyond = "nxr",
        /// `column`, a range, does not begin before the value does.
        not_before = "nxl",
        /// `column`, a range, touches the value without sharing anything with it.
        adjacent_to = "adj",
    }

    /// `column` is one of `values`; none matches an empty list. For long lists see [`Filter::chunks`].
    pub fn is_in<V: Into<Value>>(column: impl Into<Column>, values: impl IntoIterator<Item = V>) -> Self {
        Self::leaf(column, Operation::list(values.into_iter().map(Into::into).collect()))
    }

    /// `column` compares so with at least one of `values`; nothing does with none.
    pub fn any_of<V: Into<Value>>(
        column: impl Into<Column>,
        compare: Compare,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::leaf(column, Operation::quantified(compare, "any", Array::of(values).into()))
    }

    /// `column` compares so with each of `values`; everything does with none.
    pub fn all_of<V: Into<Value>>(
        column: impl Into<Column>,
        compare: Compare,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::leaf(column, Operation::quantified(compare, "all", Array::of(values).into()))
    }

    /// `column` is null; for an embedded relation: there is no such row.
    pub fn is_null(column: impl Into<Column>) -> Self {
        Self::leaf(column, Operation::is("null"))
    }

    /// `column` is not null; for an embedded relation: there is such a row.
    pub fn is_not_null(column: impl Into<Column>) -> Self {
        Self::is_null(column).not()
    }

    /// `column` is true or false (and not null).
    pub fn is_bool(column: impl Into<Column>, value: bool) -> Self {
        Self::leaf(column, Operation::is(if value { "true" } else { "false" }))
    }

    /// `column`, a boolean, is null.
    pub fn is_unknown(column: impl Into<Column>) -> Self {
        Self::leaf(column, Operation::is("unknown"))
    }

    /// The text in `column` matches the search.
    pub fn search(column: impl Into<Column>, search: Search) -> Self {
        Self::leaf(column, Operation::search(search))
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

    /// The relations it is about, outermost first; empty for the table itself.
    pub(super) fn home(&self) -> Result<&[String], &'static str> {
        match &self.0 {
            Node::Leaf { column, .. } => Ok(column.embeds()),
            Node::Tree { parts, .. } => {
                let mut homes = parts.iter().map(Self::home);
                let first = homes.next().ok_or(EMPTY_TREE)??;
                for home in homes {
                    if home? != first {
                        return Err(MIXED_TREE);
                    }
                }
                Ok(first)
            }
        }
    }

    /// Why it cannot be said about the relation at `path`.
    pub(super) fn fault(&self, path: &[String]) -> Option<&'static str> {
        match &self.0 {
            Node::Leaf { operation, .. } => operation.fault(),
            Node::Tree { parts, .. } => match self.home() {
                Err(why) => Some(why),
                // Inside the name of a tree's parameter this word negates, also in quotes.
                Ok(home) if path.iter().chain(home).any(|name| name == "not") => Some(NAMED_NOT),
                Ok(_) => parts.iter().find_map(|part| part.fault(path)),
            },
        }
    }

    /// Adds the query parameter for the relation at `path`.
    pub(super) fn push_parameter(&self, query: &mut String, path: &[String]) {
        let home = |out: &mut String| push_path(out, path.iter().chain(self.home().unwrap_or_default()));
        match &self.0 {
            Node::Leaf { column, negated, operation } => push_pair_with(
                query,
                |name| {
                    home(name);
                    column.push(name);
                },
                |value| {
                    value.push_str(not(*negated));
                    operation.push_alone(value);
                },
            ),
            Node::Tree { negated, word, parts } => push_pair_with(
                query,
                |name| {
                    home(name);
                    name.extend([not(*negated), word]);
                },
                |value| push_branches(value, parts),
            ),
        }
    }

    fn push_inside_tree(&self, out: &mut String) {
        match &self.0 {
            Node::Leaf { column, negated, operation } => {
                column.push(out);
                out.extend([".", not(*negated)]);
                operation.push_inside_tree(out);
            }
            Node::Tree { negated, word, parts } => {
                out.extend([not(*negated), word]);
                push_branches(out, parts);
            }
        }
    }
}

const fn not(negated: bool) -> &'static str {
    if negated { "not." } else { "" }
}

fn push_branches(out: &mut String, parts: &[Filter]) {
    out.push('(');
    for (n, part) in parts.iter().enumerate() {
        out.push_str(if n > 0 { "," } else { "" });
        part.push_inside_tree(out);
    }
    out.push(')');
}

/// A list of column names, as `columns` and `on_conflict` want it.
pub(super) fn name_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for name in names {
        if !out.is_empty() {
            out.push(',');
        }
        push_name(&mut out, name);
    }
    out
}

/// The methods that every filtered builder has. Each expects a field to push to.
macro_rules! filter_methods {
    ($($field:ident).+) => {
        /// Keeps rows for which `filter` holds; several filters must all hold.
        pub fn filter(mut self, filter: $crate::rest::Filter) -> Self {
            self.$($field).+.push(filter);
            self
        }

        /// Keeps rows where `column` equals the value.
        pub fn eq(self, column: impl Into<$crate::rest::Column>, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::eq(column, value))
        }

        /// Keeps rows where `column` is greater.
        pub fn gt(self, column: impl Into<$crate::rest::Column>, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::gt(column, value))
        }

        /// Keeps rows where `column` is less.
        pub fn lt(self, column: impl Into<$crate::rest::Column>, value: impl Into<$crate::rest::Value>) -> Self {
            self.filter($crate::rest::Filter::lt(column, value))
        }

        /// Keeps rows where `column` is one of `values`.
        pub fn is_in<V: Into<$crate::rest::Value>>(
            self,
            column: impl Into<$crate::rest::Column>,
            values: impl IntoIterator<Item = V>,
        ) -> Self {
            self.filter($crate::rest::Filter::is_in(column, values))
        }

        /// Keeps rows where `column` is null.
        pub fn is_null(self, column: impl Into<$crate::rest::Column>) -> Self {
            self.filter($crate::rest::Filter::is_null(column))
        }
    };
}
pub(super) use filter_methods;
