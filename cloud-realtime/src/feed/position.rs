//! Where a reader is in a feed, in the server's own words, and the place where that is kept.
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A place in a feed: a cursor, an event id, a watermark. Only the server can tell two of them apart; to this side it is
/// text that is stored and shown again. An empty one stands for no place at all: a server of event streams takes an id
/// back that way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position(String);

impl Position {
    /// The position of these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The words, as they are to be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is no place at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The position up to which everything is applied. Clones share it: a join that is built in the connection's task reads
/// what the application's task has set.
#[derive(Clone, Debug, Default)]
pub struct Place(Arc<Mutex<Option<Position>>>);

impl Place {
    /// The position; `None` before the first.
    pub fn position(&self) -> Option<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves it. Only [`Feed`](super::Feed) does, when it is told that an item was applied.
    pub(super) fn set(&self, position: Option<Position>) {
        let position = position.filter(|position| !position.is_empty());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}
