//! The tables of the local store, and the steps that bring an older one up to date.
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// One step for each version; a released step never changes.
const STEPS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    -- A folder on this machine and a workspace in one cloud, as one user. This row is the trust; the file in the folder
    -- only points here.
    CREATE TABLE links (
        id INTEGER PRIMARY KEY,
        origin TEXT NOT NULL,
        user_id TEXT NOT NULL,
        workspace_id TEXT NOT NULL,
        workspace_name TEXT NOT NULL,
        folder TEXT NOT NULL,
        active INTEGER NOT NULL,
        linked_at TEXT NOT NULL,
        -- What was last read: the version as the cloud wrote it, and the fields as a JSON object.
        base_version TEXT,
        base TEXT,
        UNIQUE (origin, user_id, workspace_id)
    ) STRICT;

    -- Local changes that the cloud has not confirmed.
    CREATE TABLE changes (
        link INTEGER NOT NULL REFERENCES links (id),
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        -- Values sent on top of the base whose answer never came, as a JSON array.
        attempted TEXT NOT NULL DEFAULT '[]',
        PRIMARY KEY (link, field)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE conflicts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        link INTEGER NOT NULL REFERENCES links (id),
        field TEXT NOT NULL,
        local_value TEXT NOT NULL,
        cloud_value TEXT NOT NULL,
        noticed_at TEXT NOT NULL,
        settled INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        link INTEGER NOT NULL REFERENCES links (id),
        name TEXT NOT NULL,
        cloud_id TEXT,
        -- The greatest `seq` up to which everything has been read.
        cursor INTEGER NOT NULL DEFAULT 0,
        UNIQUE (link, name),
        UNIQUE (link, cloud_id)
    ) STRICT;

    -- The history and the outbox in one: a row is `pending` until its arrival is proven.
    CREATE TABLE messages (
        local_seq INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        id TEXT NOT NULL,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        sender_user_id TEXT,
        sender_agent_id TEXT,
        written_at TEXT,
        created_at TEXT,
        seq INTEGER,
        state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'received', 'parked', 'local')),
        reason TEXT,
        UNIQUE (conversation, id)
    ) STRICT;
    CREATE INDEX messages_outbox ON messages (conversation, state, local_seq);
    CREATE INDEX messages_order ON messages (conversation, seq);
"];

/// The version this code writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings the database up to [`VERSION`], one transaction a step, and gives the version it found or made.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let version =
        |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let found = version(connection)?;
    for (index, step) in STEPS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let transaction: Transaction<'_> = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    version(connection)
}
