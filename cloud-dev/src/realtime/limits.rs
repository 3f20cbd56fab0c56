//! At most so many calls in a stretch of time, which begins with the first of them.

use std::time::Duration;

use tokio::time::Instant;

/// A stretch of time, and what was counted in it.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    length: Duration,
    counted: u32,
    began: Option<Instant>,
}

impl Window {
    /// At most `limit` calls in `length`; `u32::MAX` is no limit.
    pub(crate) const fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, counted: 0, began: None }
    }

    /// Counts `calls` at `now`; false, and nothing counted, when they are too many.
    pub(crate) fn allows(&mut self, now: Instant, calls: usize) -> bool {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let fits = self.limit == u32::MAX || calls <= self.limit.saturating_sub(self.counted(now));
        if fits {
            self.count(now, calls);
        }
        fits
    }

    /// Counts `calls` at `now`, even if they are too many.
    pub(crate) fn count(&mut self, now: Instant, calls: u32) {
        let counted = self.counted(now);
        if counted == 0 {
            self.began = Some(now);
        }
        self.counted = counted.saturating_add(calls);
    }

    /// What was counted in the stretch of time that `now` is in.
    pub(crate) fn counted(&self, now: Instant) -> u32 {
        match self.began {
            Some(began) if now.duration_since(began) < self.length => self.counted,
            _ => 0,
        }
    }

    /// The most that may be counted; `None` without a limit.
    pub(crate) fn limit(&self) -> Option<u32> {
        (self.limit != u32::MAX).then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_its_first_call_and_then_anew() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = Window::new(3, Duration::from_secs(1));
        let seen = [0, 400, 500, 999, 1_000, 1_001, 1_400, 1_999].map(|millis| window.allows(at(millis), 1));
        assert_eq!(seen, [true, true, true, false, true, true, true, false]);
        assert_eq!((window.counted(at(1_999)), window.counted(at(2_000)), window.limit()), (3, 0, Some(3)));
        assert!(!Window::new(3, Duration::from_secs(1)).allows(start, 4));
        let mut unlimited = Window::new(u32::MAX, Duration::from_secs(1));
        assert!(unlimited.allows(start, usize::MAX) && unlimited.allows(start, usize::MAX));
        assert_eq!(unlimited.limit(), None);
    }
}
