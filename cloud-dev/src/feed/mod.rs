//! A feed of messages that keeps a buffer: what a service of the host's own would be, beside the Supabase paths.
//!
//! An internal service publishes → [`log`] → channels ([`socket`]), event streams ([`stream`]) and pages ([`http`]), all
//! with the same positions and the same words. Who reads is decided here ([`reader`]): a member of the organisation that
//! was asked for, by the session's token or by a ticket that was minted for it ([`ticket`]); nothing is sent to anybody
//! because it happened to be connected. Served only where a test asks for it.
//!
//! | Path                          | What                                                                      |
//! |-------------------------------|---------------------------------------------------------------------------|
//! | `POST /feed/v1/publish`       | `{"organization","conversation"?,"data"}` with the key of the service     |
//! | `POST /feed/v1/tickets`       | `{"ticket","expires_in"}` for one socket                                  |
//! | `/feed/v1/socket/websocket`   | channels `feed:{organization}[:{conversation}]`, joined with `{"after"}`  |
//! | `GET /feed/v1/events`         | an event stream from `Last-Event-ID` on                                   |
//! | `GET /feed/v1/items`          | pages: `?organization&conversation&after&limit`; 410 when that is gone    |
mod control;
mod http;
mod log;
mod options;
mod reader;
mod socket;
mod stream;
mod ticket;

pub use self::{control::FeedControl, options::FeedOptions};

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use axum::{
    Router,
    routing::{any, get, post},
};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{log::Log, ticket::Tickets};
use crate::cloud::Cloud;

/// Where its socket is. It is let in by a ticket, not by the project's key.
pub(crate) const SOCKET_PATH: &str = "/feed/v1/socket/websocket";

/// The feed of one server.
#[derive(Debug)]
pub(crate) struct Feed {
    options: FeedOptions,
    key: String,
    log: Mutex<Log>,
    tickets: Mutex<Tickets>,
    /// Told by every message.
    changed: watch::Sender<u64>,
    /// Told when every connection has to end, and how.
    ends: watch::Sender<Ending>,
    /// So many events are still to be cut in the middle.
    cuts: AtomicU32,
    readers: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How connections end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ending {
    count: u64,
    /// With a word, as a server does that restarts; without one, the line just goes dead.
    told: bool,
}

impl Feed {
    pub(crate) fn new(options: FeedOptions) -> Self {
        Self {
            log: Mutex::new(Log::new(options.replayed_messages)),
            options,
            key: secret(),
            tickets: Mutex::default(),
            changed: watch::Sender::new(0),
            ends: watch::Sender::default(),
            cuts: AtomicU32::new(0),
            readers: AtomicU64::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Its paths.
    pub(crate) fn routes() -> Router<Arc<Cloud>> {
        Router::new()
            .route("/feed/v1/publish", post(http::publish))
            .route("/feed/v1/tickets", post(http::mint))
            .route("/feed/v1/items", get(http::items))
            .route("/feed/v1/events", get(http::events))
            .route(SOCKET_PATH, any(socket::upgrade))
    }

    /// Ends every connection, and resolves once their tasks are gone.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + use<> {
        self.stop.cancel();
        self.end_all(true);
        self.tasks.close();
        let tasks = self.tasks.clone();
        async move { tasks.wait().await }
    }

    fn end_all(&self, told: bool) {
        self.ends.send_modify(|ending| *ending = Ending { count: ending.count + 1, told });
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; its id.
    fn publish(&self, organization: String, conversation: Option<String>, data: Box<RawValue>) -> String {
        let data = on_one_line(data);
        let id = self.log().publish(organization, conversation, data);
        self.changed.send_modify(|count| *count += 1);
        id
    }

    /// Whether the next event is one of those that are to be cut.
    fn cuts_now(&self) -> bool {
        self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// Counts a reader for as long as the answer lives.
    fn reading(self: &Arc<Self>) -> Reading {
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reading(Arc::clone(self))
    }
}

/// A connection that reads.
#[derive(Debug)]
struct Reading(Arc<Feed>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `data` without the line ends between its parts, which would end the `data:` line of an event stream. Inside of
/// strings JSON has none, and none stands where two parts would run into one.
fn on_one_line(data: Box<RawValue>) -> Box<RawValue> {
    if data.get().contains(['\n', '\r']) {
        RawValue::from_string(data.get().replace(['\n', '\r'], "")).unwrap_or(data)
    } else {
        data
    }
}

/// 122 random bits.
fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
