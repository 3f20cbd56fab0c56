//! The handle: attempts a call until it is answered, refused for good, or out of time.
//!
//! call → token → request → transport → head → body (bounded) → refused token? one replacement, one repeat → passing
//! failure? wait and repeat while safe, in budget and in time → [`Reply`]. Whatever knows an endpoint (tables,
//! functions, auth) builds a [`Call`] and reads the [`Reply`].
mod attempt;
mod body;
mod builder;
mod upgrade;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument as _;

use self::attempt::is_success;
pub use self::builder::ClientBuilder;
use crate::{
    AccessToken, Error, TokenSource,
    call::{Call, Opened, Reply, Speaker},
    capability::{Capabilities, Capability, Support},
    clock::SharedClock,
    config::{ApiKey, Origin},
    error::{
        Answer, Service, classify,
        codes::{INTERNAL, OTHER_USER, TIMEOUT},
        is_token_refusal,
    },
    functions::Function,
    observe::{End, Observed, TraceContext},
    random::Random,
    rest::Table,
    retry::{Budget, Policy},
    server_time::ServerTime,
    storage::{Storage, tus::Offer},
    transport::SharedTransport,
};

/// A handle on one cloud. Cheap to clone; all clones share connections and the retry budget.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    tokens: Option<Arc<dyn TokenSource>>,
    /// The only user to speak for.
    user: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inner {
    origin: Origin,
    transport: SharedTransport,
    clock: SharedClock,
    random: Random,
    policy: Policy,
    budget: Budget,
    deadline: Duration,
    attempt_timeout: Duration,
    request_id_header: HeaderName,
    /// What every request carries unless the call says otherwise.
    headers: HeaderMap,
    /// The key as headers: `apikey`, and `authorization` while nobody is signed in.
    key_headers: (HeaderValue, Option<HeaderValue>),
    trace: Option<TraceContext>,
    server_time: Mutex<ServerTime>,
    capabilities: Mutex<Capabilities>,
    /// What the server of resumable uploads offers, once it was asked.
    offer: Mutex<Option<Offer>>,
}

impl Client {
    /// A client for the cloud at `url`, opened with its public `key`.
    ///
    /// # Errors
    ///
    /// `config.url_*` and `config.key_*`, see [`Origin::parse`] and [`ApiKey::parse`].
    pub fn builder(url: &str, key: &str) -> Result<ClientBuilder, Error> {
        ClientBuilder::new(Origin::parse(url)?, &ApiKey::parse(key)?)
    }

    /// The same client, speaking for whoever `tokens` says is signed in.
    pub fn with_token_source(&self, tokens: Arc<dyn TokenSource>) -> Self {
        Self { tokens: Some(tokens), ..self.clone() }
    }

    /// The same client, speaking for this user and for nobody else: while another one, or nobody, is signed in, what would
    /// go in the user's name fails with `client.other_user` and is not sent (A7). Tokens that do not say whose they are
    /// pass, and so does a client without a token source, which carries the project's key alone and nobody's name.
    ///
    /// This is about calls. A socket that was opened with a token of [`Client::token_source`] is whoever's opened it.
    #[must_use]
    pub fn on_behalf_of(&self, user: impl Into<Arc<str>>) -> Self {
        Self { user: Some(user.into()), ..self.clone() }
    }

    /// The cloud's address.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The project's public key as it stands in the header `apikey`, for services that want it elsewhere.
    pub fn public_key(&self) -> &HeaderValue {
        &self.inner.key_headers.0
    }

    /// Who answers for the session, if anyone does.
    pub fn token_source(&self) -> Option<&Arc<dyn TokenSource>> {
        self.tokens.as_ref()
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
        let answered = self.repeat(call, reading, started).instrument(observed.span()).await;
        if !observed.is_timed() {
            return answered;
        }
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
    async fn repeat(&self, call: &Call, reading: Reading, started: Duration) -> Result<Answered, Error> {
        let inner = &*self.inner;
        let limit = call.timeout.unwrap_or(inner.deadline);
        let left = || limit.saturating_sub(inner.clock.monotonic().saturating_sub(started));
        let mut buffer = uuid::Uuid::encode_buffer();
        let request_id: &str = inner.random.uuid().hyphenated().encode_lower(&mut buffer);
        let annotate = |error: Error, sent| {
            error.during(call.operation().to_owned()).with_request_id(request_id).with_attempts(sent)
        };
        let late = || Error::new(TIMEOUT);

        let mut token = match (&call.speaker, &self.tokens) {
            (Speaker::User, Some(tokens)) => {
                let token = inner.clock.within(left(), tokens.token()).await.ok_or_else(|| annotate(late(), 0))??;
                self.check_user(token.as_ref()).map_err(|error| annotate(error, 0))?;
                token
            }
            (Speaker::Token(token), _) => Some(token.clone()),
            (Speaker::User, None) | (Speaker::Nobody, _) => None,
        };
        let mut replaced = false;
        let mut sent = 0;
        loop {
            sent += 1;
            let attempt = self.attempt(call, token.as_ref(), request_id, reading, sent);
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
                            self.check_user(Some(&new)).map_err(|error| annotate(error, sent))?;
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

    pub(crate) fn known_offer(&self) -> Option<Offer> {
        *self.inner.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember_offer(&self, offer: Offer) {
        *self.inner.offer.lock().unwrap_or_else(PoisonError::into_inner) = Some(offer);
    }

    /// The wait before a transfer goes on after `error`, the `failed`th in a row; `None` when it should not (T8).
    pub(crate) fn pause(&self, error: &Error, failed: u32, left: Duration) -> Option<Duration> {
        let inner = &*self.inner;
        inner.policy.decide(error, failed, left, &inner.budget, &inner.random)
    }

    /// Whether a call may go in the name of whoever is signed in (A7).
    fn check_user(&self, token: Option<&AccessToken>) -> Result<(), Error> {
        let Some(wanted) = &self.user else { return Ok(()) };
        match token.map(|token| token.user.as_ref()) {
            Some(None) => Ok(()),
            Some(Some(user)) if user == wanted => Ok(()),
            Some(Some(_)) | None => Err(Error::new(OTHER_USER)),
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
