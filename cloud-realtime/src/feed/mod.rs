//! One feed of messages, whatever it comes over: channels with a server's replay or without, event streams, polling.
//!
//! ```text
//! ChannelSource │ SseSource │ PollSource          CatchUp (pages after a position)
//!               ▼                                     ▼
//!            Signal ───────────► sequence ◄───────── Page
//!                                   │
//!       Item*, Gap?, Item(replayed)*, CaughtUp, Item* ─► the application ─► applied(position)
//! ```
//! A [`Feed`] has no task of its own: it moves while [`Feed::next`] is awaited. What a break left out is replayed by the
//! server from the position on, or read by the host's [`CatchUp`], before anything newer is told; repeats are known by
//! their ids, and what is for another organisation or conversation is dropped. The position moves only when the
//! application says that it has applied an item, so a crash repeats and never loses.
//!
//! ```no_run
//! use cloud_client::{Client, call::Call, error::Service};
//! use cloud_realtime::{
//!     Realtime, Topic,
//!     credentials::{Credentials, TicketMint},
//!     feed::{Audience, ChannelSource, Feed, FeedEvent, JsonDialect, JsonPages, Position},
//!     realtime::Endpoint,
//! };
//! # #[derive(serde::Deserialize)]
//! # struct Note { text: String }
//! # #[derive(serde::Deserialize)]
//! # struct Ticket { ticket: secrecy::SecretString }
//! # fn store(note: &Note, position: Option<&Position>) -> std::io::Result<()> { Ok(()) }
//! # fn keep(position: Option<&Position>) -> std::io::Result<()> { Ok(()) }
//! # fn clear() -> std::io::Result<()> { Ok(()) }
//!
//! # async fn follow(client: Client, stored: Option<Position>) -> Result<(), Box<dyn std::error::Error>> {
//! let mint = Call::new(Service::Host, http::Method::POST).segment("tickets");
//! let mint = TicketMint::new(&client, mint, |answer: Ticket| Credentials::new().query("ticket", answer.ticket));
//! let realtime = Realtime::builder(&client).endpoint(Endpoint::Path("/socket".into())).credentials(mint).open();
//! let channel = ChannelSource::replaying(realtime.channel(Topic::parse("feed:o1")?), JsonDialect::new());
//! let pages = JsonPages::new(&client, Call::new(Service::Host, http::Method::GET).segment("items"));
//!
//! let mut feed = Feed::<Note>::new(&client, channel).after(stored);
//! feed = feed.audience(Audience::organization("o1")).catch_up(pages);
//! while let Some(event) = feed.next().await {
//!     match event {
//!         FeedEvent::Item { item, position, .. } => {
//!             store(&item, position.as_ref())?; // one transaction
//!             feed.applied(position.as_ref());
//!         }
//!         FeedEvent::Gap { anew: true, .. } => clear()?, // everything comes again
//!         // A feed without messages has a place too.
//!         FeedEvent::CaughtUp { position } => {
//!             keep(position.as_ref())?;
//!             feed.applied(position.as_ref());
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
mod audience;
mod catch_up;
mod channel;
mod dialect;
mod known;
mod pause;
mod poll;
mod position;
mod sequence;
mod source;
mod sse;

pub use self::{
    audience::{Audience, Entry},
    catch_up::{CatchUp, JsonPages, Page},
    channel::ChannelSource,
    dialect::{Dialect, JsonDialect, Reading},
    known::{MAX_HELD, MAX_HELD_BYTES, MAX_REMEMBERED},
    poll::PollSource,
    position::{Place, Position},
    source::{FeedSource, Opening, Signal},
    sse::SseSource,
};

use std::{collections::VecDeque, fmt, future::pending, sync::Arc, time::Duration};

use cloud_client::{Client, Error};
use futures::future::BoxFuture;

use self::{
    pause::Pauses,
    sequence::{Effect, Sequence, Step},
};

/// What a feed tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FeedEvent<T> {
    /// A message. Store it and its position together, then say so with [`Feed::applied`].
    Item {
        /// The message.
        item: T,
        /// Its name, where the server gives one. After a crash the last one may come again.
        id: Option<String>,
        /// Where the feed is once this is applied.
        position: Option<Position>,
        /// Whether it was missed before and comes from a replay or a catch-up.
        replayed: bool,
    },
    /// The sequence broke. Where there is a [`CatchUp`], what was missed follows; where there is none, the application
    /// has to read for itself what it lacks.
    Gap {
        /// After which position something may be missing; `None` where that is not known.
        after: Option<Position>,
        /// Whether everything follows from the beginning, to be put in place of what is held. Forget the stored position
        /// with it.
        anew: bool,
    },
    /// Nothing is missing any more: from here on messages are told as they happen.
    CaughtUp {
        /// Where the feed is once all that was told is applied, if that is known. Store it as an item's, and say so with
        /// [`Feed::applied`]: a feed that brings no messages has no other.
        position: Option<Position>,
    },
    /// The server refuses the feed, or a page of it, and time alone will not change that; see the error's kind. A channel
    /// is asked for again with the next token or socket. Polling and event streams have ended, also when somebody between
    /// here and the server answers in its place: make another feed, after the position. A page that closes gaps is asked
    /// for again through a source that is opened anew, with growing pauses, and this told each time.
    Refused(Error),
    /// A message of the feed that cannot be read. The feed goes on behind it.
    Unreadable(Error),
}

/// A feed of `T`. See the module's page.
#[must_use = "nothing is read before `next`"]
pub struct Feed<T> {
    client: Client,
    source: Box<dyn FeedSource<T>>,
    pages: Option<Arc<dyn CatchUp<T>>>,
    pulling: Option<BoxFuture<'static, Result<Page<T>, Error>>>,
    /// Until then the source is left alone.
    pausing: Option<BoxFuture<'static, ()>>,
    pauses: Pauses,
    place: Place,
    sequence: Sequence<T>,
    ready: VecDeque<FeedEvent<T>>,
    over: bool,
}

impl<T: Send + 'static> Feed<T> {
    /// The feed that comes over `source`, with the clock and the randomness of `client`. Nothing is opened before the
    /// first [`Self::next`].
    pub fn new(client: &Client, source: impl FeedSource<T> + 'static) -> Self {
        Self {
            client: client.clone(),
            source: Box::new(source),
            pages: None,
            pulling: None,
            pausing: None,
            pauses: Pauses::default(),
            place: Place::default(),
            sequence: Sequence::new(),
            ready: VecDeque::new(),
            over: false,
        }
    }

    /// Begins after this position. Default: with the catch-up's first page, or from now on where there is none.
    pub fn after(self, position: impl Into<Option<Position>>) -> Self {
        self.place.set(position.into());
        self
    }

    /// Takes only what is for `audience`. Default: everything.
    pub fn audience(mut self, audience: Audience) -> Self {
        self.sequence.set_audience(Some(audience));
        self
    }

    /// Reads what no server replays from `pages`. Default: a [`FeedEvent::Gap`] leaves that to the application.
    pub fn catch_up(mut self, pages: impl CatchUp<T> + 'static) -> Self {
        self.pages = Some(Arc::new(pages));
        self.sequence.set_catches_up();
        self
    }

    /// The next event; `None` when the feed is over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Option<FeedEvent<T>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if let Some(pause) = &mut self.pausing {
                pause.await;
                self.pausing = None;
            }
            let step = tokio::select! {
                biased;
                page = finish(&mut self.pulling) => Step::Pulled(page),
                signal = self.source.next(&self.place) => match signal {
                    Some(signal) => Step::Signal(signal),
                    None => {
                        (self.over, self.pulling) = (true, None);
                        continue;
                    }
                },
            };
            self.take(step);
        }
    }

    /// Everything up to `position` is stored: the next opening begins behind it. Nothing is done without a position; an
    /// empty one, which a server uses to take its ids back, forgets the place.
    pub fn applied<'a>(&mut self, position: impl Into<Option<&'a Position>>) {
        if let Some(position) = position.into() {
            self.place.set(Some(position.clone()));
        }
    }

    /// Up to where everything is applied.
    pub fn position(&self) -> Option<Position> {
        self.place.position()
    }

    /// Closes, forgets everything that was heard, and begins after `position` as a new feed does. What is on its way is
    /// not told any more.
    pub fn start_over(&mut self, position: impl Into<Option<Position>>) {
        self.ready.clear();
        self.place.set(position.into());
        self.take(Step::StartOver);
    }

    /// As [`Self::start_over`] with another audience, for which `position` is.
    ///
    /// This changes what is let through, and nothing else: topic, request and pages stay those that the source and the
    /// catch-up were made with, so only what comes over them can be switched to. For another topic, make another feed.
    pub fn switch_audience(&mut self, audience: Audience, position: impl Into<Option<Position>>) {
        self.sequence.set_audience(Some(audience));
        self.start_over(position);
    }

    fn take(&mut self, step: Step<T>) {
        let mut effects = Vec::new();
        self.sequence.step(step, self.place.position(), &mut effects);
        for effect in effects {
            match effect {
                Effect::Tell(event) => {
                    if matches!(event, FeedEvent::CaughtUp { .. }) {
                        self.pauses.reset();
                    }
                    self.ready.push_back(event);
                }
                Effect::Pull(after) => self.pull(after, Duration::ZERO),
                Effect::PullLater => {
                    let pause = self.pauses.at_least(Duration::ZERO, self.client.random());
                    self.pull(None, pause);
                }
                Effect::StopPulling => self.pulling = None,
                Effect::Reopen => {
                    self.pausing = None;
                    self.source.reopen();
                }
                Effect::ReopenLater(wish) => {
                    let (clock, pause) =
                        (self.client.clock().clone(), self.pauses.at_least(wish, self.client.random()));
                    self.pausing = Some(Box::pin(async move { clock.sleep(pause).await }));
                    self.source.reopen();
                }
            }
        }
    }

    fn pull(&mut self, after: Option<Position>, pause: Duration) {
        let Some(pages) = &self.pages else { return };
        self.pulling = Some(Box::pin(catch_up::pull(self.client.clone(), Arc::clone(pages), after, pause)));
    }
}

async fn finish<T>(pulling: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(running) = pulling else { return pending().await };
    let done = running.await;
    *pulling = None;
    done
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("source", &self.source)
            .field("place", &self.place)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
