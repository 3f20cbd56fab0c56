//! Options of a client, each with its default; nothing is opened before the first call.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rustls::pki_types::CertificateDer;

use super::{Client, Inner, attempt::secret};
use crate::{
    Error,
    clock::SharedClock,
    config::{ApiKey, Origin},
    observe::TraceContext,
    random::Random,
    retry::{Budget, Policy},
    transport::{HttpTransport, SharedTransport, roots},
};

/// The longest a call may take, repeats included, unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);
/// The longest one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of a [`Client`]; building does no I/O.
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    inner: Inner,
    transport: Option<SharedTransport>,
    roots: Vec<CertificateDer<'static>>,
}

impl ClientBuilder {
    pub(super) fn new(origin: Origin, key: &ApiKey) -> Result<Self, Error> {
        let bearer = key.bearer_when_signed_out().map(|bearer| secret(&format!("Bearer {bearer}")));
        let inner = Inner {
            key_headers: (secret(key.expose())?, bearer.transpose()?),
            transport: SharedTransport::new(HttpTransport::new(origin.is_loopback())),
            origin,
            clock: SharedClock::default(),
            random: Random::default(),
            policy: Policy::default(),
            budget: Budget::default(),
            deadline: DEADLINE,
            attempt_timeout: ATTEMPT_TIMEOUT,
            request_id_header: HeaderName::from_static("x-request-id"),
            headers: HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]),
            trace: None,
            server_time: Mutex::default(),
            capabilities: Mutex::default(),
            offer: Mutex::default(),
        };
        Ok(Self { inner, transport: None, roots: Vec::new() })
    }

    /// Limits one attempt of a call that may be repeated, from connect to the last byte of a buffered answer. A call that
    /// is sent once has its whole deadline. Default: 30 s.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.inner.attempt_timeout = limit;
        self
    }

    /// Limits a whole call, waits and repeats included. Default: 60 s.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.inner.deadline = limit;
        self
    }

    /// Sets how calls that are safe to repeat are repeated. Default: [`Policy::default`].
    pub fn retry(mut self, policy: Policy) -> Self {
        self.inner.policy = policy;
        self
    }

    /// Names the header that carries the request id. Default: `x-request-id`.
    pub fn request_id_header(mut self, name: HeaderName) -> Self {
        self.inner.request_id_header = name;
        self
    }

    /// Adds a header to every request; `accept` is each call's own and stays as it is.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if name != header::ACCEPT {
            self.inner.headers.append(name, value);
        }
        self
    }

    /// Asks `provider` at every attempt for the trace that it is part of, and sends the answer as `traceparent` (W3C Trace
    /// Context). It runs inside the span `cloud.call`; what is not well formed is not sent. Default: nothing is sent.
    pub fn trace_context(mut self, provider: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.inner.trace = Some(TraceContext::new(provider));
        self
    }

    /// Trusts the certificate authorities in `pem` as well as those of the system, for requests of this client; for a
    /// cloud of one's own, or a company's proxy that opens TLS. May be given more than once. Without effect together
    /// with [`ClientBuilder::transport`].
    ///
    /// The system's proxy (`HTTPS_PROXY`, or the setting of the desktop) is used by itself, except to this machine. A
    /// proxy that opens TLS shows certificates of its own: install its authority in the system's store, or give it here.
    ///
    /// # Errors
    ///
    /// `config.root_invalid` when `pem` holds no certificate, or one that cannot be read.
    pub fn extra_root(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.roots.extend(roots::parse(pem)?);
        Ok(self)
    }

    /// Sends through `transport` instead of the network.
    pub fn transport(mut self, transport: SharedTransport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Runs limits and waits on `clock`.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.inner.clock = clock;
        self
    }

    /// Takes jitter and request ids from `random`.
    pub fn random(mut self, random: Random) -> Self {
        self.inner.random = random;
        self
    }

    /// The client. Does no I/O: sockets and certificates wait for the first call.
    pub fn build(self) -> Client {
        let Self { mut inner, transport, roots } = self;
        inner.transport = transport.unwrap_or_else(|| {
            let network = HttpTransport::new(inner.origin.is_loopback());
            SharedTransport::new(network.with_extra_roots(roots).with_clock(inner.clock.clone()))
        });
        Client { inner: Arc::new(inner), tokens: None, user: None }
    }
}
