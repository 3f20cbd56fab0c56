//! Starting a cloud: what has to be in place before the first request.
//!
//! Builder → listening socket → data directory, keys, tables, demo data → [`Running`]. The socket comes
//! first, so that a taken port leaves the data alone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router, middleware,
    routing::{any, post},
};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    builder::Builder,
    cloud::{Cloud, Data, Live, Upstreams},
    core::{
        clock::Clock,
        db::{self, Db, OpenError},
        schema,
    },
    faults::Faults,
    feed::Feed,
    functions::{self, upstream::Upstream},
    gateway,
    gotrue::{self, Auth},
    keys::Keys,
    network::{Connection, Gate, Network},
    realtime::{self, Realtime},
    rest,
    rest_upstream::RestUpstream,
    running::Running,
    seed::{self, Demo},
    storage::{self, Blobs},
};

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

/// Starts a cloud with these options on the current Tokio runtime.
pub(crate) async fn start(options: Builder) -> Result<Running, StartError> {
    let upstream = options
        .ai_upstream
        .map(|base| Upstream::new(&base, options.ai_upstream_key))
        .transpose()
        .map_err(|reason| StartError::Upstream { reason })?;
    let rest_upstream = options.rest_upstream.map(|base| RestUpstream::new(&base));
    let rest_upstream = rest_upstream.transpose().map_err(|reason| StartError::RestUpstream { reason })?;
    let auth = Auth::new(options.auth).map_err(|reason| StartError::OauthUpstream { reason })?;
    let network = Network::default();
    let port = options.port;
    let gate = Gate::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), network.clone()).await;
    let gate = gate.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { port },
        _ => StartError::Listen { port, source },
    })?;
    let address = gate.address().map_err(|source| StartError::Listen { port, source })?;

    let mut data = open(options.data_dir, options.discard_data).await?;
    if let Some(secret) = options.jwt_secret {
        data.keys = data.keys.sign_with(secret.expose_secret(), Clock::default().seconds());
    }
    let demo = Demo::new();
    prepare(&data, &demo).await?;
    let faults = Faults::new(options.heed_fault_header, options.random_faults);
    let feed = options.feed.map(Feed::new).map(Arc::new);
    let live = Live { realtime: Arc::new(Realtime::new(options.realtime)), feed };
    let upstreams = Upstreams { ai: upstream, tables: rest_upstream };
    let cloud = Arc::new(Cloud::new(data, options.settings, auth, faults, network, upstreams, live));
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
        .merge(Feed::routes())
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
        let keys =
            Keys::open(data_dir.as_deref(), Clock::default().seconds()).map_err(|source| match data_dir.clone() {
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
        let now = Clock::default().micros();
        storage::create(conn, now)?;
        storage::versions(conn, now)
    });
    let needed = prepared.await.map_err(|source| broken(source.into()))?;
    let swept = data.blobs.sweep(needed).await;
    swept.map_err(|source| StartError::DataDir { path: data.blobs.root().to_owned(), source })
}
