//! Codes and links by mail: signing up, signing in, recovery, another copy, a new address.

use std::time::Duration;

use cloud_dev::{AuthFeature, CloudDev};
use serde_json::json;

use super::{Browser, CHALLENGE, LOOPBACK, VERIFIER, claims, fragment, ok, query, refusal, refused};
use crate::caller::Caller;

const ADA: &str = "ada@example.com";
const LIN: &str = "lin@example.com";

async fn confirming() -> Caller {
    Caller::with(CloudDev::builder().require_email_confirmation()).await
}

#[tokio::test]
async fn a_code_signs_in_once_and_only_for_its_address_and_kind() {
    let caller = Caller::start().await;
    assert_eq!(ok(caller.auth("/otp", json!({ "email": "Ada@Example.com" })).await).json(), json!({}));
    let mail = caller.mail_to(ADA);
    assert_eq!((mail.kind, mail.code.len()), ("magiclink", 6));
    let wrong = format!("{:06}", (mail.code.parse::<u32>().unwrap() + 1) % 1_000_000);
    for (kind, email, token) in [
        ("email", ADA, wrong.as_str()),
        ("email", "grace@example.com", &mail.code),
        ("email", "nobody@example.com", &mail.code),
        ("signup", ADA, &mail.code),
        ("email_change", ADA, &mail.code),
    ] {
        assert_eq!(refusal(&caller.verify(kind, email, token).await), refused(403, "otp_expired"), "{kind} {email}");
    }
    let session = ok(caller.verify("email", ADA, &mail.code).await);
    assert_eq!(claims(&session)["amr"][0]["method"], "otp");
    assert_eq!(refusal(&caller.verify("email", ADA, &mail.code).await), refused(403, "otp_expired"));
}

#[tokio::test]
async fn the_hash_of_a_link_is_as_good_as_the_code() {
    let caller = Caller::start().await;
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    let hash = caller.mail_to(ADA).token_hash;
    let both = json!({ "type": "magiclink", "token_hash": hash, "email": ADA });
    assert_eq!(refusal(&caller.auth("/verify", both).await), refused(400, "validation_failed"));
    ok(caller.auth("/verify", json!({ "type": "magiclink", "token_hash": hash })).await);
    let again = caller.auth("/verify", json!({ "type": "magiclink", "token_hash": hash })).await;
    assert_eq!(refusal(&again), refused(403, "otp_expired"));
}

#[tokio::test]
async fn a_new_code_replaces_the_old_one_and_every_code_ends() {
    let caller = Caller::with(CloudDev::builder().email_code_lifetime(Duration::from_secs(600))).await;
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    let first = caller.mail_to(ADA);
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    let second = caller.mail_to(ADA);
    assert_eq!(second.number, first.number + 1);
    if first.code != second.code {
        assert_eq!(refusal(&caller.verify("email", ADA, &first.code).await), refused(403, "otp_expired"));
    }
    caller.cloud.skew_clock(601);
    assert_eq!(refusal(&caller.verify("email", ADA, &second.code).await), refused(403, "otp_expired"));
    caller.cloud.skew_clock(599);
    ok(caller.verify("email", ADA, &second.code).await);
}

#[tokio::test]
async fn an_unknown_address_becomes_a_person_unless_told_not_to() {
    let caller = Caller::start().await;
    let closed = json!({ "email": LIN, "create_user": false });
    assert_eq!(refusal(&caller.auth("/otp", closed.clone()).await), refused(422, "otp_disabled"));
    assert!(caller.cloud.mails().is_empty());
    ok(caller.auth("/otp", json!({ "email": LIN, "data": { "display_name": "Lin" } })).await);
    let session = ok(caller.verify("email", LIN, &caller.mail_to(LIN).code).await);
    assert_eq!(session.text_at("/user/user_metadata/display_name"), "Lin");
    ok(caller.auth("/otp", closed).await);
}

#[tokio::test]
async fn a_sign_up_is_confirmed_by_code_or_by_link() {
    let caller = confirming().await;
    let person = |email: &str| json!({ "email": email, "password": "long enough" });
    for email in [LIN, "joan@example.com"] {
        let waiting = ok(caller.auth("/signup", person(email)).await).json();
        assert!(waiting["access_token"].is_null() && waiting["email_confirmed_at"].is_null());
        let early = caller.auth("/token?grant_type=password", person(email)).await;
        assert_eq!(refusal(&early), refused(400, "email_not_confirmed"));
    }
    let mail = caller.mail_to(LIN);
    assert_eq!(mail.kind, "signup");
    let session = ok(caller.verify("signup", LIN, &mail.code).await);
    assert!(session.json()["user"]["email_confirmed_at"].is_string());
    assert_eq!(session.json()["user"]["identities"][0]["identity_data"]["email_verified"], true);

    let link = caller.mail_to("joan@example.com").link.unwrap();
    let end = Browser::new().follow(&link).await;
    assert!(end.as_str().starts_with("http://localhost:3000/#access_token="), "{end}");
    assert_eq!(fragment(&end)["type"], "signup");
    let again = Browser::new().follow(&link).await;
    assert_eq!(fragment(&again)["error_code"], "otp_expired");
    assert_eq!(fragment(&again)["error"], "access_denied");
    assert_eq!(again.query(), None, "without a challenge the error is in the fragment alone");
    for email in [LIN, "joan@example.com"] {
        ok(caller.auth("/token?grant_type=password", person(email)).await);
    }
}

#[tokio::test]
async fn every_mailed_link_can_end_with_a_code_for_the_verifier() {
    let caller = confirming().await;
    let challenge = |mut body: serde_json::Value| {
        body["code_challenge"] = json!(CHALLENGE);
        body["code_challenge_method"] = json!("S256");
        body
    };
    let to = format!("redirect_to={}", LOOPBACK.replace(':', "%3A").replace('/', "%2F"));
    let sign_up = json!({ "email": LIN, "password": "long enough" });
    for (path, email, body, method) in [
        ("/signup", LIN, sign_up, "email/signup"),
        ("/otp", LIN, json!({ "email": LIN }), "magiclink"),
        ("/recover", LIN, json!({ "email": LIN }), "recovery"),
        ("/otp", "new@example.com", json!({ "email": "new@example.com" }), "email/signup"),
    ] {
        ok(caller.auth(&format!("{path}?{to}"), challenge(body)).await);
        let mail = caller.mail_to(email);
        assert!(mail.token_hash.starts_with("pkce_"), "{path}");
        let end = Browser::new().follow(&mail.link.unwrap()).await;
        assert!(end.as_str().starts_with(LOOPBACK) && end.fragment().is_none(), "{end}");
        let wrong = caller.exchange(&query(&end)["code"], &"y".repeat(43)).await;
        assert_eq!(refusal(&wrong), refused(400, "bad_code_verifier"));
        let session = ok(caller.exchange(&query(&end)["code"], VERIFIER).await);
        assert_eq!(claims(&session)["amr"][0]["method"], method, "{path}");
        let spent = Browser::new().follow(&caller.mail_to(email).link.unwrap()).await;
        assert_eq!(
            (&query(&spent)["error_code"], &fragment(&spent)["error_code"]),
            (&"otp_expired".into(), &"otp_expired".into())
        );
    }
}

#[tokio::test]
async fn the_digits_of_a_link_with_a_challenge_sign_in_too() {
    let caller = Caller::start().await;
    let body = json!({ "email": ADA, "code_challenge": CHALLENGE, "code_challenge_method": "s256" });
    ok(caller.auth("/otp", body).await);
    ok(caller.verify("email", ADA, &caller.mail_to(ADA).code).await);
    let half = json!({ "email": ADA, "code_challenge": CHALLENGE });
    assert_eq!(refusal(&caller.auth("/otp", half).await), refused(400, "validation_failed"));
}

#[tokio::test]
async fn a_recovery_lets_the_password_be_changed_and_tells_nobody_who_is_known() {
    let caller = Caller::with(CloudDev::builder().require_current_password()).await;
    for email in [ADA, "nobody@example.com"] {
        assert_eq!(ok(caller.auth("/recover", json!({ "email": email })).await).json(), json!({}));
    }
    assert_eq!(caller.cloud.mails().len(), 1);
    let body = json!({ "email": ADA, "code_challenge": CHALLENGE, "code_challenge_method": "s256" });
    ok(caller.auth("/recover", body).await);
    let end = Browser::new().follow(&caller.mail_to(ADA).link.unwrap()).await;
    let session = ok(caller.exchange(&query(&end)["code"], VERIFIER).await);
    // The current password is what the person forgot.
    ok(caller.put_user(&session.text_at("/access_token"), json!({ "password": "a new secret" })).await);
    ok(caller.auth("/token?grant_type=password", json!({ "email": ADA, "password": "a new secret" })).await);
}

#[tokio::test]
async fn another_copy_comes_while_something_waits() {
    let caller = confirming().await;
    ok(caller.auth("/signup", json!({ "email": LIN, "password": "long enough" })).await);
    for (body, sent) in [
        (json!({ "type": "signup", "email": LIN }), 2),
        (json!({ "type": "signup", "email": ADA }), 2), // confirmed already
        (json!({ "type": "signup", "email": "nobody@example.com" }), 2),
        (json!({ "type": "email_change", "email": LIN }), 2), // no change waits
    ] {
        ok(caller.auth("/resend", body.clone()).await);
        assert_eq!(caller.cloud.mails().len(), sent, "{body}");
    }
    for body in [
        json!({ "type": "recovery", "email": LIN }),
        json!({ "email": LIN }),
        json!({ "type": "signup" }),
        json!({ "type": "signup", "email": LIN, "phone": "123" }),
    ] {
        assert_eq!(refusal(&caller.auth("/resend", body).await), refused(400, "validation_failed"));
    }
    ok(caller.verify("signup", LIN, &caller.mail_to(LIN).code).await);
}

#[tokio::test]
async fn a_pause_between_mails_is_kept_and_told() {
    let caller = Caller::with(CloudDev::builder().email_interval(Duration::from_secs(60)).emails_per_hour(3)).await;
    let ask = async |email: &str| caller.auth("/otp", json!({ "email": email })).await;
    ok(ask(ADA).await);
    let soon = ask(ADA).await;
    assert_eq!(refusal(&soon), refused(429, "over_email_send_rate_limit"));
    let message = soon.text_at("/msg");
    assert!(message.starts_with("For security purposes, you can only request this after "), "{message}");
    ok(ask("grace@example.com").await);
    caller.cloud.skew_clock(61);
    ok(ask(ADA).await);
    let fourth = ask(LIN).await;
    assert_eq!(refusal(&fourth), refused(429, "over_email_send_rate_limit"));
    assert_eq!(fourth.text_at("/msg"), "email rate limit exceeded");
    caller.cloud.skew_clock(3_700);
    ok(ask(LIN).await);
}

#[tokio::test]
async fn a_new_address_counts_once_both_have_agreed() {
    let caller = confirming().await;
    let token = caller.token().await;
    let asked = ok(caller.put_user(&token, json!({ "email": "ada@new.example" })).await).json();
    assert_eq!((&asked["email"], &asked["new_email"]), (&json!(ADA), &json!("ada@new.example")));
    let (old, new) = (caller.mail_to(ADA), caller.mail_to("ada@new.example"));
    let half = ok(caller.verify("email_change", ADA, &old.code).await).json();
    let message = "Confirmation link accepted. Please proceed to confirm link sent to the other email";
    assert_eq!(half, json!({ "msg": message, "code": "200" }));
    assert_eq!(refusal(&caller.verify("email_change", ADA, &old.code).await), refused(403, "otp_expired"));
    let end = Browser::new().follow(&new.link.unwrap()).await;
    assert_eq!(fragment(&end)["type"], "email_change");
    let user = caller.get("/auth/v1/user", Some(&fragment(&end)["access_token"])).await.json();
    assert_eq!(
        (&user["email"], &user["identities"][0]["email"]),
        (&json!("ada@new.example"), &json!("ada@new.example"))
    );
    assert!(user.get("new_email").is_none());
}

#[tokio::test]
async fn the_first_of_two_links_says_that_the_other_waits() {
    let caller = confirming().await;
    let token = caller.token().await;
    ok(caller.put_user(&token, json!({ "email": "ada@new.example" })).await);
    let end = Browser::new().follow(&caller.mail_to("ada@new.example").link.unwrap()).await;
    assert!(fragment(&end)["message"].starts_with("Confirmation link accepted."), "{end}");
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.text_at("/email"), ADA);
    ok(caller.auth("/resend", json!({ "type": "email_change", "email": ADA })).await);
    ok(caller.verify("email_change", ADA, &caller.mail_to(ADA).code).await);
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.text_at("/email"), "ada@new.example");
}

#[tokio::test]
async fn only_the_new_address_is_asked_where_that_is_enough() {
    let caller = Caller::with(CloudDev::builder().require_email_confirmation().confirm_only_new_email()).await;
    let token = caller.token().await;
    ok(caller.put_user(&token, json!({ "email": "ada@new.example" })).await);
    assert_eq!(caller.cloud.mails().len(), 1);
    ok(caller.verify("email_change", "ada@new.example", &caller.mail_to("ada@new.example").code).await);
    assert_eq!(caller.get("/auth/v1/user", Some(&token)).await.text_at("/email"), "ada@new.example");
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let caller = Caller::start().await;
    for (path, body) in [
        ("/otp", json!({})),
        ("/otp", json!({ "email": ADA, "phone": "123" })),
        ("/otp", json!({ "email": ADA, "channel": "sms" })),
        ("/otp", json!({ "email": "no address" })),
        ("/recover", json!({})),
        ("/verify", json!({ "token": "123456", "email": ADA })),
        ("/verify", json!({ "type": "email", "email": ADA })),
        ("/verify", json!({ "type": "email", "token": "123456" })),
        ("/verify", json!({ "type": "fax", "token": "123456", "email": ADA })),
        ("/verify", json!({ "type": "email", "token": "1", "token_hash": "2" })),
    ] {
        assert_eq!(refusal(&caller.auth(path, body.clone()).await), refused(400, "validation_failed"), "{path} {body}");
    }
    for query in ["", "?type=signup", "?token=x"] {
        let answer = caller.get(&format!("/auth/v1/verify{query}"), None).await;
        assert_eq!(refusal(&answer), refused(400, "validation_failed"), "{query}");
    }
    let caller = Caller::with(CloudDev::builder().without(AuthFeature::Email)).await;
    let off = refused(422, "email_provider_disabled");
    assert_eq!(refusal(&caller.auth("/otp", json!({ "email": ADA })).await), off);
    assert_eq!(
        refusal(&caller.auth("/token?grant_type=password", json!({ "email": ADA, "password": "x" })).await),
        off
    );
}

#[tokio::test]
async fn a_banned_person_gets_nothing_from_a_code() {
    let caller = Caller::start().await;
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    caller.cloud.set_banned(ADA, true).await;
    assert_eq!(refusal(&caller.verify("email", ADA, &caller.mail_to(ADA).code).await), refused(403, "user_banned"));
}

#[tokio::test]
async fn a_code_that_comes_twice_at_once_signs_in_once() {
    let caller = Caller::start().await;
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    let code = caller.mail_to(ADA).code;
    let answers = futures::future::join_all((0..8).map(|_| caller.verify("email", ADA, &code))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn nobody_learns_from_an_answer_whether_an_address_is_known() {
    let caller = Caller::start().await;
    for (path, body) in [
        ("/recover", json!({})),
        ("/resend", json!({ "type": "signup" })),
        ("/resend", json!({ "type": "email_change" })),
        ("/token?grant_type=password", json!({ "password": "not this one" })),
        ("/verify", json!({ "type": "email", "token": "000000" })),
        ("/verify", json!({ "type": "recovery", "token": "000000" })),
    ] {
        let answer = async |email: &str| {
            let mut body = body.clone();
            body["email"] = json!(email);
            let answer = caller.auth(path, body).await;
            (answer.status, answer.text)
        };
        assert_eq!(answer(ADA).await, answer("nobody@example.com").await, "{path} {body}");
    }
}

#[tokio::test]
async fn a_link_ends_with_its_code() {
    let caller = Caller::with(CloudDev::builder().email_code_lifetime(Duration::from_secs(600))).await;
    ok(caller.auth("/otp", json!({ "email": ADA })).await);
    let mail = caller.mail_to(ADA);
    caller.cloud.skew_clock(601);
    let late = caller.auth("/verify", json!({ "type": "magiclink", "token_hash": mail.token_hash })).await;
    assert_eq!(refusal(&late), refused(403, "otp_expired"));
    let end = Browser::new().follow(&mail.link.unwrap()).await;
    assert_eq!(fragment(&end)["error_code"], "otp_expired");
    caller.cloud.skew_clock(599);
    ok(caller.auth("/verify", json!({ "type": "magiclink", "token_hash": mail.token_hash })).await);
}
