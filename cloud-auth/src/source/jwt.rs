//! Tokens that the host's own function gets, from wherever it knows its users.
//!
//! caller → a token that is still fresh, or one flight of the function for all who wait (A1) → a new generation. The
//! flight is a task of its own, so a caller that goes away cancels nothing (A8). A token that the cloud refused is
//! renewed once. However often that happens, the hour's limit of the session holds here as well (A9).
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    clock::SharedClock,
    error::codes::{CLOSED, TIMEOUT},
    tasks::Tasks,
};
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::{
    codes::REFRESH_PACED,
    session::expiry::{Access, HOUR, Moment, Pace},
};

/// A token is renewed this long before it ends.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest the host's function may take.
const FETCH_LIMIT: Duration = Duration::from_secs(30);
/// The first and the longest pause after a failure; doubled in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A token and how long it is good.
pub struct Jwt {
    token: SecretString,
    expires_in: Duration,
}

impl Jwt {
    /// A token that is good for `expires_in` from when it was asked for.
    pub fn new(token: SecretString, expires_in: Duration) -> Self {
        Self { token, expires_in }
    }
}

/// Shows no secret (A12).
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

type Fetch = dyn Fn() -> BoxFuture<'static, Result<Jwt, Error>> + Send + Sync;
type Outcome = Option<Result<AccessToken, Error>>;

/// Speaks with tokens of the host's own.
///
/// ```no_run
/// use std::time::Duration;
///
/// use cloud_auth::source::{Jwt, JwtSource};
/// use cloud_client::Client;
///
/// # fn example() -> Result<(), cloud_client::Error> {
/// let client = Client::builder("https://tenant.example.com", "sb_publishable_demo")?.build();
/// let source = JwtSource::new(&client, || async {
///     let token = "from the company's own sign-on".to_owned().into();
///     Ok(Jwt::new(token, Duration::from_secs(3600)))
/// });
/// let client = source.client();
/// # drop(client); Ok(()) }
/// ```
#[must_use = "nothing speaks with the tokens until `client`"]
pub struct JwtSource {
    client: Client,
    fetch: Arc<Fetch>,
    leeway: Duration,
}

impl JwtSource {
    /// Tokens for the cloud of `client`. `fetch` is called when one is needed, never twice at a time, and given up after
    /// 30 s; its errors go to whoever needs a token.
    pub fn new<F>(client: &Client, fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Jwt, Error>> + Send + 'static,
    {
        Self { client: client.clone(), fetch: Arc::new(move || Box::pin(fetch())), leeway: LEEWAY }
    }

    /// Renews a token this long before it ends. Default: 60 s; less for tokens that live for minutes only.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The client, speaking with the tokens.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn client(self) -> Client {
        let (client, fetch, leeway) = (self.client, self.fetch, self.leeway);
        let clock = client.clock().clone();
        let state = Arc::new(Mutex::new(State::default()));
        client.with_token_source(Arc::new(Fetched { fetch, leeway, clock, state, tasks: Tasks::new() }))
    }
}

impl fmt::Debug for JwtSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSource").field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    generation: u64,
    flight: Option<watch::Receiver<Outcome>>,
    pace: Pace,
    failures: u32,
    /// The last failure and until when it is the answer, by the monotonic clock.
    failed: Option<(Duration, Error)>,
}

/// What a caller gets.
enum Turn {
    Now(Result<AccessToken, Error>),
    Wait(watch::Receiver<Outcome>),
}

struct Fetched {
    fetch: Arc<Fetch>,
    leeway: Duration,
    clock: SharedClock,
    state: Arc<Mutex<State>>,
    tasks: Tasks,
}

impl Fetched {
    /// A token of a generation after `refused`, if one was.
    async fn newer(&self, refused: Option<u64>) -> Result<AccessToken, Error> {
        let mut flight = match self.turn(refused) {
            Turn::Now(answer) => return answer,
            Turn::Wait(flight) => flight,
        };
        let landed = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        // No outcome: the host's function has panicked.
        landed.ok().flatten().unwrap_or_else(|| Err(Error::new(CLOSED).during("getting a token")))
    }

    fn turn(&self, refused: Option<u64>) -> Turn {
        let now = Moment::now(&self.clock);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |access: &&Access| match refused {
            None => access.is_fresh(now),
            Some(generation) => access.token.generation > generation && access.is_alive(now),
        };
        if let Some(access) = state.access.as_ref().filter(usable) {
            return Turn::Now(Ok(access.token.clone()));
        }
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Turn::Wait(flight.clone());
        }
        let alive = state.access.as_ref().filter(|access| refused.is_none() && access.is_alive(now));
        let instead = |error: Error| Turn::Now(alive.map_or(Err(error), |access| Ok(access.token.clone())));
        if let Some((_, error)) = state.failed.as_ref().filter(|(until, _)| *until > now.monotonic) {
            return instead(error.clone());
        }
        let lifetime = state.access.as_ref().map_or(HOUR, Access::lifetime);
        if let Some(wait) = state.pace.wait(now, lifetime) {
            return instead(Error::new(REFRESH_PACED).during("getting a token").with_retry_after(wait));
        }
        state.pace.count(now);
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        drop(state);
        self.fly(now, landing);
        Turn::Wait(flight)
    }

    fn fly(&self, asked: Moment, landing: watch::Sender<Outcome>) {
        let (fetch, clock, leeway) = (Arc::clone(&self.fetch), self.clock.clone(), self.leeway);
        let state = Arc::clone(&self.state);
        self.tasks.spawn(async move {
            let late = || Err(Error::new(TIMEOUT).during("getting a token"));
            let fetched = clock.within(FETCH_LIMIT, fetch()).await.unwrap_or_else(late);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.flight = None;
            let outcome = match fetched {
                Ok(jwt) => {
                    state.generation += 1;
                    let token = AccessToken::new(jwt.token, state.generation);
                    state.access = Some(Access::new(token.clone(), 0, jwt.expires_in, asked, leeway));
                    (state.failures, state.failed) = (0, None);
                    Ok(token)
                }
                Err(error) => {
                    let pause = PAUSE.0.saturating_mul(2_u32.saturating_pow(state.failures)).min(PAUSE.1);
                    state.failures = state.failures.saturating_add(1);
                    state.failed = Some((clock.monotonic().saturating_add(pause), error.clone()));
                    Err(error)
                }
            };
            drop(state);
            landing.send_replace(Some(outcome));
        });
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for Fetched {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        self.newer(None).await.map(Some)
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.newer(Some(refused.generation)).await.map(Some)
    }
}
