//! A shared allowance for repeats: every repeat costs, every success pays a little back (T8).
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the bucket holds when full.
const CAPACITY: u32 = 500;
/// The price of a repeat after a failure.
pub(super) const COST: u32 = 14;
/// The price of a repeat that the server itself scheduled.
pub(super) const COST_THROTTLED: u32 = 5;

/// The allowance of one client. A cloud that fails for everybody soon gets first attempts only.
#[derive(Debug)]
pub struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(CAPACITY))
    }
}

impl Budget {
    /// Takes `cost` out; `false` when there is not enough left.
    pub(super) fn spend(&self, cost: u32) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(cost)).is_ok()
    }

    /// Puts back one for a call that succeeded.
    pub fn reward(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |left| (left < CAPACITY).then_some(left + 1));
    }
}
