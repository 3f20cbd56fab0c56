//! A server, a wire and an application that crashes, in any interleaving: what is held is what was published.
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::feed::{MAX_HELD, Position};

fn place(n: usize) -> Position {
    Position::new(n.to_string())
}

fn index(position: &Position) -> usize {
    position.as_str().parse().unwrap()
}

/// A position that a server gave out which has forgotten all before it so many times.
fn place_of(epoch: usize, n: usize) -> Position {
    place(epoch * EPOCH + n)
}

const EPOCH: usize = 1_000_000;

fn entry(n: usize) -> Entry<usize> {
    Entry::new(n).id(format!("id-{n}")).position(place(n))
}

fn clone(signal: &Signal<usize>) -> Signal<usize> {
    match signal {
        Signal::Item(entry) => Signal::Item(entry.clone()),
        other => panic!("{other:?} is not said twice"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Publish(usize),
    /// More than can be held back.
    Flood,
    /// The server says something again.
    Repeat(usize),
    Deliver(usize),
    Page,
    Apply(usize),
    Cut,
    Open,
    /// The listener was too slow for its queue.
    Overrun,
    /// The server forgets its buffer: positions before now are too old for a replay.
    Forget,
    /// Positions before now are too old for the pages as well.
    ForgetPages,
    /// The application dies with whatever it has not stored.
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..8_usize).prop_map(Op::Publish),
        1 => Just(Op::Flood),
        3 => (0..40_usize).prop_map(Op::Repeat),
        8 => (1..30_usize).prop_map(Op::Deliver),
        6 => Just(Op::Page),
        6 => (1..30_usize).prop_map(Op::Apply),
        2 => Just(Op::Cut),
        4 => Just(Op::Open),
        1 => Just(Op::Overrun),
        1 => Just(Op::Forget),
        1 => Just(Op::ForgetPages),
        1 => Just(Op::Crash),
    ]
}

struct World {
    replays: bool,
    log: usize,
    /// What is older is not replayed.
    floor: usize,
    /// Positions of another epoch are unknown.
    epoch: usize,
    /// What is on its way; `None` without a connection.
    wire: Option<VecDeque<Signal<usize>>>,
    sequence: Sequence<usize>,
    pull: Option<Option<Position>>,
    inbox: VecDeque<FeedEvent<usize>>,
    /// What is stored, durably: the items and the position.
    held: Vec<usize>,
    place: Option<Position>,
    crashed: bool,
}

impl World {
    fn new(replays: bool) -> Self {
        Self {
            replays,
            log: 0,
            floor: 0,
            epoch: 0,
            wire: None,
            sequence: Self::sequence(),
            pull: None,
            inbox: VecDeque::new(),
            held: Vec::new(),
            place: None,
            crashed: false,
        }
    }

    fn sequence() -> Sequence<usize> {
        let mut sequence = Sequence::new();
        sequence.set_catches_up();
        sequence
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(count) => (0..count).for_each(|_| self.publish()),
            Op::Flood if self.log < 2_500 => (0..MAX_HELD + 10).for_each(|_| self.publish()),
            Op::Repeat(back) => {
                let again = self.log.checked_sub(back + 1).map(|n| Signal::Item(self.entry(n)));
                self.wire.iter_mut().for_each(|wire| wire.extend(again.iter().map(clone)));
            }
            Op::Deliver(count) => (0..count).for_each(|_| self.deliver()),
            Op::Page => self.page(),
            Op::Apply(count) => (0..count).for_each(|_| self.apply()),
            Op::Cut if self.wire.take().is_some() => self.step(Step::Signal(Signal::Lost)),
            Op::Open if self.wire.is_none() => self.open(),
            Op::Overrun => {
                if let Some(wire) = &mut self.wire {
                    wire.retain(|signal| !matches!(signal, Signal::Item(_)));
                    let opened = wire.iter().position(|signal| matches!(signal, Signal::Opened(_)));
                    let missed = if self.replays { Signal::Missed } else { Signal::Opened(Opening::Fresh) };
                    wire.insert(opened.map_or(0, |at| at + 1), missed);
                }
            }
            Op::Forget => self.floor = self.log,
            Op::ForgetPages => self.epoch += 1,
            Op::Crash => {
                // A new process: the position that was stored, and an empty memory.
                (self.sequence, self.pull, self.wire) = (Self::sequence(), None, None);
                self.inbox.clear();
                self.crashed = true;
            }
            _ => {}
        }
    }

    fn entry(&self, n: usize) -> Entry<usize> {
        entry(n).position(place_of(self.epoch, n))
    }

    fn publish(&mut self) {
        let entry = self.entry(self.log);
        if let Some(wire) = &mut self.wire {
            wire.push_back(Signal::Item(entry));
        }
        self.log += 1;
    }

    fn open(&mut self) {
        let mut wire = VecDeque::new();
        if self.replays {
            wire.push_back(Signal::Opened(Opening::Replay));
            match self.place.as_ref().map(index) {
                Some(n) if n / EPOCH < self.epoch || n % EPOCH + 1 < self.floor => wire.push_back(Signal::TooOld),
                Some(n) => {
                    let from = n % EPOCH + 1;
                    // The newest may come live before the replay reaches it, and then again.
                    wire.extend((self.log > from + 2).then(|| Signal::Item(self.entry(self.log - 1))));
                    wire.extend((from..self.log).map(|n| Signal::Item(self.entry(n).replayed())));
                }
                None => {}
            }
            wire.push_back(Signal::Replayed(None));
        } else {
            wire.push_back(Signal::Opened(Opening::Fresh));
        }
        self.wire = Some(wire);
    }

    fn deliver(&mut self) {
        if let Some(signal) = self.wire.as_mut().and_then(VecDeque::pop_front) {
            self.step(Step::Signal(signal));
        }
    }

    fn page(&mut self) {
        let Some(after) = self.pull.take() else { return };
        if after.as_ref().is_some_and(|after| index(after) / EPOCH < self.epoch) {
            return self.step(Step::Pulled(Ok(Page::TooOld)));
        }
        let from = after.as_ref().map_or(0, |after| index(after) % EPOCH + 1);
        let to = self.log.min(from + 7);
        let position = to.checked_sub(1).filter(|_| to > from).map(|n| place_of(self.epoch, n));
        let page = Page::Items { entries: (from..to).map(|n| self.entry(n)).collect(), position, more: to < self.log };
        self.step(Step::Pulled(Ok(page)));
    }

    fn step(&mut self, step: Step<usize>) {
        let mut effects = Vec::new();
        self.sequence.step(step, self.place.clone(), &mut effects);
        for effect in effects {
            match effect {
                Effect::Tell(event) => self.inbox.push_back(event),
                Effect::Pull(after) => self.pull = Some(after),
                Effect::StopPulling => self.pull = None,
                Effect::Reopen => self.wire = None,
            }
        }
    }

    fn apply(&mut self) {
        match self.inbox.pop_front() {
            Some(FeedEvent::Item { item, position, .. }) => {
                if self.held.contains(&item) {
                    assert!(self.crashed, "{item} was told twice without a crash");
                } else {
                    self.held.push(item);
                }
                self.place = position;
            }
            Some(FeedEvent::Gap { after: None }) => {
                self.held.clear();
                self.place = None;
            }
            Some(FeedEvent::Refused(error)) => panic!("{error:?}"),
            _ => {}
        }
    }

    /// Everything works again.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            if self.wire.is_none() {
                self.open();
            }
            let quiet = self.wire.as_ref().is_some_and(VecDeque::is_empty);
            if quiet && self.pull.is_none() && self.inbox.is_empty() {
                return;
            }
            self.deliver();
            self.page();
            (0..10).for_each(|_| self.apply());
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r12_what_is_held_is_what_was_published_once_and_in_order(
        replays: bool, ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut world = World::new(replays);
        for op in ops {
            world.run(op);
        }
        world.heal();
        let published: Vec<usize> = (0..world.log).collect();
        prop_assert_eq!(&world.held, &published);
    }
}

fn told(sequence: &mut Sequence<usize>, step: Step<usize>, at: Option<usize>) -> String {
    let mut effects = Vec::new();
    sequence.step(step, at.map(place), &mut effects);
    let shown = effects.iter().map(|effect| match effect {
        Effect::Tell(FeedEvent::Item { item, replayed, .. }) => format!("{item}{}", if *replayed { "r" } else { "" }),
        Effect::Tell(FeedEvent::Gap { after }) => format!("gap after {after:?}").replace("Position", ""),
        Effect::Tell(FeedEvent::CaughtUp { .. }) => "caught up".into(),
        Effect::Tell(other) => format!("{other:?}"),
        Effect::Pull(after) => format!("pull {}", after.as_ref().map_or("all", Position::as_str)),
        Effect::StopPulling => "stop".into(),
        Effect::Reopen => "reopen".into(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

const fn signal(signal: Signal<usize>) -> Step<usize> {
    Step::Signal(signal)
}

fn page(entries: impl IntoIterator<Item = usize>, position: usize, more: bool) -> Step<usize> {
    Step::Pulled(Ok(Page::Items {
        entries: entries.into_iter().map(entry).collect(),
        position: Some(place(position)),
        more,
    }))
}

#[test]
fn live_messages_wait_for_the_replay_and_for_the_pages_and_come_once() {
    let mut sequence = World::sequence();
    let sequence = &mut sequence;
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Replay)), Some(4)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7))), Some(4)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(5).replayed())), Some(4)), "5r");
    assert_eq!(told(sequence, signal(Signal::Item(entry(6).replayed())), Some(5)), "6r");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7).replayed())), Some(6)), "7r");
    assert_eq!(told(sequence, signal(Signal::Replayed(None)), Some(7)), "caught up");
    assert_eq!(told(sequence, signal(Signal::Item(entry(7))), Some(7)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(8))), Some(7)), "8");

    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(8)), r#"gap after Some(("8")), pull 8"#);
    assert_eq!(told(sequence, signal(Signal::Item(entry(11))), Some(8)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(12))), Some(8)), "");
    assert_eq!(told(sequence, page([9, 10], 10, true), Some(8)), "9r, 10r, pull 10");
    assert_eq!(told(sequence, page([11], 11, false), Some(10)), "11r, caught up, 12");
}

#[test]
fn a_position_that_is_too_old_is_asked_of_the_pages_and_then_everything_comes_again() {
    let mut sequence = World::sequence();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::TooOld), Some(1)), r#"gap after Some(("1")), pull 1"#);
    assert_eq!(told(sequence, signal(Signal::Replayed(None)), Some(1)), "", "it is not caught up yet");
    assert_eq!(told(sequence, Step::Pulled(Ok(Page::TooOld)), Some(1)), "gap after None, pull all");
    assert_eq!(told(sequence, page([0, 1, 2], 2, false), None), "0r, 1r, 2r, caught up");
}

#[test]
fn without_a_catch_up_a_gap_is_told_and_the_feed_goes_on() {
    let mut sequence = Sequence::new();
    let sequence = &mut sequence;
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), None), "caught up");
    told(sequence, signal(Signal::Item(entry(1))), None);
    assert_eq!(told(sequence, signal(Signal::Lost), Some(1)), "");
    assert_eq!(told(sequence, signal(Signal::Item(entry(2))), Some(1)), "", "a rest of the old one");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), Some(1)), r#"gap after Some(("1")), caught up"#);
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::TooOld), Some(1)), r#"gap after Some(("1")), caught up"#);
    assert_eq!(told(sequence, signal(Signal::Item(entry(9))), Some(1)), "9");
}

#[test]
fn what_cannot_be_held_back_is_caught_up_with_again() {
    let mut pulling = World::sequence();
    told(&mut pulling, signal(Signal::Opened(Opening::Fresh)), Some(0));
    (10..11 + MAX_HELD).for_each(|n| assert_eq!(told(&mut pulling, signal(Signal::Item(entry(n))), Some(0)), ""));
    assert_eq!(told(&mut pulling, page([1], 1, false), Some(0)), "1r, pull 1");
    assert_eq!(told(&mut pulling, page([2], 2, false), Some(1)), "2r, caught up");

    let mut replaying = World::sequence();
    told(&mut replaying, signal(Signal::Opened(Opening::Replay)), Some(0));
    let full = (10..11 + MAX_HELD).map(|n| told(&mut replaying, signal(Signal::Item(entry(n))), Some(0)));
    assert_eq!(full.last().unwrap(), r#"gap after Some(("0")), pull 0"#);
}

#[test]
fn without_a_catch_up_what_was_missed_is_replayed_once_more_and_then_left_to_the_application() {
    let mut sequence = Sequence::new();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "reopen");
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "", "nothing is open");
    told(sequence, signal(Signal::Opened(Opening::Replay)), Some(1));
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), r#"gap after Some(("1")), caught up"#);
    assert_eq!(told(sequence, signal(Signal::Missed), Some(1)), "reopen", "that one was caught up with");
}

#[test]
fn what_is_for_others_is_dropped_wherever_it_comes_from_and_not_remembered() {
    let (mine, other) = (Audience::organization("o1").conversation("c1"), Audience::organization("o2"));
    let mut sequence = World::sequence();
    sequence.set_audience(Some(mine.clone()));
    let foreign = [other.clone(), other.conversation("c1"), Audience::organization("o1"), Audience::default()];
    told(&mut sequence, signal(Signal::Opened(Opening::Replay)), Some(0));
    for audience in &foreign {
        let item = Signal::Item(entry(1).audience(audience.clone()).replayed());
        assert_eq!(told(&mut sequence, signal(item), Some(0)), "", "{audience:?}");
    }
    told(&mut sequence, signal(Signal::TooOld), Some(0));
    let mut entries: Vec<_> = foreign.iter().map(|audience| entry(1).audience(audience.clone())).collect();
    entries.push(entry(1).audience(mine.clone()));
    let pulled = Step::Pulled(Ok(Page::Items { entries, position: None, more: false }));
    assert_eq!(told(&mut sequence, pulled, Some(0)), "1r, caught up");
    assert_eq!(told(&mut sequence, signal(Signal::Item(entry(2).audience(Audience::organization("o2")))), Some(1)), "");
    assert_eq!(told(&mut sequence, signal(Signal::Item(entry(2).audience(mine))), Some(1)), "2");
}

#[test]
fn starting_over_forgets_what_was_told_and_what_is_on_its_way() {
    let mut sequence = World::sequence();
    let sequence = &mut sequence;
    told(sequence, signal(Signal::Opened(Opening::Fresh)), None);
    assert_eq!(told(sequence, page([1], 1, false), None), "1r, caught up");
    assert_eq!(told(sequence, Step::StartOver, None), "reopen");
    assert_eq!(told(sequence, signal(Signal::Item(entry(2))), None), "");
    assert_eq!(told(sequence, signal(Signal::Opened(Opening::Fresh)), None), "pull all");
    assert_eq!(told(sequence, Step::StartOver, None), "stop, reopen");
    told(sequence, signal(Signal::Opened(Opening::Fresh)), None);
    assert_eq!(told(sequence, page([1], 1, false), None), "1r, caught up");
}

#[test]
fn a_catch_up_that_leads_nowhere_ends() {
    let mut sequence = World::sequence();
    told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), Some(1));
    assert_eq!(told(&mut sequence, page([], 1, true), Some(1)), "caught up");
    told(&mut sequence, signal(Signal::Opened(Opening::Fresh)), None);
    let refused = told(&mut sequence, Step::Pulled(Ok(Page::TooOld)), None);
    assert!(refused.contains("realtime.feed_broken"), "{refused}");
}
