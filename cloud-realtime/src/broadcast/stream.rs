//! The broadcasts of a channel, typed, with the breaks between them.
//!
//! [`ChannelEvent`] → [`Inbox`] → one event name, or all → [`BroadcastEvent`].
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::inbox::{Inbox, MAX_REPLAYED};
use crate::{
    channel::{Channel, ChannelEvent, Events},
    codec::DecodeError,
    continuity::Continuity,
};

/// One item of a stream of broadcasts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BroadcastEvent<T> {
    /// Somebody said something.
    Said {
        /// What.
        what: T,
        /// The server's id, of one that it stores.
        id: Option<String>,
        /// Whether it was said earlier and is told again.
        is_replayed: bool,
    },
    /// The replay of this join is as long as it may be: earlier broadcasts may be missing. Once per join.
    ReplayCut,
    /// Whether broadcasts can be trusted to come.
    Continuity(Continuity),
    /// A broadcast of this name that is no `T`. The stream goes on.
    Unreadable(DecodeError),
}

/// The JSON broadcasts of one event name; for bytes, put the channel's events through an [`Inbox`]. Dropping it stops
/// listening; the channel stays.
#[derive(Debug)]
#[must_use = "broadcasts are read only when asked for"]
pub struct Broadcasts<T> {
    events: Events,
    event: String,
    inbox: Inbox,
    has_told_cut: bool,
    payload: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Broadcasts<T> {
    /// Listens for broadcasts named `event`.
    pub fn of(channel: &Channel, event: impl Into<String>) -> Self {
        Self {
            events: channel.events(),
            event: event.into(),
            inbox: Inbox::new(MAX_REPLAYED),
            has_told_cut: false,
            payload: PhantomData,
        }
    }

    /// Says how many broadcasts the channel asks to have replayed. Default: 25, the most there can be.
    pub fn replay_limit(mut self, limit: u8) -> Self {
        self.inbox = Inbox::new(limit);
        self
    }

    /// The next item; `None` when the channel was left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no item.
    pub async fn next(&mut self) -> Option<BroadcastEvent<T>> {
        loop {
            if self.inbox.was_cut() && !self.has_told_cut {
                self.has_told_cut = true;
                return Some(BroadcastEvent::ReplayCut);
            }
            let event = self.events.next().await?;
            if let Some(item) = self.step(&event) {
                return Some(item);
            }
        }
    }

    fn step(&mut self, event: &ChannelEvent) -> Option<BroadcastEvent<T>> {
        match event {
            ChannelEvent::Joined(_) => {
                self.inbox.joined();
                self.has_told_cut = false;
                None
            }
            ChannelEvent::Message(message) => {
                let heard = match self.inbox.take(message.envelope())? {
                    Ok(heard) => heard,
                    Err(error) => return Some(BroadcastEvent::Unreadable(error)),
                };
                if heard.event != self.event {
                    return None;
                }
                Some(match heard.decode() {
                    Ok(what) => BroadcastEvent::Said { what, id: heard.id, is_replayed: heard.is_replayed },
                    Err(error) => BroadcastEvent::Unreadable(error),
                })
            }
            other => Continuity::of(other).map(BroadcastEvent::Continuity),
        }
    }
}
