//! Who is trusted, and when connections are given up: the real transport against servers of this machine.
#![expect(clippy::disallowed_methods, reason = "a server of a test lives as long as its runtime")]
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cloud_client::{
    Client,
    clock::{Clock, SharedClock},
    error::codes,
    retry::Policy,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::rows;

/// Answers every request of one connection with an empty list.
async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let mut request = [0; 8192];
    while let Ok(1..) = socket.read(&mut request).await {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";
        if socket.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// An authority and a server that it vouches for, at the URL given back.
async fn tls_server() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], rustls::pki_types::PrivateKeyDer::from(key))
        .unwrap();

    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(socket) = acceptor.accept(socket).await {
                tokio::spawn(answer(socket));
            }
        }
    });
    (url, authority)
}

#[tokio::test]
async fn t09_a_private_authority_is_refused_until_the_host_names_it() {
    let (url, authority) = tls_server().await;
    let (_, stranger) = tls_server().await;
    let builder = || Client::builder(&url, "sb_publishable_key").unwrap().retry(Policy::never());
    assert_eq!(rows(&builder().build()).await.unwrap_err().code(), codes::TLS);
    let wrong = builder().extra_root(stranger.as_bytes()).unwrap().build();
    assert_eq!(rows(&wrong).await.unwrap_err().code(), codes::TLS);
    let right = builder().extra_root(stranger.as_bytes()).unwrap().extra_root(authority.as_bytes()).unwrap().build();
    assert!(rows(&right).await.unwrap().is_empty());
    assert_eq!(builder().extra_root(b"nothing").unwrap_err().code(), codes::ROOT_INVALID);
}

/// The machine's clocks, with a wall clock that can be put ahead: what a sleeping machine looks like afterwards.
#[derive(Clone, Debug, Default)]
struct Slept {
    clock: SharedClock,
    ahead: Arc<Mutex<Duration>>,
}

#[async_trait]
impl Clock for Slept {
    fn wall(&self) -> SystemTime {
        self.clock.wall() + *self.ahead.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn connections_are_kept_while_awake_and_opened_anew_after_sleep_or_on_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, SeqCst);
            tokio::spawn(answer(socket));
        }
    });
    let slept = Slept::default();
    let client = Client::builder(&url, "sb_publishable_key").unwrap().clock(SharedClock::new(slept.clone())).build();
    let mut opened = Vec::new();
    for step in ["first", "again", "short nap", "slept", "again", "told", "again"] {
        match step {
            "short nap" => *slept.ahead.lock().unwrap() += Duration::from_secs(20),
            "slept" => *slept.ahead.lock().unwrap() += Duration::from_secs(3600),
            "told" => client.reset_connections(),
            _ => {}
        }
        rows(&client).await.unwrap();
        opened.push(accepted.load(SeqCst));
    }
    assert_eq!(opened, [1, 1, 1, 2, 2, 3, 3]);
}
