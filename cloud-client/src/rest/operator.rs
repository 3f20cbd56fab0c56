//! Operators with what stands behind them, in the two places where it is spelled differently.
//!
//! Alone (`name=eq.V`) a value is taken verbatim to the end and must not be quoted; inside a list or a logic tree it
//! ends at `,` or `)` and is quoted whenever it holds anything unusual. What a user typed is always one operand.
//! Wire source: PostgREST "Operators" and `QueryParams` (`pOpExpr`, `pListVal`, `pLogicSingleVal`).
use std::borrow::Cow;

use super::{
    Value,
    name::{is_word, push_quoted},
};

/// A comparison that [`Filter::any_of`](super::Filter::any_of) and [`Filter::all_of`](super::Filter::all_of) can make
/// with several values at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compare {
    /// Equal.
    Eq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Matches a pattern in which `*` (or `%`) stands for anything.
    Like,
    /// As [`Compare::Like`], whatever the case of letters.
    Ilike,
    /// Matches a regular expression.
    Match,
    /// As [`Compare::Match`], whatever the case of letters.
    Imatch,
}

impl Compare {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Like => "like",
            Self::Ilike => "ilike",
            Self::Match => "match",
            Self::Imatch => "imatch",
        }
    }
}

/// What to look for in a text: words, in one of the four ways in which PostgreSQL reads them.
///
/// ```
/// # use cloud_client::{Client, rest::{Filter, Search}};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let typed = Search::web("\"fat cat\" -rat").language("english");
/// let query = client.table("stories").select(["id"]).filter(Filter::search("body", typed));
/// assert!(query.url_query().ends_with("body=wfts(english).%22fat%20cat%22%20-rat"));
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a search does nothing until it is given to a filter"]
pub struct Search {
    word: &'static str,
    language: Option<String>,
    text: String,
}

impl Search {
    fn new(word: &'static str, text: impl Into<String>) -> Self {
        Self { word, language: None, text: text.into() }
    }

    /// What a person typed, as web searches read it: `"…"`, `or`, `-`. Any text will do; an empty one finds nothing.
    pub fn web(text: impl Into<String>) -> Self {
        Self::new("wfts", text)
    }

    /// All of these words, anywhere. Any text will do; an empty one finds nothing.
    pub fn words(text: impl Into<String>) -> Self {
        Self::new("plfts", text)
    }

    /// These words, one after the other. Any text will do; an empty one finds nothing.
    pub fn phrase(text: impl Into<String>) -> Self {
        Self::new("phfts", text)
    }

    /// A query in PostgreSQL's own syntax, such as `fat & !rat`. The server refuses others.
    pub fn query(text: impl Into<String>) -> Self {
        Self::new("fts", text)
    }

    /// Sets the text search configuration, such as `english`. Default: the database's.
    pub fn language(mut self, name: impl Into<String>) -> Self {
        self.language = Some(name.into());
        self
    }
}

/// An operator and its operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    word: Cow<'static, str>,
    operand: Operand,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    One(Value),
    List(Vec<Value>),
    Word(&'static str),
    /// Something for which the grammar has no spelling.
    Unspeakable(&'static str),
}

impl Operation {
    pub(super) fn one(word: &'static str, value: impl Into<Value>) -> Self {
        Self { word: Cow::Borrowed(word), operand: Operand::One(value.into()) }
    }

    pub(super) fn quantified(compare: Compare, quantifier: &'static str, values: Value) -> Self {
        Self { word: Cow::Owned(format!("{}({quantifier})", compare.word())), operand: Operand::One(values) }
    }

    pub(super) fn list(values: Vec<Value>) -> Self {
        Self { word: Cow::Borrowed("in"), operand: Operand::List(values) }
    }

    pub(super) fn is(word: &'static str) -> Self {
        Self { word: Cow::Borrowed("is"), operand: Operand::Word(word) }
    }

    pub(super) fn search(search: Search) -> Self {
        let text = Operand::One(search.text.into());
        match search.language {
            None => Self { word: Cow::Borrowed(search.word), operand: text },
            Some(name) if is_word(&name) => {
                Self { word: Cow::Owned(format!("{}({name})", search.word)), operand: text }
            }
            Some(_) => Self {
                word: Cow::Borrowed(search.word),
                operand: Operand::Unspeakable("the name of a search language may hold letters, digits and _ only"),
            },
        }
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        if let Operand::Unspeakable(why) = self.operand { Some(why) } else { None }
    }

    /// Writes what stands behind `name=`.
    pub(super) fn push_alone(&self, out: &mut String) {
        match &self.operand {
            Operand::One(value) => out.extend([&*self.word, ".", value.as_str()]),
            _ => self.push_inside_tree(out),
        }
    }

    /// Writes what stands behind `name.` inside a logic tree.
    pub(super) fn push_inside_tree(&self, out: &mut String) {
        out.extend([&*self.word, "."]);
        match &self.operand {
            Operand::One(value) => push_element(out, value),
            Operand::List(values) => push_list(out, values),
            Operand::Word(word) | Operand::Unspeakable(word) => out.push_str(word),
        }
    }
}

fn push_list(out: &mut String, values: &[Value]) {
    // One empty text would be read as an empty list; two of them mean the same and are not.
    if let [only] = values
        && only.as_str().is_empty()
    {
        return out.push_str(r#"("","")"#);
    }
    out.push('(');
    for (n, value) in values.iter().enumerate() {
        out.push_str(if n > 0 { "," } else { "" });
        push_element(out, value);
    }
    out.push(')');
}

/// Writes a value where `,` and `)` would end it.
fn push_element(out: &mut String, value: &Value) {
    let text = value.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.bytes().all(plain) { out.push_str(text) } else { push_quoted(out, text) }
}
