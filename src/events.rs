//! One stream of what happens in all parts, for hosts that listen in one place.
use cloud_auth::events::AuthEvent;
use cloud_sync::SyncEvent;
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "area", content = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloudEvent {
    /// To the session.
    Auth(AuthEvent),
    /// While syncing.
    Sync(SyncEvent),
    /// A part told more than this stream could carry: read [`Cloud::status`](crate::Cloud::status) again.
    Missed {
        /// How many events are gone.
        count: u64,
    },
}
