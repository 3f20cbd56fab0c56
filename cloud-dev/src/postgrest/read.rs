//! Reading rows: `GET` and `HEAD`, and the rows that a write hands back.
//!
//! Plan → SQL → one JSON text per row, plus the count when it was asked for.
//! Wire source: PostgREST 14, "Pagination and count".

use http::StatusCode;
use rusqlite::{Connection, types::Value};

use super::{
    csv::Columns,
    error::{ApiError, Outcome, PastEnd},
    plan::Node,
    sql::{Sql, aliased},
};
use crate::core::{Identity, policy::Action};

/// What a read found.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) columns: Columns,
    pub(crate) rows: Vec<String>,
    pub(crate) first: u64,
    /// How many rows there are without limit and offset.
    pub(crate) total: Option<u64>,
}

impl Page {
    /// `Content-Range`.
    pub(crate) fn content_range(&self) -> String {
        content_range(self.first, self.rows.len(), self.total)
    }

    /// 200, or 206 when the total says that there is more.
    pub(crate) fn status(&self) -> StatusCode {
        match self.total {
            Some(total) if (self.rows.len() as u64) < total => StatusCode::PARTIAL_CONTENT,
            _ => StatusCode::OK,
        }
    }
}

/// `first-last/total`, with `*` for what is empty or unknown.
pub(crate) fn content_range(first: u64, rows: usize, total: Option<u64>) -> String {
    let range = match (rows as u64).checked_sub(1) {
        Some(more) => format!("{first}-{}", first + more),
        None => "*".to_owned(),
    };
    format!("{range}/{}", total.map_or_else(|| "*".to_owned(), |total| total.to_string()))
}

/// Reads the page that `node` describes.
pub(crate) fn page(conn: &Connection, identity: &Identity, node: &Node<'_>, count: bool) -> Outcome<Page> {
    let offset = node.offset.unwrap_or(0);
    let first = u64::try_from(offset).unwrap_or(0);
    let total = if count { Some(total(conn, identity, node)?) } else { None };
    if let Some(total) = total
        && first > total
    {
        let mut error =
            ApiError::bad_range(format!("An offset of {first} was requested, but there are only {total} rows."));
        error.range = Some(Box::new(PastEnd { content_range: format!("*/{total}"), ..PastEnd::default() }));
        return Err(error);
    }
    let mut sql = Sql::new(identity);
    let object = sql.object(node)?;
    let conditions = sql.conditions(node)?;
    let order = sql.order(node)?;
    let limit = sql.bind(Value::Integer(node.limit.unwrap_or(-1)));
    let offset = sql.bind(Value::Integer(offset));
    let text = format!(
        "SELECT {object} FROM {} WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        aliased(node.table, &node.row)
    );
    Ok(Page { columns: columns(identity, node)?, rows: sql.query(conn, &text, |row| row.get(0))?, first, total })
}

/// The names and types of what a row of `node` shows.
pub(crate) fn columns(identity: &Identity, node: &Node<'_>) -> Outcome<Columns> {
    let shown = Sql::new(identity).shown(node)?;
    Ok(shown.into_iter().map(|(name, (_, ty))| (name, ty)).collect())
}

fn total(conn: &Connection, identity: &Identity, node: &Node<'_>) -> Outcome<u64> {
    let mut sql = Sql::new(identity);
    let text = format!("SELECT count(*) FROM {} WHERE {}", aliased(node.table, &node.row), sql.conditions(node)?);
    let counts: Vec<i64> = sql.query(conn, &text, |row| row.get(0))?;
    Ok(counts.first().and_then(|count| u64::try_from(*count).ok()).unwrap_or(0))
}

/// The rows that a write touched, in the order it touched them unless the request sorts them.
///
/// Filters chose the rows before they changed; they do not choose again.
pub(crate) fn touched(conn: &Connection, identity: &Identity, node: &Node<'_>, rows: &[i64]) -> Outcome<Vec<String>> {
    let mut sql = Sql::new(identity);
    let object = sql.object(node)?;
    let conditions = sql.conditions(node)?;
    let order = if node.order.is_empty() { "picked.key".to_owned() } else { sql.order(node)? };
    let ids: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let ids = sql.bind(Value::Text(format!("[{}]", ids.join(","))));
    let text = format!(
        "SELECT {object} FROM json_each({ids}) AS picked CROSS JOIN {} ON {}.rowid = picked.value \
         WHERE {conditions} ORDER BY {order}",
        aliased(node.table, &node.row),
        node.row
    );
    sql.query(conn, &text, |row| row.get(0))
}

/// The rows that filters and policies leave for `action`.
pub(crate) fn chosen(conn: &Connection, identity: &Identity, node: &Node<'_>, action: Action) -> Outcome<Vec<i64>> {
    let mut sql = Sql::new(identity);
    let conditions = sql.conditions(node)?;
    let text = format!(
        "SELECT {0}.rowid FROM {1} WHERE {conditions} AND {2} ORDER BY {0}.rowid",
        node.row,
        aliased(node.table, &node.row),
        node.table.security.predicate(identity, action, &node.row)
    );
    sql.query(conn, &text, |row| row.get(0))
}
