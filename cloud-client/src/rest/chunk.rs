//! Long lists of values, in pieces that fit into a URL.
//!
//! values → each once → lists of at most 100 and about 3 kB → one request each. Only for reads whose answer is the sum of
//! the pieces' answers: no order, no limits, no aggregates.
use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::{Column, Count, Filter, Item, Select, Value, refused};
use crate::{Error, call::push_query_text, error::codes::TOO_LARGE};

/// Values in one list at most.
const CHUNK_VALUES: usize = 100;
/// Encoded bytes in one list at most, unless one value alone is longer; leaves room for the rest of the query.
const CHUNK_BYTES: usize = 3000;

fn split(values: impl IntoIterator<Item = Value>) -> Vec<Vec<Value>> {
    let (mut chunks, mut bytes, mut seen) = (Vec::<Vec<Value>>::new(), 0, HashSet::new());
    for value in values {
        if !seen.insert(value.clone()) {
            continue;
        }
        let mut encoded = String::new();
        push_query_text(&mut encoded, value.as_str());
        // Quotes around it and a comma behind it, encoded as well.
        let size = encoded.len() + 7 + 3 * value.as_str().matches(['"', '\\']).count();
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_VALUES && bytes + size <= CHUNK_BYTES => {
                chunk.push(value);
                bytes += size;
            }
            _ => {
                chunks.push(vec![value]);
                bytes = size;
            }
        }
    }
    chunks
}

impl Filter {
    /// Conditions that together say "`column` is one of `values`", each short enough for a request of its own. Values
    /// are taken once.
    ///
    /// ```
    /// # use cloud_client::rest::Filter;
    /// assert_eq!(Filter::chunks("id", 0..250).len(), 3);
    /// ```
    pub fn chunks<V: Into<Value>>(column: impl Into<Column>, values: impl IntoIterator<Item = V>) -> Vec<Self> {
        let column = column.into();
        let chunks = split(values.into_iter().map(Into::into));
        chunks.into_iter().map(|chunk| Self::is_in(column.clone(), chunk)).collect()
    }
}

impl Select {
    /// Reads the rows whose `column` is one of `values`, however many these are, in as many requests as that takes. The
    /// rows come in no order.
    ///
    /// # Errors
    ///
    /// `rest.query_invalid` when an order, a limit, an offset or an aggregate was set, which pieces cannot keep;
    /// `net.too_large` when one value alone has more rows than the server gives; otherwise as [`Select::fetch`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request.
    ///
    /// ```no_run
    /// # use cloud_client::{Client, Error};
    /// # async fn f(client: Client, ids: Vec<String>) -> Result<(), Error> {
    /// let named = client.table("profiles").select(["id", "display_name"]);
    /// let people = named.fetch_in::<serde_json::Value, _>("id", &ids).await?;
    /// # Ok(()) }
    /// ```
    pub async fn fetch_in<T: DeserializeOwned, V: Into<Value>>(
        &self,
        column: impl Into<Column>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Vec<T>, Error> {
        let level = &self.level;
        let whole = level.order.is_empty() && level.limit.is_none() && level.offset == 0;
        if !whole || level.items.iter().any(Item::is_aggregate) {
            return Err(refused("fetch_in reads in pieces, which keep no order, limit, offset or aggregate"));
        }
        let (column, mut rows) = (column.into(), Vec::new());
        let mut chunks = split(values.into_iter().map(Into::into));
        while let Some(mut chunk) = chunks.pop() {
            let query = self.clone().is_in(column.clone(), chunk.iter()).counted(Count::Exact);
            let read = query.fetch::<T>().await?;
            if !read.is_cut() {
                rows.extend(read);
            } else if chunk.len() > 1 {
                chunks.push(chunk.split_off(chunk.len() / 2));
                chunks.push(chunk);
            } else {
                let error = Error::new(TOO_LARGE).during("reading rows by a list");
                return Err(error.with_detail("one value has more rows than the server gives: read it by pages"));
            }
        }
        Ok(rows)
    }
}
