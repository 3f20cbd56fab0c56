//! The client against the development cloud, over real sockets: what is asked for is what comes, whatever happens.
//!
//! The connection's clock runs twenty times as fast, so that its waits are short; nothing here waits for time itself.

mod broadcast;
mod changes;
mod faults;
mod feed;
mod presence;
mod rooms;
mod tokens;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    call::Call,
    clock::{Clock, SharedClock, SystemClock},
    error::Service,
};
use cloud_dev::{CloudDev, RealtimeControl, RealtimeOptions, Running};
use cloud_realtime::{
    Channel, Realtime, RealtimeBuilder, Topic,
    changes::{Changes, ChangesEvent},
    join::{ChangesRequest, JoinConfig, RowEvent},
    status::{ChannelState, Status},
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Bound of everything that is waited for.
const SOON: Duration = Duration::from_secs(20);

const HURRY: u32 = 20;

#[derive(Debug, Default)]
struct Hurried(SystemClock);

#[async_trait]
impl Clock for Hurried {
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * HURRY
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / HURRY).await;
    }
}

/// Waits, with a bound.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("{what}"))
}

struct Place {
    server: Running,
}

impl Place {
    async fn with(options: RealtimeOptions) -> Self {
        let options = options.subscribe_delay(Duration::from_millis(5)).presence_calls(1_000);
        Self { server: CloudDev::builder().realtime(options).start().await.unwrap() }
    }

    async fn new() -> Self {
        Self::with(RealtimeOptions::default()).await
    }

    fn control(&self) -> RealtimeControl {
        self.server.realtime()
    }

    /// A client of nobody, on real time.
    fn client(&self) -> Client {
        Client::builder(self.server.url(), self.server.publishable_key()).unwrap().build()
    }

    async fn ada(&self) -> Person {
        let ada = &self.server.demo().people[0];
        self.person(&ada.email, &ada.password, "token").await
    }

    async fn grace(&self) -> Person {
        let grace = &self.server.demo().people[1];
        self.person(&grace.email, &grace.password, "token").await
    }

    /// Somebody of no organisation.
    async fn eve(&self) -> Person {
        self.person("eve@example.com", "a long enough password", "signup").await
    }

    async fn person(&self, email: &str, password: &str, way: &'static str) -> Person {
        let person = json!({ "email": email, "password": password });
        let login = Login(Arc::new(State { client: self.client(), person, ..State::new(self.client()) }));
        login.renew(way).await;
        let hurried = Client::builder(self.server.url(), self.server.publishable_key()).unwrap();
        let hurried = hurried.clock(SharedClock::new(Hurried::default())).build();
        Person {
            client: self.client().with_token_source(Arc::new(login.clone())),
            live: hurried.with_token_source(Arc::new(login.clone())),
            login,
        }
    }

    fn workspace(&self) -> &str {
        &self.server.demo().workspace_id
    }
}

/// Somebody who is signed in.
struct Person {
    /// On real time.
    client: Client,
    /// On hurried time.
    live: Client,
    login: Login,
}

impl Person {
    fn builder(&self) -> RealtimeBuilder {
        Realtime::builder(&self.live)
    }

    async fn write(&self, workspace: &str, path: &str) {
        let row = json!({ "workspace_id": workspace, "file_path": path, "storage_path": path, "file_size": i64::MAX });
        self.client.table("workspace_files").insert(&row).send().await.unwrap();
    }
}

/// A session that signs in again whenever another token is wanted.
#[derive(Clone, Debug)]
struct Login(Arc<State>);

#[derive(Debug)]
struct State {
    client: Client,
    person: Value,
    secret: Mutex<String>,
    generation: AtomicU64,
    renewed: watch::Sender<u64>,
    /// Renews whenever it is asked, as a source does whose token is about to end.
    always: std::sync::atomic::AtomicBool,
}

impl State {
    fn new(client: Client) -> Self {
        Self {
            client,
            person: Value::Null,
            secret: Mutex::default(),
            generation: AtomicU64::new(0),
            renewed: watch::Sender::new(0),
            always: std::sync::atomic::AtomicBool::new(false),
        }
    }
}

impl Login {
    async fn renew(&self, way: &'static str) {
        let mut call = Call::new(Service::Auth, Method::POST).segment(way);
        if way == "token" {
            call = call.query("grant_type", "password");
        }
        let reply = self.0.client.send(call.json(&self.0.person).unwrap()).await.unwrap();
        let answer: Value = reply.json().unwrap();
        *self.0.secret.lock().unwrap() = answer["access_token"].as_str().unwrap().to_owned();
        let generation = self.0.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.renewed.send_replace(generation);
    }

    fn current(&self) -> AccessToken {
        let secret = self.0.secret.lock().unwrap().clone();
        AccessToken::new(secret.into(), self.0.generation.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl TokenSource for Login {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        if self.0.always.load(Ordering::SeqCst) {
            self.renew("token").await;
        }
        Ok(Some(self.current()))
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.renew("token").await;
        Ok(Some(self.current()))
    }
}

/// A file's row.
#[derive(Clone, Debug, Deserialize)]
struct File {
    id: String,
    file_path: String,
    file_size: Option<i64>,
}

fn files(event: RowEvent) -> ChangesRequest {
    ChangesRequest::table(event, "public", "workspace_files")
}

fn topic(name: &str) -> Topic {
    Topic::realtime(name).unwrap()
}

async fn open(realtime: &Realtime, name: &str, config: JoinConfig) -> Channel {
    realtime.channel(topic(name)).config(config).open().await.unwrap()
}

async fn live(channel: &Channel) {
    let mut state = channel.watch_state();
    soon("the channel is live", state.until(|state| *state == ChannelState::Live)).await.unwrap();
}

/// Waits until every wanted channel is live (R2).
async fn all_live(realtime: &Realtime) {
    let mut status = realtime.watch_status();
    let live = tokio::time::timeout(SOON, status.until(Status::is_live)).await;
    assert!(live.is_ok(), "{:?}", realtime.status());
}

/// The paths of all files, by live rows and by pulls when the stream asks for them.
struct Paths {
    changes: Changes<File>,
    client: Client,
    seen: BTreeSet<String>,
}

impl Paths {
    fn of(channel: &Channel, person: &Person) -> Self {
        let changes = Changes::of(channel, &files(RowEvent::INSERT));
        Self { changes, client: person.client.clone(), seen: BTreeSet::new() }
    }

    /// Reads until `path` has come by one way or the other.
    async fn until(&mut self, path: &str) {
        while !self.seen.contains(path) {
            let event = soon(&format!("{path} comes"), self.changes.next()).await.unwrap();
            if let ChangesEvent::Change(change) = &event {
                self.seen.extend(change.row.iter().map(|file| file.file_path.clone()));
            }
            if event.asks_for_catch_up() {
                let all = self.client.table("workspace_files").select(["id", "file_path", "file_size"]);
                let all: Vec<File> = all.fetch_all("id", 10_000).await.unwrap();
                self.seen.extend(all.into_iter().map(|file| file.file_path));
            }
        }
    }
}
