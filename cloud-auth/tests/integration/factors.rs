//! Second factors: the session that a code gives takes the place of the one before, whatever happens in between.
use std::time::Duration;

use cloud_auth::{
    Scope,
    account::FactorId,
    events::AuthChange,
    status::{AssuranceLevel, AuthStatus},
    store::{FileStore, MemoryStore},
};
use cloud_client::{
    TokenSource as _,
    events::Heard,
    testing::{Scripted, Step},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    disk::{Disk, Trouble},
    family::{Family, Lost},
    world::{open, pass, refreshes, refusal, signed_in},
};

fn factor() -> FactorId {
    FactorId::new("f1")
}

fn challenge() -> Step {
    Step::json(200, r#"{"id":"c1","type":"totp","expires_at":1700000300}"#)
}

/// A session of the level `aal<n>`, for a user with a second factor.
fn grant_at(level: u32, n: u32) -> Step {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = URL_SAFE_NO_PAD.encode(json!({ "aal": format!("aal{level}"), "n": n }).to_string());
    let factors = json!([{ "id": "f1", "status": "verified", "factor_type": "totp" }]);
    Step::json(
        200,
        &json!({
            "access_token": format!("e30.{claims}.s"), "refresh_token": format!("rt-{n}"), "expires_in": 3600,
            "user": { "id": "u1", "email": "u1@example.com", "factors": factors },
        })
        .to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn an_app_is_enrolled_and_its_secret_shown_once() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let totp = json!({ "qr_code": "data:image/svg+xml;utf-8,<svg>canary</svg>", "secret": "CANARY", "uri": "otpauth://canary" });
    let enrolled = json!({ "id": "f1", "type": "totp", "friendly_name": "phone", "totp": totp });
    cloud.then([Step::json(200, &enrolled.to_string())]);
    let enrolment = auth.mfa().enrol(Some("phone"), Some("App")).await.unwrap();
    let sent = cloud.sent().pop().unwrap();
    assert_eq!((sent.target.as_str(), sent.header("authorization")), ("POST /auth/v1/factors", "Bearer at-1"));
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(body, json!({ "factor_type": "totp", "friendly_name": "phone", "issuer": "App" }));
    assert_eq!(enrolment.qr_svg.expose_secret(), "<svg>canary</svg>");
    assert_eq!((enrolment.secret.expose_secret(), enrolment.uri.expose_secret()), ("CANARY", "otpauth://canary"));
    assert!(!format!("{enrolment:?}").to_lowercase().contains("canary"), "a12");
    let listed = json!({ "id": "u1", "factors": [{ "id": "f1", "status": "unverified", "factor_type": "totp" }] });
    cloud.then([Step::json(200, &listed.to_string())]);
    let factors = auth.mfa().factors().await.unwrap();
    assert!(matches!(factors.as_slice(), [one] if one.id == factor() && !one.is_verified()));
}

#[tokio::test(start_paused = true)]
async fn a_right_code_gives_a_better_token_and_says_so() {
    let (cloud, store) = (Scripted::new([grant_at(1, 1)]), MemoryStore::new());
    cloud.then(crate::world::no_profile());
    let auth = open(&cloud, &store);
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    let before = auth.mfa().assurance().unwrap();
    assert!(before.wants_second_factor() && before.current == Some(AssuranceLevel::AAL1));
    let first = auth.token().await.unwrap().unwrap();
    let mut events = auth.events();
    cloud.then([challenge(), grant_at(2, 2)]);
    auth.mfa().verify_code(&factor(), "123 456".into()).await.unwrap();
    let sent = cloud.sent().pop().unwrap();
    assert_eq!(sent.target, "POST /auth/v1/factors/f1/verify");
    assert_eq!(sent.body, r#"{"challenge_id":"c1","code":"123456"}"#);
    assert!(!auth.mfa().assurance().unwrap().wants_second_factor());
    assert!(auth.token().await.unwrap().unwrap().generation > first.generation);
    let mut told = Vec::new();
    while let Some(Heard::Event(event)) = events.try_next() {
        told.push(event.change);
    }
    assert_eq!(told, [AuthChange::TokenRefreshed, AuthChange::AssuranceChanged { level: AssuranceLevel::AAL2 }]);
    // The former refresh token is never spent.
    cloud.then([grant_at(2, 3)]);
    auth.refresh().await.unwrap();
    assert_eq!(refreshes(&cloud).pop().unwrap().body, r#"{"refresh_token":"rt-2"}"#);
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_a_factor_has_its_code_and_leaves_the_session() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    for (status, word, expected) in [
        (422, "mfa_verification_failed", "auth.mfa_code_wrong"),
        (422, "mfa_challenge_expired", "auth.mfa_challenge_expired"),
        (422, "mfa_ip_address_mismatch", "auth.mfa_challenge_expired"),
        (403, "mfa_verification_rejected", "auth.mfa_refused"),
        (422, "mfa_factor_not_found", "auth.mfa_factor_unknown"),
        (422, "mfa_totp_verify_not_enabled", "auth.mfa_disabled"),
        (429, "over_request_rate_limit", "auth.rate_limited"),
    ] {
        cloud.then([challenge(), refusal(status, word)]);
        let error = auth.mfa().verify_code(&factor(), "123456".into()).await.unwrap_err();
        assert_eq!(error.code().as_str(), expected);
        let AuthStatus::SignedIn(session) = auth.status() else { panic!("{word} signed out") };
        assert!(session.verified && session.problem.is_none(), "{word}");
    }
    for (status, word, expected) in [
        (403, "insufficient_aal", "auth.mfa_required"),
        (422, "mfa_factor_name_conflict", "auth.mfa_name_taken"),
        (422, "too_many_enrolled_mfa_factors", "auth.mfa_too_many"),
        (422, "mfa_totp_enroll_not_enabled", "auth.mfa_disabled"),
    ] {
        cloud.then([refusal(status, word)]);
        assert_eq!(auth.mfa().enrol(None, None).await.unwrap_err().code().as_str(), expected);
    }
    let sent = cloud.sent().len();
    cloud.then([challenge()]);
    let empty = auth.mfa().verify_code(&factor(), " ".into()).await.unwrap_err();
    assert_eq!((empty.code().as_str(), cloud.sent().len()), ("auth.mfa_code_wrong", sent + 1));
}

#[tokio::test(start_paused = true)]
async fn taking_a_factor_away_renews_the_token_that_speaks_of_it() {
    let (cloud, store) = (Scripted::new([grant_at(2, 1)]), MemoryStore::new());
    cloud.then(crate::world::no_profile());
    let auth = open(&cloud, &store);
    auth.sign_in_with_password("u1@example.com", "secret".into()).await.unwrap();
    pass(0).await;
    let plain = r#"{"id":"u1","email":"u1@example.com"}"#;
    cloud.then([Step::json(200, r#"{"id":"f1"}"#), crate::world::grant(2), Step::json(200, plain)]);
    auth.mfa().unenrol(&factor()).await.unwrap();
    assert!(cloud.sent().iter().any(|sent| sent.target == "DELETE /auth/v1/factors/f1"));
    assert!(!auth.status().user().unwrap().has_second_factor && refreshes(&cloud).len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a07_a_sign_out_fences_a_late_second_factor() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = signed_in(&cloud, &store).await;
    let ended = || Step::answer(204, "text/plain", "");
    cloud.then([challenge(), grant_at(2, 2).after(Duration::from_secs(5)), ended(), ended()]);
    let (mfa, id) = (auth.mfa(), factor());
    let (verified, left) = futures::join!(mfa.verify_code(&id, "123456".into()), async {
        pass(1).await;
        auth.sign_out(Scope::Local).await
    });
    assert_eq!(verified.unwrap_err().code().as_str(), "auth.superseded");
    assert!(left.is_ok());
    pass(10).await;
    assert!(!auth.status().is_signed_in() && format!("{store:?}").contains("secrets: 0"));
    let last = cloud.sent().pop().unwrap();
    assert!(last.target.contains("/logout") && last.header("authorization").starts_with("Bearer e30."), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a02_second_factors_and_refreshes_of_two_processes_never_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let family = Family::slow(Duration::from_millis(300));
    let path = directory.path().join("login");
    let one = family.open(FileStore::new(&path));
    one.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
    let two = family.open(FileStore::new(&path));
    assert!(two.settled().await.is_signed_in());
    two.refresh().await.unwrap();
    let id = factor();
    for _ in 0..5 {
        let (mine, theirs) = (one.mfa(), two.mfa());
        let (first, second, third) = futures::join!(
            mine.verify_code(&id, "123456".into()),
            two.refresh(),
            theirs.verify_code(&id, "123456".into())
        );
        first.and(third).map(drop).and(second).unwrap();
        one.refresh().await.unwrap();
        one.mfa().verify_code(&id, "123456".into()).await.unwrap();
    }
    family.books(|books| assert_eq!((books.overlap, books.stale, books.verified), (1, 0, 15)));
    assert!(one.status().is_signed_in() && two.status().is_signed_in());
}

#[tokio::test(start_paused = true)]
async fn a04_a_crash_at_any_point_of_a_second_factor_keeps_a_working_login() {
    let troubles = [Trouble::FailBefore, Trouble::FailAfter, Trouble::HangBefore, Trouble::HangAfter];
    let losses = [None, Some((0, Lost::Request)), Some((0, Lost::Answer)), Some((1, Lost::Answer))];
    let (mut cases, mut reached) = (0, 0);
    for call in 0..5 {
        for trouble in troubles {
            for loss in losses {
                for crash in [Duration::ZERO, Duration::from_secs(40)] {
                    let (family, disk) = (Family::default(), Disk::default());
                    let auth = family.open(disk.clone());
                    auth.sign_in_with_password("ada@example.com", "secret".into()).await.unwrap();
                    pass(0).await;
                    disk.break_at(call, trouble);
                    if let Some((nth, lost)) = loss {
                        family.lose(nth, lost);
                    }
                    let case = format!("{trouble:?} at call {call}, {loss:?}, {crash:?}");
                    let id = factor();
                    let clock = auth.client().clock().clone();
                    // A wrong answer may come back; a sign-out may not.
                    let _ =
                        clock.within(Duration::from_millis(1) + crash, auth.mfa().verify_code(&id, "1".into())).await;
                    let _ = clock.within(crash, auth.refresh()).await;
                    assert!(auth.status().is_signed_in(), "{case}");
                    reached += usize::from(disk.reached());
                    auth.close(Duration::ZERO).await;
                    disk.heal();
                    let auth = family.open(disk.clone());
                    assert!(auth.settled().await.is_signed_in(), "{case}: the login is gone");
                    pass(600).await;
                    let status = auth.status();
                    assert!(
                        matches!(status, AuthStatus::SignedIn(session) if session.verified && session.stored),
                        "{case}"
                    );
                    family.books(|books| assert_eq!(books.stale, 0, "{case}: a token two behind was spent"));
                    auth.close(Duration::ZERO).await;
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 160);
    assert!(reached >= 64, "the trouble was met in {reached} cases");
}
