//! A feed over a channel, with the server's replay or without.
//!
//! [`ChannelEvent`] → [`Signal`]. A join asks for what comes after the place as it is at that moment: the payload is made
//! anew for each. To open anew, the channel is left and another one opened, so that nothing of the old one is heard.
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use cloud_client::Error;
use futures::future::BoxFuture;

use super::{Dialect, FeedSource, Opening, Place, Reading, Signal};
use crate::{
    channel::{Channel, ChannelBuilder, ChannelEvent, Events, GapCause},
    codec::{Content, Payload},
    message::Message,
};

/// A channel as a [`FeedSource`].
pub struct ChannelSource<T> {
    builder: ChannelBuilder,
    dialect: Arc<dyn Dialect<T>>,
    replays: bool,
    state: State,
    /// Whether the last join asked with a position.
    placed: Arc<AtomicBool>,
    /// The listener was too slow just now.
    lagged: bool,
    /// Told before the next event.
    next: VecDeque<Signal<T>>,
}

enum State {
    Closed(Option<Channel>),
    Opening {
        opening: BoxFuture<'static, Result<(Channel, Events), Error>>,
        /// It may have asked with a place that counts no more: it is left as soon as it is open.
        stale: bool,
    },
    Open(Channel, Events),
    Over,
}

impl<T: 'static> ChannelSource<T> {
    /// A channel whose server keeps a buffer: each join asks for what comes after the place, in the words of `dialect`,
    /// whatever parameters `channel` has.
    pub fn replaying(channel: ChannelBuilder, dialect: impl Dialect<T> + 'static) -> Self {
        Self::new(channel, dialect, true)
    }

    /// A channel that only tells what happens while it is joined, as Supabase's do; it joins with its own parameters. A
    /// broadcast is read by its own event and payload. Give the feed a [`CatchUp`](super::CatchUp): after every break
    /// it is asked for what was missed.
    pub fn fresh(channel: ChannelBuilder, dialect: impl Dialect<T> + 'static) -> Self {
        Self::new(channel, dialect, false)
    }

    fn new(builder: ChannelBuilder, dialect: impl Dialect<T> + 'static, replays: bool) -> Self {
        Self {
            builder,
            dialect: Arc::new(dialect),
            replays,
            state: State::Closed(None),
            placed: Arc::default(),
            lagged: false,
            next: VecDeque::new(),
        }
    }

    fn read(&self, message: &Message) -> Option<Signal<T>> {
        let (event, content) = match message.envelope().broadcast() {
            Some(Ok(broadcast)) => (broadcast.event.into_owned(), broadcast.content.into_owned()),
            _ => match message.envelope().payload() {
                Payload::Content(content) => (message.event().to_owned(), content.clone()),
                _ => return None,
            },
        };
        let Content::Json(json) = &content else { return None };
        signal(self.dialect.read(&event, json.get()), json.get().len())
    }

    /// What an event of the channel means to the feed.
    fn hear(&mut self, event: &ChannelEvent) -> Option<Signal<T>> {
        if !matches!(event, ChannelEvent::Joined(_)) && std::mem::take(&mut self.lagged) {
            let heard = self.hear(event);
            self.next.extend(heard);
            return Some(Signal::Missed);
        }
        match event {
            ChannelEvent::Message(message) => self.read(message),
            ChannelEvent::Joined(_) if self.replays => {
                // What was lost may belong to this join, whose answer is told again behind the loss.
                self.next.extend(std::mem::take(&mut self.lagged).then_some(Signal::Missed));
                self.next.extend((!self.dialect.tells_end()).then_some(Signal::Replayed(None)));
                let placed = self.placed.load(Ordering::SeqCst);
                Some(Signal::Opened(if placed { Opening::Replay } else { Opening::New }))
            }
            ChannelEvent::Lagged { .. } if self.replays => {
                self.lagged = true;
                None
            }
            ChannelEvent::Live | ChannelEvent::Resubscribed | ChannelEvent::Lagged { .. } if !self.replays => {
                Some(Signal::Opened(Opening::Fresh))
            }
            // The instance stays and goes on telling: no join follows, and a replay has nothing to do with rows.
            ChannelEvent::Gap(GapCause::Database) if self.replays => None,
            ChannelEvent::Gap(_) => Some(Signal::Lost),
            ChannelEvent::Refused(error) => Some(Signal::Refused(error.clone())),
            _ => None,
        }
    }

    fn open(&self, before: Option<Channel>, place: &Place) -> State {
        let mut builder = self.builder.clone();
        if self.replays {
            let (dialect, place, placed) = (Arc::clone(&self.dialect), place.clone(), Arc::clone(&self.placed));
            builder = builder.params_with(move || {
                // The place may move before the answer to this join is heard.
                let position = place.position();
                placed.store(position.is_some(), Ordering::SeqCst);
                dialect.ask(position.as_ref())
            });
        }
        let opening = Box::pin(async move {
            if let Some(before) = before {
                before.leave().await;
            }
            builder.listen().await
        });
        State::Opening { opening, stale: false }
    }
}

/// What a reading means to a feed.
pub(super) fn signal<T>(reading: Reading<T>, size_bytes: usize) -> Option<Signal<T>> {
    match reading {
        Reading::Item(mut entry) => {
            entry.size_bytes = size_bytes;
            Some(Signal::Item(entry))
        }
        Reading::Replayed(position) => Some(Signal::Replayed(position)),
        Reading::TooOld => Some(Signal::TooOld),
        Reading::Unreadable(error) => Some(Signal::Unreadable(error)),
        Reading::Other => None,
    }
}

#[async_trait]
impl<T: Send + 'static> FeedSource<T> for ChannelSource<T> {
    async fn next(&mut self, place: &Place) -> Option<Signal<T>> {
        loop {
            if let Some(signal) = self.next.pop_front() {
                return Some(signal);
            }
            match &mut self.state {
                State::Closed(before) => {
                    let before = before.take();
                    self.state = self.open(before, place);
                }
                State::Opening { opening, stale } => match opening.await {
                    Ok((channel, _)) if *stale => self.state = State::Closed(Some(channel)),
                    Ok((channel, events)) => self.state = State::Open(channel, events),
                    Err(error) => {
                        self.state = State::Over;
                        return Some(Signal::Refused(error));
                    }
                },
                State::Open(_, events) => {
                    let Some(event) = events.next().await else {
                        self.state = State::Over;
                        return None;
                    };
                    if let Some(signal) = self.hear(&event) {
                        return Some(signal);
                    }
                }
                State::Over => return None,
            }
        }
    }

    fn reopen(&mut self) {
        self.next.clear();
        self.lagged = false;
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Open(channel, _) => State::Closed(Some(channel)),
            State::Opening { opening, .. } => State::Opening { opening, stale: true },
            State::Closed(before) => State::Closed(before),
            State::Over => State::Over,
        };
    }
}

impl<T> fmt::Debug for ChannelSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSource")
            .field("dialect", &self.dialect)
            .field("replays", &self.replays)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use cloud_client::Client;
    use futures::FutureExt as _;

    use super::*;
    use crate::{Realtime, Topic, feed::JsonDialect, status::ChannelState};

    fn builder() -> ChannelBuilder {
        let client = Client::builder("http://127.0.0.1:9", "sb_publishable_test").unwrap().build();
        Realtime::builder(&client).open().channel(Topic::parse("feed:o1").unwrap())
    }

    #[tokio::test]
    async fn an_error_of_the_database_does_not_close_a_replaying_channel() {
        for (replays, lost) in [(true, false), (false, true)] {
            let mut source = ChannelSource::<u64>::new(builder(), JsonDialect::new(), replays);
            let heard = source.hear(&ChannelEvent::Gap(GapCause::Database));
            assert_eq!(matches!(heard, Some(Signal::Lost)), lost, "{heard:?}");
            for cause in [GapCause::Connection, GapCause::Channel, GapCause::Rejoin] {
                assert!(matches!(source.hear(&ChannelEvent::Gap(cause)), Some(Signal::Lost)), "{cause:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_channel_that_was_being_opened_for_another_place_is_left_and_opened_anew() {
        let mut source = ChannelSource::<u64>::replaying(builder(), JsonDialect::new());
        let (first, events) = builder().listen().await.unwrap();
        let opening = Box::pin(std::future::ready(Ok((first.clone(), events))));
        source.state = State::Opening { opening, stale: false };
        source.reopen();
        while !matches!(source.state, State::Open(..)) {
            assert!(source.next(&Place::default()).now_or_never().is_none(), "nobody answers");
            tokio::task::yield_now().await;
        }
        assert_eq!(first.state(), ChannelState::Left);
    }
}
