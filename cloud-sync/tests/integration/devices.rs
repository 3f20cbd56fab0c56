//! A cloud, and devices that are signed in to it by the shortest way.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource, call::Call, clock::SharedClock, error::Service, retry::Policy,
};
use cloud_dev::{CloudDev, DemoPerson, Running};
use cloud_sync::{Conversation, Engine, Workspace};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// One token, for as long as a test runs.
#[derive(Debug)]
struct Fixed(AccessToken);

#[async_trait]
impl TokenSource for Fixed {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        Ok(Some(self.0.clone()))
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        Ok(None)
    }
}

pub async fn cloud() -> Running {
    CloudDev::builder().start().await.unwrap()
}

/// A client for `person` that repeats nothing by itself: what a fault breaks stays broken until the next sync.
pub async fn client(cloud: &Running, person: &DemoPerson) -> Client {
    client_with(cloud, person, Policy::never(), SharedClock::default()).await
}

/// A client for `person` with its own patience and clock.
pub async fn client_with(cloud: &Running, person: &DemoPerson, policy: Policy, clock: SharedClock) -> Client {
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().retry(policy).clock(clock).build();
    let call = Call::new(Service::Auth, Method::POST).segment("token").query("grant_type", "password");
    let call = call.json(&json!({"email": person.email, "password": person.password})).unwrap();
    let session: Value = client.send(call).await.unwrap().json().unwrap();
    let token = session["access_token"].as_str().unwrap().to_owned();
    client.with_token_source(Arc::new(Fixed(AccessToken::new(token.into(), 0))))
}

/// One installation: a state directory, a folder, and a link.
pub struct Device {
    pub engine: Engine,
    pub workspace: Workspace,
    pub client: Client,
    user: String,
    home: TempDir,
}

impl Device {
    pub async fn new(cloud: &Running, person: &DemoPerson) -> Self {
        Self::with_clock(cloud, person, SharedClock::default()).await
    }

    pub async fn with_clock(cloud: &Running, person: &DemoPerson, clock: SharedClock) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("project")).unwrap();
        let client = client_with(cloud, person, Policy::never(), clock).await;
        let engine = Engine::open(client.clone(), home.path().join("state/sync.db")).await.unwrap();
        let workspace =
            engine.link(&home.path().join("project"), &person.user_id, &cloud.demo().workspace_id).await.unwrap();
        Self { engine, workspace, client, user: person.user_id.clone(), home }
    }

    /// Two people, a device each.
    pub async fn pair(cloud: &Running) -> (Self, Self) {
        let [ada, grace] = &cloud.demo().people;
        (Self::new(cloud, ada).await, Self::new(cloud, grace).await)
    }

    /// The process ends and starts again: nothing is left but the files.
    pub async fn restart(self) -> Self {
        let Self { engine, workspace, client, user, home } = self;
        assert!(engine.close(Duration::from_secs(20)).await);
        drop((engine, workspace));
        let engine = Engine::open(client.clone(), home.path().join("state/sync.db")).await.unwrap();
        let workspace = engine.linked(&home.path().join("project"), &user).await.unwrap().unwrap();
        Self { engine, workspace, client, user, home }
    }

    pub fn folder(&self) -> std::path::PathBuf {
        self.home.path().join("project")
    }

    pub async fn chat(&self) -> Conversation {
        self.workspace.conversation("chat").await.unwrap()
    }

    /// The texts of "chat", in order.
    pub async fn texts(&self) -> Vec<String> {
        self.chat().await.messages().await.unwrap().into_iter().map(|message| message.content).collect()
    }

    /// One field as this device sees it.
    pub async fn field(&self, name: &str) -> Value {
        self.workspace.state().await.unwrap().fields.get(name).cloned().unwrap_or_default()
    }

    /// The texts that the cloud holds, in its order.
    pub async fn texts_in_cloud(&self) -> Vec<String> {
        let mut pages = self.client.table("messages").select(["seq", "content"]).pages::<Value>("seq", None, 500);
        let mut texts = Vec::new();
        while let Some(page) = pages.next().await.unwrap() {
            texts.extend(page.iter().map(|row| row["content"].as_str().unwrap().to_owned()));
        }
        texts
    }
}
