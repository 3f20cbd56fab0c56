//! Database functions: how they are found, called and refused.

use http::Method;
use serde_json::{Value, json};

use super::{Cloud, OBJECT, person};
use crate::core::{Identity, schema};

fn call(cloud: &mut Cloud, method: Method, target: &str, body: &str) -> (u16, Value) {
    let reply = cloud.ask(&Identity::service(), method, target, &[], body);
    (reply.status, reply.body)
}

#[test]
fn a_function_is_called_by_name_with_named_arguments() {
    let mut cloud = Cloud::new(schema::TABLES);
    for (method, target, body, expected) in [
        (Method::POST, "rpc/add", r#"{"a":2,"b":3}"#, json!(5)),
        (Method::POST, "rpc/add", r#"{"b":"3","a":-4}"#, json!(-1)),
        (Method::GET, "rpc/add?a=2&b=40", "", json!(42)),
        (Method::POST, "rpc/add", r#"{"a":null,"b":3}"#, Value::Null),
        (Method::POST, "rpc/echo", r#"{"value":{"x":[1,null]}}"#, json!({ "x": [1, null] })),
        (Method::GET, "rpc/echo?value=%5B1%5D", "", json!([1])),
        (Method::HEAD, "rpc/now", "", Value::Null),
    ] {
        assert_eq!(call(&mut cloud, method.clone(), target, body), (200, expected), "{method} {target} {body}");
    }
    for body in ["", "{}"] {
        let (status, now) = call(&mut cloud, Method::POST, "rpc/now", body);
        assert!(status == 200 && now.as_str().unwrap().ends_with("+00:00"), "{now}");
    }
}

#[test]
fn what_fits_no_function_is_not_in_the_schema_cache() {
    let mut cloud = Cloud::new(schema::TABLES);
    for (method, target, body, status, code) in [
        (Method::POST, "rpc/nothing", "{}", 404, "PGRST202"),
        (Method::POST, "rpc/add", r#"{"a":1}"#, 404, "PGRST202"),
        (Method::POST, "rpc/add", r#"{"a":1,"b":2,"c":3}"#, 404, "PGRST202"),
        (Method::GET, "rpc/now?x=1", "", 404, "PGRST202"),
        (Method::PUT, "rpc/now", "{}", 405, "PGRST101"),
        (Method::DELETE, "rpc/now", "", 405, "PGRST101"),
        (Method::POST, "rpc/add", "[1", 400, "PGRST102"),
        (Method::POST, "rpc/add", r#"{"a":"x","b":1}"#, 400, "22P02"),
        (Method::POST, "rpc/add", r#"{"a":9223372036854775807,"b":1}"#, 400, "22003"),
        (Method::GET, "rpc/touch_profile", "", 405, "25006"),
    ] {
        let (got, error) = call(&mut cloud, method, target, body);
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{target} {body}: {error}");
    }
    let (_, error) = call(&mut cloud, Method::POST, "rpc/ad", r#"{"b":1,"a":1}"#);
    assert_eq!(error["message"], "Could not find the function public.ad(a, b) in the schema cache");
    assert_eq!(error["hint"], "Perhaps you meant to call the function public.add(a, b)");
    let strict = [("prefer", "handling=strict, max-affected=1")];
    let reply = cloud.ask(&Identity::service(), Method::POST, "rpc/now", &strict, "");
    assert_eq!((reply.status, reply.code()), (400, "PGRST128"));
}

const C: &str = "c0000000-0000-4000-8000-000000000001";

fn with_messages() -> Cloud {
    let cloud = Cloud::new(schema::TABLES);
    cloud
        .conn
        .execute_batch(&format!(
            "INSERT INTO profiles (id) VALUES ('d0000000-0000-4000-8000-00000000000a');
             INSERT INTO organizations (id, name, slug) VALUES ('o', 'O', 'o');
             INSERT INTO org_memberships (org_id, user_id, role) VALUES ('o', 'd0000000-0000-4000-8000-00000000000a', 'owner');
             INSERT INTO workspaces (id, org_id, name, slug) VALUES ('w', 'o', 'W', 'w');
             INSERT INTO conversations (id, workspace_id) VALUES ('{C}', 'w'), ('other', 'w');
             INSERT INTO messages (id, conversation_id, role, content)
             VALUES ('1', '{C}', 'user', 'one'), ('2', 'other', 'user', 'two'), ('3', '{C}', 'assistant', 'three');"
        ))
        .unwrap();
    cloud
}

#[test]
fn rows_of_a_function_are_filtered_like_those_of_a_table() {
    let mut cloud = with_messages();
    let member = person("d0000000-0000-4000-8000-00000000000a");
    let body = json!({ "conversation": C }).to_string();
    for (method, target, expected) in [
        (Method::POST, "rpc/messages_in?select=content".to_owned(), vec!["one", "three"]),
        (
            Method::GET,
            format!("rpc/messages_in?conversation={C}&order=content.desc&select=content"),
            vec!["three", "one"],
        ),
        (Method::GET, format!("rpc/messages_in?conversation={C}&role=eq.user"), vec!["one"]),
        (Method::GET, format!("rpc/messages_in?conversation={C}&limit=1&offset=1"), vec!["three"]),
    ] {
        let reply = cloud.ask(&member, method, &target, &[], &body);
        assert_eq!(
            (reply.status, reply.column("content")),
            (200, expected.iter().map(|text| json!(text)).collect()),
            "{target}"
        );
    }
    let counted = [("prefer", "count=exact")];
    let page = cloud.ask(&member, Method::POST, "rpc/messages_in?limit=1", &counted, &body);
    assert_eq!((page.status, page.range()), (206, "0-0/2"));
    let one = cloud.ask(&member, Method::POST, "rpc/messages_in", &[OBJECT], &body);
    assert_eq!((one.status, one.code()), (406, "PGRST116"));
    let stranger = cloud.ask(&person("somebody"), Method::POST, "rpc/messages_in", &[], &body);
    assert_eq!((stranger.status, stranger.text.as_str()), (200, "[]"));
}

#[test]
fn a_function_without_a_result_answers_with_no_content() {
    let mut cloud = with_messages();
    let id = "d0000000-0000-4000-8000-00000000000a";
    let active = |cloud: &Cloud| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Option<String>>(0);
        cloud.conn.query_row("SELECT last_active_at FROM profiles WHERE id = ?1", [id], read).unwrap()
    };
    assert_eq!(cloud.ask(&person("somebody"), Method::POST, "rpc/touch_profile", &[], "{}").status, 204);
    assert_eq!(active(&cloud), None, "only the own profile");
    let reply = cloud.ask(&person(id), Method::POST, "rpc/touch_profile", &[], "");
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert!(active(&cloud).is_some());
}
