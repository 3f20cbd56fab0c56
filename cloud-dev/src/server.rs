//! Starting a cloud: settings, and what has to be in place before the first request.
//!
//! Builder → listening socket → data directory, keys, tables, demo data → [`Running`]. The socket comes
//! first, so that a taken port leaves the data alone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router, middleware,
    routing::{any, post},
};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::{self, Cloud, Data, Settings, Upstreams},
    core::{
        db::{self, Db, OpenError},
        schema,
    },
    faults::{Faults, Random},
    functions::{self, upstream::Upstream},
    gateway,
    gotrue::{
        self, Auth,
        settings::{AuthFeature, AuthSettings, OidcProvider},
    },
    keys::Keys,
    network::{Connection, Gate, Network},
    realtime::{self, Realtime, RealtimeOptions},
    rest,
    rest_upstream::RestUpstream,
    running::Running,
    seed::{self, Demo},
    storage::{self, Blobs},
};

/// Tokens a day in the free plan.
const DAILY_TOKENS: u64 = 50_000;

/// Largest object, as the free plan has it.
const MAX_OBJECT_BYTES: u64 = 50 << 20;

/// How long a resumable upload may take.
const UPLOAD_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Why a cloud did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another program listens there.
    #[error("port {port} is in use")]
    PortInUse {
        /// The port that was asked for.
        port: u16,
    },
    /// The socket could not be opened for another reason.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be created, read or written.
    #[error("cannot use the data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another cloud runs on the same data directory.
    #[error("another development cloud is using {}", path.display())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The database is damaged, or from another version.
    #[error("cannot open the database")]
    Database {
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system gives no random bytes.
    #[error("cannot make keys")]
    Keys {
        /// What the system said.
        source: io::Error,
    },
    /// The address of the model server makes no sense.
    #[error("cannot use the AI upstream: {reason}")]
    Upstream {
        /// What is wrong with it.
        reason: String,
    },
    /// The settings of a provider of accounts make no sense.
    #[error("cannot use the OAuth upstream: {reason}")]
    OauthUpstream {
        /// What is wrong with them.
        reason: String,
    },
    /// The address of the tables' own server makes no sense.
    #[error("cannot use the tables upstream: {reason}")]
    RestUpstream {
        /// What is wrong with it.
        reason: String,
    },
}

/// Entry point: [`CloudDev::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct CloudDev {}

impl CloudDev {
    /// A cloud in memory, on a free port, with demo data.
    pub fn builder() -> Builder {
        Builder {
            port: 0,
            data_dir: None,
            discard_data: false,
            ai_upstream: None,
            ai_upstream_key: None,
            rest_upstream: None,
            jwt_secret: None,
            heed_fault_header: false,
            random_faults: None,
            realtime: RealtimeOptions::default(),
            settings: Settings {
                access_token_lifetime: Duration::from_secs(3600),
                refresh_reuse_interval: Duration::from_secs(10),
                open_controls: false,
                daily_tokens: DAILY_TOKENS,
                token_pace: Duration::ZERO,
                max_object_bytes: MAX_OBJECT_BYTES,
                upload_chunk_bytes: None,
                upload_lifetime: UPLOAD_LIFETIME,
            },
            auth: AuthSettings::default(),
        }
    }
}

/// What a cloud shall be like. Made by [`CloudDev::builder`].
#[derive(Debug)]
#[must_use = "nothing runs until `start`"]
pub struct Builder {
    port: u16,
    data_dir: Option<PathBuf>,
    discard_data: bool,
    ai_upstream: Option<String>,
    ai_upstream_key: Option<SecretString>,
    rest_upstream: Option<String>,
    jwt_secret: Option<SecretString>,
    heed_fault_header: bool,
    random_faults: Option<Random>,
    realtime: RealtimeOptions,
    settings: Settings,
    auth: AuthSettings,
}

impl Builder {
    /// Keeps everything in this directory, which is created if absent. Default: in memory.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Removes what an earlier cloud left in the data directory, except its keys. Default: it is kept.
    pub fn discard_data(mut self) -> Self {
        self.discard_data = true;
        self
    }

    /// Listens on this port of 127.0.0.1. Default: 0, any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Forwards questions to a model server that speaks OpenAI's API, such as `http://127.0.0.1:11434/v1`.
    /// Default: the built-in development model.
    pub fn ai_upstream(mut self, url: impl Into<String>) -> Self {
        self.ai_upstream = Some(url.into());
        self
    }

    /// The key that the model server wants. Default: none.
    pub fn ai_upstream_key(mut self, key: impl Into<String>) -> Self {
        self.ai_upstream_key = Some(key.into().into());
        self
    }

    /// Lets a PostgREST at this address, such as `http://127.0.0.1:3000`, answer for the tables. Default: the
    /// built-in tables.
    ///
    /// It has to trust tokens that this cloud signs, see [`jwt_secret`](Self::jwt_secret). Accounts stay here:
    /// its database has to know the people by itself, the ones of [`Demo`] too.
    pub fn rest_upstream(mut self, url: impl Into<String>) -> Self {
        self.rest_upstream = Some(url.into());
        self
    }

    /// Signs tokens with this secret, so that another server can check them. Default: random, and kept in the
    /// data directory.
    pub fn jwt_secret(mut self, secret: impl Into<String>) -> Self {
        self.jwt_secret = Some(secret.into().into());
        self
    }

    /// How long an access token is good, in whole seconds. Default: 3600 s.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.access_token_lifetime = lifetime;
        self
    }

    /// How long a spent refresh token may still be exchanged. Default: 10 s.
    pub fn refresh_reuse_interval(mut self, interval: Duration) -> Self {
        self.settings.refresh_reuse_interval = interval;
        self
    }

    /// Makes new accounts wait until the code or link in a [mail](Running::mails) is used, or for
    /// [`Running::confirm_email`]. Default: they are confirmed at once.
    pub fn require_email_confirmation(mut self) -> Self {
        self.auth.confirm_email = true;
        self
    }

    /// The page of the application: where browsers end that were not told where to, or may not go there. Default:
    /// `http://localhost:3000`.
    pub fn site_url(mut self, url: impl Into<String>) -> Self {
        self.auth.site_url = url.into();
        self
    }

    /// Lets browsers end at addresses of this pattern too: `*` is anything without `.` and `/`, `**` is anything.
    /// Default: only at the site and at IP addresses of this machine, any port.
    pub fn allow_redirect(mut self, pattern: impl Into<String>) -> Self {
        self.auth.redirect_urls.push(pattern.into());
        self
    }

    /// Switches a feature of the accounts off. Default: all are on.
    pub fn without(mut self, feature: AuthFeature) -> Self {
        self.auth.off.push(feature);
        self
    }

    /// Lets people sign in through this OpenID provider. Default: only through the built-in one, which answers to
    /// the names `apple`, `azure`, `demo`, `discord`, `github`, `gitlab` and `google`.
    pub fn oauth_upstream(mut self, provider: OidcProvider) -> Self {
        self.auth.upstreams.push(provider);
        self
    }

    /// Answers `/sso` for this domain, with the page of the built-in provider. Default: no domain has one.
    pub fn sso_domain(mut self, domain: impl Into<String>) -> Self {
        self.auth.sso_domains.push(domain.into().to_lowercase());
        self
    }

    /// How long a sign-in through a browser may take. Default: 5 min.
    pub fn flow_lifetime(mut self, lifetime: Duration) -> Self {
        self.auth.flow_lifetime = lifetime;
        self
    }

    /// How long a mailed code or link is good. Default: 24 h.
    pub fn email_code_lifetime(mut self, lifetime: Duration) -> Self {
        self.auth.code_lifetime = lifetime;
        self
    }

    /// Refuses a mail of the same kind to the same person before this time is over; the hosted service has 60 s.
    /// Default: not at all.
    pub fn email_interval(mut self, interval: Duration) -> Self {
        self.auth.email_interval = interval;
        self
    }

    /// Refuses mails once so many were sent within an hour. Default: never.
    pub fn emails_per_hour(mut self, limit: u32) -> Self {
        self.auth.emails_per_hour = Some(limit);
        self
    }

    /// Asks only the new address when it is changed. Default: the old one too, where addresses are confirmed.
    pub fn confirm_only_new_email(mut self) -> Self {
        self.auth.single_email_change = true;
        self
    }

    /// Wants the current password with a new one, except after a recovery. Default: it is not asked for.
    pub fn require_current_password(mut self) -> Self {
        self.auth.require_current_password = true;
        self
    }

    /// Wants a nonce of `/reauthenticate` with a new password once the session is older than 24 h. Default: it is
    /// not asked for.
    pub fn require_reauthentication(mut self) -> Self {
        self.auth.require_reauthentication = true;
        self
    }

    /// Limits how often a caller may ask for accounts and sessions, as the hosted service does: 30 at once. Default:
    /// no limits. Callers are told apart by the header `X-Forwarded-For`.
    pub fn rate_limits(mut self) -> Self {
        self.auth.rate_limits = true;
        self
    }

    /// Lets programs in other languages read the mails and steer accounts, under `/dev/v1/`. Default: closed.
    pub fn open_controls(mut self) -> Self {
        self.settings.open_controls = true;
        self
    }

    /// How many tokens a day the free plan has. Default: 50,000.
    pub fn daily_tokens(mut self, tokens: u64) -> Self {
        self.settings.daily_tokens = tokens;
        self
    }

    /// Waits this long before each token of a streamed built-in answer. Default: not at all.
    pub fn token_pace(mut self, pace: Duration) -> Self {
        self.settings.token_pace = pace;
        self
    }

    /// Refuses objects with more bytes. Default: 50 MiB.
    pub fn max_object_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_object_bytes = bytes;
        self
    }

    /// Refuses chunks of a resumable upload that have another size, the last one excepted, as the hosted service
    /// does with 6 MiB (6,291,456 bytes). Default: any size.
    pub fn upload_chunk_bytes(mut self, bytes: u64) -> Self {
        self.settings.upload_chunk_bytes = Some(bytes);
        self
    }

    /// How long a resumable upload may take. Default: 24 h.
    pub fn upload_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.upload_lifetime = lifetime;
        self
    }

    /// What live connections are like. Default: [`RealtimeOptions::default`].
    pub fn realtime(mut self, options: RealtimeOptions) -> Self {
        self.realtime = options;
        self
    }

    /// Hits `per_mille` of a thousand requests with a fault; the same `seed` hits the same ones. Default: none.
    pub fn faults(mut self, seed: u64, per_mille: u16) -> Self {
        self.random_faults = Some(Random { seed, per_mille });
        self
    }

    /// Lets requests ask for a fault themselves, with the header `x-cloud-dev-fault`. Default: it is ignored.
    ///
    /// The header says `status=503; retry-after=2`, `html`, `lose-reply`, `lose-request`, `cut=10` (bytes of the
    /// body) or `delay-ms=50`.
    pub fn heed_fault_header(mut self) -> Self {
        self.heed_fault_header = true;
        self
    }

    /// Starts the cloud on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`], if the port is taken, the data directory cannot be used, or a setting makes no sense.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start(self) -> Result<Running, StartError> {
        let upstream = self
            .ai_upstream
            .map(|base| Upstream::new(&base, self.ai_upstream_key))
            .transpose()
            .map_err(|reason| StartError::Upstream { reason })?;
        let rest_upstream = self.rest_upstream.map(|base| RestUpstream::new(&base));
        let rest_upstream = rest_upstream.transpose().map_err(|reason| StartError::RestUpstream { reason })?;
        let auth = Auth::new(self.auth).map_err(|reason| StartError::OauthUpstream { reason })?;
        let network = Network::default();
        let port = self.port;
        let gate = Gate::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), network.clone()).await;
        let gate = gate.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::PortInUse { port },
            _ => StartError::Listen { port, source },
        })?;
        let address = gate.address().map_err(|source| StartError::Listen { port, source })?;

        let mut data = open(self.data_dir, self.discard_data).await?;
        if let Some(secret) = self.jwt_secret {
            data.keys = data.keys.sign_with(secret.expose_secret(), cloud::now_seconds());
        }
        let demo = Demo::new();
        prepare(&data, &demo).await?;
        let faults = Faults::new(self.heed_fault_header, self.random_faults);
        let realtime = Arc::new(Realtime::new(self.realtime));
        let upstreams = Upstreams { ai: upstream, tables: rest_upstream };
        let cloud = Arc::new(Cloud::new(data, self.settings, auth, faults, network, upstreams, realtime));
        realtime::start(&cloud).await.map_err(|source| StartError::Database { source: source.into() })?;
        let url = cloud.url.get_or_init(|| format!("http://{address}")).clone();

        let stop = CancellationToken::new();
        let service = router(Arc::clone(&cloud)).into_make_service_with_connect_info::<Connection>();
        let serve = axum::serve(gate, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            let _ = serve.await; // accepting never fails for good
        });
        Ok(Running::new(cloud, demo, url, stop, task))
    }
}

fn router(cloud: Arc<Cloud>) -> Router {
    let hello = async || axum::Json(json!({ "name": "cloud-dev", "version": env!("CARGO_PKG_VERSION") }));
    let nowhere =
        async || gateway::refuse(StatusCode::NOT_FOUND, json!({ "message": "no Route matched with those values" }));
    Router::new()
        .route("/", any(hello))
        .route("/auth/v1/{*path}", any(gotrue::handle))
        .route("/dev/v1/{*path}", any(gotrue::handle_dev))
        .route("/rest/v1/", any(rest::handle))
        .route("/rest/v1/{*path}", any(rest::handle))
        .route("/storage/v1/{*path}", any(storage::handle))
        .route("/functions/v1/{*path}", any(functions::handle))
        .route(realtime::UPGRADE_PATH, any(realtime::upgrade))
        .route(realtime::PLAIN_PATH, any(realtime::upgrade))
        .route(realtime::BATCH[0], post(realtime::batch))
        .route(realtime::BATCH[1], post(realtime::batch))
        .route(realtime::SINGLE[0], post(realtime::single))
        .route(realtime::SINGLE[1], post(realtime::single))
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(Arc::clone(&cloud), gateway::gateway))
        .with_state(cloud)
}

/// Opens database, keys and files, away from the async threads.
async fn open(data_dir: Option<PathBuf>, discard: bool) -> Result<Data, StartError> {
    let work = move || {
        let discarded = match &data_dir {
            Some(path) if discard => db::discard(path),
            _ => Ok(()),
        };
        let db = discarded.and_then(|()| Db::open(data_dir.as_deref()));
        let db = db.map_err(|error| match (error, data_dir.clone()) {
            (OpenError::Directory(source), path) => StartError::DataDir { path: path.unwrap_or_default(), source },
            (OpenError::InUse, path) => StartError::DataDirInUse { path: path.unwrap_or_default() },
            (OpenError::Database(source), _) => StartError::Database { source: source.into() },
        })?;
        let keys = Keys::open(data_dir.as_deref(), cloud::now_seconds()).map_err(|source| match data_dir.clone() {
            Some(path) => StartError::DataDir { path, source },
            None => StartError::Keys { source },
        })?;
        let blobs = Blobs::open(data_dir.as_deref()).map_err(|source| {
            let path = data_dir.unwrap_or_else(std::env::temp_dir);
            StartError::DataDir { path, source }
        })?;
        Ok(Data { db, keys, blobs })
    };
    let opened = tokio::task::spawn_blocking(work).await;
    opened.unwrap_or_else(|error| Err(StartError::Database { source: error.into() }))
}

/// Creates what is missing of tables and demo data, and removes files that no row needs: what a crash left, or
/// what was there before the data was discarded.
async fn prepare(data: &Data, demo: &Demo) -> Result<(), StartError> {
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Database { source };
    let [owner, member] = &demo.people;
    let hash = async |password: &str| {
        gotrue::account::password::hash(password).await.map_err(|_| broken("cannot hash the demo passwords".into()))
    };
    let hashes = [hash(&owner.password).await?, hash(&member.password).await?];
    let demo = demo.clone();
    let prepared = data.db.call(move |conn| {
        schema::create(conn)?;
        gotrue::create(conn)?;
        functions::create(conn)?;
        seed::plant(conn, &demo, hashes)?;
        storage::create(conn, cloud::now_micros())?;
        storage::versions(conn, cloud::now_micros())
    });
    let needed = prepared.await.map_err(|source| broken(source.into()))?;
    let swept = data.blobs.sweep(needed).await;
    swept.map_err(|source| StartError::DataDir { path: data.blobs.root().to_owned(), source })
}
