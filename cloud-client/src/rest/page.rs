//! Going through a table by key: each page starts behind the last key of the page before.
//!
//! [`Select`] + position → `GET` → rows, and the position behind them. The key stays the text that arrived: a timestamp
//! cut to milliseconds, or a number that went through a float, would skip or repeat rows. A server may cap pages below
//! the size that was asked for and says nothing, so only an empty page is the end. Rows that are equal in one column of the
//! key are told apart by the next (P5).
use std::{
    collections::HashMap,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Filter, Order, SERVER_CAP, Select, Value};
use crate::{
    Error,
    error::codes::{QUERY_INVALID, TOO_LARGE, UNREADABLE},
};

/// The pages of a read, one request each, made when asked for.
#[must_use = "pages are only read when asked for"]
pub struct Pages<T> {
    query: Select,
    after: Option<Vec<Value>>,
    size: usize,
    over: bool,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new(query: Select, after: Option<Vec<Value>>, size: usize) -> Self {
        Self { query, after, size: size.clamp(1, SERVER_CAP), over: false, row: PhantomData }
    }

    /// The key of the last row that was handed out, to go on from another time.
    pub fn position(&self) -> Option<&[Value]> {
        self.after.as_deref()
    }

    /// The next page, never empty; `None` when all rows were read. After an error the same page can be asked for again.
    /// A page whose answer is too large is read in smaller ones.
    ///
    /// # Errors
    ///
    /// As [`Select::fetch`]; `net.unreadable` when a row lacks the key.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call leaves the position where it was.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, Error> {
        while !self.over {
            let mut query = self.query.clone().limit(self.size);
            if let Some(filter) = self.behind()? {
                query = query.filter(filter);
            }
            let raw: Vec<Box<RawValue>> = match query.fetch().await {
                Ok(rows) => rows.into_vec(),
                Err(error) if error.code() == TOO_LARGE && self.size > 1 => {
                    self.size /= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(last) = raw.last() else {
                self.over = true;
                break;
            };
            let last = self.key_of(last)?;
            let rows =
                raw.iter().map(|row| serde_json::from_str(row.get()).map_err(|why| unreadable().with_source(why)));
            let rows = rows.collect::<Result<_, _>>()?;
            self.after = Some(last);
            return Ok(Some(rows));
        }
        Ok(None)
    }

    /// Everything that is left, when that is no more than `at_most` rows.
    pub(super) async fn all(mut self, at_most: usize) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            if all.len() + page.len() > at_most {
                let error = Error::new(TOO_LARGE).during("reading all rows");
                return Err(error.with_detail(format!("there are more than {at_most} rows")));
            }
            all.extend(page);
        }
        Ok(all)
    }

    /// What rows behind the position meet: `a > A or (a = A and b > B)`.
    fn behind(&self) -> Result<Option<Filter>, Error> {
        let keys = &self.query.level.order;
        let given = self.after.as_ref().map_or(keys.len(), Vec::len);
        if keys.is_empty() || keys.len() != given {
            let error = Error::new(QUERY_INVALID).during("reading a page");
            return Err(error.with_detail("a position needs one value for each column of the key"));
        }
        let Some(after) = &self.after else { return Ok(None) };
        let beyond = |(order, value): (&Order, &Value)| {
            let column = order.column.clone();
            if order.descending { Filter::lt(column, value) } else { Filter::gt(column, value) }
        };
        let mut steps: Vec<_> = (0..keys.len())
            .map(|depth| {
                let same = keys.iter().zip(after).take(depth);
                let mut parts: Vec<_> = same.map(|(order, value)| Filter::eq(order.column.clone(), value)).collect();
                parts.extend(keys.iter().zip(after).nth(depth).map(beyond));
                if parts.len() == 1 { parts.remove(0) } else { Filter::all(parts) }
            })
            .collect();
        Ok(Some(if steps.len() == 1 { steps.remove(0) } else { Filter::any(steps) }))
    }

    fn key_of(&self, row: &RawValue) -> Result<Vec<Value>, Error> {
        let fields: HashMap<String, &RawValue> =
            serde_json::from_str(row.get()).map_err(|cause| unreadable().with_source(cause))?;
        let keys = self.query.level.order.iter().map(|order| {
            let lacking = || unreadable().with_detail("a row lacks the key that pages are cut by");
            let raw = fields.get(order.column.output()).ok_or_else(lacking)?.get();
            match raw.bytes().next() {
                Some(b'"') => serde_json::from_str::<String>(raw).map(Value::from).map_err(|_| lacking()),
                Some(b'-' | b'0'..=b'9') => Ok(Value::from(raw)),
                _ => Err(lacking()),
            }
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if self.after.as_ref() == Some(&keys) {
            return Err(unreadable().with_detail("a page ends where the one before did: is the key unique?"));
        }
        Ok(keys)
    }

    /// The pages as a stream; nothing is read ahead, and the first error ends it.
    pub fn into_stream(self) -> PageStream<T>
    where
        T: Send + 'static,
    {
        let pages =
            stream::try_unfold(self, |mut pages| async move { Ok(pages.next().await?.map(|page| (page, pages))) });
        PageStream { pages: pages.boxed() }
    }

    /// The rows as a stream; no page is read before its first row is asked for, and the first error ends it.
    pub fn into_rows(self) -> RowStream<T>
    where
        T: Send + 'static,
    {
        let rows = self.into_stream().map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
        RowStream { rows: rows.boxed() }
    }
}

fn unreadable() -> Error {
    Error::new(UNREADABLE).during("reading a page")
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("size", &self.size).field("over", &self.over).finish_non_exhaustive()
    }
}

/// The pages of a read, as [`Pages::into_stream`] makes it.
#[must_use = "pages are only read when asked for"]
pub struct PageStream<T> {
    pages: BoxStream<'static, Result<Vec<T>, Error>>,
}

impl<T> Stream for PageStream<T> {
    type Item = Result<Vec<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pages.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for PageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStream").finish_non_exhaustive()
    }
}

/// The rows of a read, as [`Pages::into_rows`] makes it.
#[must_use = "rows are only read when asked for"]
pub struct RowStream<T> {
    rows: BoxStream<'static, Result<T, Error>>,
}

impl<T> Stream for RowStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for RowStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").finish_non_exhaustive()
    }
}
