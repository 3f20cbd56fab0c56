//! What syncing tells the host. Events carry ids and values of the host's own data, never secrets.
use serde::Serialize;
use serde_json::Value;

/// Something that happened while syncing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncEvent {
    /// A folder was linked.
    Linked {
        /// The cloud workspace.
        workspace_id: String,
        /// The local folder.
        folder: String,
    },
    /// A folder was unlinked.
    Unlinked {
        /// The cloud workspace.
        workspace_id: String,
    },
    /// Local changes arrived in the cloud.
    Pushed {
        /// The cloud workspace.
        workspace_id: String,
        /// The fields.
        fields: Vec<String>,
    },
    /// The cloud held something new.
    Pulled {
        /// The cloud workspace.
        workspace_id: String,
        /// The fields that are different now.
        fields: Vec<String>,
    },
    /// One field was changed on both sides. The cloud's value stands; the local one is in the conflict log.
    Conflict {
        /// The cloud workspace.
        workspace_id: String,
        /// The entry of the conflict log.
        conflict: i64,
        /// The field.
        field: String,
        /// What was set here.
        local_value: Value,
        /// What the cloud holds.
        cloud_value: Value,
    },
    /// Own messages arrived in the cloud.
    MessagesSent {
        /// The conversation's local name.
        conversation: String,
        /// How many with this step.
        count: usize,
        /// How many are still waiting.
        pending: usize,
    },
    /// Messages of others, or of this user's other devices, were stored here.
    MessagesReceived {
        /// The conversation's local name.
        conversation: String,
        /// How many with this step.
        count: usize,
    },
    /// The cloud refuses a message; it stays here, and others go on.
    MessageParked {
        /// The conversation's local name.
        conversation: String,
        /// The message.
        id: String,
        /// The code of the refusal.
        reason: String,
    },
    /// The state of a workspace's sync changed.
    State {
        /// The cloud workspace.
        workspace_id: String,
        /// The new state.
        state: SyncState,
    },
    /// A damaged local database was set aside and a new one begun; the cloud's part comes back with the next sync.
    StoreSetAside {
        /// Where the old one is now.
        path: String,
    },
}

/// How a workspace's sync stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncState {
    /// Not synced since the start.
    #[default]
    Idle,
    /// At work.
    Syncing,
    /// Everything local is in the cloud and the other way round, as of the last sync.
    Synced,
    /// The cloud is out of reach; changes wait here.
    Offline,
    /// The last sync failed in another way.
    Error,
}
