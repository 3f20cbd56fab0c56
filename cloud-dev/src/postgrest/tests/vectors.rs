//! The published cases of the protocol, on tables like those they were written for.

use http::Method;
use serde_json::json;

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

static TABLES: [Table; 9] = [
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

fn cloud() -> Cloud {
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

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn ids(reply: &Reply) -> Vec<i64> {
    reply.column("id").iter().map(|id| id.as_i64().unwrap()).collect()
}

#[test]
fn logic_trees_choose_rows() {
    let mut cloud = cloud();
    for (parameter, tree, expected) in [
        ("or", "(id.eq.1,id.eq.2)", &[1, 2][..]),
        ("not.or", "(id.eq.1,id.eq.2)", &[3, 4, 5]),
        ("or", "(and(name.eq.entity 2,id.eq.2),and(name.eq.entity 1,id.eq.1))", &[1, 2]),
        ("and", "( and ( id.in.( 1, 2, 3 ) , id.eq.3 ) , or ( id.eq.2 , id.eq.3 ) )", &[3]),
        ("and", "( id.eq.1, not.or(id.eq.2, id.eq.3), id.in.(1,4), or(id.eq.1, id.eq.4) )", &[1]),
        ("or", r#"(name.eq."(grandchild,entity,4)",name.eq."(grandchild,entity,5)")"#, &[4, 5]),
        ("and", "(id.eq.1,id.neq.2))", &[1]),
        ("or", "(and_starting_col.eq.smth, or_starting_col.eq.smth)", &[]),
    ] {
        let reply = cloud.get(&format!("entities?select=id&{parameter}={}", encoded(tree)));
        assert_eq!((reply.status, ids(&reply)), (200, expected.to_vec()), "{parameter}={tree}");
    }
    let reply = cloud.get("entities?or=()");
    assert_eq!((reply.status, reply.code()), (400, "PGRST100"));
    assert_eq!(reply.body["message"], "\"failed to parse logic tree (())\" (line 1, column 4)");
}

#[test]
fn filters_choose_rows() {
    let mut cloud = cloud();
    for (key, value, expected) in [
        ("id", "gt.3", &[4, 5][..]),
        ("id", "not.gte.3", &[1, 2]),
        ("id", "lt.2", &[1]),
        ("id", "in.()", &[]),
        ("id", "not.in.()", &[1, 2, 3, 4, 5]),
        ("id", "in.(    )", &[]),
        ("id", "in.(1, 2)", &[1, 2]),
        ("id", "eq(any).{1,5}", &[1, 5]),
        ("id", "gt(all).{1,2}", &[3, 4, 5]),
        ("id", "eq(any).{}", &[]),
        ("name", "like.entity*", &[1, 2, 3]),
        ("name", "like.ENTITY*", &[]),
        ("name", "ilike.ENTITY*", &[1, 2, 3]),
        ("name", "like(any).{*1,*2}", &[1, 2]),
        ("name", "match.^entity [12]$", &[1, 2]),
        ("name", "imatch.^ENTITY [12]$", &[1, 2]),
        ("name", "not.match.^entity", &[4, 5]),
        ("done", "is.true", &[1]),
        ("done", "is.FALSE", &[2]),
        ("done", "is.null", &[3, 4, 5]),
        ("done", "not.is.null", &[1, 2]),
        ("done", "is.not_null", &[1, 2]),
        ("done", "is.unknown", &[3, 4, 5]),
        ("done", "eq.true", &[1]),
        ("done", "neq.true", &[2]),
        ("done", "isdistinct.true", &[2, 3, 4, 5]),
        ("data->a->>b", "eq.x", &[1]),
        ("data->n", "gt.2", &[2]),
        ("data->l->0", "eq.1", &[1]),
        ("data->l->-1", "eq.2", &[1]),
        ("data->>n", "eq.10", &[2]),
        ("data", r#"cs.{"n":1}"#, &[1]),
        ("data", r#"cd.{"a":{"b":"y"},"n":10,"more":0}"#, &[2]),
        ("at", "gt.2026-01-01T00:00:00Z", &[2, 3]),
        ("at", "gte.2026-01-01T01:00:00.45+01:00", &[2, 3]),
        ("at", "eq.2025-12-31T19:00:00.500-05:00", &[2]),
        ("at", "in.(2026-01-01)", &[1]),
    ] {
        let reply = cloud.get(&format!("entities?select=id&{}={}", encoded(key), encoded(value)));
        assert_eq!(reply.status, 200, "{key}={value}: {}", reply.text);
        assert_eq!(ids(&reply), expected, "{key}={value}");
    }
}

#[test]
fn values_of_the_wrong_type_are_refused_like_postgresql_does() {
    let mut cloud = cloud();
    let reply = cloud.get("entities?id=in.(%20,3,4)");
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.body,
        json!({"code": "22P02", "message": "invalid input syntax for type integer: \"\"", "details": null, "hint": null})
    );
    for (query, status, code) in [
        ("id=eq.x", 400, "22P02"),
        ("id=eq.99999999999", 400, "22003"),
        ("at=gt.2026-01-01T00:00:00+00:00", 400, "22007"),
        ("at=gt.nope", 400, "22007"),
        ("done=eq.maybe", 400, "22P02"),
        ("id=is.true", 400, "42804"),
        ("id=like.1*", 404, "42883"),
        ("id=like(any).1", 404, "42883"),
        ("id=cs.{1}", 404, "42883"),
        ("id=cd.{1}", 400, "42725"),
        ("name=match.(", 400, "2201B"),
        ("id=eq(any).1", 400, "22P02"),
        ("helicopter=eq.1", 400, "42703"),
        ("select=helicopter", 400, "42703"),
        ("order=helicopter", 400, "42703"),
        ("select=id::nope", 400, "42704"),
        ("select=name::int", 400, "22P02"),
        ("select=count()", 400, "PGRST123"),
        ("name=fts.x", 400, "PGRST127"),
        ("other.id=eq.1", 400, "PGRST108"),
        ("id=1", 400, "PGRST100"),
    ] {
        let reply = cloud.get(&format!("entities?{query}"));
        assert_eq!((reply.status, reply.code()), (status, code), "{query}: {}", reply.text);
    }
    assert_eq!(cloud.get("entities?helicopter=eq.1").body["message"], "column entities.helicopter does not exist");
}

#[test]
fn selects_shape_the_objects() {
    let mut cloud = cloud();
    for (select, expected) in [
        ("id,done,name", r#"{"id":1,"done":true,"name":"entity 1"}"#),
        ("n:name,i:id::text", r#"{"n":"entity 1","i":"1"}"#),
        ("data->a->>b,data->n,first:data->l->0,data->l->1", r#"{"b":"x","n":1,"first":1,"l":2}"#),
        ("data->a,at,x:data->>a", r#"{"a":{"b":"x"},"at":"2026-01-01T00:00:00+00:00","x":"{\"b\": \"x\"}"}"#),
        ("done::text,t:at::text", r#"{"done":"true","t":"2026-01-01 00:00:00+00"}"#),
        ("done::int,name->x", r#"{"done":1,"x":null}"#),
    ] {
        let reply = cloud.get(&format!("entities?id=eq.1&select={}", encoded(select)));
        assert_eq!((reply.status, reply.text.as_str()), (200, format!("[{expected}]").as_str()), "{select}");
    }
    assert_eq!(cloud.get("entities?id=eq.3&select=").text, cloud.get("entities?id=eq.3").text);
    let every = cloud.get("entities?id=eq.3&select=*");
    assert_eq!(
        every.text,
        r#"[{"id":3,"name":"entity 3","and_starting_col":null,"or_starting_col":null,"data":null,"done":null,"at":"2026-01-01T00:00:00.45+00:00"}]"#
    );
    assert_eq!(every.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(every.header("content-location"), Some("/entities?id=eq.3&select=%2A"));
}

#[test]
fn orders_put_nulls_where_postgresql_does() {
    let mut cloud = cloud();
    for (order, expected) in [
        ("at", &[1, 3, 2, 4, 5][..]),
        ("at.desc", &[4, 5, 2, 3, 1]),
        ("at.desc.nullslast,id.desc", &[2, 3, 1, 5, 4]),
        ("at.nullsfirst,id.desc", &[5, 4, 1, 3, 2]),
        ("data->>n.desc.nullslast", &[2, 1, 3, 4, 5]),
    ] {
        let reply = cloud.get(&format!("entities?select=id&order={}", encoded(order)));
        assert_eq!(ids(&reply), expected, "{order}: {}", reply.text);
    }
}

#[test]
fn pages_tell_their_place() {
    let mut cloud = cloud();
    let exact: &[(&'static str, &str)] = &[("prefer", "count=exact")];
    for (target, headers, status, range) in [
        ("items", &[][..], 200, "0-14/*"),
        ("items", exact, 200, "0-14/15"),
        ("items?limit=5&offset=5", &[], 200, "5-9/*"),
        ("items?limit=5&offset=5", exact, 206, "5-9/15"),
        ("items?limit=0", &[], 200, "*/*"),
        ("items?limit=0&offset=5", &[], 416, ""),
        ("items?offset=100", &[], 200, "*/*"),
        ("items?offset=100", exact, 416, "*/15"),
        ("empty", exact, 200, "*/0"),
        ("empty", &[], 200, "*/*"),
        ("empty?offset=1", exact, 416, "*/0"),
        ("items?offset=-1", &[], 200, "0-14/*"),
        ("items?limit=x", &[], 200, "0-14/*"),
        ("items", &[("range", "0-4")], 200, "0-4/*"),
        ("items", &[("range", "5-")], 200, "5-14/*"),
        ("items?limit=3", &[("range", "1-9")], 200, "1-2/*"),
        ("items?offset=5", &[("range", "0-3")], 416, ""),
        ("items?limit=5", &[("range", "20-30")], 416, ""),
        ("items", &[("range", "0-0"), ("prefer", "count=exact")], 206, "0-0/15"),
        ("items?id=gt.13", exact, 200, "0-1/2"),
    ] {
        let reply = cloud.ask(&Identity::service(), Method::GET, target, headers, "");
        assert_eq!((reply.status, reply.range()), (status, range), "{target} {headers:?}");
    }
    let past = cloud.ask(&Identity::service(), Method::GET, "items?offset=100", exact, "");
    assert_eq!(past.body["details"], "An offset of 100 was requested, but there are only 15 rows.");
    assert_eq!(past.code(), "PGRST103");
    assert_eq!(past.header("content-location"), Some("/items?offset=100"));
    assert_eq!(past.header("preference-applied"), Some("count=exact"));
    let negative = cloud.get("items?limit=-1");
    assert_eq!((negative.status, negative.code()), (416, "PGRST103"));
    assert_eq!(negative.body["details"], "Limit should be greater than or equal to zero.");
    let backwards = cloud.ask(&Identity::service(), Method::GET, "items", &[("range", "1-0")], "");
    assert_eq!(backwards.status, 416);
}

#[test]
fn a_head_request_has_headers_and_no_body() {
    let mut cloud = cloud();
    let reply = cloud.ask(&Identity::service(), Method::HEAD, "items?limit=3", &[("prefer", "count=exact")], "");
    assert_eq!((reply.status, reply.range(), reply.text.as_str()), (206, "0-2/15", ""));
    let error = cloud.ask(&Identity::service(), Method::HEAD, "garlic", &[], "");
    assert_eq!((error.status, error.text.as_str()), (404, ""));
    assert_eq!(error.header("proxy-status"), Some("PostgREST; error=PGRST205"));
}

#[test]
fn a_read_is_cut_at_the_row_cap_without_a_word() {
    let mut cloud = cloud();
    cloud.settings.max_rows = Some(10);
    let reply = cloud.get("items?limit=12");
    assert_eq!((reply.status, reply.range()), (200, "0-9/*"));
    cloud.settings.max_rows = None;
    assert_eq!(cloud.get("items").range(), "0-14/*");
}

#[test]
fn embeds_follow_foreign_keys_both_ways() {
    let mut cloud = cloud();
    for (target, expected) in [
        (
            "tasks?id=in.(1,5)&select=id,projects(name,clients!projects_client_id_fkey(name))",
            json!([
                {"id": 1, "projects": {"name": "Windows 7", "clients": {"name": "Microsoft"}}},
                {"id": 5, "projects": {"name": "IOS", "clients": {"name": "Apple"}}}
            ]),
        ),
        (
            "projects?select=id,t:tasks(id)&t.order=id.desc&t.limit=1&id=in.(1,5)",
            json!([{"id": 1, "t": [{"id": 2}]}, {"id": 5, "t": []}]),
        ),
        (
            "projects?select=id,client:client_id(name)&id=in.(3,5)",
            json!([{"id": 3, "client": {"name": "Apple"}}, {"id": 5, "client": null}]),
        ),
        ("projects?select=id,clients!payer_id!inner(id)&clients.id=eq.1", json!([{"id": 2, "clients": {"id": 1}}])),
        ("projects?select=id,tasks!inner()&tasks.name=like.Design*", json!([{"id": 1}, {"id": 2}, {"id": 3}])),
        (
            "projects?select=id,tasks(count)&id=in.(1,5)",
            json!([{"id": 1, "tasks": [{"count": 2}]}, {"id": 5, "tasks": [{"count": 0}]}]),
        ),
        ("projects?select=id,tasks()&tasks=is.null", json!([{"id": 5}])),
        ("projects?select=id,tasks()&tasks=not.is.null&id=gt.1", json!([{"id": 2}, {"id": 3}])),
        (
            "projects?select=id,tasks(id)&tasks.name=like.Code*&id=lt.3",
            json!([{"id": 1, "tasks": [{"id": 2}]}, {"id": 2, "tasks": []}]),
        ),
        (
            "projects?select=id,tasks(id)&tasks.or=(id.eq.1,id.eq.3)&id=lt.3",
            json!([{"id": 1, "tasks": [{"id": 1}]}, {"id": 2, "tasks": [{"id": 3}]}]),
        ),
        (
            "projects?select=id,c:client_id(name)&order=c(name).desc.nullslast,id.desc",
            json!([
                {"id": 2, "c": {"name": "Microsoft"}}, {"id": 1, "c": {"name": "Microsoft"}}, {"id": 3, "c": {"name": "Apple"}}, {"id": 5, "c": null}
            ]),
        ),
    ] {
        let reply = cloud.get(target);
        assert_eq!((reply.status, &reply.body), (200, &expected), "{target}");
    }
}

#[test]
fn an_embed_that_is_ambiguous_or_unknown_is_refused() {
    let mut cloud = cloud();
    let ambiguous = cloud.get("projects?select=clients(*)");
    assert_eq!((ambiguous.status, ambiguous.code()), (300, "PGRST201"));
    assert_eq!(
        ambiguous.body["details"][0],
        json!({"cardinality": "many-to-one", "embedding": "projects with clients",
               "relationship": "projects_client_id_fkey using projects(client_id) and clients(id)"})
    );
    assert_eq!(
        ambiguous.body["hint"],
        "Try changing 'clients' to one of the following: 'clients!projects_client_id_fkey', 'clients!projects_payer_id_fkey'. Find the desired relationship in the 'details' key."
    );
    let none = cloud.get("projects?select=items(*)");
    assert_eq!((none.status, none.code()), (400, "PGRST200"));
    let to_many = cloud.get("projects?select=tasks(*)&order=tasks(id)");
    assert_eq!((to_many.status, to_many.code()), (400, "PGRST118"));
}

#[test]
fn upserts_merge_or_ignore() {
    let mut cloud = cloud();
    let merge = "resolution=merge-duplicates, return=representation";
    let reply = cloud.send(
        Method::POST,
        "languages",
        merge,
        r#"[{"name":"Java","rank":19},{"name":"C","rank":20},{"name":"Go","rank":21}]"#,
    );
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("preference-applied"), Some(merge));
    assert_eq!(reply.body[0], json!({"name": "Java", "rank": 19}));
    let existing = cloud.send(Method::POST, "languages", merge, r#"[{"name":"Java","rank":1},{"name":"C","rank":2}]"#);
    assert_eq!(existing.status, 200);
    let nothing = cloud.send(Method::POST, "languages", merge, "[]");
    assert_eq!((nothing.status, nothing.text.as_str()), (200, "[]"));

    let ignore = "resolution=ignore-duplicates, return=representation";
    let ignored = cloud.send(Method::POST, "languages", ignore, r#"[{"name":"Java","rank":99}]"#);
    assert_eq!((ignored.status, ignored.text.as_str()), (201, "[]"));
    assert_eq!(cloud.get("languages?name=eq.Java").body[0]["rank"], 1);

    let twice = cloud.send(Method::POST, "languages", merge, r#"[{"name":"X","rank":1},{"name":"X","rank":2}]"#);
    assert_eq!((twice.status, twice.code()), (500, "21000"));
    assert_eq!(cloud.get("languages?name=eq.X").text, "[]");
    let bad_target = cloud.send(Method::POST, "languages?on_conflict=rank", merge, r#"{"name":"X","rank":1}"#);
    assert_eq!((bad_target.status, bad_target.code()), (400, "42P10"));
}

#[test]
fn a_table_without_key_ignores_the_resolution() {
    let mut cloud = cloud();
    let reply =
        cloud.send(Method::POST, "loose", "resolution=merge-duplicates, return=representation", r#"{"a":"1","b":"2"}"#);
    assert_eq!((reply.status, reply.header("preference-applied")), (201, Some("return=representation")));
    assert_eq!(reply.body, json!([{"a": "1", "b": "2"}]));
}

#[test]
fn columns_choose_keys_and_missing_ones_become_null_or_default() {
    let mut cloud = cloud();
    let null = cloud.send(Method::POST, "loose?columns=a", "return=representation", r#"[{"a":"1","c":"ignored"},{}]"#);
    assert_eq!(null.body, json!([{"a": "1", "b": "default"}, {"a": null, "b": "default"}]));
    let named = cloud.send(Method::POST, "loose?columns=a,b", "return=representation", r#"[{"a":"1"}]"#);
    assert_eq!((named.status, named.code()), (400, "23502"));
    let prefer = "return=representation, missing=default";
    let default = cloud.send(Method::POST, "loose?columns=%22a%22,%22b%22", prefer, r#"[{"a":"1"}]"#);
    assert_eq!(default.body, json!([{"a": "1", "b": "default"}]));
    assert_eq!(default.header("preference-applied"), Some("missing=default, return=representation"));
    let unknown = cloud.send(Method::POST, "loose?columns=helicopter", "", r#"[{"a":"1"}]"#);
    assert_eq!((unknown.status, unknown.code()), (400, "PGRST204"));
    assert_eq!(unknown.body["message"], "Could not find the 'helicopter' column of 'loose' in the schema cache");
    assert_eq!(cloud.send(Method::POST, "loose?columns=", "", "[]").code(), "PGRST100");
    let garlic = cloud.send(Method::POST, "garlic", "", "{}");
    assert_eq!((garlic.status, garlic.code()), (404, "PGRST205"));
}

#[test]
fn inserts_answer_as_asked() {
    let mut cloud = cloud();
    let minimal = cloud.send(Method::POST, "items", "", r#"{"id":100}"#);
    assert_eq!((minimal.status, minimal.range(), minimal.text.as_str()), (201, "*/*", ""));
    assert_eq!(minimal.header("content-type"), None);
    let headers = cloud.send(Method::POST, "items", "return=headers-only, count=exact", r#"{"id":"101"}"#);
    assert_eq!((headers.header("location"), headers.range()), (Some("/items?id=eq.101"), "*/1"));
    let big = cloud.send(Method::POST, "items?select=id", "return=representation", r#"{"id":9223372036854775807}"#);
    assert_eq!(big.text, r#"[{"id":9223372036854775807}]"#);
    for (body, status, code) in [
        (r#"{"id":100}"#, 409, "23505"),
        (r#"{"id":null}"#, 400, "23502"),
        (r#"{"id":"x"}"#, 400, "22P02"),
        (r#"{"id":1.5}"#, 400, "22P02"),
        (r#"{"nope":1}"#, 400, "PGRST204"),
        ("{", 400, "PGRST102"),
        ("", 400, "PGRST102"),
    ] {
        let reply = cloud.send(Method::POST, "items", "", body);
        assert_eq!((reply.status, reply.code()), (status, code), "{body}");
    }
    let duplicate = cloud.send(Method::POST, "items", "", r#"{"id":100}"#);
    assert_eq!(duplicate.body["message"], "duplicate key value violates unique constraint \"items_pkey\"");
    assert_eq!(duplicate.body["details"], "Key (id)=(100) already exists.");
    let dangling = cloud.send(Method::POST, "tasks", "", r#"{"id":9,"project_id":77}"#);
    assert_eq!((dangling.status, dangling.code()), (409, "23503"));
    assert_eq!(dangling.body["details"], "Key (project_id)=(77) is not present in table \"projects\".");
    let half = cloud.send(Method::POST, "items", "", r#"[{"id":200},{"id":200}]"#);
    assert_eq!(half.code(), "23505");
    assert_eq!(cloud.get("items?id=eq.200").text, "[]");
}

#[test]
fn a_row_that_may_be_written_but_not_seen_is_not_handed_back() {
    let mut cloud = cloud();
    let somebody = person("00000000-0000-4000-8000-000000000001");
    for (prefer, status, code) in [
        ("return=minimal", 201, ""),
        ("return=representation", 403, "42501"),
        ("return=headers-only", 403, "42501"),
        ("resolution=ignore-duplicates", 201, ""),
        ("resolution=merge-duplicates", 403, "42501"),
    ] {
        let body = format!(r#"{{"id":{}}}"#, prefer.len());
        let reply = cloud.ask(&somebody, Method::POST, "letter_box", &[("prefer", prefer)], &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{prefer}: {}", reply.text);
    }
}

#[test]
fn a_put_names_exactly_its_key() {
    let mut cloud = cloud();
    let body = r#"{"name":"Go","rank":19}"#;
    for query in ["rank=eq.19", "name=not.eq.Java", "name=in.(Go)", "and=(name.eq.Go)", "", "name=eq.Go&rank=eq.1"] {
        let reply = cloud.send(Method::PUT, &format!("languages?{query}"), "", body);
        assert_eq!((reply.status, reply.code()), (405, "PGRST105"), "{query}");
    }
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go&limit=1", "", body).code(), "PGRST114");
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.C", "", body).code(), "PGRST115");
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "", body).status, 201);
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "", body).status, 204);
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "return=representation", body).status, 200);
}

#[test]
fn updates_tell_how_many_rows_they_changed() {
    let mut cloud = cloud();
    let one = cloud.send(Method::PATCH, "languages?name=eq.C", "", r#"{"rank":7}"#);
    assert_eq!((one.status, one.range(), one.header("content-type")), (204, "0-0/*", None));
    let none = cloud.send(Method::PATCH, "languages?name=eq.none", "", r#"{"rank":7}"#);
    assert_eq!((none.status, none.range()), (204, "*/*"));
    let shown = cloud.send(Method::PATCH, "languages?name=eq.none", "return=representation", r#"{"rank":7}"#);
    assert_eq!((shown.status, shown.text.as_str()), (200, "[]"));
    let moved = cloud.send(Method::PATCH, "languages?rank=eq.7", "return=representation,count=exact", r#"{"rank":8}"#);
    assert_eq!(
        (moved.body, moved.headers["content-range"].to_str().unwrap()),
        (json!([{"name": "C", "rank": 8}]), "0-0/1")
    );
    for empty in ["{}", "[]"] {
        let nothing = cloud.send(Method::PATCH, "languages", "", empty);
        assert_eq!((nothing.status, nothing.range()), (204, "*/*"), "{empty}");
    }
    assert_eq!(cloud.send(Method::PATCH, "languages?name=eq.C", "", r#"{"nope":7}"#).code(), "PGRST204");
    assert_eq!(cloud.send(Method::PATCH, "languages?name=eq.C", "", r#"{"name":"Java"}"#).status, 409);
}

#[test]
fn deletes_tell_how_many_rows_they_removed() {
    let mut cloud = cloud();
    let one = cloud.send(Method::DELETE, "items?id=eq.1", "", "");
    assert_eq!((one.status, one.range()), (204, "*/*"));
    let shown = cloud.send(Method::DELETE, "items?id=eq.2", "return=representation, count=exact", "");
    assert_eq!((shown.status, shown.range(), shown.text.as_str()), (200, "*/1", r#"[{"id":2}]"#));
    assert_eq!(shown.header("preference-applied"), Some("return=representation, count=exact"));
    let referenced = cloud.send(Method::DELETE, "projects?id=eq.1", "", "");
    assert_eq!((referenced.status, referenced.code()), (409, "23503"));
    assert_eq!(referenced.body["details"], "Key (id)=(1) is still referenced from table \"tasks\".");
    let renamed = cloud.send(Method::PATCH, "projects?id=eq.1", "", r#"{"id":77}"#);
    assert_eq!((renamed.status, renamed.code()), (409, "23503"));
    assert_eq!(cloud.get("projects?id=eq.1&select=name").text, r#"[{"name":"Windows 7"}]"#);
}

#[test]
fn a_write_of_too_many_rows_is_undone() {
    let mut cloud = cloud();
    let strict = cloud.send(Method::DELETE, "items?id=lt.15", "handling=strict, max-affected=10", "");
    assert_eq!((strict.status, strict.code()), (400, "PGRST124"));
    assert_eq!(strict.body["details"], "The query affects 14 rows");
    assert_eq!(cloud.get("items").range(), "0-14/*");
    let lenient = cloud.send(Method::DELETE, "items?id=lt.15", "handling=lenient, max-affected=10", "");
    assert_eq!(lenient.status, 204);
    let patched = cloud.send(Method::PATCH, "languages", "handling=strict, max-affected=2", r#"{"rank":9}"#);
    assert_eq!((patched.status, patched.code()), (400, "PGRST124"));
    assert_eq!(cloud.get("languages?rank=eq.9").text, "[]");
    let unknown = cloud.send(Method::PATCH, "items?id=eq.15", "handling=strict, odd=1", r#"{"id":15}"#);
    assert_eq!((unknown.status, unknown.code()), (400, "PGRST122"));
}

#[test]
fn one_object_is_exactly_one_row_or_nothing_happened() {
    let mut cloud = cloud();
    let service = Identity::service();
    let one = cloud.ask(&service, Method::GET, "items?id=eq.3", &[OBJECT], "");
    assert_eq!((one.status, one.text.as_str()), (200, r#"{"id":3}"#));
    assert_eq!(one.header("content-type"), Some("application/vnd.pgrst.object+json; charset=utf-8"));
    for (target, rows) in [("items?id=lt.5", 4), ("items?id=eq.77", 0)] {
        for (method, body) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PATCH, r#"{"id":"500"}"#)] {
            if method == Method::PATCH && rows > 1 {
                continue;
            }
            let reply = cloud.ask(&service, method.clone(), target, &[OBJECT], body);
            assert_eq!((reply.status, reply.code()), (406, "PGRST116"), "{method} {target}");
            assert_eq!(reply.body["details"], format!("The result contains {rows} rows"));
        }
    }
    assert_eq!(cloud.get("items").range(), "0-14/*");
    let patched = cloud.ask(&service, Method::PATCH, "languages", &[OBJECT], r#"{"rank":5}"#);
    assert_eq!((patched.status, patched.code()), (406, "PGRST116"));
    assert_eq!(cloud.get("languages?rank=eq.5").text, "[]");
    let stripped = "application/vnd.pgrst.object+json;nulls=stripped";
    let reply = cloud.ask(&service, Method::GET, "entities?id=eq.4&select=id,data,x:name", &[("accept", stripped)], "");
    assert_eq!(reply.body, json!({"id": 4, "x": "(grandchild,entity,4)"}));
}

#[test]
fn what_is_not_offered_says_so() {
    let mut cloud = cloud();
    let service = Identity::service();
    for (method, target, headers, status, code) in [
        (Method::GET, "garlic", &[][..], 404, "PGRST205"),
        (Method::GET, "", &[], 404, "PGRST126"),
        (Method::GET, "items/1", &[], 404, "PGRST125"),
        (Method::POST, "rpc/f", &[], 404, "PGRST202"),
        (Method::TRACE, "items", &[], 405, "PGRST117"),
        (Method::GET, "items", &[("accept", "text/unknown")], 406, "PGRST107"),
        (Method::GET, "items", &[("accept-profile", "other")], 406, "PGRST106"),
        (Method::GET, "projects?select=...clients(*)", &[], 400, "PGRST127"),
    ] {
        let reply = cloud.ask(&service, method, target, headers, "{}");
        assert_eq!((reply.status, reply.code()), (status, code), "{target}: {}", reply.text);
    }
    assert_eq!(cloud.get("garlic").body["message"], "Could not find the table 'public.garlic' in the schema cache");
}

#[test]
fn a_keyset_walk_visits_rows_of_one_instant_exactly_once() {
    let mut cloud = cloud();
    cloud.conn.execute("UPDATE entities SET at = '2026-01-01T00:00:00.25+00:00' WHERE id > 1", []).unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None::<(String, i64)>);
    for _ in 0..10 {
        let after = cursor.as_ref().map_or_else(String::new, |(at, id)| {
            format!("&or={}", encoded(&format!("(at.gt.\"{at}\",and(at.eq.\"{at}\",id.gt.{id}))")))
        });
        let reply = cloud.get(&format!("entities?select=id,at&order=at.asc,id.asc&limit=2{after}"));
        let rows = reply.body.as_array().unwrap().clone();
        let Some(last) = rows.last() else { break };
        cursor = Some((last["at"].as_str().unwrap().to_owned(), last["id"].as_i64().unwrap()));
        seen.extend(ids(&reply));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}
