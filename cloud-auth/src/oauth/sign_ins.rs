//! The sign-ins that wait, kept in the store of secrets, and whoever in this process waits for one of them.
//!
//! Every change is read, change, write under the store's own lock, bounded in time, alone among the tasks of this
//! process; so an answer that two processes receive is claimed by one of them. Nothing is written for an answer that
//! belongs to nobody (A15). What the store holds is small and short-lived: a text that cannot be read is replaced.
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};

use cloud_client::{Error, clock::SharedClock, error::codes::ENCODE};
use tokio::sync::watch;

use super::{
    pending::{Claim, MOST, Pending, Pendings},
    pkce::FlowId,
};
use crate::{
    codes::{FLOW_EXPIRED, FLOW_UNKNOWN},
    status::User,
    store::{BoundedStore, LOCK_LIMIT, SecretKey, SecretStoreHandle},
};

/// How a sign-in ended, for whoever waits; `None` until then.
pub(super) type Outcome = Option<Result<User, Error>>;

/// Somebody who waits.
#[derive(Debug)]
struct Waiter {
    id: FlowId,
    outcome: Weak<watch::Sender<Outcome>>,
}

/// See the module. One for all clones of a handle.
#[derive(Debug)]
pub(crate) struct SignIns {
    store: BoundedStore,
    key: SecretKey,
    origin: String,
    clock: SharedClock,
    turn: tokio::sync::Mutex<()>,
    waiters: Mutex<Vec<Waiter>>,
}

impl SignIns {
    pub(crate) fn new(store: SecretStoreHandle, key: SecretKey, origin: &str, clock: SharedClock) -> Self {
        let (turn, waiters) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { store: BoundedStore::new(store, clock.clone()), key, origin: origin.to_owned(), clock, turn, waiters }
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Makes `pending` wait; durable when this returns (A15).
    pub(super) async fn begin(&self, pending: Pending) -> Result<(), Error> {
        let now = self.now();
        let gone = self.change(|all| (true, all.begin(pending, now))).await?;
        for id in &gone {
            self.tell(id, &Err(Error::new(FLOW_UNKNOWN).during("waiting for the browser")));
        }
        Ok(())
    }

    /// Takes the sign-in that an answer names; durable when this returns, so that no second answer finds it.
    pub(super) async fn claim(&self, id: &FlowId) -> Result<Pending, Error> {
        let now = self.now();
        let claim = self.change(|all| {
            let claim = all.claim(id, now);
            (!matches!(claim, Claim::Unknown), claim)
        });
        match claim.await? {
            Claim::Ours(pending) => Ok(pending),
            Claim::Expired => Err(Error::new(FLOW_EXPIRED).during("taking an answer from the browser")),
            Claim::Unknown => Err(Error::new(FLOW_UNKNOWN).during("taking an answer from the browser")),
        }
    }

    /// Reads, changes and, where `change` says so, writes.
    async fn change<T>(&self, change: impl FnOnce(&mut Pendings) -> (bool, T)) -> Result<T, Error> {
        let _turn = self.turn.lock().await;
        let _lock = self.store.lock(LOCK_LIMIT).await?;
        let text = self.store.get(&self.key).await?;
        let mut all = text.and_then(|text| Pendings::parse(&text, &self.origin)).unwrap_or_default();
        let (changed, value) = change(&mut all);
        if changed && all.is_empty() {
            self.store.delete(&self.key).await?;
        } else if changed {
            let text = all.text(&self.origin);
            let text = text.map_err(|cause| Error::new(ENCODE).during("storing a sign-in").with_source(cause))?;
            self.store.put(&self.key, text).await?;
        }
        Ok(value)
    }

    /// Where the outcome of a sign-in will be told in this process.
    pub(super) fn watch(&self, id: &FlowId) -> Arc<watch::Sender<Outcome>> {
        let outcome = Arc::new(watch::Sender::new(None));
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|waiter| waiter.outcome.strong_count() > 0);
        // Whoever waits beyond the limit waits for a sign-in that was given up.
        let spare = waiters.len().saturating_sub(2 * MOST);
        waiters.drain(..spare);
        waiters.push(Waiter { id: id.clone(), outcome: Arc::downgrade(&outcome) });
        outcome
    }

    /// Tells how a sign-in ended to whoever waits for it.
    pub(super) fn tell(&self, id: &FlowId, result: &Result<User, Error>) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs: Vec<_> =
            waiters.iter().filter(|waiter| waiter.id == *id).map(|waiter| Weak::clone(&waiter.outcome)).collect();
        drop(waiters);
        for outcome in theirs.iter().filter_map(Weak::upgrade) {
            outcome.send_replace(Some(result.clone()));
        }
    }
}
