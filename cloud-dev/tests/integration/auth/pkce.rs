//! Signing in through a browser: the built-in provider, codes for verifiers, and where browsers may end.

use std::time::Duration;

use cloud_dev::CloudDev;
use reqwest::Method;
use serde_json::json;

use super::{Browser, CHALLENGE, LOOPBACK, VERIFIER, claims, fragment, ok, query, refusal, refused};
use crate::caller::{Caller, send};

const WITH_CODE: [(&str, &str); 4] = [
    ("provider", "github"),
    ("redirect_to", LOOPBACK),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "s256"),
];

/// The code that the application gets for this person.
async fn code(caller: &Caller, email: &str) -> String {
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&WITH_CODE)).await;
    let end = browser.choose(&page, &[("email", email)]).await;
    assert!(end.as_str().starts_with("http://127.0.0.1:9/callback?code="), "{end}");
    query(&end)["code"].clone()
}

#[tokio::test]
async fn a_person_signs_in_through_the_page_and_the_code_is_good_once() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&WITH_CODE)).await;
    assert!(page.as_str().starts_with(&format!("{}/dev/v1/provider?", caller.cloud.url())), "{page}");
    let shown = browser.open(page.as_str()).await;
    assert!(shown.text.contains("Sign in with github") && shown.text.contains("ada@example.com"), "{}", shown.text);

    let code = code(&caller, "lin@example.com").await;
    let session = ok(caller.exchange(&code, VERIFIER).await);
    let user = &session.json()["user"];
    assert_eq!(user["email"], "lin@example.com");
    assert_eq!(user["app_metadata"], json!({ "provider": "github", "providers": ["github"] }));
    assert_eq!(user["identities"][0]["provider"], "github");
    assert!(session.text_at("/provider_token").starts_with("dev-provider-"));
    assert_eq!(claims(&session)["amr"][0]["method"], "oauth");
    assert_eq!(refusal(&caller.exchange(&code, VERIFIER).await), refused(404, "flow_state_not_found"));
}

#[tokio::test]
async fn a_known_address_is_the_same_person() {
    let caller = Caller::start().await;
    let ada = caller.cloud.demo().people[0].clone();
    for _ in 0..2 {
        let code = code(&caller, &ada.email).await;
        let session = ok(caller.exchange(&code, VERIFIER).await);
        assert_eq!(session.text_at("/user/id"), ada.user_id);
        let providers = &session.json()["user"]["app_metadata"]["providers"];
        assert_eq!(providers, &json!(["email", "github"]));
    }
}

#[tokio::test]
async fn the_wrong_verifier_leaves_the_code_good_for_the_right_one() {
    let caller = Caller::start().await;
    let code = code(&caller, "ada@example.com").await;
    let wrong = caller.exchange(&code, &"x".repeat(43)).await;
    assert_eq!(refusal(&wrong), refused(400, "bad_code_verifier"));
    ok(caller.exchange(&code, VERIFIER).await);
}

#[tokio::test]
async fn what_is_missing_unknown_or_late_is_refused_each_in_its_way() {
    let caller = Caller::with(CloudDev::builder().flow_lifetime(Duration::from_secs(60))).await;
    for body in [json!({}), json!({ "auth_code": "x" }), json!({ "code_verifier": "x" })] {
        let answer = caller.auth("/token?grant_type=pkce", body).await;
        assert_eq!(refusal(&answer), refused(400, "validation_failed"));
    }
    let unknown = caller.exchange("b9a0a2a6-0000-4000-8000-000000000000", VERIFIER).await;
    assert_eq!(refusal(&unknown), refused(404, "flow_state_not_found"));
    let code = code(&caller, "ada@example.com").await;
    caller.cloud.skew_clock(61);
    assert_eq!(refusal(&caller.exchange(&code, VERIFIER).await), refused(422, "flow_state_expired"));
    caller.cloud.skew_clock(59);
    ok(caller.exchange(&code, VERIFIER).await);
}

#[tokio::test]
async fn without_a_challenge_the_tokens_are_in_the_fragment() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&[("provider", "google"), ("redirect_to", LOOPBACK)])).await;
    let end = browser.choose(&page, &[("email", "ada@example.com")]).await;
    let tokens = fragment(&end);
    assert_eq!(end.query(), None);
    for name in ["access_token", "expires_at", "expires_in", "provider_token", "refresh_token", "sb", "token_type"] {
        assert!(tokens.contains_key(name), "{name} in {end}");
    }
    assert_eq!((tokens["sb"].as_str(), tokens["token_type"].as_str()), ("", "bearer"));
    ok(caller.refresh(&tokens["refresh_token"]).await);
}

#[tokio::test]
async fn a_refusal_comes_back_in_query_and_fragment() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&WITH_CODE)).await;
    let end = browser.choose(&page, &[("decision", "deny")]).await;
    assert!(end.as_str().starts_with(LOOPBACK), "{end}");
    for fields in [query(&end), fragment(&end)] {
        assert_eq!(fields["error"], "access_denied");
        assert_eq!(fields["error_description"], "The user denied the request");
    }
    // The flow is not spent by it: the person may think again.
    let end = browser.choose(&page, &[("email", "ada@example.com")]).await;
    ok(caller.exchange(&query(&end)["code"], VERIFIER).await);
    let again = browser.choose(&page, &[("email", "ada@example.com")]).await;
    assert_eq!(query(&again)["error_code"], "bad_oauth_state", "the exchange removed the flow: {again}");
}

#[tokio::test]
async fn a_callback_without_a_flow_ends_at_the_site() {
    let caller = Caller::with(CloudDev::builder().site_url("https://example.com/app")).await;
    let browser = Browser::new();
    let unknown = "6f0b5ee7-0000-4000-8000-000000000000";
    for (state, code) in [("", "bad_oauth_callback"), ("?state=x", "bad_oauth_state")]
        .into_iter()
        .chain([(format!("?state={unknown}").leak() as &str, "bad_oauth_state")])
    {
        let end = browser.follow(&format!("{}/auth/v1/callback{state}", caller.cloud.url())).await;
        assert!(end.as_str().starts_with("https://example.com/app?"), "{end}");
        assert_eq!((&query(&end)["error"], &query(&end)["error_code"]), (&"invalid_request".into(), &code.into()));
        assert_eq!(fragment(&end)["error_code"], code);
    }
}

#[tokio::test]
async fn a_used_flow_is_used() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&WITH_CODE)).await;
    browser.choose(&page, &[("email", "ada@example.com")]).await;
    let again = browser.choose(&page, &[("email", "grace@example.com")]).await;
    assert_eq!(query(&again)["error_code"], "flow_state_already_used");
}

#[tokio::test]
async fn a_forged_code_of_the_provider_is_refused() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&WITH_CODE)).await;
    let other = browser.follow(&caller.authorize(&WITH_CODE)).await;
    let state = query(&page)["state"].clone();
    let token = caller.token().await; // signed by the same key, and no note of the provider
    for code in ["rubbish", &token] {
        let callback = format!("{}/auth/v1/callback?state={state}&code={code}", caller.cloud.url());
        let end = browser.follow(&callback).await;
        assert_eq!(query(&end)["error"], "server_error", "{end}");
    }
    // A note for another flow is no good here either.
    let request = browser.0.post(other).header("content-type", "application/x-www-form-urlencoded");
    let note = super::location(&crate::caller::send(request.body("email=ada%40example.com")).await);
    let mut swapped = note.clone();
    swapped.query_pairs_mut().clear().append_pair("code", &query(&note)["code"]).append_pair("state", &state);
    let end = browser.follow(swapped.as_str()).await;
    assert_eq!(query(&end)["error"], "server_error", "{end}");
}

#[tokio::test]
async fn the_way_out_checks_provider_and_challenge() {
    let caller = Caller::start().await;
    let browser = Browser::new();
    for parameters in [
        vec![("redirect_to", LOOPBACK)],
        vec![("provider", "myspace")],
        vec![("provider", "github"), ("code_challenge", CHALLENGE)],
        vec![("provider", "github"), ("code_challenge_method", "s256")],
        vec![("provider", "github"), ("code_challenge", "short"), ("code_challenge_method", "s256")],
        vec![("provider", "github"), ("code_challenge", CHALLENGE), ("code_challenge_method", "md5")],
    ] {
        let answer = browser.open(&caller.authorize(&parameters)).await;
        assert_eq!(refusal(&answer), refused(400, "validation_failed"), "{parameters:?}");
    }
}

#[tokio::test]
async fn extras_go_to_the_provider_and_reserved_names_do_not() {
    let caller = Caller::start().await;
    let parameters = [("provider", "github"), ("login_hint", "a@b.c"), ("state", "mine"), ("Client_ID", "mine")];
    let page = Browser::new().follow(&caller.authorize(&parameters)).await;
    let seen = query(&page);
    assert_eq!(seen["login_hint"], "a@b.c");
    assert!(seen["state"] != "mine" && !seen.contains_key("Client_ID"), "{page}");
}

#[tokio::test]
async fn browsers_end_where_the_list_lets_them_and_else_at_the_site() {
    let builder = CloudDev::builder().site_url("https://example.com").allow_redirect("app://cloud/auth/callback");
    let caller = Caller::with(builder).await;
    let browser = Browser::new();
    for (asked, end) in [
        (LOOPBACK, LOOPBACK),
        ("app://cloud/auth/callback", "app://cloud/auth/callback"),
        ("https://example.com/there", "https://example.com/there"),
        ("http://localhost:9/callback", "https://example.com"),
        ("https://evil.example/", "https://example.com"),
    ] {
        let page = browser.follow(&caller.authorize(&[("provider", "github"), ("redirect_to", asked)])).await;
        let target = browser.choose(&page, &[("email", "ada@example.com")]).await;
        assert!(
            target.as_str().starts_with(&format!("{end}/#")) || target.as_str().starts_with(&format!("{end}#")),
            "{target}"
        );
    }
}

#[tokio::test]
async fn a_plain_challenge_is_answered_by_itself_alone() {
    let caller = Caller::start().await;
    let asked = [("provider", "github"), ("redirect_to", LOOPBACK), ("code_challenge", VERIFIER)];
    let asked = [asked.as_slice(), &[("code_challenge_method", "plain")]].concat();
    let browser = Browser::new();
    let page = browser.follow(&caller.authorize(&asked)).await;
    let end = browser.choose(&page, &[("email", "ada@example.com")]).await;
    let code = &query(&end)["code"];
    for wrong in [CHALLENGE, "x"] {
        assert_eq!(refusal(&caller.exchange(code, wrong).await), refused(400, "bad_code_verifier"));
    }
    ok(caller.exchange(code, VERIFIER).await);
}

#[tokio::test]
async fn the_page_a_request_came_from_is_an_end_only_where_the_list_lets_it() {
    let builder = CloudDev::builder().site_url("https://example.com").allow_redirect("https://app.example/*");
    let caller = Caller::with(builder).await;
    for (referrer, end) in [
        (None, "https://example.com"),
        (Some("https://app.example/sign-in"), "https://app.example/sign-in"),
        (Some("https://evil.example/"), "https://example.com"),
    ] {
        let mut request = caller.request(Method::POST, "/auth/v1/otp").json(&json!({ "email": "ada@example.com" }));
        if let Some(referrer) = referrer {
            request = request.header("referer", referrer);
        }
        ok(send(request).await);
        let link = caller.mail_to("ada@example.com").link.unwrap();
        assert_eq!(query(&link.parse().unwrap())["redirect_to"], end, "{referrer:?}");
    }
}
