//! Which conversations a workspace has: those known here, those with something to do, and those that the cloud lists.
//!
//! the cloud's list → [`adopt`] → rows of the store; rows → [`Conversation`]s. No network.
use cloud_client::Error;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{CloudConversation, Conversation, Progress, local::NAME_LIMIT};
use crate::{link::ConversationLink, scope::Scope};

/// All conversations of a workspace known here.
pub(crate) async fn known(scope: &Scope) -> Result<Vec<Conversation>, Error> {
    let link = scope.link;
    let rows: Vec<(i64, String)> = scope
        .read(move |connection| {
            connection
                .prepare_cached("SELECT id, name FROM conversations WHERE link = ?1 ORDER BY name")?
                .query_map([link], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await?;
    Ok(rows.into_iter().map(|(row, name)| Conversation { scope: scope.clone(), row, name }).collect())
}

/// The conversation that the cloud knows by this id, if it is known here.
pub(crate) async fn by_cloud_id(scope: &Scope, cloud_id: &str) -> Result<Option<Conversation>, Error> {
    let (link, cloud_id) = (scope.link, cloud_id.to_owned());
    let found: Option<(i64, String)> = scope
        .read(move |connection| {
            connection
                .prepare_cached("SELECT id, name FROM conversations WHERE link = ?1 AND cloud_id = ?2")?
                .query_row(params![link, cloud_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .await?;
    Ok(found.map(|(row, name)| Conversation { scope: scope.clone(), row, name }))
}

/// The conversations that a sync has something to do for: messages wait here, or the cloud has come further.
pub(crate) async fn with_work(scope: &Scope, progress: Progress) -> Result<Vec<Conversation>, Error> {
    let link = scope.link;
    let rows: Vec<(i64, String)> = scope
        .read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, cloud_id, cursor,
                        EXISTS (SELECT 1 FROM messages m WHERE m.conversation = c.id AND m.state = 'pending')
                 FROM conversations c WHERE link = ?1 ORDER BY name",
            )?;
            let mut rows = statement.query([link])?;
            let mut busy = Vec::new();
            while let Some(row) = rows.next()? {
                let (cloud_id, cursor): (Option<String>, i64) = (row.get(2)?, row.get(3)?);
                let there = cloud_id.as_ref().zip(progress.as_ref()).and_then(|(id, progress)| progress.get(id));
                // What the cloud does not tell about is looked at.
                let news = cloud_id.is_some() && there.is_none_or(|there| *there > cursor);
                if news || row.get(4)? {
                    busy.push((row.get(0)?, row.get(1)?));
                }
            }
            Ok(busy)
        })
        .await?;
    Ok(rows.into_iter().map(|(row, name)| Conversation { scope: scope.clone(), row, name }).collect())
}

/// The conversations in which messages wait.
pub(crate) async fn with_waiting(scope: &Scope) -> Result<Vec<Conversation>, Error> {
    let link = scope.link;
    let rows: Vec<(i64, String)> = scope
        .read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT id, name FROM conversations c WHERE link = ?1
                        AND EXISTS (SELECT 1 FROM messages m WHERE m.conversation = c.id AND m.state = 'pending')
                     ORDER BY name",
                )?
                .query_map([link], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await?;
    Ok(rows.into_iter().map(|(row, name)| Conversation { scope: scope.clone(), row, name }).collect())
}

/// Takes up conversations that the cloud lists, oldest first: under their name where it is free or waits for one, else under
/// a name of their own.
pub(super) async fn adopt(scope: &Scope, found: Vec<CloudConversation>) -> Result<(), Error> {
    let link = scope.link;
    scope
        .write(move |transaction| {
            for CloudConversation { id, name, .. } in found {
                let seen = transaction
                    .prepare_cached("SELECT 1 FROM conversations WHERE link = ?1 AND cloud_id = ?2")?
                    .exists(params![link, id])?;
                if seen {
                    continue;
                }
                // Opened here under this very name, and not matched before: this is the oldest of the name.
                let matched = transaction
                    .prepare_cached(
                        "UPDATE conversations SET cloud_id = ?3 WHERE link = ?1 AND name = ?2 AND cloud_id IS NULL",
                    )?
                    .execute(params![link, name, id])?;
                if matched == 1 {
                    continue;
                }
                let name: String =
                    name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
                let name = if name.is_empty() { "conversation".to_owned() } else { name };
                let taken = transaction
                    .prepare_cached("SELECT 1 FROM conversations WHERE link = ?1 AND name = ?2")?
                    .exists(params![link, name])?;
                let beside = |length| -> String {
                    let tail: String = id.chars().take(length).collect();
                    name.chars().take(NAME_LIMIT - 1 - length).chain(['~']).chain(tail.chars()).collect()
                };
                let candidates = if taken { vec![beside(8), beside(36)] } else { vec![name] };
                for candidate in candidates {
                    let added = transaction
                        .prepare_cached(
                            "INSERT OR IGNORE INTO conversations (link, name, cloud_id) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![link, candidate, id])?;
                    if added == 1 {
                        break;
                    }
                }
            }
            Ok(())
        })
        .await
}

/// What the link file shows of each conversation.
pub(crate) fn link_entries(connection: &Connection, link: i64) -> rusqlite::Result<Vec<(String, ConversationLink)>> {
    connection
        .prepare_cached(
            "SELECT name, cloud_id,
                    (SELECT id FROM messages WHERE conversation = c.id AND state = 'sent' ORDER BY seq DESC LIMIT 1),
                    (SELECT created_at FROM messages WHERE conversation = c.id AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1)
             FROM conversations c WHERE link = ?1 AND cloud_id IS NOT NULL",
        )?
        .query_map([link], |row| {
            let entry = ConversationLink {
                cloud_conv_id: row.get(1)?,
                last_local_message_id: row.get(2)?,
                last_cloud_message_at: row.get(3)?,
                ..ConversationLink::default()
            };
            Ok((row.get(0)?, entry))
        })?
        .collect()
}
