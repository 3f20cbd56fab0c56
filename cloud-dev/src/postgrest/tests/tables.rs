//! Tables like those that the published cases of the protocol were written for, and the rows in them.

use super::*;
use crate::core::{
    policy::Security,
    schema::{Column, Fallback, ForeignKey, OnDelete, PgType, Table},
};

const fn table(name: &'static str, columns: &'static [Column], primary_key: &'static [&'static str]) -> Table {
    Table { name, columns, primary_key, unique: &[], foreign_keys: &[], security: Security::OFF }
}

const fn key_to(name: &'static str, columns: &'static [&'static str], target: &'static str) -> ForeignKey {
    ForeignKey { name, columns, target, target_columns: &["id"], on_delete: OnDelete::Restrict }
}

const INT: PgType = PgType::Int4;
const TEXT: PgType = PgType::Text;

pub(super) static TABLES: [Table; 10] = [
    Table {
        security: Security {
            enabled: true,
            select: None,
            insert: Some("?1 IS NOT NULL"),
            update: None,
            update_check: None,
            delete: None,
        },
        ..table("letter_box", &[Column::new("id", INT).required()], &["id"])
    },
    table(
        "entities",
        &[
            Column::new("id", INT).required(),
            Column::new("name", TEXT),
            Column::new("and_starting_col", TEXT),
            Column::new("or_starting_col", TEXT),
            Column::new("data", PgType::Jsonb),
            Column::new("done", PgType::Bool),
            Column::new("at", PgType::Timestamptz),
        ],
        &["id"],
    ),
    table("items", &[Column::new("id", PgType::Int8).required()], &["id"]),
    table("empty", &[Column::new("id", PgType::Int8).required()], &["id"]),
    table("languages", &[Column::new("name", TEXT).required(), Column::new("rank", INT)], &["name"]),
    table("loose", &[Column::new("a", TEXT), Column::new("b", TEXT).or(Fallback::Text("default"))], &[]),
    table("pairs", &[Column::new("a", INT).required(), Column::new("b", INT).required()], &["a", "b"]),
    table("clients", &[Column::new("id", INT).required(), Column::new("name", TEXT)], &["id"]),
    Table {
        foreign_keys: &[
            key_to("projects_client_id_fkey", &["client_id"], "clients"),
            key_to("projects_payer_id_fkey", &["payer_id"], "clients"),
        ],
        ..table(
            "projects",
            &[
                Column::new("id", INT).required(),
                Column::new("name", TEXT),
                Column::new("client_id", INT),
                Column::new("payer_id", INT),
            ],
            &["id"],
        )
    },
    Table {
        foreign_keys: &[key_to("tasks_project_id_fkey", &["project_id"], "projects")],
        ..table(
            "tasks",
            &[Column::new("id", INT).required(), Column::new("name", TEXT), Column::new("project_id", INT)],
            &["id"],
        )
    },
];

pub(super) fn cloud() -> Cloud {
    let cloud = Cloud::new(&TABLES);
    cloud
        .conn
        .execute_batch(
            r#"INSERT INTO entities (id, name, data, done, at) VALUES
                 (1, 'entity 1', '{"a": {"b": "x"}, "n": 1, "l": [1, 2]}', 1, '2026-01-01T00:00:00+00:00'),
                 (2, 'entity 2', '{"a": {"b": "y"}, "n": 10}', 0, '2026-01-01T00:00:00.5+00:00'),
                 (3, 'entity 3', NULL, NULL, '2026-01-01T00:00:00.45+00:00'),
                 (4, '(grandchild,entity,4)', NULL, NULL, NULL),
                 (5, '(grandchild,entity,5)', NULL, NULL, NULL);
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15) INSERT INTO items SELECT i FROM n;
               INSERT INTO languages VALUES ('Java', 1), ('C', 2), ('Python', 4);
               INSERT INTO clients VALUES (1, 'Microsoft'), (2, 'Apple');
               INSERT INTO projects VALUES (1, 'Windows 7', 1, 2), (2, 'Windows 10', 1, 1), (3, 'IOS', 2, 2), (5, 'Orphan', NULL, NULL);
               INSERT INTO tasks VALUES (1, 'Design w7', 1), (2, 'Code w7', 1), (3, 'Design w10', 2), (5, 'Design IOS', 3);"#,
        )
        .unwrap();
    cloud
}

pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub(super) fn ids(reply: &Reply) -> Vec<i64> {
    reply.column("id").iter().map(|id| id.as_i64().unwrap()).collect()
}
