//! How often one may ask, and the switches a test has: sessions, clocks, counts, and all of it over HTTP.

use std::time::Duration;

use cloud_dev::{CloudDev, Refreshes};
use reqwest::Method;
use serde_json::{Value, json};

use super::{claims, ok, refusal, refused};
use crate::caller::{Answer, Caller, send};

async fn refresh_as(caller: &Caller, from: &str, token: &str) -> Answer {
    let request = caller.request(Method::POST, "/auth/v1/token?grant_type=refresh_token");
    send(request.header("x-forwarded-for", from).json(&json!({ "refresh_token": token }))).await
}

#[tokio::test]
async fn the_thirty_first_request_of_a_burst_is_refused_to_its_caller_alone() {
    let caller = Caller::with(CloudDev::builder().rate_limits()).await;
    let mut token = caller.sign_in(0).await.text_at("/refresh_token");
    for number in 1..=30 {
        let answer = refresh_as(&caller, "10.0.0.1", &token).await;
        assert_eq!(answer.status, 200, "request {number}");
        token = answer.text_at("/refresh_token");
    }
    let refused_one = refresh_as(&caller, "10.0.0.1", &token).await;
    assert_eq!(refusal(&refused_one), refused(429, "over_request_rate_limit"));
    assert_eq!(
        (refused_one.text_at("/msg").as_str(), refused_one.header("retry-after")),
        ("Request rate limit reached", None)
    );
    token = ok(refresh_as(&caller, "10.0.0.2", &token).await).text_at("/refresh_token");
    caller.cloud.skew_clock(10);
    ok(refresh_as(&caller, "10.0.0.1", &token).await);
}

fn counts(refreshes: Refreshes) -> [u64; 4] {
    [refreshes.rotated, refreshes.repeated, refreshes.doubled, refreshes.refused]
}

#[tokio::test]
async fn every_exchange_of_a_refresh_token_is_counted_as_what_it_was() {
    let caller = Caller::with(CloudDev::builder().refresh_reuse_interval(Duration::from_secs(10))).await;
    let first = caller.sign_in(0).await.text_at("/refresh_token");
    let second = ok(caller.refresh(&first).await).text_at("/refresh_token");
    assert_eq!(counts(caller.cloud.refreshes()), [1, 0, 0, 0]);
    let repeated = ok(caller.refresh(&first).await);
    assert_eq!(repeated.header("sb-auth-refresh-token-reuse-cause"), Some("fail-to-save"));
    assert_eq!(counts(caller.cloud.refreshes()), [1, 1, 0, 0]);
    ok(caller.refresh(&second).await);
    let doubled = ok(caller.refresh(&first).await);
    assert_eq!(doubled.header("sb-auth-refresh-token-reuse"), Some("true"));
    assert_eq!(counts(caller.cloud.refreshes()), [2, 1, 1, 0], "the first token has two children now");
    caller.cloud.skew_clock(11);
    caller.refresh(&second).await;
    assert_eq!(counts(caller.cloud.refreshes()), [2, 1, 1, 1]);
}

#[tokio::test]
async fn one_session_is_revoked_and_no_other() {
    let caller = Caller::start().await;
    let (here, there) = (caller.sign_in(0).await, caller.sign_in(0).await);
    let id = claims(&here)["session_id"].as_str().unwrap().to_owned();
    assert!(caller.cloud.revoke_session(&id).await);
    assert!(!caller.cloud.revoke_session(&id).await);
    let gone = caller.get("/auth/v1/user", Some(&here.text_at("/access_token"))).await;
    assert_eq!(refusal(&gone), refused(403, "session_not_found"));
    ok(caller.refresh(&there.text_at("/refresh_token")).await);
}

#[tokio::test]
async fn a_clock_that_is_off_is_off_everywhere() {
    let caller = Caller::start().await;
    let before = caller.sign_in(0).await;
    caller.cloud.skew_clock(7_200);
    let expired = caller.get("/auth/v1/user", Some(&before.text_at("/access_token"))).await;
    assert_eq!(refusal(&expired), refused(403, "bad_jwt"));
    let after = ok(caller.refresh(&before.text_at("/refresh_token")).await);
    let ahead = claims(&after)["iat"].as_i64().unwrap() - claims(&before)["iat"].as_i64().unwrap();
    assert!((7_200..7_260).contains(&ahead), "{ahead}");
    let date = after.header("date").unwrap().to_owned();
    let shown = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second();
    assert!((shown - claims(&after)["iat"].as_i64().unwrap()).abs() < 60, "{date}");
    assert_eq!(after.json()["expires_at"], claims(&after)["exp"]);
}

#[tokio::test]
async fn the_switches_are_there_over_http_where_they_are_open() {
    let closed = Caller::start().await;
    assert_eq!(closed.get("/dev/v1/mails", None).await.status, 404);

    let caller = Caller::with(CloudDev::builder().open_controls()).await;
    let dev = async |path: &str, body: Value| ok(caller.post(&format!("/dev/v1{path}"), None, body).await).json();
    let without_key = send(caller.http.get(format!("{}/dev/v1/mails", caller.cloud.url()))).await;
    assert_eq!(without_key.status, 401);
    for email in ["ada@example.com", "grace@example.com"] {
        ok(caller.auth("/otp", json!({ "email": email })).await);
    }
    let mails = ok(caller.get("/dev/v1/mails?to=ada@example.com", None).await).json();
    assert_eq!((mails.as_array().map(Vec::len), &mails[0]["number"]), (Some(1), &json!(1)));
    ok(caller.verify("email", "ada@example.com", mails[0]["code"].as_str().unwrap()).await);

    let session = caller.sign_in(0).await;
    let token = session.text_at("/access_token");
    assert_eq!(dev("/clock", json!({ "skew_seconds": 3_601 })).await, json!({ "done": true }));
    assert_eq!(refusal(&caller.get("/auth/v1/user", Some(&token)).await), refused(403, "bad_jwt"));
    dev("/clock", json!({ "skew_seconds": 0 })).await;
    ok(caller.get("/auth/v1/user", Some(&token)).await);
    dev("/expire-access-tokens", json!({})).await;
    assert_eq!(refusal(&caller.get("/auth/v1/user", Some(&token)).await), refused(403, "bad_jwt"));
    dev("/ban", json!({ "email": "ada@example.com", "banned": true })).await;
    assert_eq!(refusal(&caller.refresh(&session.text_at("/refresh_token")).await), refused(400, "user_banned"));
    dev("/ban", json!({ "email": "ada@example.com", "banned": false })).await;
    ok(caller.refresh(&session.text_at("/refresh_token")).await);
    assert_eq!(
        ok(caller.get("/dev/v1/refreshes", None).await).json(),
        json!({ "rotated": 1, "repeated": 0, "doubled": 0, "refused": 1 })
    );
    assert_eq!(dev("/revoke", json!({ "email": "nobody@example.com" })).await, json!({ "done": false }));
    assert_eq!(dev("/revoke", json!({ "session_id": claims(&session)["session_id"] })).await, json!({ "done": true }));
    let token = dev("/id-token", json!({ "provider": "google", "email": "lin@example.com" })).await;
    ok(caller.auth("/token?grant_type=id_token", json!({ "provider": "google", "id_token": token["id_token"] })).await);
}

#[tokio::test]
async fn mails_are_waited_for_in_order() {
    let caller = Caller::start().await;
    let (first, asked) =
        tokio::join!(caller.cloud.mail_after(0), caller.auth("/otp", json!({ "email": "ada@example.com" })));
    ok(asked);
    assert_eq!((first.number, first.to.as_str()), (1, "ada@example.com"));
    assert!(!format!("{first:?}").contains(&first.code), "the code is a secret");
}

#[tokio::test]
async fn the_settings_say_what_is_on() {
    let caller = Caller::with(CloudDev::builder().require_email_confirmation().sso_domain("corp.example")).await;
    let settings = caller.get("/auth/v1/settings", None).await.json();
    assert_eq!((&settings["mailer_autoconfirm"], &settings["saml_enabled"]), (&json!(false), &json!(true)));
    for (name, on) in [("anonymous_users", true), ("email", true), ("github", true), ("phone", false)] {
        assert_eq!(settings["external"][name], on, "{name}");
    }
    let keys = ok(send(caller.http.get(format!("{}/auth/v1/.well-known/jwks.json", caller.cloud.url()))).await);
    assert_eq!((keys.json(), keys.header("cache-control")), (json!({ "keys": [] }), Some("public, max-age=600")));
}
