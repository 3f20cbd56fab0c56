//! Signing in through a browser that is a few lines of this file: it follows no link, it says what the test wants said.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod attempts;
mod canary;
mod cloud;
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::Engine as _;
use cloud_auth::{
    Auth,
    oauth::Attempt,
    store::{MemoryStore, SecretStoreHandle},
};
use cloud_client::{
    Client,
    clock::{Clock, SharedClock, SystemClock},
    retry::Policy,
    testing::{Scripted, Sent},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

use crate::world::ORIGIN;

/// The address that the attempt is to be opened at, taken apart.
struct Asked {
    url: Url,
    redirect: Url,
}

impl Asked {
    fn of(attempt: &Attempt) -> Self {
        let url = Url::parse(attempt.url()).unwrap();
        let redirect = Url::parse(&parameter(&url, "redirect_to").unwrap()).unwrap();
        Self { url, redirect }
    }

    fn challenge(&self) -> String {
        parameter(&self.url, "code_challenge").unwrap()
    }

    fn flow(&self) -> String {
        parameter(&self.redirect, "sb_flow_id").unwrap()
    }

    /// Where the browser ends, with `more` in the query.
    fn back(&self, more: &str) -> String {
        format!("{}&{more}", self.redirect)
    }

    /// The browser comes back; tells the page.
    async fn come_back(&self, more: &str) -> String {
        let target = format!("{}?{}&{more}", self.redirect.path(), self.redirect.query().unwrap());
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host());
        self.say(&request).await
    }

    fn host(&self) -> String {
        format!("{}:{}", self.redirect.host_str().unwrap(), self.redirect.port().unwrap())
    }

    /// Sends a request as it is; tells the whole answer.
    async fn say(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The code and the challenge of the verifier in every exchange that was asked for.
fn exchanges(cloud: &Scripted) -> Vec<(String, String)> {
    let ours = |sent: &Sent| sent.target == "POST /auth/v1/token?grant_type=pkce";
    let read = |sent: Sent| {
        let body: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
        let digest = Sha256::digest(body["code_verifier"].as_str().unwrap());
        let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
        (body["auth_code"].as_str().unwrap().to_owned(), challenge)
    };
    cloud.sent().into_iter().filter(ours).map(read).collect()
}

/// The machine's clock, with a wall clock that a test can set.
#[derive(Clone, Debug, Default)]
struct SetClock {
    clock: SystemClock,
    seconds: Arc<AtomicI64>,
}

impl SetClock {
    fn shift(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for SetClock {
    fn wall(&self) -> SystemTime {
        let seconds = self.seconds.load(Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { self.clock.wall() - by } else { self.clock.wall() + by }
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

fn open_at(cloud: &Scripted, store: &MemoryStore, clock: &SetClock) -> Auth {
    let builder = Client::builder(ORIGIN, "sb_publishable_test").unwrap().transport(cloud.shared());
    let client = builder.retry(Policy::never()).clock(SharedClock::new(clock.clone())).build();
    Auth::builder(client, SecretStoreHandle::new(store.clone())).open()
}

/// How many secrets there are.
fn kept(store: &MemoryStore) -> String {
    format!("{store:?}")
}
