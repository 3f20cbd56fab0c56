//! Every way in besides the password: what is sent, what it comes to, and what its refusals are called.
use std::time::Duration;

use cloud_auth::{
    Contact, IdToken, OtpKind, SendOptions, SignUp, Verified,
    events::AuthChange,
    status::{AuthStatus, SignOutReason},
    store::MemoryStore,
};
use cloud_client::{
    Error,
    events::Heard,
    testing::{Scripted, Step},
};
use serde_json::{Map, Value, json};

use crate::world::{grant, no_profile, open, pass, refreshes, refusal, signed_in};

fn data() -> Map<String, Value> {
    json!({ "theme": "dark" }).as_object().cloned().unwrap_or_default()
}

/// The newest request: where it went and what it held.
fn last(cloud: &Scripted) -> (String, Value) {
    let sent = cloud.sent().pop().expect("something was sent");
    assert_eq!(sent.header("authorization"), "", "in nobody's name");
    assert_eq!(sent.header("x-supabase-api-version"), "2024-01-01");
    (sent.target, serde_json::from_str(&sent.body).unwrap_or_default())
}

fn code(error: &Error) -> &'static str {
    error.code().as_str()
}

#[tokio::test(start_paused = true)]
async fn what_is_mailed_is_asked_for_in_the_servers_words() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    auth.settled().await;
    let fine = || Step::json(200, "{}");
    cloud.then([fine(), fine(), fine(), fine(), fine()]);
    auth.send_code(" ada@example.com ", SendOptions::default()).await.unwrap();
    assert_eq!(last(&cloud), ("POST /auth/v1/otp".into(), json!({ "email": "ada@example.com", "create_user": true })));
    let options = SendOptions::default().existing_only().data(data()).redirect("app://cloud/auth/callback?a=b");
    auth.send_code("ada@example.com", options).await.unwrap();
    let (target, body) = last(&cloud);
    assert_eq!(target, "POST /auth/v1/otp?redirect_to=app%3A%2F%2Fcloud%2Fauth%2Fcallback%3Fa%3Db");
    assert_eq!(body, json!({ "email": "ada@example.com", "create_user": false, "data": { "theme": "dark" } }));
    auth.send_code(Contact::phone("+49 30 123456"), SendOptions::default()).await.unwrap();
    assert_eq!(last(&cloud).1, json!({ "phone": "+4930123456", "create_user": true }));
    auth.send_recovery("ada@example.com", SendOptions::default()).await.unwrap();
    assert_eq!(last(&cloud), ("POST /auth/v1/recover".into(), json!({ "email": "ada@example.com" })));
    auth.resend(OtpKind::SignUp, "ada@example.com", SendOptions::default()).await.unwrap();
    let resent = json!({ "type": "signup", "email": "ada@example.com" });
    assert_eq!(last(&cloud), ("POST /auth/v1/resend".into(), resent));
    assert_eq!(code(&auth.send_code("ada", SendOptions::default()).await.unwrap_err()), "auth.email_invalid");
    assert_eq!(cloud.sent().len(), 5, "what cannot be right is not sent");
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: SignOutReason::NeverSignedIn });
}

#[tokio::test(start_paused = true)]
async fn a_code_a_link_a_token_and_nothing_at_all_sign_in() {
    let id_token = IdToken::new("google", "idt".into()).nonce("raw".into()).access_token("gat".into());
    let email = "u1@example.com";
    for (case, target, body) in [
        (0, "verify", json!({ "type": "email", "token": "123456", "email": email })),
        (1, "verify", json!({ "type": "sms", "token": "123456", "phone": "+4930123456" })),
        (2, "verify", json!({ "type": "magiclink", "token_hash": "pkce_h" })),
        (
            3,
            "token?grant_type=id_token",
            json!({ "provider": "google", "id_token": "idt", "nonce": "raw", "access_token": "gat" }),
        ),
        (4, "signup", json!({ "data": { "theme": "dark" } })),
        (5, "signup", json!({})),
        (6, "token?grant_type=pkce", json!({ "auth_code": "c", "code_verifier": "v" })),
        (7, "token?grant_type=refresh_token", json!({ "refresh_token": "theirs" })),
    ] {
        let (cloud, store) = (Scripted::new([grant(1).after(Duration::from_secs(1))]), MemoryStore::new());
        cloud.then(no_profile());
        let auth = open(&cloud, &store);
        auth.settled().await;
        let mut events = auth.events();
        let user = match case {
            0 => auth.verify_code(OtpKind::Email, email, " 123 456\n".into()).await.map(signed),
            1 => auth.verify_code(OtpKind::Sms, Contact::phone("+4930123456"), "123456".into()).await.map(signed),
            2 => auth.verify_link(OtpKind::MagicLink, "pkce_h".into()).await.map(signed),
            3 => auth.sign_in_with_id_token(id_token.clone()).await,
            4 => auth.sign_in_anonymously(Some(data())).await,
            5 => auth.sign_in_anonymously(None).await,
            6 => auth.exchange_code("c".into(), "v".into()).await,
            _ => auth.take_over_session("theirs".into()).await,
        };
        assert_eq!(user.unwrap().id.as_str(), "u1", "{case}");
        let sent = cloud.sent().remove(0);
        assert_eq!(
            (sent.target.as_str(), sent.header("authorization")),
            (format!("POST /auth/v1/{target}").as_str(), "")
        );
        assert_eq!(serde_json::from_str::<Value>(&sent.body).unwrap(), body, "{case}");
        let AuthStatus::SignedIn(session) = auth.status() else { panic!("{case}: not signed in") };
        assert!(session.verified && session.stored, "{case}: durable before it is shown (A17)");
        assert!(
            matches!(events.try_next(), Some(Heard::Event(event)) if matches!(event.change, AuthChange::SignedIn { .. }))
        );
        assert!(
            !matches!(events.try_next(), Some(Heard::Event(event)) if event.change == AuthChange::PasswordRecovery)
        );
    }
}

fn signed(verified: Verified) -> cloud_auth::status::User {
    match verified {
        Verified::SignedIn(user) => user,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_password_signs_in_and_says_why() {
    let (cloud, store) = (Scripted::new([grant(1)]), MemoryStore::new());
    cloud.then(no_profile());
    let auth = open(&cloud, &store);
    auth.settled().await;
    let mut events = auth.events();
    auth.verify_code(OtpKind::Recovery, "u1@example.com", "123456".into()).await.unwrap();
    let mut told = Vec::new();
    while let Some(Heard::Event(event)) = events.try_next() {
        told.push(event.change);
    }
    assert!(matches!(told.as_slice(), [AuthChange::SignedIn { .. }, AuthChange::PasswordRecovery, ..]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn one_half_of_an_address_change_is_no_session() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let half =
        r#"{"msg":"Confirmation link accepted. Please proceed to confirm link sent to the other email","code":"200"}"#;
    cloud.then([Step::json(200, half), Step::json(200, half)]);
    let verified = auth.verify_code(OtpKind::EmailChange, "new@example.com", "123456".into()).await.unwrap();
    assert_eq!(verified, Verified::OtherHalf);
    assert_eq!(auth.verify_link(OtpKind::EmailChange, "h".into()).await.unwrap(), Verified::OtherHalf);
    assert!(auth.status().is_signed_in());
}

#[tokio::test(start_paused = true)]
async fn case_30_an_address_that_may_be_taken_is_told_as_such() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    cloud.then([Step::json(200, r#"{"id":"made-up","email":"ada@example.com","identities":[]}"#)]);
    let answer = auth.sign_up("ada@example.com", "long enough".into(), Some(data())).await.unwrap();
    assert_eq!(answer, SignUp::MaybeRegistered);
    let expected = json!({ "email": "ada@example.com", "password": "long enough", "data": { "theme": "dark" } });
    assert_eq!(last(&cloud), ("POST /auth/v1/signup".into(), expected));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_has_its_code_and_nobody_is_signed_in() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    auth.settled().await;
    let oauth =
        |words: &str| Step::json(400, &format!(r#"{{"error":"invalid request","error_description":"{words}"}}"#));
    for (step, expected) in [
        (refusal(403, "otp_expired"), "auth.otp_expired"),
        (refusal(422, "otp_disabled"), "auth.otp_disabled"),
        (refusal(404, "flow_state_not_found"), "auth.flow_expired"),
        (refusal(422, "flow_state_expired"), "auth.flow_expired"),
        (refusal(400, "bad_code_verifier"), "auth.code_verifier"),
        (refusal(422, "anonymous_provider_disabled"), "auth.provider_disabled"),
        (refusal(422, "signup_disabled"), "auth.signup_disabled"),
        (refusal(400, "captcha_failed"), "auth.captcha_required"),
        (refusal(400, "user_banned"), "auth.user_banned"),
        (refusal(429, "over_request_rate_limit"), "auth.rate_limited"),
        (refusal(429, "over_sms_send_rate_limit"), "auth.mail_rate_limited"),
        (oauth("invalid nonce"), "auth.id_token_refused"),
        (Step::json(400, r#"{"error":"invalid nonce","error_description":""}"#), "auth.id_token_refused"),
        (Step::json(200, "{}"), "net.unreadable"),
    ] {
        cloud.then([step]);
        let error = auth.sign_in_with_id_token(IdToken::new("google", "idt".into())).await.unwrap_err();
        assert_eq!(code(&error), expected);
        assert!(!error.advice().is_empty() && !auth.status().is_signed_in());
    }
    assert_eq!(cloud.sent().len(), 14, "none is sent twice: {:?}", refreshes(&cloud));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_next_mail_is_told() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let message = "For security purposes, you can only request this after 41 seconds.";
    let new = Step::json(429, &json!({ "code": "over_email_send_rate_limit", "message": message }).to_string())
        .header("x-supabase-api-version", "2024-01-01");
    let old = json!({ "code": 429, "error_code": "over_email_send_rate_limit", "msg": message }).to_string();
    let header = refusal(429, "over_email_send_rate_limit").header("retry-after", "7");
    cloud.then([new, Step::json(429, &old), header, refusal(429, "over_email_send_rate_limit")]);
    for expected in [Some(41), Some(41), Some(7), None] {
        let error = auth.send_code("ada@example.com", SendOptions::default()).await.unwrap_err();
        let wait = error.retry_after().map(|wait| wait.as_secs());
        assert_eq!((code(&error), wait), ("auth.mail_rate_limited", expected));
    }
}

#[tokio::test(start_paused = true)]
async fn case_3_and_4_a_server_in_trouble_is_worth_another_try_whatever_it_says() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let words = "Error sending confirmation email";
    let new = json!({ "code": "unexpected_failure", "message": words }).to_string();
    let old = json!({ "code": 500, "error_code": "unexpected_failure", "msg": words, "error_id": "e" }).to_string();
    let version = "x-supabase-api-version";
    cloud.then([Step::json(500, &new).header(version, "2024-01-01"), Step::json(500, &old)]);
    for _ in 0..2 {
        let error = auth.sign_up("ada@example.com", "long enough".into(), SendOptions::default()).await.unwrap_err();
        assert!(error.is_retryable() && error.status() == Some(500), "{error:?}");
        assert_eq!(error.detail(), Some(words));
    }
    cloud.then([Step::answer(502, "text/html", "<html>Bad Gateway</html>"), Step::answer(502, "text/plain", "")]);
    for _ in 0..2 {
        let error = auth.sign_up("ada@example.com", "long enough".into(), SendOptions::default()).await.unwrap_err();
        assert!(error.is_retryable() && error.status() == Some(502), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_25_a_server_whose_clock_is_elsewhere_starts_no_refresh_loop() {
    // Every grant of the scripted cloud says that it ended in 1970.
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    pass(3000).await;
    assert!(auth.status().is_signed_in() && refreshes(&cloud).is_empty());
}
