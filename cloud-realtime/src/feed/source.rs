//! The seam between a feed and the shape it comes over: what one shape tells.
use std::fmt;

use async_trait::async_trait;
use cloud_client::Error;

use super::{Entry, Place, Position};

/// One shape of a feed. It opens, and opens again after every break, by itself and within its own limits; what it tells
/// is made one sequence by the [`Feed`](super::Feed) that owns it.
#[async_trait]
pub trait FeedSource<T>: fmt::Debug + Send {
    /// The next signal; `None` when nothing will ever come again. `place` is read whenever the source opens, never kept
    /// as a value: it moves between two openings.
    ///
    /// # Cancel safety
    ///
    /// Has to be cancel safe: a dropped call loses nothing, and what was begun goes on in the next.
    async fn next(&mut self, place: &Place) -> Option<Signal<T>>;

    /// Closes, and opens again behind the place. What came before is not told any more.
    fn reopen(&mut self);
}

/// What a source tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signal<T> {
    /// It is open. What was opened before is over.
    Opened(Opening),
    /// A message.
    Item(Entry<T>),
    /// What was to be replayed has been; the position up to there, where it is known.
    Replayed(Option<Position>),
    /// The server no longer has what comes after the place; what comes now is live.
    TooOld,
    /// Messages came faster than they were read, and some were thrown away.
    Missed,
    /// It broke off, and comes back by itself.
    Lost,
    /// It was refused, and time alone will not change that.
    Refused(Error),
    /// A message that cannot be read.
    Unreadable(Error),
}

/// How a source has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// It was opened with a place: what comes after it is replayed, up to [`Signal::Replayed`], unless
    /// [`Signal::TooOld`] comes first.
    Replay,
    /// It was opened before there was a place, whatever the place is now: what happens from then on comes, and
    /// [`Signal::Replayed`] before it.
    New,
    /// Only what happens from now on comes.
    Fresh,
    /// Everything comes from the beginning, up to [`Signal::Replayed`]. A source that breaks off before that opens with
    /// this again.
    Whole,
}
