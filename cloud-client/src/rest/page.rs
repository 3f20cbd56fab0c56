//! Going through a table by key: each page starts behind the last key of the page before.
use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::{Filter, Select, Value};
use crate::{Error, error::codes::UNREADABLE};

/// The pages of a read, one request each, made when asked for.
#[must_use = "pages are only read when asked for"]
pub struct Pages<T> {
    query: Select,
    key: String,
    after: Option<Value>,
    over: bool,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new(query: Select, key: String, after: Option<Value>) -> Self {
        Self { query, key, after, over: false, row: PhantomData }
    }

    /// The next page; `None` when all rows were read. After an error the same page can be asked for again.
    ///
    /// # Errors
    ///
    /// As [`Select::fetch`]; `net.unreadable` when a row lacks the key.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call leaves the position where it was.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, Error> {
        if self.over {
            return Ok(None);
        }
        let mut query = self.query.clone();
        if let Some(after) = &self.after {
            query = query.filter(Filter::gt(&self.key, after.clone()));
        }
        let raw: Vec<serde_json::Value> = query.fetch().await?.into_vec();
        let unreadable = || Error::new(UNREADABLE).during("reading a page");
        let Some(last) = raw.last() else {
            self.over = true;
            return Ok(None);
        };
        // The key stays the text that arrived: a timestamp cut to milliseconds would skip or repeat rows.
        let last = match last.get(&self.key) {
            Some(serde_json::Value::String(text)) => Value::from(text),
            Some(serde_json::Value::Number(number)) => Value::from(number.to_string()),
            _ => return Err(unreadable().with_detail("a row lacks the key that pages are cut by")),
        };
        let full = raw.len() >= self.query.page_size();
        let rows = raw
            .into_iter()
            .map(|row| serde_json::from_value(row).map_err(|cause| unreadable().with_source(cause)))
            .collect::<Result<_, _>>()?;
        self.after = Some(last);
        self.over = !full;
        Ok(Some(rows))
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("key", &self.key).field("over", &self.over).finish_non_exhaustive()
    }
}
