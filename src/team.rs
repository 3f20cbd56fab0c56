//! Who works in the linked workspace: what the table of members says and what the live channel shows, as one list.
//!
//! members, polled ─┐
//! presence, live  ─┴► [`Team`] → [`Teammate`]s, told only when they are others than before. Names and roles are the
//! table's; where somebody is comes from the live channel while there is one. Pure.
use std::collections::BTreeMap;

use cloud_sync::{Member, Place};
use serde::{Deserialize, Serialize};

/// The most people that are shown; more would be no team.
const LIMIT: usize = 1000;

/// Somebody of the linked workspace, in the shape of the `cloud:presence` message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Teammate {
    /// Who.
    pub user_id: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// `online`, `offline`, or a word of the person's own app.
    pub status: String,
    /// When they were last seen, as the cloud wrote it.
    pub last_seen: Option<String>,
    /// Where in the workspace they are.
    pub place: Option<Place>,
}

impl Teammate {
    /// Whether they are there now.
    pub fn is_online(&self) -> bool {
        self.status != OFFLINE
    }
}

const ONLINE: &str = "online";
const OFFLINE: &str = "offline";

/// What a device tells of its user on the live channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) user_id: String,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) avatar_url: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) current_file: Option<String>,
    #[serde(default)]
    pub(crate) line: Option<u64>,
}

impl Told {
    fn place(&self) -> Option<Place> {
        let place = Place::file(self.current_file.clone()?);
        Some(match self.line {
            Some(line) => place.line(line),
            None => place,
        })
    }
}

/// Both sources, and the list that was told last.
#[derive(Debug, Default)]
pub(crate) struct Team {
    members: Vec<Member>,
    /// By user; `None` while there is no live channel.
    live: Option<BTreeMap<String, Told>>,
    told: Vec<Teammate>,
}

impl Team {
    /// The table was read. The new list, if it is another one.
    pub(crate) fn polled(&mut self, members: Vec<Member>) -> Option<Vec<Teammate>> {
        self.members = members;
        self.news()
    }

    /// The live channel shows these; `None`: it shows nothing any more. The new list, if it is another one.
    pub(crate) fn live(&mut self, live: Option<BTreeMap<String, Told>>) -> Option<Vec<Teammate>> {
        self.live = live;
        self.news()
    }

    /// Whether the table names this user.
    pub(crate) fn has_member(&self, user: &str) -> bool {
        self.members.iter().any(|member| member.user_id == user)
    }

    fn news(&mut self) -> Option<Vec<Teammate>> {
        let now = self.list();
        if now == self.told {
            return None;
        }
        self.told.clone_from(&now);
        Some(now)
    }

    /// Those who are there first, then by name.
    fn list(&self) -> Vec<Teammate> {
        let live = |user: &str| self.live.as_ref().and_then(|live| live.get(user));
        let known = self.members.iter().map(|member| {
            let told = live(&member.user_id);
            let there = if member.online { ONLINE } else { OFFLINE };
            Teammate {
                user_id: member.user_id.clone(),
                display_name: member.display_name.clone(),
                avatar_url: member.avatar_url.clone(),
                status: told.map_or(there, |told| told.status.as_deref().unwrap_or(ONLINE)).to_owned(),
                last_seen: member.last_seen_at.clone(),
                place: told.map_or_else(|| member.place.clone(), Told::place),
            }
        });
        // Somebody who has just come and is in no table yet.
        let new = self.live.iter().flatten().filter(|(user, _)| !self.has_member(user)).map(|(user, told)| Teammate {
            user_id: user.clone(),
            display_name: told.display_name.clone(),
            avatar_url: told.avatar_url.clone(),
            status: told.status.clone().unwrap_or_else(|| ONLINE.to_owned()),
            last_seen: None,
            place: told.place(),
        });
        let mut all: Vec<Teammate> = known.chain(new).take(LIMIT).collect();
        all.sort_by(|a, b| {
            (!a.is_online(), &a.display_name, &a.user_id).cmp(&(!b.is_online(), &b.display_name, &b.user_id))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(user: &str, online: bool) -> Member {
        let mut member = Member::new(user);
        member.display_name = Some(user.to_uppercase());
        member.online = online;
        member
    }

    fn told(user: &str, file: Option<&str>) -> (String, Told) {
        let told = json!({"userId": user, "displayName": format!("{user}?"), "currentFile": file});
        (user.to_owned(), serde_json::from_value(told).unwrap())
    }

    fn seen(team: &[Teammate]) -> Vec<(&str, &str, Option<&str>)> {
        let file = |mate: &'_ Teammate| -> Option<String> { mate.place.as_ref().and_then(|place| place.file.clone()) };
        assert!(team.iter().all(|mate| mate.place.is_none() || file(mate).is_some()));
        team.iter()
            .map(|mate| {
                let file = mate.place.as_ref().and_then(|place| place.file.as_deref());
                (mate.user_id.as_str(), mate.status.as_str(), file)
            })
            .collect()
    }

    #[test]
    fn the_live_channel_adds_to_the_table_and_its_end_takes_nothing_from_it() {
        let mut team = Team::default();
        let polled = team.polled(vec![member("ada", false), member("grace", true)]).unwrap();
        assert_eq!(seen(&polled), [("grace", "online", None), ("ada", "offline", None)]);

        let live = team.live(Some([told("ada", Some("a.rs")), told("new", None)].into())).unwrap();
        assert_eq!(seen(&live), [("ada", "online", Some("a.rs")), ("grace", "online", None), ("new", "online", None)]);
        assert_eq!(live.first().unwrap().display_name.as_deref(), Some("ADA"), "names are the table's");

        assert_eq!(team.live(None).unwrap(), polled);
    }

    #[test]
    fn a_list_that_is_the_same_is_not_told_again() {
        let mut team = Team::default();
        assert!(team.polled(vec![member("ada", true)]).is_some());
        assert!(team.polled(vec![member("ada", true)]).is_none());
        assert!(team.live(Some([told("ada", None)].into())).is_none());
        assert!(team.live(Some([told("ada", Some("b.rs"))].into())).is_some());
    }

    #[test]
    fn a_flood_of_strangers_stays_bounded() {
        let crowd = (0..10 * LIMIT).map(|n| told(&n.to_string(), None)).collect();
        assert_eq!(Team::default().live(Some(crowd)).unwrap().len(), LIMIT);
    }
}
