//! The published cases of the protocol that read. Numbers are those of the protocol's own list of cases; 26, 27 and 33
//! ask for what this server does not offer, 28 to 32 ask a client. The same cases over HTTP: `tests/integration/tables`.

use http::Method;
use serde_json::json;

use super::{
    tables::{cloud, encoded, ids},
    *,
};

/// Vectors 1 to 7 and 12.
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

/// Vectors 8 to 10.
#[test]
fn lists_choose_rows_whether_their_elements_are_quoted_or_bare() {
    let mut cloud = cloud();
    let names =
        ["Hebdon, John", "Williams, Mary", "David White", "Double O Seven(007)", "Double\"Quote\"McGraw\"", "\\", "\""];
    let rows: Vec<_> = names.iter().zip(11..).map(|(name, id)| json!({"id": id, "name": name})).collect();
    assert_eq!(cloud.send(Method::POST, "entities", "", &json!(rows).to_string()).status, 201);
    for (list, expected) in [
        (r#"("Hebdon, John","Williams, Mary")"#, &[11, 12][..]),
        (r#"(David White,"Hebdon, John")"#, &[11, 13]),
        (r#"("Double O Seven(007)")"#, &[14]),
        (r#"("Double\"Quote\"McGraw\"")"#, &[15]),
        (r#"("\\")"#, &[16]),
        (r#"("D\a\vid W\h\ite")"#, &[13]),
        (r#"(")"#, &[17]),
        (r"(\)", &[16]),
        (r#"(Double"Quote"McGraw")"#, &[15]),
    ] {
        let reply = cloud.get(&format!("entities?select=id&order=id&name=in.{}", encoded(list)));
        assert_eq!((reply.status, ids(&reply)), (200, expected.to_vec()), "{list}");
    }
}

/// Vector 11.
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

/// Vector 11, its refusal.
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
        ("name=fts.a b", 400, "42601"),
        ("name=fts.a <-> b <20000> c", 400, "22023"),
        ("name=fts(klingon).x", 400, "42704"),
        ("name=fts(pg_catalog simple).x", 400, "42602"),
        ("name=fts().x", 400, "PGRST100"),
        ("name=fts(pg_catalog.simple).x", 400, "PGRST100"),
        ("id=fts.x", 404, "42883"),
        ("at=wfts(english).x", 404, "42883"),
        ("name=sl.[1,2)", 404, "42883"),
        ("name=adj.[1,2)", 404, "42883"),
        ("id=sr.1", 400, "42804"),
        ("id=nxl.1", 404, "42883"),
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

/// Vectors 13 to 15.
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
    assert_eq!(
        backwards.body["details"],
        "The lower boundary must be lower than or equal to the upper boundary in the Range header."
    );
}

/// Vector 35.
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
fn rows_come_and_go_as_comma_separated_values() {
    let mut cloud = cloud();
    let service = Identity::service();
    let csv = [("accept", "text/csv")];
    let read = cloud.ask(&service, Method::GET, "entities?id=in.(1,4)&select=id,name,done,at,data->a", &csv, "");
    assert_eq!(read.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines = "id,name,done,at,a\n1,\"entity 1\",t,\"2026-01-01 00:00:00+00\",\"{\"\"b\"\": \"\"x\"\"}\"\n\
                 4,\"(grandchild,entity,4)\",,,";
    assert_eq!((read.text.as_str(), read.range()), (lines, "0-1/*"));
    assert_eq!(cloud.ask(&service, Method::GET, "empty", &csv, "").text, "\n");

    let prefer = [("content-type", "text/csv"), ("prefer", "return=representation")];
    let written =
        cloud.ask(&service, Method::POST, "entities?select=id,name", &prefer, "id,name\n7,\"a, b\"\n8,NULL\n");
    assert_eq!((written.status, written.body), (201, json!([{"id": 7, "name": "a, b"}, {"id": 8, "name": null}])));
    let short = cloud.ask(&service, Method::POST, "entities?select=id,name", &prefer, "id,name\n9\n");
    assert_eq!((short.status, short.body), (201, json!([{"id": 9, "name": null}])));
    assert_eq!(cloud.ask(&service, Method::POST, "entities", &prefer, "").code(), "PGRST102");
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
    ] {
        let reply = cloud.ask(&service, method, target, headers, "{}");
        assert_eq!((reply.status, reply.code()), (status, code), "{target}: {}", reply.text);
    }
    assert_eq!(cloud.get("garlic").body["message"], "Could not find the table 'public.garlic' in the schema cache");
}

/// Vector 34.
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
