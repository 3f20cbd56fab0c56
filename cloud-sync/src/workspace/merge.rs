//! Three-way merge of workspace fields: what was last read, what changed here, what the cloud holds now. Pure.
//!
//! changed here only → kept, to be pushed; changed there only → taken; changed to the same on both sides → settled;
//! changed differently → the cloud's value stands and the local one goes to the conflict log (W4). No clock is looked
//! at (W2), nothing is dropped without a trace (W5).
use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The fields that sync.
pub(crate) const FIELDS: [&str; 6] =
    ["task_goal", "current_step", "status", "progress_data", "next_steps", "shared_memory"];

/// Local changes that the cloud has not confirmed, by field.
pub(crate) type Changes = BTreeMap<String, Change>;

/// One local change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What was set last.
    pub(crate) local: Value,
    /// What was sent on top of the base without an answer: should the cloud hold one of these, it is our own write.
    pub(crate) attempted: Vec<Value>,
}

/// One field changed differently on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) field: String,
    pub(crate) local: Value,
    pub(crate) cloud: Value,
}

/// What a merge leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Still to be pushed.
    pub(crate) changes: Changes,
    /// To be logged before anything else.
    pub(crate) clashes: Vec<Clash>,
}

/// Merges `changes`, made on top of `base`, with what the cloud holds. Without a base (the folder was just linked), a
/// cloud field that holds nothing yet gives way to the local one.
pub(crate) fn merge(base: Option<&Map<String, Value>>, changes: &Changes, cloud: &Map<String, Value>) -> Merged {
    let mut merged = Merged::default();
    for (field, change) in changes {
        let local = &change.local;
        let there = cloud.get(field).unwrap_or(&Value::Null);
        let untouched = match base {
            Some(base) => there == base.get(field).unwrap_or(&Value::Null),
            None => is_unset(field, there),
        };
        if there == local {
            continue;
        } else if untouched || change.attempted.contains(there) {
            // On a new base, what was sent for the old one can no longer arrive.
            merged.changes.insert(field.clone(), Change { local: local.clone(), attempted: Vec::new() });
        } else {
            merged.clashes.push(Clash { field: field.clone(), local: local.clone(), cloud: there.clone() });
        }
    }
    merged
}

/// Whether a new workspace has this value before anybody set one.
fn is_unset(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || (field == "status" && text == "idle"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Only the fields that sync.
pub(crate) fn synced_fields(row: &Map<String, Value>) -> Map<String, Value> {
    FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), row.get(*field)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields() -> impl Strategy<Value = Map<String, Value>> {
        proptest::collection::vec(0_u8..3, FIELDS.len()).prop_map(|values| {
            FIELDS.iter().zip(values).map(|(field, value)| ((*field).to_owned(), json!(value))).collect()
        })
    }

    fn changed(local: Map<String, Value>, sent: Map<String, Value>) -> Changes {
        local
            .into_iter()
            .map(|(field, local)| (field.clone(), Change { local, attempted: vec![sent[&field].clone()] }))
            .collect()
    }

    proptest! {
        #[test]
        fn w05_every_local_value_is_kept_settled_or_logged(
            base in fields(), cloud in fields(), local in fields(), sent in fields(),
        ) {
            let changes = changed(local, sent);
            let merged = merge(Some(&base), &changes, &cloud);
            for (field, Change { local, attempted }) in &changes {
                let settled = cloud[field] == *local;
                let kept = merged.changes.get(field).is_some_and(|change| change.local == *local);
                let logged = merged.clashes.iter().any(|clash| clash.field == *field && clash.local == *local);
                prop_assert_eq!(u8::from(settled) + u8::from(kept) + u8::from(logged), 1);
                let ours = cloud[field] == base[field] || attempted.contains(&cloud[field]);
                prop_assert!((!kept || ours) && (!logged || !ours));
            }
        }

        #[test]
        fn w06_a_merge_with_what_was_just_merged_changes_nothing(
            base in fields(), cloud in fields(), local in fields(), sent in fields(),
        ) {
            let changes = changed(local, sent);
            let once = merge(Some(&base), &changes, &cloud);
            let twice = merge(Some(&cloud), &once.changes, &cloud);
            prop_assert_eq!(&twice.changes, &once.changes);
            prop_assert!(twice.clashes.is_empty());
        }
    }

    #[test]
    fn a_fresh_link_fills_what_the_cloud_left_empty_and_clashes_with_what_it_holds() {
        let cloud = json!({"task_goal": "theirs", "status": "idle", "next_steps": [], "progress_data": {}});
        let changes: Changes = [
            ("task_goal".to_owned(), json!("mine")),
            ("status".to_owned(), json!("in_progress")),
            ("next_steps".to_owned(), json!(["a"])),
            ("current_step".to_owned(), json!("b")),
        ]
        .map(|(field, local)| (field, Change { local, attempted: Vec::new() }))
        .into();
        let merged = merge(None, &changes, cloud.as_object().unwrap());
        assert_eq!(merged.changes.len(), 3);
        assert_eq!(merged.clashes, [Clash { field: "task_goal".into(), local: json!("mine"), cloud: json!("theirs") }]);
    }
}
