//! The created tables behave as their definitions say, whoever writes to them.

use rusqlite::Connection;

use super::*;

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    crate::core::db::register(&conn).unwrap();
    create(&conn).unwrap();
    conn
}

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

const WORKSPACE: &str = "INSERT INTO organizations (id, name, slug) VALUES ('o', 'O', 'o');
     INSERT INTO workspaces (id, org_id, name, slug, created_at, updated_at) VALUES ('w', 'o', 'W', 'w', 'mine', 'mine');";

#[test]
fn creating_twice_changes_nothing() {
    let conn = database();
    conn.execute_batch(WORKSPACE).unwrap();
    create(&conn).unwrap();
    assert_eq!(text(&conn, "SELECT name FROM workspaces"), "W");
}

#[test]
fn every_foreign_key_and_unique_key_names_existing_columns() {
    for table in TABLES {
        for key in table.keys() {
            assert!(key.iter().all(|column| table.column(column).is_some()), "{}", table.name);
        }
        for key in table.foreign_keys {
            assert!(key.columns.iter().all(|column| table.column(column).is_some()), "{}", key.name);
            let target = find(TABLES, key.target).unwrap();
            assert!(target.is_unique_on(key.target_columns), "{}", key.name);
        }
    }
}

#[test]
fn a_row_is_stamped_by_the_server_at_insert() {
    let conn = database();
    conn.execute_batch(WORKSPACE).unwrap();
    assert_ne!(text(&conn, "SELECT created_at FROM workspaces"), "mine");
    assert_eq!(text(&conn, "SELECT created_at FROM workspaces"), text(&conn, "SELECT updated_at FROM workspaces"));
}

#[test]
fn every_update_gives_a_new_version_and_keeps_the_time_of_the_insert() {
    let conn = database();
    conn.execute_batch(WORKSPACE).unwrap();
    let created = text(&conn, "SELECT created_at FROM workspaces");
    let mut versions = vec![text(&conn, "SELECT updated_at FROM workspaces")];
    for _ in 0..50 {
        conn.execute("UPDATE workspaces SET status = 'same', created_at = 'x', updated_at = 'y'", []).unwrap();
        versions.push(text(&conn, "SELECT updated_at FROM workspaces"));
    }
    assert_eq!(text(&conn, "SELECT created_at FROM workspaces"), created);
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 51);
}

#[test]
fn messages_are_numbered_per_conversation_in_insert_order() {
    let conn = database();
    conn.execute_batch(WORKSPACE).unwrap();
    conn.execute_batch(
        "INSERT INTO conversations (id, workspace_id, last_seq) VALUES ('a', 'w', 0), ('b', 'w', 0);
         INSERT INTO messages (id, conversation_id, role, content, seq) VALUES
             ('m1', 'a', 'user', 'x', 77), ('m2', 'b', 'user', 'x', 77), ('m3', 'a', 'user', 'x', NULL);",
    )
    .unwrap();
    assert_eq!(
        text(&conn, "SELECT group_concat(id || '=' || seq, ' ') FROM (SELECT * FROM messages ORDER BY id)"),
        "m1=1 m2=1 m3=2"
    );
    assert_eq!(text(&conn, "SELECT last_seq || '' FROM conversations WHERE id = 'a'"), "2");
}

#[test]
fn removing_a_workspace_removes_what_is_in_it() {
    let conn = database();
    conn.execute_batch(WORKSPACE).unwrap();
    conn.execute_batch(
        "INSERT INTO conversations (id, workspace_id) VALUES ('a', 'w');
         INSERT INTO messages (conversation_id, role, content) VALUES ('a', 'user', 'x');
         DELETE FROM workspaces;",
    )
    .unwrap();
    assert_eq!(text(&conn, "SELECT count(*) || '' FROM messages"), "0");
}
