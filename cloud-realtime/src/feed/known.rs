//! What was told already: a bounded set of names, and the bounded queue of what must wait.
use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
};

use super::{Entry, audience::Name};

/// Names that are remembered, newest last. A replay that reaches further back is told apart by the host's own store.
pub const MAX_REMEMBERED: usize = 4_096;
/// Most messages that wait for the end of a catch-up.
pub const MAX_HELD: usize = 1_024;
/// Most bytes of them.
pub const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;

/// The names of what was told: of each a hash of 64 bits under a key of this process, whatever its length.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    hash: RandomState,
    order: VecDeque<u64>,
    names: HashSet<u64>,
}

impl Known {
    /// Remembers `name`; false when it was known.
    pub(super) fn is_new(&mut self, name: Name<'_>) -> bool {
        let name = self.hash.hash_one(name);
        if !self.names.insert(name) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Live messages that wait until what is older has come.
#[derive(Debug)]
pub(super) struct Held<T> {
    waiting: VecDeque<Entry<T>>,
    bytes: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Held<T> {
    /// Keeps `entry`; false when there was no room: then nothing is kept at all, since a hole is a hole.
    pub(super) fn keep(&mut self, entry: Entry<T>) -> bool {
        self.bytes += entry.size_bytes;
        self.waiting.push_back(entry);
        let fits = self.waiting.len() <= MAX_HELD && self.bytes <= MAX_HELD_BYTES;
        if !fits {
            *self = Self::default();
        }
        fits
    }

    pub(super) fn take(self) -> VecDeque<Entry<T>> {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_and_memory_is_bounded() {
        let mut known = Known::default();
        assert!(known.is_new(Name::Id("6")));
        assert!(!known.is_new(Name::Id("6")));
        assert!(known.is_new(Name::Position("6")), "an id is no position");
        for n in 0..2 * MAX_REMEMBERED {
            assert!(known.is_new(Name::Id(&format!("n{n}"))));
        }
        assert_eq!((known.names.len(), known.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(known.is_new(Name::Id("6")), "forgotten long ago");
        known.forget();
        assert!(known.is_new(Name::Id("n8000")));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes() {
        let mut held = Held::default();
        assert!((0..MAX_HELD).all(|n| held.keep(Entry::new(n))));
        assert!(!held.keep(Entry::new(0)));
        assert!(held.take().is_empty());
        let mut held = Held::default();
        let large = Entry::new(0).size_bytes(MAX_HELD_BYTES / 2);
        assert!(held.keep(large.clone()) && held.keep(large.clone()));
        assert!(!held.keep(Entry::new(0).size_bytes(1)));
    }
}
