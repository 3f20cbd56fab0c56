//! Presence: whatever states and diffs come, whoever follows the changes knows the same members as the fold.
//!
//! Input: lines, each a letter and JSON: `s` a state, `o` a state of an earlier join, `d` a diff; `j` joins anew.
#![no_main]
use std::collections::BTreeMap;

use cloud_realtime::{
    presence::{Change, ChangeKind, Diff, MAX_PENDING_BYTES, MAX_PENDING_DIFFS, Presence, State},
    refs::Refs,
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

type Known = BTreeMap<String, BTreeMap<String, ()>>;

fuzz_target!(|input: &str| {
    let refs = Refs::new();
    let (mut presence, mut known, mut current) = (Presence::new(), Known::new(), refs.next());
    presence.joining(current);
    let mut bytes = 0;
    for line in input.lines() {
        let mut letters = line.chars();
        let (Some(letter), rest) = (letters.next(), letters.as_str()) else { continue };
        if letter == 'j' {
            current = refs.next();
            presence.joining(current);
            bytes = 0;
            continue;
        }
        let Ok(payload) = serde_json::from_str::<&RawValue>(rest) else { continue };
        let changes = match letter {
            's' => State::parse(payload).map(|state| presence.state(Some(&current.to_string()), state)),
            'o' => State::parse(payload).map(|state| presence.state(Some("0"), state)),
            _ => Diff::parse(payload).map(|diff| presence.diff(diff)),
        };
        bytes += rest.len();
        let Ok(changes) = changes else { continue };
        assert!(letter != 'o' || changes.is_empty());
        follow(&mut known, &changes);
        let seen: Known = presence
            .members()
            .map(|(key, metas)| (key.to_owned(), metas.iter().map(|meta| (meta.phx_ref().to_owned(), ())).collect()))
            .collect();
        assert_eq!(seen, known);
        assert!(presence.members().all(|(key, metas)| metas.len() == known[key].len()), "a ref is held once");
        assert!(presence.pending() <= MAX_PENDING_DIFFS && (presence.pending() == 0 || bytes > 0));
        assert!(presence.dropped() == 0 || bytes > MAX_PENDING_BYTES || presence.pending() == MAX_PENDING_DIFFS);
    }
});

fn follow(known: &mut Known, changes: &[Change]) {
    for change in changes {
        let held = known.entry(change.key.clone()).or_default();
        for meta in &change.left {
            assert!(held.remove(meta.phx_ref()).is_some(), "only what was there can go");
        }
        for meta in &change.joined {
            assert!(held.insert(meta.phx_ref().to_owned(), ()).is_none(), "only what is new comes");
        }
        let kind = match (change.joined.is_empty(), change.left.is_empty()) {
            (false, true) => ChangeKind::Joined,
            (true, false) => ChangeKind::Left,
            _ => ChangeKind::Updated,
        };
        assert_eq!((change.kind, change.instances), (kind, held.len()));
        known.retain(|_, held| !held.is_empty());
    }
}
