//! How the connection and the channels are doing, for status lines and for whoever decides about polling.
use cloud_client::Error;
use tokio::sync::watch;

/// The connection, as of now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub connection: ConnectionState,
    /// What went wrong last, until the connection is open again.
    pub last_error: Option<Error>,
    /// Attempts in a row that did not lead to half a minute of live messages.
    pub failed_attempts: u32,
    /// Frames of the server that could not be read, since the start.
    pub unreadable_frames: u64,
    /// Messages for channels, or instances of channels, that are no more, since the start.
    pub stale_messages: u64,
    /// Channels that are wanted.
    pub channels: usize,
    /// Channels that are live.
    pub live_channels: usize,
}

impl Status {
    /// Whether every wanted channel is live, and there is at least one: polling can step back.
    pub const fn is_live(&self) -> bool {
        self.channels > 0 && self.live_channels == self.channels
    }
}

/// What the connection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// No channel is wanted, so there is no socket.
    #[default]
    Idle,
    /// A token is fetched or the socket is being opened.
    Connecting,
    /// The socket is open.
    Open,
    /// Waiting before the next attempt.
    Backoff,
    /// Disconnected on request.
    Disconnected,
    /// Refused for good; another session or [`Realtime::reconnect`](crate::Realtime::reconnect) starts it again.
    Stopped,
    /// The handle was closed.
    Closed,
}

/// What one channel is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelState {
    /// Waiting for the connection, for its turn or for the next try.
    #[default]
    Waiting,
    /// The join is on its way.
    Joining,
    /// Joined, but row changes that were asked for do not flow yet.
    Joined,
    /// Everything that was asked for flows.
    Live,
    /// Refused; waits for another token or configuration.
    Refused,
    /// Left for good.
    Left,
}

/// Follows a status; only the latest is kept.
#[derive(Clone, Debug)]
pub struct Watch<T>(pub(crate) watch::Receiver<T>);

impl<T: Clone + Send + Sync> Watch<T> {
    /// The latest.
    pub fn current(&self) -> T {
        self.0.borrow().clone()
    }

    /// Waits for one that has not been seen; `None` after the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn changed(&mut self) -> Option<T> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits until `accepts` is true of the latest, at once if it is; `None` after the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn until(&mut self, mut accepts: impl FnMut(&T) -> bool + Send) -> Option<T> {
        self.0.wait_for(|status| accepts(status)).await.ok().map(|status| status.clone())
    }
}
