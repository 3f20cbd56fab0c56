//! One linked workspace: its state, its conversations, and the order in which a sync goes through them.
//!
//! host → [`Workspace::set`] (durable before it returns) → [`Workspace::sync`]: state pushed and pulled, outboxes
//! pushed, conversations found and pulled, the link file brought up to date. One sync at a time for each link.
mod agenda;
mod auto;
mod conflicts;
mod hint;
mod members;
mod merge;
mod parts;
mod state;

use std::{fmt, path::Path};

use cloud_client::{Error, ErrorKind};

pub use auto::{AutoSync, StopSync};
pub use conflicts::{Choice, Conflict};
pub(crate) use hint::{Foreign, Wanted};
pub use hint::{Heard, Hint};
pub use members::{Member, Place};
use parts::Parts;
pub use state::{Pushed, WorkspaceState};

use crate::{
    conversations::{self, Conversation},
    events::{SyncEvent, SyncState},
    link::{LinkRecord, SyncConfig},
    scope::{Scope, blocking},
};

/// A folder and its cloud workspace, for one user. Cheap to clone.
#[derive(Clone)]
pub struct Workspace {
    scope: Scope,
}

/// What one sync did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SyncReport {
    /// Fields that went to the cloud.
    pub pushed: Vec<String>,
    /// Fields that came from the cloud.
    pub pulled: Vec<String>,
    /// Fields changed on both sides.
    pub conflicts: Vec<Conflict>,
    /// Messages that arrived in the cloud.
    pub sent: usize,
    /// Messages that arrived here.
    pub received: usize,
    /// Messages that the cloud refused.
    pub parked: usize,
}

impl Workspace {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope }
    }

    /// The cloud's id.
    pub fn id(&self) -> &str {
        self.scope.workspace()
    }

    /// What people call it, as of the link.
    pub fn name(&self) -> &str {
        self.scope.name()
    }

    /// The user this link belongs to.
    pub fn user(&self) -> &str {
        self.scope.user()
    }

    /// The local folder.
    pub fn folder(&self) -> &Path {
        self.scope.folder()
    }

    /// How the sync stands.
    pub fn sync_state(&self) -> SyncState {
        self.scope.cell().state()
    }

    /// The conversation that goes by `name` here ("chat", "research"); made if there is none. No network.
    ///
    /// # Errors
    ///
    /// `sync.bad_name` for a name that is empty, too long or holds control characters.
    pub async fn conversation(&self, name: &str) -> Result<Conversation, Error> {
        Conversation::open(self.scope.clone(), name).await
    }

    /// The conversation that the cloud knows by this id, if it is known here. No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn conversation_with_cloud_id(&self, cloud_id: &str) -> Result<Option<Conversation>, Error> {
        conversations::by_cloud_id(&self.scope, cloud_id).await
    }

    /// All conversations known here, by name. No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn conversations(&self) -> Result<Vec<Conversation>, Error> {
        conversations::known(&self.scope).await
    }

    /// Syncs state and conversations once, both ways, as the link's settings say.
    ///
    /// # Errors
    ///
    /// The first failure, `sync.not_linked` once the link was ended; what was done stays done, and what was not sent stays
    /// stored. What is refused of one part holds up none of the others (O6).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: each step is whole in the store, and steps that were sent are recognised by the next sync. The state
    /// is then what it was before.
    pub async fn sync(&self) -> Result<SyncReport, Error> {
        let _alone = self.scope.begin().await?;
        let mut at_work = self.scope.at_work();
        let result = self.sync_steps().await;
        at_work.end = match &result {
            Ok(_) => SyncState::Synced,
            Err(error) if matches!(error.kind(), ErrorKind::Network | ErrorKind::Timeout | ErrorKind::Server) => {
                SyncState::Offline
            }
            Err(_) => SyncState::Error,
        };
        result
    }

    async fn sync_steps(&self) -> Result<SyncReport, Error> {
        let record = self.record().await?;
        let is_new = record.as_ref().is_some_and(|record| record.last_sync_at.is_none());
        let wanted = record.map(|record| record.sync_config).unwrap_or_default();
        let mut report = SyncReport::default();
        let mut parts = Parts::default();
        if wanted.sync_workspace_state
            && let Some(pushed) = parts.part(self.exchange_state(true).await)?
        {
            (report.pushed, report.pulled, report.conflicts) = (pushed.fields, pushed.pulled, pushed.conflicts);
        }
        if wanted.sync_conversations {
            // A list that is refused says nothing of those that are known.
            let progress = parts.part(conversations::discover(&self.scope).await)?.flatten();
            for conversation in conversations::with_work(&self.scope, progress).await? {
                if let Some(sent) = parts.part(conversation.push_steps().await)? {
                    (report.sent, report.parked) = (report.sent + sent.sent, report.parked + sent.parked);
                }
                report.received += parts.part(conversation.pull_steps().await)?.unwrap_or_default();
            }
        }
        if is_new || report != SyncReport::default() {
            self.write_link_file().await?;
        }
        parts.end().map(|()| report)
    }

    /// Sends the messages that wait, where the link's settings allow it.
    pub(crate) async fn send_waiting(&self) -> Result<(), Error> {
        let _alone = self.scope.begin().await?;
        let mut parts = Parts::default();
        if self.settings().await?.sync_conversations {
            for conversation in conversations::with_waiting(&self.scope).await? {
                parts.part(conversation.push_steps().await)?;
            }
        }
        parts.end()
    }

    /// What the link file wants. One that cannot be read changes nothing: its settings are then the documented defaults.
    async fn settings(&self) -> Result<SyncConfig, Error> {
        Ok(self.record().await?.map(|record| record.sync_config).unwrap_or_default())
    }

    async fn record(&self) -> Result<Option<LinkRecord>, Error> {
        let folder = self.folder().to_owned();
        blocking(move || Ok(LinkRecord::read(&folder).ok().flatten())).await
    }

    /// Sends local state changes; conflicts are settled on the way. Nothing to send is a success.
    ///
    /// # Errors
    ///
    /// `sync.workspace_gone`, `sync.read_only`, `sync.contended`, `sync.not_linked`, network errors as they are.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`Workspace::sync`].
    pub async fn push(&self) -> Result<Pushed, Error> {
        let _alone = self.scope.begin().await?;
        self.exchange_state(false).await
    }

    /// Reads the cloud's state and merges it with local changes, which are kept or logged as conflicts.
    ///
    /// # Errors
    ///
    /// As [`Workspace::push`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn pull(&self) -> Result<Pushed, Error> {
        let _alone = self.scope.begin().await?;
        self.pull_state().await
    }

    /// Ends the link: the file goes, the local history and what was not sent stay, nothing in the cloud changes. Handles of
    /// this link read and write here as before; what needs the cloud gives `sync.not_linked`, also when the folder is linked
    /// again, and [`Workspace::keep_synced`] ends.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`, `sync.link_file`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have ended the link; call it again.
    pub async fn unlink(&self) -> Result<(), Error> {
        let _alone = self.scope.cell().alone().await;
        if self.scope.is_of_the_past() {
            return Ok(());
        }
        let link = self.scope.link;
        self.scope
            .write(move |transaction| transaction.execute("UPDATE links SET active = 0 WHERE id = ?1", [link]))
            .await?;
        let (folder, id) = (self.folder().to_owned(), self.id().to_owned());
        blocking(move || match LinkRecord::read(&folder) {
            // Somebody else's file is left alone.
            Ok(Some(record)) if record.cloud_workspace_id == id => LinkRecord::remove(&folder),
            _ => Ok(()),
        })
        .await?;
        self.scope.cell().end_link();
        self.scope.want_everything(); // what keeps it synced looks up, and ends
        self.scope.tell(SyncEvent::Unlinked { workspace_id: self.id().to_owned() });
        Ok(())
    }

    /// Brings the link file up to date.
    async fn write_link_file(&self) -> Result<(), Error> {
        let link = self.scope.link;
        let conversations = self.scope.read(move |connection| conversations::link_entries(connection, link)).await?;
        let (folder, id, now) = (self.folder().to_owned(), self.id().to_owned(), self.scope.context.now());
        let written = blocking(move || {
            let Some(mut record) = LinkRecord::read(&folder)?.filter(|record| record.cloud_workspace_id == id) else {
                return Ok(());
            };
            for (name, entry) in conversations {
                let kept = record.conversations.entry(name).or_default();
                kept.cloud_conv_id = entry.cloud_conv_id;
                kept.last_sync_at = Some(now.clone());
                kept.last_local_message_id = entry.last_local_message_id.or(kept.last_local_message_id.take());
                kept.last_cloud_message_at = entry.last_cloud_message_at.or(kept.last_cloud_message_at.take());
            }
            record.last_sync_at = Some(now);
            record.write(&folder)
        })
        .await;
        // The file is a convenience: a folder that cannot be written must not stop the sync.
        if let Err(error) = written {
            tracing::warn!(code = %error.code(), "the link file was not updated");
        }
        Ok(())
    }
}

/// Handles of the same link are equal. One that was ended and made anew is another link.
impl PartialEq for Workspace {
    fn eq(&self, other: &Self) -> bool {
        self.scope.is_same_link(&other.scope)
    }
}

impl Eq for Workspace {}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("id", &self.id()).field("folder", &self.folder()).finish_non_exhaustive()
    }
}
