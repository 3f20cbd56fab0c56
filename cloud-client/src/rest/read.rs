//! Reading: columns, embedded relations, filters, order and limits, typed rows out.
use std::ops::Deref;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;

use super::{
    Pages, Table, Value,
    filter::{Filter, filter_methods, identifier, push_filters},
    push_pair,
};
use crate::{
    Error,
    error::codes::{QUERY_INVALID, UNREADABLE},
};

/// Rows a server gives at most when nothing was said; hosted projects cap there without a mark.
const SERVER_CAP: usize = 1000;

/// A read. Nothing is sent until [`Select::fetch`], [`Select::one`] or [`Select::pages`].
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is fetched"]
pub struct Select {
    table: Table,
    columns: Vec<String>,
    embeds: Vec<Embed>,
    pub(super) filters: Vec<Filter>,
    order: Vec<Order>,
    limit: Option<usize>,
    offset: usize,
    count: bool,
}

/// A related row, or rows, to read along by foreign key.
#[derive(Clone, Debug)]
#[must_use = "an embed does nothing until it is given to a query"]
pub struct Embed {
    relation: String,
    alias: Option<String>,
    inner: bool,
    columns: Vec<String>,
    embeds: Vec<Self>,
}

impl Embed {
    /// Reads these columns of `relation`: an object where it is to one, an array where it is to many.
    pub fn new<'a>(relation: &str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            relation: identifier(relation),
            alias: None,
            inner: false,
            columns: columns.into_iter().map(identifier).collect(),
            embeds: Vec::new(),
        }
    }

    /// Names the field of the result. Default: the relation's name.
    pub fn alias(mut self, name: &str) -> Self {
        self.alias = Some(identifier(name));
        self
    }

    /// Leaves out rows without a match. Default: they stay, with `null` or `[]`.
    pub fn inner(mut self) -> Self {
        self.inner = true;
        self
    }

    /// Reads a relation of the relation.
    pub fn embed(mut self, embed: Self) -> Self {
        self.embeds.push(embed);
        self
    }

    fn text(&self) -> String {
        let alias = self.alias.as_ref().map(|alias| format!("{alias}:")).unwrap_or_default();
        let inner = if self.inner { "!inner" } else { "" };
        format!("{alias}{}{inner}({})", self.relation, items(&self.columns, &self.embeds))
    }
}

fn items(columns: &[String], embeds: &[Embed]) -> String {
    let items: Vec<_> = columns.iter().cloned().chain(embeds.iter().map(Embed::text)).collect();
    items.join(",")
}

/// A column to sort by.
#[derive(Clone, Debug)]
#[must_use = "an order does nothing until it is given to a query"]
pub struct Order {
    column: String,
    descending: bool,
    nulls: Option<&'static str>,
}

impl Order {
    /// Smallest first; nulls last.
    pub fn asc(column: &str) -> Self {
        Self { column: identifier(column), descending: false, nulls: None }
    }

    /// Greatest first; nulls first.
    pub fn desc(column: &str) -> Self {
        Self { column: identifier(column), descending: true, nulls: None }
    }

    /// Puts nulls before everything else.
    pub fn nulls_first(mut self) -> Self {
        self.nulls = Some(".nullsfirst");
        self
    }

    /// Puts nulls after everything else.
    pub fn nulls_last(mut self) -> Self {
        self.nulls = Some(".nullslast");
        self
    }

    fn text(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        format!("{}.{direction}{}", self.column, self.nulls.unwrap_or_default())
    }
}

impl From<&str> for Order {
    fn from(column: &str) -> Self {
        Self::asc(column)
    }
}

impl Select {
    pub(super) fn new<'a>(table: Table, columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            table,
            columns: columns.into_iter().map(identifier).collect(),
            embeds: Vec::new(),
            filters: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: 0,
            count: false,
        }
    }

    filter_methods!();

    /// Reads a related table along.
    pub fn embed(mut self, embed: Embed) -> Self {
        self.embeds.push(embed);
        self
    }

    /// Sorts, after what earlier calls sort by. Without any order the server's is undefined.
    pub fn order(mut self, order: impl Into<Order>) -> Self {
        self.order.push(order.into());
        self
    }

    /// Reads at most this many rows. Default: as many as the server gives, usually 1000.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Skips this many rows. For going through a table use [`Select::pages`], which neither skips nor repeats.
    pub fn offset(mut self, rows: usize) -> Self {
        self.offset = rows;
        self
    }

    /// Counts all rows that match, whatever the limit: [`Rows::total`].
    pub fn count(mut self) -> Self {
        self.count = true;
        self
    }

    /// The query text that will be sent.
    pub fn url_query(&self) -> String {
        let mut query = String::new();
        push_pair(&mut query, "select", &items(&self.columns, &self.embeds));
        push_filters(&mut query, &self.filters);
        if !self.order.is_empty() {
            let order: Vec<_> = self.order.iter().map(Order::text).collect();
            push_pair(&mut query, "order", &order.join(","));
        }
        if let Some(limit) = self.limit {
            push_pair(&mut query, "limit", &limit.to_string());
        }
        if self.offset > 0 {
            push_pair(&mut query, "offset", &self.offset.to_string());
        }
        query
    }

    /// Reads the rows.
    ///
    /// # Errors
    ///
    /// `api.schema_mismatch` when table or column is missing there, `rest.query_invalid` for a query that cannot be
    /// sent, otherwise as [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    pub async fn fetch<T: DeserializeOwned>(&self) -> Result<Rows<T>, Error> {
        if self.filters.iter().any(Filter::is_hollow) {
            return Err(Error::new(QUERY_INVALID).during("building a table query").with_detail("empty any() or all()"));
        }
        let mut call = self.table.call(Method::GET, self.url_query())?;
        if self.count {
            call = call.header(HeaderName::from_static("prefer"), HeaderValue::from_static("count=exact"));
        }
        let reply = self.table.client.send(call).await?;
        let rows: Vec<T> = reply.json()?;
        let full = self.limit.unwrap_or(SERVER_CAP).min(SERVER_CAP);
        let total = content_range_total(&reply.headers);
        let more = total.map_or(rows.len() >= full && full > 0, |total| (self.offset + rows.len()) < total);
        Ok(Rows { rows, total, more })
    }

    /// Reads the only row, or none.
    ///
    /// # Errors
    ///
    /// `net.unreadable` when there are several, otherwise as [`Select::fetch`].
    pub async fn one<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let mut rows = self.clone().limit(2).fetch::<T>().await?.into_vec();
        if rows.len() > 1 {
            return Err(Error::new(UNREADABLE).during("reading one row").with_detail("several rows match"));
        }
        Ok(rows.pop())
    }

    /// Reads everything, `size` rows at a time, in the order of `key`, beginning behind `after`.
    ///
    /// Each page starts behind the last key of the one before, so rows that come and go meanwhile neither skip nor
    /// repeat others. `key` must be unique within the filters and among the columns read; orders and limits set before
    /// are replaced.
    pub fn pages<T: DeserializeOwned>(mut self, key: &str, after: Option<Value>, size: usize) -> Pages<T> {
        self.order = vec![Order::asc(key)];
        self.offset = 0;
        Pages::new(self.limit(size.clamp(1, SERVER_CAP)), key.to_owned(), after)
    }

    pub(super) fn page_size(&self) -> usize {
        self.limit.unwrap_or(SERVER_CAP)
    }
}

/// `0-14/15` → 15; `*/*` → unknown.
fn content_range_total(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_RANGE)?.to_str().ok()?.split_once('/')?.1.trim().parse().ok()
}

/// Rows that were read. Derefs to a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rows<T> {
    rows: Vec<T>,
    total: Option<usize>,
    more: bool,
}

impl<T> Rows<T> {
    /// How many rows match in all; only after [`Select::count`].
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// Whether there are, or may be, rows that this answer does not hold: a full page, or the server's own cap.
    pub fn is_cut(&self) -> bool {
        self.more
    }

    /// The rows alone.
    pub fn into_vec(self) -> Vec<T> {
        self.rows
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.rows
    }
}

impl<T> IntoIterator for Rows<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}
