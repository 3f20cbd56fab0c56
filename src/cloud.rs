//! The handle that holds the parts together: opens them, says how they stand, closes them without signing out.
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloud_agents::{Agents, Ai};
use cloud_auth::{Auth, status::User};
use cloud_client::{
    Client, Error, ErrorCode, ErrorKind,
    events::{Bus, Listener},
    tasks::Tasks,
};
use cloud_sync::{Engine, Workspace, workspace::StopSync};
use tokio::sync::OnceCell;

use crate::{CloudBuilder, CloudEvent, Config, Status, wiring};

/// Nobody is signed in, and the call needs somebody.
pub(crate) const SIGN_IN_FIRST: ErrorCode =
    ErrorCode::new("cloud.sign_in_first", ErrorKind::Unauthenticated, "Nobody is signed in", "Sign in, then repeat.");

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
    pub(crate) bus: Bus<CloudEvent>,
    pub(crate) tasks: Tasks,
    linked: Mutex<Option<Linked>>,
}

/// The workspace at hand. Dropping it ends its automatic sync.
pub(crate) struct Linked {
    workspace: Workspace,
    _sync: Option<StopSync>,
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
            bus: Bus::default(),
            tasks: Tasks::new(),
            linked: Mutex::default(),
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
        let Some(workspace) = self.take_linked() else { return Ok(false) };
        workspace.unlink().await?;
        Ok(true)
    }

    /// How everything stands, for a user interface.
    pub fn status(&self) -> Status {
        let context = self.0.auth.user_context();
        let linked = self.at_hand();
        Status::new(&self.0.auth.status(), context.as_deref(), linked.as_ref().map(|linked| &linked.workspace))
    }

    /// Listens to everything that happens from now on.
    pub fn events(&self) -> Listener<CloudEvent> {
        self.0.bus.subscribe()
    }

    /// Stops all background work, each part for at most `limit`, and keeps login, links and whatever was not sent (L2).
    /// `false` when something had to be cut short; that too loses nothing.
    pub async fn close(&self, limit: Duration) -> bool {
        drop(self.take_linked());
        let engine = async {
            match self.0.engine.get() {
                Some(engine) => engine.close(limit).await,
                None => true,
            }
        };
        let own = self.0.tasks.close(self.0.client.clock(), limit);
        let (auth, engine, own) = tokio::join!(self.0.auth.close(limit), engine, own);
        auth && engine && own
    }

    fn user(&self) -> Result<User, Error> {
        self.0.auth.status().user().cloned().ok_or_else(|| Error::new(SIGN_IN_FIRST))
    }

    fn at_hand(&self) -> MutexGuard<'_, Option<Linked>> {
        self.0.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `workspace` the one at hand; the sync of the one before ends.
    pub(crate) fn set_linked(&self, workspace: Workspace, sync: Option<StopSync>) {
        *self.at_hand() = Some(Linked { workspace, _sync: sync });
    }

    /// Lets go of the workspace at hand; its sync ends.
    pub(crate) fn take_linked(&self) -> Option<Workspace> {
        self.at_hand().take().map(|linked| linked.workspace)
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("origin", self.0.client.origin()).finish_non_exhaustive()
    }
}
