//! A feed by asking now and then: pages until there are no more, a pause, and pages again.
//!
//! The pages are the same that close the gaps of other shapes. Nothing is ever missed between two of them, so a poll that
//! fails is just asked again; only a position that the server has forgotten begins everything anew. What time alone does
//! not change is told, and ends it.
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{Client, Error};
use futures::future::BoxFuture;

use super::{
    CatchUp, FeedSource, Opening, Page, Place, Position, Signal,
    catch_up::{MAX_TOO_OLD, broken, pull},
    pause::{Pauses, spread},
};

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
    /// How often the position was too old since then.
    too_old: u32,
    pauses: Pauses,
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
            too_old: 0,
            pauses: Pauses::default(),
            next: VecDeque::new(),
        }
    }

    fn ask(&mut self, pause: Duration) {
        let (pages, after) = (Arc::clone(&self.pages), self.after.clone());
        self.state = State::Asking(Box::pin(pull(self.client.clone(), pages, after, pause)));
    }

    fn open(&mut self, opening: Opening, after: Option<Position>, pause: Duration) {
        (self.after, self.caught_up) = (after, false);
        self.next.push_back(Signal::Opened(opening));
        self.ask(pause);
    }

    fn answered(&mut self, answer: Result<Page<T>, Error>) {
        match answer {
            Ok(Page::Items { entries, position, more }) => {
                let caught_up = self.caught_up;
                self.next.extend(entries.into_iter().map(|entry| match entry {
                    Ok(mut entry) => {
                        entry.replayed = !caught_up;
                        Signal::Item(entry)
                    }
                    Err(error) => Signal::Unreadable(error),
                }));
                let moved = position.is_some() && position != self.after;
                self.after = position.or_else(|| self.after.take());
                if more && moved {
                    return self.ask(Duration::ZERO);
                }
                if !std::mem::replace(&mut self.caught_up, true) {
                    self.next.push_back(Signal::Replayed(self.after.clone()));
                    self.too_old = 0;
                    self.pauses.reset();
                }
                let (clock, pause) = (self.client.clock().clone(), spread(self.interval, self.client.random()));
                self.state = State::Waiting(Box::pin(async move { clock.sleep(pause).await }));
            }
            Ok(Page::TooOld) if self.after.is_none() => self.end(broken("the first page is too old")),
            Ok(Page::TooOld) if self.too_old == MAX_TOO_OLD => self.end(broken("pages are too old again and again")),
            Ok(Page::TooOld) => {
                let again = self.too_old > 0;
                let pause = again.then(|| self.pauses.at_least(Duration::ZERO, self.client.random()));
                self.too_old += 1;
                self.open(Opening::Whole, None, pause.unwrap_or_default());
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
                    self.open(opening, place, Duration::ZERO);
                }
                State::Waiting(timer) => {
                    timer.await;
                    self.ask(Duration::ZERO);
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
