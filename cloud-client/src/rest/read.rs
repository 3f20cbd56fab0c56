//! Reading: a select list, filters, order and limits; typed rows, one row, or a number out.
//!
//! [`Select`] → query text → one `GET` (or `HEAD` for a count) → [`Rows`]. Nothing is written. Wire source: PostgREST
//! "Tables and Views".
use http::Method;
use serde::de::DeserializeOwned;

use super::{
    Count, Embed, Endpoint, Filter, Item, Level, Order, Pages, Rows, Value, accept, level::level_methods, one_of,
    prefer, rows::counted,
};
use crate::{Error, call::Reply};

/// A read. Nothing is sent until [`Select::fetch`], [`Select::one`], [`Select::pages`] or one of their kind.
///
/// ```no_run
/// # use cloud_client::{Client, Error, rest::Order};
/// # async fn f(client: Client) -> Result<(), Error> {
/// #[derive(serde::Deserialize)]
/// struct Task {
///     id: i64,
///     title: String,
/// }
/// let open = client.table("tasks").select(["id", "title"]).eq("done", false);
/// let newest = open.clone().order(Order::desc("id")).limit(20).fetch::<Task>().await?;
/// for task in &*newest {
///     println!("{} {}", task.id, task.title);
/// }
/// if newest.is_cut() {
///     println!("… of {}", open.count_rows(Default::default()).await?);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is fetched"]
pub struct Select {
    endpoint: Endpoint,
    pub(super) level: Level,
    count: Option<Count>,
    without_nulls: bool,
}

impl Select {
    pub(super) fn new<I: Into<Item>>(endpoint: Endpoint, columns: impl IntoIterator<Item = I>) -> Self {
        Self { endpoint, level: Level::new(columns), count: None, without_nulls: false }
    }

    level_methods!();

    /// Keeps rows for which the relation has a match, also if nothing of it is read.
    pub fn having(self, relation: Embed) -> Self {
        let key = super::Column::named(relation.key());
        self.embed(relation).filter(Filter::is_not_null(key))
    }

    /// Keeps rows for which the relation has no match.
    pub fn lacking(self, relation: Embed) -> Self {
        let key = super::Column::named(relation.key());
        self.embed(relation).filter(Filter::is_null(key))
    }

    /// Counts all rows that match, one by one, whatever the limit: [`Rows::total`].
    pub fn count(self) -> Self {
        self.counted(Count::Exact)
    }

    /// Counts all rows that match, in this way, whatever the limit: [`Rows::total`].
    pub fn counted(mut self, count: Count) -> Self {
        self.count = Some(count);
        self
    }

    /// Leaves columns that are null out of the answer. Saves bytes; the row type must have defaults for them.
    pub fn without_nulls(mut self) -> Self {
        self.without_nulls = true;
        self
    }

    /// The query text that will be sent.
    pub fn url_query(&self) -> String {
        // Room for a query of common length: growing it step by step costs more than building it.
        let mut query = String::with_capacity(256);
        self.level.push_select(&mut query);
        self.level.push_parameters(&mut query, &mut Vec::new());
        query
    }

    async fn send(&self, method: Method, count: Option<Count>, object: bool) -> Result<Reply, Error> {
        let mut call = self.endpoint.call(method, self.url_query(), self.level.fault(&mut Vec::new()))?;
        if let Some(count) = count {
            call = prefer(call, &[count.preference().into()])?;
        }
        self.endpoint.send(accept(call, object, self.without_nulls)).await
    }

    /// Reads the rows.
    ///
    /// # Errors
    ///
    /// `api.schema_mismatch` when table or column is missing there, `rest.query_invalid` for a query that cannot be
    /// sent, `rest.range_invalid` for a counted read that begins behind the last row, otherwise as
    /// [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    pub async fn fetch<T: DeserializeOwned>(&self) -> Result<Rows<T>, Error> {
        Rows::read(&self.send(Method::GET, self.count, false).await?, &self.level)
    }

    /// Reads the only row, or none.
    ///
    /// # Errors
    ///
    /// `rest.not_one_row` when there are several, otherwise as [`Select::fetch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Select::fetch`].
    pub async fn one<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        one_of(self.clone().limit(2).fetch::<T>().await?.into_vec())
    }

    /// Reads the only row; anything else is an error.
    ///
    /// # Errors
    ///
    /// `rest.no_row` when there is none, `rest.not_one_row` when there are several, otherwise as [`Select::fetch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Select::fetch`].
    pub async fn exactly_one<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.send(Method::GET, None, true).await?.json()
    }

    /// Counts the rows that match without reading any; order and limits do not matter.
    ///
    /// # Errors
    ///
    /// As [`Select::fetch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Select::fetch`].
    pub async fn count_rows(&self, count: Count) -> Result<usize, Error> {
        let mut all = self.clone();
        (all.level.order, all.level.limit, all.level.offset) = (Vec::new(), None, 0);
        counted(&all.send(Method::HEAD, Some(count), false).await?)
    }

    /// Reads everything, `size` rows at a time, in the order of `key`, beginning behind `after`.
    ///
    /// Each page starts behind the last key of the one before, so rows that come and go meanwhile neither skip nor
    /// repeat others. `key` must be unique within the filters and among the columns read; orders and limits set before
    /// are replaced.
    pub fn pages<T: DeserializeOwned>(self, key: &str, after: Option<Value>, size: usize) -> Pages<T> {
        self.pages_by([key], after.map(|after| vec![after]), size)
    }

    /// As [`Select::pages`], by several columns that are unique together, such as `["created_at", "id"]`; `after` holds
    /// a value for each. None of them may be null.
    ///
    /// Where a time is part of the key, rows of slow transactions appear *behind* a position that was already passed:
    /// begin some seconds before it and drop what is known.
    ///
    /// ```no_run
    /// # use cloud_client::{Client, Error};
    /// # use futures::TryStreamExt as _;
    /// # async fn f(client: Client) -> Result<(), Error> {
    /// let all = client.table("events").select(["id", "created_at", "what"]);
    /// let mut events = all.pages_by::<serde_json::Value, _>(["created_at", "id"], None, 500).into_rows();
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{}", event["what"]);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn pages_by<T: DeserializeOwned, O: Into<Order>>(
        mut self,
        keys: impl IntoIterator<Item = O>,
        after: Option<Vec<Value>>,
        size: usize,
    ) -> Pages<T> {
        self.level.order = keys.into_iter().map(Into::into).collect();
        self.level.offset = 0;
        self.count = None;
        Pages::new(self, after, size)
    }

    /// Reads everything, page by page, in the order of `key` (see [`Select::pages`]), and gives it out whole or not at
    /// all: more than `at_most` rows are an error.
    ///
    /// # Errors
    ///
    /// `net.too_large` when there are more rows than that, otherwise as [`Select::fetch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Select::fetch`].
    pub async fn fetch_all<T: DeserializeOwned>(&self, key: &str, at_most: usize) -> Result<Vec<T>, Error> {
        self.clone().pages::<T>(key, None, super::SERVER_CAP).all(at_most).await
    }
}
