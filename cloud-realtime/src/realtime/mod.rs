//! The handle on one live connection, shared by all channels.
//!
//! Handles hold wishes and queues; one task owns the socket and makes the wishes true (see `supervisor`). It ends when
//! the last handle and the last channel are dropped, or at [`Realtime::close`].
mod address;
mod builder;
mod jobs;
mod state;
mod supervisor;
mod watchman;

pub use self::builder::{Endpoint, KeyPlacement, RealtimeBuilder};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloud_client::{Client, clock::SharedClock, tasks::Tasks};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    channel::{ChannelBuilder, command::Command},
    status::{Status, Watch},
    topic::Topic,
};

/// A live connection. Cheap to clone; when the last clone and the last channel are gone, so is the connection.
#[derive(Clone)]
pub struct Realtime(Arc<Inner>);

struct Inner {
    commands: mpsc::Sender<Command>,
    nudge: Arc<Notify>,
    intent: watch::Sender<Intent>,
    status: watch::Receiver<Status>,
    channels: AtomicU64,
    tasks: Tasks,
    clock: SharedClock,
}

/// What the host wants of the connection as a whole. A state, so that nothing is lost or done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Whether there may be a socket.
    pub(crate) connected: bool,
    /// Counts the wishes to start over, whatever went before.
    pub(crate) restarts: u64,
    /// Counts the hints that the network or the machine came back.
    pub(crate) wakes: u64,
    /// Counts the hints that the session may be another.
    pub(crate) sessions: u64,
}

impl Realtime {
    /// A connection to the cloud of `client`, with its session, clock, proxy and certificates.
    pub fn builder(client: &Client) -> RealtimeBuilder {
        RealtimeBuilder::new(client.clone())
    }

    /// A channel for `topic`: `Topic::realtime("notes")`, or any topic of a plain Phoenix server.
    pub fn channel(&self, topic: Topic) -> ChannelBuilder {
        ChannelBuilder::new(self.clone(), topic)
    }

    /// How the connection is doing.
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// Follows how the connection is doing.
    pub fn watch_status(&self) -> Watch<Status> {
        Watch(self.0.status.clone())
    }

    /// Gives the socket up until [`Self::reconnect`]. Channels stay wanted.
    pub fn disconnect(&self) {
        self.0.intent.send_modify(|intent| intent.connected = false);
    }

    /// Wants the socket, also after a refusal, and tries at once if it is waiting.
    pub fn reconnect(&self) {
        self.0.intent.send_modify(|intent| {
            intent.connected = true;
            intent.restarts += 1;
        });
    }

    /// A hint that the network or the machine came back: an open socket is tested, a waiting one tries now.
    pub fn wake(&self) {
        self.0.intent.send_modify(|intent| intent.wakes += 1);
    }

    /// A hint that the session changed: refreshed, signed in, signed out, another user. The token is looked at now
    /// instead of within half a minute.
    pub fn session_changed(&self) {
        self.0.intent.send_modify(|intent| intent.sessions += 1);
    }

    /// Leaves everything and ends, within `limit`; `false` when that was not enough (H1).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the end stays asked for.
    pub async fn close(&self, limit: Duration) -> bool {
        self.0.tasks.close(&self.0.clock, limit).await
    }

    pub(crate) fn next_channel(&self) -> u64 {
        // Relaxed: only uniqueness matters.
        self.0.channels.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.0.commands
    }

    /// Has the supervisor look at what handles have left beside their channels: that nobody wants them any more, or what
    /// is to be shown of this member.
    pub(crate) fn nudge(&self) {
        self.0.nudge.notify_one();
    }
}

impl fmt::Debug for Realtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realtime").field("status", &*self.0.status.borrow()).finish_non_exhaustive()
    }
}
