//! The local half of a conversation: what is stored, and in which order it reads.
use std::time::SystemTime;

use cloud_client::Error;
use rusqlite::{Row, params};
use serde::Serialize;

use super::Conversation;
use crate::{
    codes::{BAD_MESSAGE, BAD_NAME},
    ids,
    link::stamp,
    privacy,
    scope::Scope,
};

/// The longest message, in bytes.
const CONTENT_LIMIT_BYTES: usize = 1024 * 1024;
/// The longest name of a conversation, in characters.
pub(super) const NAME_LIMIT: usize = 200;

/// A message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a message is kept when it is appended"]
pub struct NewMessage {
    role: String,
    content: String,
    written_at: Option<SystemTime>,
    key: Option<String>,
}

impl NewMessage {
    /// A message by a `role`: `user` and `assistant` are sent, all others stay on this machine.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), written_at: None, key: None }
    }

    /// A message by the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// A message by a local assistant.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// Sets when it was written. Default: now.
    pub fn written_at(mut self, moment: SystemTime) -> Self {
        self.written_at = Some(moment);
        self
    }

    /// Names it within a source that it is imported from (a line of a file, an id of another system): appending the same
    /// key with the same text again adds nothing, here or on another device.
    pub fn imported_as(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageState {
    /// Waits to be sent.
    Pending,
    /// Is in the cloud, proven.
    Sent,
    /// Came from the cloud.
    Received,
    /// Was refused by the cloud; see the reason.
    Parked,
    /// Never leaves this machine.
    Local,
}

impl MessageState {
    fn from_text(text: &str) -> Self {
        match text {
            "sent" => Self::Sent,
            "received" => Self::Received,
            "parked" => Self::Parked,
            "local" => Self::Local,
            _ => Self::Pending,
        }
    }
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Its id, the same on every device.
    pub id: String,
    /// Who speaks: `user`, `assistant`, or a word of the host's.
    pub role: String,
    /// The text.
    pub content: String,
    /// The person who sent it, when that is known.
    pub sender_user_id: Option<String>,
    /// The cloud agent who said it, if one did.
    pub sender_agent_id: Option<String>,
    /// When it was written, by the clock of the device it was written on (RFC 3339).
    pub written_at: Option<String>,
    /// When it arrived in the cloud, as the server wrote it.
    pub created_at: Option<String>,
    /// Its place in the conversation, as the server counts; `None` until it arrived.
    pub seq: Option<i64>,
    /// Where it stands.
    pub state: MessageState,
    /// Why it was parked.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, role, content, sender_user_id, sender_agent_id, written_at, created_at, seq, state, reason";

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        role: row.get(1)?,
        content: row.get(2)?,
        sender_user_id: row.get(3)?,
        sender_agent_id: row.get(4)?,
        written_at: row.get(5)?,
        created_at: row.get(6)?,
        seq: row.get(7)?,
        state: MessageState::from_text(&row.get::<_, String>(8)?),
        reason: row.get(9)?,
    })
}

impl Conversation {
    pub(crate) async fn open(scope: Scope, name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) {
            return Err(Error::new(BAD_NAME).during("opening a conversation"));
        }
        let (link, stored) = (scope.link, name.to_owned());
        let row = scope
            .write(move |transaction| {
                transaction.execute(
                    "INSERT OR IGNORE INTO conversations (link, name) VALUES (?1, ?2)",
                    params![link, stored],
                )?;
                transaction.query_row(
                    "SELECT id FROM conversations WHERE link = ?1 AND name = ?2",
                    params![link, stored],
                    |row| row.get(0),
                )
            })
            .await?;
        Ok(Self { scope, row, name: name.to_owned() })
    }

    /// Appends a message and gives its id. It is durable when this returns, and is sent with the next push. No network.
    ///
    /// # Errors
    ///
    /// `sync.bad_message` without a role or past 1 MiB, `sync.disk_full`, `sync.store_failed`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have stored the message.
    pub async fn append(&self, message: NewMessage) -> Result<String, Error> {
        let mut ids = self.append_all(vec![message]).await?;
        ids.pop().ok_or_else(|| Error::new(BAD_MESSAGE))
    }

    /// Appends messages in order, all or none, with one write to disk. Gives their ids.
    ///
    /// # Errors
    ///
    /// As [`Conversation::append`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have stored the messages, all or none.
    pub async fn append_all(&self, messages: Vec<NewMessage>) -> Result<Vec<String>, Error> {
        let timeless =
            |message: &NewMessage| message.written_at.is_some_and(|moment| jiff::Timestamp::try_from(moment).is_err());
        let bad = |message: &NewMessage| {
            timeless(message)
                || message.role.is_empty()
                || message.role.len() > 64
                || message.content.len() > CONTENT_LIMIT_BYTES
        };
        if let Some(at) = messages.iter().position(bad) {
            return Err(Error::new(BAD_MESSAGE)
                .during("appending messages")
                .with_detail(format!("message {}", at + 1)));
        }
        let context = &self.scope.context;
        // Ids are named by the cloud, the workspace and the local name: known before the cloud ever saw the conversation.
        let namespace =
            ids::conversation_namespace(&context.client.origin().to_string(), self.scope.workspace(), &self.name);
        let (row, user, replica, now) =
            (self.row, self.scope.user().to_owned(), context.replica.clone(), self.scope.context.now());
        let stored = self.scope.write(move |transaction| {
                let mut next: i64 = transaction
                    .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'messages'")?
                    .query_row([], |row| row.get(0))?;
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO messages (local_seq, conversation, id, role, content, sender_user_id, written_at, state)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (conversation, id) DO NOTHING",
                )?;
                let mut made = Vec::with_capacity(messages.len());
                for NewMessage { role, content, written_at, key } in messages {
                    let id = match &key {
                        Some(key) => ids::imported_id(namespace, key, &role, &content),
                        None => ids::message_id(namespace, &replica, next, &role, &content),
                    };
                    let id = id.to_string();
                    let state = if privacy::may_leave(&role) { "pending" } else { "local" };
                    let written = written_at.map_or_else(|| now.clone(), stamp);
                    next += i64::try_from(insert.execute(params![next, row, id, role, content, user, written, state])?).unwrap_or(1);
                    made.push(id);
                }
                Ok(made)
            })
            .await?;
        self.scope.cell().appended.notify_one();
        Ok(stored)
    }

    /// All messages, in the order in which every device shows them: first what is in the cloud, by its place there, then
    /// what is still to be sent. No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn messages(&self) -> Result<Vec<Message>, Error> {
        let row = self.row;
        self.scope
            .read(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 ORDER BY seq IS NULL, seq, local_seq"
                    ))?
                    .query_map([row], message)?
                    .collect()
            })
            .await
    }

    /// How many messages wait to be sent. No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn pending(&self) -> Result<usize, Error> {
        let row = self.row;
        self.scope.read(move |connection| count_pending(connection, row)).await
    }

    /// Puts parked messages back among those that wait; gives how many.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have put them back.
    pub async fn retry_parked(&self) -> Result<usize, Error> {
        let row = self.row;
        let retried = self
            .scope
            .write(move |transaction| {
                transaction.execute(
                    "UPDATE messages SET state = 'pending', reason = NULL WHERE conversation = ?1 AND state = 'parked'",
                    [row],
                )
            })
            .await?;
        self.scope.cell().appended.notify_one();
        Ok(retried)
    }

    pub(super) async fn stored_cloud_id(&self) -> Result<Option<String>, Error> {
        let row = self.row;
        self.scope
            .read(move |connection| {
                connection.query_row("SELECT cloud_id FROM conversations WHERE id = ?1", [row], |row| row.get(0))
            })
            .await
    }

    /// Takes the first of `ids` that no other conversation here goes by.
    pub(super) async fn claim(&self, ids: Vec<String>) -> Result<Option<String>, Error> {
        let (row, link) = (self.row, self.scope.link);
        self.scope
            .write(move |transaction| {
                for id in ids {
                    let taken = transaction
                        .prepare_cached("SELECT 1 FROM conversations WHERE link = ?1 AND cloud_id = ?2 AND id <> ?3")?
                        .exists(params![link, id, row])?;
                    if !taken {
                        transaction
                            .prepare_cached("UPDATE conversations SET cloud_id = ?2 WHERE id = ?1")?
                            .execute(params![row, id])?;
                        return Ok(Some(id));
                    }
                }
                Ok(None)
            })
            .await
    }
}

pub(super) fn count_pending(connection: &rusqlite::Connection, row: i64) -> rusqlite::Result<usize> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM messages WHERE conversation = ?1 AND state = 'pending'")?
        .query_row([row], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}
