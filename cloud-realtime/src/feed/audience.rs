//! One message of a feed, and for whom it is.

use super::Position;

/// For whom messages are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audience {
    /// The organisation; `None` leaves it open.
    pub organization: Option<String>,
    /// The conversation; `None` leaves it open.
    pub conversation: Option<String>,
}

impl Audience {
    /// Everything of one organisation.
    pub fn organization(id: impl Into<String>) -> Self {
        Self { organization: Some(id.into()), conversation: None }
    }

    /// Only this conversation of it.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation = Some(id.into());
        self
    }

    /// Whether a message for `other` may be given to a reader of this one: what says nothing of its audience may not.
    pub(super) fn takes(&self, other: &Self) -> bool {
        let fits = |wanted: &Option<String>, said: &Option<String>| wanted.is_none() || wanted == said;
        fits(&self.organization, &other.organization) && fits(&self.conversation, &other.conversation)
    }
}

/// One message, as a server or a page tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// What the application is after.
    pub item: T,
    /// Names the message, wherever and however often it comes. Where there is none, its position does.
    pub id: Option<String>,
    /// Where the reader is once this is applied.
    pub position: Option<Position>,
    /// For whom it is.
    pub audience: Audience,
    /// Whether it comes out of the server's buffer. Until the server says that the replay is over, what is not marked so
    /// is kept back, since it is newer than what is yet to come.
    pub replayed: bool,
    /// What it takes while it is kept back, in bytes.
    pub(super) size_bytes: usize,
    /// Others before it have its position, which therefore names none but the first.
    pub(super) shares_position: bool,
}

/// What names a message, and tells a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name<'e> {
    Id(&'e str),
    Position(&'e str),
}

impl<T> Entry<T> {
    /// A message that says nothing but its content.
    pub fn new(item: T) -> Self {
        let (id, position, audience) = (None, None, Audience::default());
        Self { item, id, position, audience, replayed: false, size_bytes: 0, shares_position: false }
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the position.
    #[must_use]
    pub fn position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Sets the audience.
    #[must_use]
    pub fn audience(mut self, audience: Audience) -> Self {
        self.audience = audience;
        self
    }

    /// Marks it as coming out of the server's buffer.
    #[must_use]
    pub const fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// Sets what it takes while it is kept back, in bytes. Default: nothing, and only the number of messages is bounded;
    /// the sources here set the length of the message's text.
    #[must_use]
    pub const fn size_bytes(mut self, bytes: usize) -> Self {
        self.size_bytes = bytes;
        self
    }

    /// What tells a repeat.
    pub(super) fn name(&self) -> Option<Name<'_>> {
        let position = self.position.as_ref().map(Position::as_str).filter(|words| !words.is_empty());
        let position = position.filter(|_| !self.shares_position).map(Name::Position);
        self.id.as_deref().map(Name::Id).or(position)
    }
}
