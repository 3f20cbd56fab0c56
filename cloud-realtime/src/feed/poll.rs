//! A feed by asking now and then: pages until there are no more, a pause, and pages again.
//!
//! The pages are the same that close the gaps of other shapes. Nothing is ever missed between two of them, so a poll that
//! fails is just asked again; only a position that the server has forgotten begins everything anew.
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{Client, Error};
use futures::future::BoxFuture;

use super::{CatchUp, FeedSource, Opening, Page, Place, Position, Signal, catch_up::pull, pause::spread};

/// Polling as a [`FeedSource`].
pub struct PollSource<T> {
    client: Client,
    pages: Arc<dyn CatchUp<T>>,
    interval: Duration,
    state: State<T>,
    /// The position of the last page; not yet that of what is applied.
    after: Option<Position>,
    /// Whether the first round is over.
    caught_up: bool,
    next: VecDeque<Signal<T>>,
}

enum State<T> {
    Closed,
    Waiting(BoxFuture<'static, ()>),
    Asking(BoxFuture<'static, Result<Page<T>, Error>>),
    Over,
}

impl<T: Send + 'static> PollSource<T> {
    /// Asks `pages` every `interval`, a tenth more or less.
    pub fn new(client: &Client, pages: impl CatchUp<T> + 'static, interval: Duration) -> Self {
        Self {
            client: client.clone(),
            pages: Arc::new(pages),
            interval,
            state: State::Closed,
            after: None,
            caught_up: false,
            next: VecDeque::new(),
        }
    }

    fn ask(&mut self) {
        let (pages, after) = (Arc::clone(&self.pages), self.after.clone());
        let (clock, random) = (self.client.clock().clone(), self.client.random().clone());
        self.state = State::Asking(Box::pin(pull(pages, after, clock, random)));
    }

    fn open(&mut self, opening: Opening, after: Option<Position>) {
        (self.after, self.caught_up) = (after, false);
        self.next.push_back(Signal::Opened(opening));
        self.ask();
    }

    fn answered(&mut self, answer: Result<Page<T>, Error>) {
        match answer {
            Ok(Page::Items { entries, position, more }) => {
                let caught_up = self.caught_up;
                self.next.extend(entries.into_iter().map(|mut entry| {
                    entry.replayed = !caught_up;
                    Signal::Item(entry)
                }));
                let moved = position.is_some() && position != self.after;
                self.after = position.or_else(|| self.after.take());
                if more && moved {
                    return self.ask();
                }
                if !std::mem::replace(&mut self.caught_up, true) {
                    self.next.push_back(Signal::Replayed(self.after.clone()));
                }
                let (clock, pause) = (self.client.clock().clone(), spread(self.interval, self.client.random()));
                self.state = State::Waiting(Box::pin(async move { clock.sleep(pause).await }));
            }
            Ok(Page::TooOld) if self.after.is_some() => self.open(Opening::Whole, None),
            Ok(Page::TooOld) => {
                let error = Error::new(crate::codes::FEED_BROKEN).with_detail("the first page is too old");
                self.end(error);
            }
            Err(error) => self.end(error),
        }
    }

    fn end(&mut self, error: Error) {
        self.state = State::Over;
        self.next.push_back(Signal::Refused(error));
    }
}

#[async_trait]
impl<T: Send + 'static> FeedSource<T> for PollSource<T> {
    async fn next(&mut self, place: &Place) -> Option<Signal<T>> {
        loop {
            if let Some(signal) = self.next.pop_front() {
                return Some(signal);
            }
            match &mut self.state {
                State::Closed => {
                    let place = place.position();
                    let opening = if place.is_some() { Opening::Replay } else { Opening::Whole };
                    self.open(opening, place);
                }
                State::Waiting(timer) => {
                    timer.await;
                    self.ask();
                }
                State::Asking(asking) => {
                    let answer = asking.await;
                    self.answered(answer);
                }
                State::Over => return None,
            }
        }
    }

    fn reopen(&mut self) {
        self.next.clear();
        if !matches!(self.state, State::Over) {
            self.state = State::Closed;
        }
    }
}

impl<T> fmt::Debug for PollSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSource")
            .field("pages", &self.pages)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
