//! Storing, changing and removing rows, checked in PostgreSQL's order with PostgreSQL's messages.
//!
//! For each row: policy check, not-null, checks, unique keys, then the write; foreign keys once all rows are
//! written. SQLite's own constraints stay behind as a net that no request should reach. The caller owns the
//! transaction and rolls it back on any error.
//! Wire source: PostgreSQL execution order of `INSERT … ON CONFLICT`, `UPDATE` and row security.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use rusqlite::{Connection, types::Value};

use super::{
    error::{ApiError, Outcome},
    functions::decode,
    json::Json,
    payload::Payload,
    sql::Sql,
    value,
};
use crate::core::{
    Identity,
    policy::Action,
    schema::{Column, Fallback, OnDelete, Table},
};

/// What happens to a row whose key exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    Fail,
    /// Keep the stored row; the columns are the key.
    Ignore(Vec<&'static str>),
    /// Overwrite the stored row; the columns are the key.
    Merge(Vec<&'static str>),
}

/// Rows that a write touched, in its order.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) rows: Vec<i64>,
    pub(crate) inserted: usize,
}

/// One write in one transaction.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) identity: &'a Identity,
    pub(crate) table: &'a Table,
    /// All tables, for those that point to this one.
    pub(crate) tables: &'a [Table],
    /// Whether the rows come back, which asks for the right to see them.
    pub(crate) returning: bool,
    /// Whether absent keys get their defaults instead of null.
    pub(crate) missing_default: bool,
    pub(crate) known: Known,
}

/// What one statement has found out about its rows and need not find out again.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The policies that were asked, one for each action.
    pub(super) rules: RefCell<Vec<Rc<Rule>>>,
    /// The time of the statement, which is the same for all its rows.
    now: OnceCell<String>,
}

/// A policy, and what it said.
///
/// It sees the tables as they were before the statement, so rows that are alike in the columns it looks at fare alike: it
/// is asked about the first of them, and its verdict holds for the others.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(super) action: Action,
    pub(super) predicate: String,
    /// Positions of the columns it looks at.
    pub(super) looks_at: Vec<usize>,
    /// The values it saw, and whether it let them pass.
    pub(super) verdicts: RefCell<Vec<(Values, bool)>>,
}

/// A row of the table, in column order.
pub(super) type Values = Vec<Value>;

impl Writer<'_> {
    /// Stores every row of `payload`.
    pub(crate) fn insert(&self, payload: &Payload, conflict: &Conflict) -> Outcome<Written> {
        let columns = payload.columns(self.table)?;
        let mut written = Written::default();
        let insertion = self.insertion();
        for row in &payload.rows {
            let values = self.new_row(&columns, row)?;
            self.check_policy(&values, Action::InsertCheck)?;
            if self.returning || matches!(conflict, Conflict::Merge(_)) {
                self.check_policy(&values, Action::Select)?;
            }
            self.check_values(&values)?;
            let key = match conflict {
                Conflict::Fail => None,
                Conflict::Ignore(key) | Conflict::Merge(key) => Some(key.as_slice()),
            };
            let existing = key.map(|key| self.row_with(key, &values, None)).transpose()?.flatten();
            match (existing, conflict) {
                (Some(_), Conflict::Ignore(_)) => {}
                (Some(rowid), Conflict::Merge(_)) => {
                    if written.rows.contains(&rowid) {
                        return Err(ApiError::database(
                            "21000",
                            "ON CONFLICT DO UPDATE command cannot affect row a second time",
                        )
                        .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
                    }
                    if !columns.is_empty() {
                        self.overwrite(rowid, &columns, &values)?;
                        written.rows.push(rowid);
                    }
                }
                _ => {
                    self.check_keys(&values, None, key)?;
                    written.rows.push(self.store(&insertion, &values)?);
                    written.inserted += 1;
                }
            }
        }
        self.check_references(&written.rows)?;
        if let Conflict::Merge(key) = conflict {
            let moved = |name: &str| !key.contains(&name) && columns.iter().any(|column| column.name == name);
            self.check_referrers(|reference| reference.target_columns.iter().any(|name| moved(name)))?;
        }
        Ok(written)
    }

    /// Sets the columns of `payload`'s first row in every row of `rows`.
    pub(crate) fn update(&self, payload: &Payload, rows: &[i64]) -> Outcome<()> {
        let columns = payload.columns(self.table)?;
        let Some(row) = payload.rows.first() else { return Ok(()) };
        let changes = self.new_row(&columns, row)?;
        for rowid in rows {
            self.change(*rowid, &columns, &changes)?;
        }
        self.check_references(rows)?;
        self.check_referrers(|key| columns.iter().any(|column| key.target_columns.contains(&column.name)))
    }

    /// Removes `rows`.
    pub(crate) fn delete(&self, rows: &[i64]) -> Outcome<()> {
        let mut statement =
            self.conn.prepare_cached(&format!("DELETE FROM \"{}\" WHERE rowid = ?", self.table.name))?;
        for rowid in rows {
            statement.execute([rowid])?;
        }
        self.check_referrers(|key| key.on_delete == OnDelete::Restrict)
    }

    /// An existing row takes over the columns of a proposed one.
    fn overwrite(&self, rowid: i64, columns: &[&'static Column], values: &Values) -> Outcome<()> {
        let old = self.stored(rowid)?;
        if !self.passes(&old, Action::UpdateUsing)? || !self.passes(&old, Action::Select)? {
            return Err(ApiError::policy_violation(self.table, self.identity, true));
        }
        self.change(rowid, columns, values)
    }

    fn change(&self, rowid: i64, columns: &[&'static Column], changes: &Values) -> Outcome<()> {
        let mut values = self.stored(rowid)?;
        for ((column, slot), change) in self.table.columns.iter().zip(&mut values).zip(changes) {
            if column.server_set.is_none() && columns.iter().any(|changed| changed.name == column.name) {
                slot.clone_from(change);
            }
        }
        self.check_policy(&values, Action::UpdateCheck)?;
        // Choosing rows by a filter reads them, so the person must still see what becomes of them.
        self.check_policy(&values, Action::Select)?;
        self.check_values(&values)?;
        self.check_keys(&values, Some(rowid), None)?;
        // Every free column is written, so the version changes even when no value does.
        let mut sql = Sql::new(self.identity);
        let mut sets = Vec::new();
        for (column, value) in self.table.columns.iter().zip(values) {
            if column.server_set.is_none() {
                sets.push(format!("\"{}\" = {}", column.name, sql.bind(value)));
            }
        }
        let id = sql.bind(Value::Integer(rowid));
        let text = format!("UPDATE \"{}\" SET {} WHERE rowid = {id}", self.table.name, sets.join(", "));
        sql.query(self.conn, &text, |_| Ok(())).map(|_| ())
    }

    /// A complete row: what the body says, defaults for the rest.
    fn new_row(&self, columns: &[&'static Column], row: &Json) -> Outcome<Values> {
        self.table
            .columns
            .iter()
            .map(|column| {
                let named = columns.iter().any(|set| set.name == column.name);
                let value = match row.member(column.name).filter(|_| named) {
                    Some(json) => value::from_json(column.ty, json)?,
                    None if named && !self.missing_default => Value::Null,
                    None => return self.fallback(column),
                };
                if column.server_set.is_some() { self.fallback(column) } else { Ok(value) }
            })
            .collect()
    }

    fn fallback(&self, column: &Column) -> Outcome<Value> {
        Ok(match column.fallback {
            Fallback::Null => Value::Null,
            Fallback::Text(text) | Fallback::Json(text) => Value::Text(text.to_owned()),
            Fallback::Int(number) => Value::Integer(number),
            Fallback::Bool(value) => Value::Integer(i64::from(value)),
            Fallback::NewUuid => Value::Text(self.made("SELECT new_uuid()")?),
            Fallback::Now => Value::Text(self.now()?.to_owned()),
        })
    }

    fn now(&self) -> Outcome<&str> {
        if let Some(now) = self.known.now.get() {
            return Ok(now);
        }
        let now = self.made("SELECT now_pg()")?;
        Ok(self.known.now.get_or_init(|| now))
    }

    fn made(&self, text: &str) -> Outcome<String> {
        Ok(self.conn.prepare_cached(text)?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn stored(&self, rowid: i64) -> Outcome<Values> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {} FROM \"{}\" WHERE rowid = ?",
            column_list(self.table.columns.iter().map(|column| column.name)),
            self.table.name
        ))?;
        let count = self.table.columns.len();
        Ok(statement.query_row([rowid], |row| (0..count).map(|index| row.get(index)).collect())?)
    }

    /// The columns that a statement may set.
    fn free_columns(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let free = |(_, column): &(usize, &Column)| column.server_set.is_none();
        self.table.columns.iter().enumerate().filter(free).map(|(position, column)| (position, column.name))
    }

    /// The SQL that stores one row, its values bound in the order of [`Writer::free_columns`].
    fn insertion(&self) -> String {
        let places = vec!["?"; self.free_columns().count()];
        let names = column_list(self.free_columns().map(|(_, name)| name));
        format!("INSERT INTO \"{}\" ({names}) VALUES ({})", self.table.name, places.join(", "))
    }

    fn store(&self, insertion: &str, values: &Values) -> Outcome<i64> {
        let failed = |error: rusqlite::Error| decode(&error).unwrap_or_else(|| ApiError::from(error));
        let free = self.free_columns().filter_map(|(position, _)| values.get(position));
        let mut statement = self.conn.prepare_cached(insertion).map_err(failed)?;
        statement.execute(rusqlite::params_from_iter(free)).map_err(failed)?;
        Ok(self.conn.last_insert_rowid())
    }
}

/// Quoted names with commas between them.
pub(super) fn column_list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// The key an upsert goes by: the named columns, which must be a key, or the primary key.
pub(crate) fn conflict_key(table: &Table, named: Option<&[String]>) -> Outcome<Vec<&'static str>> {
    let Some(named) = named else { return Ok(table.primary_key.to_vec()) };
    if let Some(unknown) = named.iter().find(|name| table.column(name).is_none()) {
        return Err(ApiError::database("42703", format!("column \"{unknown}\" does not exist")));
    }
    let wanted: HashSet<&str> = named.iter().map(String::as_str).collect();
    table.keys().find(|key| key.iter().copied().collect::<HashSet<_>>() == wanted).map(<[_]>::to_vec).ok_or_else(|| {
        ApiError::database("42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
    })
}
