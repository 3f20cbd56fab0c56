//! Options of a connection, each with its default. `open` starts the task; the socket waits for the first channel.
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use cloud_client::{Client, tasks::Tasks};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    Inner, Intent, Realtime,
    supervisor::{Ears, Supervisor},
};
use crate::{
    codec::{MAX_RECEIVED_BYTES, Version},
    credentials::CredentialSource,
    socket::Connector,
    status::Status,
};

/// Requests of handles that wait for the supervisor; a full queue makes the caller wait.
const MAX_COMMANDS: usize = 256;

/// Options of a [`Realtime`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RealtimeBuilder {
    pub(super) client: Client,
    pub(super) endpoint: Endpoint,
    pub(super) version: Version,
    pub(super) key: KeyPlacement,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) credentials: Option<Arc<dyn CredentialSource>>,
    pub(super) connector: Option<Arc<dyn Connector>>,
    pub(super) max_channels: usize,
    pub(super) joins_per_second: u32,
    pub(super) connect_timeout: Duration,
    pub(super) max_received_bytes: usize,
}

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// Supabase: `/realtime/v1/websocket` below the cloud's address.
    Supabase,
    /// A path below the cloud's address, such as `/socket`; `/websocket` is added where it is missing.
    Path(String),
    /// Another address, `ws`, `wss`, `http` or `https`. The project's key is not sent there. `/websocket` is added to a
    /// path other than `/` that lacks it.
    Url(url::Url),
}

/// Where the project's public key goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyPlacement {
    /// In the headers `apikey` and `x-api-key`: URLs end up in logs.
    #[default]
    Header,
    /// In the query parameter `apikey`, as browsers have to.
    Query,
    /// Nowhere: a plain Phoenix server knows no such key.
    Nowhere,
}

impl RealtimeBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            endpoint: Endpoint::Supabase,
            version: Version::default(),
            key: KeyPlacement::default(),
            parameters: Vec::new(),
            credentials: None,
            connector: None,
            max_channels: 100,
            joins_per_second: 10,
            connect_timeout: Duration::from_secs(20),
            max_received_bytes: MAX_RECEIVED_BYTES,
        }
    }

    /// Sets where the socket is. Default: [`Endpoint::Supabase`].
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Sets the protocol version. Default: 2.0.0.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets where the project's public key goes. Default: [`KeyPlacement::Header`].
    pub fn key_placement(mut self, placement: KeyPlacement) -> Self {
        self.key = placement;
        self
    }

    /// Adds a parameter to the socket's URL, for the server's own `connect`. Not for secrets: see
    /// [`Self::credentials`].
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Asks `source` for credentials before every attempt, instead of sending the project's key.
    pub fn credentials(mut self, source: impl CredentialSource + 'static) -> Self {
        self.credentials = Some(Arc::new(source));
        self
    }

    /// Opens sockets with `connector`. Default: the client's own way to the network.
    pub fn connector(mut self, connector: impl Connector + 'static) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Limits the channels of this connection. Default: 100, which is also what servers allow.
    pub fn max_channels(mut self, limit: usize) -> Self {
        self.max_channels = limit;
        self
    }

    /// Limits the joins per second. Default: 10, at least 1.
    pub fn joins_per_second(mut self, limit: u32) -> Self {
        self.joins_per_second = limit.max(1);
        self
    }

    /// Limits one attempt to connect, credentials included. Default: 20 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limits a message that is read. A larger one costs the connection. Default: 8 MiB.
    pub fn max_received_bytes(mut self, limit: usize) -> Self {
        self.max_received_bytes = limit;
        self
    }

    /// Starts the connection's task. The socket opens with the first channel.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn open(self) -> Realtime {
        let (commands, asked) = mpsc::channel(MAX_COMMANDS);
        let nudge = Arc::new(Notify::new());
        let (intent, intents) = watch::channel(Intent { connected: true, restarts: 0, wakes: 0, sessions: 0 });
        let (told, status) = watch::channel(Status::default());
        let tasks = Tasks::new();
        let clock = self.client.clock().clone();
        let ears = Ears { stop: tasks.stop_signal(), asked, nudge: Arc::clone(&nudge), intents };
        tasks.spawn(Supervisor::new(self, told).run(ears));
        Realtime(Arc::new(Inner { commands, nudge, intent, status, channels: AtomicU64::new(1), tasks, clock }))
    }
}
