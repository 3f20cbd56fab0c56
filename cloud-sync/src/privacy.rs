//! What may leave the machine: the one list that the outbox asks.
//!
//! System prompts hold local paths, tool results hold local data; neither is ever sent (O9), whatever a host appends.

/// Whether a message of this role may be sent. Unknown roles may not.
pub(crate) fn may_leave(role: &str) -> bool {
    matches!(role, "user" | "assistant")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o09_only_what_people_and_assistants_say_may_leave() {
        assert!(may_leave("user") && may_leave("assistant"));
        for role in ["system", "tool", "function", "developer", "", "User", "user "] {
            assert!(!may_leave(role), "{role:?}");
        }
    }
}
