//! The handle that holds the parts together: opens them, says how they stand, closes them without signing out.
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use cloud_agents::{Agents, Ai};
use cloud_auth::{Auth, status::User};
use cloud_client::{
    Client, Error, ErrorCode, ErrorKind,
    events::{Bus, Listener},
    tasks::Tasks,
};
use cloud_realtime::{Realtime, broadcast::Broadcast};
use cloud_sync::{AutoSync, Engine, Place, Workspace, workspace::StopSync};
use serde::Serialize;
use tokio::sync::{OnceCell, oneshot};

use crate::{CloudBuilder, CloudEvent, Config, Status, Teammate, config::LiveUpdates, live::Live, wiring};

/// Nobody is signed in, and the call needs somebody.
pub(crate) const SIGN_IN_FIRST: ErrorCode =
    ErrorCode::new("cloud.sign_in_first", ErrorKind::Unauthenticated, "Nobody is signed in", "Sign in, then repeat.");

/// There is no live channel to the others.
pub(crate) const NOT_LIVE: ErrorCode = ErrorCode::new(
    "cloud.not_live",
    ErrorKind::Incompatible,
    "There is no live channel for this workspace",
    "Link a workspace; if one is linked, see whether the cloud offers Realtime.",
);

/// An open cloud. Cheap to clone; dropping the last clone stops its background work and keeps the login.
#[derive(Clone)]
pub struct Cloud(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    config: Config,
    auth: Auth,
    client: Client,
    state_dir: PathBuf,
    pub(crate) folder: Option<PathBuf>,
    engine: OnceCell<Engine>,
    pub(crate) realtime: OnceLock<Realtime>,
    pub(crate) bus: Bus<CloudEvent>,
    pub(crate) tasks: Tasks,
    linked: Mutex<Option<Linked>>,
    /// The folder that was at hand last, unless its link was ended: its user finds it again.
    last_folder: Mutex<Option<PathBuf>>,
    /// Held while the workspace at hand becomes another one.
    linking: tokio::sync::Mutex<()>,
}

/// The workspace at hand. Dropping it ends its automatic sync.
pub(crate) struct Linked {
    workspace: Workspace,
    sync: Option<StopSync>,
    live: Option<Live>,
}

/// On whose wish a workspace comes to hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The host's: it takes the place of whatever is at hand.
    Host,
    /// Nobody's: the session has begun, and it was at hand before. What the host has chosen meanwhile stays.
    Nobody,
}

impl Linked {
    fn is_of(&self, user: Option<&User>) -> bool {
        user.is_some_and(|user| user.id.as_str() == self.workspace.user())
    }
}

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) auth: Auth,
    pub(crate) state_dir: PathBuf,
    pub(crate) folder: Option<PathBuf>,
}

impl Cloud {
    /// A cloud that keeps its state in `state_dir`: the app's own directory, not one that is synced or shared.
    pub fn builder(state_dir: impl Into<PathBuf>) -> CloudBuilder {
        CloudBuilder::new(state_dir.into())
    }

    pub(crate) fn start(parts: Parts) -> Self {
        let Parts { config, auth, state_dir, folder } = parts;
        let cloud = Self(Arc::new(Inner {
            client: auth.client(),
            config,
            auth,
            state_dir,
            folder,
            engine: OnceCell::new(),
            realtime: OnceLock::new(),
            bus: Bus::default(),
            tasks: Tasks::new(),
            linked: Mutex::default(),
            last_folder: Mutex::default(),
            linking: tokio::sync::Mutex::default(),
        }));
        wiring::follow_session(&cloud);
        cloud
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Sign-up, sign-in, sign-out, and who is signed in.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// Tables and functions, as whoever is signed in.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Cloud agents.
    pub fn agents(&self) -> Agents {
        Agents::new(self.0.client.clone())
    }

    /// Models, through the cloud's proxy.
    pub fn ai(&self) -> Ai {
        Ai::new(self.0.client.clone())
    }

    /// Links, workspace state and conversations. Opens the local store at the first call.
    ///
    /// # Errors
    ///
    /// `sync.store_*` when the state directory cannot be used; everything else goes on without it.
    pub async fn sync(&self) -> Result<&Engine, Error> {
        let open = || async {
            let engine = Engine::open(self.0.client.clone(), self.0.state_dir.join("sync.db")).await?;
            wiring::follow_sync(self, &engine);
            Ok(engine)
        };
        self.0.engine.get_or_try_init(open).await
    }

    /// Links `folder` to a cloud workspace for whoever is signed in, and keeps it synced from now on. The link is made all
    /// the same, but not at hand, when somebody else is signed in by the time that the cloud answers.
    ///
    /// # Errors
    ///
    /// `cloud.sign_in_first`, and as [`Engine::link`].
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have made the link; call it again. Either the workspace of before is at hand then or this one,
    /// whole.
    pub async fn link(&self, folder: &Path, workspace_id: &str) -> Result<Workspace, Error> {
        let user = self.user()?;
        let workspace = self.sync().await?.link(folder, user.id.as_str(), workspace_id).await?;
        wiring::keep_synced(self, &workspace, Wish::Host).await;
        Ok(workspace)
    }

    /// The workspace that `folder` is linked to on this machine, for whoever is signed in, kept synced from now on.
    /// No network.
    ///
    /// # Errors
    ///
    /// `cloud.sign_in_first`, and as [`Engine::linked`].
    pub async fn linked(&self, folder: &Path) -> Result<Option<Workspace>, Error> {
        self.linked_as(folder, Wish::Host).await
    }

    pub(crate) async fn linked_as(&self, folder: &Path, wish: Wish) -> Result<Option<Workspace>, Error> {
        let user = self.user()?;
        let found = self.sync().await?.linked(folder, user.id.as_str()).await?;
        if let Some(workspace) = &found {
            wiring::keep_synced(self, workspace, wish).await;
        }
        Ok(found)
    }

    /// Ends the link of the workspace at hand. Nothing in the cloud is deleted. `false` when there is none.
    ///
    /// # Errors
    ///
    /// As [`Workspace::unlink`]; the workspace stays at hand then, and the call can be repeated.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have ended the link; call it again.
    pub async fn unlink(&self) -> Result<bool, Error> {
        let Some(workspace) = self.linked_now(|linked| linked.workspace.clone()) else { return Ok(false) };
        workspace.unlink().await?;
        self.last_folder().take_if(|folder| folder == workspace.folder());
        self.let_go(|linked| linked.workspace == workspace).await;
        Ok(true)
    }

    /// The live connection, for channels of one's own. It opens with the first channel, and goes on by itself from then.
    pub fn realtime(&self) -> Realtime {
        self.0.realtime.get_or_init(|| Realtime::builder(&self.0.client).open()).clone()
    }

    /// The people of the workspace at hand, those who are there first.
    pub fn team(&self) -> Vec<Teammate> {
        self.live(Live::team).unwrap_or_default()
    }

    /// Tells the others where in the workspace this user is. Only the latest counts; it may be called as often as a
    /// cursor moves.
    pub fn set_place(&self, place: Option<Place>) {
        self.live(|live| live.set_place(place));
    }

    /// Tells the others that this user is writing. For every key: what goes out is far less, and ends by itself four
    /// seconds after the last one.
    pub fn typing(&self) {
        self.live(Live::key);
    }

    /// Tells the others that this user has sent what was being written, or has given it up.
    pub fn done_typing(&self) {
        self.live(Live::done_typing);
    }

    /// Sends `payload` to the other devices that are in the workspace right now, as [`LiveEvent::Broadcast`](crate::LiveEvent::Broadcast). Nothing of it
    /// is stored, and nobody who is away gets it.
    ///
    /// # Errors
    ///
    /// `cloud.not_live` without a workspace at hand or with a cloud that has no live channel for it; otherwise as
    /// [`Channel::send`](cloud_realtime::Channel::send).
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have sent it.
    pub async fn broadcast(&self, event: &str, payload: &(impl Serialize + ?Sized + Sync)) -> Result<(), Error> {
        let broadcast = Broadcast::json(event, payload)?;
        let channel = self.live(Live::people).flatten().ok_or_else(|| Error::new(NOT_LIVE))?;
        broadcast.send(&channel).await
    }

    /// How everything stands, for a user interface.
    pub fn status(&self) -> Status {
        let context = self.0.auth.user_context();
        let workspace = self.linked_now(|linked| linked.workspace.clone());
        Status::new(&self.0.auth.status(), context.as_deref(), workspace.as_ref())
    }

    /// Listens to everything that happens from now on.
    pub fn events(&self) -> Listener<CloudEvent> {
        self.0.bus.subscribe()
    }

    /// Stops all background work, each part for at most `limit`, and keeps login, links and whatever was not sent (L2).
    /// `false` when something had to be cut short; that too loses nothing.
    pub async fn close(&self, limit: Duration) -> bool {
        drop(self.at_hand().take());
        let engine = async {
            match self.0.engine.get() {
                Some(engine) => engine.close(limit).await,
                None => true,
            }
        };
        let own = self.0.tasks.close(self.0.client.clock(), limit);
        let live = async {
            match self.0.realtime.get() {
                Some(realtime) => realtime.close(limit).await,
                None => true,
            }
        };
        let (auth, engine, own, live) = tokio::join!(self.0.auth.close(limit), engine, own, live);
        auth && engine && own && live
    }

    pub(crate) fn user(&self) -> Result<User, Error> {
        self.0.auth.status().user().cloned().ok_or_else(|| Error::new(SIGN_IN_FIRST))
    }

    fn live<T>(&self, look: impl FnOnce(&Live) -> T) -> Option<T> {
        self.linked_now(|linked| linked.live.as_ref().map(look)).flatten()
    }

    /// The workspace at hand, unless its user has just gone and it is being let go of.
    fn linked_now<T>(&self, look: impl FnOnce(&Linked) -> T) -> Option<T> {
        let status = self.0.auth.status();
        self.at_hand().as_ref().filter(|linked| linked.is_of(status.user())).map(look)
    }

    fn at_hand(&self) -> MutexGuard<'_, Option<Linked>> {
        self.0.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_folder(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.0.last_folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders whose link is taken up when somebody signs in, the first that has one.
    pub(crate) fn own_folders(&self) -> Vec<PathBuf> {
        let (last, configured) = (self.last_folder().clone(), self.0.folder.clone());
        let configured = configured.filter(|configured| last.as_ref() != Some(configured));
        last.into_iter().chain(configured).collect()
    }

    /// Whether a workspace of whoever is signed in is at hand.
    pub(crate) fn has_linked(&self) -> bool {
        self.linked_now(|_| ()).is_some()
    }

    /// Makes `workspace` the one at hand, synced as `when` says. A task of the cloud does it, to its end also when the
    /// caller goes: a workspace is at hand with all that belongs to it, or not at all.
    pub(crate) async fn set_linked(&self, workspace: Workspace, when: Option<AutoSync>, wish: Wish) {
        let (done, ended) = oneshot::channel::<()>();
        let (cloud, stop) = (self.clone(), self.0.tasks.stop_signal());
        self.0.tasks.spawn(async move {
            stop.run_until_cancelled(cloud.change_linked(workspace, when, wish)).await;
            drop(done);
        });
        let _ = ended.await;
    }

    async fn change_linked(&self, workspace: Workspace, when: Option<AutoSync>, wish: Wish) {
        let _alone = self.0.linking.lock().await;
        // Its user may have gone while it was fetched: what another one has at hand is not touched then (A7). Whoever goes
        // from now on is told of by an event, after which it is let go of.
        let is_present = self.0.auth.status().user().is_some_and(|user| user.id.as_str() == workspace.user());
        if !is_present || (wish == Wish::Nobody && self.has_linked()) {
            return;
        }
        *self.last_folder() = Some(workspace.folder().to_owned());
        let before = self.at_hand().take();
        let is_same = before.as_ref().is_some_and(|linked| linked.workspace == workspace);
        // What follows it live goes on when this very link was at hand before, which no other user's is (A7). Two loops
        // never sync one workspace.
        let before = before.and_then(|Linked { sync, live, .. }| {
            drop(sync);
            live
        });
        let (kept, ending) = if is_same { (before, None) } else { (None, before) };
        let is_live = kept.is_some();
        // At hand first: whoever looks at the status at any event of what begins now finds it there.
        *self.at_hand() = Some(Linked { workspace: workspace.clone(), sync: None, live: kept });
        let sync = when.map(|when| workspace.keep_synced(when));
        // Gone again when the cloud was closed meanwhile; then what begins here ends here.
        if let Some(linked) = self.at_hand().as_mut() {
            linked.sync = sync;
        }
        if let Some(live) = ending {
            live.end(self.0.client.clock()).await;
        }
        if !is_live && self.0.config.live == LiveUpdates::On {
            let live = Live::start(self, &workspace).await;
            if let Some(linked) = self.at_hand().as_mut() {
                linked.live = Some(live);
            }
        }
    }

    /// Lets go of the workspace at hand if it is as `unwanted` says.
    async fn let_go(&self, unwanted: impl FnOnce(&Linked) -> bool) {
        let _alone = self.0.linking.lock().await;
        let linked = self.at_hand().take_if(|linked| unwanted(linked));
        if let Some(linked) = linked {
            self.release(linked).await;
        }
    }

    /// Lets go of the workspace at hand unless it is that of whoever is signed in.
    pub(crate) async fn let_go_of_others(&self) {
        self.let_go(|linked| !linked.is_of(self.0.auth.status().user())).await;
    }

    /// Its sync ends, its channels are left.
    async fn release(&self, linked: Linked) {
        let Linked { workspace: _, sync, live } = linked;
        drop(sync);
        if let Some(live) = live {
            live.end(self.0.client.clock()).await;
        }
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("origin", self.0.client.origin()).finish_non_exhaustive()
    }
}
