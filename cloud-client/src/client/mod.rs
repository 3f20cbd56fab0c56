//! The handle: attempts a call until it is answered, refused for good, or out of time.
//!
//! call → token → request → transport → head → body (bounded) → refused token? one replacement, one repeat → passing
//! failure? wait and repeat while safe, in budget and in time → [`Reply`]. Whatever knows an endpoint (tables,
//! functions, auth) builds a [`Call`] and reads the [`Reply`].
mod body;
mod builder;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use tracing::Instrument as _;

use self::body::{collect, collect_error};
pub use self::builder::ClientBuilder;
use crate::{
    AccessToken, Error, TokenSource,
    call::{Call, Opened, Reply, Speaker},
    capability::{Capabilities, Capability, Support},
    clock::SharedClock,
    config::{ApiKey, Origin},
    error::{
        Answer, Service, classify,
        codes::{INTERNAL, KEY_INVALID, QUERY_INVALID, TIMEOUT},
        is_token_refusal,
    },
    functions::Function,
    observe::{End, Observed, TraceContext},
    random::Random,
    rest::Table,
    retry::{Budget, Policy},
    server_time::ServerTime,
    storage::Storage,
    transport::{Request, RequestBody, Response, SharedTransport},
};

/// A handle on one cloud. Cheap to clone; all clones share connections and the retry budget.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    tokens: Option<Arc<dyn TokenSource>>,
}

#[derive(Debug)]
struct Inner {
    origin: Origin,
    key: ApiKey,
    transport: SharedTransport,
    clock: SharedClock,
    random: Random,
    policy: Policy,
    budget: Budget,
    deadline: Duration,
    attempt_timeout: Duration,
    request_id_header: HeaderName,
    headers: HeaderMap,
    trace: Option<TraceContext>,
    server_time: Mutex<ServerTime>,
    capabilities: Mutex<Capabilities>,
}

impl Client {
    /// A client for the cloud at `url`, opened with its public `key`.
    ///
    /// # Errors
    ///
    /// `config.url_*` and `config.key_*`, see [`Origin::parse`] and [`ApiKey::parse`].
    pub fn builder(url: &str, key: &str) -> Result<ClientBuilder, Error> {
        Ok(ClientBuilder::new(Origin::parse(url)?, ApiKey::parse(key)?))
    }

    /// The same client, speaking for whoever `tokens` says is signed in.
    pub fn with_token_source(&self, tokens: Arc<dyn TokenSource>) -> Self {
        Self { inner: Arc::clone(&self.inner), tokens: Some(tokens) }
    }

    /// The cloud's address.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The clock that this client's limits run on.
    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// The source of this client's jitter and request ids.
    pub fn random(&self) -> &Random {
        &self.inner.random
    }

    /// The cloud's time as its answers suggest it, right to about a second; `None` before the first answer and after the
    /// machine slept or its clock was set. For showing and logging: whether a token is over is not decided by it.
    pub fn server_time(&self) -> Option<SystemTime> {
        let now = self.inner.clock.now();
        self.inner.server_time.lock().unwrap_or_else(PoisonError::into_inner).estimate(now)
    }

    /// What the cloud can do, as far as its answers to this client and its clones have shown.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.capabilities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what an answer has shown of `capability`.
    pub fn mark(&self, capability: Capability, support: Support) {
        self.inner.capabilities.lock().unwrap_or_else(PoisonError::into_inner).mark(capability, support);
    }

    /// Opens new connections from the next call on; what is under way ends on the old ones. For hosts that hear of a
    /// change of network. A machine that slept needs no word: that is noticed.
    pub fn reset_connections(&self) {
        self.inner.transport.reset_connections();
    }

    /// Reads and writes of one table or view.
    pub fn table(&self, name: impl Into<String>) -> Table {
        Table::new(self.clone(), name.into())
    }

    /// An edge function.
    pub fn function(&self, name: impl Into<String>) -> Function {
        Function::new(self.clone(), name.into())
    }

    /// The files of the cloud.
    pub fn storage(&self) -> Storage {
        Storage::new(self.clone())
    }

    /// Sends `call` and buffers the answer. Statuses of any kind are answers; passing failures are repeated where the
    /// call allows it, and a refused token is replaced once.
    ///
    /// # Errors
    ///
    /// `net.*` when no whole answer arrived in time, and whatever the token source gives when no token can be had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; a write may or may not have happened.
    pub async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        match self.attempts(&call, Reading::Whole).await? {
            Answered::Whole(reply) => Ok(reply),
            // Not reached: `Reading::Whole` never leaves a body open.
            Answered::Open(opened) => Err(Error::new(INTERNAL).during(opened.operation)),
        }
    }

    /// Sends `call`; an answer that is no success becomes an error of its service.
    ///
    /// # Errors
    ///
    /// As [`Client::exchange`], and `api.*`, `server.*` for what the service answered.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::exchange`].
    pub async fn send(&self, call: Call) -> Result<Reply, Error> {
        let service = call.service;
        let reply = self.exchange(call).await?;
        if is_success(service, reply.status, &reply.headers) { Ok(reply) } else { Err(self.failure(service, &reply)) }
    }

    /// Sends `call` and hands out the body as it arrives; an answer that is no success becomes an error.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]. Time limits apply until the head; the body is the caller's to bound.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::exchange`].
    pub async fn open(&self, call: Call) -> Result<Opened, Error> {
        let service = call.service;
        match self.attempts(&call, Reading::Open).await? {
            Answered::Open(opened) => Ok(opened),
            Answered::Whole(reply) => Err(self.failure(service, &reply)),
        }
    }

    /// The error that `reply` stands for.
    pub fn failure(&self, service: Service, reply: &Reply) -> Error {
        let answer = Answer { service, status: reply.status, headers: &reply.headers, body: &reply.body };
        classify(answer, self.inner.clock.wall())
            .during(reply.operation.clone())
            .with_request_id(&reply.request_id)
            .with_attempts(reply.attempts)
    }

    /// Runs one call in its span, and tells how it ended.
    async fn attempts(&self, call: &Call, reading: Reading) -> Result<Answered, Error> {
        let (observed, started) = (Observed::begin(call), self.inner.clock.monotonic());
        let answered = self.repeat(call, reading).instrument(observed.span()).await;
        let elapsed = self.inner.clock.monotonic().saturating_sub(started);
        let (outcome, request_id, attempts) = match &answered {
            Ok(Answered::Whole(reply)) => (Ok(reply.status), reply.request_id.as_str(), reply.attempts),
            Ok(Answered::Open(opened)) => (Ok(opened.status), opened.request_id.as_str(), opened.attempts),
            Err(error) => (Err(error), error.request_id().unwrap_or_default(), error.attempts()),
        };
        observed.end(&End { outcome, request_id, attempts, elapsed });
        answered
    }

    /// The loop of one call. Bounded by the call's deadline throughout (T1), also while a token is fetched.
    async fn repeat(&self, call: &Call, reading: Reading) -> Result<Answered, Error> {
        let inner = &*self.inner;
        let (started, limit) = (inner.clock.monotonic(), call.timeout.unwrap_or(inner.deadline));
        let left = || limit.saturating_sub(inner.clock.monotonic().saturating_sub(started));
        let request_id = inner.random.uuid().to_string();
        let annotate =
            |error: Error, sent| error.during(call.operation()).with_request_id(&request_id).with_attempts(sent);
        let late = || Error::new(TIMEOUT);

        let mut token =
            inner.clock.within(left(), self.token(&call.speaker)).await.ok_or_else(|| annotate(late(), 0))??;
        let mut replaced = false;
        let mut sent = 0;
        loop {
            sent += 1;
            let attempt = self.attempt(call, token.as_ref(), &request_id, reading, sent);
            // Cutting an attempt short only makes sense where another one may follow.
            let limit = if call.repeatable { left().min(inner.attempt_timeout) } else { left() };
            let outcome = match &call.stream {
                Some((_, pace)) => pace.within(&inner.clock, left(), attempt).await,
                None => inner.clock.within(limit, attempt).await,
            };
            let outcome = outcome.unwrap_or_else(|| Err(late()));
            let failure = match outcome {
                Ok(Answered::Whole(reply)) if !is_success(call.service, reply.status, &reply.headers) => {
                    let refused = is_token_refusal(call.service, reply.status.as_u16(), &reply.headers, &reply.body);
                    if let (true, false, Some(old), Some(tokens)) =
                        (refused, replaced, &token, self.source(&call.speaker))
                    {
                        replaced = true;
                        let new = inner.clock.within(left(), tokens.replace(old)).await.unwrap_or_else(|| Err(late()));
                        if let Some(new) = new.map_err(|error| annotate(error, sent))? {
                            token = Some(new);
                            continue;
                        }
                    }
                    Err((self.failure(call.service, &reply), Some(reply)))
                }
                Ok(answered) => {
                    inner.budget.reward();
                    Ok(answered)
                }
                Err(error) => Err((annotate(error, sent), None)),
            };
            let (error, reply) = match failure {
                Ok(answered) => return Ok(answered),
                Err(failed) => failed,
            };
            let wait = call.repeatable.then(|| inner.policy.decide(&error, sent, left(), &inner.budget, &inner.random));
            tracing::debug!(operation = call.operation(), code = %error.code(), sent, request_id, "call failed");
            match (wait.flatten(), reply) {
                (Some(wait), _) => inner.clock.sleep(wait).await,
                (None, Some(reply)) => return Ok(Answered::Whole(reply)),
                (None, None) => return Err(error),
            }
        }
    }

    /// Sends once and reads as much as was asked for.
    async fn attempt(
        &self,
        call: &Call,
        token: Option<&AccessToken>,
        request_id: &str,
        reading: Reading,
        sent: u32,
    ) -> Result<Answered, Error> {
        let request = self.request(call, token, request_id)?;
        let left = self.inner.clock.now();
        let Response { status, headers, body } = self.inner.transport.send(request).await?;
        let arrived = self.inner.clock.now();
        self.inner.server_time.lock().unwrap_or_else(PoisonError::into_inner).observe(&headers, left, arrived);
        let request_id = server_request_id(&headers, &self.inner.request_id_header).unwrap_or(request_id).to_owned();
        let success = is_success(call.service, status, &headers);
        if success && reading == Reading::Open {
            return Ok(Answered::Open(Opened {
                status,
                headers,
                body,
                request_id,
                attempts: sent,
                operation: call.operation(),
            }));
        }
        let body = if success { collect(body, call.limit_bytes).await? } else { collect_error(body).await };
        Ok(Answered::Whole(Reply { status, headers, body, request_id, attempts: sent, operation: call.operation() }))
    }

    fn request(&self, call: &Call, token: Option<&AccessToken>, request_id: &str) -> Result<Request, Error> {
        let inner = &*self.inner;
        let url = inner.origin.join(&call.path, call.query.as_deref());
        if !url.path().ends_with(&call.path) {
            // A segment of one or two dots is folded away by the rules of URLs, also when it is encoded.
            return Err(Error::new(QUERY_INVALID).with_detail("`.` and `..` cannot be part of an address"));
        }
        let mut request = Request::new(call.method.clone(), url);
        request.headers = inner.headers.clone();
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for name in call.headers.keys() {
            request.headers.remove(name);
        }
        for (name, value) in &call.headers {
            request.headers.append(name.clone(), value.clone());
        }
        let secret = |text: &str| {
            let mut value = HeaderValue::try_from(text).map_err(|_| Error::new(KEY_INVALID))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        request.headers.insert("apikey", secret(inner.key.expose())?);
        let bearer = token.map(|token| token.secret.expose_secret()).or_else(|| inner.key.bearer_when_signed_out());
        if let Some(bearer) = bearer {
            request.headers.insert(header::AUTHORIZATION, secret(&format!("Bearer {bearer}"))?);
        }
        if let Ok(value) = HeaderValue::try_from(request_id) {
            request.headers.insert(inner.request_id_header.clone(), value);
        }
        if let Some(value) = inner.trace.as_ref().and_then(TraceContext::header) {
            request.headers.insert("traceparent", value);
        }
        request.body = match (&call.stream, &call.body) {
            (Some((stream, _)), _) => RequestBody::Stream(stream.clone()),
            (None, Some(bytes)) => RequestBody::Bytes(bytes.clone()),
            (None, None) => RequestBody::Empty,
        };
        Ok(request)
    }

    /// The wait before a transfer goes on after `error`, the `failed`th in a row; `None` when it should not (T8).
    pub(crate) fn pause(&self, error: &Error, failed: u32, left: Duration) -> Option<Duration> {
        let inner = &*self.inner;
        inner.policy.decide(error, failed, left, &inner.budget, &inner.random)
    }

    async fn token(&self, speaker: &Speaker) -> Result<Option<AccessToken>, Error> {
        match (speaker, &self.tokens) {
            (Speaker::User, Some(tokens)) => tokens.token().await,
            (Speaker::Token(token), _) => Ok(Some(token.clone())),
            (Speaker::User, None) | (Speaker::Nobody, _) => Ok(None),
        }
    }

    fn source(&self, speaker: &Speaker) -> Option<&Arc<dyn TokenSource>> {
        self.tokens.as_ref().filter(|_| matches!(speaker, Speaker::User))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("origin", &self.inner.origin).finish_non_exhaustive()
    }
}

/// How much of a successful answer an attempt reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Whole,
    Open,
}

enum Answered {
    Whole(Reply),
    Open(Opened),
}

/// A function platform may report its own failure under any status.
fn is_success(service: Service, status: StatusCode, headers: &HeaderMap) -> bool {
    let relay = service == Service::Functions && headers.get("x-relay-error").is_some_and(|value| value == "true");
    status.is_success() && !relay
}

fn server_request_id<'a>(headers: &'a HeaderMap, ours: &HeaderName) -> Option<&'a str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    text(ours.as_str()).or_else(|| text("sb-request-id")).or_else(|| text("x-request-id")).or_else(|| text("cf-ray"))
}
