//! Who works in the workspace, and whether they are there now: the polled presence that works through every proxy.
//!
//! [`Workspace::report_presence`] → own row in `workspace_members` (made at the first time) ; [`Workspace::members`] ←
//! all rows with their profiles. Somebody is online who was seen in the last five minutes of the *server's* time: a
//! device's clock decides nothing. Wire source: "Cloud Integration Design", sections 6.4 and 8.1.
use std::time::{Duration, SystemTime};

use cloud_client::{
    Error,
    rest::{Embed, Order},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Workspace;
use crate::link::stamp;

/// Somebody seen this recently is there.
const ONLINE: Duration = Duration::from_secs(300);

/// Where in the workspace somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Place {
    /// The file, as a path in the workspace.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u64>,
}

impl Place {
    /// In a file.
    pub fn file(path: impl Into<String>) -> Self {
        Self { file: Some(path.into()), line: None }
    }

    /// At a line of it, from 1.
    pub fn line(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }
}

/// Somebody who works in the workspace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub user_id: String,
    /// The role in the workspace, such as `member`.
    pub role: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// When they were last seen, as the cloud wrote it.
    pub last_seen_at: Option<String>,
    /// Where they were then.
    pub place: Option<Place>,
    /// Whether that was in the last five minutes.
    pub online: bool,
}

impl Member {
    /// Somebody of whom nothing else is known.
    pub fn new(user_id: impl Into<String>) -> Self {
        Self {
            user_id: user_id.into(),
            role: "member".to_owned(),
            display_name: None,
            avatar_url: None,
            last_seen_at: None,
            place: None,
            online: false,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Row {
    user_id: String,
    #[serde(default)]
    role: String,
    last_seen_at: Option<String>,
    #[serde(default)]
    cursor_position: Value,
    profiles: Option<Profile>,
}

#[derive(Debug, Default, Deserialize)]
struct Profile {
    display_name: Option<String>,
    avatar_url: Option<String>,
}

impl Workspace {
    /// The members who have ever reported, most recently seen first.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](cloud_client::Client::send), and `sync.not_linked` once the link was ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        self.scope.still_linked().await?;
        let rows = self
            .scope
            .table("workspace_members")
            .select(["user_id", "role", "last_seen_at", "cursor_position"])
            .embed(Embed::new("profiles", ["display_name", "avatar_url"]))
            .eq("workspace_id", self.id())
            .order(Order::desc("last_seen_at").nulls_last())
            .fetch::<Row>()
            .await?;
        let now = self.server_now();
        Ok(rows.into_iter().map(|row| row.into_member(now)).collect())
    }

    /// Says that this user is here, and where. For the host's presence timer; once a minute is usual.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](cloud_client::Client::send), and `sync.not_linked` once the link was ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call may have reported or not.
    pub async fn report_presence(&self, place: Option<&Place>) -> Result<(), Error> {
        self.scope.still_linked().await?;
        let table = self.scope.table("workspace_members");
        let seen = json!({"last_seen_at": stamp(self.server_now()), "cursor_position": place});
        let own = table.update(&seen).eq("workspace_id", self.id()).eq("user_id", self.user()).repeatable();
        if own.affected().await? > 0 {
            return Ok(());
        }
        let row = json!({
            "workspace_id": self.id(), "user_id": self.user(),
            "last_seen_at": seen["last_seen_at"], "cursor_position": seen["cursor_position"],
        });
        table.insert(&row).on_conflict(["workspace_id", "user_id"]).merge_duplicates().send().await
    }

    /// The server's time as its answers suggest it; before the first answer the device's.
    fn server_now(&self) -> SystemTime {
        let client = &self.scope.context.client;
        client.server_time().unwrap_or_else(|| client.clock().wall())
    }
}

impl Row {
    fn into_member(self, now: SystemTime) -> Member {
        let Profile { display_name, avatar_url } = self.profiles.unwrap_or_default();
        Member {
            online: self.last_seen_at.as_deref().is_some_and(|seen| is_online(seen, now)),
            user_id: self.user_id,
            role: self.role,
            display_name,
            avatar_url,
            last_seen_at: self.last_seen_at,
            place: serde_json::from_value(self.cursor_position).ok(),
        }
    }
}

/// Whether `seen` lies in the last five minutes before `now`, or a little after it: clocks are read at two moments.
fn is_online(seen: &str, now: SystemTime) -> bool {
    let Some(seen) = seen.parse::<Timestamp>().ok() else { return false };
    let Ok(now) = Timestamp::try_from(now) else { return false };
    let ago = now.duration_since(seen);
    ago.unsigned_abs() <= ONLINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_online_for_five_minutes_after_they_were_seen() {
        let now: SystemTime = "2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap().into();
        for (seen, online) in [
            ("2026-05-01T12:00:00+00:00", true),
            ("2026-05-01T11:55:00+00:00", true),
            ("2026-05-01T11:54:59.999+00:00", false),
            ("2026-05-01T12:00:01Z", true),
            ("2026-05-02T12:00:00Z", false),
            ("yesterday", false),
        ] {
            assert_eq!(is_online(seen, now), online, "{seen}");
        }
    }
}
