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

/// A server as Phoenix has it: it knows who is there, sends a state once and a diff for each change, and the diffs of the
/// time before the state was taken may come on either side of it.
#[derive(Clone, Debug)]
enum Act {
    Join(u8),
    Leave(u8),
    Update(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![(0_u8..5).prop_map(Act::Join), (0_u8..5).prop_map(Act::Leave), (0_u8..5).prop_map(Act::Update)]
}

/// Two devices share each key.
struct Server {
    there: BTreeMap<u8, Value>,
    next_ref: u32,
}

impl Server {
    fn key(device: u8) -> String {
        format!("k{}", device / 2)
    }

    fn named(&mut self, device: u8) -> Value {
        self.next_ref += 1;
        json!({"phx_ref": format!("R{}", self.next_ref), "device": device})
    }

    /// The diff that this makes, if any.
    fn act(&mut self, act: &Act) -> Option<Value> {
        let one = |device: u8, meta: Value| json!({Self::key(device): {"metas": [meta]}});
        match *act {
            Act::Join(device) if !self.there.contains_key(&device) => {
                let meta = self.named(device);
                self.there.insert(device, meta.clone());
                Some(json!({"joins": one(device, meta), "leaves": {}}))
            }
            Act::Leave(device) => {
                let meta = self.there.remove(&device)?;
                Some(json!({"joins": {}, "leaves": one(device, meta)}))
            }
            Act::Update(device) => {
                let old = self.there.remove(&device)?;
                let mut new = self.named(device);
                new["phx_ref_prev"] = old["phx_ref"].clone();
                self.there.insert(device, new.clone());
                Some(json!({"joins": one(device, new), "leaves": one(device, old)}))
            }
            Act::Join(_) => None,
        }
    }

    fn state(&self) -> Value {
        let mut state = Map::new();
        for (device, meta) in &self.there {
            let member = state.entry(Self::key(*device)).or_insert_with(|| json!({"metas": []}));
            member["metas"].as_array_mut().unwrap().push(meta.clone());
        }
        state.into()
    }

    fn members(&self) -> Members {
        let mut members = Members::new();
        for (device, meta) in &self.there {
            let phx_ref = meta["phx_ref"].as_str().unwrap().to_owned();
            members.entry(Self::key(*device)).or_default().insert(phx_ref, meta.clone());
        }
        members
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r11_wherever_the_state_falls_among_the_diffs_the_fold_ends_as_the_server_is(
        acts in vec(act(), 1..40), from in 0_usize..40, taken in 0_usize..40, told in 0_usize..40,
    ) {
        // The listener hears diffs from act `from` on; the state is of act `taken`, and comes after act `told`.
        let taken = taken.min(acts.len());
        let (from, told) = (from.min(taken), told.clamp(taken, acts.len()));
        let refs = Refs::new();
        let (mut server, mut presence) = (Server { there: BTreeMap::new(), next_ref: 0 }, Presence::new());
        presence.joining(refs.next());
        let (mut state, mut listener) = (server.state(), Members::new());
        for (place, act) in acts.iter().enumerate() {
            if place == taken {
                state = server.state();
            }
            if place == told {
                let parsed = State::parse(&to_raw_value(&state).unwrap()).unwrap();
                follow(&mut listener, &presence.state(Some("1"), parsed));
            }
            if let Some(diff) = server.act(act).filter(|_| place >= from) {
                let changes = presence.diff(Diff::parse(&to_raw_value(&diff).unwrap()).unwrap());
                if place >= told {
                    let wanted = match act {
                        Act::Join(_) => ChangeKind::Joined,
                        Act::Leave(_) => ChangeKind::Left,
                        Act::Update(_) => ChangeKind::Updated,
                    };
                    prop_assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [wanted]);
                }
                follow(&mut listener, &changes);
            }
        }
        if told == acts.len() {
            let state = if taken == acts.len() { server.state() } else { state };
            let parsed = State::parse(&to_raw_value(&state).unwrap()).unwrap();
            follow(&mut listener, &presence.state(Some("1"), parsed));
        }
        prop_assert_eq!(&seen(&presence), &server.members());
        prop_assert_eq!(&listener, &server.members());
    }
}
