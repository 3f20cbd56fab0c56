//! The linked workspace, live: rows become hints and events, people become a team, and polling steps back.
//!
//! ```text
//! rows channel   ─► [`rows`]   ─► Workspace::hint (pulls; P7) + LiveEvent::Message, Agent
//! people channel ─► [`people`] ─► CloudEvent::Team, LiveEvent::Typing, Broadcast
//! members table  ─►              (polled: often without the channel, rarely with it)
//! ```
//! Two channels, because the second is private and a cloud without policies for it refuses it: rows come all the same, and
//! presence goes through the table. Nothing here stores anything. One [`Live`] for each workspace at hand; dropping it ends
//! both tasks and leaves both channels.
mod people;
mod rows;

use std::{collections::BTreeMap, time::Duration};

use cloud_auth::UserContext;
use cloud_client::{clock::SharedClock, events::Bus, tasks::CancellationToken};
use cloud_realtime::{Channel, Events, Realtime, Topic, join::JoinConfig};
use cloud_sync::{Place, Workspace};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    Cloud, CloudEvent,
    team::{Teammate, Told},
};

/// Something that happened just now, elsewhere. A hint for people; what is stored follows as
/// [`SyncEvent`](cloud_sync::SyncEvent).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LiveEvent {
    /// Everything arrives as it happens from now on; what was missed is being pulled.
    Connected {
        /// The cloud workspace.
        workspace_id: String,
    },
    /// Nothing arrives by itself; the workspace is polled until it does again.
    Disconnected {
        /// The cloud workspace.
        workspace_id: String,
    },
    /// A message of somebody else, or of another device of this user.
    Message {
        /// The conversation's local name.
        conversation: String,
        /// The message.
        id: String,
        /// Who speaks, such as `user` or `assistant`.
        role: String,
        /// What they say; `None` when it is too long to come along.
        content: Option<String>,
        /// The user who wrote it.
        sender_user_id: Option<String>,
        /// The agent that wrote it.
        sender_agent_id: Option<String>,
    },
    /// An agent began or ended its work, or was changed.
    Agent {
        /// The agent.
        agent_id: String,
        /// Its name.
        name: Option<String>,
        /// An open word, such as `idle` or `active`.
        status: Option<String>,
    },
    /// These people are writing right now; nobody, when the list is empty. They say so themselves.
    Typing {
        /// The cloud workspace.
        workspace_id: String,
        /// Who.
        user_ids: Vec<String>,
    },
    /// What another device sent by [`Cloud::broadcast`]. Nothing proves who it was.
    Broadcast {
        /// The cloud workspace.
        workspace_id: String,
        /// The app's own name for it.
        event: String,
        /// What was sent.
        payload: Value,
    },
}

/// How long leaving may hold up whoever lets go of a workspace.
const LEAVE_WAIT: Duration = Duration::from_secs(3);

/// What this device wants others to know. Only the latest counts.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wishes {
    place: Option<Place>,
    /// Counts keys.
    keys: u64,
    /// Counts the times that what was written was sent or given up.
    done: u64,
}

/// The live side of the workspace at hand. Dropping it ends it.
pub(crate) struct Live {
    rows: Option<Channel>,
    people: Option<Channel>,
    wishes: watch::Sender<Wishes>,
    team: watch::Receiver<Vec<Teammate>>,
    stop: CancellationToken,
}

impl Live {
    /// Begins. No network: the connection is made in the background.
    pub(crate) async fn start(cloud: &Cloud, workspace: &Workspace) -> Self {
        let realtime = cloud.realtime();
        let context = cloud.auth().user_context();
        let own = told(workspace.user(), context.as_deref());
        let rows = open(&realtime, "rows", workspace, rows::config(workspace.id())).await;
        let people =
            open(&realtime, "workspace", workspace, JoinConfig::new().private().presence(workspace.user())).await;
        let (wishes, wished) = watch::channel(Wishes::default());
        let (teams, team) = watch::channel(Vec::new());
        let stop = cloud.0.tasks.stop_signal();
        let shared = Shared { workspace: workspace.clone(), bus: cloud.0.bus.clone(), stop: stop.clone() };
        // Open already: the workspace came from it.
        let (rows, changes) = rows.unzip();
        if let (Some(changes), Ok(engine)) = (changes, cloud.sync().await) {
            cloud.0.tasks.spawn(rows::run(shared.clone(), changes, engine.clone()));
        }
        let client = cloud.client().clone();
        let interval = cloud.config().presence_interval;
        let channel = people.as_ref().map(|(channel, _)| channel.clone());
        let task = people::People::new(shared, people, own, client.clock().clone(), interval, teams);
        cloud.0.tasks.spawn(task.run(wished));
        Self { rows, people: channel, wishes, team, stop }
    }

    /// Ends, and waits until both channels are left, for at most [`LEAVE_WAIT`].
    pub(crate) async fn end(mut self, clock: &SharedClock) {
        self.stop.cancel();
        let (rows, people) = (self.rows.take(), self.people.take());
        let leave = |channel: Option<Channel>| async {
            if let Some(channel) = channel {
                channel.leave().await;
            }
        };
        let both = async { tokio::join!(leave(rows), leave(people)) };
        clock.within(LEAVE_WAIT, both).await;
    }

    pub(crate) fn team(&self) -> Vec<Teammate> {
        self.team.borrow().clone()
    }

    pub(crate) fn set_place(&self, place: Option<Place>) {
        self.wishes.send_if_modified(|wishes| {
            let other = wishes.place != place;
            wishes.place = place;
            other
        });
    }

    pub(crate) fn key(&self) {
        self.wishes.send_modify(|wishes| wishes.keys += 1);
    }

    pub(crate) fn done_typing(&self) {
        self.wishes.send_modify(|wishes| wishes.done += 1);
    }

    /// The channel of the people, to send through.
    pub(crate) fn people(&self) -> Option<Channel> {
        self.people.clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What both tasks have.
#[derive(Clone)]
struct Shared {
    workspace: Workspace,
    bus: Bus<CloudEvent>,
    stop: CancellationToken,
}

impl Shared {
    fn tell(&self, event: LiveEvent) {
        self.bus.send(CloudEvent::Live(event));
    }

    fn id(&self) -> String {
        self.workspace.id().to_owned()
    }
}

async fn open(realtime: &Realtime, kind: &str, workspace: &Workspace, config: JoinConfig) -> Option<(Channel, Events)> {
    let topic = Topic::realtime(&format!("{kind}:{}", workspace.id())).ok()?;
    match realtime.channel(topic).config(config).listen().await {
        Ok(opened) => Some(opened),
        Err(error) => {
            tracing::warn!(code = %error.code(), kind, "no live channel: polling goes on");
            None
        }
    }
}

fn told(user: &str, context: Option<&UserContext>) -> Told {
    let profile = context.and_then(|context| context.profile.as_ref());
    Told {
        user_id: user.to_owned(),
        display_name: profile.and_then(|profile| profile.display_name.clone()),
        avatar_url: profile.and_then(|profile| profile.avatar_url.clone()),
        status: None,
        current_file: None,
        line: None,
    }
}

/// By user: one instance of each is shown.
type Crowd = BTreeMap<String, Told>;
