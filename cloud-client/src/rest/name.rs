//! Names of columns and relations, and places inside JSON, in the one spelling that every part of the grammar reads.
//!
//! plain text or [`Column`] → relations, column, JSON steps → text. A name that is not made of ASCII letters, digits
//! and `_`, or that the query string uses for itself (`order`, `limit`, …), is put in quotes, so no name can become
//! another parameter, item or condition. Wire source: PostgREST `QueryParams` (`pFieldName`, `pJsonPath`).

/// Words that mean something else where a column may stand; quotes take that meaning from them.
const RESERVED: [&str; 9] = ["select", "columns", "on_conflict", "order", "limit", "offset", "and", "or", "not"];

/// A column, or a place inside the JSON it holds.
///
/// Wherever one is wanted, plain text will do: `"status"`, `"data->address->>city"`, `"tags->0"`, or, for a column of
/// an embedded relation, `"messages.role"`. Only `.` before the first arrow, and the arrows `->` (JSON) and `->>` (text),
/// are special; everything else belongs to the names. [`Column::named`] takes a name in which nothing is special.
///
/// ```
/// # use cloud_client::{Client, rest::{Column, Filter}};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let city = Filter::eq("data->address->>city", "Oslo");
/// let odd = Filter::eq(Column::named("price (net).eur"), 5);
/// let query = client.table("shops").select(["id"]).filter(city).filter(odd);
/// assert!(query.url_query().contains("data-%3Eaddress-%3E%3Ecity=eq.Oslo"));
/// assert!(query.url_query().contains("%22price%20(net).eur%22=eq.5"));
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The embedded relations it is reached through, outermost first.
    embeds: Vec<String>,
    name: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    key: Key,
    as_text: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Index(i64),
}

impl Column {
    /// The place that plain text names, as described above.
    pub fn new(plain: impl AsRef<str>) -> Self {
        let plain = plain.as_ref();
        let (names, mut path) = plain.find("->").map_or((plain, ""), |at| plain.split_at(at));
        let (embeds, name) = match names.rsplit_once('.') {
            Some((embeds, name)) => (embeds.split('.').map(str::to_owned).collect(), name),
            None => (Vec::new(), names),
        };
        let mut column = Self { embeds, name: name.to_owned(), steps: Vec::new() };
        while let Some(rest) = path.strip_prefix("->") {
            let (as_text, rest) = rest.strip_prefix('>').map_or((false, rest), |rest| (true, rest));
            let (key, next) = rest.find("->").map_or((rest, ""), |at| rest.split_at(at));
            column.steps.push(Step { key: Key::plain(key), as_text });
            path = next;
        }
        column
    }

    /// The column of exactly this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { embeds: Vec::new(), name: name.into(), steps: Vec::new() }
    }

    /// The same column, of the embedded relation of this name (or alias).
    pub fn of(mut self, relation: impl Into<String>) -> Self {
        self.embeds.insert(0, relation.into());
        self
    }

    /// What its JSON object holds under `key`, as JSON (`->`).
    pub fn key(self, key: impl Into<String>) -> Self {
        self.step(Key::Name(key.into()), false)
    }

    /// What its JSON object holds under `key`, as text (`->>`).
    pub fn key_text(self, key: impl Into<String>) -> Self {
        self.step(Key::Name(key.into()), true)
    }

    /// An element of its JSON array, as JSON; negative indexes count from the end.
    pub fn index(self, index: i64) -> Self {
        self.step(Key::Index(index), false)
    }

    /// An element of its JSON array, as text; negative indexes count from the end.
    pub fn index_text(self, index: i64) -> Self {
        self.step(Key::Index(index), true)
    }

    fn step(mut self, key: Key, as_text: bool) -> Self {
        self.steps.push(Step { key, as_text });
        self
    }

    pub(super) fn embeds(&self) -> &[String] {
        &self.embeds
    }

    /// Whether the last step is an index, and then whether it gives text.
    pub(super) fn ends_with_index(&self) -> Option<bool> {
        self.steps.last().filter(|step| matches!(step.key, Key::Index(_))).map(|step| step.as_text)
    }

    /// The name under which the server hands out this place.
    pub(super) fn output(&self) -> &str {
        let key = self.steps.iter().rev().find_map(|step| match &step.key {
            Key::Name(name) => Some(name),
            Key::Index(_) => None,
        });
        key.unwrap_or(&self.name)
    }

    /// Writes column and JSON path, without the relations before it.
    pub(super) fn push(&self, out: &mut String) {
        push_name(out, &self.name);
        for step in &self.steps {
            out.push_str(if step.as_text { "->>" } else { "->" });
            match &step.key {
                // In quotes a number is a key, not an index.
                Key::Name(name) if name.bytes().all(|byte| byte.is_ascii_digit()) => push_quoted(out, name),
                Key::Name(name) => push_name(out, name),
                Key::Index(index) => out.push_str(&index.to_string()),
            }
        }
    }
}

impl Key {
    fn plain(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_index = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(index) if is_index => Self::Index(index),
            _ => Self::Name(text.to_owned()),
        }
    }
}

macro_rules! column_from {
    ($($from:ty),+) => { $(impl From<$from> for Column {
        fn from(plain: $from) -> Self {
            Self::new(plain)
        }
    })+ };
}
column_from!(&str, String, &String);

impl From<&Self> for Column {
    fn from(column: &Self) -> Self {
        column.clone()
    }
}

/// `relation.` for each relation on the way.
pub(super) fn push_path<'a>(out: &mut String, path: impl IntoIterator<Item = &'a String>) {
    for relation in path {
        push_name(out, relation);
        out.push('.');
    }
}

/// A name, in quotes unless it is plain.
pub(super) fn push_name(out: &mut String, name: &str) {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && !RESERVED.contains(&name) { out.push_str(name) } else { push_quoted(out, name) }
}

/// `"…"`, with `\` before `"` and `\`: how names, list elements, tree operands and array elements are quoted alike.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Whether `word` can stand where the grammar has no quotes: a type in a cast, a language.
pub(super) fn is_word(word: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b' ';
    word.trim() == word && !word.is_empty() && word.bytes().all(inner)
}
