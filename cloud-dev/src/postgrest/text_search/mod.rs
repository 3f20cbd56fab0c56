//! Full-text search as PostgreSQL does it: does a text match a query?
//!
//! Text → [`token`]s → [`vector`]: lexemes with their places. Query text, in one of four [`Form`]s → [`query`] (with
//! [`standard`] and [`web`]) → a tree of lexemes, from which stop words are gone. Both go through the same
//! [`Configuration`], `simple` or `english`; without one it is `english`, as in every database whose locale is none or
//! English. [`phrase`] tells where a part of a query matches. All of it is pure; the SQL function `pg_search` calls it.
//!
//! Not here: configurations of other languages, thesauri and other dictionaries (42704 for their names), ranking, and
//! columns of type `tsvector`, which no table has; the last text is kept as [`Document`] instead, see [`recent`]. Weights are read; as a text has none, `a:B` matches nothing and `a:D`
//! what `a` does, as in PostgreSQL. Refused is nesting beyond [`query::MAX_DEPTH`] (54001), and more than
//! [`query::MAX_LEXEMES`] lexemes (54000), of which PostgreSQL takes as many as fit into a gigabyte. What PostgreSQL skips to the end of a
//! text because of a tag that ends in a backslash is searched here.
//! Source: PostgreSQL 15, "Full Text Search"; the answers of `ts_parse`, `to_tsvector` and `to_tsquery`.

mod phrase;
mod query;
mod recent;
mod shape;
mod standard;
#[cfg(test)]
mod tests;
mod token;
mod vector;
mod web;

pub(crate) use self::recent::Recent;
use self::{
    query::{Node, Operator, Piece},
    vector::Vector,
};

/// How the text of a query is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lexemes with operators: `to_tsquery`.
    Operators,
    /// All of these words: `plainto_tsquery`.
    Words,
    /// These words in a row: `phraseto_tsquery`.
    Phrase,
    /// As one types into a search engine: `websearch_to_tsquery`.
    Web,
}

impl Form {
    pub(crate) const ALL: [Self; 4] = [Self::Operators, Self::Words, Self::Phrase, Self::Web];

    /// The operator of the query string.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Operators => "fts",
            Self::Words => "plfts",
            Self::Phrase => "phfts",
            Self::Web => "wfts",
        }
    }

    /// The form with this operator.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }
}

/// What turns words into lexemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Configuration {
    /// Lower case, every word.
    Simple,
    /// Stems of English words, without those that are everywhere.
    English,
}

impl Configuration {
    /// The configuration of this name, in any case of letters; the default one without a name.
    pub(crate) fn named(name: Option<&str>) -> Result<Self, BadSearch> {
        let Some(name) = name else { return Ok(Self::English) };
        let name = name.trim_matches(' ').to_ascii_lowercase();
        match name.as_str() {
            "simple" => Ok(Self::Simple),
            "english" => Ok(Self::English),
            _ if name.contains(' ') => Err(BadSearch::new("42602", "invalid name syntax")),
            _ => Err(BadSearch::new("42704", format!("text search configuration \"{name}\" does not exist"))),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::English => "english",
        }
    }
}

/// Why a search is none, with PostgreSQL's code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadSearch {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl BadSearch {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A text, ready to be searched.
#[derive(Debug)]
pub(crate) struct Document {
    configuration: Configuration,
    vector: Vector,
}

/// A query, ready to be held against texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    configuration: Configuration,
    /// `None` if nothing is left to look for; no text matches then.
    root: Option<Node>,
}

impl Search {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says about it, in the form of [`Form::Operators`]; the other forms take any text that is not too
    /// long.
    pub(crate) fn read(form: Form, configuration: Configuration, text: &str) -> Result<Self, BadSearch> {
        let root = match form {
            Form::Operators => standard::read(configuration, text)?,
            Form::Words => Piece::of_text(configuration, text, Operator::And),
            Form::Phrase => Piece::of_text(configuration, text, Operator::Followed(1)),
            Form::Web => web::read(configuration, text),
        };
        if root.node.as_ref().is_some_and(|node| node.lexemes() > query::MAX_LEXEMES) {
            return Err(BadSearch::new("54000", "tsquery is too large"));
        }
        Ok(Self { configuration, root: root.node })
    }

    /// The document made of `texts` one after the other, as this query reads it.
    pub(crate) fn document<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Document {
        Document { configuration: self.configuration, vector: Vector::of(self.configuration, texts) }
    }

    /// Whether a document matches.
    pub(crate) fn matches(&self, document: &Document) -> bool {
        self.root.as_ref().is_some_and(|root| root.matches(&document.vector))
    }
}
