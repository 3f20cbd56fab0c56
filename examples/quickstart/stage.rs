//! Where the story is set: the cloud, two devices that are signed in and linked, and how all of it ends.
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use cloud_dev::{CloudDev, Running};
use cloud_sdk::{
    Cloud, Config,
    sync::{Engine, Workspace, link::LINK_FILE_NAME},
};
use tempfile::TempDir;

use crate::{
    args::Args,
    report::{Cause, check, note},
};

/// How long to wait for background work when the program ends.
const CLOSING: Duration = Duration::from_secs(5);

/// Where the story is set: the cloud, two accounts, and whether we may pull its plug.
pub struct Stage {
    pub embedded: Option<Running>,
    pub config: Config,
    pub accounts: [(String, String); 2],
    pub agent: Option<String>,
    pub workspace_id: Option<String>,
}

/// One device: an open cloud, its own state directory, and a linked folder.
pub struct Device {
    pub name: &'static str,
    pub cloud: Cloud,
    pub email: String,
    pub user: String,
    pub folder: PathBuf,
    _home: TempDir,
}

impl Device {
    async fn link(&self, workspace: &str) -> Result<Workspace, Cause> {
        Ok(self.engine().await?.link(&self.folder, &self.user, workspace).await?)
    }

    pub async fn engine(&self) -> Result<&Engine, Cause> {
        Ok(self.cloud.sync().await?)
    }
}

/// Somebody's own folder while the embedded cloud is linked to it. That cloud ends with this program, however that comes:
/// a link file that stayed would point nowhere.
pub struct Borrowed(PathBuf);

impl Borrowed {
    /// `None` for a project, which stays, and for a folder of this program's own.
    pub fn of(args: &Args) -> Option<Self> {
        args.workspace.clone().filter(|_| args.url.is_none()).map(Self)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let file = self.0.join(LINK_FILE_NAME);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                note(format_args!("{} stays: {error}", file.display()))
            }
            _ => {}
        }
    }
}

pub async fn open_stage(args: &Args) -> Result<Stage, Cause> {
    if let (Some(url), Some(key), Some(email), Some(password)) = (&args.url, &args.key, &args.email, &args.password) {
        let config = Config::new(url.as_str(), key.as_str());
        config.check()?;
        note(format_args!("{url}"));
        let own = (email.clone(), password.clone());
        let other = match (&args.second_email, &args.second_password) {
            (Some(email), Some(password)) => (email.clone(), password.clone()),
            _ => own.clone(),
        };
        return Ok(Stage { embedded: None, config, accounts: [own, other], agent: None, workspace_id: None });
    }
    let cloud = CloudDev::builder().start().await.map_err(|error| Cause::Check(error.to_string()))?;
    note(format_args!("{}, in memory, for this machine only", cloud.url()));
    let config = Config::new(cloud.url(), cloud.publishable_key());
    let demo = cloud.demo();
    let accounts = demo.people.each_ref().map(|person| (person.email.clone(), person.password.clone()));
    let (agent, workspace_id) = (Some(demo.agent_slug.clone()), Some(demo.workspace_id.clone()));
    Ok(Stage { config, accounts, agent, workspace_id, embedded: Some(cloud) })
}

pub async fn sign_in(args: &Args, stage: &Stage) -> Result<(Device, Device), Cause> {
    let [one, two] = &stage.accounts;
    let first = open_device("laptop", stage, one, args.workspace.clone()).await?;
    let second = open_device("desktop", stage, two, None).await?;
    check(
        first.cloud.status().logged_in && second.cloud.status().logged_in,
        "the status does not say that somebody is signed in",
    )?;
    Ok((first, second))
}

async fn open_device(
    name: &'static str,
    stage: &Stage,
    account: &(String, String),
    folder: Option<PathBuf>,
) -> Result<Device, Cause> {
    let home = tempfile::tempdir()?;
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let folder = home.path().join("project");
            std::fs::create_dir(&folder)?;
            folder
        }
    };
    let opened = Cloud::builder(home.path().join("state")).config(stage.config.clone()).open().await?;
    let cloud = opened.ok_or_else(|| Cause::Check("the cloud is not configured".into()))?;
    let (email, password) = account.clone();
    let user = cloud.auth().sign_in_with_password(&email, password.into()).await?;
    let context = cloud.auth().load_context().await?;
    let role = context.active().map(|membership| membership.role.clone()).unwrap_or_else(|| "no organisation".into());
    let organization =
        context.active_organization().and_then(|organization| organization.name.clone()).unwrap_or_default();
    note(format_args!("{name}: {email} ({role} {organization})"));
    Ok(Device { name, cloud, email, user: user.id.as_str().to_owned(), folder, _home: home })
}

pub async fn link(stage: &Stage, first: &Device, second: &Device) -> Result<(Workspace, Workspace), Cause> {
    let id = match &stage.workspace_id {
        Some(id) => id.clone(),
        None => own_workspace(first).await?,
    };
    let (one, two) = (first.link(&id).await?, second.link(&id).await?);
    // Whatever the workspace holds already comes first.
    for workspace in [&one, &two] {
        workspace.sync().await?;
    }
    let file = first.folder.join(LINK_FILE_NAME);
    check(file.is_file(), "the link file was not written")?;
    note(format_args!("{} points to workspace {id}", file.display()));
    Ok((one, two))
}

/// The workspace "quickstart" of the account's active organisation, made if there is none.
async fn own_workspace(device: &Device) -> Result<String, Cause> {
    let context = device.cloud.auth().user_context();
    let organization =
        context.as_ref().and_then(|context| context.active()).map(|membership| membership.org_id.as_str().to_owned());
    let organization =
        organization.ok_or_else(|| Cause::Check(format!("{} belongs to no organisation", device.email)))?;
    let engine = device.engine().await?;
    let known = engine.list_workspaces(&organization).await?;
    match known.into_iter().find(|workspace| workspace.name == "quickstart") {
        Some(workspace) => Ok(workspace.id),
        None => Ok(engine.create_workspace(&organization, &device.user, "quickstart").await?.id),
    }
}

pub async fn close(stage: Stage, devices: [&Device; 2]) -> Result<(), Cause> {
    for device in devices {
        check(device.cloud.close(CLOSING).await, format!("the {} did not stop in time", device.name))?;
        check(keeps_login(device).await?, format!("the {} would not be signed in at the next start", device.name))?;
    }
    if let Some(cloud) = stage.embedded {
        cloud.shutdown().await;
    }
    Ok(())
}

/// Starts the device once more, from its files alone.
async fn keeps_login(device: &Device) -> Result<bool, Cause> {
    let state: &Path = &device._home.path().join("state");
    let opened = Cloud::builder(state).config(device.cloud.config().clone()).open().await?;
    let cloud = opened.ok_or_else(|| Cause::Check("the cloud is not configured".into()))?;
    let signed_in = cloud.auth().settled().await.is_signed_in();
    cloud.close(CLOSING).await;
    Ok(signed_in)
}
