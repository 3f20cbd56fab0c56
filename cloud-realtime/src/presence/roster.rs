//! The members of a channel with what they tell about themselves as a type of the application's.
//!
//! [`Presence`] folds the messages; each [`Change`](super::Change) is read as `T` once. What a member
//! tells is the member's own affair, so one that tells something else is left out and counted, and the
//! others stay.
//! Source: Phoenix presence, metas.

use super::{Change, ChangeKind, Diff, Meta, Presence, State};
use crate::refs::Ref;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Everyone on a channel, as `T` per instance.
#[derive(Debug)]
pub struct Roster<T> {
    presence: Presence,
    /// Key → ref of the instance → what it tells.
    members: BTreeMap<String, Vec<(String, T)>>,
    unreadable: u64,
}

/// What one message changed about one member.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Update<T> {
    /// The member.
    pub key: String,
    /// The short of it: an update is one thing, and never a leave and a join.
    pub kind: ChangeKind,
    /// What the instances tell that came, or that changed.
    pub joined: Vec<T>,
    /// What the instances told that went, or that changed.
    pub left: Vec<T>,
    /// How many instances the member has now; at zero the member is gone.
    pub instances: usize,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self { presence: Presence::new(), members: BTreeMap::new(), unreadable: 0 }
    }
}

impl<T: DeserializeOwned + Clone> Roster<T> {
    /// Nobody, and nothing expected until [`joining`](Self::joining).
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts over for the channel instance whose join has this ref; see [`Presence::joining`].
    pub fn joining(&mut self, join_ref: Ref) {
        self.presence.joining(join_ref);
    }

    /// Takes a `presence_state`; see [`Presence::state`].
    pub fn state(&mut self, join_ref: Option<&str>, state: State) -> Vec<Update<T>> {
        let changes = self.presence.state(join_ref, state);
        self.read(changes)
    }

    /// Takes a `presence_diff`; see [`Presence::diff`].
    pub fn diff(&mut self, diff: Diff) -> Vec<Update<T>> {
        let changes = self.presence.diff(diff);
        self.read(changes)
    }

    /// Empties the channel, for when it is left for good.
    pub fn clear(&mut self) -> Vec<Update<T>> {
        let changes = self.presence.clear();
        self.read(changes)
    }

    /// Everyone, by key, with what each instance tells.
    pub fn members(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &T>)> {
        self.members.iter().map(|(key, told)| (key.as_str(), told.iter().map(|(_, told)| told)))
    }

    /// What the instances of one member tell; nothing when it is not there.
    pub fn of(&self, key: &str) -> impl Iterator<Item = &T> {
        self.members.get(key).into_iter().flatten().map(|(_, told)| told)
    }

    /// Whether the state of the current join has come.
    pub const fn is_synced(&self) -> bool {
        self.presence.is_synced()
    }

    /// How many instances so far told something that is no `T`. They are there, and not shown.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The untyped members.
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    fn read(&mut self, changes: Vec<Change>) -> Vec<Update<T>> {
        changes.into_iter().filter_map(|change| self.one(change)).collect()
    }

    fn one(&mut self, change: Change) -> Option<Update<T>> {
        let held = self.members.entry(change.key.clone()).or_default();
        let is_in = |metas: &[Meta], phx_ref: &str| metas.iter().any(|meta| meta.phx_ref() == phx_ref);
        let (gone, stay): (Vec<_>, Vec<_>) = held.drain(..).partition(|(name, _)| is_in(&change.left, name));
        *held = stay;
        let left: Vec<T> = gone.into_iter().map(|(_, told)| told).collect();
        let mut joined = Vec::new();
        for meta in &change.joined {
            match meta.decode::<T>() {
                Ok(told) => {
                    joined.push(told.clone());
                    held.push((meta.phx_ref().to_owned(), told));
                }
                Err(_) => self.unreadable += 1,
            }
        }
        let instances = held.len();
        if instances == 0 {
            self.members.remove(&change.key);
        }
        let kind = match (joined.is_empty(), left.is_empty()) {
            (true, true) => return None,
            (false, true) => ChangeKind::Joined,
            (true, false) => ChangeKind::Left,
            (false, false) => ChangeKind::Updated,
        };
        Some(Update { key: change.key, kind, joined, left, instances })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs::Refs;
    use serde::Deserialize;
    use serde_json::{Value, json, value::to_raw_value};

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Told {
        s: String,
    }

    fn told(s: &str) -> Told {
        Told { s: s.to_owned() }
    }

    fn roster(state: &Value) -> (Roster<Told>, Vec<Update<Told>>) {
        let (refs, mut roster) = (Refs::new(), Roster::new());
        roster.joining(refs.next());
        let updates = roster.state(None, State::parse(&to_raw_value(state).unwrap()).unwrap());
        (roster, updates)
    }

    fn diff(joins: Value, leaves: Value) -> Diff {
        Diff::parse(&to_raw_value(&json!({"joins": joins, "leaves": leaves})).unwrap()).unwrap()
    }

    #[test]
    fn r11_members_come_change_and_go_as_a_type() {
        let (mut roster, updates) = roster(&json!({"__proto__": {"metas": [{"phx_ref": "R1", "s": "on"}]}}));
        let key = || "__proto__".to_owned();
        let came =
            Update { key: key(), kind: ChangeKind::Joined, joined: vec![told("on")], left: vec![], instances: 1 };
        assert_eq!(updates, [came]);
        let updates = roster.diff(diff(
            json!({"__proto__": {"metas": [{"phx_ref": "R2", "phx_ref_prev": "R1", "s": "off"}]}}),
            json!({"__proto__": {"metas": [{"phx_ref": "R1", "s": "on"}]}}),
        ));
        let (joined, left) = (vec![told("off")], vec![told("on")]);
        assert_eq!(updates, [Update { key: key(), kind: ChangeKind::Updated, joined, left, instances: 1 }]);
        assert_eq!(roster.of("__proto__").collect::<Vec<_>>(), [&told("off")]);
        let updates = roster.clear();
        let gone = Update { key: key(), kind: ChangeKind::Left, joined: vec![], left: vec![told("off")], instances: 0 };
        assert_eq!(updates, [gone]);
        assert_eq!(roster.members().count(), 0);
    }

    #[test]
    fn a_member_that_tells_something_else_is_counted_and_the_others_stay() {
        let (mut roster, updates) = roster(&json!({
            "a": {"metas": [{"phx_ref": "R1", "s": 7}]}, "b": {"metas": [{"phx_ref": "R2", "s": "on"}]},
        }));
        assert_eq!(updates.iter().map(|update| update.key.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!((roster.unreadable(), roster.members().count()), (1, 1));
        let updates = roster.diff(diff(
            json!({"a": {"metas": [{"phx_ref": "R3", "phx_ref_prev": "R1", "s": "on"}]}}),
            json!({"a": {"metas": [{"phx_ref": "R1", "s": 7}]}}),
        ));
        assert_eq!((updates[0].kind, updates[0].instances), (ChangeKind::Joined, 1));
    }
}
