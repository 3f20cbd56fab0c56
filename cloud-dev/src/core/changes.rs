//! What each committed transaction did to the tables, whoever wrote.
//!
//! Triggers of the connection → a temporary table, which a rollback empties like any other → [`collect`] after the
//! commit → one [`Change`] per row and transaction, in the order in which the rows were first touched. A row's new
//! values are read when it is collected: what the triggers of the schema set is in it. A row that was stored and
//! removed by one transaction was never there. Nothing is recorded while nobody [wants](Wanted) it.
//! Wire source: PostgreSQL logical decoding, as far as a subscriber can tell.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension as _, functions::FunctionFlags, types::Value};

use super::schema::Table;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

impl Kind {
    /// The word on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// One row that a transaction left other than it found it; values are in column order.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: &'static Table,
    pub(crate) kind: Kind,
    pub(crate) rowid: i64,
    /// Empty for a delete.
    pub(crate) new: Vec<Value>,
    /// Empty for an insert.
    pub(crate) old: Vec<Value>,
}

/// Whether changes are recorded; clones share the switch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(crate) fn set(&self, wanted: bool) {
        self.0.store(wanted, Ordering::SeqCst);
    }
}

/// Records changes of `tables` on this connection from now on, while they are wanted.
pub(crate) fn watch(conn: &Connection, tables: &[Table], wanted: &Wanted) -> rusqlite::Result<()> {
    let wanted = wanted.clone();
    conn.create_scalar_function("changes_wanted", 0, FunctionFlags::SQLITE_UTF8, move |_| {
        Ok(wanted.0.load(Ordering::Relaxed))
    })?;
    let mut script = String::from(
        "CREATE TEMP TABLE recorded_changes (seq INTEGER PRIMARY KEY, tbl TEXT, op TEXT, row INTEGER, old TEXT);\n",
    );
    for table in tables {
        let name = table.name;
        let old = table.columns.iter().map(|column| format!("OLD.\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
        for (event, row, old) in [
            ("INSERT", "NEW", "NULL".to_owned()),
            ("UPDATE", "OLD", format!("json_array({old})")),
            ("DELETE", "OLD", format!("json_array({old})")),
        ] {
            let _ = writeln!(
                script,
                "CREATE TEMP TRIGGER \"record_{name}_{event}\" AFTER {event} ON main.\"{name}\" WHEN changes_wanted() BEGIN \
                 INSERT INTO recorded_changes (tbl, op, row, old) VALUES ('{name}', '{event}', {row}.rowid, {old}); END;"
            );
        }
    }
    conn.execute_batch(&script)
}

/// One entry of the record.
struct Entry {
    table: &'static Table,
    operation: String,
    rowid: i64,
    old: Option<String>,
}

/// Takes what was recorded since the last call; to be called outside a transaction.
pub(crate) fn collect(conn: &Connection, tables: &'static [Table]) -> rusqlite::Result<Vec<Change>> {
    let mut entries = Vec::new();
    {
        let mut statement = conn.prepare_cached("SELECT tbl, op, row, old FROM recorded_changes ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let Some(table) = super::schema::find(tables, &name) else { continue };
            entries.push(Entry { table, operation: row.get(1)?, rowid: row.get(2)?, old: row.get(3)? });
        }
    }
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    conn.prepare_cached("DELETE FROM recorded_changes")?.execute([])?;
    let mut changes = merged(entries);
    for change in &mut changes {
        if change.kind != Kind::Delete {
            change.new = stored(conn, change.table, change.rowid)?.unwrap_or_default();
        }
    }
    changes.retain(|change| change.kind == Kind::Delete || !change.new.is_empty());
    Ok(changes)
}

/// One change per life of a row: its first place in the order, its first old values, its last fate.
fn merged(entries: Vec<Entry>) -> Vec<Change> {
    let mut changes: Vec<Option<Change>> = Vec::new();
    let mut open: HashMap<(&'static str, i64), usize> = HashMap::new();
    for Entry { table, operation, rowid, old } in entries {
        let kind = match operation.as_str() {
            "INSERT" => Kind::Insert,
            "UPDATE" => Kind::Update,
            _ => Kind::Delete,
        };
        let at = *open.entry((table.name, rowid)).or_insert_with(|| {
            changes.push(None);
            changes.len() - 1
        });
        let Some(slot) = changes.get_mut(at) else { continue };
        let old = old.as_deref().map(values).unwrap_or_default();
        match (slot.as_mut(), kind) {
            (None, kind) => *slot = Some(Change { table, kind, rowid, new: Vec::new(), old }),
            // The triggers of one insert may be told of its corrections first.
            (Some(earlier), Kind::Insert) => {
                earlier.kind = Kind::Insert;
                earlier.old.clear();
            }
            (Some(_), Kind::Update) => {}
            (Some(earlier), Kind::Delete) if earlier.kind == Kind::Insert => *slot = None,
            (Some(earlier), Kind::Delete) => earlier.kind = Kind::Delete,
        }
        if kind == Kind::Delete {
            open.remove(&(table.name, rowid)); // a row number can be given again
        }
    }
    changes.into_iter().flatten().collect()
}

/// The stored values of a row.
fn stored(conn: &Connection, table: &Table, rowid: i64) -> rusqlite::Result<Option<Vec<Value>>> {
    let columns = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
    let mut statement =
        conn.prepare_cached(&format!("SELECT {columns} FROM main.\"{}\" WHERE rowid = ?", table.name))?;
    let count = table.columns.len();
    statement.query_row([rowid], |row| (0..count).map(|index| row.get(index)).collect()).optional()
}

/// Stored values out of a JSON list of them.
fn values(list: &str) -> Vec<Value> {
    let list: Vec<serde_json::Value> = serde_json::from_str(list).unwrap_or_default();
    list.into_iter()
        .map(|value| match value {
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Number(number) => number.as_i64().map_or(Value::Null, Value::Integer),
            _ => Value::Null,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{db, schema};

    const SETUP: &str = "
        INSERT INTO organizations (id, name, slug) VALUES ('o', 'O', 'o');
        INSERT INTO workspaces (id, org_id, name, slug) VALUES ('w', 'o', 'W', 'w');
        INSERT INTO conversations (id, workspace_id) VALUES ('c', 'w');";

    fn database() -> (Connection, Wanted) {
        let conn = Connection::open_in_memory().unwrap();
        db::register(&conn).unwrap();
        schema::create(&conn).unwrap();
        let wanted = Wanted::default();
        watch(&conn, schema::TABLES, &wanted).unwrap();
        conn.execute_batch(SETUP).unwrap();
        assert!(collect(&conn, schema::TABLES).unwrap().is_empty(), "nobody wanted those");
        wanted.set(true);
        (conn, wanted)
    }

    fn seen(conn: &Connection, sql: &str) -> Vec<(&'static str, Kind)> {
        conn.execute_batch(sql).unwrap();
        collect(conn, schema::TABLES).unwrap().iter().map(|change| (change.table.name, change.kind)).collect()
    }

    #[test]
    fn an_insert_is_one_change_with_what_the_triggers_set() {
        let (conn, _) = database();
        conn.execute_batch("INSERT INTO messages (id, conversation_id, role, content) VALUES ('m', 'c', 'user', 'hi')")
            .unwrap();
        let changes = collect(&conn, schema::TABLES).unwrap();
        let [message, conversation] =
            ["messages", "conversations"].map(|name| changes.iter().find(|change| change.table.name == name).unwrap());
        assert_eq!(changes.len(), 2);
        let value = |change: &Change, name: &str| {
            change.new[change.table.columns.iter().position(|column| column.name == name).unwrap()].clone()
        };
        assert_eq!((message.kind, value(message, "seq"), &message.old), (Kind::Insert, Value::Integer(1), &vec![]));
        assert_eq!((conversation.kind, value(conversation, "last_seq")), (Kind::Update, Value::Integer(1)));
        assert_eq!(conversation.old.len(), conversation.table.columns.len());
    }

    #[test]
    fn a_transaction_leaves_one_change_per_row_and_a_rollback_none() {
        let (conn, wanted) = database();
        let insert = |id| format!("INSERT INTO organizations (id, name, slug) VALUES ('{id}', 'X', '{id}');");
        let table = "organizations";
        assert_eq!(seen(&conn, &format!("BEGIN; {} ROLLBACK;", insert("a"))), []);
        let twice = format!("BEGIN; {} UPDATE organizations SET name = 'Y' WHERE id = 'b'; COMMIT;", insert("b"));
        assert_eq!(seen(&conn, &twice), [(table, Kind::Insert)]);
        let gone = format!("BEGIN; {} DELETE FROM organizations WHERE id = 'd'; COMMIT;", insert("d"));
        assert_eq!(seen(&conn, &gone), []);
        let replaced = format!("BEGIN; DELETE FROM organizations WHERE id = 'b'; {} COMMIT;", insert("e"));
        assert_eq!(seen(&conn, &replaced), [(table, Kind::Delete), (table, Kind::Insert)]);
        assert_eq!(seen(&conn, "SAVEPOINT s; DELETE FROM organizations WHERE id = 'e'; ROLLBACK TO s; RELEASE s;"), []);
        wanted.set(false);
        assert_eq!(seen(&conn, "DELETE FROM organizations WHERE id = 'e'"), []);
    }

    #[test]
    fn rows_that_go_with_another_are_changes_too() {
        let (conn, _) = database();
        let mut gone = seen(&conn, "DELETE FROM organizations WHERE id = 'o'");
        gone.sort_by_key(|(name, _)| *name);
        assert_eq!(gone, ["conversations", "organizations", "workspaces"].map(|name| (name, Kind::Delete)));
    }
}
