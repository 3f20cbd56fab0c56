//! The real transport: one reqwest client, built at the first request and shared by every clone, and built anew when
//! its connections cannot be good any more: the machine slept (the clocks came apart), or the host says so.
//!
//! Building the SDK does no I/O: certificates are loaded and sockets opened at the first send (P10). Redirects are off
//! (T4). The system's proxy is used, except to this machine, where a key in plain http would leave it (T9). Name
//! look-up is a resolver of ours, so that "unknown host" is a type and not a text to search for.
use std::{
    error::Error as StdError,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use rustls::{ClientConfig, crypto::CryptoProvider, pki_types::CertificateDer};
use rustls_platform_verifier::Verifier;

use super::{RawStream, Request, RequestBody, Response, Transport, Upgrade};
use crate::{
    Error,
    clock::{Moment, SharedClock},
    config::is_loopback,
    error::codes::{CONNECT, CUT, INTERNAL, SEND, TIMEOUT, TLS, UNKNOWN_HOST},
};

/// Limits of connecting; everything later is bounded by the caller's deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are dropped before the usual proxy drops them first.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// HTTP/2 connections are probed so that a dead one is found before the deadline of a call.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// HTTP/1.1 and HTTP/2 over the system's network.
#[derive(Debug)]
pub struct HttpTransport {
    loopback: bool,
    roots: Vec<CertificateDer<'static>>,
    clock: SharedClock,
    /// Read once: loading certificates is the slow part.
    tls: OnceLock<Result<ClientConfig, Error>>,
    pool: Mutex<Pool>,
}

/// The client whose connections are used, and when it last was.
#[derive(Debug, Default)]
struct Pool {
    client: Option<reqwest::Client>,
    used: Option<Moment>,
}

impl HttpTransport {
    /// A transport for one cloud. `loopback` says that it runs on this machine: no proxy is asked then.
    pub fn new(loopback: bool) -> Self {
        Self {
            loopback,
            roots: Vec::new(),
            clock: SharedClock::default(),
            tls: OnceLock::new(),
            pool: Mutex::default(),
        }
    }

    /// Trusts `roots` as well as the system's.
    pub(crate) fn with_extra_roots(mut self, roots: Vec<CertificateDer<'static>>) -> Self {
        self.roots = roots;
        self
    }

    /// Looks at `clock` for sleep.
    pub(crate) fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    fn tls(&self) -> Result<ClientConfig, Error> {
        self.tls.get_or_init(|| tls(&self.roots)).clone()
    }

    fn client(&self) -> Result<reqwest::Client, Error> {
        let now = self.clock.now();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.used.replace(now).is_some_and(|used| now.jumped_since(&used)) && pool.client.take().is_some() {
            tracing::debug!("the clocks came apart, connections are opened anew");
        }
        if let Some(client) = &pool.client {
            return Ok(client.clone());
        }
        let client = build(self.tls()?, self.loopback, Protocols::All)?;
        pool.client = Some(client.clone());
        Ok(client)
    }
}

fn tls(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    // The provider is named here: a host that also uses rustls keeps its own choice.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |cause: rustls::Error| Error::new(TLS).with_source(cause);
    let verifier = verifier(roots, Arc::clone(&provider)).map_err(failed)?;
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    // "Dangerous" is any verifier that is passed in; this one is the system's.
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

#[cfg(not(target_os = "android"))]
fn verifier(roots: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots.iter().cloned(), provider)
}

/// Android's verifier takes no roots besides the system's; they belong into the app's network security configuration.
#[cfg(target_os = "android")]
fn verifier(roots: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Result<Verifier, rustls::Error> {
    if roots.is_empty() {
        Verifier::new(provider)
    } else {
        Err(rustls::Error::General("extra roots belong into the network security configuration".into()))
    }
}

/// Which versions of HTTP are offered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocols {
    All,
    Http1,
}

fn build(mut tls: ClientConfig, loopback: bool, protocols: Protocols) -> Result<reqwest::Client, Error> {
    // A configuration that is handed over ready is used as it is: without this, HTTP/2 is never offered.
    tls.alpn_protocols = match protocols {
        Protocols::All => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocols::Http1 => vec![b"http/1.1".to_vec()],
    };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none()) // T4
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(Arc::new(SystemNames))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .user_agent(concat!("cloud-sdk/", env!("CARGO_PKG_VERSION")));
    if loopback {
        builder = builder.no_proxy();
    }
    if protocols == Protocols::Http1 {
        builder = builder.http1_only();
    }
    builder.build().map_err(|cause| Error::new(INTERNAL).with_source(cause.without_url()))
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut outgoing = reqwest::Request::new(request.method, request.url);
        *outgoing.headers_mut() = request.headers;
        *outgoing.body_mut() = match request.body {
            RequestBody::Empty => None,
            RequestBody::Bytes(bytes) => Some(bytes.into()),
            RequestBody::Stream(body) => {
                outgoing.headers_mut().insert(http::header::CONTENT_LENGTH, body.len_bytes().into());
                Some(reqwest::Body::wrap_stream(body.open()))
            }
        };
        let mut answer = self.client()?.execute(outgoing).await.map_err(translate)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let body = answer.bytes_stream().map_err(translate).boxed();
        Ok(Response::new(status, headers, body))
    }

    async fn upgrade(&self, request: Request) -> Result<Upgrade, Error> {
        // A client of its own for each: only HTTP/1.1 can switch, and a connection that has switched goes back to no
        // pool, so there would be nothing to share.
        let loopback = is_loopback(request.url.host());
        let client = build(self.tls()?, self.loopback || loopback, Protocols::Http1)?;
        let mut outgoing = reqwest::Request::new(request.method, request.url);
        *outgoing.headers_mut() = request.headers;
        let mut answer = client.execute(outgoing).await.map_err(translate)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        if status != http::StatusCode::SWITCHING_PROTOCOLS {
            let body = answer.bytes_stream().map_err(translate).boxed();
            return Ok(Upgrade::Refused(Response::new(status, headers, body)));
        }
        let stream = answer.upgrade().await.map_err(translate)?;
        Ok(Upgrade::switched(headers, RawStream::new(stream)))
    }

    fn reset_connections(&self) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).client = None;
    }
}

/// The system's resolver, with a failure that can be recognised.
#[derive(Debug)]
struct SystemNames;

#[derive(Debug)]
struct UnknownHost(io::Error);

impl std::fmt::Display for UnknownHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host name has no address")
    }
}

impl StdError for UnknownHost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl reqwest::dns::Resolve for SystemNames {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(UnknownHost)?;
            let found: Vec<_> = found.collect();
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// Finds what went wrong by the types in the chain of causes.
fn translate(cause: reqwest::Error) -> Error {
    let cause = cause.without_url();
    // What a streamed body ended with is the caller's own error.
    if let Some(own) = in_chain::<Error>(&cause) {
        return own.clone();
    }
    let code = if in_chain::<UnknownHost>(&cause).is_some() {
        UNKNOWN_HOST
    } else if in_chain::<rustls::Error>(&cause).is_some() {
        TLS
    } else if cause.is_timeout() {
        TIMEOUT
    } else if cause.is_connect() {
        CONNECT
    } else if cause.is_body() || cause.is_decode() {
        CUT
    } else {
        SEND
    };
    Error::new(code).with_source(cause)
}

/// The first `T` among the causes, also inside an `io::Error`, which hides its inner error from `source()`.
fn in_chain<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}
