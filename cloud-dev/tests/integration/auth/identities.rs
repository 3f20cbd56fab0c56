//! Identities: linked and unlinked by hand, taken from a provider's token, and those of a domain.

use cloud_dev::{AuthFeature, CloudDev};
use reqwest::{Method, Url};
use serde_json::json;

use super::{Browser, CHALLENGE, LOOPBACK, VERIFIER, claims, fragment, ok, query, refusal, refused};
use crate::caller::{Answer, Caller, send};

const ADA: &str = "ada@example.com";

/// Links what the provider knows as `email` to whoever `bearer` is; where the browser ended.
async fn link(caller: &Caller, bearer: &str, email: &str) -> Url {
    let path =
        format!("/auth/v1/user/identities/authorize?provider=github&skip_http_redirect=true&redirect_to={LOOPBACK}");
    let address = ok(caller.get(&path, Some(bearer)).await).text_at("/url");
    Browser::new().choose(&Url::parse(&address).unwrap(), &[("email", email)]).await
}

async fn unlink(caller: &Caller, bearer: &str, id: &str) -> Answer {
    send(caller.request(Method::DELETE, &format!("/auth/v1/user/identities/{id}")).bearer_auth(bearer)).await
}

#[tokio::test]
async fn an_identity_is_linked_used_and_unlinked() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let token = session.text_at("/access_token");
    let single = session.text_at("/user/identities/0/identity_id");
    assert_eq!(refusal(&unlink(&caller, &token, &single).await), refused(422, "single_identity_not_deletable"));

    let end = link(&caller, &token, "ada.at.github@example.com").await;
    assert!(fragment(&end).contains_key("access_token"), "{end}");
    let user = caller.get("/auth/v1/user", Some(&token)).await.json();
    assert_eq!((&user["email"], &user["identities"][1]["email"]), (&json!(ADA), &json!("ada.at.github@example.com")));
    assert_eq!(user["app_metadata"]["providers"], json!(["email", "github"]));

    let again = link(&caller, &token, "ada.at.github@example.com").await;
    assert_eq!(query(&again)["error_code"], "identity_already_exists");
    let grace = caller.sign_in(1).await.text_at("/access_token");
    let taken = link(&caller, &grace, "ada.at.github@example.com").await;
    assert_eq!(fragment(&taken)["error_description"], "Identity is already linked to another user");

    let linked = user["identities"][1]["identity_id"].as_str().unwrap();
    let unknown = "7b0e3a52-0000-4000-8000-000000000000";
    assert_eq!(refusal(&unlink(&caller, &token, unknown).await), refused(422, "identity_not_found"));
    assert_eq!(refusal(&unlink(&caller, &token, "x").await), refused(404, "validation_failed"));
    assert_eq!(ok(unlink(&caller, &token, linked).await).json(), json!({}));
    let user = caller.get("/auth/v1/user", Some(&token)).await.json();
    assert_eq!(user["app_metadata"]["providers"], json!(["email"]));
}

#[tokio::test]
async fn without_its_identity_the_address_is_that_of_another() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let token = session.text_at("/access_token");
    link(&caller, &token, "ada.at.github@example.com").await;
    ok(unlink(&caller, &token, &session.text_at("/user/identities/0/identity_id")).await);
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.text_at("/email"), "ada.at.github@example.com");
}

#[tokio::test]
async fn an_identity_makes_somebody_of_a_person_without_an_address() {
    let caller = Caller::start().await;
    let token = ok(caller.auth("/signup", json!({})).await).text_at("/access_token");
    link(&caller, &token, "lin@example.com").await;
    let user = caller.get("/auth/v1/user", Some(&token)).await.json();
    assert_eq!((&user["is_anonymous"], &user["email"]), (&json!(false), &json!("lin@example.com")));
}

#[tokio::test]
async fn linking_can_be_off() {
    let caller = Caller::with(CloudDev::builder().without(AuthFeature::ManualLinking)).await;
    let token = caller.token().await;
    let answer = caller.get("/auth/v1/user/identities/authorize?provider=github", Some(&token)).await;
    assert_eq!(refusal(&answer), refused(404, "manual_linking_disabled"));
    assert_eq!(refusal(&unlink(&caller, &token, "x").await), refused(404, "manual_linking_disabled"));
}

#[tokio::test]
async fn an_address_nobody_vouches_for_takes_no_account_over() {
    let caller = Caller::with(CloudDev::builder().require_email_confirmation()).await;
    let browser = Browser::new();
    let address = caller.authorize(&[("provider", "github"), ("redirect_to", LOOPBACK)]);
    let page = browser.follow(&address).await;
    let end = browser.choose(&page, &[("email", ADA), ("unverified", "1")]).await;
    assert_eq!(query(&end)["error_code"], "provider_email_needs_verification");
    assert_eq!(query(&end)["error"], "access_denied");
    let ada = caller.sign_in(0).await.json();
    assert_eq!(ada["user"]["app_metadata"]["providers"], json!(["email"]));
    assert!(caller.cloud.mail_to(ADA).is_none(), "the address stays with whom it has");

    let page = browser.follow(&address).await;
    let end = browser.choose(&page, &[("email", "lin@example.com"), ("unverified", "1")]).await;
    assert_eq!(query(&end)["error_code"], "provider_email_needs_verification");
    ok(caller.verify("signup", "lin@example.com", &caller.mail_to("lin@example.com").code).await);
}

#[tokio::test]
async fn a_providers_token_signs_in_with_the_nonce_it_was_made_for() {
    let caller = Caller::start().await;
    let grant = async |body| caller.auth("/token?grant_type=id_token", body).await;
    let token = caller.cloud.id_token("google", ADA, Some("once"));
    let session = ok(grant(json!({ "provider": "google", "id_token": token, "nonce": "once" })).await);
    assert_eq!(session.text_at("/user/email"), ADA);
    assert_eq!(claims(&session)["amr"][0]["method"], "oauth");
    ok(grant(json!({ "provider": "google", "id_token": caller.cloud.id_token("google", ADA, None) })).await);
    let access_token = session.text_at("/access_token");
    for (body, error) in [
        (json!({ "provider": "google", "id_token": token, "nonce": "twice" }), "invalid nonce"),
        (json!({ "provider": "google", "id_token": token }), "invalid request"),
        (json!({ "provider": "google" }), "invalid request"),
        (json!({ "id_token": token, "nonce": "once" }), "invalid request"),
        (json!({ "provider": "myspace", "id_token": token, "nonce": "once" }), "invalid request"),
        (json!({ "provider": "google", "id_token": "rubbish" }), "invalid request"),
        (json!({ "provider": "google", "id_token": access_token }), "invalid request"),
    ] {
        let answer = grant(body.clone()).await;
        assert_eq!((answer.status, answer.text_at("/error").as_str()), (400, error), "{body}");
    }
    caller.cloud.skew_clock(3_601);
    let late = grant(json!({ "provider": "google", "id_token": token, "nonce": "once" })).await;
    assert_eq!(late.text_at("/error_description"), "Bad ID token");
}

#[tokio::test]
async fn a_providers_token_is_linked_too() {
    let caller = Caller::start().await;
    let (bearer, id_token) = (caller.token().await, caller.cloud.id_token("google", "ada.g@example.com", None));
    let body = json!({ "provider": "google", "id_token": id_token, "link_identity": true });
    let linked = ok(caller.post("/auth/v1/token?grant_type=id_token", Some(&bearer), body.clone()).await);
    assert_eq!(linked.text_at("/user/email"), ADA);
    assert_eq!(linked.json()["user"]["app_metadata"]["providers"], json!(["email", "google"]));
    let again = caller.post("/auth/v1/token?grant_type=id_token", Some(&bearer), body.clone()).await;
    assert_eq!(refusal(&again), refused(422, "identity_already_exists"));
    assert_eq!(refusal(&caller.auth("/token?grant_type=id_token", body).await), refused(401, "no_authorization"));
}

#[tokio::test]
async fn a_domain_has_a_sign_in_of_its_own() {
    let caller = Caller::with(CloudDev::builder().sso_domain("corp.example")).await;
    for (body, status, code) in [
        (json!({ "domain": "other.example" }), 404, "sso_provider_not_found"),
        (json!({ "provider_id": "7b0e3a52-0000-4000-8000-000000000000" }), 404, "sso_provider_not_found"),
        (json!({}), 400, "validation_failed"),
        (json!({ "domain": "corp.example", "provider_id": "x" }), 400, "validation_failed"),
    ] {
        assert_eq!(refusal(&caller.auth("/sso", body.clone()).await), refused(status, code), "{body}");
    }
    let body = json!({
        "domain": "Corp.Example", "redirect_to": LOOPBACK, "skip_http_redirect": true,
        "code_challenge": CHALLENGE, "code_challenge_method": "s256",
    });
    let page = Url::parse(&ok(caller.auth("/sso", body).await).text_at("/url")).unwrap();
    let end = Browser::new().choose(&page, &[("email", "lin@corp.example")]).await;
    let session = ok(caller.exchange(&query(&end)["code"], VERIFIER).await);
    assert_eq!(claims(&session)["amr"][0]["method"], "sso/saml");
    assert!(session.text_at("/user/app_metadata/provider").starts_with("sso:"));
    let managed = caller.put_user(&session.text_at("/access_token"), json!({ "password": "long enough" })).await;
    assert_eq!(refusal(&managed), refused(422, "user_sso_managed"));
}
