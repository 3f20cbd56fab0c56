//! One stream of what happens in all parts, for hosts that listen in one place.
use cloud_auth::events::AuthEvent;
use cloud_sync::SyncEvent;
use serde::Serialize;

use crate::{live::LiveEvent, team::Teammate};

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "area", content = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloudEvent {
    /// To the session.
    Auth(AuthEvent),
    /// While syncing.
    Sync(SyncEvent),
    /// Elsewhere, just now.
    Live(LiveEvent),
    /// To the people of the linked workspace: the whole list, those who are there first.
    Team {
        /// The cloud workspace.
        workspace_id: String,
        /// Everybody.
        team: Vec<Teammate>,
    },
    /// A part told more than this stream could carry: read [`Cloud::status`](crate::Cloud::status) again.
    Missed {
        /// How many events are gone.
        count: u64,
    },
}
