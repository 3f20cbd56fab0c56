//! What everything of one engine shares, and what everything of one link shares.
//!
//! [`Context`] holds the client, the store, the event bus and the tasks. [`Scope`] is a context seen from one link: it says
//! which rows are meant (O8) and keeps what is only worth knowing while the process lives. Conversations and workspaces
//! stand on a scope, the engine on top of them; nothing down here knows about them.
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use cloud_client::{Client, Error, events::Bus, rest::Table, tasks::Tasks};
use rusqlite::{Connection, Transaction};
use tokio::sync::{MutexGuard, Notify, OnceCell};

use crate::{
    codes::{NOT_LINKED, STORE_FAILED},
    events::{SyncEvent, SyncState},
    link::stamp,
    store::Store,
    workspace::{Foreign, Wanted},
};

/// What everything of one engine shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) bus: Bus<SyncEvent>,
    /// This installation's own name in message ids.
    pub(crate) replica: String,
    pub(crate) tasks: Tasks,
    cells: Mutex<BTreeMap<i64, Arc<Cell>>>,
}

impl Context {
    pub(crate) fn new(client: Client, store: Store, replica: String) -> Self {
        Self { client, store, bus: Bus::default(), replica, tasks: Tasks::new(), cells: Mutex::default() }
    }

    /// Now, as RFC 3339 text by this device's clock.
    pub(crate) fn now(&self) -> String {
        stamp(self.client.clock().wall())
    }
}

/// What is kept in memory for one link.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// Held for the length of a sync: excluding others is the point.
    at_work: tokio::sync::Mutex<()>,
    /// Told by every local change of the state.
    pub(crate) changed: Notify,
    /// Told by every message that has to be sent.
    pub(crate) appended: Notify,
    /// Told when a pause after failures need not be waited for.
    pub(crate) woken: Notify,
    /// Told by every hint, and when hints begin or cease to come.
    pub(crate) hinted: Notify,
    wanted: Mutex<Wanted>,
    foreign: Mutex<Foreign>,
    live: AtomicBool,
    /// How often the link was ended: what was handed out before does not live again with the next link (C4).
    ended: AtomicU64,
    state: Mutex<SyncState>,
    /// What the cloud's `messages` table can do; asked once.
    pub(crate) columns: OnceCell<Columns>,
    /// Whether the cloud tells of each conversation how far it has come; asked once.
    pub(crate) counted: OnceCell<bool>,
}

/// What the cloud's `messages` table can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// The time at which a message was written, next to the time at which it arrived.
    pub(crate) written_at: bool,
}

impl Cell {
    /// Waits until no other sync of this link is at work. What goes to the cloud begins with [`Scope::begin`].
    pub(crate) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.at_work.lock().await
    }

    pub(crate) fn state(&self) -> SyncState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to what hints have asked for.
    pub(crate) fn want(&self, add: impl FnOnce(&mut Wanted)) {
        add(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.hinted.notify_one();
    }

    /// Takes what hints have asked for so far; whatever is begun now answers it.
    pub(crate) fn take_wanted(&self) -> Wanted {
        std::mem::take(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Conversations that hints name and this workspace does not hold.
    pub(crate) fn foreign(&self) -> std::sync::MutexGuard<'_, Foreign> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was handed out so far syncs nothing any more.
    pub(crate) fn end_link(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether hints come in as things happen.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn set_live(&self, live: bool) {
        if self.live.swap(live, Ordering::Relaxed) != live {
            self.hinted.notify_one();
        }
    }
}

/// One link: a folder and a cloud workspace, for one user. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) context: Arc<Context>,
    /// The link's row in the store.
    pub(crate) link: i64,
    of: Arc<Linked>,
}

/// What is linked to what.
struct Linked {
    workspace: String,
    name: String,
    user: Arc<str>,
    folder: PathBuf,
    cell: Arc<Cell>,
    /// How often this link had been ended when the handle was made.
    ended: u64,
}

impl Scope {
    pub(crate) fn new(
        context: Arc<Context>,
        link: i64,
        workspace: String,
        name: String,
        user: String,
        folder: PathBuf,
    ) -> Self {
        let cell = Arc::clone(context.cells.lock().unwrap_or_else(PoisonError::into_inner).entry(link).or_default());
        let ended = cell.ended.load(Ordering::Relaxed);
        Self { context, link, of: Arc::new(Linked { workspace, name, user: user.into(), folder, cell, ended }) }
    }

    /// The cloud's id of the workspace.
    pub(crate) fn workspace(&self) -> &str {
        &self.of.workspace
    }

    /// What people call the workspace, as of the link.
    pub(crate) fn name(&self) -> &str {
        &self.of.name
    }

    pub(crate) fn user(&self) -> &str {
        &self.of.user
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.of.folder
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.of.cell
    }

    /// Waits until nothing else of this link is at work in the cloud. Refused once the link was ended: whoever still holds
    /// a handle sends nothing more (C4).
    pub(crate) async fn begin(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let alone = self.cell().alone().await;
        self.still_linked().await?;
        Ok(alone)
    }

    /// Refused once the link was ended (C4): for what goes to the cloud next to a sync.
    pub(crate) async fn still_linked(&self) -> Result<(), Error> {
        let link = self.link;
        let active = self.read(move |connection| {
            connection.prepare_cached("SELECT active FROM links WHERE id = ?1")?.query_row([link], |row| row.get(0))
        });
        if active.await? && !self.is_of_the_past() { Ok(()) } else { Err(Error::new(NOT_LINKED).during("syncing")) }
    }

    /// Whether both are handles of one link, not ended in between.
    pub(crate) fn is_same_link(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.cell(), other.cell()) && self.of.ended == other.of.ended
    }

    /// Whether the link that this is a handle of was ended, be there another one by now or not.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.cell().ended.load(Ordering::Relaxed) != self.of.ended
    }

    /// A table of the cloud, for the link's user and nobody else: a handle may outlive the session it was got in (A7).
    pub(crate) fn table(&self, name: &str) -> Table {
        self.context.client.on_behalf_of(Arc::clone(&self.of.user)).table(name)
    }

    /// See [`Store::read`].
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.context.store.read(work).await
    }

    /// See [`Store::write`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.context.store.write(work).await
    }

    pub(crate) fn tell(&self, event: SyncEvent) {
        self.context.bus.send(event);
    }

    /// Says that a sync is at work, until the guard goes.
    pub(crate) fn at_work(&self) -> AtWork<'_> {
        let end = self.cell().state();
        self.tell_state(SyncState::Syncing);
        AtWork { scope: self, end }
    }

    /// Records and tells a new state, once (D4).
    fn tell_state(&self, state: SyncState) {
        let before = std::mem::replace(&mut *self.cell().state.lock().unwrap_or_else(PoisonError::into_inner), state);
        if before != state {
            tracing::info!(workspace = self.workspace(), ?state, "sync state");
            self.tell(SyncEvent::State { workspace_id: self.workspace().to_owned(), state });
        }
    }

    /// The same link, without keeping the engine alive.
    pub(crate) fn downgrade(&self) -> WeakScope {
        WeakScope { context: Arc::downgrade(&self.context), link: self.link, of: Arc::clone(&self.of) }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("workspace", &self.of.workspace).finish_non_exhaustive()
    }
}

/// A sync under way. Whatever ends it, also when it is dropped half-way, nobody is left to believe that it goes on.
pub(crate) struct AtWork<'a> {
    scope: &'a Scope,
    /// How the sync stands afterwards; until it is set, as before.
    pub(crate) end: SyncState,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.scope.tell_state(self.end);
    }
}

/// A [`Scope`] that does not keep its engine alive.
pub(crate) struct WeakScope {
    context: Weak<Context>,
    link: i64,
    of: Arc<Linked>,
}

impl WeakScope {
    pub(crate) fn upgrade(&self) -> Option<Scope> {
        Some(Scope { context: self.context.upgrade()?, link: self.link, of: Arc::clone(&self.of) })
    }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| Err(Error::new(STORE_FAILED).with_source(cause)))
}

/// `folder` as the system knows it.
pub(crate) async fn real_folder(folder: &Path) -> Result<PathBuf, Error> {
    let folder = folder.to_owned();
    let missing = |cause| Error::new(crate::codes::LINK_FILE).during("finding the folder").with_source(cause);
    blocking(move || std::fs::canonicalize(folder).map_err(missing)).await
}
