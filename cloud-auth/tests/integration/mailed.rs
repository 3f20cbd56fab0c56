//! Links in mails that finish on this device: what is asked for and kept, and the whole way over the development cloud.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use cloud_auth::{
    Auth, OtpKind, SendOptions, SignUp,
    account::UserChange,
    events::AuthChange,
    store::{FileStore, SecretStoreHandle},
};
use cloud_client::{
    Client,
    events::Heard,
    testing::{Scripted, Sent, Step},
};
use cloud_dev::{CloudDev, Running};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

use crate::{
    disk::{Disk, Trouble},
    world::{client, grant, no_profile, pass, refusal},
};

const LINK: &str = "app://cloud/auth/callback";
const EMAIL: &str = "lin@example.net";

fn open(cloud: &Scripted, disk: &Disk) -> Auth {
    Auth::builder(client(cloud), SecretStoreHandle::new(disk.clone())).open()
}

fn here() -> SendOptions {
    SendOptions::default().finish_at(LINK)
}

fn redirect(sent: &Sent) -> Url {
    let url = Url::parse(&format!("https://x{}", sent.target.split_once(' ').unwrap().1)).unwrap();
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_to").unwrap().1.into_owned();
    Url::parse(&redirect).unwrap()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// What waits for a mail, while nobody is signed in.
fn kept(disk: &Disk) -> Vec<Value> {
    let page: Value = serde_json::from_str(&disk.text()).unwrap_or_default();
    page["pending"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a15_a_mailed_links_verifier_is_durable_and_only_its_challenge_is_sent() {
    for case in ["otp", "recover", "signup"] {
        let (cloud, disk) = (Scripted::default(), Disk::default());
        let auth = open(&cloud, &disk);
        cloud.then([Step::json(200, r#"{"id":"u1","email":"u1@example.com"}"#)]);
        match case {
            "otp" => auth.send_code("u1@example.com", here()).await.unwrap(),
            "recover" => auth.send_recovery("u1@example.com", here()).await.unwrap(),
            _ => {
                let made = auth.sign_up("u1@example.com", "long enough".into(), here()).await.unwrap();
                assert!(matches!(made, SignUp::ConfirmEmail(_)));
            }
        }
        let sent = cloud.sent().remove(0);
        assert!(sent.target.starts_with(&format!("POST /auth/v1/{case}?redirect_to=")), "{}", sent.target);
        let pending = kept(&disk);
        assert_eq!(pending.len(), 1);
        let verifier = pending[0]["verifier"].as_str().unwrap();
        let flow = parameter(&redirect(&sent), "sb_flow_id").unwrap();
        assert_eq!(pending[0]["id"], flow);
        let body: Value = serde_json::from_str(&sent.body).unwrap();
        let digest = super::world::base64url(&Sha256::digest(verifier.as_bytes()));
        assert_eq!((&body["code_challenge"], &body["code_challenge_method"]), (&json!(digest), &json!("s256")));
        assert!(!sent.body.contains(verifier) && !sent.target.contains(verifier));

        // A link of somebody else's making, then the real one.
        let stray = auth.complete(&format!("{LINK}?code=c0de&sb_flow_id=somebodys")).await.unwrap_err();
        assert_eq!(stray.code().as_str(), "auth.flow_unknown");
        cloud.then([grant(1)]);
        cloud.then(no_profile());
        let mut events = auth.events();
        pass(3000).await;
        auth.complete(&format!("{LINK}?code=c0de&sb_flow_id={flow}")).await.unwrap();
        let exchange: Value = serde_json::from_str(&cloud.sent()[1].body).unwrap();
        assert_eq!(exchange, json!({ "auth_code": "c0de", "code_verifier": verifier }));
        let mut recovery = false;
        while let Some(Heard::Event(event)) = events.try_next() {
            recovery |= event.change == AuthChange::PasswordRecovery;
        }
        assert_eq!(recovery, case == "recover");
        assert!(!disk.text().contains("verifier"), "{case}: once");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_mail_that_was_not_sent() {
    let (cloud, disk) = (Scripted::default(), Disk::default());
    let auth = open(&cloud, &disk);
    for (step, waits) in [
        (refusal(422, "otp_disabled"), 0),
        (refusal(403, "signup_disabled"), 0),
        // It may have been sent.
        (Step::answer(502, "text/html", "<p>"), 1),
    ] {
        cloud.then([step]);
        auth.send_code("u1@example.com", here()).await.unwrap_err();
        assert_eq!(kept(&disk).len(), waits);
    }
    // An account that needs no mail.
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    let made = auth.sign_up("u1@example.com", "long enough".into(), here()).await.unwrap();
    assert!(matches!(made, SignUp::SignedIn(_)));
    assert_eq!(disk.text().matches("\"verifier\"").count(), 1, "the one from before");
    let before = cloud.sent().len();
    for address in ["javascript:alert(1)", "no address", "http://elsewhere.example/"] {
        let options = SendOptions::default().finish_at(address);
        let error = auth.send_code("u1@example.com", options).await.unwrap_err();
        assert_eq!(error.code().as_str(), "auth.redirect_invalid", "{address}");
    }
    assert_eq!(cloud.sent().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a15_no_mail_is_asked_for_when_the_verifier_cannot_be_kept() {
    for trouble in [Trouble::FailBefore, Trouble::FailAfter, Trouble::HangBefore] {
        let (cloud, disk) = (Scripted::default(), Disk::default());
        let auth = open(&cloud, &disk);
        auth.settled().await;
        pass(1).await;
        disk.break_at(0, trouble);
        let error = auth.send_code("u1@example.com", here()).await.unwrap_err();
        assert!(error.code().as_str().starts_with("store."), "{error:?}");
        assert!(cloud.sent().is_empty(), "{trouble:?}");
    }
}

/// An app on a file of its own.
fn app(cloud: &Running, home: &tempfile::TempDir) -> Auth {
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build();
    Auth::builder(client, SecretStoreHandle::new(FileStore::new(home.path().join("login")))).open()
}

/// Opens the newest mailed link as a browser does; tells where it leads.
async fn opened(cloud: &Running) -> String {
    let link = Url::parse(&cloud.mail_to(EMAIL).unwrap().link.unwrap()).unwrap();
    let host = format!("{}:{}", link.host_str().unwrap(), link.port().unwrap());
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let (path, query) = (link.path(), link.query().unwrap());
    let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(name, _)| name.eq_ignore_ascii_case("location")).expect("somewhere to go").1.to_owned()
}

#[tokio::test]
async fn a_mailed_link_signs_in_on_the_device_that_asked_for_it_and_on_no_other() {
    let cloud = CloudDev::builder().allow_redirect(format!("{LINK}*")).start().await.unwrap();
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let auth = app(&cloud, &home);
    auth.send_code(EMAIL, here()).await.unwrap();
    assert!(cloud.mail_to(EMAIL).unwrap().token_hash.starts_with("pkce_"));
    assert!(auth.close(Duration::from_secs(5)).await);
    let address = opened(&cloud).await;
    assert!(address.starts_with(LINK) && !address.contains("token"), "a code and nothing else: {address}");
    let other = app(&cloud, &elsewhere);
    assert_eq!(other.complete(&address).await.unwrap_err().code().as_str(), "auth.flow_unknown");
    // The app was started again meanwhile.
    let auth = app(&cloud, &home);
    assert_eq!(auth.complete(&address).await.unwrap().email.as_deref(), Some(EMAIL));
    assert_eq!(auth.complete(&address).await.unwrap_err().code().as_str(), "auth.flow_unknown");
    auth.refresh().await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_confirmation_and_a_forgotten_password_finish_by_their_links() {
    let cloud = CloudDev::builder().require_email_confirmation().allow_redirect(format!("{LINK}*"));
    let cloud = cloud.email_interval(Duration::ZERO).start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let auth = app(&cloud, &home);
    let options = here().data(json!({ "name": "Lin" }).as_object().cloned().unwrap());
    let made = auth.sign_up(EMAIL, "a long password".into(), options).await.unwrap();
    assert!(matches!(made, SignUp::ConfirmEmail(_)));
    let user = auth.complete(&opened(&cloud).await).await.unwrap();
    assert_eq!((user.email.as_deref(), &user.user_metadata["name"]), (Some(EMAIL), &json!("Lin")));
    auth.sign_out(cloud_auth::Scope::Local).await.unwrap();

    let mut events = auth.events();
    auth.send_recovery(EMAIL, here()).await.unwrap();
    auth.complete(&opened(&cloud).await).await.unwrap();
    let mut recovery = false;
    while let Some(Heard::Event(event)) = events.try_next() {
        recovery |= event.change == AuthChange::PasswordRecovery;
    }
    assert!(recovery);
    auth.account().update(UserChange::default().password("another long one".into())).await.unwrap();
    auth.sign_out(cloud_auth::Scope::Local).await.unwrap();
    auth.sign_in_with_password(EMAIL, "another long one".into()).await.unwrap();

    // The code in the mail still signs in, on any device, whatever became of the link.
    auth.sign_out(cloud_auth::Scope::Local).await.unwrap();
    auth.send_code(EMAIL, here()).await.unwrap();
    let digits = cloud.mail_to(EMAIL).unwrap().code;
    auth.verify_code(OtpKind::Email, EMAIL, digits.into()).await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_link_that_is_too_old_says_so() {
    let cloud = CloudDev::builder().allow_redirect(format!("{LINK}*")).email_code_lifetime(Duration::from_secs(3600));
    let cloud = cloud.start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let auth = app(&cloud, &home);
    auth.send_code(EMAIL, here()).await.unwrap();
    cloud.skew_clock(3700);
    let error = auth.complete(&opened(&cloud).await).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.server_code()), ("auth.otp_expired", Some("otp_expired")));
    assert!(!auth.status().is_signed_in());
    cloud.shutdown().await;
}
