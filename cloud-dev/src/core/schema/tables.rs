//! The tables of the development cloud: people, organisations, workspaces and what happens in them.
//!
//! Constants only. The column set is what a client of the documented tables reads and writes; the checks,
//! keys and defaults are what a real deployment would declare for them.

use super::{
    Column,
    Fallback::{self, NewUuid, Now},
    ForeignKey, OnDelete,
    PgType::{Bool, Int4, Int8, Jsonb, Text, Timestamptz, Uuid},
    ServerSet, Table,
};
use crate::core::policy;

/// Every table a client can see.
pub(crate) const TABLES: &[Table] = &[
    PROFILES,
    ORGANIZATIONS,
    ORG_MEMBERSHIPS,
    WORKSPACES,
    CONVERSATIONS,
    CLOUD_AGENTS,
    MESSAGES,
    WORKSPACE_MEMBERS,
    ACTIVITY_FEED,
    WORKSPACE_FILES,
];

const ID: Column = Column::new("id", Uuid).or(NewUuid);
const CREATED_AT: Column = Column::new("created_at", Timestamptz).or(Now).by_server(ServerSet::InsertTime);
const UPDATED_AT: Column = Column::new("updated_at", Timestamptz).or(Now).by_server(ServerSet::WriteTime);
const EMPTY_OBJECT: Fallback = Fallback::Json("{}");
const EMPTY_LIST: Fallback = Fallback::Json("[]");
const FALSE: Fallback = Fallback::Bool(false);
const IDLE: Fallback = Fallback::Text("idle");

const fn points_to(
    name: &'static str,
    columns: &'static [&'static str],
    target: &'static str,
    on_delete: OnDelete,
) -> ForeignKey {
    ForeignKey { name, columns, target, target_columns: &["id"], on_delete }
}

const PROFILES: Table = Table {
    name: "profiles",
    columns: &[
        Column::new("id", Uuid).required(),
        Column::new("display_name", Text),
        Column::new("avatar_url", Text),
        Column::new("bio", Text),
        Column::new("preferences", Jsonb).or(EMPTY_OBJECT),
        Column::new("onboarding_completed", Bool).or(FALSE),
        Column::new("last_active_at", Timestamptz),
        CREATED_AT,
        UPDATED_AT,
    ],
    primary_key: &["id"],
    unique: &[],
    foreign_keys: &[],
    security: policy::PROFILES,
};

const ORGANIZATIONS: Table = Table {
    name: "organizations",
    columns: &[
        ID,
        Column::new("name", Text).required(),
        Column::new("slug", Text).required(),
        Column::new("subscription_tier", Text).or(Fallback::Text("free")),
        Column::new("subscription_status", Text).or(Fallback::Text("active")),
        Column::new("max_members", Int4).or(Fallback::Int(3)),
        Column::new("max_workspaces", Int4).or(Fallback::Int(10)),
        CREATED_AT,
        UPDATED_AT,
    ],
    primary_key: &["id"],
    unique: &[&["slug"]],
    foreign_keys: &[],
    security: policy::ORGANIZATIONS,
};

const ORG_MEMBERSHIPS: Table = Table {
    name: "org_memberships",
    columns: &[
        ID,
        Column::new("org_id", Uuid).required(),
        Column::new("user_id", Uuid).required(),
        Column::new("role", Text).or(Fallback::Text("member")).one_of(&["owner", "admin", "member", "viewer"]),
        Column::new("joined_at", Timestamptz).or(Now),
    ],
    primary_key: &["id"],
    unique: &[&["org_id", "user_id"]],
    foreign_keys: &[
        points_to("org_memberships_org_id_fkey", &["org_id"], "organizations", OnDelete::Cascade),
        points_to("org_memberships_user_id_fkey", &["user_id"], "profiles", OnDelete::Cascade),
    ],
    security: policy::ORG_MEMBERSHIPS,
};

const WORKSPACES: Table = Table {
    name: "workspaces",
    columns: &[
        ID,
        Column::new("org_id", Uuid).required(),
        Column::new("name", Text).required(),
        Column::new("slug", Text).required(),
        Column::new("description", Text),
        Column::new("status", Text).or(IDLE),
        Column::new("task_goal", Text),
        Column::new("current_step", Text),
        Column::new("progress_data", Jsonb).or(EMPTY_OBJECT),
        Column::new("next_steps", Jsonb).or(EMPTY_LIST),
        Column::new("shared_memory", Jsonb).or(EMPTY_OBJECT),
        Column::new("created_by", Uuid),
        CREATED_AT,
        UPDATED_AT,
        Column::new("last_active_at", Timestamptz),
    ],
    primary_key: &["id"],
    unique: &[&["org_id", "slug"]],
    foreign_keys: &[
        points_to("workspaces_org_id_fkey", &["org_id"], "organizations", OnDelete::Cascade),
        points_to("workspaces_created_by_fkey", &["created_by"], "profiles", OnDelete::SetNull),
    ],
    security: policy::WORKSPACES,
};

const CONVERSATIONS: Table = Table {
    name: "conversations",
    columns: &[
        ID,
        Column::new("workspace_id", Uuid).required(),
        Column::new("name", Text),
        Column::new("conversation_type", Text).or(Fallback::Text("chat")),
        Column::new("started_by", Uuid),
        Column::new("is_archived", Bool).or(FALSE),
        Column::new("last_seq", Int8).or(Fallback::Int(0)).by_server(ServerSet::Counter),
        CREATED_AT,
        UPDATED_AT,
    ],
    primary_key: &["id"],
    unique: &[],
    foreign_keys: &[
        points_to("conversations_workspace_id_fkey", &["workspace_id"], "workspaces", OnDelete::Cascade),
        points_to("conversations_started_by_fkey", &["started_by"], "profiles", OnDelete::SetNull),
    ],
    security: policy::CONVERSATIONS,
};

const CLOUD_AGENTS: Table = Table {
    name: "cloud_agents",
    columns: &[
        ID,
        Column::new("org_id", Uuid).required(),
        Column::new("name", Text).required(),
        Column::new("slug", Text).required(),
        Column::new("agent_type", Text),
        Column::new("description", Text),
        Column::new("status", Text).or(IDLE),
        Column::new("avatar_url", Text),
        Column::new("system_prompt", Text),
        Column::new("model_config", Jsonb),
        Column::new("allowed_tools", Jsonb),
        CREATED_AT,
        UPDATED_AT,
    ],
    primary_key: &["id"],
    unique: &[&["org_id", "slug"]],
    foreign_keys: &[points_to("cloud_agents_org_id_fkey", &["org_id"], "organizations", OnDelete::Cascade)],
    security: policy::CLOUD_AGENTS,
};

const MESSAGES: Table = Table {
    name: "messages",
    columns: &[
        ID,
        Column::new("conversation_id", Uuid).required(),
        Column::new("role", Text).required().one_of(&["user", "assistant", "system", "tool"]),
        Column::new("content", Text).required(),
        Column::new("sender_user_id", Uuid),
        Column::new("sender_agent_id", Uuid),
        Column::new("model_used", Text),
        Column::new("tool_calls", Jsonb),
        Column::new("metadata", Jsonb).or(EMPTY_OBJECT),
        Column::new("client_created_at", Timestamptz),
        Column::new("seq", Int8).or(Fallback::Null).by_server(ServerSet::Sequence {
            parent: "conversations",
            key: "conversation_id",
            counter: "last_seq",
        }),
        CREATED_AT,
    ],
    primary_key: &["id"],
    unique: &[&["conversation_id", "seq"]],
    foreign_keys: &[
        points_to("messages_conversation_id_fkey", &["conversation_id"], "conversations", OnDelete::Cascade),
        points_to("messages_sender_user_id_fkey", &["sender_user_id"], "profiles", OnDelete::SetNull),
        points_to("messages_sender_agent_id_fkey", &["sender_agent_id"], "cloud_agents", OnDelete::SetNull),
    ],
    security: policy::MESSAGES,
};

const WORKSPACE_MEMBERS: Table = Table {
    name: "workspace_members",
    columns: &[
        ID,
        Column::new("workspace_id", Uuid).required(),
        Column::new("user_id", Uuid).required(),
        Column::new("role", Text).or(Fallback::Text("member")),
        Column::new("last_seen_at", Timestamptz),
        Column::new("cursor_position", Jsonb),
    ],
    primary_key: &["id"],
    unique: &[&["workspace_id", "user_id"]],
    foreign_keys: &[
        points_to("workspace_members_workspace_id_fkey", &["workspace_id"], "workspaces", OnDelete::Cascade),
        points_to("workspace_members_user_id_fkey", &["user_id"], "profiles", OnDelete::Cascade),
    ],
    security: policy::WORKSPACE_MEMBERS,
};

const ACTIVITY_FEED: Table = Table {
    name: "activity_feed",
    columns: &[
        ID,
        Column::new("org_id", Uuid).required(),
        Column::new("workspace_id", Uuid),
        Column::new("actor_user_id", Uuid),
        Column::new("action", Text).required(),
        Column::new("details", Jsonb).or(EMPTY_OBJECT),
        CREATED_AT,
    ],
    primary_key: &["id"],
    unique: &[],
    foreign_keys: &[
        points_to("activity_feed_org_id_fkey", &["org_id"], "organizations", OnDelete::Cascade),
        points_to("activity_feed_workspace_id_fkey", &["workspace_id"], "workspaces", OnDelete::Cascade),
        points_to("activity_feed_actor_user_id_fkey", &["actor_user_id"], "profiles", OnDelete::SetNull),
    ],
    security: policy::ACTIVITY_FEED,
};

const WORKSPACE_FILES: Table = Table {
    name: "workspace_files",
    columns: &[
        ID,
        Column::new("workspace_id", Uuid).required(),
        Column::new("file_path", Text).required(),
        Column::new("storage_path", Text).required(),
        Column::new("file_size", Int8),
        Column::new("checksum", Text),
        Column::new("mime_type", Text),
        Column::new("file_type", Text),
        Column::new("version", Int4).or(Fallback::Int(1)),
        Column::new("is_deleted", Bool).or(FALSE),
        CREATED_AT,
        UPDATED_AT,
    ],
    primary_key: &["id"],
    unique: &[&["workspace_id", "file_path"]],
    foreign_keys: &[points_to("workspace_files_workspace_id_fkey", &["workspace_id"], "workspaces", OnDelete::Cascade)],
    security: policy::WORKSPACE_FILES,
};
