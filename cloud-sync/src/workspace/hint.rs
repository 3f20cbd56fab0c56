//! What is heard of the cloud without asking, and what it makes us do: pull, soon. A hint is never the truth (P7).
//!
//! live row → [`Workspace::hint`] → known already? nothing : marked in the cell → the task of
//! [`Workspace::keep_synced`] gathers for a moment and pulls. No hint moves a cursor or stores a row, so hints may come
//! twice, late, in any order or not at all; what they miss is found by the next regular sync.
use std::collections::BTreeSet;

use cloud_client::Error;
use rusqlite::{OptionalExtension as _, params};

use super::{Parts, Workspace};
use crate::{conversations, scope::Scope};

/// More conversations than this at once are looked through as a whole.
const CONVERSATIONS_LIMIT: usize = 32;
/// So many conversations of other workspaces are remembered; when there are more, the memory begins anew.
const FOREIGN_LIMIT: usize = 256;

/// What somebody noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A message was written.
    Message {
        /// The cloud's id of its conversation.
        conversation: String,
        /// Its own id.
        id: String,
    },
    /// The workspace's row was written.
    State {
        /// Its `updated_at`, as the cloud wrote it.
        version: String,
    },
    /// Anything may have happened: the live connection was away, or has only begun.
    Everything,
}

/// What a hint was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// It tells of something that is not here yet: a pull follows.
    News,
    /// It is here already; a pull was faster.
    Known,
    /// This device wrote it: one's own write comes back as a hint, too.
    Own,
    /// It belongs to another workspace.
    Foreign,
}

/// What hints have asked for and no pull has answered yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) everything: bool,
    pub(crate) conversations: BTreeSet<String>,
}

/// Conversations that a whole sync did not find: they belong to other workspaces that the user sees.
#[derive(Debug, Default)]
pub(crate) struct Foreign(BTreeSet<String>);

impl Foreign {
    fn add(&mut self, conversation: String) {
        if self.0.len() >= FOREIGN_LIMIT {
            self.0.clear();
        }
        self.0.insert(conversation);
    }

    fn has(&self, conversation: &str) -> bool {
        self.0.contains(conversation)
    }
}

impl Wanted {
    fn add(&mut self, hint: Hint) {
        match hint {
            Hint::Message { conversation, .. } if self.conversations.len() < CONVERSATIONS_LIMIT => {
                self.conversations.insert(conversation);
            }
            Hint::Message { .. } | Hint::State { .. } | Hint::Everything => self.everything = true,
        }
    }
}

impl Workspace {
    /// Pulls soon when `hint` tells of something that is not here yet. Only a workspace that is kept synced acts on it.
    ///
    /// # Cancel safety
    ///
    /// A hint that was dropped is found by the next regular sync.
    pub async fn hint(&self, hint: Hint) -> Heard {
        // A store that cannot be read is the sync's to report.
        let heard = self.knows(&hint).await.unwrap_or(Heard::News);
        if heard == Heard::News {
            self.scope.cell().want(|wanted| wanted.add(hint));
        }
        heard
    }

    /// Says whether hints come in as things happen. While they do, the regular sync steps back to
    /// [`AutoSync::live_interval`](super::AutoSync::live_interval).
    pub fn set_live(&self, live: bool) {
        self.scope.cell().set_live(live);
    }

    async fn knows(&self, hint: &Hint) -> Result<Heard, Error> {
        let link = self.scope.link;
        match hint.clone() {
            Hint::Message { conversation, .. } if self.scope.cell().foreign().has(&conversation) => Ok(Heard::Foreign),
            Hint::Message { conversation, id } => {
                self.scope
                    .read(move |connection| {
                        let state: Option<String> = connection
                            .prepare_cached(
                                "SELECT m.state FROM messages m JOIN conversations c ON c.id = m.conversation
                                 WHERE c.link = ?1 AND c.cloud_id = ?2 AND m.id = ?3",
                            )?
                            .query_row(params![link, conversation, id], |row| row.get(0))
                            .optional()?;
                        Ok(match state.as_deref() {
                            None => Heard::News,
                            Some("received") => Heard::Known,
                            Some(_) => Heard::Own,
                        })
                    })
                    .await
            }
            Hint::State { version } => {
                self.scope
                    .read(move |connection| {
                        let known: Option<Option<String>> = connection
                            .query_row("SELECT base_version FROM links WHERE id = ?1", [link], |row| row.get(0))
                            .optional()?;
                        let is_known = known.flatten().is_some_and(|known| known == version);
                        Ok(if is_known { Heard::Known } else { Heard::News })
                    })
                    .await
            }
            Hint::Everything => Ok(Heard::News),
        }
    }

    /// Does what the hints asked for, and no more than that.
    pub(super) async fn answer_hints(&self, wanted: Wanted) -> Result<(), Error> {
        if wanted.everything {
            return self.sync().await.map(drop);
        }
        if !self.settings().await?.sync_conversations {
            return Ok(());
        }
        let (mut unknown, mut parts) = (Vec::new(), Parts::default());
        for cloud_id in wanted.conversations {
            match conversations::by_cloud_id(&self.scope, &cloud_id).await? {
                Some(conversation) => drop(parts.part(conversation.pull().await)?),
                None => unknown.push(cloud_id),
            }
        }
        if unknown.is_empty() {
            return parts.end();
        }
        // Somebody has just begun one here, or writes in another workspace.
        if parts.part(self.sync().await)?.is_none() {
            return parts.end(); // the list of conversations may be what was refused
        }
        for cloud_id in unknown {
            if conversations::by_cloud_id(&self.scope, &cloud_id).await?.is_none() {
                self.scope.cell().foreign().add(cloud_id);
            }
        }
        parts.end()
    }
}

impl Scope {
    /// Marks what a failed pull leaves to be done.
    pub(super) fn want_everything(&self) {
        self.cell().want(|wanted| wanted.everything = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b04_more_conversations_than_the_limit_become_one_sync() {
        let mut wanted = Wanted::default();
        for n in 0..=CONVERSATIONS_LIMIT {
            assert!(!wanted.everything, "{n} conversations are pulled one by one");
            wanted.add(Hint::Message { conversation: format!("c{n}"), id: "m".to_owned() });
        }
        assert!(wanted.everything);
        assert_eq!(wanted.conversations.len(), CONVERSATIONS_LIMIT);
    }

    #[test]
    fn the_memory_of_other_workspaces_is_bounded() {
        let mut foreign = Foreign::default();
        for n in 0..10 * FOREIGN_LIMIT {
            foreign.add(n.to_string());
            assert!(foreign.has(&n.to_string()) && foreign.0.len() <= FOREIGN_LIMIT);
        }
    }
}
