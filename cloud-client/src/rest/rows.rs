//! What comes back: rows, whether they are all, and how many there are in the table.
//!
//! Reply → rows by serde, `Content-Range` → total. Wire source: PostgREST "Pagination and Count".
use std::ops::Deref;

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::{Level, SERVER_CAP};
use crate::{Error, call::Reply, error::codes::UNREADABLE};

/// How to count the rows that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Count {
    /// Each one; slow on large tables.
    #[default]
    Exact,
    /// As the database's statistics say; fast, and possibly far off.
    Planned,
    /// Exact up to the server's cap, as planned beyond it.
    Estimated,
}

impl Count {
    pub(super) const fn preference(self) -> &'static str {
        match self {
            Self::Exact => "count=exact",
            Self::Planned => "count=planned",
            Self::Estimated => "count=estimated",
        }
    }
}

/// `0-14/15` → 15; `*/*` → unknown, as is whatever is not digits alone: a number parser would also take a sign.
fn total(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.split_once('/')?.1.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The count that was asked for.
pub(super) fn counted(reply: &Reply) -> Result<usize, Error> {
    total(&reply.headers).ok_or_else(|| reply.error(UNREADABLE).with_detail("the answer lacks the count"))
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
    pub(super) fn read(reply: &Reply, level: &Level) -> Result<Self, Error>
    where
        T: DeserializeOwned,
    {
        let rows: Vec<T> = reply.json()?;
        let full = level.limit.unwrap_or(SERVER_CAP).min(SERVER_CAP);
        let total = total(&reply.headers);
        let more = total.map_or(rows.len() >= full && full > 0, |total| level.offset + rows.len() < total);
        Ok(Self { rows, total, more })
    }

    /// How many rows match in all; only when a count was asked for, and as exact as that.
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// Whether there are, or may be, rows that this answer does not hold: a full page, or the server's own cap.
    ///
    /// A server with a cap below 1000 cuts without a mark, so only a count, or [`pages`](crate::rest::Select::pages), can
    /// tell there.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_digits_behind_the_slash_and_nothing_else() {
        for (text, wanted) in [
            ("0-14/15", Some(15)),
            ("*/0", Some(0)),
            ("0-1/ 7 ", Some(7)),
            ("0-1/+7", None),
            ("0-1/-7", None),
            ("0-1/*", None),
            ("0/1/2", None),
            ("0-1/", None),
            ("0-1/99999999999999999999", None),
            ("15", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, http::HeaderValue::from_static(text))]);
            assert_eq!(total(&headers), wanted, "{text}");
        }
    }
}
