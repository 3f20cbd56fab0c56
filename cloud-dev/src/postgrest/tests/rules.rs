//! Who sees and changes what in the tables of the cloud.

use http::Method;
use serde_json::json;

use super::*;

const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
const EVE: &str = "00000000-0000-4000-8000-00000000000e";
const ORG: &str = "10000000-0000-4000-8000-000000000001";
const OTHER_ORG: &str = "10000000-0000-4000-8000-000000000002";
const WORKSPACE: &str = "20000000-0000-4000-8000-000000000001";
const OTHER_WORKSPACE: &str = "20000000-0000-4000-8000-000000000002";
const CONVERSATION: &str = "30000000-0000-4000-8000-000000000001";
const OTHER_CONVERSATION: &str = "30000000-0000-4000-8000-000000000002";

/// Ann owns an organisation that Bob belongs to; Eve has one of her own.
fn cloud() -> Cloud {
    let cloud = Cloud::new(schema::TABLES);
    cloud
        .conn
        .execute_batch(&format!(
            "INSERT INTO profiles (id, display_name) VALUES ('{ANN}', 'Ann'), ('{BOB}', 'Bob'), ('{EVE}', 'Eve');
             INSERT INTO organizations (id, name, slug) VALUES ('{ORG}', 'Org', 'org'), ('{OTHER_ORG}', 'Other', 'other');
             INSERT INTO org_memberships (org_id, user_id, role) VALUES
                 ('{ORG}', '{ANN}', 'owner'), ('{ORG}', '{BOB}', 'member'), ('{OTHER_ORG}', '{EVE}', 'owner');
             INSERT INTO workspaces (id, org_id, name, slug) VALUES
                 ('{WORKSPACE}', '{ORG}', 'W', 'w'), ('{OTHER_WORKSPACE}', '{OTHER_ORG}', 'X', 'x');
             INSERT INTO workspace_members (workspace_id, user_id) VALUES ('{WORKSPACE}', '{ANN}'), ('{WORKSPACE}', '{BOB}');
             INSERT INTO conversations (id, workspace_id, name) VALUES
                 ('{CONVERSATION}', '{WORKSPACE}', 'C'), ('{OTHER_CONVERSATION}', '{OTHER_WORKSPACE}', 'D');
             INSERT INTO messages (conversation_id, role, content) VALUES ('{OTHER_CONVERSATION}', 'user', 'secret');
             INSERT INTO cloud_agents (org_id, name, slug) VALUES ('{ORG}', 'A', 'a'), ('{OTHER_ORG}', 'B', 'b');
             INSERT INTO activity_feed (org_id, action) VALUES ('{ORG}', 'x'), ('{OTHER_ORG}', 'y');
             INSERT INTO workspace_files (workspace_id, file_path, storage_path) VALUES
                 ('{WORKSPACE}', 'a', 'a'), ('{OTHER_WORKSPACE}', 'b', 'b');"
        ))
        .unwrap();
    cloud
}

fn message(fields: &serde_json::Value) -> String {
    let mut row = json!({"conversation_id": CONVERSATION, "role": "user", "content": "hi", "sender_user_id": BOB});
    for (key, value) in fields.as_object().unwrap() {
        row[key] = value.clone();
    }
    row.to_string()
}

#[test]
fn a_person_sees_only_what_belongs_to_the_own_organisations() {
    let mut cloud = cloud();
    for table in schema::TABLES {
        let all = cloud.get(table.name).body.as_array().unwrap().len();
        for (who, expected) in [
            (
                person(BOB),
                match table.name {
                    "profiles" | "org_memberships" | "workspace_members" => 2,
                    "messages" => 0,
                    _ => 1,
                },
            ),
            (
                person(EVE),
                match table.name {
                    "workspace_members" => 0,
                    _ => 1,
                },
            ),
            (person("00000000-0000-4000-8000-0000000000ff"), 0),
            (Identity::anon(), 0),
        ] {
            let reply = cloud.ask(&who, Method::GET, table.name, &[("prefer", "count=exact")], "");
            assert_eq!(reply.status, 200, "{} {who:?}: {}", table.name, reply.text);
            assert_eq!(reply.body.as_array().unwrap().len(), expected, "{} as {who:?}", table.name);
            assert!(expected <= all);
            assert!(reply.range().ends_with(&format!("/{expected}")), "{}", reply.range());
        }
    }
}

#[test]
fn embeds_hide_what_the_person_may_not_see() {
    let mut cloud = cloud();
    cloud
        .conn
        .execute(&format!("INSERT INTO org_memberships (org_id, user_id) VALUES ('{OTHER_ORG}', '{BOB}')"), [])
        .unwrap();
    let target = "profiles?select=display_name,org_memberships(org_id)&order=display_name";
    let seen = |reply: &Reply| -> Vec<(String, usize)> {
        let rows = reply.body.as_array().unwrap();
        rows.iter()
            .map(|row| {
                (row["display_name"].as_str().unwrap().to_owned(), row["org_memberships"].as_array().unwrap().len())
            })
            .collect()
    };
    let owned = |rows: &[(&str, usize)]| rows.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
    // Ann shares one organisation with Bob and must not learn of his other one.
    assert_eq!(seen(&cloud.ask(&person(ANN), Method::GET, target, &[], "")), owned(&[("Ann", 1), ("Bob", 1)]));
    assert_eq!(
        seen(&cloud.ask(&person(BOB), Method::GET, target, &[], "")),
        owned(&[("Ann", 1), ("Bob", 2), ("Eve", 1)])
    );
}

#[test]
fn the_documented_reads_work() {
    let mut cloud = cloud();
    let ann = person(ANN);
    for target in [
        format!("profiles?id=eq.{ANN}&select=*"),
        format!("org_memberships?user_id=eq.{ANN}&select=org_id,role,organizations(*)&order=joined_at.asc&limit=1"),
        format!(
            "workspaces?org_id=eq.{ORG}&select=id,name,slug,description,status,task_goal,current_step,last_active_at"
        ),
        format!(
            "conversations?workspace_id=eq.{WORKSPACE}&select=id,name,conversation_type,is_archived,created_at&order=created_at.asc"
        ),
        format!("cloud_agents?org_id=eq.{ORG}&select=id,name,slug,agent_type,description,status,avatar_url"),
        format!(
            "workspace_members?workspace_id=eq.{WORKSPACE}&user_id=eq.{ANN}&select=user_id,role,last_seen_at,profiles(display_name,avatar_url)"
        ),
        format!("activity_feed?org_id=eq.{ORG}&order=created_at.desc&limit=50"),
    ] {
        let reply = cloud.ask(&ann, Method::GET, &target, &[], "");
        assert_eq!((reply.status, reply.body.as_array().map(Vec::len)), (200, Some(1)), "{target}: {}", reply.text);
    }
    let membership =
        cloud.ask(&ann, Method::GET, "org_memberships?select=role,organizations(name,max_members)", &[], "");
    assert_eq!(membership.body[0], json!({"role": "owner", "organizations": {"name": "Org", "max_members": 3}}));
}

#[test]
fn nobody_signed_in_writes_nothing() {
    let mut cloud = cloud();
    for (method, target) in [
        (Method::POST, "workspaces"),
        (Method::PATCH, "workspaces?id=not.is.null"),
        (Method::DELETE, "workspaces?id=not.is.null"),
    ] {
        let reply = cloud.ask(&Identity::anon(), method.clone(), target, &[], r#"{"name":"x"}"#);
        assert_eq!((reply.status, reply.code()), (401, "42501"), "{method}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn a_message_is_written_by_its_sender_in_a_conversation_of_the_own_organisation() {
    let mut cloud = cloud();
    let bob = person(BOB);
    for (fields, status) in [
        (json!({}), 201),
        (json!({"role": "assistant"}), 201),
        (json!({"role": "system"}), 403),
        (json!({"role": "tool"}), 403),
        (json!({"sender_user_id": ANN}), 403),
        (json!({"sender_user_id": null}), 403),
        (json!({"sender_agent_id": ANN}), 403),
        (json!({"conversation_id": OTHER_CONVERSATION}), 403),
        (json!({"conversation_id": "30000000-0000-4000-8000-0000000000ff"}), 403),
        (json!({"content": null}), 400),
    ] {
        let reply = cloud.ask(&bob, Method::POST, "messages", &[], &message(&fields));
        assert_eq!(reply.status, status, "{fields}: {}", reply.text);
        if status == 403 {
            assert_eq!(reply.body["message"], "new row violates row-level security policy for table \"messages\"");
        }
    }
}

#[test]
fn messages_are_append_only_and_numbered_in_the_order_they_came() {
    let mut cloud = cloud();
    let bob = person(BOB);
    let row = |content: &str| json!({"conversation_id": CONVERSATION, "role": "user", "content": content, "sender_user_id": BOB, "seq": 99, "created_at": "2000-01-01T00:00:00Z"});
    let body = json!([row("one"), row("two"), row("three")]).to_string();
    let reply = cloud.ask(
        &bob,
        Method::POST,
        "messages?select=content,seq,created_at",
        &[("prefer", "return=representation")],
        &body,
    );
    assert_eq!(reply.column("content"), ["one", "two", "three"]);
    assert_eq!(reply.column("seq"), [1, 2, 3]);
    let times: Vec<String> = reply.column("created_at").iter().map(|time| time.as_str().unwrap().to_owned()).collect();
    assert!(times.iter().all(|time| !time.starts_with("2000")), "{times:?}");
    for (method, body) in [(Method::PATCH, r#"{"content":"changed"}"#), (Method::DELETE, "")] {
        let reply = cloud.ask(&bob, method, "messages?content=eq.one", &[("prefer", "return=representation")], body);
        assert_eq!((reply.status, reply.text.as_str()), (200, "[]"));
    }
    let next = cloud.ask(
        &bob,
        Method::POST,
        "messages?select=seq",
        &[("prefer", "return=representation")],
        &json!([row("four")]).to_string(),
    );
    assert_eq!(next.column("seq"), [4]);
    assert_eq!(cloud.get(&format!("conversations?id=eq.{CONVERSATION}")).body[0]["last_seq"], 4);
}

#[test]
fn a_repeated_append_is_harmless() {
    let mut cloud = cloud();
    let bob = person(BOB);
    let body = message(&json!({"id": "40000000-0000-4000-8000-000000000001"}));
    for _ in 0..3 {
        let prefer = [("prefer", "resolution=ignore-duplicates, return=minimal")];
        assert_eq!(cloud.ask(&bob, Method::POST, "messages", &prefer, &body).status, 201);
    }
    assert_eq!(cloud.get(&format!("messages?conversation_id=eq.{CONVERSATION}")).column("seq"), [1]);
    let merge = cloud.ask(&bob, Method::POST, "messages", &[("prefer", "resolution=merge-duplicates")], &body);
    assert_eq!((merge.status, merge.code()), (403, "42501"));
}

#[test]
fn every_workspace_update_gives_a_new_version_that_a_conditional_write_can_use() {
    let mut cloud = cloud();
    let bob = person(BOB);
    let representation = [("prefer", "return=representation")];
    let version = |reply: &Reply| reply.body[0]["updated_at"].as_str().unwrap().to_owned();
    let target = format!("workspaces?id=eq.{WORKSPACE}&select=*");
    let mut versions = vec![version(&cloud.ask(&bob, Method::GET, &target, &[], ""))];
    for step in 0..30 {
        let base: String = url::form_urlencoded::byte_serialize(versions.last().unwrap().as_bytes()).collect();
        let conditional = format!("{target}&updated_at=eq.{base}");
        let body = json!({"current_step": format!("{step}"), "updated_at": "2000-01-01T00:00:00Z",
                          "next_steps": ["a", {"b": 1}], "shared_memory": {"k": [1, null]}})
        .to_string();
        let won = cloud.ask(&bob, Method::PATCH, &conditional, &representation, &body);
        assert_eq!((won.status, won.range()), (200, "0-0/*"), "{}", won.text);
        assert_eq!(won.body[0]["shared_memory"], json!({"k": [1, null]}));
        versions.push(version(&won));
        let lost = cloud.ask(&bob, Method::PATCH, &conditional, &representation, &body);
        assert_eq!((lost.status, lost.text.as_str()), (200, "[]"));
    }
    let only_server_set = cloud.ask(&bob, Method::PATCH, &target, &representation, r#"{"updated_at":"2000-01-01"}"#);
    versions.push(version(&only_server_set));
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 32);
}

#[test]
fn workspaces_are_made_by_members_in_their_own_name() {
    let mut cloud = cloud();
    let bob = person(BOB);
    let body = |org: &str, by: serde_json::Value, slug: &str| {
        json!({"name": "N", "slug": slug, "description": "d", "org_id": org, "status": "idle", "created_by": by})
            .to_string()
    };
    for (body, status, code) in [
        (body(ORG, json!(BOB), "n1"), 201, ""),
        (body(ORG, json!(null), "n2"), 201, ""),
        (body(ORG, json!(ANN), "n3"), 403, "42501"),
        (body(OTHER_ORG, json!(BOB), "n4"), 403, "42501"),
        (body(ORG, json!(BOB), "w"), 409, "23505"),
    ] {
        let reply = cloud.ask(&bob, Method::POST, "workspaces", &[("prefer", "return=representation")], &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{body}");
    }
    let stolen = format!("workspaces?id=eq.{WORKSPACE}");
    let moved = cloud.ask(&bob, Method::PATCH, &stolen, &[], &json!({"org_id": OTHER_ORG}).to_string());
    assert_eq!((moved.status, moved.code()), (403, "42501"));
    let refused = cloud.ask(&bob, Method::DELETE, &stolen, &[("prefer", "return=representation")], "");
    assert_eq!((refused.status, refused.text.as_str()), (200, "[]"));
    let removed = cloud.ask(&person(ANN), Method::DELETE, &stolen, &[("prefer", "count=exact")], "");
    assert_eq!((removed.status, removed.range()), (204, "*/1"));
    assert_eq!(cloud.get(&format!("conversations?id=eq.{CONVERSATION}")).text, "[]");
}

#[test]
fn a_merge_that_would_orphan_rows_is_refused() {
    let mut cloud = cloud();
    let body =
        json!({"id": "20000000-0000-4000-8000-0000000000aa", "org_id": ORG, "name": "W", "slug": "w"}).to_string();
    let prefer = [("prefer", "resolution=merge-duplicates")];
    let reply = cloud.ask(&person(BOB), Method::POST, "workspaces?on_conflict=org_id,slug", &prefer, &body);
    assert_eq!((reply.status, reply.code()), (409, "23503"), "{}", reply.text);
    assert_eq!(cloud.get(&format!("workspaces?id=eq.{WORKSPACE}")).column("slug"), ["w"]);
}

#[test]
fn people_change_their_own_profile_and_presence_only() {
    let mut cloud = cloud();
    let bob = person(BOB);
    for (target, body, rows) in [
        (format!("profiles?id=eq.{BOB}"), r#"{"bio":"me"}"#, 1),
        (format!("profiles?id=eq.{ANN}"), r#"{"bio":"me"}"#, 0),
        (
            format!("workspace_members?workspace_id=eq.{WORKSPACE}&user_id=eq.{BOB}"),
            r#"{"last_seen_at":"2026-02-19T23:00:00.100Z","cursor_position":{"file":"a","line":3}}"#,
            1,
        ),
        (
            format!("workspace_members?workspace_id=eq.{WORKSPACE}&user_id=eq.{ANN}"),
            r#"{"last_seen_at":"2026-02-19T23:00:00Z"}"#,
            0,
        ),
        (format!("organizations?id=eq.{ORG}"), r#"{"name":"mine"}"#, 0),
        (format!("org_memberships?user_id=eq.{BOB}"), r#"{"role":"owner"}"#, 0),
        ("cloud_agents".to_owned(), r#"{"status":"busy"}"#, 0),
    ] {
        let reply = cloud.ask(&bob, Method::PATCH, &target, &[("prefer", "return=representation")], body);
        assert_eq!((reply.status, reply.body.as_array().map(Vec::len)), (200, Some(rows)), "{target}: {}", reply.text);
    }
    let seen = cloud.get(&format!("workspace_members?user_id=eq.{BOB}&select=last_seen_at,cursor_position->line"));
    assert_eq!(seen.text, r#"[{"last_seen_at":"2026-02-19T23:00:00.1+00:00","line":3}]"#);
    let stolen = cloud.ask(&bob, Method::PATCH, &format!("profiles?id=eq.{BOB}"), &[], &json!({"id": EVE}).to_string());
    assert_eq!((stolen.status, stolen.code()), (403, "42501"));
    // Ann's rows may be seen, which does not make them a place to move one's own rows to.
    let seat = format!("workspace_members?user_id=eq.{BOB}");
    for target in [format!("profiles?id=eq.{BOB}"), seat] {
        let key = if target.starts_with("profiles") { "id" } else { "user_id" };
        let reply = cloud.ask(&bob, Method::PATCH, &target, &[], &json!({ key: ANN }).to_string());
        assert_eq!((reply.status, reply.code()), (403, "42501"), "{target}: {}", reply.text);
    }
    let made = json!({"org_id": OTHER_ORG, "user_id": BOB, "role": "owner"}).to_string();
    assert_eq!(cloud.ask(&bob, Method::POST, "org_memberships", &[], &made).status, 403);
}

#[test]
fn a_request_s_text_never_becomes_sql() {
    let mut cloud = cloud();
    let before = cloud.get("workspaces?order=id").text;
    for hostile in ["' OR 1=1 --", "\"; DROP TABLE workspaces; --", "?1", "t0.id", "'||(SELECT 1)||'"] {
        let text: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        for target in [
            format!("workspaces?name=eq.{text}"),
            format!("workspaces?{text}=eq.1"),
            format!("workspaces?select=%22{text}%22:name"),
            format!("workspaces?select=progress_data->{text}"),
            format!("workspaces?order={text}"),
            format!("workspaces?or=(name.eq.{text})"),
            text.clone(),
        ] {
            let reply = cloud.ask(&person(BOB), Method::GET, &target, &[], "");
            assert!(reply.status < 500, "{target}: {}", reply.text);
        }
    }
    assert_eq!(cloud.get("workspaces?order=id").text, before);
}
