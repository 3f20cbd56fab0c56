//! Writing: insert, upsert, conditional update, delete.
//!
//! Zero affected rows is a success on the wire, and so is a row that row security hides; a caller who needs proof asks
//! for the rows back. An update or delete without a filter is refused here. A write is sent once, unless its builder
//! knows, or is told, that a repeat does no harm (T2).
use http::{HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;

use super::{
    Table,
    filter::{Filter, filter_methods, identifier, push_filters},
    push_pair,
};
use crate::{
    Error,
    call::{Call, Reply},
    error::codes::{ENCODE, QUERY_INVALID, UNFILTERED},
};

type Encoded = Result<Vec<u8>, serde_json::Error>;

/// What all writes have in common.
#[derive(Debug)]
struct Write {
    table: Table,
    body: Option<Encoded>,
    query: String,
    prefer: Vec<String>,
    repeatable: bool,
}

impl Write {
    fn new(table: Table, body: Option<Encoded>) -> Self {
        Self { table, body, query: String::new(), prefer: Vec::new(), repeatable: false }
    }

    fn call(mut self, method: Method, columns: Option<Vec<String>>) -> Result<(Table, Call), Error> {
        match columns {
            Some(columns) => {
                self.prefer.push("return=representation".into());
                push_pair(&mut self.query, "select", &columns.join(","));
            }
            None => self.prefer.push("return=minimal".into()),
        }
        let mut call = self.table.call(method, self.query)?;
        let prefer = HeaderValue::try_from(self.prefer.join(",")).map_err(|_| Error::new(QUERY_INVALID))?;
        call = call.header(HeaderName::from_static("prefer"), prefer);
        if let Some(body) = self.body {
            call.body = Some(body.map_err(|cause| Error::new(ENCODE).with_source(cause))?.into());
            call = call.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok((self.table, if self.repeatable { call.repeatable() } else { call.once() }))
    }

    async fn send(self, method: Method, columns: Option<Vec<String>>) -> Result<Reply, Error> {
        let (table, call) = self.call(method, columns)?;
        table.client.send(call).await
    }
}

fn names<'a>(columns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    columns.into_iter().map(identifier).collect()
}

/// An insert or upsert.
#[derive(Debug)]
#[must_use = "an insert does nothing until it is sent"]
pub struct Insert {
    write: Write,
}

impl Insert {
    pub(super) fn new(table: Table, body: Encoded) -> Self {
        Self { write: Write::new(table, Some(body)) }
    }

    /// Leaves rows alone that exist already; they are not among the rows that come back. May be repeated safely.
    pub fn ignore_duplicates(mut self) -> Self {
        self.write.prefer.push("resolution=ignore-duplicates".into());
        self.write.repeatable = true;
        self
    }

    /// Overwrites rows that exist already with every column given. May be repeated safely.
    pub fn merge_duplicates(mut self) -> Self {
        self.write.prefer.push("resolution=merge-duplicates".into());
        self.write.repeatable = true;
        self
    }

    /// Names the unique columns that say what "exists already" means. Default: the primary key.
    pub fn on_conflict<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        push_pair(&mut self.write.query, "on_conflict", &names(columns).join(","));
        self
    }

    /// Takes only these columns from the rows, so that rows may have different keys.
    pub fn columns<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        push_pair(&mut self.write.query, "columns", &names(columns).join(","));
        self
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
    pub async fn send(self) -> Result<(), Error> {
        self.write.send(Method::POST, None).await.map(|_| ())
    }

    /// Inserts and reads these columns of what was inserted. Needs the right to read the new rows.
    ///
    /// # Errors
    ///
    /// As [`Insert::send`].
    pub async fn fetch<'a, T: DeserializeOwned>(
        self,
        columns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<T>, Error> {
        self.write.send(Method::POST, Some(names(columns))).await?.json()
    }
}

/// An update of the rows that its filters match.
#[derive(Debug)]
#[must_use = "an update does nothing until it is sent"]
pub struct Update {
    write: Write,
    filters: Vec<Filter>,
}

impl Update {
    pub(super) fn new(table: Table, body: Encoded) -> Self {
        Self { write: Write::new(table, Some(body)), filters: Vec::new() }
    }

    filter_methods!();

    /// Fails, and changes nothing, when more than `rows` rows match.
    pub fn max_affected(mut self, rows: usize) -> Self {
        self.write.prefer.push(format!("handling=strict,max-affected={rows}"));
        self
    }

    /// Says that sending this twice has the effect of sending it once.
    pub fn repeatable(mut self) -> Self {
        self.write.repeatable = true;
        self
    }

    fn ready(mut self) -> Result<Write, Error> {
        check(&self.filters)?;
        push_filters(&mut self.write.query, &self.filters);
        Ok(self.write)
    }

    /// Updates and expects nothing back; no match is a success.
    ///
    /// # Errors
    ///
    /// `rest.unfiltered_write` without a filter, otherwise as [`Client::send`](crate::Client::send).
    pub async fn send(self) -> Result<(), Error> {
        self.ready()?.send(Method::PATCH, None).await.map(|_| ())
    }

    /// Updates and reads these columns of the rows that changed: empty when nothing matched.
    ///
    /// # Errors
    ///
    /// As [`Update::send`].
    pub async fn fetch<'a, T: DeserializeOwned>(
        self,
        columns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<T>, Error> {
        self.ready()?.send(Method::PATCH, Some(names(columns))).await?.json()
    }
}

/// A delete of the rows that its filters match.
#[derive(Debug)]
#[must_use = "a delete does nothing until it is sent"]
pub struct Delete {
    write: Write,
    filters: Vec<Filter>,
}

impl Delete {
    pub(super) fn new(table: Table) -> Self {
        // Deleting what is gone is no change.
        let write = Write { repeatable: true, ..Write::new(table, None) };
        Self { write, filters: Vec::new() }
    }

    filter_methods!();

    /// Deletes and expects nothing back; no match is a success.
    ///
    /// # Errors
    ///
    /// `rest.unfiltered_write` without a filter, otherwise as [`Client::send`](crate::Client::send).
    pub async fn send(mut self) -> Result<(), Error> {
        check(&self.filters)?;
        push_filters(&mut self.write.query, &self.filters);
        self.write.send(Method::DELETE, None).await.map(|_| ())
    }
}

fn check(filters: &[Filter]) -> Result<(), Error> {
    if filters.is_empty() {
        return Err(Error::new(UNFILTERED).during("building a table write"));
    }
    if filters.iter().any(Filter::is_hollow) {
        return Err(Error::new(QUERY_INVALID).during("building a table write").with_detail("empty any() or all()"));
    }
    Ok(())
}
