//! Two people in one workspace, live: what one does the other sees at once, and nothing is missed that a broken
//! connection swallowed.
use std::{sync::Arc, time::Duration};

use cloud_dev::{DemoPerson, Running};
use cloud_sdk::{
    Cloud, CloudEvent, Error, LiveEvent, Teammate,
    client::{
        events::{Heard, Listener},
        transport::{HttpTransport, Request, Response, SharedTransport, Transport},
    },
    config::LiveUpdates,
    sync::{NewMessage, Place, SyncEvent, Workspace},
};
use serde_json::json;
use tokio::sync::Notify;

use crate::app::{App, cloud, sign_in};

/// So long that nothing here is found by polling.
const NEVER: Duration = Duration::from_secs(3600);
pub const LIMIT: Duration = Duration::from_secs(30);

/// Somebody whose app is open, linked and listening.
struct Person {
    app: App,
    cloud: Cloud,
    workspace: Workspace,
    events: Listener<CloudEvent>,
}

impl Person {
    async fn enter(server: &Running, person: &DemoPerson, live: LiveUpdates, interval: Duration) -> Self {
        let mut app = App::new(server);
        app.config.live = live;
        app.config.sync_interval = interval;
        app.config.presence_interval = interval;
        // Sockets keep their own time: on a hurried clock they would be given up too early.
        let cloud = app.builder().open().await.unwrap().unwrap();
        let events = cloud.events();
        sign_in(&cloud, person).await.unwrap();
        let workspace = cloud.link(&app.folder(), &server.demo().workspace_id).await.unwrap();
        Self { app, cloud, workspace, events }
    }

    /// Two people, both live.
    async fn pair(server: &Running) -> (Self, Self) {
        let [ada, grace] = &server.demo().people;
        let mut ada = Self::enter(server, ada, LiveUpdates::On, NEVER).await;
        let mut grace = Self::enter(server, grace, LiveUpdates::On, NEVER).await;
        ada.connected().await;
        grace.connected().await;
        (ada, grace)
    }

    async fn connected(&mut self) {
        self.hears(|event| matches!(event, CloudEvent::Live(LiveEvent::Connected { .. })).then_some(())).await;
    }

    async fn hears<T>(&mut self, wanted: impl Fn(CloudEvent) -> Option<T> + Send + Sync) -> T {
        let found = async {
            loop {
                if let Some(Heard::Event(event)) = self.events.next().await
                    && let Some(found) = wanted(event)
                {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect("it should have been heard by now")
    }

    async fn says(&self, text: &str) {
        self.workspace.conversation("chat").await.unwrap().append(NewMessage::user(text)).await.unwrap();
    }

    async fn texts(&self) -> Vec<String> {
        let messages = self.workspace.conversation("chat").await.unwrap().messages().await.unwrap();
        messages.into_iter().map(|message| message.content).collect()
    }

    /// Waits until the conversation reads like this.
    async fn has(&mut self, texts: &[&str]) {
        while self.texts().await != texts {
            self.hears(|event| {
                let moved = matches!(
                    event,
                    CloudEvent::Sync(SyncEvent::MessagesReceived { .. } | SyncEvent::MessagesSent { .. })
                );
                moved.then_some(())
            })
            .await;
        }
    }
}

fn message(event: CloudEvent) -> Option<(String, Option<String>)> {
    match event {
        CloudEvent::Live(LiveEvent::Message { conversation, content, .. }) => Some((conversation, content)),
        _ => None,
    }
}

fn team(event: CloudEvent) -> Option<Vec<Teammate>> {
    if let CloudEvent::Team { team, .. } = event { Some(team) } else { None }
}

#[tokio::test]
async fn p07_a_message_is_heard_at_once_and_stored_by_the_pull_that_it_asks_for() {
    let server = cloud().await;
    let (ada, mut grace) = Person::pair(&server).await;
    // The first one begins a conversation that Grace's device does not know yet.
    for text in ["one", "two", "three"] {
        ada.says(text).await;
        assert_eq!(grace.hears(message).await, ("chat".to_owned(), Some(text.to_owned())));
    }
    grace.has(&["one", "two", "three"]).await;
}

#[tokio::test]
async fn p06_what_a_device_wrote_itself_is_no_news_to_it_but_to_the_users_other_device() {
    let server = cloud().await;
    let [person, _] = &server.demo().people;
    let mut desk = Person::enter(&server, person, LiveUpdates::On, NEVER).await;
    let mut phone = Person::enter(&server, person, LiveUpdates::On, NEVER).await;
    desk.connected().await;
    phone.connected().await;
    desk.says("from the desk").await;
    assert_eq!(phone.hears(message).await.1.as_deref(), Some("from the desk"));
    phone.says("from the phone").await;
    // The first thing that the desk hears is the phone's answer, not its own echo.
    assert_eq!(desk.hears(message).await.1.as_deref(), Some("from the phone"));
}

#[tokio::test]
async fn a_change_of_the_state_arrives_without_polling() {
    let server = cloud().await;
    let (ada, mut grace) = Person::pair(&server).await;
    ada.workspace.set("current_step", json!("Painting")).await.unwrap();
    ada.workspace.push().await.unwrap();
    let pulled =
        |event| if let CloudEvent::Sync(SyncEvent::Pulled { fields, .. }) = event { Some(fields) } else { None };
    // The first pull of all may still be under way.
    while grace.workspace.state().await.unwrap().fields.get("current_step") != Some(&json!("Painting")) {
        assert!(grace.hears(pulled).await.contains(&"current_step".to_owned()));
    }
}

#[tokio::test]
async fn r01_what_is_written_while_the_connection_is_down_is_there_after_it() {
    let server = cloud().await;
    let (mut ada, mut grace) = Person::pair(&server).await;
    ada.says("before").await;
    grace.has(&["before"]).await;
    for round in 0..3 {
        server.set_offline(true);
        grace.hears(|event| matches!(event, CloudEvent::Live(LiveEvent::Disconnected { .. })).then_some(())).await;
        ada.says(&format!("while away {round}")).await;
        server.set_offline(false);
        // As a host does that hears of its network.
        ada.cloud.realtime().wake();
        grace.cloud.realtime().wake();
        grace.connected().await;
    }
    let all = ["before", "while away 0", "while away 1", "while away 2"];
    grace.has(&all).await;
    ada.has(&all).await;
}

#[tokio::test]
async fn the_team_shows_who_is_there_where_and_who_has_gone() {
    let server = cloud().await;
    let (ada, mut grace) = Person::pair(&server).await;
    ada.cloud.set_place(Some(Place::file("src/main.rs").line(3)));
    let seen = |event| team(event)?.into_iter().find(|mate| mate.place.is_some());
    let mate = grace.hears(seen).await;
    assert_eq!(mate.place, Some(Place::file("src/main.rs").line(3)));
    assert_eq!(mate.display_name.as_deref(), Some("Ada"));
    assert!(grace.cloud.team().iter().all(Teammate::is_online));

    let Person { cloud, workspace, events, app } = ada;
    drop((workspace, events));
    assert!(cloud.close(Duration::from_secs(10)).await);
    drop(app);
    // She was seen a moment ago, so the table says that she is there; where she is it does not know.
    let gone = |event| team(event)?.into_iter().all(|mate| mate.place.is_none()).then_some(());
    grace.hears(gone).await;
}

#[tokio::test]
async fn typing_is_seen_and_ends_when_the_text_is_sent() {
    let server = cloud().await;
    let (ada, mut grace) = Person::pair(&server).await;
    let typing = |event| match event {
        CloudEvent::Live(LiveEvent::Typing { user_ids, .. }) => Some(user_ids),
        _ => None,
    };
    // Both have joined the people's channel when Grace sees Ada's place.
    ada.cloud.set_place(Some(Place::file("a")));
    grace.hears(|event| team(event)?.iter().any(|mate| mate.place.is_some()).then_some(())).await;
    for _ in 0..20 {
        ada.cloud.typing();
    }
    assert_eq!(grace.hears(typing).await, [ada.workspace.user()]);
    ada.cloud.done_typing();
    assert_eq!(grace.hears(typing).await, Vec::<String>::new());

    ada.cloud.broadcast("wave", &json!({"times": 2})).await.unwrap();
    let waved = |event| match event {
        CloudEvent::Live(LiveEvent::Broadcast { event, payload, .. }) => Some((event, payload)),
        _ => None,
    };
    assert_eq!(grace.hears(waved).await, ("wave".to_owned(), json!({"times": 2})));
}

#[tokio::test]
async fn without_live_updates_the_same_arrives_by_polling() {
    let server = cloud().await;
    let [ada, grace] = &server.demo().people;
    let often = Duration::from_secs(1);
    let ada = Person::enter(&server, ada, LiveUpdates::Off, often).await;
    let mut grace = Person::enter(&server, grace, LiveUpdates::Off, often).await;
    ada.says("slowly").await;
    grace.has(&["slowly"]).await;
    assert_eq!(server.realtime().sockets(), 0, "no socket was opened");
    assert_eq!(ada.cloud.broadcast("wave", &json!({})).await.unwrap_err().code().as_str(), "cloud.not_live");
}

#[tokio::test]
async fn a_cloud_that_refuses_sockets_loses_only_speed() {
    let server = cloud().await;
    server.realtime().refuse_upgrades(503, u32::MAX);
    let [ada, grace] = &server.demo().people;
    let often = Duration::from_secs(1);
    let ada = Person::enter(&server, ada, LiveUpdates::On, often).await;
    let mut grace = Person::enter(&server, grace, LiveUpdates::On, often).await;
    ada.cloud.set_place(Some(Place::file("polled.rs")));
    ada.says("slowly").await;
    let polled =
        |event| team(event)?.into_iter().any(|mate| mate.place == Some(Place::file("polled.rs"))).then_some(());
    grace.hears(polled).await;
    grace.has(&["slowly"]).await;
}

#[tokio::test]
async fn a07_another_user_hears_nothing_in_the_name_of_the_one_before() {
    let server = cloud().await;
    let (ada, mut grace) = Person::pair(&server).await;
    let [_, grace_person] = &server.demo().people;
    let mut status = ada.cloud.realtime().watch_status();
    assert_eq!(status.current().channels, 2);
    ada.cloud.auth().sign_out(cloud_sdk::auth::Scope::Local).await.unwrap();
    let left = status.until(|status| status.channels == 0);
    tokio::time::timeout(LIMIT, left).await.unwrap().unwrap();
    ada.says("kept for the owner of the link").await;
    sign_in(&ada.cloud, grace_person).await.unwrap();
    assert!(ada.cloud.linked(&ada.app.folder()).await.unwrap().is_none(), "the link belongs to Ada");
    grace.says("hello").await;
    grace.has(&["hello"]).await;
    assert!(ada.cloud.team().is_empty());
    assert_eq!(ada.cloud.realtime().status().channels, 0);
}

#[tokio::test]
async fn a07_who_signs_in_over_somebody_takes_nothing_of_theirs_over() {
    let server = cloud().await;
    let (ada, _grace) = Person::pair(&server).await;
    let [_, grace_person] = &server.demo().people;
    let mut status = ada.cloud.realtime().watch_status();
    // Nobody signs out in between.
    sign_in(&ada.cloud, grace_person).await.unwrap();
    assert_eq!(ada.cloud.status().linked_workspace, None, "the link belongs to Ada");
    assert!(ada.cloud.team().is_empty());
    let left = status.until(|status| status.channels == 0);
    tokio::time::timeout(LIMIT, left).await.expect("the channels are still open").unwrap();
    assert!(!ada.cloud.unlink().await.unwrap());
}

/// Keeps the answer about a workspace back until it is let go.
#[derive(Debug, Clone)]
pub struct Slow {
    network: SharedTransport,
    pub asked: Arc<Notify>,
    pub answers: Arc<Notify>,
}

impl Slow {
    pub fn new(network: SharedTransport) -> Self {
        Self { network, asked: Arc::default(), answers: Arc::default() }
    }
}

#[async_trait::async_trait]
impl Transport for Slow {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        // The question of a link, not the state that is pulled.
        let held = request.url.path() == "/rest/v1/workspaces" && request.url.as_str().contains("name");
        let answer = self.network.send(request).await;
        if held {
            self.asked.notify_one();
            self.answers.notified().await;
        }
        answer
    }
}

#[tokio::test]
async fn a07_a_link_that_comes_after_its_user_has_gone_is_not_taken_up() {
    let server = cloud().await;
    let app = App::new(&server);
    let slow = Slow::new(SharedTransport::new(HttpTransport::new(true)));
    let cloud = app.builder().transport(SharedTransport::new(slow.clone())).open().await.unwrap().unwrap();
    sign_in(&cloud, &server.demo().people[0]).await.unwrap();
    let folder = app.folder();
    let leave = async {
        slow.asked.notified().await;
        cloud.auth().sign_out(cloud_sdk::auth::Scope::Local).await.unwrap();
        slow.answers.notify_one();
    };
    let (linked, ()) = tokio::join!(cloud.link(&folder, &server.demo().workspace_id), leave);
    assert_eq!(linked.unwrap().id(), server.demo().workspace_id);
    assert_eq!(cloud.status().linked_workspace, None);
    assert_eq!(cloud.realtime().status().channels, 0);
    assert!(!cloud.unlink().await.unwrap(), "nothing is at hand");
}
