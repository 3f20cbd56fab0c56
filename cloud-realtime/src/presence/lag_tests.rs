//! A listener that loses messages against one that loses none: the members have to be the same (R8, R11).
use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    channel::{GapCause, Joined, Listeners},
    codec::Envelope,
    refs::{Ref, Refs},
};

type Metas = Vec<(u8, u8)>;

#[derive(Clone, Debug)]
enum Step {
    Join,
    Gap,
    State(Vec<(u8, Metas)>),
    Diff(Vec<(u8, Metas)>, Vec<(u8, Metas)>),
    /// So many messages about something else.
    Flood(u16),
    /// The slow one reads so many events.
    Read(u8),
    ReadAll,
    /// A listener that comes now takes the slow one's place.
    ComeLate,
}

/// Few keys and refs, so that they meet often. Of an instance the server tells one form.
fn members() -> impl Strategy<Value = Vec<(u8, Metas)>> {
    vec((0_u8..3, vec((0_u8..5, Just(0_u8)), 1..3)), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Join),
        1 => Just(Step::Gap),
        4 => members().prop_map(Step::State),
        8 => (members(), members()).prop_map(|(joins, leaves)| Step::Diff(joins, leaves)),
        4 => (1_000_u16..1_030).prop_map(Step::Flood),
        3 => (0_u8..6).prop_map(Step::Read),
        1 => Just(Step::ReadAll),
        1 => Just(Step::ComeLate),
    ]
}

fn wire(members: &[(u8, Metas)]) -> Value {
    let mut object = Map::new();
    for (key, metas) in members {
        let metas: Vec<Value> = metas.iter().map(|(of, _)| json!({ "phx_ref": format!("{key}-{of}") })).collect();
        object.insert(format!("k{key}"), json!({ "metas": metas }));
    }
    object.into()
}

/// A channel, as the supervisor feeds it.
struct Room {
    listeners: Listeners,
    refs: Refs,
    joined: Option<Ref>,
}

impl Room {
    fn say(&self, event: &'static str, payload: &Value) {
        let envelope = Envelope::new("realtime:r", event, Content::json(payload).unwrap());
        self.listeners.hear(match (event, self.joined) {
            (event::PRESENCE_STATE, Some(join_ref)) => envelope.with_join_ref(join_ref),
            _ => envelope,
        });
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Join => {
                self.gap();
                let join_ref = self.refs.next();
                self.joined = Some(join_ref);
                self.listeners.tell_joined(Joined { join_ref, response: Content::empty_object() }, true);
                self.listeners.tell(ChannelEvent::Live);
            }
            Step::Gap => self.gap(),
            _ if self.joined.is_none() => {}
            Step::State(members) => self.say(event::PRESENCE_STATE, &wire(members)),
            Step::Diff(joins, leaves) => {
                self.say(event::PRESENCE_DIFF, &json!({"joins": wire(joins), "leaves": wire(leaves)}));
            }
            Step::Flood(count) => (0..*count).for_each(|n| self.say("n", &json!(n))),
            Step::Read(_) | Step::ReadAll | Step::ComeLate => {}
        }
    }

    fn gap(&mut self) {
        if self.joined.take().is_some() {
            self.listeners.tell(ChannelEvent::Gap(GapCause::Connection));
        }
    }
}

fn read(members: &mut Members<Value>, most: usize) {
    for _ in 0..most {
        let Some(event) = members.events.try_next() else { return };
        members.step(&event);
        members.ready.clear();
    }
}

fn seen(members: &Members<Value>) -> BTreeSet<(String, String)> {
    let name = |told: &Value| told["phx_ref"].as_str().unwrap().to_owned();
    let of = |(key, told): (&str, Vec<&Value>)| told.into_iter().map(|told| (key.to_owned(), name(told))).collect();
    members.roster.members().map(|(key, told)| (key, told.collect())).flat_map::<Vec<_>, _>(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r11_whatever_a_slow_listener_loses_it_ends_with_the_members_of_one_that_loses_nothing(
        steps in vec(step(), 1..24),
    ) {
        let mut room = Room { listeners: Listeners::default(), refs: Refs::new(), joined: None };
        let mut quick = Members::<Value>::new(room.listeners.add());
        let mut slow = Members::<Value>::new(room.listeners.add());
        let end = [Step::ReadAll, Step::Join, Step::State(vec![(0, vec![(0, 0)])]), Step::ReadAll];
        for step in steps.iter().chain(&end) {
            room.step(step);
            read(&mut quick, usize::MAX);
            match step {
                Step::Read(most) => read(&mut slow, usize::from(*most)),
                Step::ComeLate => slow = Members::new(room.listeners.add()),
                Step::ReadAll => {
                    read(&mut slow, usize::MAX);
                    // Without a join there is nothing to hold the two to.
                    if room.joined.is_some() {
                        prop_assert_eq!(slow.roster.is_synced(), quick.roster.is_synced());
                    }
                    if room.joined.is_some() && quick.roster.is_synced() {
                        prop_assert_eq!(seen(&slow), seen(&quick));
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn r11_a_hundred_thousand_members_that_come_and_go_leave_a_slow_listener_with_those_who_stayed() {
    let mut room = Room { listeners: Listeners::default(), refs: Refs::new(), joined: None };
    let mut slow = Members::<Value>::new(room.listeners.add());
    room.step(&Step::Join);
    room.say(
        event::PRESENCE_STATE,
        &json!({"stays": {"metas": [{"phx_ref": "s"}]}, "goes": {"metas": [{"phx_ref": "g"}]}}),
    );
    read(&mut slow, usize::MAX);
    room.say(event::PRESENCE_DIFF, &json!({"joins": {}, "leaves": {"goes": {"metas": [{"phx_ref": "g"}]}}}));
    for n in 0..50_000 {
        let one = json!({"k": {"metas": [{"phx_ref": n.to_string()}]}});
        room.say(event::PRESENCE_DIFF, &json!({"joins": one, "leaves": {}}));
        room.say(event::PRESENCE_DIFF, &json!({"joins": {}, "leaves": one}));
    }
    let Some(ChannelEvent::Lagged { missed }) = slow.events.try_next() else { panic!("not told") };
    assert_eq!(missed, 100_001 - 1_024);
    let Some(ChannelEvent::Joined(_)) = slow.events.try_next() else { panic!("the join is told once more") };
    let Some(ChannelEvent::Message(state)) = slow.events.try_next() else { panic!("not told who is there") };
    assert_eq!(state.envelope().decode::<Value>().unwrap(), json!({"stays": {"metas": [{"phx_ref": "s"}]}}));
    slow.step(&ChannelEvent::Message(state));
    read(&mut slow, usize::MAX);
    assert_eq!(seen(&slow), BTreeSet::from([("stays".to_owned(), "s".to_owned())]));
}

#[test]
fn r01_a_listener_that_lost_the_end_and_the_new_beginning_is_told_how_things_stand() {
    let told = |steps: &[Step]| {
        let mut room = Room { listeners: Listeners::default(), refs: Refs::new(), joined: None };
        let mut slow = room.listeners.add();
        room.step(&Step::Join);
        while slow.try_next().is_some() {}
        steps.iter().for_each(|step| room.step(step));
        let mut told = Vec::new();
        while let Some(event) = slow.try_next() {
            match event {
                ChannelEvent::Message(_) => break,
                event => told.push(format!("{event:?}").split([' ', '{']).next().unwrap().to_owned()),
            }
        }
        told
    };
    assert_eq!(told(&[Step::Gap, Step::Join, Step::Flood(1_024)]), ["Lagged", "Joined(Joined", "Live"]);
    assert_eq!(told(&[Step::Flood(1_024), Step::Gap]), ["Lagged"]);
    assert_eq!(told(&[Step::Gap, Step::Join, Step::Flood(1_022)]), ["Gap(Connection)", "Joined(Joined", "Live"]);
}
