//! Names that do not depend on who asks first: message ids made at append, and the id of a conversation by its name.
//!
//! `id = UUIDv5(namespace(origin, workspace, conversation), replica ‖ local_seq ‖ sha256(role, content))` (O3): two equal
//! texts are two messages, and a repeat of one push is one message. A message that a host imports from elsewhere takes
//! its own key instead of replica and number, so importing twice makes nothing twice.
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The root of all names made here.
const ROOT: Uuid = Uuid::from_u128(0x2f6d_3f1c_8a57_5d0e_9b1a_6c0c_4e9b_7a21);

fn child(parent: Uuid, parts: &[&[u8]]) -> Uuid {
    // Lengths before the parts: ("ab","c") and ("a","bc") differ.
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&parent, &name)
}

/// The namespace of one conversation's messages.
pub(crate) fn conversation_namespace(origin: &str, workspace: &str, conversation: &str) -> Uuid {
    child(ROOT, &[b"conversation", origin.as_bytes(), workspace.as_bytes(), conversation.as_bytes()])
}

/// The cloud id that every device gives to a new conversation of this name in this workspace. Where an earlier one of
/// the name has been renamed in the cloud and still holds the id, the next `turn` gives another.
pub(crate) fn conversation_id(workspace: &str, name: &str, turn: u8) -> Uuid {
    let parts: [&[u8]; 4] = [b"conversation-id", workspace.as_bytes(), name.as_bytes(), &[turn]];
    child(ROOT, if turn == 0 { &parts[..3] } else { &parts })
}

fn content_hash(role: &str, content: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((role.len() as u64).to_be_bytes());
    hash.update(role.as_bytes());
    hash.update(content.as_bytes());
    hash.finalize().into()
}

/// The id of the message number `local_seq` of this replica.
pub(crate) fn message_id(namespace: Uuid, replica: &str, local_seq: i64, role: &str, content: &str) -> Uuid {
    child(namespace, &[b"message", replica.as_bytes(), &local_seq.to_be_bytes(), &content_hash(role, content)])
}

/// The id of a message that came from elsewhere under `key`.
pub(crate) fn imported_id(namespace: Uuid, key: &str, role: &str, content: &str) -> Uuid {
    child(namespace, &[b"imported", key.as_bytes(), &content_hash(role, content)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn o03_an_id_changes_with_each_of_its_parts_and_with_nothing_else(
            replica in "[a-z]{1,6}", seq in 0_i64..1000, role in "user|assistant", content in ".{0,40}",
        ) {
            let namespace = conversation_namespace("https://a.example", "w", "chat");
            let id = message_id(namespace, &replica, seq, &role, &content);
            prop_assert_eq!(id, message_id(namespace, &replica, seq, &role, &content));
            let others = [
                message_id(conversation_namespace("https://b.example", "w", "chat"), &replica, seq, &role, &content),
                message_id(conversation_namespace("https://a.example", "w", "cha"), &replica, seq, &role, &content),
                message_id(namespace, &format!("{replica}x"), seq, &role, &content),
                message_id(namespace, &replica, seq + 1, &role, &content),
                message_id(namespace, &replica, seq, &format!("{role}x"), &content),
                message_id(namespace, &replica, seq, &role, &format!("{content}x")),
                imported_id(namespace, &replica, &role, &content),
            ];
            prop_assert!(others.iter().all(|other| *other != id));
        }
    }
}
