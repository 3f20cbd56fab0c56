//! New rows, and what happens where they exist already.
use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Back, Encoded, Write, level};
use crate::{
    Error,
    rest::{Endpoint, Item, filter::name_list, push_pair},
};

/// An insert or upsert.
///
/// ```no_run
/// # use cloud_client::{Client, Error};
/// # use serde_json::json;
/// # async fn f(client: Client) -> Result<(), Error> {
/// #[derive(serde::Deserialize)]
/// struct Numbered {
///     id: i64,
/// }
/// let rows = [json!({"slug": "a", "name": "A"}), json!({"slug": "b"})];
/// let written: Vec<Numbered> = client
///     .table("shops")
///     .insert(&rows)
///     .columns(["slug", "name"])
///     .default_missing()
///     .on_conflict(["slug"])
///     .merge_duplicates()
///     .fetch(["id"])
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "an insert does nothing until it is sent"]
pub struct Insert {
    write: Write,
}

impl Insert {
    pub(in crate::rest) fn new(endpoint: Endpoint, body: Encoded) -> Self {
        Self { write: Write::new(endpoint, Some(body)) }
    }

    fn resolution(mut self, preference: &'static str) -> Self {
        self.write.prefer.retain(|known| !known.starts_with("resolution="));
        self.write.prefer.push(preference.into());
        self.write.repeatable = true;
        self
    }

    /// Leaves rows alone that exist already; they are not among the rows that come back. May be repeated safely, as the
    /// rows carry the key that says so.
    pub fn ignore_duplicates(self) -> Self {
        self.resolution("resolution=ignore-duplicates")
    }

    /// Overwrites rows that exist already with every column given. May be repeated safely, as the rows carry the key
    /// that says so. The same key twice in one call is refused by the server.
    pub fn merge_duplicates(self) -> Self {
        self.resolution("resolution=merge-duplicates")
    }

    /// Names the unique columns that say what "exists already" means. Default: the primary key.
    pub fn on_conflict<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        push_pair(&mut self.write.query, "on_conflict", &name_list(columns));
        self
    }

    /// Takes only these columns from the rows, so that rows may have different keys. What a row lacks becomes null.
    pub fn columns<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        push_pair(&mut self.write.query, "columns", &name_list(columns));
        self
    }

    /// Takes every column that any of the rows has, so that rows may have different keys.
    pub fn all_columns(self) -> Self {
        let body = self.write.body.as_ref().and_then(|body| body.as_ref().ok());
        let rows: Option<Vec<BTreeMap<String, IgnoredAny>>> = body.and_then(|body| serde_json::from_slice(body).ok());
        let names: BTreeSet<String> = rows.into_iter().flatten().flat_map(BTreeMap::into_keys).collect();
        if names.is_empty() { self } else { self.columns(names.iter().map(String::as_str)) }
    }

    /// Gives columns that a row lacks their default instead of null.
    pub fn default_missing(mut self) -> Self {
        self.write.prefer.push("missing=default".into());
        self
    }

    /// Inserts and expects nothing back.
    ///
    /// # Errors
    ///
    /// `api.conflict` when a row exists already or what it points to does not, `api.forbidden` when row security says
    /// no, otherwise as [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the rows may or may not have been written.
    pub async fn send(self) -> Result<(), Error> {
        self.write.send(Method::POST, Back::Nothing).await.map(|_| ())
    }

    /// Inserts and reads these columns of what was inserted. Needs the right to read the new rows.
    ///
    /// # Errors
    ///
    /// As [`Insert::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Insert::send`].
    pub async fn fetch<T: DeserializeOwned>(
        self,
        columns: impl IntoIterator<Item = impl Into<Item>>,
    ) -> Result<Vec<T>, Error> {
        self.write.rows(Method::POST, level(columns)).await
    }

    /// Inserts one row and reads these columns of it; anything but one row written undoes the call.
    ///
    /// # Errors
    ///
    /// `rest.no_row` when nothing was written, `rest.not_one_row` when several rows were, otherwise as [`Insert::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Insert::send`].
    pub async fn fetch_one<T: DeserializeOwned>(
        self,
        columns: impl IntoIterator<Item = impl Into<Item>>,
    ) -> Result<T, Error> {
        self.write.row(Method::POST, level(columns)).await
    }
}
