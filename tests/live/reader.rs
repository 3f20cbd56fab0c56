//! A host's reader: live rows as they come, and a pull from its own cursor whenever the stream asks for one.
//!
//! ```text
//! Changes ─ row ───────────────────────────► Held (each row once, whoever brought it)
//!        └─ Live, Resubscribed, Lagged, … ─► pull behind the cursor, page by page ─► Held
//! ```
//! Only pulls move the cursor, and a pull happens only when it is asked for: a break that nobody names leaves a hole.
use std::collections::BTreeMap;

use cloud_sdk::{
    client::{Client, rest},
    realtime::{
        Channel, Realtime, Topic,
        changes::{Changes, ChangesEvent, Condition, Filter},
        continuity::Continuity,
        join::{ChangesRequest, JoinConfig, RowEvent},
    },
};
use serde::Deserialize;
use tokio::sync::watch;

/// Rows of one page; the server gives no more.
const PAGE: usize = 1_000;

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    seq: u64,
    content: String,
}

/// What the reader holds, and how it came by it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) held: u64,
    /// Everything up to this number is held.
    pub(crate) whole: u64,
    pub(crate) live: u64,
    pub(crate) pulled: u64,
    pub(crate) pulls: u64,
    pub(crate) lagged: u64,
    /// Rows that one and the same way brought twice, or that are not what was written.
    pub(crate) wrong: u64,
}

#[derive(Clone, Copy, Default)]
struct Ways {
    live: bool,
    pulled: bool,
}

#[derive(Default)]
struct Held {
    rows: BTreeMap<u64, Ways>,
    progress: Progress,
}

impl Held {
    fn take(&mut self, row: &Row, live: bool) {
        let ways = self.rows.entry(row.seq).or_default();
        let way = if live { &mut ways.live } else { &mut ways.pulled };
        let twice = std::mem::replace(way, true);
        let other = row.content != row.seq.to_string()
            || uuid::Uuid::parse_str(&row.id).ok() != Some(uuid::Uuid::from_u128(u128::from(row.seq)));
        self.progress.wrong += u64::from(twice || other);
        if live {
            self.progress.live += 1;
        } else {
            self.progress.pulled += 1;
        }
        self.progress.held = self.rows.len() as u64;
        while self.rows.contains_key(&(self.progress.whole + 1)) {
            self.progress.whole += 1;
        }
    }
}

pub(crate) struct Reader {
    channel: Channel,
    changes: Changes<Row>,
    messages: rest::Select,
    cursor: u64,
    held: Held,
    busy: watch::Sender<bool>,
    shown: watch::Sender<Progress>,
}

impl Reader {
    /// Listens over `realtime` and pulls over `client`.
    pub(crate) async fn open(realtime: &Realtime, client: &Client, conversation: &str) -> Self {
        let mine = Filter::all([Condition::eq("conversation_id", conversation)]).unwrap();
        let request = ChangesRequest::table(RowEvent::INSERT, "public", "messages").filter(mine);
        let config = JoinConfig::new().changes(request.clone());
        let channel = realtime.channel(Topic::realtime("conversation").unwrap()).config(config).open().await.unwrap();
        Self {
            changes: Changes::of(&channel, &request),
            channel,
            messages: client.table("messages").select(["id", "seq", "content"]).eq("conversation_id", conversation),
            cursor: 0,
            held: Held::default(),
            busy: watch::Sender::new(false),
            shown: watch::Sender::default(),
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// While this is true, nothing is read.
    pub(crate) fn busy(&self) -> watch::Sender<bool> {
        self.busy.clone()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.shown.subscribe()
    }

    /// Reads until the channel is left.
    pub(crate) async fn run(mut self) {
        let mut busy = self.busy.subscribe();
        while let Some(event) = self.changes.next().await {
            if let ChangesEvent::Continuity(Continuity::Lagged { .. }) = event {
                self.held.progress.lagged += 1;
            }
            if event.asks_for_catch_up() {
                self.pull().await;
            } else if let ChangesEvent::Change(change) = event
                && let Some(row) = change.row
            {
                self.held.take(&row, true);
                self.show();
            }
            busy.wait_for(|busy| !busy).await.unwrap();
        }
    }

    async fn pull(&mut self) {
        self.held.progress.pulls += 1;
        let mut pages = self.messages.clone().pages::<Row>("seq", Some(self.cursor.into()), PAGE);
        while let Some(page) = pages.next().await.unwrap() {
            for row in &page {
                self.held.take(row, false);
                self.cursor = self.cursor.max(row.seq);
            }
            self.show();
        }
        self.show();
    }

    fn show(&self) {
        self.shown.send_replace(self.held.progress);
    }
}
