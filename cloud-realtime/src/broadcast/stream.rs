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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::{GapCause, Joined, Listeners},
        codec::{Content, Envelope, UserBroadcast},
        message::Message,
        refs::Refs,
    };
    use serde_json::{Value, json};

    fn said(event: &str, what: &Value, meta: &Value) -> ChannelEvent {
        let broadcast = UserBroadcast::new(event.to_owned(), Content::json(what).unwrap());
        let broadcast = broadcast.with_metadata(Content::json(meta).unwrap());
        ChannelEvent::Message(Message::new(Envelope::new_broadcast("realtime:r", broadcast)))
    }

    #[tokio::test(start_paused = true)]
    async fn r12_one_name_is_heard_once_each_with_the_breaks_and_a_cut_replay_is_told() {
        let listeners = Listeners::default();
        let mut broadcasts: Broadcasts<u8> = Broadcasts {
            events: listeners.add(),
            event: "n".to_owned(),
            inbox: Inbox::new(2),
            has_told_cut: false,
            payload: PhantomData,
        };
        let joined = Joined { join_ref: Refs::new().next(), response: Content::empty_object() };
        let stored = |id: &str| json!({"id": id, "replayed": true});
        for event in [
            ChannelEvent::Joined(joined.clone()),
            ChannelEvent::Live,
            said("n", &json!(1), &json!({"id": "a"})),
            said("other", &json!("x"), &json!({})),
            said("n", &json!("x"), &json!({})),
            ChannelEvent::Gap(GapCause::Connection),
            ChannelEvent::Joined(joined),
            said("n", &json!(1), &stored("a")),
            said("n", &json!(2), &stored("b")),
            ChannelEvent::Live,
        ] {
            listeners.tell(event);
        }
        listeners.end();
        let mut told = Vec::new();
        while let Some(item) = broadcasts.next().await {
            told.push(match item {
                BroadcastEvent::Said { what, is_replayed, .. } => format!("{what} {is_replayed}"),
                BroadcastEvent::ReplayCut => "cut".to_owned(),
                BroadcastEvent::Continuity(continuity) => format!("{continuity:?}"),
                BroadcastEvent::Unreadable(_) => "unreadable".to_owned(),
            });
        }
        assert_eq!(told, ["Live", "1 false", "unreadable", "Gap(Connection)", "2 true", "cut", "Live"]);
    }
}
