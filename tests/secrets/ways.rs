//! Every way in besides the password and the browser, and a second factor.
use std::time::Duration;

use cloud_dev::{CloudDev, Running};
use cloud_sdk::{
    Error, ExposeSecret as _,
    auth::{
        Auth, IdToken, OtpKind, Scope, SendOptions,
        account::UserChange,
        store::{FileStore, SecretStoreHandle},
    },
    client::{Client, TokenSource as _, events::Heard},
};
use ring::hmac;
use url::Url;

use crate::{
    browser::{browse, verifiers},
    server,
    session::refresh_tokens,
    sinks::Sinks,
};

const EMAIL: &str = "lin@example.net";
const LINK: &str = "app://cloud/auth/callback";

/// An app on a file, and what it meets.
struct Stage {
    server: Running,
    home: tempfile::TempDir,
    auth: Auth,
    sinks: Sinks,
    secrets: Vec<String>,
}

impl Stage {
    async fn new() -> Self {
        let sinks = Sinks::new();
        let server = CloudDev::builder().allow_redirect(format!("{LINK}*")).email_interval(Duration::ZERO);
        let server = server::start(server).await;
        let home = tempfile::tempdir().unwrap();
        let client = Client::builder(server.url(), server.publishable_key()).unwrap().build();
        let store = SecretStoreHandle::new(FileStore::new(home.path().join("login")));
        let auth = Auth::builder(client, store).open();
        Self { server, home, auth, sinks, secrets: Vec::new() }
    }

    fn stored(&self) -> String {
        std::fs::read_to_string(self.home.path().join("login")).unwrap()
    }

    /// The code and the hash of the newest mail.
    fn mailed(&mut self) -> (String, String) {
        let mail = self.server.mail_to(EMAIL).unwrap();
        self.secrets.extend([mail.code.clone(), mail.token_hash.clone()]);
        (mail.code, mail.token_hash)
    }

    fn seen(&mut self, result: Result<impl std::fmt::Debug, Error>) {
        match result {
            Ok(value) => self.sinks.debug(&value),
            Err(error) => self.sinks.error(&error),
        }
    }

    /// Somebody is signed in: what they hold is kept, and they go again.
    async fn out(&mut self) {
        let token = self.auth.token().await.unwrap().unwrap();
        self.secrets.push(token.secret.expose_secret().to_owned());
        self.secrets.extend(refresh_tokens(&self.stored()));
        let (auth, status) = (self.auth.clone(), self.auth.status());
        self.sinks.debug(&auth);
        self.sinks.debug(&status);
        self.sinks.json(&status);
        let left = self.auth.sign_out(Scope::Local).await;
        self.seen(left);
    }
}

#[tokio::test]
async fn a12_no_code_link_token_or_factor_of_any_way_in_comes_out() {
    let mut stage = Stage::new().await;
    let auth = stage.auth.clone();
    let mut events = auth.events();

    let options = SendOptions::default();
    stage.sinks.debug(&options);
    auth.send_code(EMAIL, options).await.unwrap();
    let (code, _) = stage.mailed();
    let wrong = auth.verify_code(OtpKind::Email, EMAIL, "wrong-canary".into()).await;
    stage.seen(wrong);
    let right = auth.verify_code(OtpKind::Email, EMAIL, code.clone().into()).await;
    stage.seen(right);
    stage.out().await;
    let used = auth.verify_code(OtpKind::Email, EMAIL, code.into()).await;
    stage.seen(used);

    auth.send_code(EMAIL, SendOptions::default()).await.unwrap();
    let (_, hash) = stage.mailed();
    for _ in 0..2 {
        let opened = auth.verify_link(OtpKind::Email, hash.clone().into()).await;
        stage.seen(opened);
    }
    stage.out().await;

    auth.send_code(EMAIL, SendOptions::default().finish_at(LINK)).await.unwrap();
    stage.secrets.extend(verifiers(&stage.stored()));
    stage.mailed();
    let link = Url::parse(&stage.server.mail_to(EMAIL).unwrap().link.unwrap()).unwrap();
    let address = browse(link, "").await.0;
    let value = |name: &str| address.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
    stage.secrets.extend([value("code"), value("sb_flow_id")]);
    for _ in 0..2 {
        let completed = auth.complete(address.as_str()).await;
        stage.seen(completed);
    }
    stage.out().await;

    auth.send_recovery(EMAIL, SendOptions::default()).await.unwrap();
    let (code, _) = stage.mailed();
    auth.verify_code(OtpKind::Recovery, EMAIL, code.into()).await.unwrap();
    let change = UserChange::default().password("a-new-canary-password".into());
    stage.sinks.debug(&change);
    let changed = auth.account().update(change).await;
    stage.seen(changed);
    stage.out().await;

    let vouched = stage.server.id_token("google", EMAIL, Some("raw-canary-nonce"));
    let token = IdToken::new("google", vouched.clone().into()).nonce("raw-canary-nonce".to_owned().into());
    stage.sinks.debug(&token);
    let refused = auth.sign_in_with_id_token(token.clone().nonce("other-canary-nonce".to_owned().into())).await;
    stage.seen(refused);
    let user = auth.sign_in_with_id_token(token).await;
    stage.seen(user);
    stage.secrets.extend([vouched, "raw-canary-nonce".into(), "other-canary-nonce".into()]);
    stage.out().await;

    let anybody = auth.sign_in_anonymously(None).await;
    stage.seen(anybody);
    stage.out().await;

    let known = auth.sign_in_with_password(EMAIL, "a-new-canary-password".into()).await;
    stage.seen(known);
    let enrolment = auth.mfa().enrol(Some("phone"), None).await.unwrap();
    stage.sinks.debug(&enrolment);
    let wrong = auth.mfa().verify_code(&enrolment.factor, "wrong-canary".into()).await;
    stage.seen(wrong);
    let now = auth.client().clock().wall().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let digits = shown(enrolment.secret.expose_secret(), now / 30);
    let better = auth.mfa().verify_code(&enrolment.factor, digits.clone().into()).await;
    assert!(better.is_ok(), "{better:?}");
    stage.seen(better);
    stage.secrets.extend([digits, enrolment.secret.expose_secret().to_owned()]);
    stage.secrets.extend([enrolment.uri.expose_secret().to_owned(), enrolment.qr_svg.expose_secret().to_owned()]);
    stage.out().await;

    let taken = auth.take_over_session("a-stolen-canary-token".into()).await;
    stage.seen(taken);
    stage.server.set_offline(true);
    let offline = auth.sign_in_with_password(EMAIL, "a-new-canary-password".into()).await;
    stage.seen(offline);

    while let Some(Heard::Event(event)) = events.try_next() {
        stage.sinks.debug(&event);
        stage.sinks.json(&event);
    }
    auth.close(Duration::from_secs(5)).await;
    let Stage { mut sinks, mut secrets, home, server, .. } = stage;
    sinks.files(home.path(), &home.path().join("login"));
    secrets.extend(["wrong-canary", "a-new-canary-password", "a-stolen-canary-token"].map(str::to_owned));
    assert!(secrets.len() >= 30, "{}", secrets.len());
    sinks.hold_none_of(&secrets);
    server.shutdown().await;
}

/// What an authenticator app shows in a step of thirty seconds.
fn shown(secret: &str, step: u64) -> String {
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
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}
