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
    /// The page that is asked for is refused, or cannot be read.
    RefusePage,
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
        1 => Just(Op::RefusePage),
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
            Op::Flood if self.log < 1_500 => (0..MAX_HELD + 10).for_each(|_| self.publish()),
            Op::Repeat(back) => {
                let again = self.log.checked_sub(back + 1).map(|n| Signal::Item(self.entry(n)));
                self.wire.iter_mut().for_each(|wire| wire.extend(again.iter().map(clone)));
            }
            Op::Deliver(count) => (0..count).for_each(|_| self.deliver()),
            Op::Page => self.page(),
            Op::RefusePage if self.pull.take().is_some() => {
                self.step(Step::Pulled(Err(Error::new(cloud_client::error::codes::FORBIDDEN))));
            }
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
            let mut end = None;
            wire.push_back(Signal::Opened(if self.place.is_some() { Opening::Replay } else { Opening::New }));
            match self.place.as_ref().map(index) {
                Some(n) if n / EPOCH < self.epoch || n % EPOCH + 1 < self.floor => wire.push_back(Signal::TooOld),
                Some(n) => {
                    let from = n % EPOCH + 1;
                    // The newest may come live before the replay reaches it, and then again; or instead, and the end of
                    // the replay counts it in.
                    let newest = (self.log > from + 2).then(|| self.entry(self.log - 1));
                    let counted = newest.is_some() && self.log.is_multiple_of(2);
                    let to = if counted { self.log - 1 } else { self.log };
                    wire.extend(newest.map(Signal::Item));
                    wire.extend((from..to).map(|n| Signal::Item(self.entry(n).replayed())));
                    end = counted.then(|| place_of(self.epoch, self.log - 1));
                }
                None => {}
            }
            wire.push_back(Signal::Replayed(end));
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
        let page =
            Page::Items { entries: (from..to).map(|n| Ok(self.entry(n))).collect(), position, more: to < self.log };
        self.step(Step::Pulled(Ok(page)));
    }

    fn step(&mut self, step: Step<usize>) {
        let mut effects = Vec::new();
        self.sequence.step(step, self.place.clone(), &mut effects);
        for effect in effects {
            match effect {
                Effect::Tell(event) => self.inbox.push_back(event),
                Effect::Pull(after) => self.pull = Some(after),
                Effect::PullLater => self.pull = Some(None),
                Effect::StopPulling => self.pull = None,
                Effect::Reopen | Effect::ReopenLater(_) => self.wire = None,
            }
        }
    }

    fn apply(&mut self) {
        match self.inbox.pop_front() {
            Some(FeedEvent::Item { item, position, .. }) => {
                if self.held.get(item).is_some_and(|held| *held == item)
                    || (self.held.len() <= item && self.held.contains(&item))
                {
                    assert!(self.crashed, "{item} was told twice without a crash");
                } else {
                    self.held.push(item);
                }
                self.place = position;
            }
            Some(FeedEvent::Gap { anew: true, .. }) => {
                self.held.clear();
                self.place = None;
            }
            Some(FeedEvent::CaughtUp { position: Some(position) }) => self.place = Some(position),
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
