//! What an [`Auth`] is opened with, and the opening.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cloud_client::{
    Client,
    events::Bus,
    tasks::{CancellationToken, Tasks},
};
use tokio::sync::{mpsc, watch};

use super::{Auth, Inner};
use crate::{
    accounts::Slot,
    oauth::SignIns,
    session::{
        Published,
        machine::Event,
        refresher::{Parts, Refresher},
    },
    status::AuthStatus,
    store::{SecretKey, SecretStoreHandle},
};

/// A token is renewed this long before it ends.
const LEEWAY: Duration = Duration::from_secs(60);
/// Room in the queue of commands; full-queue rule: *wait*.
const COMMANDS: usize = 64;

/// Options of an [`Auth`].
#[derive(Debug)]
#[must_use = "nothing happens until `open`"]
pub struct AuthBuilder {
    client: Client,
    store: SecretStoreHandle,
    key_prefix: String,
    account: Slot,
    leeway: Duration,
    start: Event,
}

impl AuthBuilder {
    pub(super) fn new(client: Client, store: SecretStoreHandle) -> Self {
        let (key_prefix, account) = ("CLOUD_".to_owned(), Slot::FIRST);
        Self { client, store, key_prefix, account, leeway: LEEWAY, start: Event::Started }
    }

    /// Begins the name of the stored secret: `<prefix>REFRESH_TOKEN_<origin>`. Default: `CLOUD_`.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.key_prefix);
        self
    }

    /// Which of several accounts at this cloud it is, see [`Accounts`](crate::accounts::Accounts). Default: the first.
    pub fn account(mut self, slot: Slot) -> Self {
        self.account = slot;
        self
    }

    /// Renews a token this long before it ends. Default: 60 s; less for tokens that live for minutes only.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Leaves a stored login alone until somebody signs in. Default: it is taken up.
    pub fn leave_stored_login(mut self) -> Self {
        self.start = Event::StartedAlone;
        self
    }

    /// Starts the session. Returns at once, without network or disk: the stored login is read in the background
    /// (see [`Auth::settled`]), so a keyring that hangs holds up nothing (D2).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn open(self) -> Auth {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let start = Published { status: AuthStatus::Restoring, context: None, access: None, settled: false };
        let (publisher, published) = watch::channel(start);
        let (tasks, abort, events) = (Tasks::new(), CancellationToken::new(), Bus::default());
        let (origin, clock) = (self.client.origin().as_str(), self.client.clock().clone());
        let key = self.account.key(&self.key_prefix, origin);
        let sign_ins = SignIns::new(self.store.clone(), SecretKey::sign_ins(&self.key_prefix, origin), origin, clock);
        let refresher = Refresher::new(Parts {
            client: self.client.clone(),
            store: self.store,
            key,
            leeway: self.leeway,
            start: self.start,
            commands,
            published: publisher,
            events: events.clone(),
            stop: tasks.stop_signal(),
            abort: abort.clone(),
        });
        tasks.spawn(refresher.run());
        let (client, provider) = (self.client, Mutex::default());
        Auth(Arc::new(Inner { client, sign_ins, commands: sender, published, events, tasks, abort, provider }))
    }
}
