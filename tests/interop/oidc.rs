//! A refresh loop against a server that forgives nothing: `oidc-provider`, by other authors.
//!
//! Session of the SDK → [`Shim`], a transport that puts GoTrue's refresh call into the words of OAuth and can lose replies
//! → the provider's token endpoint. There a token that comes a second time ends the family, so a lost reply must end in one
//! clean sign-out with its reason, and nothing else may: not many tasks, not several handles on one file.
//! Wire source: RFC 6749, section 6; RFC 9700, section 4.14.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloud_sdk::{
    Error,
    auth::{
        Auth, SecretStore as _,
        events::AuthChange,
        status::{AuthStatus, SignOutReason},
        store::{FileStore, SecretStoreHandle},
    },
    client::{
        Client,
        error::codes::CUT,
        events::Heard,
        retry::Policy,
        transport::{Request, Response, SharedTransport, Transport},
    },
};
use futures::{StreamExt as _, future::join_all, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use crate::{clients::Clients, lane::skip};

const LIMIT: Duration = Duration::from_secs(40);
const ORIGIN: &str = "https://cloud.example";

/// GoTrue on the one side, OAuth on the other.
#[derive(Clone, Debug)]
struct Shim {
    endpoint: String,
    http: reqwest::Client,
    first: String,
    refreshes: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    overlap: Arc<AtomicUsize>,
    /// The number of the refresh whose reply is lost.
    lose: Arc<AtomicU64>,
}

fn answer(status: StatusCode, body: String) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::new(status, headers, stream::iter([Ok(body.into())]).boxed())
}

fn session(access: &str, refresh: &str) -> String {
    serde_json::json!({
        "access_token": access, "refresh_token": refresh, "expires_in": 3600,
        "user": { "id": "ada", "email": "ada@example.com" },
    })
    .to_string()
}

#[async_trait]
impl Transport for Shim {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let query = request.url.query().unwrap_or_default().to_owned();
        if request.url.path() != "/auth/v1/token" {
            return Ok(answer(StatusCode::OK, "[]".to_owned()));
        }
        if !query.contains("refresh_token") {
            return Ok(answer(StatusCode::OK, session("at-0", &self.first)));
        }
        let body: serde_json::Value = serde_json::from_slice(&request.body.collect().await?).unwrap();
        let nth = self.refreshes.fetch_add(1, SeqCst);
        self.overlap.fetch_max(self.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        let form =
            format!("grant_type=refresh_token&client_id=app&refresh_token={}", body["refresh_token"].as_str().unwrap());
        let call = self.http.post(&self.endpoint).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let reply = call.body(form).send().await.unwrap();
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        self.under_way.fetch_sub(1, SeqCst);
        if nth as u64 == self.lose.load(SeqCst) {
            return Err(Error::new(CUT));
        }
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        match (said["access_token"].as_str(), said["refresh_token"].as_str()) {
            (Some(access), Some(refresh)) => Ok(answer(StatusCode::OK, session(access, refresh))),
            _ => Ok(answer(status, text)), // its own words: `{"error":"invalid_grant", …}`
        }
    }
}

/// The provider with one session, and the way to it; `None` where it cannot be installed.
async fn provider() -> Option<(Child, Shim)> {
    let clients = match Clients::install().await {
        Ok(clients) => clients,
        Err(reason) => {
            skip("the strict OpenID provider", reason);
            return None;
        }
    };
    let mut script = clients.script("oidc-provider.mjs");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(said) = line.strip_prefix('@') {
                return said.to_owned();
            }
        }
        panic!("oidc-provider ended by itself")
    };
    let line = timeout(LIMIT, line).await.expect("oidc-provider should be there by now");
    let (port, first) = line.split_once(' ').unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default(); // somebody else was first, then
    let shim = Shim {
        endpoint: format!("http://127.0.0.1:{port}/token"),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        first: first.to_owned(),
        refreshes: Arc::default(),
        under_way: Arc::default(),
        overlap: Arc::default(),
        lose: Arc::new(AtomicU64::new(u64::MAX)),
    };
    Some((child, shim))
}

fn open(shim: &Shim, login: &std::path::Path) -> Auth {
    let client = Client::builder(ORIGIN, "sb_publishable_test").unwrap();
    let client = client.transport(SharedTransport::new(shim.clone())).retry(Policy::never()).build();
    Auth::builder(client, SecretStoreHandle::new(FileStore::new(login))).open()
}

#[tokio::test]
async fn a02_tasks_and_handles_race_at_a_strict_provider_and_its_family_lives() {
    let Some((_provider, shim)) = provider().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let login = folder.path().join("login");
    let first = open(&shim, &login);
    first.sign_in_with_password("ada@example.com", "any".into()).await.unwrap();
    let handles = [first, open(&shim, &login), open(&shim, &login)];
    for handle in &handles {
        handle.settled().await;
    }
    for _ in 0..15 {
        let calls = handles.iter().flat_map(|handle| (0..4).map(|_| handle.refresh()));
        for outcome in join_all(calls).await {
            outcome.unwrap();
        }
    }
    assert!(handles.iter().all(|handle| handle.status().is_signed_in()));
    let (refreshes, overlap) = (shim.refreshes.load(SeqCst), shim.overlap.load(SeqCst));
    println!("{refreshes} rotations, never two at once");
    assert!((45..=200).contains(&refreshes) && overlap == 1, "{refreshes} refreshes, {overlap} at once");
}

#[tokio::test]
async fn a06_a_lost_reply_at_a_strict_provider_is_one_sign_out_with_its_reason() {
    let Some((_provider, shim)) = provider().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let login = folder.path().join("login");
    let auth = open(&shim, &login);
    auth.sign_in_with_password("ada@example.com", "any".into()).await.unwrap();
    auth.refresh().await.unwrap();
    let mut events = auth.events();
    shim.lose.store(shim.refreshes.load(SeqCst) as u64, SeqCst);
    // The reply is lost: that alone is no sign-out. The old token is all there is.
    assert_eq!(auth.refresh().await.unwrap_err().code(), CUT);
    assert!(auth.status().is_signed_in());
    let asked = shim.refreshes.load(SeqCst);
    assert!(auth.refresh().await.is_err());
    let reason = SignOutReason::SessionOver { server_code: "invalid_grant".to_owned() };
    assert_eq!(auth.status(), AuthStatus::SignedOut { reason: reason.clone() });
    let mut told = 0;
    while let Some(Heard::Event(event)) = events.try_next() {
        if let AuthChange::SignedOut { reason: why } = event.change {
            assert_eq!(why, reason);
            told += 1;
        }
    }
    assert_eq!((told, shim.refreshes.load(SeqCst) - asked), (1, 1), "told once, asked once");
    assert!(auth.refresh().await.is_err());
    assert_eq!(shim.refreshes.load(SeqCst) - asked, 1, "and not again");
    auth.close(Duration::from_secs(5)).await;
    let key = cloud_sdk::auth::store::SecretKey::new("NONE");
    assert!(FileStore::new(&login).get(&key).await.unwrap().is_none());
    assert!(!std::fs::read_to_string(&login).unwrap().contains("refresh_token\\\":"), "nothing is left of it");
}
