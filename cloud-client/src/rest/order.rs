//! What rows are sorted by. Wire source: PostgREST "Ordering" and "Top-level Ordering".
use super::{Column, name::push_name};

/// A column to sort by: of the table itself (`"due"`, `"data->>rank"`) or of an embedded relation to one (`"org.name"`).
///
/// ```
/// # use cloud_client::{Client, rest::{Embed, Order}};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let query = client
///     .table("tasks")
///     .select(["id"])
///     .embed(Embed::new("projects", ["name"]))
///     .order(Order::desc("projects.name").nulls_last())
///     .order("id");
/// assert_eq!(query.url_query(), "select=id,projects(name)&order=projects(name).desc.nullslast,id.asc");
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an order does nothing until it is given to a query"]
pub struct Order {
    pub(super) column: Column,
    pub(super) descending: bool,
    nulls: Option<&'static str>,
}

impl Order {
    /// Smallest first; nulls last.
    pub fn asc(column: impl Into<Column>) -> Self {
        Self { column: column.into(), descending: false, nulls: None }
    }

    /// Greatest first; nulls first.
    pub fn desc(column: impl Into<Column>) -> Self {
        Self { column: column.into(), descending: true, nulls: None }
    }

    /// Puts nulls before everything else.
    pub fn nulls_first(mut self) -> Self {
        self.nulls = Some(".nullsfirst");
        self
    }

    /// Puts nulls after everything else.
    pub fn nulls_last(mut self) -> Self {
        self.nulls = Some(".nullslast");
        self
    }

    pub(super) fn push(&self, out: &mut String) {
        match self.column.embeds() {
            [] => self.column.push(out),
            [relation, ..] => {
                push_name(out, relation);
                out.push('(');
                self.column.push(out);
                out.push(')');
            }
        }
        out.push_str(if self.descending { ".desc" } else { ".asc" });
        out.push_str(self.nulls.unwrap_or_default());
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        match self.column.embeds() {
            [] => None,
            [_] if self.column.ends_with_index().is_some() => {
                Some("rows cannot be sorted by an element of a JSON array of another relation")
            }
            [_] => None,
            _ => Some("rows can be sorted by a relation, but not by a relation of a relation"),
        }
    }
}

impl<C: Into<Column>> From<C> for Order {
    fn from(column: C) -> Self {
        Self::asc(column)
    }
}
