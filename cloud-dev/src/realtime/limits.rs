//! At most so many calls in a stretch of time: a sliding window over a bounded list of moments.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Moments that are remembered at most; limits above it are no limits.
const MAX_MOMENTS: u32 = 100_000;

/// A sliding window.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    length: Duration,
    moments: VecDeque<Instant>,
}

impl Window {
    /// At most `limit` calls in `length`; a very large limit is none.
    pub(crate) const fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, moments: VecDeque::new() }
    }

    /// Counts `calls` at `now`; false, and nothing counted, when they are too many.
    pub(crate) fn allows(&mut self, now: Instant, calls: usize) -> bool {
        if self.limit > MAX_MOMENTS {
            return true;
        }
        while self.moments.front().is_some_and(|moment| now.duration_since(*moment) >= self.length) {
            self.moments.pop_front();
        }
        let fits = self.moments.len() + calls <= self.limit as usize;
        if fits {
            self.moments.extend(std::iter::repeat_n(now, calls));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = Window::new(3, Duration::from_secs(1));
        let seen = [0, 400, 500, 999, 1_000, 1_001, 1_400].map(|millis| window.allows(at(millis), 1));
        assert_eq!(seen, [true, true, true, false, true, false, true]);
        assert!(!Window::new(3, Duration::from_secs(1)).allows(start, 4));
        assert!(Window::new(u32::MAX, Duration::from_secs(1)).allows(start, 1_000_000));
    }
}
