//! The whole way over real HTTP: the development cloud, its own provider page, and a listener.
use std::time::Duration;

use cloud_auth::{
    Auth,
    oauth::Sso,
    store::{FileStore, SecretStoreHandle},
};
use cloud_client::Client;
use cloud_dev::{Builder, CloudDev, Running};
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

const LINK: &str = "app://cloud/auth/callback";

/// A cloud, and an app on a file.
struct Stage {
    cloud: Running,
    home: tempfile::TempDir,
}

impl Stage {
    async fn new(cloud: Builder) -> Self {
        Self { cloud: cloud.start().await.unwrap(), home: tempfile::tempdir().unwrap() }
    }

    fn auth(&self) -> Auth {
        let client = Client::builder(self.cloud.url(), self.cloud.publishable_key()).unwrap().build();
        Auth::builder(client, SecretStoreHandle::new(FileStore::new(self.home.path().join("login")))).open()
    }
}

/// One request of the browser; tells status, where it is sent on to, and the page.
async fn ask(url: &Url, form: Option<&str>) -> (u16, Option<Url>, String) {
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let (method, body) = if form.is_some() { ("POST", form.unwrap_or_default()) } else { ("GET", "") };
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| url.join(value).unwrap())
    });
    (status, location, page.to_owned())
}

/// Follows `address` to its end, with `choice` on the provider's page; stops before it leaves the known hosts. Tells where
/// it ended and what it saw there.
async fn browse(cloud: &Running, address: &str, choice: &str) -> (Url, String) {
    let mut url = Url::parse(address).unwrap();
    for _ in 0..10 {
        let known = url.as_str().starts_with(cloud.url()) || url.host_str() == Some("127.0.0.1");
        if !known {
            return (url, String::new());
        }
        let mut answer = ask(&url, None).await;
        if answer.0 == 200 && url.path().ends_with("/provider") {
            answer = ask(&url, Some(choice)).await;
        }
        match answer {
            (300..400, Some(next), _) => url = next,
            (_, _, page) => return (url, page),
        }
    }
    panic!("going in circles at {url}");
}

#[tokio::test]
async fn a_sign_in_from_the_app_to_the_provider_and_back_lasts() {
    let stage = Stage::new(CloudDev::builder()).await;
    let auth = stage.auth();
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let url = attempt.url().to_owned();
    let (user, (ended, page)) =
        tokio::join!(attempt.wait(), browse(&stage.cloud, &url, "email=lin%40example.net&name=Lin"));
    let user = user.unwrap();
    assert_eq!(user.email.as_deref(), Some("lin@example.net"));
    assert!(page.contains("You are signed in") && ended.as_str().contains("code="), "{ended} {page}");
    let provider = auth.take_provider_tokens().expect("what the provider gave");
    assert!(!provider.access_token.expose_secret().is_empty() && auth.take_provider_tokens().is_none());
    auth.refresh().await.unwrap();
    assert!(auth.close(Duration::from_secs(5)).await);
    let auth = stage.auth();
    assert!(auth.settled().await.is_signed_in());
    // The code and the address are used up: coming back to them changes nothing.
    let again = auth.complete(ended.as_str()).await.unwrap_err();
    assert_eq!(again.code().as_str(), "auth.flow_unknown");
    assert!(auth.status().is_signed_in());
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn saying_no_on_the_providers_page_is_told() {
    let stage = Stage::new(CloudDev::builder()).await;
    let mut attempt = stage.auth().sign_in_with_browser("google").begin().await.unwrap();
    let url = attempt.url().to_owned();
    let (result, (_, page)) = tokio::join!(attempt.wait(), browse(&stage.cloud, &url, "decision=deny"));
    assert_eq!(result.unwrap_err().code().as_str(), "auth.browser_denied");
    assert!(page.contains("auth.browser_denied"), "{page}");
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn a_code_is_worth_nothing_without_its_verifier() {
    let stage = Stage::new(CloudDev::builder().allow_redirect(format!("{LINK}*"))).await;
    let auth = stage.auth();
    let begin = || auth.sign_in_with_browser("github").redirect_to(LINK).begin();
    let (mine, mut other) = (begin().await.unwrap(), begin().await.unwrap());
    let (link, _) = browse(&stage.cloud, mine.url(), "email=lin%40example.net").await;
    let code = super::parameter(&link, "code").unwrap();
    assert_eq!(other.complete(&code).await.unwrap_err().code().as_str(), "auth.code_verifier");
    assert!(!auth.status().is_signed_in());
    // It was not spent by that.
    assert!(auth.complete(link.as_str()).await.is_ok());
    assert_eq!(other.complete(&code).await.unwrap_err().code().as_str(), "auth.flow_unknown");
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn a15_a_link_to_the_app_finds_its_verifier_after_a_restart() {
    let stage = Stage::new(CloudDev::builder().allow_redirect(format!("{LINK}*"))).await;
    let auth = stage.auth();
    let attempt = auth.sign_in_with_browser("github").redirect_to(LINK).begin().await.unwrap();
    let (link, _) = browse(&stage.cloud, attempt.url(), "email=lin%40example.net").await;
    drop(attempt);
    assert!(auth.close(Duration::from_secs(5)).await);
    assert!(link.as_str().starts_with("app://cloud/auth/callback?"), "{link}");
    // Two programs are started by the one link.
    let (one, two) = (stage.auth(), stage.auth());
    let (first, second) = tokio::join!(one.complete(link.as_str()), two.complete(link.as_str()));
    let results = [first, second];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.code().as_str(), "auth.flow_unknown");
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn a_redirect_that_the_cloud_does_not_accept_ends_at_its_site() {
    let stage = Stage::new(CloudDev::builder().site_url("https://site.example")).await;
    let auth = stage.auth();
    let sign_in = auth.sign_in_with_browser("github").redirect_to(LINK).timeout(Duration::from_millis(50));
    let mut attempt = sign_in.begin().await.unwrap();
    let (ended, _) = browse(&stage.cloud, attempt.url(), "email=lin%40example.net").await;
    assert_eq!((ended.host_str(), super::parameter(&ended, "sb_flow_id")), (Some("site.example"), None));
    assert_eq!(attempt.wait().await.unwrap_err().code().as_str(), "auth.browser_timeout");
    assert_eq!(auth.complete(ended.as_str()).await.unwrap_err().code().as_str(), "auth.callback_invalid");
    assert!(attempt.complete(ended.as_str()).await.is_ok(), "pasted");
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn a_code_that_is_too_old_for_the_server_is_told_as_such() {
    let stage = Stage::new(CloudDev::builder().allow_redirect(format!("{LINK}*"))).await;
    let auth = stage.auth();
    let attempt = auth.sign_in_with_browser("github").redirect_to(LINK).begin().await.unwrap();
    let (link, _) = browse(&stage.cloud, attempt.url(), "email=lin%40example.net").await;
    stage.cloud.skew_clock(301);
    let error = auth.complete(link.as_str()).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.server_code()), ("auth.flow_expired", Some("flow_state_expired")));
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn a_company_signs_in_at_its_own_provider() {
    let stage = Stage::new(CloudDev::builder().sso_domain("corp.example")).await;
    let auth = stage.auth();
    let unknown = auth.sign_in_with_sso(Sso::Domain("other.example".into())).begin().await.unwrap_err();
    assert_eq!(unknown.server_code(), Some("sso_provider_not_found"));
    let mut attempt = auth.sign_in_with_sso(Sso::Domain("corp.example".into())).begin().await.unwrap();
    let url = attempt.url().to_owned();
    let (user, _) = tokio::join!(attempt.wait(), browse(&stage.cloud, &url, "email=eve%40corp.example"));
    assert_eq!(user.unwrap().email.as_deref(), Some("eve@corp.example"));
    stage.cloud.shutdown().await;
}

#[tokio::test]
async fn an_identity_is_added_to_the_account_that_is_signed_in() {
    let stage = Stage::new(CloudDev::builder()).await;
    let auth = stage.auth();
    let ada = &stage.cloud.demo().people[0];
    let before = auth.sign_in_with_password(&ada.email, ada.password.as_str().into()).await.unwrap();
    let mut attempt = auth.link_identity("github").begin().await.unwrap();
    let url = attempt.url().to_owned();
    let (user, _) = tokio::join!(attempt.wait(), browse(&stage.cloud, &url, "email=ada.codes%40example.net"));
    assert_eq!(user.unwrap().id, before.id);
    // The other identity opens the same account.
    let other = Stage { cloud: stage.cloud, home: tempfile::tempdir().unwrap() };
    let mut attempt = other.auth().sign_in_with_browser("github").begin().await.unwrap();
    let url = attempt.url().to_owned();
    let (user, _) = tokio::join!(attempt.wait(), browse(&other.cloud, &url, "email=ada.codes%40example.net"));
    assert_eq!(user.unwrap().id, before.id);
    other.cloud.shutdown().await;
}
