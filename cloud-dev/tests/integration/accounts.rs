//! Signing up, in and out, the user object, and the two shapes of an error.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cloud_dev::CloudDev;
use reqwest::Method;
use serde_json::{Value, json};

use crate::caller::{Caller, send};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn sign_up(caller: &Caller, email: &str, password: &str) -> crate::caller::Answer {
    let body = json!({ "email": email, "password": password, "data": { "display_name": "Edsger" } });
    caller.post("/auth/v1/signup", None, body).await
}

#[tokio::test]
async fn a_new_person_is_signed_in_at_once() {
    let caller = Caller::start().await;
    let answer = sign_up(&caller, "Edsger@Example.com", "long enough").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let session = answer.json();
    assert_eq!(session["token_type"], "bearer");
    assert_eq!(session["expires_in"], 3600);
    assert_eq!(session["user"]["email"], "edsger@example.com");
    assert_eq!(session["user"]["user_metadata"]["display_name"], "Edsger");
    assert_eq!(session["user"]["identities"][0]["provider"], "email");
    let token = answer.text_at("/access_token");
    let claims = claims(&token);
    assert_eq!(claims["exp"], session["expires_at"]);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(claims["sub"], session["user"]["id"]);
    assert_eq!(claims["iss"], format!("{}/auth/v1", caller.cloud.url()));
    for (name, value) in [("aud", "authenticated"), ("role", "authenticated"), ("aal", "aal1"), ("phone", "")] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims["amr"][0]["method"], "password");
    assert_eq!(claims["is_anonymous"], false);
    assert!(claims["session_id"].is_string() && claims["app_metadata"].is_object());
    let user = caller.get("/auth/v1/user", Some(&token)).await;
    assert_eq!(user.json()["id"], session["user"]["id"]);
    let profiles = caller.get("/rest/v1/profiles?select=id,display_name", Some(&token)).await.json();
    assert_eq!(profiles, json!([{ "id": claims["sub"], "display_name": "Edsger" }]));
    let path = "/rest/v1/org_memberships?select=user_id,role,organizations(name,subscription_tier)";
    let memberships = caller.get(path, Some(&token)).await.json();
    let own = json!({ "name": "Edsger's organization", "subscription_tier": "free" });
    assert_eq!(memberships, json!([{ "user_id": claims["sub"], "role": "owner", "organizations": own }]));
}

#[tokio::test]
async fn the_demo_people_share_one_organisation_and_nobody_else_sees_it() {
    let caller = Caller::start().await;
    let demo = caller.cloud.demo().clone();
    for person in 0..2 {
        let token = caller.sign_in(person).await.text_at("/access_token");
        let workspaces = caller.get("/rest/v1/workspaces?select=id,slug,org_id", Some(&token)).await.json();
        assert_eq!(workspaces, json!([{ "id": demo.workspace_id, "slug": "demo", "org_id": demo.org_id }]));
        let members = caller.get("/rest/v1/workspace_members?select=user_id", Some(&token)).await.json();
        assert_eq!(members.as_array().map(Vec::len), Some(2));
        let agents = caller.get("/rest/v1/cloud_agents?select=slug,name", Some(&token)).await.json();
        assert_eq!(agents, json!([{ "slug": demo.agent_slug, "name": "Helper" }]));
    }
    let stranger = sign_up(&caller, "stranger@example.com", "long enough").await.text_at("/access_token");
    for bearer in [Some(stranger.as_str()), None, Some(caller.cloud.anon_key())] {
        let workspaces = caller.get("/rest/v1/workspaces", bearer).await;
        assert_eq!((workspaces.status, workspaces.json()), (200, json!([])));
    }
}

#[tokio::test]
async fn refusals_carry_their_code_in_body_and_header() {
    let caller = Caller::start().await;
    let ada = caller.cloud.demo().people[0].email.clone();
    let signup = "/auth/v1/signup";
    let password = "/auth/v1/token?grant_type=password";
    for (path, body, status, code) in [
        (signup, json!({ "email": ada, "password": "long enough" }), 422, "user_already_exists"),
        (signup, json!({ "email": "new@example.com", "password": "short" }), 422, "weak_password"),
        (signup, json!({ "email": "new@example.com", "password": "x".repeat(73) }), 400, "validation_failed"),
        (signup, json!({ "email": "no address", "password": "long enough" }), 400, "validation_failed"),
        (signup, json!({ "email": "new@example.com" }), 400, "validation_failed"),
        (password, json!({ "email": ada, "password": "wrong" }), 400, "invalid_credentials"),
        (password, json!({ "email": "nobody@example.com", "password": "x" }), 400, "invalid_credentials"),
        (password, json!({ "password": "x" }), 400, "validation_failed"),
        ("/auth/v1/token?grant_type=magic", json!({}), 400, "invalid_credentials"),
        ("/auth/v1/token?grant_type=refresh_token", json!({ "refresh_token": "short" }), 400, "validation_failed"),
    ] {
        let answer = caller.post(path, None, body.clone()).await;
        let error = answer.json();
        assert_eq!((answer.status, &error["error_code"]), (status, &json!(code)), "{path} {body}: {error}");
        assert_eq!(error["code"], status, "{path} {body}");
        assert_eq!(answer.header("x-sb-error-code"), Some(code), "{path} {body}");
    }
    let weak = sign_up(&caller, "new@example.com", "short").await;
    assert_eq!(weak.json()["weak_password"]["reasons"], json!(["length"]));
    let empty = caller.refresh("").await;
    assert_eq!((empty.status, empty.text_at("/error").as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn the_version_header_chooses_the_error_body() {
    let caller = Caller::start().await;
    let old = json!({ "code": 400, "error_code": "bad_json", "msg": "Unable to parse JSON" });
    let new = json!({ "code": "bad_json", "message": "Unable to parse JSON" });
    for (version, body, echoed) in [
        (None, &old, None),
        (Some("2023-12-31"), &old, None),
        (Some("notadate"), &old, None),
        (Some("2024-01-01"), &new, Some("2024-01-01")),
    ] {
        let mut request = caller.request(Method::POST, "/auth/v1/signup").body("{");
        if let Some(version) = version {
            request = request.header("x-supabase-api-version", version);
        }
        let answer = send(request).await;
        assert_eq!((answer.status, &answer.json()), (400, body), "{version:?}");
        assert_eq!(answer.header("x-supabase-api-version"), echoed, "{version:?}");
    }
    let fine = caller.request(Method::GET, "/auth/v1/health").header("x-supabase-api-version", "2024-01-01");
    assert_eq!(send(fine).await.header("x-supabase-api-version"), None, "only errors repeat the version");
}

#[tokio::test]
async fn a_bearer_is_checked_before_the_user_is_shown() {
    let caller = Caller::start().await;
    let missing = caller.get("/auth/v1/user", None).await;
    assert_eq!((missing.status, missing.text_at("/error_code").as_str()), (401, "no_authorization"));
    let garbage = caller.get("/auth/v1/user", Some("garbage")).await;
    assert_eq!((garbage.status, garbage.text_at("/error_code").as_str()), (403, "bad_jwt"));
    let key = caller.get("/auth/v1/user", Some(caller.cloud.anon_key())).await;
    assert_eq!((key.status, key.text_at("/error_code").as_str()), (403, "bad_jwt"));
    let token = caller.token().await;
    caller.cloud.expire_access_tokens();
    let expired = caller.get("/auth/v1/user", Some(&token)).await;
    assert_eq!((expired.status, expired.text_at("/error_code").as_str()), (403, "bad_jwt"));
    assert!(expired.text_at("/msg").contains("expired"));
    assert_eq!(caller.get("/auth/v1/user", Some(&caller.token().await)).await.status, 200);
}

#[tokio::test]
async fn a_token_of_no_lifetime_is_expired_at_once() {
    let caller = Caller::with(CloudDev::builder().access_token_lifetime(Duration::ZERO)).await;
    let token = caller.token().await;
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.text_at("/error_code"), "bad_jwt");
    let table = caller.get("/rest/v1/profiles", Some(&token)).await;
    assert_ne!(table.status, 401, "the tables forgive half a minute");
}

#[tokio::test]
async fn the_user_can_be_changed() {
    let caller = Caller::start().await;
    let (here, there) = (caller.sign_in(0).await, caller.sign_in(0).await);
    let token = here.text_at("/access_token");
    let put = |body: Value| caller.request(Method::PUT, "/auth/v1/user").bearer_auth(&token).json(&body);
    let changed = send(put(json!({ "data": { "theme": "dark" } }))).await;
    assert_eq!(changed.json()["user_metadata"], json!({ "display_name": "Ada", "theme": "dark" }));
    let grace = caller.cloud.demo().people[1].email.clone();
    for (body, code) in [
        (json!({ "password": "short" }), "weak_password"),
        (json!({ "password": caller.cloud.demo().people[0].password }), "same_password"),
        (json!({ "email": grace }), "email_exists"),
    ] {
        let answer = send(put(body.clone())).await;
        assert_eq!((answer.status, answer.text_at("/error_code").as_str()), (422, code), "{body}");
    }
    assert_eq!(send(put(json!({ "password": "another one" }))).await.status, 200);
    let other = caller.get("/auth/v1/user", Some(&there.text_at("/access_token"))).await;
    assert_eq!(other.text_at("/error_code"), "session_not_found", "a new password ends the other sessions");
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.status, 200);
}

#[tokio::test]
async fn signing_out_ends_what_the_scope_says() {
    let caller = Caller::start().await;
    for (query, here, there) in [
        ("", false, false),
        ("?scope=global", false, false),
        ("?scope=local", false, true),
        ("?scope=others", true, false),
    ] {
        let (one, two) = (caller.sign_in(0).await, caller.sign_in(0).await);
        let bearer = one.text_at("/access_token");
        let answer = caller.post(&format!("/auth/v1/logout{query}"), Some(&bearer), json!({})).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{query}");
        for (session, alive) in [(one, here), (two, there)] {
            let user = caller.get("/auth/v1/user", Some(&session.text_at("/access_token"))).await;
            assert_eq!(user.status, if alive { 200 } else { 403 }, "{query}");
            let refreshed = caller.refresh(&session.text_at("/refresh_token")).await;
            assert_eq!(refreshed.status, if alive { 200 } else { 400 }, "{query}");
            if !alive {
                assert_eq!(refreshed.text_at("/error_code"), "refresh_token_not_found", "{query}");
            }
        }
    }
    let bearer = caller.token().await;
    let unknown = caller.post("/auth/v1/logout?scope=some", Some(&bearer), json!({})).await;
    assert_eq!((unknown.status, unknown.text_at("/error_code").as_str()), (400, "validation_failed"));
}

#[tokio::test]
async fn an_address_that_must_be_confirmed_tells_nobody_who_is_known() {
    let caller = Caller::with(CloudDev::builder().require_email_confirmation()).await;
    let first = sign_up(&caller, "new@example.com", "long enough").await.json();
    assert!(first.get("access_token").is_none());
    assert_eq!(first["identities"].as_array().map(Vec::len), Some(1));
    let body = json!({ "email": "new@example.com", "password": "long enough" });
    let early = caller.post("/auth/v1/token?grant_type=password", None, body.clone()).await;
    assert_eq!((early.status, early.text_at("/error_code").as_str()), (400, "email_not_confirmed"));
    assert!(caller.cloud.confirm_email("New@example.com").await);
    assert_eq!(caller.post("/auth/v1/token?grant_type=password", None, body).await.status, 200);
    let again = sign_up(&caller, "new@example.com", "long enough").await;
    assert_eq!((again.status, &again.json()["identities"]), (200, &json!([])));
    assert_ne!(again.json()["id"], first["id"]);
    assert!(!caller.cloud.confirm_email("nobody@example.com").await);
}

#[tokio::test]
async fn a_banned_person_is_told_so() {
    let caller = Caller::start().await;
    let session = caller.sign_in(1).await;
    let person = caller.cloud.demo().people[1].clone();
    assert!(caller.cloud.set_banned(&person.email, true).await);
    let refreshed = caller.refresh(&session.text_at("/refresh_token")).await;
    assert_eq!((refreshed.status, refreshed.text_at("/error_code").as_str()), (400, "user_banned"));
    let body = json!({ "email": person.email, "password": person.password });
    let signed_in = caller.post("/auth/v1/token?grant_type=password", None, body).await;
    assert_eq!(signed_in.text_at("/error_code"), "user_banned");
    assert!(caller.cloud.set_banned(&person.email, false).await);
    assert_eq!(caller.refresh(&session.text_at("/refresh_token")).await.status, 200, "the refusal spent nothing");
}
