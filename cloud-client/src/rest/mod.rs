//! Tables and views over PostgREST: typed reads and writes, with quoting done once and right.
//!
//! builder → query text and JSON body → one [`Call`](crate::call::Call) → rows by serde. The builders only make text
//! and can be looked at without a network (`url_query`). Grammar: PostgREST 16, "Tables and Views".
mod filter;
mod page;
mod read;
mod write;

pub use filter::{Filter, Value};
pub use page::Pages;
pub use read::{Embed, Order, Rows, Select};
pub use write::{Delete, Insert, Update};

use serde::Serialize;

use crate::{Client, Error, call::Call, error::Service, error::codes::QUERY_INVALID};

/// The longest query text that is sent, in bytes; gateways refuse longer ones in ways that are hard to tell apart.
const QUERY_LIMIT_BYTES: usize = 6000;

/// One table or view of the cloud.
#[derive(Clone, Debug)]
#[must_use = "a table does nothing until it is read or written"]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Reads these columns. `["*"]` reads all.
    pub fn select<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Select {
        Select::new(self.clone(), columns)
    }

    /// Inserts one row (an object) or several (an array).
    pub fn insert<T: Serialize + ?Sized>(&self, rows: &T) -> Insert {
        Insert::new(self.clone(), serde_json::to_vec(rows))
    }

    /// Changes the rows that the filters match to these values.
    pub fn update<T: Serialize + ?Sized>(&self, values: &T) -> Update {
        Update::new(self.clone(), serde_json::to_vec(values))
    }

    /// Deletes the rows that the filters match.
    pub fn delete(&self) -> Delete {
        Delete::new(self.clone())
    }

    fn call(&self, method: http::Method, query: String) -> Result<Call, Error> {
        if query.len() > QUERY_LIMIT_BYTES {
            return Err(Error::new(QUERY_INVALID)
                .during("building a table query")
                .with_detail("the query is longer than 6000 bytes: split a long list of values into several queries"));
        }
        Ok(Call::new(Service::Rest, method).value_segment("table", &self.name).encoded_query(query))
    }
}

/// Adds `name=value` to a query, percent-encoded.
fn push_pair(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    crate::call::push_query_text(query, name);
    query.push('=');
    crate::call::push_query_text(query, value);
}

#[cfg(test)]
mod tests;
