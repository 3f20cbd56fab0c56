//! Which rows a person may see or change.
//!
//! Every rule is a SQL predicate over one row (written `{row}`) and one person (bound as `?1`), keyed by the
//! organisations the person belongs to. An action without a rule is denied, as in PostgreSQL once row
//! security is on; the service role passes by all of it. Predicates read tables without policies of their
//! own, like a `SECURITY DEFINER` function would, so no rule can recurse.
//! Wire source: PostgreSQL row security (`CREATE POLICY`).

use crate::core::{Identity, Role};

/// What a request wants to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// See it.
    Select,
    /// Store it as a new row.
    InsertCheck,
    /// Choose it for an update.
    UpdateUsing,
    /// Store it as the result of an update.
    UpdateCheck,
    /// Remove it.
    Delete,
}

/// The rules of one table; `None` denies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Security {
    /// Whether rules apply at all.
    pub(crate) enabled: bool,
    pub(crate) select: Option<&'static str>,
    pub(crate) insert: Option<&'static str>,
    pub(crate) update: Option<&'static str>,
    /// What must hold after an update; the `update` rule when absent.
    pub(crate) update_check: Option<&'static str>,
    pub(crate) delete: Option<&'static str>,
}

impl Security {
    /// Denies everything to everyone but the service role.
    const CLOSED: Self =
        Self { enabled: true, select: None, insert: None, update: None, update_check: None, delete: None };

    /// A table without row security.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self { enabled: false, ..Self::CLOSED };

    /// The condition under which `identity` may do `action` with the row named `row`.
    pub(crate) fn predicate(&self, identity: &Identity, action: Action, row: &str) -> String {
        if !self.enabled || identity.role == Role::Service {
            return "1".to_owned();
        }
        if identity.role == Role::Anon || identity.user_id.is_none() {
            return "0".to_owned();
        }
        let rule = match action {
            Action::Select => self.select,
            Action::InsertCheck => self.insert,
            Action::UpdateUsing => self.update,
            Action::UpdateCheck => self.update_check.or(self.update),
            Action::Delete => self.delete,
        };
        rule.map_or_else(|| "0".to_owned(), |rule| format!("({})", rule.replace("{row}", row)))
    }

    /// Whether `identity` has the table privilege to write at all; nobody signed in may only read.
    pub(crate) fn may_write(&self, identity: &Identity) -> bool {
        !self.enabled || identity.role != Role::Anon
    }
}

macro_rules! in_org {
    ($org:literal) => {
        concat!("EXISTS (SELECT 1 FROM org_memberships m WHERE m.org_id = ", $org, " AND m.user_id = ?1)")
    };
}
macro_rules! manages_org {
    ($org:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM org_memberships m WHERE m.org_id = ",
            $org,
            " AND m.user_id = ?1 AND m.role IN ('owner', 'admin'))"
        )
    };
}
macro_rules! in_workspace {
    () => {
        "EXISTS (SELECT 1 FROM workspaces w JOIN org_memberships m ON m.org_id = w.org_id \
         WHERE w.id = {row}.workspace_id AND m.user_id = ?1)"
    };
}
macro_rules! manages_workspace {
    () => {
        "EXISTS (SELECT 1 FROM workspaces w JOIN org_memberships m ON m.org_id = w.org_id \
         WHERE w.id = {row}.workspace_id AND m.user_id = ?1 AND m.role IN ('owner', 'admin'))"
    };
}
macro_rules! in_conversation {
    () => {
        "EXISTS (SELECT 1 FROM conversations c JOIN workspaces w ON w.id = c.workspace_id \
         JOIN org_memberships m ON m.org_id = w.org_id WHERE c.id = {row}.conversation_id AND m.user_id = ?1)"
    };
}

/// Own profile, and those of people in the same organisation; only the own one can be changed.
pub(crate) const PROFILES: Security = Security {
    select: Some(
        "{row}.id = ?1 OR EXISTS (SELECT 1 FROM org_memberships mine JOIN org_memberships theirs \
         ON theirs.org_id = mine.org_id WHERE mine.user_id = ?1 AND theirs.user_id = {row}.id)",
    ),
    update: Some("{row}.id = ?1"),
    ..Security::CLOSED
};

pub(crate) const ORGANIZATIONS: Security = Security { select: Some(in_org!("{row}.id")), ..Security::CLOSED };

pub(crate) const ORG_MEMBERSHIPS: Security = Security { select: Some(in_org!("{row}.org_id")), ..Security::CLOSED };

pub(crate) const WORKSPACES: Security = Security {
    select: Some(in_org!("{row}.org_id")),
    insert: Some(concat!("({row}.created_by IS NULL OR {row}.created_by = ?1) AND ", in_org!("{row}.org_id"))),
    update: Some(in_org!("{row}.org_id")),
    delete: Some(manages_org!("{row}.org_id")),
    ..Security::CLOSED
};

pub(crate) const CONVERSATIONS: Security = Security {
    select: Some(in_workspace!()),
    insert: Some(concat!("({row}.started_by IS NULL OR {row}.started_by = ?1) AND ", in_workspace!())),
    update: Some(in_workspace!()),
    delete: Some(manages_workspace!()),
    ..Security::CLOSED
};

/// Append-only: people add what they said or what their own tools answered, and never change it.
pub(crate) const MESSAGES: Security = Security {
    select: Some(in_conversation!()),
    insert: Some(concat!(
        "{row}.sender_user_id = ?1 AND {row}.sender_agent_id IS NULL AND {row}.role IN ('user', 'assistant') AND ",
        in_conversation!()
    )),
    ..Security::CLOSED
};

pub(crate) const CLOUD_AGENTS: Security = Security {
    select: Some(in_org!("{row}.org_id")),
    insert: Some(manages_org!("{row}.org_id")),
    update: Some(manages_org!("{row}.org_id")),
    delete: Some(manages_org!("{row}.org_id")),
    ..Security::CLOSED
};

pub(crate) const WORKSPACE_MEMBERS: Security = Security {
    select: Some(in_workspace!()),
    insert: Some(concat!("{row}.user_id = ?1 AND ", in_workspace!())),
    update: Some(concat!("{row}.user_id = ?1 AND ", in_workspace!())),
    ..Security::CLOSED
};

pub(crate) const ACTIVITY_FEED: Security = Security {
    select: Some(in_org!("{row}.org_id")),
    insert: Some(concat!("{row}.actor_user_id = ?1 AND ", in_org!("{row}.org_id"))),
    ..Security::CLOSED
};

pub(crate) const WORKSPACE_FILES: Security = Security {
    select: Some(in_workspace!()),
    insert: Some(in_workspace!()),
    update: Some(in_workspace!()),
    delete: Some(manages_workspace!()),
    ..Security::CLOSED
};

/// Whether an object belongs to the asking person: in the bucket of the workspaces, the first folder of its
/// name is a workspace of their organisation; any other bucket belongs to whoever made it.
const THEIR_OBJECT: &str = "(({row}.bucket_id = 'workspace-files' AND instr({row}.name, '/') > 1 AND EXISTS (\
     SELECT 1 FROM workspaces w JOIN org_memberships m ON m.org_id = w.org_id \
     WHERE w.id = substr({row}.name, 1, instr({row}.name, '/') - 1) AND m.user_id = ?1)) \
     OR EXISTS (SELECT 1 FROM storage_buckets b WHERE b.id = {row}.bucket_id AND b.owner_id = ?1))";

pub(crate) const STORAGE_OBJECTS: Security = Security {
    select: Some(THEIR_OBJECT),
    insert: Some(THEIR_OBJECT),
    update: Some(THEIR_OBJECT),
    delete: Some(THEIR_OBJECT),
    ..Security::CLOSED
};

/// The bucket of the workspaces, and those that the person made.
pub(crate) const STORAGE_BUCKETS: Security =
    Security { select: Some("{row}.id = 'workspace-files' OR {row}.owner_id = ?1"), ..Security::CLOSED };

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Identity {
        Identity { role: Role::Authenticated, user_id: Some("u".to_owned()), claims: serde_json::json!({}) }
    }

    #[test]
    fn an_action_without_a_rule_is_denied_to_people_and_allowed_to_the_service() {
        for action in [Action::UpdateUsing, Action::UpdateCheck, Action::Delete] {
            assert_eq!(MESSAGES.predicate(&person(), action, "r"), "0", "{action:?}");
            assert_eq!(MESSAGES.predicate(&Identity::service(), action, "r"), "1", "{action:?}");
        }
    }

    #[test]
    fn nobody_signed_in_matches_nothing() {
        for table in crate::core::schema::TABLES {
            assert_eq!(table.security.predicate(&Identity::anon(), Action::Select, "r"), "0", "{}", table.name);
            assert!(!table.security.may_write(&Identity::anon()), "{}", table.name);
        }
    }

    #[test]
    fn every_rule_speaks_of_the_asking_person() {
        for table in crate::core::schema::TABLES {
            for action in
                [Action::Select, Action::InsertCheck, Action::UpdateUsing, Action::UpdateCheck, Action::Delete]
            {
                let predicate = table.security.predicate(&person(), action, "\"t\"");
                assert!(predicate == "0" || predicate.contains("?1"), "{} {action:?}: {predicate}", table.name);
                assert!(!predicate.contains("{row}"), "{} {action:?}", table.name);
            }
        }
    }
}
