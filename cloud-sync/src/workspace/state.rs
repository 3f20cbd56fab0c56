//! The state of a workspace: local edits, the conditional push, the pull.
//!
//! edit → `changes` (durable) → `PATCH … updated_at=eq.<version last read>` → row → base, in one commit. No row back
//! means that somebody else wrote, or that the last answer was lost: read, merge three ways, try again (W1). The
//! version is opaque text and compared for equality only (W3). A conflict is in the log, with both values, in the same
//! commit that drops the local change, and only then told (W4).
//! Wire source: "Cloud Integration Design", sections 3.4 and 7.3.
use std::collections::BTreeMap;

use cloud_client::{Error, rest::Filter};
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Conflict, Workspace,
    conflicts::log,
    merge::{Change, Changes, FIELDS, Merged, merge, synced_fields},
};
use crate::{
    codes::{BAD_VALUE, CONTENDED, READ_ONLY, UNKNOWN_FIELD, WORKSPACE_GONE},
    events::SyncEvent,
};

/// How often a push meets somebody else's write before it leaves the rest to the next sync.
const ROUNDS: usize = 5;

/// The fields of a workspace as this device sees them: what was last read, with local changes on top.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WorkspaceState {
    /// All known fields.
    pub fields: Map<String, Value>,
    /// The fields with changes that the cloud has not confirmed.
    pub unsent: Vec<String>,
    /// Whether the cloud's state was ever read here.
    pub known: bool,
}

/// What a push or pull of the state did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pushed {
    /// Fields that went to the cloud.
    pub fields: Vec<String>,
    /// Fields that are different here now.
    pub pulled: Vec<String>,
    /// Fields changed on both sides, the cloud's value standing.
    pub conflicts: Vec<Conflict>,
}

/// What the store knows of the state.
struct Stored {
    base: Option<Map<String, Value>>,
    version: Option<String>,
    changes: Changes,
}

impl Workspace {
    /// Changes one field. Durable when it returns; sent with the next push. No network.
    ///
    /// # Errors
    ///
    /// `sync.unknown_field` for anything but the six fields that sync, `sync.bad_value` for a value that does not fit,
    /// `sync.disk_full`, `sync.store_failed`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have stored the change.
    pub async fn set(&self, field: &str, value: impl Into<Value>) -> Result<(), Error> {
        self.set_all([(field.to_owned(), value.into())].into_iter().collect()).await
    }

    /// Changes several fields at once; fields that are not given stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Workspace::set`]; nothing is changed then.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have stored the changes, all or none.
    pub async fn set_all(&self, values: Map<String, Value>) -> Result<(), Error> {
        if let Some(unknown) = values.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            return Err(Error::new(UNKNOWN_FIELD).during("changing the workspace").with_detail(unknown));
        }
        if let Some((field, _)) = values.iter().find(|(field, value)| !fits(field, value)) {
            return Err(Error::new(BAD_VALUE).during("changing the workspace").with_detail(field));
        }
        let link = self.scope.link;
        self.scope
            .write(move |transaction| {
                let stored = read(transaction, link)?;
                for (field, value) in values {
                    let unchanged = stored.base.as_ref().is_some_and(|base| base.get(&field) == Some(&value));
                    let may_have_arrived =
                        stored.changes.get(&field).is_some_and(|change| !change.attempted.is_empty());
                    if unchanged && !may_have_arrived {
                        // Back to what the cloud holds: nothing to send.
                        transaction
                            .execute("DELETE FROM changes WHERE link = ?1 AND field = ?2", params![link, field])?;
                    } else {
                        put_change(transaction, link, &field, &value)?;
                    }
                }
                Ok(())
            })
            .await?;
        self.scope.cell().changed.notify_one();
        Ok(())
    }

    /// The state as this device sees it. No network.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn state(&self) -> Result<WorkspaceState, Error> {
        let Stored { base, changes, .. } = self.stored().await?;
        let known = base.is_some();
        let mut fields = base.unwrap_or_default();
        let unsent = changes.keys().cloned().collect();
        fields.extend(changes.into_iter().map(|(field, change)| (field, change.local)));
        Ok(WorkspaceState { fields, unsent, known })
    }

    /// Pushes until the cloud has everything, or, with `pull`, at least reads once.
    pub(super) async fn exchange_state(&self, pull: bool) -> Result<Pushed, Error> {
        let mut done = Pushed::default();
        let mut read_once = !pull;
        for _ in 0..ROUNDS {
            let stored = self.stored().await?;
            let (Some(version), false) = (stored.version, stored.changes.is_empty()) else {
                if read_once && stored.changes.is_empty() {
                    return Ok(done);
                }
                read_once = true;
                absorb(&mut done, self.pull_state().await?);
                continue;
            };
            let sent: BTreeMap<String, Value> =
                stored.changes.into_iter().map(|(field, change)| (field, change.local)).collect();
            self.attempt(sent.clone()).await?;
            let mut body: Map<String, Value> = sent.clone().into_iter().collect();
            body.insert("last_active_at".into(), self.scope.context.now().into());
            let table = self.scope.table("workspaces");
            let conditional = table.update(&body).eq("id", self.id()).filter(Filter::eq("updated_at", &version));
            // The condition makes a repeat harmless: once it was carried out, the version is another.
            let rows: Vec<Map<String, Value>> = conditional.repeatable().fetch(["*"]).await?;
            if let Some(row) = rows.into_iter().next() {
                done.fields.extend(sent.keys().cloned());
                self.confirm(row, sent).await?;
                read_once = true;
                continue;
            }
            let pulled = self.pull_state().await?;
            if self.stored().await?.version.as_ref() == Some(&version) {
                // Still the version that the write named, and yet no row: row security hides it from writes.
                return Err(Error::new(READ_ONLY).during("pushing the workspace"));
            }
            read_once = true;
            absorb(&mut done, pulled);
        }
        if self.stored().await?.changes.is_empty() {
            Ok(done)
        } else {
            Err(Error::new(CONTENDED).during("pushing the workspace"))
        }
    }

    /// Reads the row and merges it in one commit.
    pub(super) async fn pull_state(&self) -> Result<Pushed, Error> {
        let query = self.scope.table("workspaces").select(["*"]).eq("id", self.id());
        let row = query.one::<Map<String, Value>>().await?;
        let row = row.ok_or_else(|| Error::new(WORKSPACE_GONE).during("pulling the workspace"))?;
        let (link, now) = (self.scope.link, self.scope.context.now());
        let (pulled, conflicts) = self
            .scope
            .write(move |transaction| {
                let stored = read(transaction, link)?;
                if stored.base.is_some() && stored.version.as_deref().is_some_and(|known| version(&row) == Some(known))
                {
                    // Nobody wrote. What was sent without an answer may be on its way still, and stays noted.
                    return Ok((Vec::new(), Vec::new()));
                }
                let cloud = synced_fields(&row);
                let merged = merge(stored.base.as_ref(), &stored.changes, &cloud);
                let base = stored.base.unwrap_or_default();
                let differs = |field: &&&str| cloud.get(**field).is_some_and(|value| base.get(**field) != Some(value));
                let pulled: Vec<String> = FIELDS.iter().filter(differs).map(|field| (*field).to_owned()).collect();
                put_base(transaction, link, &row)?;
                replace_changes(transaction, link, &merged)?;
                let conflicts = merged
                    .clashes
                    .into_iter()
                    .map(|clash| log(transaction, link, clash, &now))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok((pulled, conflicts))
            })
            .await?;
        if !pulled.is_empty() {
            self.scope.tell(SyncEvent::Pulled { workspace_id: self.id().to_owned(), fields: pulled.clone() });
        }
        for conflict in &conflicts {
            self.scope.tell(SyncEvent::Conflict {
                workspace_id: self.id().to_owned(),
                conflict: conflict.id,
                field: conflict.field.clone(),
                local_value: conflict.local_value.clone(),
                cloud_value: conflict.cloud_value.clone(),
            });
        }
        Ok(Pushed { fields: Vec::new(), pulled, conflicts })
    }

    /// Notes what is about to be sent: should its answer be lost, the cloud's copy of it is no stranger's change.
    async fn attempt(&self, sent: BTreeMap<String, Value>) -> Result<(), Error> {
        let link = self.scope.link;
        self.scope
            .write(move |transaction| {
                let stored = read(transaction, link)?;
                for (field, value) in sent {
                    let mut attempted =
                        stored.changes.get(&field).map(|change| change.attempted.clone()).unwrap_or_default();
                    if !attempted.contains(&value) {
                        attempted.push(value);
                        transaction
                            .prepare_cached("UPDATE changes SET attempted = ?3 WHERE link = ?1 AND field = ?2")?
                            .execute(params![link, field, Value::from(attempted).to_string()])?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// The cloud took `sent` and answered with `row`. A field that was changed again meanwhile stays unsent.
    async fn confirm(&self, row: Map<String, Value>, sent: BTreeMap<String, Value>) -> Result<(), Error> {
        let link = self.scope.link;
        let fields: Vec<String> = sent.keys().cloned().collect();
        self.scope
            .write(move |transaction| {
                put_base(transaction, link, &row)?;
                for (field, value) in &sent {
                    transaction.execute(
                        "DELETE FROM changes WHERE link = ?1 AND field = ?2 AND value = ?3",
                        params![link, field, value.to_string()],
                    )?;
                }
                // On the new base nothing else is under way.
                transaction.execute("UPDATE changes SET attempted = '[]' WHERE link = ?1", [link])?;
                Ok(())
            })
            .await?;
        self.scope.tell(SyncEvent::Pushed { workspace_id: self.id().to_owned(), fields });
        Ok(())
    }

    async fn stored(&self) -> Result<Stored, Error> {
        let link = self.scope.link;
        self.scope.read(move |connection| read(connection, link)).await
    }
}

fn absorb(done: &mut Pushed, pulled: Pushed) {
    done.pulled.extend(pulled.pulled);
    done.conflicts.extend(pulled.conflicts);
}

/// Whether the cloud's column can hold the value.
fn fits(field: &str, value: &Value) -> bool {
    let kind = match field {
        "task_goal" | "current_step" | "status" => value.is_string() || value.is_null(),
        "next_steps" => value.is_array() || value.is_null(),
        _ => true,
    };
    kind && !holds_nul(value)
}

/// PostgreSQL has no place for NUL in a text, nor in the JSON it stores.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What was written by this file is JSON; anything else counts as absent.
pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn read(connection: &Connection, link: i64) -> rusqlite::Result<Stored> {
    let (base, version) = connection
        .prepare_cached("SELECT base, base_version FROM links WHERE id = ?1")?
        .query_row([link], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let changes = connection
        .prepare_cached("SELECT field, value, attempted FROM changes WHERE link = ?1")?
        .query_map([link], |row| {
            let attempted = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
            Ok((row.get::<_, String>(0)?, Change { local: json(&row.get::<_, String>(1)?), attempted }))
        })?
        .collect::<rusqlite::Result<Changes>>()?;
    Ok(Stored { base: base.and_then(|text| serde_json::from_str(&text).ok()), version, changes })
}

/// The version of a row: opaque, and only ever equal or not (W3).
fn version(row: &Map<String, Value>) -> Option<&str> {
    row.get("updated_at").and_then(Value::as_str)
}

fn put_base(transaction: &Transaction<'_>, link: i64, row: &Map<String, Value>) -> rusqlite::Result<()> {
    let version = version(row);
    let base = Value::from(synced_fields(row)).to_string();
    transaction
        .prepare_cached("UPDATE links SET base = ?2, base_version = ?3 WHERE id = ?1")?
        .execute(params![link, base, version])?;
    Ok(())
}

pub(super) fn put_change(transaction: &Transaction<'_>, link: i64, field: &str, value: &Value) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO changes (link, field, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (link, field) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![link, field, value.to_string()])?;
    Ok(())
}

fn replace_changes(transaction: &Transaction<'_>, link: i64, merged: &Merged) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM changes WHERE link = ?1")?.execute([link])?;
    merged.changes.iter().try_for_each(|(field, change)| put_change(transaction, link, field, &change.local))
}
