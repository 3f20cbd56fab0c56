//! One topic: what is asked for, what comes, what is sent.
//!
//! A [`Channel`] is a wish that the supervisor of the connection keeps true. It is joined when the socket opens, joined
//! again after every break with its whole configuration and a token fetched for that join, and left when the last
//! handle is dropped. Nothing here touches the socket.
mod builder;
pub(crate) mod command;
mod event;
mod lost;
mod ring;
pub(crate) mod set;

pub use self::{
    builder::ChannelBuilder,
    event::{ChannelEvent, GapCause, Joined},
    ring::{Events, MAX_EVENT_BYTES, MAX_EVENTS},
};
pub(crate) use self::{builder::Params, ring::Listeners};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cloud_client::{Error, error::codes::CLOSED};
use tokio::sync::{oneshot, watch};

use self::command::{Command, Waiter};
use crate::{
    codec::{Content, Reply},
    join::JoinConfig,
    message::Push,
    presence::Shown,
    realtime::Realtime,
    status::{ChannelState, Watch},
    topic::Topic,
};

/// A handle on one channel. Clones share it; when the last is dropped, the channel is left.
#[derive(Clone)]
pub struct Channel {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    /// Keeps the connection alive.
    realtime: Realtime,
}

/// What the handle and the supervisor both hold.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) topic: Topic,
    pub(crate) listeners: Listeners,
    pub(crate) state: watch::Sender<ChannelState>,
    pub(crate) abandoned: AtomicBool,
    pub(crate) shown: Shown,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        self.realtime.nudge();
    }
}

impl Channel {
    pub(crate) fn new(shared: Arc<Shared>, realtime: Realtime) -> Self {
        Self { handle: Arc::new(Handle { shared, realtime }) }
    }

    /// The connection it belongs to.
    pub fn realtime(&self) -> &Realtime {
        &self.handle.realtime
    }

    /// The whole topic.
    pub fn topic(&self) -> &Topic {
        &self.handle.shared.topic
    }

    /// What the channel is doing.
    pub fn state(&self) -> ChannelState {
        *self.handle.shared.state.borrow()
    }

    /// Follows what the channel is doing.
    pub fn watch_state(&self) -> Watch<ChannelState> {
        Watch(self.handle.shared.state.subscribe())
    }

    /// Listens from now on. If the channel is joined or live already, the first events are [`ChannelEvent::Joined`] and
    /// [`ChannelEvent::Live`].
    pub fn events(&self) -> Events {
        self.handle.shared.listeners.add()
    }

    /// Sends `push` and waits for its answer, whatever its status. Before the channel is joined it waits in a queue of
    /// 100 pushes or 8 MiB, within the push's own limit of time.
    ///
    /// # Errors
    ///
    /// `realtime.push_expired`, `push_overflow`, `push_invalid`: it was not sent. `realtime.push_timeout`,
    /// `push_uncertain`: it was, and no answer came. `client.closed`: the channel was left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the answer; the push may still be sent.
    pub async fn push(&self, push: Push) -> Result<Reply<'static>, Error> {
        let (waiter, answer) = oneshot::channel();
        self.command(Command::Push { id: self.handle.shared.id, push, waiter: Waiter::Answer(waiter) }).await?;
        answer.await.map_err(|_| Error::new(CLOSED))?
    }

    /// Sends `push` and does not ask for an answer. Returns when the socket has taken it.
    ///
    /// # Errors
    ///
    /// `realtime.push_expired`, `push_overflow`, `push_invalid`: it was not sent. `client.closed`: the channel was left.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::push`].
    pub async fn send(&self, push: Push) -> Result<(), Error> {
        let (waiter, sent) = oneshot::channel();
        self.command(Command::Push { id: self.handle.shared.id, push, waiter: Waiter::Sent(waiter) }).await?;
        sent.await.map_err(|_| Error::new(CLOSED))?
    }

    /// Sets a push that is sent right after every join, before all others and before the channel counts as live; `None`
    /// takes it back. It is not sent now. For what the server forgets with the connection; presence is told by a
    /// [`Tracker`](crate::presence::Tracker), which goes before it.
    ///
    /// # Errors
    ///
    /// `client.closed`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call has set it or not.
    pub async fn set_after_join(&self, push: Option<Push>) -> Result<(), Error> {
        self.command(Command::AfterJoin { id: self.handle.shared.id, push }).await
    }

    /// Asks for something else from the next join on. `rejoin` says whether that is now.
    ///
    /// # Errors
    ///
    /// `client.closed`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call has set it or not.
    pub async fn configure(&self, config: JoinConfig, rejoin: Rejoin) -> Result<(), Error> {
        self.command(Command::Configure { id: self.handle.shared.id, params: Params::Supabase(config), rejoin }).await
    }

    /// As [`Self::configure`], for plain Phoenix servers: another join payload.
    ///
    /// # Errors
    ///
    /// `client.closed`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call has set it or not.
    pub async fn configure_params(&self, params: Content<'static>, rejoin: Rejoin) -> Result<(), Error> {
        self.command(Command::Configure { id: self.handle.shared.id, params: Params::Plain(params), rejoin }).await
    }

    /// Leaves now, also when there are other clones, and waits until the server knows or 2 s have passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the leave goes on.
    pub async fn leave(self) {
        self.handle.shared.abandoned.store(true, Ordering::Release);
        self.handle.realtime.nudge();
        // `None` says that the supervisor has ended, and with it the channel.
        let _ = self.watch_state().until(|state| *state == ChannelState::Left).await;
    }

    pub(crate) fn own_presence(&self) -> &Shown {
        &self.handle.shared.shown
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.handle.realtime.commands().send(command).await.map_err(|_| Error::new(CLOSED))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("topic", self.topic()).field("state", &self.state()).finish()
    }
}

/// When a new configuration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "now or not now")]
pub enum Rejoin {
    /// At the next join, whenever that is.
    Later,
    /// At once: the channel is left and joined again, with a gap.
    Now,
}
