//! What a person may do in a private channel.
//!
//! The first rule whose prefix fits decides. Without one, the ids in the topic's name do: a member of every
//! organisation, workspace and conversation they name may do everything, a viewer may listen, anybody else may do
//! nothing. A name without such an id has the default. Nobody signed in may do nothing.
//! Wire source: policies on `realtime.messages` of a Supabase project, which each project writes itself.

use rusqlite::{Connection, OptionalExtension as _};

use super::options::TopicAccess;
use crate::{
    cloud::Cloud,
    core::{Identity, Role},
};

/// Ids that are looked up in one name.
const MAX_IDS: usize = 8;

/// The two rights of a private channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl From<TopicAccess> for Rights {
    fn from(access: TopicAccess) -> Self {
        Self { read: access != TopicAccess::Nothing, write: access == TopicAccess::ReadWrite }
    }
}

/// What a channel hears that may not be read.
pub(crate) fn denied(topic: &str) -> String {
    format!("You do not have permissions to read from this Channel topic: {topic}")
}

/// The rights of `identity` in the private channel called `topic`.
pub(crate) async fn of(cloud: &Cloud, identity: &Identity, topic: &str) -> Rights {
    let options = &cloud.realtime.options;
    let user = match (identity.role, &identity.user_id) {
        (Role::Service, _) => return TopicAccess::ReadWrite.into(),
        (Role::Authenticated, Some(user)) => user.clone(),
        _ => return TopicAccess::Nothing.into(),
    };
    if let Some((_, access)) = options.topic_rules.iter().find(|(prefix, _)| topic.starts_with(prefix.as_str())) {
        return (*access).into();
    }
    let (ids, default) = (ids(topic), options.private_default);
    if ids.is_empty() {
        return default.into();
    }
    let membership = cloud.db.call(move |conn| membership(conn, &ids, &user)).await;
    match membership {
        Ok(access) => access.unwrap_or(default).into(),
        Err(_) => TopicAccess::Nothing.into(),
    }
}

/// What the ids say together; `None` when none of them is known.
fn membership(conn: &Connection, ids: &[String], user: &str) -> rusqlite::Result<Option<TopicAccess>> {
    let mut together = None;
    for id in ids {
        let organisation: Option<String> = conn
            .query_row(
                "SELECT id FROM organizations WHERE id = ?1
                 UNION ALL SELECT org_id FROM workspaces WHERE id = ?1
                 UNION ALL SELECT w.org_id FROM conversations c JOIN workspaces w ON w.id = c.workspace_id WHERE c.id = ?1",
                [id],
                |row| row.get(0),
            )
            .optional()?;
        let Some(organisation) = organisation else { continue };
        let role: Option<String> = conn
            .query_row(
                "SELECT role FROM org_memberships WHERE org_id = ?1 AND user_id = ?2",
                [&organisation, user],
                |row| row.get(0),
            )
            .optional()?;
        let access = match role.as_deref() {
            None => TopicAccess::Nothing,
            Some("viewer") => TopicAccess::Read,
            Some(_) => TopicAccess::ReadWrite,
        };
        together = Some(match (together, access) {
            (None | Some(TopicAccess::ReadWrite), access) => access,
            (Some(TopicAccess::Read), TopicAccess::ReadWrite) => TopicAccess::Read,
            (Some(TopicAccess::Nothing), _) => TopicAccess::Nothing,
            (Some(_), access) => access,
        });
    }
    Ok(together)
}

/// The UUIDs in a name, in lower case.
fn ids(topic: &str) -> Vec<String> {
    const LENGTH: usize = 36;
    let mut found = Vec::new();
    let mut at = 0;
    while found.len() < MAX_IDS
        && let Some(rest) = topic.get(at..)
        && rest.len() >= LENGTH
    {
        match rest.get(..LENGTH).and_then(|text| uuid::Uuid::try_parse(text).ok()) {
            Some(id) => {
                found.push(id.hyphenated().to_string());
                at += LENGTH;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        const ONE: &str = "d0000000-0000-4000-8000-000000000001";
        let two = ONE.replace('1', "2");
        assert_eq!(ids(&format!("org:{ONE}:ws:{two}")), [ONE, &two]);
        assert_eq!(ids(&format!("é{}", ONE.to_uppercase())), [ONE]);
        assert!(ids("room-1").is_empty() && ids("").is_empty() && ids(ONE.get(1..).unwrap()).is_empty());
        assert_eq!(ids(&ONE.repeat(20)).len(), MAX_IDS);
    }
}
