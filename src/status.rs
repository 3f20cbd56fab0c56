//! One snapshot for a user interface: who, where, and how the sync stands. No token is ever in it.
use cloud_auth::{UserContext, status::AuthStatus};
use cloud_sync::{SyncState, Workspace};
use serde::Serialize;
use serde_json::{Value, json};

/// How everything stands, in the shape of the `cloud:status` message.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// Whether there is a cloud at all.
    pub configured: bool,
    /// Whether somebody is signed in.
    pub logged_in: bool,
    /// Whether the cloud has confirmed that since the start; `false` while offline.
    pub verified: bool,
    /// Who: `id` and `email`.
    pub user: Option<Value>,
    /// How they appear: `displayName` and `avatarUrl`. Loaded behind a sign-in, like the organisation: `None` for a moment,
    /// until the event `context_changed`.
    pub profile: Option<Value>,
    /// The active organisation: `id`, `name`, `slug` and `tier`.
    pub org: Option<Value>,
    /// The role in it.
    pub role: Option<String>,
    /// The linked workspace: `id`, `name` and `folder`.
    pub linked_workspace: Option<Value>,
    /// How its sync stands.
    pub sync_state: SyncState,
}

impl Status {
    /// The status of an app without a cloud.
    pub fn unconfigured() -> Self {
        Self::default()
    }

    pub(crate) fn new(auth: &AuthStatus, context: Option<&UserContext>, workspace: Option<&Workspace>) -> Self {
        let verified = matches!(auth, AuthStatus::SignedIn(session) if session.verified);
        let active = context.and_then(UserContext::active);
        let organization = context.and_then(UserContext::active_organization);
        let profile = context.and_then(|context| context.profile.as_ref());
        Self {
            configured: true,
            logged_in: auth.is_signed_in(),
            verified,
            user: auth.user().map(|user| json!({"id": user.id, "email": user.email})),
            profile: profile
                .map(|profile| json!({"displayName": profile.display_name, "avatarUrl": profile.avatar_url})),
            org: organization.map(|organization| {
                json!({
                    "id": organization.id, "name": organization.name, "slug": organization.slug,
                    "tier": organization.subscription_tier,
                })
            }),
            role: active.map(|membership| membership.role.clone()),
            linked_workspace: workspace.map(|workspace| {
                let folder = workspace.folder().display().to_string();
                json!({"id": workspace.id(), "name": workspace.name(), "folder": folder})
            }),
            sync_state: workspace.map(Workspace::sync_state).unwrap_or_default(),
        }
    }
}
