//! What a fresh cloud contains: one organisation, two people in it, one workspace and one agent.
//!
//! Ids and passwords are fixed, so that a printed example stays true; the passwords guard nothing, since
//! the server answers to this machine alone. Seeding twice changes nothing.

use rusqlite::{Connection, TransactionBehavior, named_params};
use serde_json::json;

use crate::{
    gotrue::account::{NewUser, User},
    storage,
};

/// What the demo data is called, for whoever signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Demo {
    /// The organisation both people belong to.
    pub org_id: String,
    /// The workspace called `demo`.
    pub workspace_id: String,
    /// The agent that answers in it.
    pub agent_slug: String,
    /// The bucket that keeps the files of every workspace, under the workspace's id.
    pub bucket: String,
    /// Two people of the organisation: its owner, then a member.
    pub people: [DemoPerson; 2],
}

/// A person who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DemoPerson {
    /// What to sign in with.
    pub email: String,
    /// The password, the same in every development cloud.
    pub password: String,
    /// The account's id.
    pub user_id: String,
}

const ORG: &str = "d0000000-0000-4000-8000-000000000001";
const WORKSPACE: &str = "d0000000-0000-4000-8000-000000000002";
const AGENT: &str = "d0000000-0000-4000-8000-000000000003";
const AGENT_SLUG: &str = "helper";

/// Name, id, password and role of each person.
const PEOPLE: [(&str, &str, &str, &str); 2] = [
    ("Ada", "d0000000-0000-4000-8000-00000000000a", "ada-demo-password", "owner"),
    ("Grace", "d0000000-0000-4000-8000-00000000000b", "grace-demo-password", "member"),
];

const INSTRUCTIONS: &str = "You help a small team with its workspace. Answer briefly and say what you are unsure of.";

impl Demo {
    /// The demo data, which is the same in every cloud.
    pub(crate) fn new() -> Self {
        Self {
            org_id: ORG.to_owned(),
            workspace_id: WORKSPACE.to_owned(),
            agent_slug: AGENT_SLUG.to_owned(),
            bucket: storage::WORKSPACE_BUCKET.to_owned(),
            people: PEOPLE.map(|(name, id, password, _)| DemoPerson {
                email: format!("{}@example.com", name.to_lowercase()),
                password: password.to_owned(),
                user_id: id.to_owned(),
            }),
        }
    }
}

/// Adds what is missing of the demo data; `hashes` are those of the two passwords.
pub(crate) fn plant(conn: &mut Connection, demo: &Demo, hashes: [String; 2]) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT OR IGNORE INTO organizations (id, name, slug) VALUES (?1, 'Demo Team', 'demo-team')", [ORG])?;
    for ((person, (name, _, _, role)), password_hash) in demo.people.iter().zip(PEOPLE).zip(hashes) {
        if User::by_id(&tx, &person.user_id)?.is_none() {
            let new = NewUser {
                id: person.user_id.clone(),
                email: Some(person.email.clone()),
                password_hash: Some(password_hash),
                user_metadata: serde_json::Map::from_iter([("display_name".to_owned(), json!(name))]),
                confirmed: true,
                ..NewUser::default()
            };
            new.insert(&tx)?;
            new.insert_email_identity(&tx)?;
        }
        tx.execute(
            "INSERT OR IGNORE INTO org_memberships (org_id, user_id, role) VALUES (?1, ?2, ?3)",
            [ORG, &person.user_id, role],
        )?;
    }
    let [owner, _] = &demo.people;
    tx.execute(
        "INSERT OR IGNORE INTO workspaces (id, org_id, name, slug, description, created_by)
         VALUES (?1, ?2, 'Demo', 'demo', 'A workspace to try things in', ?3)",
        [WORKSPACE, ORG, &owner.user_id],
    )?;
    tx.execute(
        "INSERT OR IGNORE INTO cloud_agents (id, org_id, name, slug, agent_type, description, system_prompt)
         VALUES (:id, :org, 'Helper', :slug, 'assistant', 'Answers questions about the workspace', :instructions)",
        named_params! { ":id": AGENT, ":org": ORG, ":slug": AGENT_SLUG, ":instructions": INSTRUCTIONS },
    )?;
    for (person, (_, _, _, role)) in demo.people.iter().zip(PEOPLE) {
        tx.execute(
            "INSERT OR IGNORE INTO workspace_members (workspace_id, user_id, role) VALUES (?1, ?2, ?3)",
            [WORKSPACE, &person.user_id, role],
        )?;
    }
    tx.commit()
}
