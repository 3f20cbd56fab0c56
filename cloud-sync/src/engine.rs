//! The handle: opens the local store, makes and ends links, and hands out [`Workspace`]s.
//!
//! Building does no network. A link is made against the cloud (the workspace must be visible), pointed to by the file in
//! the folder, which does nothing by itself, and then recorded in the store; from then on everything local works without a
//! network.
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloud_client::{Client, Error, events::Listener};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    codes::{ALREADY_LINKED, WORKSPACE_GONE},
    events::SyncEvent,
    link::LinkRecord,
    scope::{Context, Scope, blocking, real_folder},
    store::Store,
    workspace::Workspace,
};

/// Syncs the workspaces of one cloud. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    context: Arc<Context>,
}

/// One workspace as the cloud lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WorkspaceSummary {
    /// The cloud's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The short name in addresses.
    pub slug: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// An open word, such as `idle` or `in_progress`.
    pub status: Option<String>,
    /// What is being worked on.
    pub task_goal: Option<String>,
    /// The step under way.
    pub current_step: Option<String>,
    /// When somebody last worked in it, as the server wrote it.
    pub last_active_at: Option<String>,
}

/// PostgreSQL's word for a text that cannot be what a column holds.
const NO_ID: &str = "22P02";

impl Engine {
    /// Opens the store at `path` (a file in the app's own state directory, never in a workspace). No network.
    ///
    /// # Errors
    ///
    /// `sync.store_busy` when another process uses it, `sync.store_newer`, `sync.disk_full`, `sync.store_failed`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call lets go of the store.
    pub async fn open(client: Client, path: impl Into<PathBuf>) -> Result<Self, Error> {
        let (store, set_aside) = Store::open(path.into()).await?;
        let fresh = client.random().uuid().to_string();
        let replica = store
            .write(move |transaction| {
                transaction.execute("INSERT OR IGNORE INTO meta VALUES ('replica', ?1)", [fresh])?;
                transaction.query_row("SELECT value FROM meta WHERE key = 'replica'", [], |row| row.get(0))
            })
            .await?;
        let context = Context::new(client, store, replica);
        if let Some(path) = set_aside {
            context.bus.send(SyncEvent::StoreSetAside { path: path.display().to_string() });
        }
        Ok(Self { context: Arc::new(context) })
    }

    /// Listens to what happens from now on.
    pub fn events(&self) -> Listener<SyncEvent> {
        self.context.bus.subscribe()
    }

    /// The workspaces of an organisation that whoever is signed in can see, by name. Read page by page: when somebody else
    /// signs in meanwhile, what each of the two can see of their pages is listed.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](cloud_client::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn list_workspaces(&self, organization: &str) -> Result<Vec<WorkspaceSummary>, Error> {
        let columns = ["id", "name", "slug", "description", "status", "task_goal", "current_step", "last_active_at"];
        let mut pages =
            self.context.client.table("workspaces").select(columns).eq("org_id", organization).pages("id", None, 500);
        let mut all: Vec<WorkspaceSummary> = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Makes a workspace in an organisation.
    ///
    /// # Errors
    ///
    /// `api.conflict` when the organisation has one of this name, otherwise as [`Client::send`](cloud_client::Client::send).
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have made it; the list tells.
    pub async fn create_workspace(
        &self,
        organization: &str,
        user: &str,
        name: &str,
    ) -> Result<WorkspaceSummary, Error> {
        let slug: String = name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        // The id is made here, so that a repeat after a lost answer makes no second one, and finds the first.
        let id = self.context.client.random().uuid().to_string();
        let row =
            json!({"id": id, "org_id": organization, "name": name, "slug": slug, "status": "idle", "created_by": user});
        let table = self.context.client.on_behalf_of(user).table("workspaces");
        let made = table.insert(&row).on_conflict(["id"]).ignore_duplicates().fetch::<WorkspaceSummary>(["*"]).await?;
        let made = match made.into_iter().next() {
            None => table.select(["*"]).eq("id", &id).one().await?,
            made => made,
        };
        made.ok_or_else(|| Error::new(WORKSPACE_GONE).during("making a workspace"))
    }

    /// Links `folder` to a cloud workspace for `user`, who is signed in. Making the same link again is no change.
    ///
    /// # Errors
    ///
    /// `sync.workspace_gone` when the user cannot see it, `sync.already_linked` when the folder belongs to another one,
    /// `sync.link_file` when the folder cannot be written, network errors as they are.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have made the link; call it again.
    pub async fn link(&self, folder: &Path, user: &str, workspace_id: &str) -> Result<Workspace, Error> {
        let folder = real_folder(folder).await?;
        let table = self.context.client.on_behalf_of(user).table("workspaces");
        let found = table.select(["id", "name"]).eq("id", workspace_id);
        let seen = match found.one::<WorkspaceSummary>().await {
            // The text is no id of the cloud's at all.
            Err(error) if error.server_code() == Some(NO_ID) => None,
            found => found?,
        };
        let seen = seen.ok_or_else(|| Error::new(WORKSPACE_GONE).during("linking"))?;

        let key = self.key(user, &folder);
        let linked_elsewhere = || Error::new(ALREADY_LINKED).during("linking");
        let (own, id) = (key.clone(), seen.id.clone());
        if self.context.store.read(move |connection| own.holds_other(connection, &id)).await? {
            return Err(linked_elsewhere());
        }

        // The file first: without the record it is inert, so a folder that cannot be written leaves no link behind.
        let now = self.context.now();
        let (target, pointed_to, made) = (folder.clone(), seen.clone(), now.clone());
        blocking(move || {
            let mut record = LinkRecord::read_own(&target, &pointed_to.id)?
                .unwrap_or_else(|| LinkRecord::new(pointed_to.id.clone(), pointed_to.name.clone(), made));
            record.cloud_workspace_name = pointed_to.name;
            record.write(&target)
        })
        .await?;

        let (id, name) = (seen.id.clone(), seen.name.clone());
        let link = self
            .context
            .store
            .write(move |transaction| {
                if key.holds_other(transaction, &id)? {
                    return Ok(None);
                }
                // A link that was ended keeps its outbox and cursors: linking again doubles nothing (O10).
                transaction.query_row(
                    "INSERT INTO links (origin, user_id, workspace_id, workspace_name, folder, active, linked_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
                     ON CONFLICT (origin, user_id, workspace_id)
                     DO UPDATE SET workspace_name = excluded.workspace_name, folder = excluded.folder, active = 1
                     RETURNING id",
                    params![key.origin, key.user, id, name, key.folder, now],
                    |row| row.get::<_, i64>(0).map(Some),
                )
            })
            .await?
            .ok_or_else(linked_elsewhere)?;
        let workspace = self.workspace(link, seen.id, seen.name, user, folder);
        self.context.bus.send(SyncEvent::Linked {
            workspace_id: workspace.id().to_owned(),
            folder: workspace.folder().display().to_string(),
        });
        Ok(workspace)
    }

    /// The workspace that `folder` was linked to on this machine by `user`; `None` when it never was, whatever a link
    /// file in the folder says (C2). No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`, `sync.link_file`.
    pub async fn linked(&self, folder: &Path, user: &str) -> Result<Option<Workspace>, Error> {
        let folder = real_folder(folder).await?;
        let key = self.key(user, &folder);
        let found = self.context
            .store
            .read(move |connection| {
                connection
                    .query_row(
                        "SELECT id, workspace_id, workspace_name FROM links WHERE origin = ?1 AND user_id = ?2 AND folder = ?3 AND active",
                        params![key.origin, key.user, key.folder],
                        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)),
                    )
                    .optional()
            })
            .await?;
        Ok(found.map(|(link, id, name)| self.workspace(link, id, name, user, folder)))
    }

    /// What a link file in `folder` proposes, for a host that wants to ask its user; it does nothing by itself.
    ///
    /// # Errors
    ///
    /// `sync.link_file`.
    pub async fn proposed_link(&self, folder: &Path) -> Result<Option<LinkRecord>, Error> {
        let folder = real_folder(folder).await?;
        blocking(move || LinkRecord::read(&folder)).await
    }

    /// Stops background work, lets go of the store and waits for both, at most `limit` (H1). Nothing is lost: what was not
    /// sent stays stored. What is called later, on any handle, gives `sync.closed`, and the store can be opened again at
    /// once (H4). `false` when something was still running; the store is then left to it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was told to stop stops.
    pub async fn close(&self, limit: Duration) -> bool {
        let clock = self.context.client.clock();
        let close = async {
            let ended = self.context.tasks.close(clock, limit).await;
            if ended {
                self.context.store.close().await;
            }
            ended
        };
        clock.within(limit, close).await.unwrap_or(false)
    }

    fn workspace(&self, link: i64, id: String, name: String, user: &str, folder: PathBuf) -> Workspace {
        Workspace::new(Scope::new(Arc::clone(&self.context), link, id, name, user.to_owned(), folder))
    }

    fn key(&self, user: &str, folder: &Path) -> LinkKey {
        let origin = self.context.client.origin().to_string();
        LinkKey { origin, user: user.to_owned(), folder: folder.display().to_string() }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("origin", self.context.client.origin()).finish_non_exhaustive()
    }
}

/// What a link is looked for by.
#[derive(Clone)]
struct LinkKey {
    origin: String,
    user: String,
    folder: String,
}

impl LinkKey {
    /// Whether the folder is linked to another workspace than `workspace_id`.
    fn holds_other(&self, connection: &Connection, workspace_id: &str) -> rusqlite::Result<bool> {
        connection
            .prepare_cached(
                "SELECT 1 FROM links WHERE origin = ?1 AND user_id = ?2 AND folder = ?3 AND active AND workspace_id <> ?4",
            )?
            .exists(params![self.origin, self.user, self.folder, workspace_id])
    }
}
