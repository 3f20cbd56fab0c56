//! Pushes waiting messages of one conversation: in order, in arrays, each counted as sent only when its arrival is proven.
//!
//! outbox rows (oldest first, ≤ 500 and ≤ 512 KiB) → one `POST` that leaves existing ids alone → the rows that came back
//! are proven; ids that did not come back are read and compared in text and owner (O5), because an id may be held by a
//! row of an earlier push whose answer was lost, or by one that cannot be seen. A refused array is halved until the
//! message at fault is alone; that one is parked, visibly, and the others go on (O6). The order of an array is the
//! order in which the server numbers it (O4).
use std::collections::BTreeMap;

use cloud_client::{Error, ErrorKind};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Conversation, local::count_pending};
use crate::events::SyncEvent;

/// Rows of one request. Beyond this only latency grows.
const BATCH_ROWS: i64 = 500;
/// Text of one request, in bytes.
const BATCH_BYTES: usize = 512 * 1024;
/// Ids of one read-back, so that the address stays short.
const PROOF_IDS: usize = 100;

/// What a push did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Messages proven to be in the cloud.
    pub sent: usize,
    /// Messages that the cloud refused.
    pub parked: usize,
}

/// A waiting message.
#[derive(Debug)]
struct Waiting {
    local_seq: i64,
    id: String,
    role: String,
    content: String,
    sender: Option<String>,
    written_at: Option<String>,
}

/// A message as it is sent.
#[derive(Serialize)]
struct Outgoing<'a> {
    id: &'a str,
    conversation_id: &'a str,
    role: &'a str,
    content: &'a str,
    sender_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_created_at: Option<&'a str>,
}

/// The proof that a message is in the cloud.
#[derive(Debug, Deserialize)]
struct Arrived {
    id: String,
    seq: i64,
    created_at: Option<String>,
}

/// A row that holds one of our ids.
#[derive(Debug, Deserialize)]
struct Held {
    #[serde(flatten)]
    arrived: Arrived,
    conversation_id: String,
    role: String,
    content: String,
    sender_user_id: Option<String>,
}

impl Conversation {
    pub(crate) async fn push_steps(&self) -> Result<Sent, Error> {
        let mut done = Sent::default();
        let mut batch = self.next_batch().await?;
        if batch.is_empty() {
            return Ok(done);
        }
        let written_at = self.columns().await?.written_at;
        let cloud_id = self.cloud_id().await?;
        while !batch.is_empty() {
            // A stack, first half on top: halving never changes the order.
            let mut parts = vec![batch];
            while let Some(mut part) = parts.pop() {
                match self.send_part(&cloud_id, &part, written_at).await {
                    Ok(sent) => {
                        done.sent += sent.sent;
                        done.parked += sent.parked;
                    }
                    Err(error) if !is_about_a_message(&error) => return Err(error),
                    Err(_) if part.len() > 1 => {
                        let second = part.split_off(part.len() / 2);
                        parts.extend([second, part]);
                    }
                    Err(error) => {
                        for alone in &part {
                            self.park(alone, error.server_code().unwrap_or(error.code().as_str())).await?;
                            done.parked += 1;
                        }
                    }
                }
            }
            batch = self.next_batch().await?;
        }
        Ok(done)
    }

    async fn next_batch(&self) -> Result<Vec<Waiting>, Error> {
        let row = self.row;
        self.scope
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT local_seq, id, role, content, sender_user_id, written_at FROM messages
                     WHERE conversation = ?1 AND state = 'pending' ORDER BY local_seq LIMIT ?2",
                )?;
                let mut rows = statement.query(params![row, BATCH_ROWS])?;
                let (mut batch, mut bytes) = (Vec::new(), 0);
                while let Some(row) = rows.next()? {
                    let waiting = Waiting {
                        local_seq: row.get(0)?,
                        id: row.get(1)?,
                        role: row.get(2)?,
                        content: row.get(3)?,
                        sender: row.get(4)?,
                        written_at: row.get(5)?,
                    };
                    bytes += waiting.content.len();
                    if bytes > BATCH_BYTES && !batch.is_empty() {
                        break;
                    }
                    batch.push(waiting);
                }
                Ok(batch)
            })
            .await
    }

    /// Sends one array and records what is proven.
    async fn send_part(&self, cloud_id: &str, part: &[Waiting], written_at: bool) -> Result<Sent, Error> {
        let rows: Vec<_> = part
            .iter()
            .map(|waiting| Outgoing {
                id: &waiting.id,
                conversation_id: cloud_id,
                role: &waiting.role,
                content: &waiting.content,
                sender_user_id: waiting.sender.as_deref(),
                client_created_at: waiting.written_at.as_deref().filter(|_| written_at),
            })
            .collect();
        let table = self.scope.table("messages");
        let arrived: Vec<Arrived> = table.insert(&rows).ignore_duplicates().fetch(["id", "seq", "created_at"]).await?;
        let mut proven: BTreeMap<String, Arrived> = arrived.into_iter().map(|row| (row.id.clone(), row)).collect();

        let silent: Vec<&Waiting> = part.iter().filter(|waiting| !proven.contains_key(&waiting.id)).collect();
        let mut refused = Vec::new();
        for ids in silent.chunks(PROOF_IDS) {
            let columns = ["id", "seq", "created_at", "conversation_id", "role", "content", "sender_user_id"];
            let held = table.select(columns).is_in("id", ids.iter().map(|waiting| &waiting.id)).fetch::<Held>().await?;
            let mut held: BTreeMap<String, Held> = held.into_iter().map(|row| (row.arrived.id.clone(), row)).collect();
            for waiting in ids {
                let same = |row: &Held| {
                    (row.conversation_id == cloud_id)
                        && (row.role == waiting.role)
                        && (row.content == waiting.content)
                        && (row.sender_user_id == waiting.sender)
                };
                match held.remove(&waiting.id) {
                    Some(row) if same(&row) => {
                        proven.insert(waiting.id.clone(), row.arrived);
                    }
                    Some(_) => refused.push((*waiting, "sync.id_taken")),
                    None => refused.push((*waiting, "sync.not_visible")),
                }
            }
        }
        let sent = self.record(part, proven).await?;
        for (waiting, reason) in &refused {
            self.park(waiting, reason).await?;
        }
        Ok(Sent { sent, parked: refused.len() })
    }

    /// Marks what is proven as sent, in one commit; gives how many.
    async fn record(&self, part: &[Waiting], mut proven: BTreeMap<String, Arrived>) -> Result<usize, Error> {
        let row = self.row;
        let rows: Vec<(i64, Arrived)> =
            part.iter().filter_map(|waiting| Some((waiting.local_seq, proven.remove(&waiting.id)?))).collect();
        let count = rows.len();
        let pending = self
            .scope
            .write(move |transaction| {
                let mut update = transaction.prepare_cached(
                    "UPDATE messages SET state = 'sent', seq = ?2, created_at = ?3, reason = NULL WHERE local_seq = ?1",
                )?;
                for (local_seq, arrived) in &rows {
                    update.execute(params![local_seq, arrived.seq, arrived.created_at])?;
                }
                count_pending(transaction, row)
            })
            .await?;
        if count > 0 {
            let conversation = self.name().to_owned();
            self.scope.tell(SyncEvent::MessagesSent { conversation, count, pending });
        }
        Ok(count)
    }

    async fn park(&self, waiting: &Waiting, reason: &str) -> Result<(), Error> {
        let (local_seq, stored) = (waiting.local_seq, reason.to_owned());
        self.scope
            .write(move |transaction| {
                transaction.execute(
                    "UPDATE messages SET state = 'parked', reason = ?2 WHERE local_seq = ?1",
                    params![local_seq, stored],
                )
            })
            .await?;
        self.scope.tell(SyncEvent::MessageParked {
            conversation: self.name().to_owned(),
            id: waiting.id.clone(),
            reason: reason.to_owned(),
        });
        Ok(())
    }
}

/// Whether a refusal is about a row of the array, so that halving finds it; anything else is about all of them.
fn is_about_a_message(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidInput && error.status().is_some()
}
