//! One person: an installation of the app, signed in and linked, and an ear for what happens.
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use cloud_sdk::{
    Cloud, CloudEvent, Config, LiveEvent,
    client::events::Heard,
    sync::{Conversation, NewMessage},
};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use crate::{figures::Ledger, screen::Problem};

/// The longest anything may take before the program gives up.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a person's ear has picked up. Only the latest counts.
#[derive(Clone, Debug, Default)]
pub struct Noticed {
    pub live: bool,
    /// User ids.
    pub typing: Vec<String>,
    /// User ids of those who are there, and the file each is in.
    pub present: Vec<(String, Option<String>)>,
}

pub struct Person {
    pub number: usize,
    pub name: String,
    pub user: String,
    pub cloud: Cloud,
    pub chat: Conversation,
    pub noticed: watch::Receiver<Noticed>,
    /// Told at every event.
    news: Arc<Notify>,
    ledger: Ledger,
    _home: TempDir,
}

/// Who somebody is, before they come in.
pub struct Account {
    pub number: usize,
    pub name: String,
    pub email: String,
    pub password: String,
}

impl Person {
    /// Comes in and goes live.
    pub async fn enter(account: Account, config: Config, workspace: &str, ledger: &Ledger) -> Result<Self, Problem> {
        let who = format!("{} could not come in", account.email);
        let person = Self::open(account, config, workspace, ledger).await.map_err(|problem| problem.of(&who))?;
        person.notices("going live", |noticed| noticed.live).await?;
        Ok(person)
    }

    /// Signs in, links a folder of their own to `workspace`, and listens.
    async fn open(account: Account, config: Config, workspace: &str, ledger: &Ledger) -> Result<Self, Problem> {
        let Account { number, name, email, password } = account;
        let home = tempfile::tempdir()?;
        let folder = home.path().join("project");
        std::fs::create_dir(&folder)?;
        let opened = Cloud::builder(home.path().join("state")).config(config).open().await?;
        let cloud = opened.ok_or_else(|| Problem("no address and key".to_owned()))?;
        let user = cloud.auth().sign_in_with_password(&email, password.into()).await?.id.as_str().to_owned();
        let (news, ear) = (Arc::new(Notify::new()), watch::Sender::new(Noticed::default()));
        let noticed = ear.subscribe();
        tokio::spawn(listen(cloud.clone(), name.clone(), ledger.clone(), ear, Arc::clone(&news)));
        let linked = cloud.link(&folder, workspace).await?;
        let chat = linked.conversation("live team").await?;
        Ok(Self { number, name, user, cloud, chat, noticed, news, ledger: ledger.clone(), _home: home })
    }

    /// Says something; gives the message's id. Durable when it returns, and on its way.
    pub async fn say(&self, text: &str) -> Result<String, Problem> {
        let begun = Instant::now();
        let id = self.chat.append(NewMessage::user(text)).await?;
        self.ledger.written(&id, begun);
        self.cloud.done_typing();
        Ok(id)
    }

    /// What this person has of the conversation: id and text, in order.
    pub async fn history(&self) -> Result<Vec<(String, String)>, Problem> {
        let messages = self.chat.messages().await?;
        Ok(messages.into_iter().map(|message| (message.id, message.content)).collect())
    }

    /// Waits until `accepts` is true of what was noticed.
    pub async fn notices(
        &self,
        what: &str,
        accepts: impl Fn(&Noticed) -> bool + Send + Sync,
    ) -> Result<Noticed, Problem> {
        let mut noticed = self.noticed.clone();
        let seen = tokio::time::timeout(LIMIT, noticed.wait_for(|noticed| accepts(noticed))).await;
        match seen {
            Ok(Ok(noticed)) => Ok(noticed.clone()),
            _ => Err(Problem(format!("{}: {what} did not happen within {} s", self.name, LIMIT.as_secs()))),
        }
    }

    /// Waits until the conversation holds all of `ids`, and everything of this person's is confirmed by the cloud.
    pub async fn has(&self, ids: &[String]) -> Result<(), Problem> {
        let waiting = async {
            loop {
                let told = self.news.notified();
                let history = self.history().await?;
                let held: BTreeSet<_> = history.iter().map(|(id, _)| id).collect();
                if self.chat.pending().await? == 0 && ids.iter().all(|id| held.contains(id)) {
                    return Ok::<(), Problem>(());
                }
                // Not every change has an event of its own: look again soon in any case.
                let _ = tokio::time::timeout(Duration::from_millis(20), told).await;
            }
        };
        let missing =
            || Problem(format!("{} does not have all {} lines after {} s", self.name, ids.len(), LIMIT.as_secs()));
        tokio::time::timeout(LIMIT, waiting).await.map_err(|_| missing())?
    }
}

async fn listen(cloud: Cloud, name: String, ledger: Ledger, ear: watch::Sender<Noticed>, news: Arc<Notify>) {
    let mut events = cloud.events();
    drop(cloud); // the listener must not keep the app alive
    while let Some(heard) = events.next().await {
        if let Heard::Event(event) = heard {
            match event {
                CloudEvent::Live(LiveEvent::Connected { .. }) => ear.send_modify(|noticed| noticed.live = true),
                CloudEvent::Live(LiveEvent::Disconnected { .. }) => ear.send_modify(|noticed| noticed.live = false),
                CloudEvent::Live(LiveEvent::Message { id, .. }) => ledger.heard(&id, &name),
                CloudEvent::Live(LiveEvent::Typing { user_ids, .. }) => {
                    ear.send_modify(|noticed| noticed.typing = user_ids);
                }
                CloudEvent::Team { team, .. } => {
                    let there = team.into_iter().filter(|mate| mate.is_online());
                    let there = there.map(|mate| (mate.user_id, mate.place.and_then(|place| place.file)));
                    ear.send_modify(|noticed| noticed.present = there.collect());
                }
                _ => {}
            }
        }
        news.notify_one();
    }
}
