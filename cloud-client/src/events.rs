//! The event bus: bounded, never blocks the sender, and a subscriber that fell behind is told by how many.
//!
//! Full-queue rule: *tell and resync*. A slow subscriber gets [`Heard::Missed`] and re-reads the snapshot.
use tokio::sync::broadcast;

/// How many events a subscriber may be behind before it misses some.
const CAPACITY: usize = 1024;

/// The sending side; clone it freely. Sending never waits and never fails.
#[derive(Debug)]
pub struct Bus<T>(broadcast::Sender<T>);

impl<T> Clone for Bus<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Default for Bus<T> {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl<T: Clone> Bus<T> {
    /// Tells everybody who listens.
    pub fn send(&self, event: T) {
        // An error only says that nobody listens.
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> Listener<T> {
        Listener(self.0.subscribe())
    }
}

/// What a [`Listener`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event either arrived or was missed")]
pub enum Heard<T> {
    /// The next event.
    Event(T),
    /// This many events were dropped because the listener was slow: re-read the state.
    Missed(u64),
}

/// The receiving side. Dropping it ends the subscription.
#[derive(Debug)]
#[must_use = "events are only kept for a listener that reads them"]
pub struct Listener<T>(broadcast::Receiver<T>);

impl<T: Clone> Listener<T> {
    /// The next event, or `None` once every sender is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Heard<T>> {
        match self.0.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Heard::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// An event that is already there, without waiting.
    pub fn try_next(&mut self) -> Option<Heard<T>> {
        match self.0.try_recv() {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(Heard::Missed(count)),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_it_missed() {
        let bus = Bus::default();
        let mut listener = bus.subscribe();
        (0..CAPACITY + 3).for_each(|n| bus.send(n));
        assert_eq!(listener.next().await, Some(Heard::Missed(3)));
        assert_eq!(listener.next().await, Some(Heard::Event(3)));
        drop(bus);
        let mut rest = 0;
        while listener.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, CAPACITY - 1);
    }
}
