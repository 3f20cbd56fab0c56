//! Topic names: which strings name a channel, and where the `realtime:` prefix goes.
//!
//! An application names a topic `notes`; Supabase Realtime knows it as `realtime:notes`, and a plain
//! Phoenix server has no prefix at all. A [`Topic`] is checked once and then always fit to be sent.
//! Source: Supabase Realtime, `RealtimeChannel` topics; Phoenix channels for the heartbeat topic.

use std::{borrow::Borrow, fmt, sync::Arc};

/// What every Supabase Realtime topic starts with.
pub const PREFIX: &str = "realtime:";
/// The topic of heartbeats. It belongs to the socket and cannot be joined.
pub const HEARTBEAT_TOPIC: &str = "phoenix";
/// Longest topic in UTF-8 bytes: binary frames give its length one byte.
pub const MAX_BYTES: usize = u8::MAX as usize;

/// The full name of one channel. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a string cannot name a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Nothing, or nothing after the prefix.
    #[error("a topic needs a name")]
    Empty,
    /// The name already starts with `realtime:`.
    #[error("the name already starts with \"realtime:\"; pass the name alone, or the whole topic to Topic::parse")]
    AlreadyPrefixed,
    /// More than [`MAX_BYTES`].
    #[error("the topic is {length_bytes} bytes long, {MAX_BYTES} is the most")]
    TooLong {
        /// Length of the whole topic in UTF-8 bytes.
        length_bytes: usize,
    },
    /// The heartbeat topic.
    #[error("the topic \"phoenix\" belongs to heartbeats")]
    Reserved,
}

impl Topic {
    /// The Supabase topic of `name`: `notes` becomes `realtime:notes`.
    ///
    /// # Errors
    ///
    /// When the name is empty, too long, or has the prefix already.
    pub fn realtime(name: &str) -> Result<Self, TopicError> {
        if name.starts_with(PREFIX) {
            return Err(TopicError::AlreadyPrefixed);
        }
        Self::parse(&format!("{PREFIX}{name}"))
    }

    /// A whole topic as it goes over the wire: `realtime:notes`, or `room:9` on a plain Phoenix server.
    ///
    /// # Errors
    ///
    /// When it names nothing, is too long, or belongs to heartbeats.
    pub fn parse(topic: &str) -> Result<Self, TopicError> {
        match topic {
            "" | PREFIX => Err(TopicError::Empty),
            HEARTBEAT_TOPIC => Err(TopicError::Reserved),
            _ if topic.len() > MAX_BYTES => Err(TopicError::TooLong { length_bytes: topic.len() }),
            _ => Ok(Self(topic.into())),
        }
    }

    /// The whole topic, prefix included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without `realtime:`, as Supabase's HTTP interface wants it; `None` for a plain topic.
    pub fn name(&self) -> Option<&str> {
        self.0.strip_prefix(PREFIX)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// So that a map of topics is searched by text.
impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_the_prefix_and_gives_it_back() {
        let topic = Topic::realtime("café:1").unwrap();
        assert_eq!(topic.as_str(), "realtime:café:1");
        assert_eq!(topic.name(), Some("café:1"));
    }

    #[test]
    fn a_plain_topic_stays_as_it_is() {
        let topic = Topic::parse("room:9").unwrap();
        assert_eq!((topic.as_str(), topic.name()), ("room:9", None));
    }

    #[test]
    fn names_that_no_server_takes_are_refused() {
        assert_eq!(Topic::realtime(""), Err(TopicError::Empty));
        assert_eq!(Topic::parse(""), Err(TopicError::Empty));
        assert_eq!(Topic::parse("realtime:"), Err(TopicError::Empty));
        assert_eq!(Topic::parse("phoenix"), Err(TopicError::Reserved));
        assert_eq!(Topic::realtime("realtime:notes"), Err(TopicError::AlreadyPrefixed));
    }

    #[test]
    fn the_limit_counts_bytes_and_the_prefix() {
        let room = MAX_BYTES - PREFIX.len();
        assert!(Topic::realtime(&"é".repeat(room / 2)).is_ok());
        assert_eq!(Topic::realtime(&"é".repeat(room / 2 + 1)), Err(TopicError::TooLong { length_bytes: 257 }));
        assert_eq!(Topic::realtime(&"a".repeat(room + 1)), Err(TopicError::TooLong { length_bytes: 256 }));
    }
}
