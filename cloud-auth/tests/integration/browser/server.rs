//! Addresses that the server gives: for SSO, and to add an identity to an account.
use cloud_auth::{Scope, oauth::Sso, store::MemoryStore};
use cloud_client::testing::{Scripted, Step};
use serde_json::Value;

use super::kept;
use crate::world::{grant, grant_for, no_profile, open, refusal, signed_in};

#[tokio::test(start_paused = true)]
async fn sso_asks_the_cloud_where_to_go() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    for (sso, key, value) in [
        (Sso::Domain("example.com".into()), "domain", "example.com"),
        (Sso::Provider("7f2c".into()), "provider_id", "7f2c"),
    ] {
        cloud.then([Step::json(200, r#"{"url":"https://idp.example/saml?x=y"}"#)]);
        let mut attempt = auth.sign_in_with_sso(sso).begin().await.unwrap();
        assert_eq!(attempt.url(), "https://idp.example/saml?x=y");
        let sent = cloud.sent().pop().unwrap();
        assert_eq!((sent.target.as_str(), sent.header("authorization")), ("POST /auth/v1/sso", ""));
        let body: Value = serde_json::from_str(&sent.body).unwrap();
        assert_eq!((&body[key], body.as_object().unwrap().len()), (&value.into(), 5));
        assert_eq!((&body["skip_http_redirect"], &body["code_challenge_method"]), (&true.into(), &"s256".into()));
        assert!(body["redirect_to"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{body}");
        cloud.then([grant(1)]);
        cloud.then(no_profile());
        assert!(attempt.complete("c0de-1-by-hand").await.is_ok());
        crate::world::pass(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn g08_an_address_that_is_not_safe_is_not_handed_on() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    for address in ["javascript:alert(1)", "file:///etc/passwd", "http://idp.example/", "http://127.0.0.1:9/", "idp"] {
        cloud.then([Step::json(200, &serde_json::json!({ "url": address }).to_string())]);
        let error = auth.sign_in_with_sso(Sso::Domain("example.com".into())).begin().await.unwrap_err();
        assert_eq!(error.code().as_str(), "auth.address_untrusted", "{address}");
    }
    cloud.then([refusal(404, "sso_provider_not_found")]);
    let error = auth.sign_in_with_sso(Sso::Domain("example.com".into())).begin().await.unwrap_err();
    assert_eq!(error.server_code(), Some("sso_provider_not_found"));
    assert!(kept(&store).contains("secrets: 0"), "what was not begun does not wait: {store:?}");
}

#[tokio::test(start_paused = true)]
async fn an_identity_is_added_in_the_name_of_whoever_is_signed_in() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    cloud.then([Step::json(200, r#"{"url":"https://github.example/login?state=s"}"#)]);
    let mut attempt = auth.link_identity("github").scopes(["repo"]).begin().await.unwrap();
    assert_eq!(attempt.url(), "https://github.example/login?state=s");
    let sent = cloud.sent().pop().unwrap();
    assert!(sent.target.starts_with("GET /auth/v1/user/identities/authorize?provider=github&redirect_to="), "{sent:?}");
    assert!(sent.target.contains("&scopes=repo&code_challenge="), "{sent:?}");
    assert!(sent.target.ends_with("&code_challenge_method=s256&skip_http_redirect=true"), "{sent:?}");
    assert_eq!(sent.header("authorization"), "Bearer at-1");
    cloud.then([grant(2)]);
    cloud.then(no_profile());
    assert_eq!(attempt.complete("c0de-1-by-hand").await.unwrap().id.as_str(), "u1");
}

#[tokio::test(start_paused = true)]
async fn a07_nobody_gets_an_identity_that_somebody_else_asked_for() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    assert_eq!(auth.link_identity("github").begin().await.unwrap_err().code().as_str(), "auth.not_signed_in");
    let auth = signed_in(&cloud, &store).await;
    cloud.then([Step::json(200, r#"{"url":"https://github.example/login"}"#), Step::answer(204, "text/plain", "")]);
    let mut attempt = auth.link_identity("github").begin().await.unwrap();
    assert!(auth.sign_out(Scope::Local).await.unwrap().revoked.is_ok());
    cloud.then([grant_for("u2", 2)]);
    cloud.then(no_profile());
    auth.sign_in_with_password("u2@example.com", "secret".into()).await.unwrap();
    let sent = cloud.sent().len();
    assert_eq!(attempt.complete("c0de-1-by-hand").await.unwrap_err().code().as_str(), "auth.superseded");
    assert!(cloud.sent().iter().skip(sent).all(|sent| !sent.target.contains("pkce")));
}
