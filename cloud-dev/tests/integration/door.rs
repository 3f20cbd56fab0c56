//! Who is let in: host names, origins, keys, and what every answer carries.

use reqwest::Method;

use crate::caller::{Caller, send};

#[tokio::test]
async fn l1_foreign_hosts_and_origins_are_refused() {
    let caller = Caller::start().await;
    for (header, value, status) in [
        ("host", "localhost:1234", 200),
        ("host", "[::1]", 200),
        ("host", "evil.example", 403),
        ("host", "127.0.0.1.evil.example", 403),
        ("origin", "http://localhost:5173", 200),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
    ] {
        let request = caller.request(Method::GET, "/auth/v1/health").header(header, value);
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{header}: {value}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (header == "origin" && status == 200).then_some(value), "{header}: {value}");
    }
}

#[tokio::test]
async fn l1_a_page_may_ask_first_and_is_told_only_about_itself() {
    let caller = Caller::start().await;
    let ask = |origin: &'static str| {
        let url = format!("{}/rest/v1/messages", caller.cloud.url());
        let request = caller.http.request(Method::OPTIONS, url).header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "apikey,prefer")
    };
    let answer = send(ask("http://127.0.0.1:3000")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://127.0.0.1:3000"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("apikey,prefer"));
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
    let refused = send(ask("http://evil.example")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn a_request_needs_one_of_the_two_keys() {
    let caller = Caller::start().await;
    let url = |query: &str| format!("{}/auth/v1/health{query}", caller.cloud.url());
    let none = send(caller.http.get(url(""))).await;
    assert_eq!((none.status, none.text_at("/message").as_str()), (401, "No API key found in request"));
    let wrong = send(caller.http.get(url("")).header("apikey", "sb_publishable_wrong")).await;
    assert_eq!((wrong.status, wrong.text_at("/message").as_str()), (401, "Invalid API key"));
    assert!(!wrong.text_at("/hint").is_empty());
    for key in [caller.cloud.anon_key(), caller.cloud.publishable_key()] {
        assert_eq!(send(caller.http.get(url("")).header("apikey", key)).await.status, 200);
        assert_eq!(send(caller.http.get(url(&format!("?apikey={key}")))).await.status, 200);
    }
    let keys = send(caller.http.get(format!("{}/auth/v1/.well-known/jwks.json", caller.cloud.url()))).await;
    assert_eq!((keys.status, keys.text.as_str()), (200, r#"{"keys":[]}"#));
}

#[tokio::test]
async fn every_answer_carries_a_date_and_a_request_id() {
    let caller = Caller::start().await;
    for path in ["/auth/v1/health", "/nowhere", "/functions/v1/nothing", "/auth/v1/user"] {
        let given = send(caller.request(Method::GET, path).header("x-request-id", "mine-1")).await;
        assert_eq!(given.header("x-request-id"), Some("mine-1"), "{path}");
        let made = caller.get(path, None).await;
        assert!(made.header("x-request-id").is_some_and(|id| id.len() == 36), "{path}");
        assert_eq!(made.header("x-request-id"), made.header("sb-request-id"), "{path}");
        assert!(made.header("date").is_some(), "{path}");
    }
    assert_eq!(caller.get("/nowhere", None).await.status, 404);
}

#[tokio::test]
async fn a_head_request_gets_the_headers_of_a_get() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    for path in [
        "/",
        "/auth/v1/health",
        "/auth/v1/user",
        "/rest/v1/profiles",
        "/rest/v1/rpc/add?a=1&b=2",
        "/functions/v1/cloud-models",
        "/storage/v1/status",
        "/storage/v1/bucket",
    ] {
        let get = caller.get(path, Some(&token)).await;
        let head = send(caller.request(Method::HEAD, path).bearer_auth(&token)).await;
        assert_eq!((get.status, head.status, head.text.as_str()), (200, 200, ""), "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let caller = Caller::start().await;
    let request = caller.request(Method::POST, "/auth/v1/signup").body(vec![b' '; (1 << 20) + 1]);
    let answer = send(request).await;
    assert_eq!((answer.status, answer.text_at("/error_code").as_str()), (413, "request_entity_too_large"));
}

#[tokio::test]
async fn the_tables_see_whose_token_it_is() {
    let caller = Caller::start().await;
    let garbage = caller.get("/rest/v1/profiles", Some("garbage")).await;
    assert_eq!((garbage.status, garbage.text_at("/code").as_str()), (401, "PGRST301"));
    assert!(garbage.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    let token = caller.token().await;
    caller.cloud.expire_access_tokens();
    let expired = caller.get("/rest/v1/profiles", Some(&token)).await;
    assert_eq!((expired.status, expired.text_at("/code").as_str()), (401, "PGRST303"));
    assert_eq!(expired.text_at("/message"), "JWT expired");
    assert!(expired.header("www-authenticate").is_some());
    let fresh = caller.token().await;
    assert_ne!(caller.get("/rest/v1/profiles", Some(&fresh)).await.status, 401);
}
