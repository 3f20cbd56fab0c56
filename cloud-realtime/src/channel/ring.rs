//! The queue between a channel and one listener: bounded, never in the way of the socket (R8).
//!
//! At most 1,024 events and 8 MiB wait. What does not fit pushes the oldest out, and the listener is told how many it
//! missed before it gets the next, and then how things stand ([`Lost`]): without the ids in the answer to a join nothing that
//! follows can be told apart, and without who is there every later change of it is wrong (R11). A listener that comes late
//! is told the same. The writer never waits and the reader is one task.
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use super::{
    event::{ChannelEvent, GapCause, Joined},
    lost::Lost,
};
use crate::{codec::Envelope, event, message::Message, presence::Record};

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
    lost: Option<Box<Lost>>,
    /// What is told instead of what was lost.
    ahead: VecDeque<ChannelEvent>,
    over: bool,
    /// Nobody reads it any more.
    abandoned: bool,
    reader: Option<Waker>,
}

impl Queue {
    fn put(&mut self, event: ChannelEvent) -> Option<Waker> {
        let size = size(&event);
        self.bytes += size;
        self.waiting.push_back((event, size));
        while self.waiting.len() > MAX_EVENTS || (self.bytes > MAX_EVENT_BYTES && self.waiting.len() > 1) {
            let Some((oldest, size)) = self.waiting.pop_front() else { break };
            self.bytes -= size;
            self.lost.get_or_insert_default().lose(oldest);
        }
        self.reader.take()
    }

    fn take(&mut self) -> Option<ChannelEvent> {
        if let Some(event) = self.ahead.pop_front() {
            return Some(event);
        }
        let (event, size) = self.waiting.pop_front()?;
        self.bytes -= size;
        Some(event)
    }

    /// Puts how things stand where something was lost. What waits of presence is in the record already: told after it, an
    /// older state would wipe out what is newer.
    fn retell(&mut self, room: &Room) {
        let Some(lost) = self.lost.take() else { return };
        if lost.presence() {
            self.waiting.retain(|(event, size)| {
                let is_told =
                    matches!(event, ChannelEvent::Message(message) if event::is_about_presence(message.event()));
                self.bytes -= if is_told { *size } else { 0 };
                !is_told
            });
        }
        let join = self.waiting.iter().rposition(|(event, _)| matches!(event, ChannelEvent::Joined(_)));
        let later = join.filter(|_| lost.presence()).and_then(|join| Some((join + 1, room.record.now()?)));
        self.ahead = lost.tell(room.joined.as_ref(), &room.record, join.is_some());
        if let Some((place, now)) = later {
            let event = ChannelEvent::Message(now);
            let size = size(&event);
            self.bytes += size;
            self.waiting.insert(place, (event, size));
        }
    }
}

fn size(event: &ChannelEvent) -> usize {
    OVERHEAD_BYTES
        + match event {
            ChannelEvent::Message(message) => message.envelope().payload().size_bytes(),
            _ => 0,
        }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events of one channel, from the moment it was asked for; ends when the channel is left or the connection is
/// closed for good. Dropping it stops listening.
#[must_use = "events are read only when asked for"]
pub struct Events {
    queue: Arc<Mutex<Queue>>,
    room: Arc<Mutex<Room>>,
}

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
        self.queue().take()
    }

    /// The queue, with what was lost made good. The room is locked before the queue, never after it.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        let queue = locked(&self.queue);
        if queue.lost.is_none() || !queue.ahead.is_empty() {
            return queue;
        }
        drop(queue);
        let room = locked(&self.room);
        let mut queue = locked(&self.queue);
        queue.retell(&room);
        queue
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<ChannelEvent>> {
        let mut queue = self.queue();
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
        let mut queue = locked(&self.queue);
        // What waits is dropped at once; the channel forgets the queue at its next event.
        let waiting = std::mem::take(&mut queue.waiting);
        queue.abandoned = true;
        drop(queue);
        drop(waiting);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = locked(&self.queue);
        let missed = queue.lost.as_ref().map_or(0, |lost| lost.missed());
        f.debug_struct("Events").field("waiting", &queue.waiting.len()).field("missed", &missed).finish()
    }
}

/// All listeners of one channel.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Arc<Mutex<Room>>);

#[derive(Default)]
struct Room {
    rings: Vec<Arc<Mutex<Queue>>>,
    /// The answer to the newest join.
    joined: Option<Joined>,
    /// Whether that instance is still there.
    is_joined: bool,
    live: bool,
    over: bool,
    /// Who is there.
    record: Record,
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
    /// join holds the ids of row changes, and who is there is told by the server only once.
    pub(crate) fn add(&self) -> Events {
        let mut room = locked(&self.0);
        let joined = room.joined.as_ref().filter(|_| room.is_joined);
        let lost = joined.map(|joined| Box::new(Lost::before(joined, room.live)));
        let ring = Arc::new(Mutex::new(Queue { over: room.over, lost, ..Queue::default() }));
        room.rings.retain(|ring| !locked(ring).abandoned);
        room.rings.push(Arc::clone(&ring));
        drop(room);
        Events { queue: ring, room: Arc::clone(&self.0) }
    }

    /// Tells everybody that the next instance is joined, and whether with presence.
    pub(crate) fn tell_joined(&self, joined: Joined, has_presence: bool) {
        let mut room = locked(&self.0);
        room.record.joining(joined.join_ref, has_presence);
        (room.is_joined, room.joined) = (true, Some(joined.clone()));
        let readers = room.hand_out(ChannelEvent::Joined(joined));
        drop(room);
        wake(readers);
    }

    /// Tells everybody anything else.
    pub(crate) fn tell(&self, event: ChannelEvent) {
        let mut room = locked(&self.0);
        match &event {
            ChannelEvent::Live => room.live = true,
            // The instance is the same, and so are the ids it was joined with.
            ChannelEvent::Gap(GapCause::Database) => room.live = false,
            ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => (room.live, room.is_joined) = (false, false),
            _ => {}
        }
        let readers = room.hand_out(event);
        drop(room);
        wake(readers);
    }

    /// Takes a message of the server. One that nobody wants is not even copied.
    pub(crate) fn hear(&self, envelope: Envelope<'_>) {
        let mut room = locked(&self.0);
        if event::is_about_presence(envelope.event()) {
            room.record.hear(&envelope);
        }
        if room.rings.is_empty() {
            return;
        }
        let readers = room.hand_out(ChannelEvent::Message(Message::new(envelope)));
        drop(room);
        wake(readers);
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut room = locked(&self.0);
        // Who lags is still told how things stood; who comes now is told that it is over.
        (room.over, room.is_joined, room.live) = (true, false, false);
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
