//! Writing: insert, upsert, replace, conditional update, delete.
//!
//! row by serde → JSON body, filters and `Prefer` → one request → nothing, a number, or the rows as written. Zero affected
//! rows is a success on the wire, and so is a row that row security hides; a caller who needs proof asks for the rows
//! back. An update or delete without a filter is refused here. A write is sent once, unless its builder knows, or is
//! told, that a repeat does no harm (T2). Wire source: PostgREST "Insertions", "Updates", "Upsert", "Deletions", "Prefer".
mod change;
mod insert;
mod replace;

pub use change::{Delete, Update};
pub use insert::Insert;
pub use replace::Replace;

use std::borrow::Cow;

use http::{HeaderValue, Method, header};
use serde::de::DeserializeOwned;

use super::{Count, Endpoint, Filter, Item, Level, accept, prefer, refused, rows::counted};
use crate::{
    Error,
    call::Reply,
    error::codes::{ENCODE, UNFILTERED},
};

type Encoded = Result<Vec<u8>, serde_json::Error>;

/// What all writes have in common.
#[derive(Debug)]
struct Write {
    endpoint: Endpoint,
    body: Option<Encoded>,
    query: String,
    prefer: Vec<Cow<'static, str>>,
    repeatable: bool,
}

/// What is wanted back.
enum Back {
    Nothing,
    Number,
    Rows(Level),
    /// Exactly one row; otherwise nothing is written.
    Row(Level),
}

impl Write {
    fn new(endpoint: Endpoint, body: Option<Encoded>) -> Self {
        Self { endpoint, body, query: String::new(), prefer: Vec::new(), repeatable: false }
    }

    async fn send(mut self, method: Method, back: Back) -> Result<Reply, Error> {
        let object = matches!(back, Back::Row(_));
        let mut fault = None;
        match back {
            Back::Nothing => self.prefer.push("return=minimal".into()),
            Back::Number => {
                self.prefer.push("return=minimal".into());
                self.prefer.push(Count::Exact.preference().into());
            }
            Back::Rows(level) | Back::Row(level) => {
                self.prefer.push("return=representation".into());
                level.push_select(&mut self.query);
                level.push_parameters(&mut self.query, &mut Vec::new());
                fault = level.fault(&mut Vec::new());
            }
        }
        let mut call = prefer(self.endpoint.call(method, self.query, fault)?, &self.prefer)?;
        if let Some(body) = self.body {
            call.body = Some(body.map_err(|cause| Error::new(ENCODE).with_source(cause))?.into());
            call = call.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let call = accept(call, object, false);
        self.endpoint.send(if self.repeatable { call.repeatable() } else { call.once() }).await
    }

    async fn count(self, method: Method) -> Result<usize, Error> {
        counted(&self.send(method, Back::Number).await?)
    }

    async fn rows<T: DeserializeOwned>(self, method: Method, columns: Level) -> Result<Vec<T>, Error> {
        self.send(method, Back::Rows(columns)).await?.json()
    }

    async fn row<T: DeserializeOwned>(self, method: Method, columns: Level) -> Result<T, Error> {
        self.send(method, Back::Row(columns)).await?.json()
    }

    fn limit_affected(&mut self, rows: usize) {
        self.prefer.push(format!("handling=strict,max-affected={rows}").into());
    }

    /// Adds the filters that say which rows are meant.
    fn restrict(&mut self, filters: &[Filter]) -> Result<(), Error> {
        if filters.is_empty() {
            return Err(Error::new(UNFILTERED).during("building a table write"));
        }
        for filter in filters {
            if let Some(why) = filter.fault(&[]) {
                return Err(refused(why));
            }
            // The server leaves such a filter out of account, which could mean the whole table.
            if filter.home().is_ok_and(|relations| !relations.is_empty()) {
                return Err(refused("a write cannot be restricted by the columns of another relation"));
            }
            filter.push_parameter(&mut self.query, &[]);
        }
        Ok(())
    }
}

fn level<I: Into<Item>>(columns: impl IntoIterator<Item = I>) -> Level {
    Level::new(columns)
}
