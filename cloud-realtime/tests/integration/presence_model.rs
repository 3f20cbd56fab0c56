//! The presence fold against a model that is too simple to be wrong.
//!
//! The model knows, for each key, which refs are there with which value. A state replaces everything,
//! a diff puts its joins in and takes its leaves out, and before the state it only keeps what came.

use cloud_realtime::{
    presence::{Change, ChangeKind, Diff, Presence, State},
    refs::Refs,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json, value::to_raw_value};
use std::collections::BTreeMap;

type Metas = Vec<(u8, u8)>;
type Members = BTreeMap<String, BTreeMap<String, Value>>;

#[derive(Clone, Debug)]
enum Step {
    Join,
    State(Vec<(u8, Metas)>),
    OldState(Vec<(u8, Metas)>),
    Diff(Vec<(u8, Metas)>, Vec<(u8, Metas)>),
}

/// Few keys, refs and values, so that they meet often.
fn members() -> impl Strategy<Value = Vec<(u8, Metas)>> {
    vec((0_u8..4, vec((0_u8..6, 0_u8..3), 1..4)), 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Join),
        2 => members().prop_map(Step::State),
        1 => members().prop_map(Step::OldState),
        6 => (members(), members()).prop_map(|(joins, leaves)| Step::Diff(joins, leaves)),
    ]
}

fn meta((phx_ref, value): (u8, u8)) -> Value {
    json!({"phx_ref": format!("R{phx_ref}"), "value": value})
}

fn wire(members: &[(u8, Metas)]) -> Value {
    let mut object = Map::new();
    for (key, metas) in members {
        let metas: Vec<Value> = metas.iter().copied().map(meta).collect();
        object.insert(format!("k{key}"), json!({ "metas": metas }));
    }
    object.into()
}

fn model(members: &[(u8, Metas)]) -> Members {
    let of = |metas: &Metas| metas.iter().map(|&named| (format!("R{}", named.0), meta(named))).collect();
    members.iter().map(|(key, metas)| (format!("k{key}"), of(metas))).collect()
}

#[derive(Default)]
struct Model {
    members: Members,
    waiting: bool,
    pending: Vec<(Members, Members)>,
}

impl Model {
    fn diff(&mut self, joins: Members, leaves: Members) {
        if self.waiting {
            return self.pending.push((joins, leaves));
        }
        for (key, metas) in joins {
            self.members.entry(key).or_default().extend(metas);
        }
        for (key, metas) in leaves {
            if let Some(held) = self.members.get_mut(&key) {
                held.retain(|phx_ref, _| !metas.contains_key(phx_ref));
            }
        }
        self.members.retain(|_, metas| !metas.is_empty());
    }

    fn state(&mut self, members: Members) {
        (self.members, self.waiting) = (members, false);
        for (joins, leaves) in std::mem::take(&mut self.pending) {
            self.diff(joins, leaves);
        }
    }
}

fn seen(presence: &Presence) -> Members {
    let of = |metas: &[cloud_realtime::presence::Meta]| {
        metas.iter().map(|meta| (meta.phx_ref().to_owned(), meta.decode().unwrap())).collect()
    };
    presence.members().map(|(key, metas)| (key.to_owned(), of(metas))).collect()
}

/// Whoever only listens to the changes has to know the same.
fn follow(listener: &mut Members, changes: &[Change]) {
    for change in changes {
        let held = listener.entry(change.key.clone()).or_default();
        for meta in &change.left {
            assert_eq!(held.remove(meta.phx_ref()), Some(meta.decode().unwrap()), "only what was there can go");
        }
        for meta in &change.joined {
            assert_eq!(held.insert(meta.phx_ref().to_owned(), meta.decode().unwrap()), None, "only what is new comes");
        }
        let kind = match (change.joined.is_empty(), change.left.is_empty()) {
            (false, true) => ChangeKind::Joined,
            (true, false) => ChangeKind::Left,
            other => {
                assert_eq!(other, (false, false), "a change changes something");
                ChangeKind::Updated
            }
        };
        assert_eq!((change.kind, change.instances), (kind, held.len()));
        listener.retain(|_, metas| !metas.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r11_the_fold_equals_the_model_and_its_changes_tell_all(steps in vec(step(), 1..30)) {
        let refs = Refs::new();
        let (mut presence, mut expected, mut listener) = (Presence::new(), Model::default(), Members::new());
        let mut current = refs.next();
        presence.joining(current);
        expected.waiting = true;
        for step in steps {
            let changes = match step {
                Step::Join => {
                    current = refs.next();
                    presence.joining(current);
                    (expected.waiting, expected.pending) = (true, Vec::new());
                    Vec::new()
                }
                Step::State(members) => {
                    expected.state(model(&members));
                    let state = State::parse(&to_raw_value(&wire(&members)).unwrap()).unwrap();
                    presence.state(Some(&current.to_string()), state)
                }
                Step::OldState(members) => {
                    let state = State::parse(&to_raw_value(&wire(&members)).unwrap()).unwrap();
                    presence.state(Some("0"), state)
                }
                Step::Diff(joins, leaves) => {
                    expected.diff(model(&joins), model(&leaves));
                    let payload = json!({"joins": wire(&joins), "leaves": wire(&leaves)});
                    presence.diff(Diff::parse(&to_raw_value(&payload).unwrap()).unwrap())
                }
            };
            follow(&mut listener, &changes);
            let now = seen(&presence);
            prop_assert_eq!(&now, &expected.members);
            prop_assert_eq!(&now, &listener);
            prop_assert_eq!(presence.pending(), expected.pending.len());
        }
    }
}
