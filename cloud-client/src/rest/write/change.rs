//! Changes of rows that exist: update and delete, restricted by filters and by how many rows they may hit.
use http::Method;
use serde::de::DeserializeOwned;

use super::{Back, Encoded, Write, level};
use crate::{
    Error,
    rest::{Endpoint, Filter, Item, filter::filter_methods},
};

/// An update of the rows that its filters match.
///
/// ```no_run
/// # use cloud_client::{Client, Error};
/// # use serde_json::{Value, json};
/// # async fn f(client: Client, version: &str) -> Result<(), Error> {
/// let renamed = client.table("tasks").update(&json!({"title": "Paint"})).eq("id", 1).eq("updated_at", version);
/// match renamed.max_affected(1).fetch::<Value>(["updated_at"]).await?.pop() {
///     Some(row) => println!("now {}", row["updated_at"]),
///     None => println!("somebody else was faster, or the row is gone"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "an update does nothing until it is sent"]
pub struct Update {
    write: Write,
    filters: Vec<Filter>,
}

/// A delete of the rows that its filters match.
///
/// ```no_run
/// # use cloud_client::{Client, Error, rest::Filter};
/// # async fn f(client: Client) -> Result<(), Error> {
/// let old = Filter::lt("created_at", "2026-01-01");
/// let gone = client.table("drafts").delete().filter(old).max_affected(500).affected().await?;
/// println!("{gone} drafts deleted");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a delete does nothing until it is sent"]
pub struct Delete {
    write: Write,
    filters: Vec<Filter>,
}

impl Update {
    pub(in crate::rest) fn new(endpoint: Endpoint, body: Encoded) -> Self {
        Self { write: Write::new(endpoint, Some(body)), filters: Vec::new() }
    }

    /// Says that sending this twice has the effect of sending it once.
    pub fn repeatable(mut self) -> Self {
        self.write.repeatable = true;
        self
    }
}

impl Delete {
    pub(in crate::rest) fn new(endpoint: Endpoint) -> Self {
        // Deleting what is gone is no change.
        let write = Write { repeatable: true, ..Write::new(endpoint, None) };
        Self { write, filters: Vec::new() }
    }
}

macro_rules! change {
    ($builder:ident, $method:ident) => {
        impl $builder {
            filter_methods!(filters);

            /// Fails, and changes nothing, when more than `rows` rows match: `rest.too_many_rows`.
            pub fn max_affected(mut self, rows: usize) -> Self {
                self.write.limit_affected(rows);
                self
            }

            fn ready(mut self) -> Result<Write, Error> {
                self.write.restrict(&self.filters)?;
                Ok(self.write)
            }

            /// Sends it and expects nothing back; no match is a success.
            ///
            /// # Errors
            ///
            /// `rest.unfiltered_write` without a filter, `rest.query_invalid` for one that would not restrict it,
            /// `rest.too_many_rows` above the limit, otherwise as [`Client::send`](crate::Client::send).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future closes the request; the change may or may not have happened.
            pub async fn send(self) -> Result<(), Error> {
                self.ready()?.send(Method::$method, Back::Nothing).await.map(|_| ())
            }

            /// Sends it and tells how many rows were hit. Rows that row security hides are not.
            ///
            /// # Errors
            ///
            /// As [`Self::send`].
            ///
            /// # Cancel safety
            ///
            /// As [`Self::send`].
            pub async fn affected(self) -> Result<usize, Error> {
                self.ready()?.count(Method::$method).await
            }

            /// Sends it and reads these columns of the rows that were hit: empty when nothing matched. Needs the right
            /// to read them.
            ///
            /// # Errors
            ///
            /// As [`Self::send`].
            ///
            /// # Cancel safety
            ///
            /// As [`Self::send`].
            pub async fn fetch<T: DeserializeOwned>(
                self,
                columns: impl IntoIterator<Item = impl Into<Item>>,
            ) -> Result<Vec<T>, Error> {
                self.ready()?.rows(Method::$method, level(columns)).await
            }

            /// Sends it and reads these columns of the one row that was hit; none, or several, undo it.
            ///
            /// # Errors
            ///
            /// `rest.no_row` when nothing matched, `rest.not_one_row` when several rows did, otherwise as
            /// [`Self::send`].
            ///
            /// # Cancel safety
            ///
            /// As [`Self::send`].
            pub async fn fetch_one<T: DeserializeOwned>(
                self,
                columns: impl IntoIterator<Item = impl Into<Item>>,
            ) -> Result<T, Error> {
                self.ready()?.row(Method::$method, level(columns)).await
            }
        }
    };
}
change!(Update, PATCH);
change!(Delete, DELETE);
