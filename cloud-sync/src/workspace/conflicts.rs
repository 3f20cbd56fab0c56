//! The conflict log: what was set here and did not stand, kept until somebody settles it.
//!
//! merge → [`log`], in the commit that drops the local change (W4, W5) → [`Workspace::conflicts`] →
//! [`Workspace::settle_conflict`], which may set the local value again.
use cloud_client::Error;
use rusqlite::{Transaction, params};
use serde::Serialize;
use serde_json::Value;

use super::{
    Workspace,
    merge::Clash,
    state::{json, put_change},
};

/// An entry of the conflict log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Conflict {
    /// Its number.
    pub id: i64,
    /// The field.
    pub field: String,
    /// What was set here.
    pub local_value: Value,
    /// What the cloud holds.
    pub cloud_value: Value,
    /// When it was noticed, by this device's clock (RFC 3339).
    pub noticed_at: String,
}

/// Which value of a conflict should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a conflict has two sides")]
pub enum Choice {
    /// The one set here.
    Local,
    /// The one the cloud holds.
    Cloud,
}

impl Workspace {
    /// The conflict log, newest first. Entries stay until they are settled.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>, Error> {
        let link = self.scope.link;
        self.scope
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT id, field, local_value, cloud_value, noticed_at FROM conflicts
                         WHERE link = ?1 AND NOT settled ORDER BY id DESC",
                    )?
                    .query_map([link], |row| {
                        Ok(Conflict {
                            id: row.get(0)?,
                            field: row.get(1)?,
                            local_value: json(&row.get::<_, String>(2)?),
                            cloud_value: json(&row.get::<_, String>(3)?),
                            noticed_at: row.get(4)?,
                        })
                    })?
                    .collect()
            })
            .await
    }

    /// Takes a conflict off the log; with [`Choice::Local`] its local value is set again and goes out with the next push.
    /// `false` when there is no such entry.
    ///
    /// # Errors
    ///
    /// `sync.store_failed`.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have settled it, whole.
    pub async fn settle_conflict(&self, conflict: i64, choice: Choice) -> Result<bool, Error> {
        let link = self.scope.link;
        let settled = self.scope.write(move |transaction| {
                let found = transaction
                    .prepare_cached(
                        "UPDATE conflicts SET settled = 1 WHERE id = ?1 AND link = ?2 AND NOT settled RETURNING field, local_value",
                    )?
                    .query_map(params![conflict, link], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                if let (Choice::Local, Some((field, value))) = (choice, found.first()) {
                    put_change(transaction, link, field, &json(value))?;
                }
                Ok(!found.is_empty())
            })
            .await?;
        if settled && choice == Choice::Local {
            self.scope.cell().changed.notify_one();
        }
        Ok(settled)
    }
}

/// Writes a clash down.
pub(super) fn log(transaction: &Transaction<'_>, link: i64, clash: Clash, now: &str) -> rusqlite::Result<Conflict> {
    let Clash { field, local, cloud } = clash;
    transaction
        .prepare_cached(
            "INSERT INTO conflicts (link, field, local_value, cloud_value, noticed_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![link, field, local.to_string(), cloud.to_string(), now])?;
    Ok(Conflict {
        id: transaction.last_insert_rowid(),
        field,
        local_value: local,
        cloud_value: cloud,
        noticed_at: now.to_owned(),
    })
}
