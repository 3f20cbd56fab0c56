//! Signing in through a real browser: Chromium, with the cloud's own provider page and with `oidc-provider`.
//!
//! [`Attempt`] → `js/chromium-sign-in.mjs` (playwright-core, the system's Chromium) opens its address and fills in what
//! it is asked → provider → cloud → the listener of the attempt → the session. `js/oidc-log-in.mjs` is the provider
//! of another author: it insists on PKCE, a secret, and the exact redirect address.

use std::{path::Path, process::Stdio, time::Duration};

use cloud_dev::{CloudDev, OidcProvider, Running};
use cloud_sdk::{
    Error,
    auth::{
        Auth,
        oauth::Attempt,
        status::User,
        store::{MemoryStore, SecretStoreHandle},
    },
    client::Client,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin},
    time::timeout,
};

use crate::{
    clients::Clients,
    lane::{Lane, skip},
};

/// Where the packages of Debian and others put it.
const CHROMIUM: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/// How long the provider may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);
const SCRIPT: &str = "chromium-sign-in.mjs";

/// The client that the cloud is to the provider.
const CLIENT: [&str; 2] = ["cloud-dev", "a secret of the cloud"];

/// What the tests need and a machine may lack.
struct Browser {
    clients: &'static Clients,
    chromium: &'static str,
}

impl Browser {
    /// `None` where it cannot be had; that was said then.
    async fn find() -> Option<Self> {
        let Some(chromium) = CHROMIUM.into_iter().find(|path| Path::new(path).exists()) else {
            skip(SCRIPT, "Chromium is not installed (Debian: apt-get install chromium fonts-dejavu-core)");
            return None;
        };
        match Clients::install().await {
            Ok(clients) => Some(Self { clients, chromium }),
            Err(reason) => {
                skip(SCRIPT, reason);
                None
            }
        }
    }

    /// Opens the attempt's address and answers the pages as `story` has it, while the attempt waits.
    async fn go(&self, cloud: &Running, attempt: &mut Attempt, story: &str, checks: usize) -> Result<User, Error> {
        let mut script = self.clients.script(SCRIPT);
        script.arg(story).env("SIGN_IN_URL", attempt.url()).env("CHROMIUM", self.chromium);
        let lane = Lane { script: SCRIPT, checks };
        let (user, ()) = tokio::join!(attempt.wait(), lane.judge_on(script, cloud));
        user
    }
}

fn auth(cloud: &Running) -> Auth {
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build();
    Auth::builder(client, SecretStoreHandle::new(MemoryStore::new())).open()
}

#[tokio::test]
async fn chromium_signs_in_on_the_clouds_own_page() {
    let Some(browser) = Browser::find().await else { return };
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = auth(&cloud);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let user = browser.go(&cloud, &mut attempt, "choose", 6).await.unwrap();
    assert_eq!(user.email.as_deref(), Some(cloud.demo().people[0].email.as_str()));
    assert!(auth.status().is_signed_in());
    cloud.shutdown().await;
}

#[tokio::test]
async fn chromium_is_told_when_the_user_says_no() {
    let Some(browser) = Browser::find().await else { return };
    let cloud = CloudDev::builder().start().await.unwrap();
    let auth = auth(&cloud);
    let mut attempt = auth.sign_in_with_browser("google").begin().await.unwrap();
    let error = browser.go(&cloud, &mut attempt, "deny", 4).await.unwrap_err();
    assert_eq!(error.code().as_str(), "auth.browser_denied");
    assert!(!auth.status().is_signed_in());
    cloud.shutdown().await;
}

#[tokio::test]
async fn chromium_signs_in_with_a_provider_of_another_author() {
    let Some(browser) = Browser::find().await else { return };
    let provider = Provider::spawn(browser.clients).await;
    let [id, secret] = CLIENT;
    let upstream = OidcProvider::new("keycloak", provider.issuer.as_str(), id, secret);
    let cloud = CloudDev::builder().oauth_upstream(upstream).start().await.unwrap();
    let mut provider = provider.serve(&cloud).await;
    let auth = auth(&cloud);
    let mut attempt = auth.sign_in_with_browser("keycloak").begin().await.unwrap();
    let user = browser.go(&cloud, &mut attempt, "log-in", 6).await.unwrap();
    assert_eq!(user.email.as_deref(), Some("lin@idp.example"));
    auth.refresh().await.unwrap();
    cloud.shutdown().await;
    drop(provider.input);
    assert!(timeout(START_LIMIT, provider.child.wait()).await.expect("it ends with its input").unwrap().success());
}

/// `oidc-provider` at a port of its own.
struct Provider {
    child: Child,
    input: ChildStdin,
    issuer: String,
}

impl Provider {
    /// Takes a port; what it serves follows with [`Provider::serve`].
    async fn spawn(clients: &Clients) -> Self {
        let mut script = clients.script("oidc-log-in.mjs");
        let mut child = script.args(CLIENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line =
            timeout(START_LIMIT, lines.next_line()).await.expect("oidc-provider should be there by now").unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input, issuer: line.expect("oidc-provider says its address") }
    }

    /// Tells it where the cloud is, which only exists since it was told where the provider is.
    async fn serve(mut self, cloud: &Running) -> Self {
        self.input.write_all(format!("{}/auth/v1/callback\n", cloud.url()).as_bytes()).await.unwrap();
        self
    }
}
