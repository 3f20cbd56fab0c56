//! The queue between a channel and one listener: bounded, never in the way of the socket (R8).
//!
//! At most 1,024 events and 8 MiB wait. What does not fit pushes the oldest out, and the listener is told how many it
//! missed before it gets the next. The newest answer to a join among them is told all the same, since without the ids in
//! it nothing that follows can be told apart. The writer never waits and the reader is one task.
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use super::event::{ChannelEvent, GapCause, Joined};
use crate::message::Message;

/// Most events that wait for one listener.
pub const MAX_EVENTS: usize = 1_024;
/// Most bytes of payload that wait for one listener.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;
/// What an event takes beside its payload, roughly.
const OVERHEAD_BYTES: usize = 128;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(ChannelEvent, usize)>,
    bytes: usize,
    missed: u64,
    /// The newest answer to a join that was thrown away, unless its end was too.
    joined: Option<Joined>,
    over: bool,
    /// Nobody reads it any more.
    abandoned: bool,
    reader: Option<Waker>,
}

impl Queue {
    fn put(&mut self, event: ChannelEvent) -> Option<Waker> {
        let size = OVERHEAD_BYTES
            + match &event {
                ChannelEvent::Message(message) => message.envelope().payload().size_bytes(),
                _ => 0,
            };
        self.bytes += size;
        self.waiting.push_back((event, size));
        while self.waiting.len() > MAX_EVENTS || (self.bytes > MAX_EVENT_BYTES && self.waiting.len() > 1) {
            let Some((oldest, size)) = self.waiting.pop_front() else { break };
            self.bytes -= size;
            self.missed += 1;
            match oldest {
                ChannelEvent::Joined(joined) => {
                    self.joined = Some(joined);
                    self.missed -= 1;
                }
                ChannelEvent::Gap(GapCause::Database) => {}
                ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => self.joined = None,
                _ => {}
            }
        }
        self.reader.take()
    }

    fn take(&mut self) -> Option<ChannelEvent> {
        if self.missed > 0 {
            return Some(ChannelEvent::Lagged { missed: std::mem::take(&mut self.missed) });
        }
        if let Some(joined) = self.joined.take() {
            return Some(ChannelEvent::Joined(joined));
        }
        let (event, size) = self.waiting.pop_front()?;
        self.bytes -= size;
        Some(event)
    }
}

fn locked(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events of one channel, from the moment it was asked for; ends when the channel is left or the connection is
/// closed for good. Dropping it stops listening.
#[must_use = "events are read only when asked for"]
pub struct Events(Arc<Mutex<Queue>>);

impl Events {
    /// The next event; `None` after the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no event.
    pub async fn next(&mut self) -> Option<ChannelEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// An event that is already there, without waiting.
    pub fn try_next(&mut self) -> Option<ChannelEvent> {
        locked(&self.0).take()
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<ChannelEvent>> {
        let mut queue = locked(&self.0);
        match queue.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.over => Poll::Ready(None),
            None => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Stream for Events {
    type Item = ChannelEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ChannelEvent>> {
        self.poll(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = locked(&self.0);
        // What waits is dropped at once; the channel forgets the queue at its next event.
        let waiting = std::mem::take(&mut queue.waiting);
        queue.abandoned = true;
        drop(queue);
        drop(waiting);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = locked(&self.0);
        f.debug_struct("Events").field("waiting", &queue.waiting.len()).field("missed", &queue.missed).finish()
    }
}

/// All listeners of one channel.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Room>);

#[derive(Default)]
struct Room {
    rings: Vec<Arc<Mutex<Queue>>>,
    /// The answer to the join of the present instance.
    joined: Option<Joined>,
    live: bool,
    over: bool,
}

impl Room {
    /// Puts `event` into each queue that is still read; the last gets it without a copy. Answers whom to wake.
    fn hand_out(&mut self, event: ChannelEvent) -> Vec<Waker> {
        let (mut event, mut left, mut readers) = (Some(event), self.rings.len(), Vec::new());
        self.rings.retain(|ring| {
            left -= 1;
            let event = if left == 0 { event.take() } else { event.clone() };
            let mut queue = locked(ring);
            if !queue.abandoned {
                readers.extend(event.and_then(|event| queue.put(event)));
            }
            !queue.abandoned
        });
        readers
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("listeners", &self.rings.len()).field("over", &self.over).finish()
    }
}

impl Listeners {
    /// A new listener. Where the channel is joined or live already, that is the first thing it hears: the answer to the
    /// join holds the ids of row changes.
    pub(crate) fn add(&self) -> Events {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = Queue { over: room.over, ..Queue::default() };
        if let Some(joined) = &room.joined {
            queue.put(ChannelEvent::Joined(joined.clone()));
        }
        if room.live {
            queue.put(ChannelEvent::Live);
        }
        let ring = Arc::new(Mutex::new(queue));
        room.rings.retain(|ring| !locked(ring).abandoned);
        room.rings.push(Arc::clone(&ring));
        Events(ring)
    }

    /// Tells everybody.
    pub(crate) fn tell(&self, event: ChannelEvent) {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            ChannelEvent::Joined(joined) => room.joined = Some(joined.clone()),
            ChannelEvent::Live => room.live = true,
            // The instance is the same, and so are the ids it was joined with.
            ChannelEvent::Gap(GapCause::Database) => room.live = false,
            ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => (room.live, room.joined) = (false, None),
            _ => {}
        }
        let readers = room.hand_out(event);
        drop(room);
        wake(readers);
    }

    /// Tells a message, which is only made if anybody listens: one that nobody wants is not even copied.
    pub(crate) fn tell_message(&self, message: impl FnOnce() -> Message) {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if room.rings.is_empty() {
            return;
        }
        let readers = room.hand_out(ChannelEvent::Message(message()));
        drop(room);
        wake(readers);
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        room.over = true;
        let rings = std::mem::take(&mut room.rings);
        drop(room);
        for ring in rings {
            let mut queue = locked(&ring);
            queue.over = true;
            let reader = queue.reader.take();
            drop(queue);
            wake(reader);
        }
    }
}

/// Without a lock: a waker may run anything (A13).
fn wake(readers: impl IntoIterator<Item = Waker>) {
    readers.into_iter().for_each(Waker::wake);
}
