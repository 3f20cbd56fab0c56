//! Second factors: enrolment, the check, what it changes, and what it refuses.

use cloud_dev::{AuthFeature, CloudDev};
use reqwest::Method;
use ring::hmac;
use serde_json::json;

use super::{claims, ok, refusal, refused};
use crate::caller::{Answer, Caller, send};

/// The code of a base32 secret at a time in seconds since 1970, written once more for the test.
fn code_at(secret: &str, seconds: i64) -> String {
    let bits: String = secret
        .bytes()
        .map(|c| format!("{:05b}", if c.is_ascii_uppercase() { c - b'A' } else { c - b'2' + 26 }))
        .collect();
    let key: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &(seconds / 30).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// A person with a phone: a session, a factor, and its secret.
struct Phone<'a> {
    caller: &'a Caller,
    token: String,
    factor: String,
    secret: String,
    /// The time of the codes: that of the cloud when the phone was enrolled.
    now: i64,
}

impl<'a> Phone<'a> {
    async fn enrol(caller: &'a Caller, session: &Answer) -> Self {
        let token = session.text_at("/access_token");
        let body = json!({ "factor_type": "totp", "friendly_name": "phone" });
        let enrolled = ok(caller.post("/auth/v1/factors", Some(&token), body).await);
        assert_eq!((enrolled.text_at("/type"), enrolled.text_at("/friendly_name")), ("totp".into(), "phone".into()));
        assert!(enrolled.text_at("/totp/qr_code").contains("<svg"));
        let secret = enrolled.text_at("/totp/secret");
        assert!(enrolled.text_at("/totp/uri").contains(&format!("secret={secret}")));
        // One step of leeway is on either side, so that the end of a step during the test does no harm.
        let now = claims(session)["iat"].as_i64().unwrap();
        Self { caller, token, factor: enrolled.text_at("/id"), secret, now }
    }

    async fn challenge(&self) -> String {
        let path = format!("/auth/v1/factors/{}/challenge", self.factor);
        let challenge = ok(self.caller.post(&path, Some(&self.token), json!({})).await);
        assert_eq!(challenge.text_at("/type"), "totp");
        challenge.text_at("/id")
    }

    async fn answer(&self, challenge: &str, code: &str) -> Answer {
        let path = format!("/auth/v1/factors/{}/verify", self.factor);
        let body = json!({ "challenge_id": challenge, "code": code });
        self.caller.post(&path, Some(&self.token), body).await
    }

    /// The answer to a fresh challenge with the code of `offset` seconds from enrolment.
    async fn verify(&self, offset: i64) -> Answer {
        let challenge = self.challenge().await;
        self.answer(&challenge, &code_at(&self.secret, self.now + offset)).await
    }

    async fn unenrol(&self, bearer: &str) -> Answer {
        let path = format!("/auth/v1/factors/{}", self.factor);
        send(self.caller.request(Method::DELETE, &path).bearer_auth(bearer)).await
    }
}

#[tokio::test]
async fn a_good_code_raises_the_session_and_ends_those_below() {
    let caller = Caller::with(CloudDev::builder().refresh_reuse_interval(std::time::Duration::ZERO)).await;
    let (here, there) = (caller.sign_in(0).await, caller.sign_in(0).await);
    let phone = Phone::enrol(&caller, &here).await;
    let user = caller.get("/auth/v1/user", Some(&phone.token)).await.json();
    assert_eq!(
        (&user["factors"][0]["id"], &user["factors"][0]["status"]),
        (&json!(phone.factor), &json!("unverified"))
    );

    let raised = ok(phone.verify(0).await);
    let before = claims(&here);
    let after = claims(&raised);
    assert_eq!((&before["aal"], &after["aal"]), (&json!("aal1"), &json!("aal2")));
    assert_eq!(before["session_id"], after["session_id"]);
    let methods: Vec<&str> = after["amr"].as_array().unwrap().iter().filter_map(|amr| amr["method"].as_str()).collect();
    assert!(methods.contains(&"totp") && methods.contains(&"password"), "{methods:?}");
    assert_eq!(raised.json()["user"]["factors"][0]["status"], "verified");

    let other = caller.get("/auth/v1/user", Some(&there.text_at("/access_token"))).await;
    assert_eq!(refusal(&other), refused(403, "session_not_found"));
    let renewed = ok(caller.refresh(&raised.text_at("/refresh_token")).await);
    assert_eq!(claims(&renewed)["aal"], "aal2", "the level outlives a refresh");
    let old = caller.refresh(&here.text_at("/refresh_token")).await;
    assert_eq!(refusal(&old), refused(400, "refresh_token_already_used"));
}

#[tokio::test]
async fn codes_count_one_step_early_and_late_once_and_in_order() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &session).await;
    for offset in [-90, 90] {
        assert_eq!(refusal(&phone.verify(offset).await), refused(422, "mfa_verification_failed"), "{offset}");
    }
    ok(phone.verify(0).await);
    for offset in [0, -30] {
        let replayed = phone.verify(offset).await;
        assert_eq!(refusal(&replayed), refused(422, "mfa_verification_failed"), "used, or older than what was used");
    }
    ok(phone.verify(30).await);
}

#[tokio::test]
async fn a_challenge_is_answered_once_and_in_time() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &session).await;
    let empty = phone.answer(&phone.challenge().await, "").await;
    assert_eq!(refusal(&empty), refused(400, "validation_failed"));
    let late = phone.challenge().await;
    caller.cloud.skew_clock(301);
    let code = code_at(&phone.secret, phone.now + 301);
    assert_eq!(refusal(&phone.answer(&late, &code).await), refused(422, "mfa_challenge_expired"));
    assert_eq!(refusal(&phone.answer(&late, &code).await), refused(422, "mfa_factor_not_found"));
    let used = phone.challenge().await;
    ok(phone.answer(&used, &code).await);
    let next = code_at(&phone.secret, phone.now + 331);
    assert_eq!(refusal(&phone.answer(&used, &next).await), refused(422, "mfa_ip_address_mismatch"));
}

#[tokio::test]
async fn what_the_second_factor_guards_wants_the_second_level() {
    let caller = Caller::start().await;
    let first = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &first).await;
    let strong = ok(phone.verify(0).await).text_at("/access_token");
    let weak = caller.token().await;
    for body in [json!({ "password": "a new secret" }), json!({ "email": "ada@new.example" })] {
        assert_eq!(refusal(&caller.put_user(&weak, body).await), refused(401, "insufficient_aal"));
    }
    ok(caller.put_user(&weak, json!({ "data": { "theme": "dark" } })).await);
    let second = json!({ "factor_type": "totp", "friendly_name": "tablet" });
    let refused_second = caller.post("/auth/v1/factors", Some(&weak), second.clone()).await;
    assert_eq!(refusal(&refused_second), refused(403, "insufficient_aal"));
    assert_eq!(refusal(&phone.unenrol(&weak).await), refused(422, "insufficient_aal"));
    ok(caller.post("/auth/v1/factors", Some(&strong), second).await);
    assert_eq!(ok(phone.unenrol(&strong).await).json(), json!({ "id": phone.factor }));
    ok(caller.put_user(&weak, json!({ "password": "a new secret" })).await);
}

#[tokio::test]
async fn without_the_factor_the_session_falls_back() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &session).await;
    let raised = ok(phone.verify(0).await);
    ok(phone.unenrol(&raised.text_at("/access_token")).await);
    let renewed = ok(caller.refresh(&raised.text_at("/refresh_token")).await);
    assert_eq!(claims(&renewed)["aal"], "aal1");
    assert!(renewed.json()["user"].get("factors").is_none());
}

#[tokio::test]
async fn factors_have_names_kinds_limits_and_owners() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &session).await;
    let enrol = async |body| caller.post("/auth/v1/factors", Some(&phone.token), body).await;
    let same = enrol(json!({ "factor_type": "totp", "friendly_name": "phone" })).await;
    assert_eq!(refusal(&same), refused(422, "mfa_factor_name_conflict"));
    for (kind, status, code) in [
        ("phone", 422, "mfa_phone_enroll_not_enabled"),
        ("webauthn", 422, "mfa_webauthn_enroll_not_enabled"),
        ("stone", 400, "validation_failed"),
    ] {
        assert_eq!(refusal(&enrol(json!({ "factor_type": kind })).await), refused(status, code), "{kind}");
    }
    for number in 1..10 {
        ok(enrol(json!({ "factor_type": "totp", "friendly_name": format!("phone {number}") })).await);
    }
    let eleventh = enrol(json!({ "factor_type": "totp", "friendly_name": "one more" })).await;
    assert_eq!(refusal(&eleventh), refused(422, "too_many_enrolled_mfa_factors"));
    // Those nobody verified are forgotten after a while.
    caller.cloud.skew_clock(301);
    ok(enrol(json!({ "factor_type": "totp", "friendly_name": "one more" })).await);

    let grace = caller.sign_in(1).await.text_at("/access_token");
    for id in [phone.factor.as_str(), "7b0e3a52-0000-4000-8000-000000000000"] {
        let path = format!("/auth/v1/factors/{id}/challenge");
        let foreign = caller.post(&path, Some(&grace), json!({})).await;
        assert_eq!(refusal(&foreign), refused(404, "mfa_factor_not_found"));
    }
    let off = Caller::with(CloudDev::builder().without(AuthFeature::TotpEnrolment)).await;
    let token = off.token().await;
    let answer = off.post("/auth/v1/factors", Some(&token), json!({ "factor_type": "totp" })).await;
    assert_eq!(refusal(&answer), refused(422, "mfa_totp_enroll_not_enabled"));
}

#[tokio::test]
async fn a_challenge_is_for_one_factor_alone() {
    let caller = Caller::start().await;
    let session = caller.sign_in(0).await;
    let phone = Phone::enrol(&caller, &session).await;
    let body = json!({ "factor_type": "totp", "friendly_name": "tablet" });
    let tablet = ok(caller.post("/auth/v1/factors", Some(&phone.token), body).await).text_at("/id");
    let path = format!("/auth/v1/factors/{tablet}/challenge");
    let foreign = ok(caller.post(&path, Some(&phone.token), json!({})).await).text_at("/id");
    let code = code_at(&phone.secret, phone.now);
    assert_eq!(refusal(&phone.answer(&foreign, &code).await), refused(422, "mfa_factor_not_found"));
    ok(phone.answer(&phone.challenge().await, &code).await);
}
