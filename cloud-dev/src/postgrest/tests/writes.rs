//! The published cases of the protocol that write. Numbers are those of the protocol's own list of cases.

use http::Method;
use serde_json::json;

use super::{tables::cloud, *};

#[test]
fn of_many_rows_the_first_that_points_nowhere_is_named() {
    let mut cloud = cloud();
    let rows: Vec<_> = (100..400).map(|id| json!({"id": id, "project_id": if id < 350 { 1 } else { id }})).collect();
    let refused = cloud.send(Method::POST, "tasks", "", &json!(rows).to_string());
    assert_eq!((refused.status, refused.code()), (409, "23503"));
    assert_eq!(refused.body["details"], "Key (project_id)=(350) is not present in table \"projects\".");
    assert_eq!(cloud.get("tasks?id=gte.100").body, json!([]));
}

/// Vectors 16 and 17.
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

/// Vector 19.
#[test]
fn a_table_without_key_ignores_the_resolution() {
    let mut cloud = cloud();
    let reply =
        cloud.send(Method::POST, "loose", "resolution=merge-duplicates, return=representation", r#"{"a":"1","b":"2"}"#);
    assert_eq!((reply.status, reply.header("preference-applied")), (201, Some("return=representation")));
    assert_eq!(reply.body, json!([{"a": "1", "b": "2"}]));
}

/// Vectors 18 and 21.
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
    let merged = cloud.send(
        Method::POST,
        "languages?columns=name,rank&select=name,rank",
        "resolution=merge-duplicates, missing=default, return=representation",
        r#"[{"name":"Java","rank":5,"extra":1},{"name":"Zig"}]"#,
    );
    let applied = "resolution=merge-duplicates, missing=default, return=representation";
    assert_eq!((merged.status, merged.header("preference-applied")), (201, Some(applied)));
    assert_eq!(merged.body, json!([{"name": "Java", "rank": 5}, {"name": "Zig", "rank": null}]));
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

/// Vector 20.
#[test]
fn a_put_names_exactly_its_key() {
    let mut cloud = cloud();
    let body = r#"{"name":"Go","rank":19}"#;
    for query in ["rank=eq.19", "name=not.eq.Java", "name=in.(Go)", "and=(name.eq.Go)", "", "name=eq.Go&rank=eq.1"] {
        let reply = cloud.send(Method::PUT, &format!("languages?{query}"), "", body);
        assert_eq!((reply.status, reply.code()), (405, "PGRST105"), "{query}");
    }
    let half = cloud.send(Method::PUT, "pairs?a=eq.1", "", r#"{"a":1,"b":2}"#);
    assert_eq!((half.status, half.code()), (405, "PGRST105"));
    let message = "Filters must include all and only primary key columns with 'eq' operators";
    assert_eq!(half.body["message"], message);
    assert_eq!(cloud.send(Method::PUT, "pairs?a=eq.1&b=eq.2", "", r#"{"a":1,"b":2}"#).status, 201);
    let limited = cloud.send(Method::PUT, "languages?name=eq.Go&limit=1", "", body);
    assert_eq!((limited.status, limited.code()), (400, "PGRST114"));
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.C", "", body).code(), "PGRST115");
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "", body).status, 201);
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "", body).status, 204);
    assert_eq!(cloud.send(Method::PUT, "languages?name=eq.Go", "return=representation", body).status, 200);
}

/// Vector 22.
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

/// Vector 23.
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

/// Vector 24.
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

/// Vector 25.
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
