//! The handle that steers the feed of a running cloud.
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use serde_json::value::RawValue;

use super::Feed;

/// Steers the feed of a [`Running`](crate::Running) cloud; clones steer the same one.
#[derive(Clone)]
pub struct FeedControl(pub(crate) Arc<Feed>);

impl fmt::Debug for FeedControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedControl").field("readers", &self.readers()).finish_non_exhaustive()
    }
}

impl FeedControl {
    /// The key with which a service publishes, as `Authorization: Bearer …`.
    pub fn publish_key(&self) -> &str {
        &self.0.key
    }

    /// Publishes for an organisation, perhaps for one conversation of it, as a service would; `data` is JSON text.
    /// Returns the message's id; `None` if the text is no JSON.
    pub fn publish(&self, organization: &str, conversation: Option<&str>, data: &str) -> Option<String> {
        let data = RawValue::from_string(data.to_owned()).ok()?;
        Some(self.0.publish(organization.to_owned(), conversation.map(str::to_owned), data))
    }

    /// Cuts every connection without a word.
    pub fn cut(&self) {
        self.0.end_all(false);
    }

    /// Cuts the connection in the middle of the next `events` events; the halves are not written again.
    pub fn cut_in_events(&self, events: u32) {
        self.0.cuts.fetch_add(events, Ordering::SeqCst);
    }

    /// Does what a restart of the server does: every connection ends, sockets with 1012, and tickets that wait are
    /// good no longer. What was published stays.
    pub fn restart(&self) {
        self.0.tickets().forget();
        self.0.end_all(true);
    }

    /// Replays nothing of what was published so far: positions before now are too old for channels and event streams,
    /// not for pages.
    pub fn forget_replay(&self) {
        self.0.log().forget_replay();
    }

    /// Forgets every position that was ever given out, for pages too. Connections end; what was published stays.
    pub fn forget_positions(&self) {
        self.0.log().forget_positions();
        self.0.end_all(true);
    }

    /// How many sockets and event streams are open.
    pub fn readers(&self) -> u64 {
        self.0.readers.load(Ordering::SeqCst)
    }
}
