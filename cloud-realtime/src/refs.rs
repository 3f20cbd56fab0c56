//! The counter that ties a reply to its request, and a message to one instance of a channel.
//!
//! One counter per client, shared by all sockets and channels and never reset: a reply or a close that
//! belongs to the past can then never match anything alive. On the wire a ref is a string of digits.
//! Source: Phoenix channels, message `ref` and `join_ref`.

use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Hands out refs, each once, from `1`.
#[derive(Debug, Default)]
pub struct Refs(AtomicU64);

impl Refs {
    /// A counter that has handed out nothing yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The next ref. Two calls never give the same one, from whichever thread.
    pub fn next(&self) -> Ref {
        // Relaxed: only uniqueness matters, nothing else is published through the counter.
        Ref(self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }
}

/// One handed-out ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(u64);

impl Ref {
    /// Reads a ref that came back. `None` when it is not one of ours: ours are plain digits without a
    /// leading zero.
    pub fn parse(wire: &str) -> Option<Self> {
        let ours = !wire.starts_with('0') && wire.bytes().all(|byte| byte.is_ascii_digit());
        if ours { wire.parse().ok().map(Self) } else { None }
    }

    /// Whether `wire` is this ref.
    pub fn is(self, wire: &str) -> bool {
        Self::parse(wire) == Some(self)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Ref> for Cow<'_, str> {
    fn from(value: Ref) -> Self {
        Cow::Owned(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn refs_start_at_one_and_grow() {
        let refs = Refs::new();
        assert_eq!([refs.next(), refs.next(), refs.next()].map(|r| r.to_string()), ["1", "2", "3"]);
    }

    #[test]
    fn no_ref_is_handed_out_twice_across_threads() {
        let refs = Refs::new();
        let all: Vec<Ref> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..2_500).map(|_| refs.next()).collect::<Vec<_>>())).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 10_000);
    }

    #[test]
    fn only_the_same_digits_match() {
        let twelve = Ref::parse("12").unwrap();
        assert!(twelve.is("12"));
        for other in ["", "1", "012", "+12", "12 ", "1２", "twelve", "99999999999999999999999"] {
            assert!(!twelve.is(other), "{other:?}");
        }
    }
}
