//! Every way in and everything done to an account, over real HTTP, against the development cloud.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::SystemTime;

use cloud_auth::{
    Auth, IdToken, OtpKind, Scope, SendOptions, SignUp, Verified,
    account::UserChange,
    events::AuthChange,
    status::AssuranceLevel,
    store::{MemoryStore, SecretStoreHandle},
};
use cloud_client::{Client, Error, TokenSource as _, events::Heard};
use cloud_dev::{CloudDev, Running};
use ring::hmac;
use secrecy::ExposeSecret as _;

const EMAIL: &str = "lin@example.net";
const PASSWORD: &str = "a long password";

fn open(cloud: &Running) -> Auth {
    let client = Client::builder(cloud.url(), cloud.publishable_key()).expect("a good address").build();
    Auth::builder(client, SecretStoreHandle::new(MemoryStore::new())).open()
}

fn code(error: &Error) -> &'static str {
    error.code().as_str()
}

fn mailed(cloud: &Running, to: &str) -> String {
    cloud.mail_to(to).expect("a mail").code
}

/// What an authenticator app shows at `now`, `steps` codes later: a code counts once.
fn shown(secret: &str, now: SystemTime, steps: u64) -> String {
    let bits = secret.bytes().filter_map(|c| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|&known| known == c));
    let (mut key, mut held, mut count) = (Vec::new(), 0_usize, 0);
    for five in bits {
        held = (held << 5 | five) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            key.push(u8::try_from(held >> count & 0xff).unwrap());
        }
    }
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 30 * steps;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &(seconds / 30).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

#[tokio::test]
async fn a_mailed_code_and_a_mailed_link_sign_in() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = open(&cloud);
    let options = SendOptions::default().existing_only();
    assert_eq!(code(&auth.send_code(EMAIL, options).await.unwrap_err()), "auth.otp_disabled");
    auth.send_code(EMAIL, SendOptions::default()).await.unwrap();
    let wrong = auth.verify_code(OtpKind::Email, EMAIL, "000000".into()).await.unwrap_err();
    assert_eq!(code(&wrong), "auth.otp_expired");
    let digits = mailed(&cloud, EMAIL);
    let verified = auth.verify_code(OtpKind::Email, EMAIL, digits.clone().into()).await.unwrap();
    assert!(matches!(verified, Verified::SignedIn(user) if user.email.as_deref() == Some(EMAIL)));
    auth.sign_out(Scope::Local).await.unwrap();
    assert_eq!(code(&auth.verify_code(OtpKind::Email, EMAIL, digits.into()).await.unwrap_err()), "auth.otp_expired");
    let other = "ada@example.net";
    auth.send_code(other, SendOptions::default()).await.unwrap();
    let hash = cloud.mail_to(other).unwrap().token_hash;
    auth.verify_link(OtpKind::Email, hash.into()).await.unwrap();
    assert_eq!(auth.status().user().unwrap().email.as_deref(), Some(other));
    cloud.shutdown().await;
}

#[tokio::test]
async fn an_account_that_has_to_be_confirmed_is_and_a_forgotten_password_is_replaced() {
    let cloud = CloudDev::builder().require_email_confirmation().start().await.unwrap();
    let auth = open(&cloud);
    let made = auth.sign_up(EMAIL, PASSWORD.into(), SendOptions::default()).await.unwrap();
    assert!(matches!(made, SignUp::ConfirmEmail(_)));
    let early = auth.sign_in_with_password(EMAIL, PASSWORD.into()).await.unwrap_err();
    assert_eq!(code(&early), "auth.email_not_confirmed");
    auth.verify_code(OtpKind::SignUp, EMAIL, mailed(&cloud, EMAIL).into()).await.unwrap();
    assert_eq!(auth.sign_up(EMAIL, PASSWORD.into(), SendOptions::default()).await.unwrap(), SignUp::MaybeRegistered);
    auth.sign_out(Scope::Local).await.unwrap();

    let mut events = auth.events();
    auth.send_recovery(EMAIL, SendOptions::default()).await.unwrap();
    auth.verify_code(OtpKind::Recovery, EMAIL, mailed(&cloud, EMAIL).into()).await.unwrap();
    let mut recovery = false;
    while let Some(Heard::Event(event)) = events.try_next() {
        recovery |= event.change == AuthChange::PasswordRecovery;
    }
    assert!(recovery);
    let same = auth.account().update(UserChange::default().password(PASSWORD.into())).await.unwrap_err();
    assert_eq!(code(&same), "auth.same_password");
    auth.account().update(UserChange::default().password("another long one".into())).await.unwrap();
    auth.sign_out(Scope::Local).await.unwrap();
    let old = auth.sign_in_with_password(EMAIL, PASSWORD.into()).await.unwrap_err();
    assert_eq!(code(&old), "auth.invalid_credentials");
    auth.sign_in_with_password(EMAIL, "another long one".into()).await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_stranger_signs_in_and_becomes_somebody() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = open(&cloud);
    let data = serde_json::json!({ "theme": "dark" }).as_object().cloned();
    let stranger = auth.sign_in_anonymously(data).await.unwrap();
    assert!(stranger.is_anonymous && stranger.user_metadata["theme"] == "dark");
    let before = auth.token().await.unwrap().unwrap();
    let change = UserChange::default().email(EMAIL).password(PASSWORD.into());
    let mut user = auth.account().update(change).await.unwrap();
    if user.is_anonymous {
        auth.verify_code(OtpKind::EmailChange, EMAIL, mailed(&cloud, EMAIL).into()).await.unwrap();
        user = auth.account().fetch().await.unwrap();
    }
    assert_eq!((user.id, user.email.as_deref(), user.is_anonymous), (stranger.id, Some(EMAIL), false));
    assert!(auth.token().await.unwrap().unwrap().generation > before.generation);
    cloud.shutdown().await;
}

#[tokio::test]
async fn another_services_token_signs_in_and_is_linked() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = open(&cloud);
    let token = |service: &str, nonce: &str| {
        IdToken::new(service, cloud.id_token(service, EMAIL, Some("raw")).into()).nonce(nonce.to_owned().into())
    };
    let wrong = auth.sign_in_with_id_token(token("google", "other")).await.unwrap_err();
    assert_eq!(code(&wrong), "auth.id_token_refused");
    let user = auth.sign_in_with_id_token(token("google", "raw")).await.unwrap();
    assert_eq!(user.email.as_deref(), Some(EMAIL));
    let linked = auth.account().link_id_token(token("azure", "raw")).await.unwrap();
    assert_eq!(linked.id, user.id);
    let identities = auth.account().identities().await.unwrap();
    let google = identities.iter().find(|identity| identity.provider == "google").expect("linked at sign-in");
    assert!(identities.iter().any(|identity| identity.provider == "azure"), "{identities:?}");
    auth.account().unlink(&google.identity_id).await.unwrap();
    let left = auth.account().identities().await.unwrap();
    assert_eq!(left.len(), identities.len() - 1);
    auth.refresh().await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_second_factor_is_enrolled_used_and_taken_away() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = open(&cloud);
    auth.sign_up(EMAIL, PASSWORD.into(), SendOptions::default()).await.unwrap();
    assert_eq!(auth.mfa().assurance().unwrap().current, Some(AssuranceLevel::AAL1));
    let clock = auth.client().clock().clone();
    let now = || clock.wall();
    let enrolment = auth.mfa().enrol(Some("phone"), Some("App")).await.unwrap();
    assert!(enrolment.qr_svg.expose_secret().contains("<svg") && enrolment.uri.expose_secret().starts_with("otpauth:"));
    let secret = enrolment.secret.expose_secret().to_owned();
    let wrong = auth.mfa().verify_code(&enrolment.factor, "000000".into()).await.unwrap_err();
    assert_eq!(code(&wrong), "auth.mfa_code_wrong");
    let before = auth.token().await.unwrap().unwrap();
    auth.mfa().verify_code(&enrolment.factor, shown(&secret, now(), 0).into()).await.unwrap();
    assert_eq!(auth.mfa().assurance().unwrap().current, Some(AssuranceLevel::AAL2));
    assert!(auth.token().await.unwrap().unwrap().generation > before.generation);
    auth.refresh().await.unwrap();
    assert_eq!(auth.mfa().assurance().unwrap().current, Some(AssuranceLevel::AAL2), "the new session is the one kept");
    auth.sign_out(Scope::Local).await.unwrap();

    auth.sign_in_with_password(EMAIL, PASSWORD.into()).await.unwrap();
    assert!(auth.mfa().assurance().unwrap().wants_second_factor());
    let change = || UserChange::default().password("another long one".into());
    assert_eq!(code(&auth.account().update(change()).await.unwrap_err()), "auth.mfa_required");
    let factors = auth.mfa().factors().await.unwrap();
    auth.mfa().verify_code(&factors[0].id, shown(&secret, now(), 1).into()).await.unwrap();
    auth.account().update(change()).await.unwrap();
    auth.mfa().unenrol(&factors[0].id).await.unwrap();
    assert!(auth.mfa().factors().await.unwrap().is_empty() && !auth.mfa().assurance().unwrap().wants_second_factor());
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_changed_address_waits_for_both_and_a_new_password_for_a_nonce() {
    let cloud = CloudDev::builder().require_email_confirmation().require_reauthentication();
    let cloud = cloud.email_interval(std::time::Duration::ZERO).start().await.unwrap();
    let auth = open(&cloud);
    auth.sign_up(EMAIL, PASSWORD.into(), SendOptions::default()).await.unwrap();
    auth.verify_code(OtpKind::SignUp, EMAIL, mailed(&cloud, EMAIL).into()).await.unwrap();
    let pending = auth.account().update(UserChange::default().email("ada@example.net")).await.unwrap();
    assert_eq!((pending.email.as_deref(), pending.new_email.as_deref()), (Some(EMAIL), Some("ada@example.net")));
    let half = auth.verify_code(OtpKind::EmailChange, EMAIL, mailed(&cloud, EMAIL).into()).await.unwrap();
    assert_eq!(half, Verified::OtherHalf);
    let digits = mailed(&cloud, "ada@example.net");
    auth.verify_code(OtpKind::EmailChange, "ada@example.net", digits.into()).await.unwrap();
    assert_eq!(auth.account().fetch().await.unwrap().email.as_deref(), Some("ada@example.net"));
    auth.account().reauthenticate().await.unwrap();
    let nonce = mailed(&cloud, "ada@example.net");
    auth.account().update(UserChange::default().password("another long one".into()).nonce(nonce.into())).await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_sign_out_without_a_network_is_made_good_when_it_is_back() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = open(&cloud);
    auth.sign_up(EMAIL, PASSWORD.into(), SendOptions::default()).await.unwrap();
    cloud.set_offline(true);
    assert!(auth.sign_out(Scope::Local).await.unwrap().revoked.is_err());
    assert!(!auth.status().is_signed_in());
    cloud.set_offline(false);
    let before = cloud.requests("/auth/v1/logout");
    let clock = auth.client().clock().clone();
    let heard = cloud.reached("/auth/v1/logout", before + 1);
    clock.within(std::time::Duration::from_secs(20), heard).await.expect("told within twenty seconds");
    cloud.shutdown().await;
}
