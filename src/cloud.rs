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
use tokio::sync::OnceCell;

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
    /// Held while the workspace at hand becomes another one.
    linking: tokio::sync::Mutex<()>,
}

/// The workspace at hand. Dropping it ends its automatic sync.
pub(crate) struct Linked {
    workspace: Workspace,
    sync: Option<StopSync>,
    live: Option<Live>,
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

    /// Links `folder` to a cloud workspace for whoever is signed in, and keeps it synced from now on.
    ///
    /// # Errors
    ///
    /// `cloud.sign_in_first`, and as [`Engine::link`].
    pub async fn link(&self, folder: &Path, workspace_id: &str) -> Result<Workspace, Error> {
        let user = self.user()?;
        let workspace = self.sync().await?.link(folder, user.id.as_str(), workspace_id).await?;
        wiring::keep_synced(self, &workspace).await;
        Ok(workspace)
    }

    /// The workspace that `folder` is linked to on this machine, for whoever is signed in, kept synced from now on.
    /// No network.
    ///
    /// # Errors
    ///
    /// `cloud.sign_in_first`, and as [`Engine::linked`].
    pub async fn linked(&self, folder: &Path) -> Result<Option<Workspace>, Error> {
        let user = self.user()?;
        let found = self.sync().await?.linked(folder, user.id.as_str()).await?;
        if let Some(workspace) = &found {
            wiring::keep_synced(self, workspace).await;
        }
        Ok(found)
    }

    /// Ends the link of the workspace at hand. Nothing in the cloud is deleted. `false` when there is none.
    ///
    /// # Errors
    ///
    /// As [`Workspace::unlink`].
    pub async fn unlink(&self) -> Result<bool, Error> {
        let Some(workspace) = self.let_go().await else { return Ok(false) };
        workspace.unlink().await?;
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

    /// Makes `workspace` the one at hand, synced as `when` says. What follows it live goes on when it was at hand before.
    pub(crate) async fn set_linked(&self, workspace: Workspace, when: Option<AutoSync>) {
        let _alone = self.0.linking.lock().await;
        let before = self.at_hand().take();
        let live = match before {
            Some(Linked { workspace: same, live: Some(live), .. }) if same.id() == workspace.id() => Some(live),
            Some(Linked { live: Some(live), .. }) => {
                live.end(self.0.client.clock()).await;
                None
            }
            _ => None,
        };
        // At hand first: whoever looks at the status at any event of what begins now finds it there.
        *self.at_hand() = Some(Linked { workspace: workspace.clone(), sync: None, live: None });
        let sync = when.map(|when| workspace.keep_synced(when));
        let live = match (live, self.0.config.live) {
            (Some(live), _) => Some(live),
            (None, LiveUpdates::On) => Some(Live::start(self, &workspace).await),
            (None, LiveUpdates::Off) => None,
        };
        // Gone again when the cloud was closed meanwhile; then both end here.
        if let Some(linked) = self.at_hand().as_mut() {
            (linked.sync, linked.live) = (sync, live);
        }
    }

    /// Lets go of the workspace at hand.
    async fn let_go(&self) -> Option<Workspace> {
        let _alone = self.0.linking.lock().await;
        let linked = self.at_hand().take()?;
        Some(self.release(linked).await)
    }

    /// Lets go of the workspace at hand unless it is that of whoever is signed in.
    pub(crate) async fn let_go_of_others(&self) {
        let _alone = self.0.linking.lock().await;
        let status = self.0.auth.status();
        let linked = self.at_hand().take_if(|linked| !linked.is_of(status.user()));
        if let Some(linked) = linked {
            self.release(linked).await;
        }
    }

    /// Its sync ends, its channels are left.
    async fn release(&self, linked: Linked) -> Workspace {
        let Linked { workspace, sync, live } = linked;
        drop(sync);
        if let Some(live) = live {
            live.end(self.0.client.clock()).await;
        }
        workspace
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("origin", self.0.client.origin()).finish_non_exhaustive()
    }
}
