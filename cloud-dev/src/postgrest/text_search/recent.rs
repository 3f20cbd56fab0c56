//! The document that was read last, for the other parts of a filter that search the same value of the same row.
//!
//! Stored text → its [`Document`], unless it is that of the text before → the [`Search`]. One is kept for each
//! connection: a filter asks all its questions about a row before it comes to the next.
//! Source: PostgreSQL keeps none of a plain text; for a column that is searched often, a stored `tsvector` does it.

use std::sync::{Mutex, PoisonError};

use super::{Document, Search};

/// A document whose text is longer is read anew each time, in bytes.
const MAX_KEPT: usize = 1 << 20;

/// The document that was read last.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    is_json: bool,
    stored: String,
    document: Document,
}

impl Recent {
    /// Whether `search` matches what `stored` holds, which `read` makes a document of.
    pub(crate) fn matches<E>(
        &self,
        search: &Search,
        is_json: bool,
        stored: String,
        read: impl FnOnce(&str) -> Result<Document, E>,
    ) -> Result<bool, E> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && (last.is_json, last.document.configuration) == (is_json, search.configuration)
            && last.stored == stored
        {
            return Ok(search.matches(&last.document));
        }
        let document = read(&stored)?;
        let found = search.matches(&document);
        *last = (stored.len() <= MAX_KEPT).then_some(Last { is_json, stored, document });
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::{
        super::{Configuration, Form},
        *,
    };

    #[test]
    fn a_text_is_read_once_for_all_that_is_asked_of_it_in_a_row() {
        let (recent, read) = (Recent::default(), Cell::new(0));
        let ask = |configuration, is_json, query: &str, stored: &str| {
            let search = Search::read(Form::Operators, configuration, query).unwrap();
            let found = recent.matches(&search, is_json, stored.to_owned(), |stored| {
                read.set(read.get() + 1);
                Ok::<_, Infallible>(search.document([stored]))
            });
            (found.unwrap(), read.get())
        };
        let (english, simple) = (Configuration::English, Configuration::Simple);
        assert_eq!(ask(english, false, "cat", "cats"), (true, 1));
        assert_eq!(ask(english, false, "dog", "cats"), (false, 1));
        assert_eq!(ask(simple, false, "cat", "cats"), (false, 2), "another configuration is another document");
        assert_eq!(ask(simple, true, "cats", "cats"), (true, 3), "and so is JSON");
        assert_eq!(ask(simple, true, "dogs", "dogs"), (true, 4));
        let long = "dogs ".repeat(MAX_KEPT / 5 + 1);
        assert_eq!(ask(simple, true, "dogs", &long), (true, 5));
        assert_eq!(ask(simple, true, "dogs", &long), (true, 6), "a long one is not kept");
    }
}
