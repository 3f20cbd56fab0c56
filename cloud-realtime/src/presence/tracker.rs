//! What this member wants to be seen as, for as long as the handle lives.
//!
//! [`Tracker::track`] → a wish beside the channel, of which only the newest counts → the task of the connection, which
//! tells it before everything else after each join and within the server's budget (R11); see
//! [`OwnPresence`]. Nothing waits here, and nothing is left running when the handle is dropped.
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloud_client::Error;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::own::OwnPresence;
use crate::{channel::Channel, codec::MAX_SENT_BYTES, codes::PUSH_INVALID};

/// What is wanted; nothing is `None`.
pub(crate) type ShownAs = Option<Box<RawValue>>;

/// A wish has to leave this much of the largest frame to what is around it.
const AROUND_BYTES: usize = 1_024;

/// The own presence on one channel, which has to ask for presence. Holds the channel. Of several on one channel the newest
/// wish counts, whosever it is.
#[derive(Debug)]
#[must_use = "dropping the tracker takes the presence back"]
pub struct Tracker {
    channel: Channel,
    number: u64,
}

impl Tracker {
    /// Nothing is told until [`Self::track`].
    pub fn of(channel: &Channel) -> Self {
        let number = channel.own_presence().number();
        Self { channel: channel.clone(), number }
    }

    /// Wants to be seen as `told`, a JSON object, until something else is wanted. Returns at once: of several wishes the
    /// last is told, when the server's budget (5 calls in 30 s) allows.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when `told` becomes no JSON object, or one that no frame can carry.
    pub fn track(&self, told: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let raw = to_raw_value(told).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        OwnPresence::new().want(&raw).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        if raw.get().len() > MAX_SENT_BYTES - AROUND_BYTES {
            return Err(Error::new(PUSH_INVALID));
        }
        self.want(Some(raw));
        Ok(())
    }

    /// Wants not to be seen.
    pub fn untrack(&self) {
        self.want(None);
    }

    /// The server's last no, until it says yes or something else is wanted. The next join is a new chance, except for
    /// what was too large.
    pub fn refusal(&self) -> Option<Error> {
        self.channel.own_presence().locked().refusal.clone()
    }

    fn want(&self, wish: ShownAs) {
        let mut own = self.channel.own_presence().locked();
        (own.wish, own.wished_by, own.is_new, own.refusal) = (wish, self.number, true, None);
        drop(own);
        self.channel.realtime().nudge();
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // What a later one wants stays wanted.
        if self.channel.own_presence().locked().wished_by == self.number {
            self.want(None);
        }
    }
}

/// What the handles of one channel and the supervisor say to each other about the own presence.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wish: ShownAs,
    is_new: bool,
    wished_by: u64,
    trackers: u64,
    refusal: Option<Error>,
}

impl Shown {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        let mut state = self.locked();
        state.trackers += 1;
        state.trackers
    }

    /// The newest wish, once.
    pub(crate) fn new_wish(&self) -> Option<ShownAs> {
        let mut state = self.locked();
        std::mem::take(&mut state.is_new).then(|| state.wish.clone())
    }

    /// What the server said.
    pub(crate) fn answered(&self, refusal: Option<Error>) {
        self.locked().refusal = refusal;
    }
}
