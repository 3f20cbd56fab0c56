//! People without an address who become somebody, and changes of a person.

use cloud_dev::{AuthFeature, CloudDev};
use serde_json::json;

use super::{claims, ok, refusal, refused};
use crate::caller::Caller;

const ADA: &str = "ada@example.com";
const LIN: &str = "lin@example.com";
const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn somebody_without_an_address_is_a_person_of_their_own() {
    let caller = Caller::start().await;
    let session = ok(caller.auth("/signup", json!({ "data": { "theme": "dark" } })).await);
    let user = &session.json()["user"];
    assert_eq!((&user["is_anonymous"], &user["email"]), (&json!(true), &json!("")));
    assert_eq!((&user["identities"], &user["app_metadata"]), (&json!([]), &json!({})));
    assert_eq!(
        (&claims(&session)["is_anonymous"], &claims(&session)["amr"][0]["method"]),
        (&json!(true), &json!("anonymous"))
    );
    let token = session.text_at("/access_token");
    let organizations = caller.get("/rest/v1/organizations?select=name", Some(&token)).await.json();
    assert_eq!(organizations.as_array().map(Vec::len), Some(1));
    ok(caller.refresh(&session.text_at("/refresh_token")).await);
    let alone = caller.put_user(&token, json!({ "password": "long enough" })).await;
    assert_eq!(refusal(&alone), refused(422, "validation_failed"));
    let factor = caller.post("/auth/v1/factors", Some(&token), json!({ "factor_type": "totp" })).await;
    assert_eq!(refusal(&factor), refused(403, "no_authorization"));
}

#[tokio::test]
async fn an_address_makes_them_somebody_at_once_where_nothing_is_confirmed() {
    let caller = Caller::start().await;
    let session = ok(caller.auth("/signup", json!({})).await);
    let token = session.text_at("/access_token");
    let user = ok(caller.put_user(&token, json!({ "email": LIN, "password": "long enough" })).await).json();
    assert_eq!((&user["is_anonymous"], &user["email"]), (&json!(false), &json!(LIN)));
    assert_eq!(user["identities"][0]["provider"], "email");
    let signed_in =
        ok(caller.auth("/token?grant_type=password", json!({ "email": LIN, "password": "long enough" })).await);
    assert_eq!(signed_in.text_at("/user/id"), session.text_at("/user/id"));
}

#[tokio::test]
async fn an_address_makes_them_somebody_once_it_is_confirmed() {
    let caller = Caller::with(CloudDev::builder().require_email_confirmation()).await;
    let session = ok(caller.auth("/signup", json!({})).await);
    let token = session.text_at("/access_token");
    let waiting = ok(caller.put_user(&token, json!({ "email": LIN })).await).json();
    assert_eq!((&waiting["is_anonymous"], &waiting["new_email"]), (&json!(true), &json!(LIN)));
    let verified = ok(caller.verify("email_change", LIN, &caller.mail_to(LIN).code).await);
    assert_eq!(verified.json()["user"]["is_anonymous"], false);
    assert_eq!(claims(&verified)["is_anonymous"], false);
    assert_eq!(verified.text_at("/user/id"), session.text_at("/user/id"));
    ok(caller.put_user(&token, json!({ "password": "long enough" })).await);
}

#[tokio::test]
async fn what_is_off_is_refused_by_its_name() {
    for (feature, body, status, code) in [
        (AuthFeature::AnonymousSignUp, json!({}), 422, "anonymous_provider_disabled"),
        (AuthFeature::SignUp, json!({}), 422, "signup_disabled"),
        (AuthFeature::SignUp, json!({ "email": LIN, "password": "long enough" }), 422, "signup_disabled"),
        (AuthFeature::Email, json!({ "email": LIN, "password": "long enough" }), 400, "email_provider_disabled"),
    ] {
        let caller = Caller::with(CloudDev::builder().without(feature)).await;
        assert_eq!(refusal(&caller.auth("/signup", body).await), refused(status, code), "{feature:?}");
    }
    let phone = Caller::start().await.auth("/signup", json!({ "phone": "+123", "password": "long enough" })).await;
    assert_eq!(refusal(&phone), refused(400, "phone_provider_disabled"));
}

#[tokio::test]
async fn the_current_password_is_wanted_where_it_is() {
    let caller = Caller::with(CloudDev::builder().require_current_password()).await;
    let (token, current) = (caller.token().await, caller.cloud.demo().people[0].password.clone());
    let change = async |current: Option<&str>| {
        caller.put_user(&token, json!({ "password": "a new secret", "current_password": current })).await
    };
    assert_eq!(refusal(&change(None).await), refused(400, "current_password_required"));
    assert_eq!(refusal(&change(Some("wrong")).await), refused(400, "current_password_invalid"));
    ok(change(Some(&current)).await);
}

#[tokio::test]
async fn an_old_session_changes_a_password_with_a_nonce_that_is_good_once() {
    let caller = Caller::with(CloudDev::builder().require_reauthentication()).await;
    let session = caller.sign_in(0).await;
    ok(caller.put_user(&session.text_at("/access_token"), json!({ "password": "first new one" })).await);
    caller.cloud.skew_clock(DAY + 60);
    let token = ok(caller.refresh(&session.text_at("/refresh_token")).await).text_at("/access_token");
    let change = async |password: &str, nonce: &str| {
        caller.put_user(&token, json!({ "password": password, "nonce": nonce })).await
    };
    assert_eq!(refusal(&change("second new one", "").await), refused(400, "reauthentication_needed"));
    assert_eq!(refusal(&change("second new one", "000000").await), refused(422, "reauthentication_not_valid"));
    ok(caller.get("/auth/v1/reauthenticate", Some(&token)).await);
    let mail = caller.mail_to(ADA);
    assert_eq!((mail.kind, mail.link), ("reauthentication", None));
    ok(change("second new one", &mail.code).await);
    assert_eq!(refusal(&change("third new one", &mail.code).await), refused(422, "reauthentication_not_valid"));
}

#[tokio::test]
async fn a_new_password_spends_the_codes_of_the_old_one() {
    let caller = Caller::start().await;
    ok(caller.auth("/recover", json!({ "email": ADA })).await);
    let token = caller.token().await;
    ok(caller.put_user(&token, json!({ "password": "a new secret" })).await);
    let late = caller.verify("recovery", ADA, &caller.mail_to(ADA).code).await;
    assert_eq!(refusal(&late), refused(403, "otp_expired"));
}

#[tokio::test]
async fn only_administrators_change_what_applications_rely_on() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let answer = caller.put_user(&token, json!({ "app_metadata": { "role": "admin" } })).await;
    assert_eq!(refusal(&answer), refused(403, "not_admin"));
}
