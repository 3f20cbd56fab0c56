//! Who is present in one topic: a pure fold over joins, changes and leaves, and the diffs it yields.
//!
//! `track`/`untrack` of one member → the JSON of a `presence_diff`, if anything changed; [`Presence::state`] is the
//! JSON of `presence_state`. An update is a join and a leave of one key in one diff. Keys are any text.
//! Wire source: `Phoenix.Presence`, `Phoenix.Tracker`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// One device: which socket, in the topic this belongs to.
pub(crate) type Member = u64;

/// The presences of one topic.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    here: BTreeMap<Member, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    payload: Map<String, Value>,
    meta: Map<String, Value>,
}

impl Presence {
    /// Sets what `member` shows under `key`; `reference` names the new meta. `None` when it shows that already.
    pub(crate) fn track(
        &mut self,
        member: Member,
        key: &str,
        payload: Map<String, Value>,
        reference: String,
    ) -> Option<String> {
        if self.shows(member, &payload) {
            return None;
        }
        let before = self.here.get(&member);
        let mut meta = payload.clone();
        meta.insert("phx_ref".to_owned(), reference.into());
        if let Some(entry) = before
            && let Some(previous) = entry.meta.get("phx_ref")
        {
            meta.insert("phx_ref_prev".to_owned(), previous.clone());
        }
        let entry = Entry { key: key.to_owned(), payload, meta };
        let joins = json!({ key: { "metas": [&entry.meta] } });
        let leaves = self.here.insert(member, entry).map_or_else(|| json!({}), |old| left(&old));
        Some(diff(&joins, &leaves))
    }

    /// Whether `member` shows `payload` already.
    pub(crate) fn shows(&self, member: Member, payload: &Map<String, Value>) -> bool {
        self.here.get(&member).is_some_and(|entry| entry.payload == *payload)
    }

    /// Takes `member` away; `None` when it was not there.
    pub(crate) fn untrack(&mut self, member: Member) -> Option<String> {
        let old = self.here.remove(&member)?;
        Some(diff(&json!({}), &left(&old)))
    }

    /// Everybody, by key.
    pub(crate) fn state(&self) -> String {
        let mut keys: BTreeMap<&str, Vec<&Map<String, Value>>> = BTreeMap::new();
        for entry in self.here.values() {
            keys.entry(&entry.key).or_default().push(&entry.meta);
        }
        let state: Map<String, Value> =
            keys.into_iter().map(|(key, metas)| (key.to_owned(), json!({ "metas": metas }))).collect();
        Value::Object(state).to_string()
    }
}

fn left(entry: &Entry) -> Value {
    json!({ &entry.key: { "metas": [&entry.meta] } })
}

fn diff(joins: &Value, leaves: &Value) -> String {
    format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Map<String, Value> {
        Map::from_iter([("s".to_owned(), text.into())])
    }

    #[test]
    fn an_update_is_a_join_and_a_leave_that_name_each_other() {
        let mut presence = Presence::default();
        let joined = presence.track(1, "k1", shown("on"), "R1".into()).unwrap();
        assert_eq!(joined, r#"{"joins":{"k1":{"metas":[{"phx_ref":"R1","s":"on"}]}},"leaves":{}}"#);
        assert_eq!(presence.track(1, "k1", shown("on"), "R2".into()), None, "the same again is nothing");
        let updated = presence.track(1, "k1", shown("off"), "R2".into()).unwrap();
        assert_eq!(
            updated,
            r#"{"joins":{"k1":{"metas":[{"phx_ref":"R2","phx_ref_prev":"R1","s":"off"}]}},"leaves":{"k1":{"metas":[{"phx_ref":"R1","s":"on"}]}}}"#
        );
        let left = presence.untrack(1).unwrap();
        assert!(left.starts_with(r#"{"joins":{},"leaves":{"k1""#) && left.contains(r#""phx_ref":"R2""#), "{left}");
        assert_eq!((presence.untrack(1), presence.state().as_str()), (None, "{}"));
    }

    #[test]
    fn two_devices_of_one_key_stand_beside_each_other() {
        let mut presence = Presence::default();
        presence.track(1, "__proto__", shown("a"), "R1".into());
        presence.track(2, "__proto__", shown("b"), "R2".into());
        assert_eq!(presence.state(), r#"{"__proto__":{"metas":[{"phx_ref":"R1","s":"a"},{"phx_ref":"R2","s":"b"}]}}"#);
        presence.untrack(1);
        assert_eq!(presence.state(), r#"{"__proto__":{"metas":[{"phx_ref":"R2","s":"b"}]}}"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Applying every diff, joins before leaves, to an empty state gives the state.
        #[test]
        fn the_diffs_add_up_to_the_state(calls in prop::collection::vec((0_u64..4, 0_u8..4), 0..60)) {
            let mut presence = Presence::default();
            let mut model: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for (n, (member, what)) in calls.into_iter().enumerate() {
                let key = format!("k{}", member % 2);
                let diff = match what {
                    0 => presence.untrack(member),
                    other => presence.track(member, &key, shown(&other.to_string()), format!("R{n}")),
                };
                let Some(diff) = diff else { continue };
                let diff: Value = serde_json::from_str(&diff).unwrap();
                for (key, value) in diff["joins"].as_object().unwrap() {
                    model.entry(key.clone()).or_default().extend(value["metas"].as_array().unwrap().iter().cloned());
                }
                for (key, value) in diff["leaves"].as_object().unwrap() {
                    let gone = value["metas"][0]["phx_ref"].clone();
                    model.entry(key.clone()).or_default().retain(|meta| meta["phx_ref"] != gone);
                }
                model.retain(|_, metas| !metas.is_empty());
            }
            let state: Value = serde_json::from_str(&presence.state()).unwrap();
            let refs = |metas: &[Value]| {
                let mut refs: Vec<String> = metas.iter().map(|meta| meta["phx_ref"].to_string()).collect();
                refs.sort();
                refs
            };
            let shown: BTreeMap<String, Vec<String>> = state.as_object().unwrap().iter()
                .map(|(key, value)| (key.clone(), refs(value["metas"].as_array().unwrap()))).collect();
            let wanted: BTreeMap<String, Vec<String>> = model.iter().map(|(key, metas)| (key.clone(), refs(metas))).collect();
            prop_assert_eq!(shown, wanted);
        }
    }
}
