//! Conversations: append-only, durable at once, in order, none lost and none doubled.
//!
//! host → [`Conversation::append`] (id made, row stored) → `push` (arrays, proof of arrival) → cloud → `pull` (by `seq`,
//! rows and cursor in one commit) → [`Conversation::messages`] on every other device. A message is recognised by its id
//! and by nothing else (P6): this user's other device is also this user.
//! Wire source: "Cloud Integration Design", sections 3.5 and 7.4.
mod listing;
mod local;
mod pull;
mod push;

use std::{collections::BTreeMap, fmt};

use cloud_client::{Error, ErrorKind};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use listing::{by_cloud_id, known, link_entries, with_waiting, with_work};
pub use local::{Message, MessageState, NewMessage};
pub use push::Sent;

use crate::{
    codes::{BAD_NAME, NO_ORDER, WORKSPACE_GONE},
    ids,
    scope::{Columns, Scope},
};

/// One conversation of a linked workspace. Cheap to clone.
#[derive(Clone)]
pub struct Conversation {
    pub(crate) scope: Scope,
    pub(crate) row: i64,
    name: String,
}

impl Conversation {
    /// The name it goes by on this machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends what is waiting. Nothing to send is a success.
    ///
    /// # Errors
    ///
    /// Network errors as they are, `api.forbidden`, `sync.no_message_order`, `sync.not_linked` once the link was ended;
    /// everything unsent stays waiting.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was sent without being confirmed is recognised by its id next time.
    pub async fn push(&self) -> Result<Sent, Error> {
        let _alone = self.scope.begin().await?;
        self.push_steps().await
    }

    /// Reads what is new; gives the number of messages that are new here.
    ///
    /// # Errors
    ///
    /// As [`Conversation::push`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: rows and cursor move together.
    pub async fn pull(&self) -> Result<usize, Error> {
        let _alone = self.scope.begin().await?;
        self.pull_steps().await
    }

    /// What the cloud's `messages` table can do, asked once for each link.
    pub(crate) async fn columns(&self) -> Result<Columns, Error> {
        let cell = self.scope.cell();
        let columns = cell.columns.get_or_try_init(|| async {
            let table = self.scope.table("messages");
            let probe = |columns: &[&'static str]| table.select(columns.iter().copied()).limit(1);
            let missing = |error: &Error| error.kind() == ErrorKind::Incompatible;
            match probe(&["seq", "client_created_at"]).fetch::<Value>().await {
                Ok(_) => return Ok(Columns { written_at: true }),
                Err(error) if missing(&error) => {}
                Err(error) => return Err(error),
            }
            match probe(&["seq"]).fetch::<Value>().await {
                Ok(_) => Ok(Columns { written_at: false }),
                Err(error) if missing(&error) => {
                    Err(Error::new(NO_ORDER).during("reading conversations").with_source(error))
                }
                Err(error) => Err(error),
            }
        });
        columns.await.copied()
    }

    /// The cloud's id of this conversation, for calls that take one; begun there if it is new. A conversation of this name
    /// is looked for first (the oldest counts); a new one gets the id that every device would give it, so two devices that
    /// begin "chat" at once begin the same one. One that goes by another name here, because it was renamed in the cloud,
    /// is left to that name.
    ///
    /// # Errors
    ///
    /// Network errors as they are, `api.forbidden`, `sync.workspace_gone`, `sync.not_linked` once the link was ended,
    /// `sync.bad_name` when renamed ones hold all ids that this name gives.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the next call finds what this one began.
    pub async fn cloud_id(&self) -> Result<String, Error> {
        if let Some(known) = self.stored_cloud_id().await? {
            return Ok(known);
        }
        self.scope.still_linked().await?;
        let table = self.scope.table("conversations");
        let workspace = self.scope.workspace();
        let named = table.select(["id"]).eq("workspace_id", workspace).eq("name", &self.name);
        let found = named.order("created_at").order("id").limit(NAMESAKES).fetch::<CloudConversation>().await?;
        if let Some(id) = self.claim(found.into_iter().map(|found| found.id).collect()).await? {
            return Ok(id);
        }
        for turn in 0..TURNS {
            let id = ids::conversation_id(workspace, &self.name, turn).to_string();
            let row = json!({
                "id": id, "workspace_id": workspace, "name": self.name,
                "conversation_type": "chat", "started_by": self.scope.user(),
            });
            table.insert(&row).ignore_duplicates().send().await?;
            let made = table.select(["id", "name"]).eq("id", &id).one::<CloudConversation>().await?;
            let made = made.ok_or_else(|| Error::new(WORKSPACE_GONE).during("creating a conversation"))?;
            if made.name.as_deref() == Some(&*self.name)
                && let Some(id) = self.claim(vec![made.id]).await?
            {
                return Ok(id);
            }
        }
        Err(Error::new(BAD_NAME).during("creating a conversation"))
    }
}

/// How many conversations of one name are looked through.
const NAMESAKES: usize = 100;
/// How often a new conversation may meet an id that a renamed one holds.
const TURNS: u8 = 16;

/// One conversation as the cloud lists it.
#[derive(Debug, Deserialize)]
pub(crate) struct CloudConversation {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    created_at: Option<Timestamp>,
    /// The `seq` of its newest message, where the cloud tells.
    #[serde(default)]
    pub(crate) last_seq: Option<i64>,
}

/// How far each conversation of the cloud has come, by its id there; `None` when the cloud does not tell.
pub(crate) type Progress = Option<BTreeMap<String, i64>>;

/// Finds the conversations of the workspace that other devices and people began.
pub(crate) async fn discover(scope: &Scope) -> Result<Progress, Error> {
    let table = scope.table("conversations");
    let cell = scope.cell();
    let counted = cell.counted.get_or_try_init(|| async {
        match table.select(["last_seq"]).limit(1).fetch::<Value>().await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Incompatible => Ok(false),
            Err(error) => Err(error),
        }
    });
    let counted = *counted.await?;
    let columns = ["id", "name", "created_at"].into_iter().chain(counted.then_some("last_seq"));
    let all = table.select(columns).eq("workspace_id", scope.workspace());
    let mut pages = all.pages::<CloudConversation>("id", None, 500);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await? {
        found.extend(page);
    }
    found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let progress = counted.then(|| found.iter().filter_map(|seen| Some((seen.id.clone(), seen.last_seq?))).collect());
    listing::adopt(scope, found).await?;
    Ok(progress)
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("name", &self.name).finish_non_exhaustive()
    }
}
