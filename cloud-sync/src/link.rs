//! `.cloud-link.json`: the readable pointer from a folder to its cloud workspace, and the user's settings for it.
//!
//! The file is not the truth: cursors, base versions and trust live in the local store. It is written whole or not at
//! all, keeps every field it does not know (W7), and a file that a workspace merely brought along does nothing until the
//! link is made on this machine (C2). Schema: "Cloud Integration Design", section 7.2.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
    time::SystemTime,
};

use cloud_client::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::codes::LINK_FILE;

/// The file's name, in the root of the linked folder. It belongs into `.gitignore`.
pub const LINK_FILE_NAME: &str = ".cloud-link.json";

/// A larger file is not one of ours.
const LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LinkRecord {
    /// The schema's version: 1.
    pub version: u32,
    /// The cloud's id of the workspace.
    pub cloud_workspace_id: String,
    /// The workspace's name when it was last seen.
    #[serde(default)]
    pub cloud_workspace_name: String,
    /// When the link was made (RFC 3339).
    #[serde(default)]
    pub linked_at: String,
    /// When something was last synced (RFC 3339).
    #[serde(default)]
    pub last_sync_at: Option<String>,
    /// The conversations, by local name.
    #[serde(default)]
    pub conversations: BTreeMap<String, ConversationLink>,
    /// What the user wants synced.
    #[serde(default)]
    pub sync_config: SyncConfig,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One conversation in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ConversationLink {
    /// The cloud's id of the conversation.
    pub cloud_conv_id: String,
    /// When it was last synced (RFC 3339).
    pub last_sync_at: Option<String>,
    /// The last own message that arrived in the cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_local_message_id: Option<String>,
    /// The cloud's time of the last message read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_cloud_message_at: Option<String>,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What the user wants synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct SyncConfig {
    /// Syncs on its own. Default: true.
    pub auto_sync: bool,
    /// Milliseconds between two syncs. Default: 30000.
    pub sync_interval_ms: u64,
    /// Syncs conversations. Default: true.
    pub sync_conversations: bool,
    /// Syncs the workspace's state. Default: true.
    pub sync_workspace_state: bool,
    /// Syncs files. Default: false.
    pub sync_files: bool,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            auto_sync: true,
            sync_interval_ms: 30_000,
            sync_conversations: true,
            sync_workspace_state: true,
            sync_files: false,
            extra: Map::new(),
        }
    }
}

impl LinkRecord {
    pub(crate) fn new(workspace_id: String, workspace_name: String, linked_at: String) -> Self {
        Self {
            version: 1,
            cloud_workspace_id: workspace_id,
            cloud_workspace_name: workspace_name,
            linked_at,
            last_sync_at: None,
            conversations: BTreeMap::new(),
            sync_config: SyncConfig::default(),
            extra: Map::new(),
        }
    }

    /// Reads the file in `folder`; `None` when there is none. Blocking. Only a plain file is read: a link planted in a
    /// workspace points nowhere.
    ///
    /// # Errors
    ///
    /// `sync.link_file` when it cannot be read or is no link record.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(LINK_FILE_NAME);
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        if !about.is_file() || about.len() > LIMIT_BYTES {
            return Err(Error::new(LINK_FILE).during("reading the link file").with_detail("not a small plain file"));
        }
        let text = fs::read(&path).map_err(failed)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|cause| Error::new(LINK_FILE).during("reading the link file").with_source(cause))
    }

    /// Writes the file: whole old or whole new, whatever happens in between. Blocking.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|cause| Error::new(LINK_FILE).with_source(cause))?;
        text.push(b'\n');
        let store = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".cloud-link-").tempfile_in(folder)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(folder.join(LINK_FILE_NAME)).map_err(|failed| failed.error)?;
            sync_folder(folder)
        };
        store().map_err(failed)
    }

    /// Reads the file to change it, if it points to `workspace_id`. A broken one, and one that points elsewhere, is
    /// renamed and never overwritten (D5).
    pub(crate) fn read_own(folder: &Path, workspace_id: &str) -> Result<Option<Self>, Error> {
        let suffix = match Self::read(folder) {
            Ok(None) => return Ok(None),
            Ok(Some(record)) if record.cloud_workspace_id == workspace_id => return Ok(Some(record)),
            Ok(Some(_)) => "replaced",
            Err(_) => "damaged",
        };
        let free =
            (1..=1000).map(|n| folder.join(format!("{LINK_FILE_NAME}.{suffix}-{n}"))).find(|path| !path.exists());
        let Some(free) = free else { return Err(Error::new(LINK_FILE).during("setting the link file aside")) };
        fs::rename(folder.join(LINK_FILE_NAME), free).map_err(failed)?;
        Ok(None)
    }

    /// Removes the file, if it is there. Blocking.
    pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
        match fs::remove_file(folder.join(LINK_FILE_NAME)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed(cause)),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn failed(cause: io::Error) -> Error {
    Error::new(LINK_FILE).with_source(cause)
}

/// A moment as RFC 3339 text, for people and for columns that the server does not set.
pub(crate) fn stamp(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = r#"{
      "version": 1, "cloudWorkspaceId": "uuid-w", "cloudWorkspaceName": "my-project",
      "linkedAt": "2026-02-19T23:00:00Z", "lastSyncAt": "2026-02-19T23:30:00Z", "futureField": {"a": [1]},
      "conversations": {
        "chat": {"cloudConvId": "uuid-c", "lastSyncAt": "2026-02-19T23:30:00Z", "lastLocalMessageId": "msg-local-42",
                 "lastCloudMessageAt": "2026-02-19T23:25:00Z", "futureConv": true},
        "research": {"cloudConvId": "uuid-d", "lastSyncAt": "2026-02-19T23:15:00Z"}
      },
      "syncConfig": {"autoSync": true, "syncIntervalMs": 30000, "syncConversations": true, "syncWorkspaceState": true,
                     "syncFiles": false, "futureSwitch": 3}
    }"#;

    #[test]
    fn w07_the_documented_file_and_fields_of_the_future_survive_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LINK_FILE_NAME), DOCUMENTED).unwrap();
        let record = LinkRecord::read(folder.path()).unwrap().unwrap();
        assert_eq!(record.conversations["chat"].cloud_conv_id, "uuid-c");
        record.write(folder.path()).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(folder.path().join(LINK_FILE_NAME)).unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(DOCUMENTED).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn d05_a_broken_file_is_renamed_and_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LINK_FILE_NAME), "{ half").unwrap();
        assert_eq!(LinkRecord::read(folder.path()).unwrap_err().code(), LINK_FILE);
        assert!(LinkRecord::read_own(folder.path(), "uuid-w").unwrap().is_none());
        assert_eq!(fs::read_to_string(folder.path().join(".cloud-link.json.damaged-1")).unwrap(), "{ half");
    }

    #[test]
    fn d05_a_file_that_points_elsewhere_is_renamed_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LINK_FILE_NAME), DOCUMENTED).unwrap();
        assert!(LinkRecord::read_own(folder.path(), "uuid-w").unwrap().is_some());
        assert!(LinkRecord::read_own(folder.path(), "another").unwrap().is_none());
        assert_eq!(fs::read_to_string(folder.path().join(".cloud-link.json.replaced-1")).unwrap(), DOCUMENTED);
    }

    #[cfg(unix)]
    #[test]
    fn c02_a_planted_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("elsewhere.json");
        fs::write(&target, DOCUMENTED).unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(LINK_FILE_NAME)).unwrap();
        assert_eq!(LinkRecord::read(folder.path()).unwrap_err().code(), LINK_FILE);
    }
}
