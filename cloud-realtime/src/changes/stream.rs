//! The row changes of one request, typed, in the order in which they came.
//!
//! [`ChannelEvent`] → [`ChangesFold::step`], pure: join answers bind the request to its id, messages become
//! typed items, all else passes as [`Continuity`] → [`Changes::next`]. One stream per request: several
//! requests of one channel have a stream each, with a type each.
use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use serde::de::DeserializeOwned;

use super::{Bindings, Change, Decoded, Reread, RowChange};
use crate::{
    channel::{Channel, ChannelEvent, Events, GapCause},
    codec::{Content, DecodeError, Payload},
    continuity::Continuity,
    event,
    join::ChangesRequest,
};

/// One item of a stream of row changes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChangesEvent<T> {
    /// A row changed.
    Change(Change<T>),
    /// A row changed, and the message does not hold it whole: fetch it.
    Reread(Reread),
    /// Whether changes can be trusted to come.
    Continuity(Continuity),
    /// The server took the join and not this request: nothing will come. Either the channel's configuration does not
    /// hold the request, or the server does not know it.
    Unconfirmed,
    /// A change of this request that is no `T`. The stream goes on; the row is as unknown as one that was missed.
    Unreadable(DecodeError),
}

impl<T> ChangesEvent<T> {
    /// Whether a pull would find something that this stream has not told.
    pub const fn asks_for_catch_up(&self) -> bool {
        match self {
            Self::Reread(_) | Self::Unreadable(_) => true,
            Self::Continuity(continuity) => continuity.asks_for_catch_up(),
            Self::Change(_) | Self::Unconfirmed => false,
        }
    }
}

/// What one request makes of the events of its channel. Pure.
#[derive(Clone, Debug)]
pub struct ChangesFold {
    bindings: Bindings,
}

impl ChangesFold {
    /// The fold of `request`, not joined yet.
    pub fn new(request: &ChangesRequest) -> Self {
        Self { bindings: Bindings::new(std::slice::from_ref(request)) }
    }

    /// Takes the next event of the channel. `None`: it is not for this request.
    pub fn step<T: DeserializeOwned>(&mut self, event: &ChannelEvent) -> Option<ChangesEvent<T>> {
        match event {
            ChannelEvent::Joined(joined) => {
                let is_confirmed = self.bindings.joined(&joined.response).is_ok_and(|missing| missing.is_empty());
                (!is_confirmed).then_some(ChangesEvent::Unconfirmed)
            }
            ChannelEvent::Message(message) if message.event() == event::POSTGRES_CHANGES => {
                let Payload::Content(Content::Json(raw)) = message.envelope().payload() else { return None };
                match RowChange::parse(raw) {
                    Ok(change) => self.change(&change),
                    Err(error) => Some(ChangesEvent::Unreadable(error)),
                }
            }
            // The instance is the same behind a gap of the database, and so are its ids: no answer to a join follows.
            ChannelEvent::Gap(GapCause::Database) => Continuity::of(event).map(ChangesEvent::Continuity),
            ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => {
                self.bindings.left();
                Continuity::of(event).map(ChangesEvent::Continuity)
            }
            _ => Continuity::of(event).map(ChangesEvent::Continuity),
        }
    }

    fn change<T: DeserializeOwned>(&self, change: &RowChange<'_>) -> Option<ChangesEvent<T>> {
        if !self.bindings.is_wanted(change) {
            return None;
        }
        Some(match change.decode() {
            Ok(Decoded::Change(change)) => ChangesEvent::Change(change),
            Ok(Decoded::Reread(reread)) => ChangesEvent::Reread(reread),
            Err(error) => ChangesEvent::Unreadable(error),
        })
    }
}

/// The row changes of one request. Dropping it stops listening; the channel stays.
///
/// ```no_run
/// use cloud_realtime::{
///     Realtime, Topic,
///     changes::{Changes, ChangesEvent, Condition, Filter},
///     join::{ChangesRequest, JoinConfig, RowEvent},
/// };
///
/// #[derive(serde::Deserialize)]
/// struct Message {
///     id: i64,
///     body: String,
/// }
///
/// # async fn example(realtime: Realtime) -> Result<(), Box<dyn std::error::Error>> {
/// let mine = Filter::all([Condition::eq("room", 7)])?;
/// let request = ChangesRequest::table(RowEvent::INSERT, "public", "messages").filter(mine);
/// let config = JoinConfig::new().changes(request.clone());
/// let channel = realtime.channel(Topic::realtime("room-7")?).config(config).open().await?;
/// let mut changes = Changes::<Message>::of(&channel, &request);
/// while let Some(event) = changes.next().await {
///     match event {
///         ChangesEvent::Change(change) => {
///             if let Some(message) = change.row {
///                 println!("{}: {}", message.id, message.body);
///             }
///         }
///         other if other.asks_for_catch_up() => { /* pull the table */ }
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "changes are read only when asked for"]
pub struct Changes<T> {
    events: Events,
    fold: ChangesFold,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Changes<T> {
    /// Listens for `request`, which has to be one of the channel's configuration.
    pub fn of(channel: &Channel, request: &ChangesRequest) -> Self {
        Self { events: channel.events(), fold: ChangesFold::new(request), row: PhantomData }
    }

    /// The next item; `None` when the channel was left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no item.
    pub async fn next(&mut self) -> Option<ChangesEvent<T>> {
        loop {
            let event = self.events.next().await?;
            if let Some(item) = self.fold.step(&event) {
                return Some(item);
            }
        }
    }
}

impl<T: DeserializeOwned> Stream for Changes<T> {
    type Item = ChangesEvent<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ChangesEvent<T>>> {
        loop {
            let Some(event) = std::task::ready!(Pin::new(&mut self.events).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Some(item) = self.fold.step(&event) {
                return Poll::Ready(Some(item));
            }
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
