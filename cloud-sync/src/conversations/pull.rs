//! Pulls what is new in one conversation, by the server's own count.
//!
//! `messages?seq=gt.<cursor>&order=seq` → rows and cursor in one commit (P3) → again until a page is empty, since a server
//! may give fewer rows than asked for. `seq` is taken under the conversation's lock, so no smaller one can appear behind
//! the cursor (P2), and no two are equal at the edge of a page (P5): in the end all that can be seen is here (P1). A known
//! id updates its row and adds none (P4, P6).
use cloud_client::{
    Error,
    error::codes::{TOO_LARGE, UNREADABLE},
};
use rusqlite::params;
use serde::Deserialize;

use super::Conversation;
use crate::events::SyncEvent;

/// Rows of one page.
const PAGE_ROWS: usize = 500;

#[derive(Debug, Deserialize)]
struct Incoming {
    id: String,
    seq: i64,
    #[serde(default)]
    role: String,
    content: Option<String>,
    sender_user_id: Option<String>,
    sender_agent_id: Option<String>,
    client_created_at: Option<String>,
    created_at: Option<String>,
}

impl Conversation {
    pub(crate) async fn pull_steps(&self) -> Result<usize, Error> {
        // A conversation that the cloud never saw has nothing to read.
        let Some(cloud_id) = self.stored_cloud_id().await? else { return Ok(0) };
        let written_at = self.columns().await?.written_at;
        let mut columns = vec!["id", "seq", "role", "content", "sender_user_id", "sender_agent_id", "created_at"];
        columns.extend(written_at.then_some("client_created_at"));
        let table = self.scope.table("messages");
        let (mut size, mut received) = (PAGE_ROWS, 0);
        loop {
            let cursor = self.cursor().await?;
            let query = table.select(columns.iter().copied()).eq("conversation_id", &cloud_id).gt("seq", cursor);
            let page = match query.order("seq").limit(size).fetch::<Incoming>().await {
                Ok(page) => page.into_vec(),
                // Long messages: fewer of them.
                Err(error) if error.code() == TOO_LARGE && size > 1 => {
                    size /= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if page.is_empty() {
                return Ok(received);
            }
            if page.iter().all(|message| message.seq <= cursor) {
                // Asking again would bring it again, for ever (B4).
                let error = Error::new(UNREADABLE).during("reading a conversation");
                return Err(error.with_detail("the cloud gives what lies before the cursor"));
            }
            let new = self.apply(page).await?;
            received += new;
            if new > 0 {
                let conversation = self.name().to_owned();
                self.scope.tell(SyncEvent::MessagesReceived { conversation, count: new });
            }
        }
    }

    async fn cursor(&self) -> Result<i64, Error> {
        let row = self.row;
        self.scope
            .read(move |connection| {
                connection.query_row("SELECT cursor FROM conversations WHERE id = ?1", [row], |row| row.get(0))
            })
            .await
    }

    /// Stores a page and moves the cursor; gives how many messages were not known here.
    async fn apply(&self, page: Vec<Incoming>) -> Result<usize, Error> {
        let row = self.row;
        self.scope.write(move |transaction| {
                let mut arrive = transaction.prepare_cached(
                    "UPDATE messages SET seq = ?3, created_at = ?4, reason = NULL,
                            state = CASE state WHEN 'received' THEN 'received' ELSE 'sent' END
                     WHERE conversation = ?1 AND id = ?2",
                )?;
                let mut add = transaction.prepare_cached(
                    "INSERT INTO messages (conversation, id, role, content, sender_user_id, sender_agent_id, written_at, created_at, seq, state)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'received')",
                )?;
                let (mut new, mut last) = (0, 0);
                for message in page {
                    let Incoming { id, seq, role, content, sender_user_id, sender_agent_id, client_created_at, created_at } = message;
                    last = last.max(seq);
                    if arrive.execute(params![row, id, seq, created_at])? == 0 {
                        let content = content.unwrap_or_default();
                        add.execute(params![row, id, role, content, sender_user_id, sender_agent_id, client_created_at, created_at, seq])?;
                        new += 1;
                    }
                }
                transaction
                    .prepare_cached("UPDATE conversations SET cursor = max(cursor, ?2) WHERE id = ?1")?
                    .execute(params![row, last])?;
                Ok(new)
            })
            .await
    }
}
