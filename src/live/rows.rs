//! Rows of the workspace as they change: each is a hint to the sync, and some are news for people.
//!
//! [`ChannelEvent`] → one [`ChangesFold`] for each table → hint, event. A break in the channel takes the liveness back, so that
//! polling takes over; its end asks for a pull of everything (R1). Row security decides which rows come, since `messages`
//! does not say which workspace it belongs to.
use cloud_client::events::{Heard, Listener};
use cloud_realtime::{
    ChannelEvent, Events,
    changes::{Change, ChangesEvent, ChangesFold, Condition, Filter},
    continuity::Continuity,
    join::{ChangesRequest, JoinConfig, RowEvent},
};
use cloud_sync::{Engine, Hint, SyncEvent, SyncState, workspace};
use serde::Deserialize;

use super::{LiveEvent, Shared};

const SCHEMA: &str = "public";

#[derive(Debug, Deserialize)]
struct MessageRow {
    id: String,
    conversation_id: String,
    #[serde(default)]
    role: String,
    content: Option<String>,
    sender_user_id: Option<String>,
    sender_agent_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WorkspaceRow {
    updated_at: String,
}

#[derive(Debug, Deserialize)]
struct AgentRow {
    id: String,
    name: Option<String>,
    status: Option<String>,
}

struct Requests {
    messages: ChangesRequest,
    state: ChangesRequest,
    agents: ChangesRequest,
}

impl Requests {
    fn of(workspace: &str) -> Self {
        let state = ChangesRequest::table(RowEvent::UPDATE, SCHEMA, "workspaces");
        Self {
            messages: ChangesRequest::table(RowEvent::INSERT, SCHEMA, "messages"),
            // An id that no filter can hold is no id of the cloud's.
            state: match Filter::all([Condition::eq("id", workspace)]) {
                Ok(filter) => state.filter(filter),
                Err(_) => state,
            },
            agents: ChangesRequest::table(RowEvent::UPDATE, SCHEMA, "cloud_agents"),
        }
    }
}

/// What the channel asks for.
pub(super) fn config(workspace: &str) -> JoinConfig {
    let Requests { messages, state, agents } = Requests::of(workspace);
    JoinConfig::new().changes(messages).changes(state).changes(agents)
}

/// Until the channel is left or the workspace is let go of.
pub(super) async fn run(shared: Shared, events: Events, engine: Engine) {
    let Requests { messages, state, agents } = Requests::of(shared.workspace.id());
    let feeds = (ChangesFold::new(&messages), ChangesFold::new(&state), ChangesFold::new(&agents));
    let stop = shared.stop.clone();
    let mut rows = Rows { shared, feeds, live: false, unpublished: false, strangers: None };
    // A hint that is cut short is found by the next regular sync.
    stop.run_until_cancelled(rows.listen(events, &engine)).await;
    rows.set_live(false);
}

/// Messages of conversations that are not known here yet. The sync that their hints ask for finds the conversation, or
/// they belong to another workspace.
struct Strangers {
    synced: Listener<SyncEvent>,
    rows: Vec<MessageRow>,
    syncs_left: u8,
}

/// More messages of unknown conversations are not told, only stored.
const STRANGERS_LIMIT: usize = 64;
/// One sync may have begun before the conversation did.
const SYNCS: u8 = 2;

struct Rows {
    shared: Shared,
    feeds: (ChangesFold, ChangesFold, ChangesFold),
    /// Whether polling may step back.
    live: bool,
    /// The cloud took the join and does not publish what the sync needs.
    unpublished: bool,
    strangers: Option<Strangers>,
}

impl Rows {
    async fn listen(&mut self, mut events: Events, engine: &Engine) {
        loop {
            let synced = async {
                match &mut self.strangers {
                    Some(strangers) => strangers.synced.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.step(&event, engine).await,
                    None => return,
                },
                heard = synced => self.greet(heard).await,
            }
        }
    }

    /// Looks for the strangers' conversations again, after a sync.
    async fn greet(&mut self, heard: Option<Heard<SyncEvent>>) {
        let over = match heard {
            Some(Heard::Event(SyncEvent::State { workspace_id, state: SyncState::Synced })) => {
                workspace_id == self.shared.workspace.id()
            }
            Some(Heard::Missed(_)) => true,
            Some(Heard::Event(_)) => false,
            None => {
                self.strangers = None;
                return;
            }
        };
        let Some(mut strangers) = self.strangers.take_if(|_| over) else { return };
        for row in std::mem::take(&mut strangers.rows) {
            strangers.rows.extend(self.tell(row).await);
        }
        strangers.syncs_left -= 1;
        if strangers.syncs_left > 0 && !strangers.rows.is_empty() {
            self.strangers = Some(strangers);
        }
    }

    async fn step(&mut self, event: &ChannelEvent, engine: &Engine) {
        let (messages, state, agents) = &mut self.feeds;
        let (message, state) = (messages.step::<MessageRow>(event), state.step::<WorkspaceRow>(event));
        let agent = agents.step::<AgentRow>(event);
        if matches!(message, Some(ChangesEvent::Unconfirmed)) || matches!(state, Some(ChangesEvent::Unconfirmed)) {
            tracing::warn!("the cloud does not publish the rows of this workspace: polling goes on");
            self.unpublished = true;
        }
        if let Some(continuity) = Continuity::of(event) {
            self.continuity(&continuity).await;
            return;
        }
        match message {
            Some(ChangesEvent::Change(Change { row: Some(row), .. })) => self.message(row, engine).await,
            Some(other) if other.asks_for_catch_up() => self.hint(Hint::Everything).await,
            _ => {}
        }
        match state {
            Some(ChangesEvent::Change(Change { row: Some(row), .. })) => {
                self.hint(Hint::State { version: row.updated_at }).await;
            }
            Some(other) if other.asks_for_catch_up() => self.hint(Hint::Everything).await,
            _ => {}
        }
        if let Some(ChangesEvent::Change(Change { row: Some(AgentRow { id, name, status }), .. })) = agent {
            self.shared.tell(LiveEvent::Agent { agent_id: id, name, status });
        }
    }

    async fn continuity(&mut self, continuity: &Continuity) {
        match continuity {
            Continuity::Live => self.set_live(!self.unpublished),
            Continuity::Gap(_) | Continuity::Refused(_) => {
                self.unpublished = false;
                self.set_live(false);
            }
            _ => {}
        }
        if continuity.asks_for_catch_up() {
            self.hint(Hint::Everything).await;
        }
    }

    async fn message(&mut self, row: MessageRow, engine: &Engine) {
        // Before the hint, so that no sync is missed.
        let synced = engine.events();
        let hint = Hint::Message { conversation: row.conversation_id.clone(), id: row.id.clone() };
        if matches!(self.shared.workspace.hint(hint).await, workspace::Heard::Own | workspace::Heard::Foreign) {
            return;
        }
        if let Some(stranger) = self.tell(row).await {
            let strangers =
                self.strangers.get_or_insert_with(|| Strangers { synced, rows: Vec::new(), syncs_left: SYNCS });
            if strangers.rows.len() < STRANGERS_LIMIT {
                strangers.rows.push(stranger);
            }
        }
    }

    /// Tells of a message; gives it back when its conversation is not known here.
    async fn tell(&self, row: MessageRow) -> Option<MessageRow> {
        let found = self.shared.workspace.conversation_with_cloud_id(&row.conversation_id).await;
        // A store that cannot be read is the sync's to report.
        let Some(conversation) = found.ok()? else { return Some(row) };
        let MessageRow { id, role, content, sender_user_id, sender_agent_id, .. } = row;
        let conversation = conversation.name().to_owned();
        self.shared.tell(LiveEvent::Message { conversation, id, role, content, sender_user_id, sender_agent_id });
        None
    }

    async fn hint(&self, hint: Hint) {
        self.shared.workspace.hint(hint).await;
    }

    fn set_live(&mut self, live: bool) {
        if std::mem::replace(&mut self.live, live) == live {
            return;
        }
        self.shared.workspace.set_live(live);
        let workspace_id = self.shared.id();
        self.shared.tell(if live {
            LiveEvent::Connected { workspace_id }
        } else {
            LiveEvent::Disconnected { workspace_id }
        });
    }
}
