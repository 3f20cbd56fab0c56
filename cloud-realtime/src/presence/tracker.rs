//! Tells the server what this member wants to be seen as, for as long as the handle lives.
//!
//! [`Tracker::track`] → a wish, of which only the newest counts → one task that steps [`OwnPresence`] →
//! `presence` pushes within the server's budget. After each join the wish is told again (R11). Dropping the
//! handle takes the presence back and ends the task; until then the task holds the channel.
use std::time::Duration;

use cloud_client::{
    Error,
    clock::SharedClock,
    tasks::{CancellationToken, Tasks},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;

use super::own::{Call, Next, OwnPresence};
use crate::{
    channel::{Channel, ChannelEvent, Events, GapCause},
    codes::{PRESENCE_REFUSED, PUSH_INVALID},
    event,
    message::Push,
    status::ChannelState,
};

/// What is wanted; nothing is `None`.
type Wish = Option<Box<RawValue>>;

/// How long the last call may take, when the handle is gone.
const GOODBYE: Duration = Duration::from_secs(2);

/// The own presence on one channel. The channel has to ask for presence.
#[derive(Debug)]
#[must_use = "dropping the tracker takes the presence back"]
pub struct Tracker {
    wish: watch::Sender<Wish>,
    refused: watch::Receiver<Option<Error>>,
    /// Dropped with the handle, which ends the task.
    _tasks: Tasks,
}

impl Tracker {
    /// Nothing is told until [`Self::track`].
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn of(channel: &Channel, clock: &SharedClock) -> Self {
        let (wish, wishes) = watch::channel(None);
        let (refusal, refused) = watch::channel(None);
        let tasks = Tasks::new();
        let (events, channel, clock) = (channel.events(), channel.clone(), clock.clone());
        let teller = Teller { own: OwnPresence::new(), events, channel, clock, refusal };
        tasks.spawn(teller.run(wishes, tasks.stop_signal()));
        Self { wish, refused, _tasks: tasks }
    }

    /// Wants to be seen as `told`, a JSON object, until something else is wanted. Returns at once: of several wishes the
    /// last is told, when the server's budget (5 calls in 30 s) allows.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when `told` becomes no JSON object.
    pub fn track(&self, told: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let raw = to_raw_value(told).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        OwnPresence::new().want(&raw).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        self.wish.send_replace(Some(raw));
        Ok(())
    }

    /// Wants not to be seen.
    pub fn untrack(&self) {
        self.wish.send_replace(None);
    }

    /// The server's last no, until it says yes. The next wish and the next join are new chances.
    pub fn refusal(&self) -> Option<Error> {
        self.refused.borrow().clone()
    }
}

struct Teller {
    own: OwnPresence,
    events: Events,
    channel: Channel,
    clock: SharedClock,
    refusal: watch::Sender<Option<Error>>,
}

impl Teller {
    async fn run(mut self, mut wishes: watch::Receiver<Wish>, stop: CancellationToken) {
        loop {
            let wait = match self.own.next(self.clock.monotonic()) {
                Next::Send(call) => {
                    self.tell(&call).await;
                    continue;
                }
                Next::Wait(wait) => wait,
                // Nothing to wait for: the others wake the loop.
                Next::Settled => Duration::MAX,
            };
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = wishes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let wish = wishes.borrow_and_update().clone();
                    self.wish(wish);
                }
                event = self.events.next() => {
                    let Some(event) = event else { return };
                    self.event(&event);
                }
                () = clock.sleep(wait), if wait < Duration::MAX => {}
            }
        }
        self.own.unwant();
        if let Next::Send(call) = self.own.next(self.clock.monotonic()) {
            let clock = self.clock.clone();
            // Whether it was heard does not matter any more: the connection's end says the same.
            let _ = clock.within(GOODBYE, self.tell(&call)).await;
        }
    }

    fn wish(&mut self, wish: Wish) {
        // A wish that is no object was refused before it came here.
        if wish.is_none_or(|raw| self.own.want(&raw).is_err()) {
            self.own.unwant();
        }
    }

    fn event(&mut self, event: &ChannelEvent) {
        match event {
            ChannelEvent::Joined(_) => self.own.joined(),
            // The database's gap is none of the channel: the server still shows what it was told.
            ChannelEvent::Gap(GapCause::Database) => {}
            ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => self.own.left(),
            // What was missed may be a join. Telling once more than needed changes nothing.
            ChannelEvent::Lagged { .. } => match self.channel.state() {
                ChannelState::Joined | ChannelState::Live => self.own.joined(),
                _ => self.own.left(),
            },
            _ => {}
        }
    }

    async fn tell(&mut self, call: &Call) {
        let Ok(payload) = call.payload() else { return };
        let outcome = match self.channel.push(Push::new(event::PRESENCE, payload)).await {
            Ok(reply) if reply.is_ok() => None,
            Ok(_) => Some(Error::new(PRESENCE_REFUSED)),
            Err(error) => {
                self.own.failed(self.clock.monotonic());
                Some(error)
            }
        };
        self.refusal.send_replace(outcome);
    }
}
