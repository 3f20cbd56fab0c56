//! Commits numbered messages to one conversation, in batches of random size, and says how far it is.
use cloud_sdk::client::{Client, rest::Table};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Rows of one call at most.
const BATCH: u64 = 200;

#[derive(Clone, Debug, Serialize)]
struct Said {
    id: String,
    conversation_id: String,
    role: &'static str,
    content: String,
    sender_user_id: String,
}

#[derive(Debug, Deserialize)]
struct Conversation {
    id: String,
}

pub(crate) struct Writer {
    messages: Table,
    conversation: String,
    person: String,
    random: fastrand::Rng,
    written: watch::Sender<u64>,
}

impl Writer {
    /// A new conversation in `workspace`, begun by `person`, who is signed in.
    pub(crate) async fn begin(client: &Client, workspace: &str, person: &str, seed: u64) -> Self {
        let row = serde_json::json!({ "workspace_id": workspace, "started_by": person });
        let made: Conversation = client.table("conversations").insert(&row).fetch_one(["id"]).await.unwrap();
        Self {
            messages: client.table("messages"),
            conversation: made.id,
            person: person.to_owned(),
            random: fastrand::Rng::with_seed(seed),
            written: watch::Sender::new(0),
        }
    }

    pub(crate) fn conversation(&self) -> &str {
        &self.conversation
    }

    /// How many rows are committed.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Commits so many rows more. The first is number 1, and each names its number.
    pub(crate) async fn write(&mut self, rows: u64) {
        let (mut next, end) = (*self.written.borrow() + 1, *self.written.borrow() + rows);
        while next <= end {
            let last = end.min(next + self.random.u64(0..BATCH));
            let said: Vec<Said> = (next..=last).map(|number| self.said(number)).collect();
            self.messages.insert(&said).send().await.unwrap();
            self.written.send_replace(last);
            next = last + 1;
        }
    }

    fn said(&self, number: u64) -> Said {
        Said {
            id: uuid::Uuid::from_u128(u128::from(number)).to_string(),
            conversation_id: self.conversation.clone(),
            role: "user",
            content: number.to_string(),
            sender_user_id: self.person.clone(),
        }
    }
}
