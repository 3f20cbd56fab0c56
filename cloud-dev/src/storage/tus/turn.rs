//! One request at a time for each resumable upload, and the newest one first.
//!
//! A request that comes while another holds the upload asks it to stop and waits for it: after a broken
//! connection the old request may still believe that it has a client.
//! Wire source: `@tus/server`, the locker and its request for release.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OwnedMutexGuard, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long a request waits for the one before it.
const WAIT: Duration = Duration::from_secs(10);

/// Uploads whose slots are kept although nobody holds them.
const MAX_IDLE: usize = 1_000;

/// The slots of all uploads.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    busy: Arc<tokio::sync::Mutex<()>>,
    release: CancellationToken,
}

/// The right to work on an upload; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Cancelled when another request asks for the upload.
    pub(crate) release: CancellationToken,
    #[expect(dead_code, reason = "held for as long as the turn lasts")]
    held: OwnedMutexGuard<()>,
}

impl Turns {
    /// The uploads that somebody holds or waits for.
    pub(crate) fn taken(&self) -> Vec<String> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slots.iter().filter(|(_, slot)| Arc::strong_count(&slot.busy) > 1);
        taken.map(|(version, _)| version.clone()).collect()
    }

    /// Waits for the turn; `None` if it does not come.
    pub(crate) async fn take(&self, version: &str) -> Option<Turn> {
        let release = CancellationToken::new();
        let (busy, holder) = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= MAX_IDLE {
                slots.retain(|_, slot| Arc::strong_count(&slot.busy) > 1);
            }
            let slot = slots.entry(version.to_owned()).or_default();
            (Arc::clone(&slot.busy), mem::replace(&mut slot.release, release.clone()))
        };
        holder.cancel();
        let held = timeout(WAIT, busy.lock_owned()).await.ok()?;
        Some(Turn { release, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newer_request_asks_the_holder_to_stop_and_gets_the_turn() {
        let turns = Turns::default();
        let first = turns.take("a").await.unwrap();
        let other = turns.take("b").await.unwrap();
        let next = turns.take("a");
        let held = async {
            first.release.cancelled().await;
            drop(first);
        };
        let (next, ()) = tokio::join!(next, held);
        let next = next.unwrap();
        assert!(!next.release.is_cancelled());
        let mut taken = turns.taken();
        taken.sort();
        assert_eq!(taken, ["a", "b"]);
        drop(next);
        assert_eq!(turns.taken(), ["b"]);
        assert!(!other.release.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_never_stops_does_not_block_for_ever() {
        let turns = Turns::default();
        let _held = turns.take("a").await.unwrap();
        assert!(turns.take("a").await.is_none());
    }
}
