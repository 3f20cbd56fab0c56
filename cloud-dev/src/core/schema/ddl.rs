//! Table definitions → SQLite tables, indexes and triggers.
//!
//! The triggers set what only the server may set, whoever writes: a client through the table API or a
//! service with its own SQL. They need `now_pg()` and `new_uuid()` on the connection. SQLite has no trigger
//! that changes a row before it is stored, so a row is written once and corrected at once, in one statement.

use std::fmt::Write as _;

use rusqlite::Connection;

use super::{Column, Fallback, OnDelete, PgType, ServerSet, TABLES, Table};

/// Creates what is missing of [`TABLES`]; existing tables and rows stay as they are.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    create_all(conn, TABLES)
}

/// Creates what is missing of `tables`.
pub(crate) fn create_all(conn: &Connection, tables: &[Table]) -> rusqlite::Result<()> {
    conn.pragma_update(None, "foreign_keys", "ON")?;
    crate::postgrest::register(conn)?;
    let script: String = tables.iter().map(table_script).collect();
    conn.execute_batch(&script)
}

fn table_script(table: &Table) -> String {
    let name = table.name;
    let mut parts: Vec<String> = table.columns.iter().map(column_clause).collect();
    if !table.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", column_list(table.primary_key)));
    }
    parts.extend(table.unique.iter().map(|key| format!("UNIQUE ({})", column_list(key))));
    parts.extend(table.foreign_keys.iter().map(|key| {
        let action = match key.on_delete {
            OnDelete::Cascade => "CASCADE",
            OnDelete::SetNull => "SET NULL",
            OnDelete::Restrict => "RESTRICT",
        };
        format!(
            "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES \"{}\" ({}) ON DELETE {action}",
            key.name,
            column_list(key.columns),
            key.target,
            column_list(key.target_columns)
        )
    }));
    let mut script = format!("CREATE TABLE IF NOT EXISTS \"{name}\" (\n  {}\n) STRICT;\n", parts.join(",\n  "));
    for key in table.foreign_keys {
        let _ = writeln!(
            script,
            "CREATE INDEX IF NOT EXISTS \"{}_index\" ON \"{name}\" ({});",
            key.name,
            column_list(key.columns)
        );
    }
    script.push_str(&insert_trigger(table));
    script.push_str(&update_trigger(table));
    script
}

fn column_list(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

fn column_clause(column: &Column) -> String {
    let name = column.name;
    let storage = match column.ty {
        PgType::Uuid | PgType::Text | PgType::Timestamptz | PgType::Jsonb => "TEXT",
        PgType::Bool | PgType::Int4 | PgType::Int8 => "INTEGER",
    };
    let mut clause = format!("\"{name}\" {storage}");
    // A sequence number is filled in by the trigger, after the row exists.
    let numbered_later = matches!(column.server_set, Some(ServerSet::Sequence { .. }));
    if !column.nullable && !numbered_later {
        clause.push_str(" NOT NULL");
    }
    match column.fallback {
        Fallback::Null => {}
        Fallback::Text(text) | Fallback::Json(text) => {
            let _ = write!(clause, " DEFAULT '{}'", text.replace('\'', "''"));
        }
        Fallback::Int(number) => {
            let _ = write!(clause, " DEFAULT {number}");
        }
        Fallback::Bool(value) => {
            let _ = write!(clause, " DEFAULT {}", i64::from(value));
        }
        Fallback::NewUuid => clause.push_str(" DEFAULT (new_uuid())"),
        Fallback::Now => clause.push_str(" DEFAULT (now_pg())"),
    }
    match column.ty {
        PgType::Bool => {
            let _ = write!(clause, " CHECK (\"{name}\" IN (0, 1))");
        }
        PgType::Jsonb => {
            let _ = write!(clause, " CHECK (json_valid(\"{name}\"))");
        }
        _ => {}
    }
    if !column.allowed.is_empty() {
        let allowed: Vec<String> = column.allowed.iter().map(|value| format!("'{value}'")).collect();
        let _ = write!(clause, " CHECK (\"{name}\" IN ({}))", allowed.join(", "));
    }
    clause
}

/// Sets times and sequence numbers of a new row, whatever the insert said.
fn insert_trigger(table: &Table) -> String {
    let (mut counting, mut sets, mut times) = (String::new(), Vec::new(), Vec::new());
    for column in table.columns {
        let name = column.name;
        match column.server_set {
            None | Some(ServerSet::Counter) => {}
            Some(ServerSet::InsertTime | ServerSet::WriteTime) => times.push(format!("\"{name}\"")),
            Some(ServerSet::Sequence { parent, key, counter }) => {
                let _ = writeln!(
                    counting,
                    "  UPDATE \"{parent}\" SET \"{counter}\" = \"{counter}\" + 1 WHERE id = NEW.\"{key}\";"
                );
                sets.push(format!("\"{name}\" = (SELECT \"{counter}\" FROM \"{parent}\" WHERE id = NEW.\"{key}\")"));
            }
        }
    }
    if !times.is_empty() {
        // One reading of the clock for all of them; the aggregate keeps SQLite from reading it once per use.
        let same = vec!["now"; times.len()].join(", ");
        sets.push(format!("({}) = (SELECT {same} FROM (SELECT max(now_pg()) AS now))", times.join(", ")));
    }
    if sets.is_empty() {
        return String::new();
    }
    format!(
        "CREATE TRIGGER IF NOT EXISTS \"{0}_server_set_insert\" AFTER INSERT ON \"{0}\" BEGIN\n\
         {counting}  UPDATE \"{0}\" SET {1} WHERE rowid = NEW.rowid;\nEND;\n",
        table.name,
        sets.join(", ")
    )
}

/// Gives a changed row a new version and keeps the time of its insert.
///
/// It fires for every column but the ones it sets itself, so that neither it nor the insert trigger sets it off.
fn update_trigger(table: &Table) -> String {
    let (mut watched, mut sets) = (Vec::new(), Vec::new());
    for column in table.columns {
        let name = column.name;
        match column.server_set {
            None | Some(ServerSet::Counter) => watched.push(name),
            Some(ServerSet::WriteTime) => sets.push(format!("\"{name}\" = now_pg()")),
            Some(ServerSet::InsertTime | ServerSet::Sequence { .. }) => {
                sets.push(format!("\"{name}\" = OLD.\"{name}\""));
            }
        }
    }
    if sets.is_empty() {
        return String::new();
    }
    format!(
        "CREATE TRIGGER IF NOT EXISTS \"{0}_server_set_update\" AFTER UPDATE OF {1} ON \"{0}\" BEGIN\n\
         \x20 UPDATE \"{0}\" SET {2} WHERE rowid = NEW.rowid;\nEND;\n",
        table.name,
        column_list(&watched),
        sets.join(", ")
    )
}
