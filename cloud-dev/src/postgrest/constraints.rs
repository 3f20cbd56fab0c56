//! What a row must meet to be stored, and the words for what it does not meet.
//!
//! Row policies, not-null, checks, unique keys and foreign keys, each asked for by the writer at its moment.
//! PostgreSQL puts stored values into a message only for those whom no policy could hide them from, and so
//! does this.
//! Wire source: PostgreSQL integrity constraint violations.

use std::{cell::RefCell, rc::Rc};

use rusqlite::{OptionalExtension, types::Value};

use super::{
    error::{ApiError, Outcome},
    sql::Sql,
    write::{Rule, Values, Writer, column_list},
};
use crate::core::{
    Role,
    policy::Action,
    schema::{Column, ForeignKey, PgType},
};

/// How many verdicts of one policy a statement remembers.
const VERDICTS: usize = 32;

impl Writer<'_> {
    pub(super) fn check_policy(&self, values: &Values, action: Action) -> Outcome<()> {
        if self.passes(values, action)? {
            Ok(())
        } else {
            Err(ApiError::policy_violation(self.table, self.identity, false))
        }
    }

    /// Whether a row with these values, stored or not, meets the policy.
    pub(super) fn passes(&self, values: &Values, action: Action) -> Outcome<bool> {
        let rule = self.rule(action);
        match rule.predicate.as_str() {
            "1" => return Ok(true),
            "0" => return Ok(false),
            _ => {}
        }
        let seen = || rule.looks_at.iter().filter_map(|position| values.get(*position));
        let alike = |(known, _): &&(Values, bool)| known.iter().eq(seen());
        if let Some((_, passes)) = rule.verdicts.borrow().iter().find(alike) {
            return Ok(*passes);
        }
        let mut sql = Sql::new(self.identity);
        let bound = |(column, value): (&Column, &Value)| format!("{} AS \"{}\"", sql.bind(value.clone()), column.name);
        let columns: Vec<_> = self.table.columns.iter().zip(values).map(bound).collect();
        let (columns, predicate) = (columns.join(", "), &rule.predicate);
        let text = format!("SELECT EXISTS (SELECT 1 FROM (SELECT {columns}) AS n WHERE {predicate})");
        let passes = sql.query(self.conn, &text, |row| row.get(0))?.first().copied().unwrap_or(false);
        let mut verdicts = rule.verdicts.borrow_mut();
        if verdicts.len() < VERDICTS {
            verdicts.push((seen().cloned().collect(), passes));
        }
        Ok(passes)
    }

    /// The policy for `action`, made once for a statement.
    fn rule(&self, action: Action) -> Rc<Rule> {
        let mut rules = self.known.rules.borrow_mut();
        if let Some(rule) = rules.iter().find(|rule| rule.action == action) {
            return Rc::clone(rule);
        }
        let predicate = self.table.security.predicate(self.identity, action, "n");
        let looks_at = |(_, column): &(usize, &Column)| predicate.contains(&format!("n.{}", column.name));
        let looks_at = self.table.columns.iter().enumerate().filter(looks_at).map(|(position, _)| position).collect();
        let rule = Rc::new(Rule { action, predicate, looks_at, verdicts: RefCell::default() });
        rules.push(Rc::clone(&rule));
        rule
    }

    pub(super) fn check_values(&self, values: &Values) -> Outcome<()> {
        let table = self.table.name;
        let pairs = || self.table.columns.iter().zip(values).filter(|(column, _)| column.server_set.is_none());
        if let Some((column, _)) = pairs().find(|(column, value)| !column.nullable && **value == Value::Null) {
            return Err(self.with_row(
                ApiError::database(
                    "23502",
                    format!(
                        "null value in column \"{}\" of relation \"{table}\" violates not-null constraint",
                        column.name
                    ),
                ),
                values,
            ));
        }
        for (column, value) in pairs() {
            let Value::Text(text) = value else { continue };
            if !column.allowed.is_empty() && !column.allowed.contains(&text.as_str()) {
                let message = format!(
                    "new row for relation \"{table}\" violates check constraint \"{table}_{}_check\"",
                    column.name
                );
                return Err(self.with_row(ApiError::database("23514", message), values));
            }
        }
        Ok(())
    }

    /// Refuses a second row with the same key; `free` is a key that is known to be free.
    pub(super) fn check_keys(&self, values: &Values, except: Option<i64>, free: Option<&[&str]>) -> Outcome<()> {
        for key in self.table.keys().filter(|key| Some(*key) != free) {
            if self.row_with(key, values, except)?.is_some() {
                let message =
                    format!("duplicate key value violates unique constraint \"{}\"", self.table.key_name(key));
                let error = ApiError::database("23505", message);
                if !self.shows_values() {
                    return Err(error);
                }
                let details = format!("{} already exists.", self.shown_key(key, values));
                return Err(error.details(details));
            }
        }
        Ok(())
    }

    /// The stored row with the same key, other than `except`; a null never equals anything.
    pub(super) fn row_with(&self, key: &[&str], values: &Values, except: Option<i64>) -> Outcome<Option<i64>> {
        let mut sql = Sql::new(self.identity);
        let mut tests = Vec::new();
        for name in key {
            let value = self.value_of(name, values);
            if *value == Value::Null {
                return Ok(None);
            }
            tests.push(format!("\"{name}\" = {}", sql.bind(value.clone())));
        }
        tests.push(format!("rowid IS NOT {}", sql.bind(except.map_or(Value::Null, Value::Integer))));
        let text = format!("SELECT rowid FROM \"{}\" WHERE {}", self.table.name, tests.join(" AND "));
        Ok(sql.query(self.conn, &text, |row| row.get(0))?.first().copied())
    }

    pub(super) fn check_references(&self, rows: &[i64]) -> Outcome<()> {
        // All rows are asked about at once; PostgreSQL complains about the first row, and there about the first key.
        let mut first = None;
        for key in self.table.foreign_keys {
            if let Some(position) = self.first_dangling(key, rows)?
                && first.is_none_or(|(earlier, _)| position < earlier)
            {
                first = Some((position, key));
            }
        }
        if let Some((position, key)) = first
            && let Some(rowid) = rows.get(position)
        {
            let message = format!(
                "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                self.table.name, key.name
            );
            let shown = if self.shows_values() {
                format!("{} is", self.shown_key(key.columns, &self.stored(*rowid)?))
            } else {
                "Key is".to_owned()
            };
            let details = format!("{shown} not present in table \"{}\".", key.target);
            return Err(ApiError::database("23503", message).details(details));
        }
        Ok(())
    }

    /// Refuses what would leave rows of other tables pointing nowhere, as far as `concerned` says.
    pub(super) fn check_referrers(&self, concerned: impl Fn(&ForeignKey) -> bool) -> Outcome<()> {
        for child in self.tables {
            for key in child.foreign_keys.iter().filter(|key| key.target == self.table.name && concerned(key)) {
                let found: Option<Vec<Value>> = self
                    .conn
                    .prepare_cached(&format!(
                        "SELECT {} FROM \"{}\" AS c WHERE {} LIMIT 1",
                        column_list(key.columns.iter().copied()),
                        child.name,
                        dangling_condition(key)
                    ))?
                    .query_row([], |row| (0..key.columns.len()).map(|index| row.get(index)).collect())
                    .optional()?;
                let Some(values) = found else { continue };
                let message = format!(
                    "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
                    self.table.name, key.name, child.name
                );
                let shown_values: Vec<String> = key
                    .target_columns
                    .iter()
                    .filter_map(|name| self.table.column(name))
                    .zip(&values)
                    .map(|(column, value)| shown(column, value))
                    .collect();
                let subject = if self.shows_values() {
                    format!("Key ({})=({})", key.target_columns.join(", "), shown_values.join(", "))
                } else {
                    "Key".to_owned()
                };
                let details = format!("{subject} is still referenced from table \"{}\".", child.name);
                return Err(ApiError::database("23503", message).details(details));
            }
        }
        Ok(())
    }

    /// Which of `rows` is the first that points to nothing.
    fn first_dangling(&self, key: &ForeignKey, rows: &[i64]) -> Outcome<Option<usize>> {
        let ids: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT picked.key FROM json_each(?) AS picked CROSS JOIN \"{}\" AS c ON c.rowid = picked.value \
             WHERE {} ORDER BY picked.key LIMIT 1",
            self.table.name,
            dangling_condition(key)
        ))?;
        let position: Option<i64> =
            statement.query_row([format!("[{}]", ids.join(","))], |row| row.get(0)).optional()?;
        Ok(position.and_then(|position| usize::try_from(position).ok()))
    }

    /// PostgreSQL shows values only to those whom no policy could hide them from.
    fn shows_values(&self) -> bool {
        !self.table.security.enabled || self.identity.role == Role::Service
    }

    fn with_row(&self, error: ApiError, values: &Values) -> ApiError {
        if !self.shows_values() {
            return error;
        }
        let shown: Vec<String> = self
            .table
            .columns
            .iter()
            .zip(values)
            .map(|(column, value)| {
                let text = shown(column, value);
                if text.chars().count() > 64 { text.chars().take(64).chain("...".chars()).collect() } else { text }
            })
            .collect();
        error.details(format!("Failing row contains ({}).", shown.join(", ")))
    }

    fn value_of<'v>(&self, name: &str, values: &'v Values) -> &'v Value {
        let position = self.table.columns.iter().position(|column| column.name == name);
        position.and_then(|position| values.get(position)).unwrap_or(&Value::Null)
    }

    /// `Key (a, b)=(1, 2)`
    fn shown_key(&self, key: &[&str], values: &Values) -> String {
        let shown: Vec<String> = key
            .iter()
            .filter_map(|name| self.table.column(name).map(|column| shown(column, self.value_of(name, values))))
            .collect();
        format!("Key ({})=({})", key.join(", "), shown.join(", "))
    }
}

fn shown(column: &Column, value: &Value) -> String {
    match (column.ty, value) {
        (_, Value::Null) => "null".to_owned(),
        (PgType::Bool, Value::Integer(value)) => if *value == 0 { "f" } else { "t" }.to_owned(),
        (PgType::Timestamptz, Value::Text(text)) => text.replace('T', " ").replace("+00:00", "+00"),
        (_, Value::Integer(number)) => number.to_string(),
        (_, Value::Text(text)) => text.clone(),
        (_, Value::Real(_) | Value::Blob(_)) => String::new(),
    }
}

/// That the row called `c` points to nothing.
fn dangling_condition(key: &ForeignKey) -> String {
    let present: Vec<String> = key.columns.iter().map(|column| format!("c.\"{column}\" IS NOT NULL")).collect();
    let equal: Vec<String> = key
        .columns
        .iter()
        .zip(key.target_columns)
        .map(|(column, target)| format!("p.\"{target}\" = c.\"{column}\""))
        .collect();
    format!(
        "{} AND NOT EXISTS (SELECT 1 FROM \"{}\" AS p WHERE {})",
        present.join(" AND "),
        key.target,
        equal.join(" AND ")
    )
}
