//! One row by its key, put there whole whether it existed or not (`PUT`).
use http::Method;

use super::{Back, Encoded, Write};
use crate::{
    Error,
    rest::{Endpoint, Filter, Value, refused},
};

/// A row that takes the place of the one with its key.
///
/// ```no_run
/// # use cloud_client::{Client, Error};
/// # use serde_json::json;
/// # async fn f(client: Client) -> Result<(), Error> {
/// let setting = json!({"name": "theme", "value": "dark"});
/// client.table("settings").replace(&setting).key("name", "theme").send().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a replacement does nothing until it is sent"]
pub struct Replace {
    write: Write,
    key: Vec<Filter>,
}

impl Replace {
    pub(in crate::rest) fn new(endpoint: Endpoint, body: Encoded) -> Self {
        // Putting the same row there again is no change.
        let write = Write { repeatable: true, ..Write::new(endpoint, Some(body)) };
        Self { write, key: Vec::new() }
    }

    /// Names a column of the primary key and its value, which the row must hold too. Every column of the key is needed.
    pub fn key(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.key.push(Filter::eq(crate::rest::Column::named(column), value));
        self
    }

    /// Puts the row there.
    ///
    /// # Errors
    ///
    /// `rest.query_invalid` without a key, `api.rejected` when it is not the whole primary key or not that of the row,
    /// otherwise as [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the row may or may not have been written.
    pub async fn send(mut self) -> Result<(), Error> {
        if self.key.is_empty() {
            return Err(refused("a row is replaced by its key"));
        }
        self.write.restrict(&self.key)?;
        self.write.send(Method::PUT, Back::Nothing).await.map(|_| ())
    }
}
