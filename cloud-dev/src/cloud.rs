//! What every request handler can reach: the database, the keys, the settings and the fault layer.
//!
//! One [`Cloud`] per server, shared behind an `Arc` as axum's state. It checks access tokens, because all
//! services ask the same question of them; what a failure looks like is each service's own affair.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{
    core::{
        Identity, Role,
        clock::Clock,
        db::Db,
        jwt::{self, JwtError},
    },
    faults::Faults,
    feed::Feed,
    functions::upstream::Upstream,
    gotrue::Auth,
    keys::Keys,
    network::Network,
    realtime::Realtime,
    rest_upstream::RestUpstream,
    storage::{Blobs, Store},
};

/// The private claim that says before which revocation a token was issued.
pub(crate) const GENERATION: &str = "dev_generation";

/// What the builder decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) access_token_lifetime: Duration,
    pub(crate) refresh_reuse_interval: Duration,
    pub(crate) open_controls: bool,
    pub(crate) daily_tokens: u64,
    pub(crate) token_pace: Duration,
    pub(crate) max_object_bytes: u64,
    pub(crate) upload_chunk_bytes: Option<u64>,
    pub(crate) upload_lifetime: Duration,
    pub(crate) statement_timeout: Duration,
}

/// What a data directory holds.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) db: Db,
    pub(crate) keys: Keys,
    pub(crate) blobs: Blobs,
}

/// The servers that answer in place of this one.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) ai: Option<Upstream>,
    pub(crate) tables: Option<RestUpstream>,
}

/// The services that hold connections open.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) realtime: Arc<Realtime>,
    pub(crate) feed: Option<Arc<Feed>>,
}

/// The state shared by all handlers of one server.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) db: Db,
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) auth: Arc<Auth>,
    pub(crate) faults: Faults,
    pub(crate) network: Network,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) rest_upstream: Option<RestUpstream>,
    pub(crate) storage: Store,
    pub(crate) realtime: Arc<Realtime>,
    pub(crate) feed: Option<Arc<Feed>>,
    /// `http://127.0.0.1:<port>`, set once the port is known.
    pub(crate) url: OnceLock<String>,
    pub(crate) clock: Clock,
    generation: AtomicU64,
}

impl Cloud {
    pub(crate) fn new(
        data: Data,
        settings: Settings,
        auth: Auth,
        faults: Faults,
        network: Network,
        upstreams: Upstreams,
        live: Live,
    ) -> Self {
        let Live { realtime, feed } = live;
        let Upstreams { ai: upstream, tables: rest_upstream } = upstreams;
        let (url, generation, clock) = (OnceLock::new(), AtomicU64::new(0), Clock::default());
        let auth = Arc::new(auth);
        let Data { db, keys, blobs } = data;
        let storage = Store::new(blobs);
        Self {
            db,
            keys,
            settings,
            auth,
            faults,
            network,
            upstream,
            rest_upstream,
            storage,
            realtime,
            feed,
            url,
            clock,
            generation,
        }
    }

    /// The address of this server, without a path.
    pub(crate) fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    /// The number that tokens issued now carry.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Makes every token issued so far count as expired.
    pub(crate) fn expire_access_tokens(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.realtime.check_tokens();
    }

    /// Sets how far the clock of this server is ahead of the real one, in seconds; negative is behind.
    pub(crate) fn skew_clock(&self, seconds: i64) {
        self.clock.set_skew(seconds);
        self.realtime.check_tokens();
    }

    /// The time of this server in seconds since 1970.
    pub(crate) fn now_seconds(&self) -> i64 {
        self.clock.seconds()
    }

    /// The time of this server in microseconds since 1970.
    pub(crate) fn now_micros(&self) -> i64 {
        self.clock.micros()
    }

    /// The claims of a token that this server signed and that has not expired.
    pub(crate) fn check(&self, token: &str, leeway: i64) -> Result<Value, JwtError> {
        let claims = jwt::verify(self.keys.jwt_secret(), token, self.now_seconds(), leeway)?;
        match claims.get(GENERATION).and_then(Value::as_u64) {
            Some(issued) if issued < self.generation() => Err(JwtError::Expired),
            _ => Ok(claims),
        }
    }

    /// The person of a checked token; `None` for a token that is no person's, such as the legacy API key.
    pub(crate) fn person(claims: Value) -> Option<Identity> {
        let user_id = claims.get("sub").and_then(Value::as_str)?.to_owned();
        let signed_in = claims.get("role").and_then(Value::as_str) == Some("authenticated");
        signed_in.then_some(Identity { role: Role::Authenticated, user_id: Some(user_id), claims })
    }
}
