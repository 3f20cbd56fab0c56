//! What a test chooses about the feed.
use std::time::Duration;

/// What the feed shall be like; given to [`Builder::feed`](crate::Builder::feed).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a builder has it"]
pub struct FeedOptions {
    pub(super) replayed_messages: usize,
    pub(super) repeated_messages: u64,
    pub(super) ticket_lifetime: Duration,
    pub(super) keep_alive: Duration,
    pub(super) retry: Duration,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            replayed_messages: 1_000,
            repeated_messages: 0,
            ticket_lifetime: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            retry: Duration::from_secs(1),
        }
    }
}

impl FeedOptions {
    /// How many of the newest messages channels and event streams replay; who is further behind is told that the
    /// position is too old, and has to read pages. Default: 1,000.
    pub fn replayed_messages(mut self, messages: usize) -> Self {
        self.replayed_messages = messages;
        self
    }

    /// Sends the last messages of each replay again as live ones, as servers do that subscribe before they replay.
    /// Default: none.
    pub fn repeated_messages(mut self, messages: u64) -> Self {
        self.repeated_messages = messages;
        self
    }

    /// How long a ticket waits for its socket. Default: 30 s.
    pub fn ticket_lifetime(mut self, lifetime: Duration) -> Self {
        self.ticket_lifetime = lifetime;
        self
    }

    /// How often a silent event stream says that it lives. Default: 15 s.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// How long readers of an event stream are asked to wait before they come back. Default: 1 s.
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }
}
