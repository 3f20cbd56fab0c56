//! Related rows that are read along by foreign key, with conditions, order and limits of their own.
//!
//! [`Embed`] → one item of the select list, and the parameters that speak of it by the name it has in the answer.
//! Wire source: PostgREST "Resource Embedding".
use super::{
    Item,
    item::push_list,
    level::{Level, level_methods},
    name::{push_name, push_quoted},
};

/// A related row, or rows, to read along by foreign key.
///
/// Its filters choose among the related rows and drop no parent; [`Embed::inner`] does.
///
/// ```
/// # use cloud_client::{Client, rest::{Embed, Filter, Order}};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let last_word = Embed::new("messages", ["content"])
///     .alias("last")
///     .filter(Filter::any([Filter::eq("role", "user"), Filter::eq("role", "assistant")]))
///     .order(Order::desc("seq"))
///     .limit(1);
/// let author = Embed::new("profiles", ["display_name"]).hint("conversations_started_by_fkey").spread();
/// let query = client.table("conversations").select(["id"]).embed(last_word).embed(author);
/// let expected = "select=id,last:messages(content),...profiles!conversations_started_by_fkey(display_name)\
///                 &last.or=(role.eq.user,role.eq.assistant)&last.order=seq.desc&last.limit=1";
/// assert_eq!(query.url_query().replace("%3A", ":"), expected);
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "an embed does nothing until it is given to a query"]
pub struct Embed {
    relation: String,
    alias: Option<String>,
    hint: Option<String>,
    inner: bool,
    spread: bool,
    pub(super) level: Level,
}

impl Embed {
    /// Reads these columns of `relation`: an object where it is to one, an array where it is to many.
    pub fn new<I: Into<Item>>(relation: impl Into<String>, columns: impl IntoIterator<Item = I>) -> Self {
        Self {
            relation: relation.into(),
            alias: None,
            hint: None,
            inner: false,
            spread: false,
            level: Level::new(columns),
        }
    }

    /// Joins `relation` without reading anything of it, to ask whether there is a match.
    pub fn join(relation: impl Into<String>) -> Self {
        Self::new(relation, std::iter::empty::<Item>())
    }

    /// Names the field of the result. Default: the relation's name.
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Leaves out rows without a match. Default: they stay, with `null` or `[]`.
    pub fn inner(mut self) -> Self {
        self.inner = true;
        self
    }

    /// Says which foreign key is meant when several lead there: its name, its column, or the table between.
    pub fn hint(mut self, key: impl Into<String>) -> Self {
        self.hint = Some(key.into());
        self
    }

    /// Puts the columns into the parent itself; those of a relation to many become arrays. Takes no alias.
    pub fn spread(mut self) -> Self {
        self.spread = true;
        self
    }

    level_methods!();

    /// The name by which parameters speak of it.
    pub(super) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.relation)
    }

    pub(super) fn push(&self, out: &mut String) {
        match (&self.alias, self.spread) {
            (_, true) => out.push_str("..."),
            (Some(alias), false) => {
                push_name(out, alias);
                out.push(':');
            }
            (None, false) => {}
        }
        push_name(out, &self.relation);
        if let Some(hint) = &self.hint {
            out.push('!');
            // The grammar looks for these two words first, also at the beginning of a longer one.
            if hint.starts_with("inner") || hint.starts_with("left") {
                push_quoted(out, hint);
            } else {
                push_name(out, hint);
            }
        }
        out.push_str(if self.inner { "!inner(" } else { "(" });
        push_list(out, &self.level.items, true);
        out.push(')');
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.relation == "count" {
            return Some("the grammar cannot embed a relation called \"count\"");
        }
        (self.spread && self.alias.is_some()).then_some("an embed that is spread has no name of its own: no alias")
    }
}
