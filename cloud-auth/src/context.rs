//! Who the user is in the cloud: the profile, every organisation with the user's role, and the active one.
//!
//! `profiles` and `org_memberships` with the organisation embedded → [`UserContext`]. Loaded after the sign-in, never as
//! part of it (A17), and kept in the session's record so that an offline start knows it too. Fields that this version
//! does not name survive in `extra`. Rows are read through PostgREST.
use std::fmt;

use cloud_client::{
    Client, Error,
    rest::{Embed, Order},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::status::UserId;

/// An organisation's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrganizationId(String);

impl OrganizationId {
    /// An id as the server writes it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The user's row in `profiles`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// The name to show.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A picture.
    #[serde(default)]
    pub avatar_url: Option<String>,
    /// A few words about the user.
    #[serde(default)]
    pub bio: Option<String>,
    /// The user's settings, as the cloud keeps them.
    #[serde(default)]
    pub preferences: Option<Value>,
    /// Whether the first steps are done.
    #[serde(default)]
    pub onboarding_completed: Option<bool>,
    /// Everything else in the row.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Organization {
    /// The id.
    pub id: OrganizationId,
    /// The name.
    #[serde(default)]
    pub name: Option<String>,
    /// The name in addresses.
    #[serde(default)]
    pub slug: Option<String>,
    /// The plan, such as `free`.
    #[serde(default)]
    pub subscription_tier: Option<String>,
    /// The plan's state, such as `active`.
    #[serde(default)]
    pub subscription_status: Option<String>,
    /// How many members the plan allows.
    #[serde(default)]
    pub max_members: Option<i64>,
    /// How many workspaces the plan allows.
    #[serde(default)]
    pub max_workspaces: Option<i64>,
    /// Everything else in the row.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The user's place in one organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Membership {
    /// Which organisation.
    pub org_id: OrganizationId,
    /// The role, such as `owner`; the server may know more of them than we do.
    pub role: String,
    /// The organisation itself, when the user may see it.
    #[serde(rename = "organizations", default)]
    pub organization: Option<Organization>,
}

/// Who the user is in the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserContext {
    /// The profile; `None` while there is no row.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// Every organisation of the user, first joined first.
    #[serde(default)]
    pub memberships: Vec<Membership>,
    /// What the user picked, if anything.
    #[serde(default)]
    chosen: Option<OrganizationId>,
}

impl UserContext {
    /// The membership that new cloud work belongs to: the one that was picked, else the first joined.
    pub fn active(&self) -> Option<&Membership> {
        let picked = |membership: &&Membership| Some(&membership.org_id) == self.chosen.as_ref();
        self.memberships.iter().find(picked).or_else(|| self.memberships.first())
    }

    /// The active organisation.
    pub fn active_organization(&self) -> Option<&Organization> {
        self.active().and_then(|membership| membership.organization.as_ref())
    }

    /// The same context with another active organisation; `None` when the user is no member there.
    pub(crate) fn choosing(&self, id: &OrganizationId) -> Option<Self> {
        let member = self.memberships.iter().any(|membership| membership.org_id == *id);
        member.then(|| Self { chosen: Some(id.clone()), ..self.clone() })
    }

    /// Fresh rows, with the choice that was made before.
    pub(crate) fn keeping_choice(self, before: Option<&Self>) -> Self {
        Self { chosen: before.and_then(|before| before.chosen.clone()), ..self }
    }
}

/// Reads the context of `user`. `client` speaks for them.
pub(crate) async fn load(client: &Client, user: &UserId) -> Result<UserContext, Error> {
    let profile = client.table("profiles").select(["*"]).eq("id", user.as_str());
    let memberships = client
        .table("org_memberships")
        .select(["org_id", "role"])
        .embed(Embed::new("organizations", ["*"]))
        .eq("user_id", user.as_str())
        .order(Order::asc("joined_at"));
    let profile = profile.one::<Profile>().await?;
    let memberships = memberships.fetch::<Membership>().await?.into_vec();
    Ok(UserContext { profile, memberships, chosen: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> UserContext {
        serde_json::from_str(
            r#"{"profile":{"id":"u","display_name":"Ada","theme":"dark"},"memberships":[
                {"org_id":"o1","role":"owner","organizations":{"id":"o1","name":"One","seats":7}},
                {"org_id":"o2","role":"reviewer","organizations":null}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_first_joined_organisation_is_active_until_another_is_picked() {
        let context = context();
        assert_eq!(context.active().unwrap().org_id.as_str(), "o1");
        let picked = context.choosing(&OrganizationId::new("o2")).unwrap();
        assert_eq!(picked.active().unwrap().role, "reviewer");
        assert!(context.choosing(&OrganizationId::new("o3")).is_none());
        let reloaded = context.keeping_choice(Some(&picked));
        assert_eq!(reloaded, picked);
        let left = UserContext { memberships: reloaded.memberships.get(..1).unwrap().to_vec(), ..reloaded };
        assert_eq!(left.active().unwrap().org_id.as_str(), "o1", "a choice that is gone falls back");
    }

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let text = serde_json::to_string(&context()).unwrap();
        assert!(text.contains(r#""theme":"dark""#) && text.contains(r#""seats":7"#), "{text}");
        assert_eq!(serde_json::from_str::<UserContext>(&text).unwrap(), context());
    }
}
