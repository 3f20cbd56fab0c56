//! How a server words its feed: what a join asks for, and what a message says.
use std::fmt;

use cloud_client::{Error, error::codes::UNREADABLE};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Audience, Entry, Position};
use crate::codec::{Content, bad_json};

/// The words of one server. Channels and event streams share them.
pub trait Dialect<T>: fmt::Debug + Send + Sync {
    /// The payload of a join that asks for everything after `after`, or for what happens from now on. Called anew for
    /// every join. Event streams ask with `Last-Event-ID` instead.
    fn ask(&self, after: Option<&Position>) -> Content<'static>;

    /// What the message `event` with this JSON text says.
    fn read(&self, event: &str, payload: &str) -> Reading<T>;

    /// Whether the server says when a replay is over. Default: it does. Where it does not, the feed counts as caught up
    /// as soon as it is open.
    fn tells_end(&self) -> bool {
        true
    }
}

/// What a message says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reading<T> {
    /// A message of the feed.
    Item(Entry<T>),
    /// The replay is over; the position up to there, where the server says so.
    Replayed(Option<Position>),
    /// The server no longer has what was asked for.
    TooOld,
    /// It is no business of the feed.
    Other,
    /// It is meant to be a message of the feed, and cannot be read.
    Unreadable(Error),
}

/// The default words: an envelope of JSON around each item.
///
/// A join asks with `{"after":"…"}`, where `after` is absent before the first position. Messages are
///
/// | Event       | Payload                                                                                          |
/// |-------------|--------------------------------------------------------------------------------------------------|
/// | `item`      | `{"id":"…","position":"…","audience":{"organization":"…","conversation":"…"},"replayed":true,"data":…}` |
/// | `caught_up` | `{"position":"…"}`: the replay is over                                                            |
/// | `too_old`   | anything: what comes after the position is gone, and only live items follow                       |
///
/// All fields but `data` may be absent; an event stream's `id:` stands in for `position`. Unknown fields and events are
/// passed over.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct JsonDialect;

impl JsonDialect {
    /// The default words.
    pub const fn new() -> Self {
        Self
    }
}

/// An item as the default words have it.
#[derive(Deserialize)]
pub(super) struct Wire<T> {
    id: Option<String>,
    position: Option<String>,
    #[serde(default)]
    audience: WireAudience,
    #[serde(default)]
    replayed: bool,
    data: T,
}

#[derive(Default, Deserialize)]
struct WireAudience {
    organization: Option<String>,
    conversation: Option<String>,
}

impl<T> From<Wire<T>> for Entry<T> {
    fn from(wire: Wire<T>) -> Self {
        let WireAudience { organization, conversation } = wire.audience;
        Self {
            id: wire.id,
            position: wire.position.map(Position::new),
            audience: Audience { organization, conversation },
            replayed: wire.replayed,
            ..Self::new(wire.data)
        }
    }
}

impl<T: DeserializeOwned> Dialect<T> for JsonDialect {
    fn ask(&self, after: Option<&Position>) -> Content<'static> {
        let asked: serde_json::Map<_, _> =
            after.map(|after| ("after".to_owned(), after.as_str().into())).into_iter().collect();
        // A map of text is always JSON.
        Content::json(&asked).unwrap_or_else(|_| Content::empty_object())
    }

    fn read(&self, event: &str, payload: &str) -> Reading<T> {
        #[derive(Deserialize)]
        struct End {
            position: Option<String>,
        }
        match event {
            "item" => match serde_json::from_str::<Wire<T>>(payload) {
                Ok(wire) => Reading::Item(wire.into()),
                Err(fault) => Reading::Unreadable(unreadable(fault)),
            },
            "caught_up" => {
                let end = serde_json::from_str::<End>(payload).ok();
                Reading::Replayed(end.and_then(|end| end.position).map(Position::new))
            }
            "too_old" => Reading::TooOld,
            _ => Reading::Other,
        }
    }
}

/// An error that says where, and not what, since a source is printed by reporters.
pub(super) fn unreadable(fault: serde_json::Error) -> Error {
    Error::new(UNREADABLE).during("read an item of a feed").with_source(bad_json("item")(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &str, payload: &str) -> Reading<u32> {
        JsonDialect.read(event, payload)
    }

    #[test]
    fn a_join_asks_for_what_comes_after_the_position_and_for_nothing_without_one() {
        let ask = |after: Option<&Position>| {
            let asked: serde_json::Value = Dialect::<u32>::ask(&JsonDialect, after).decode().unwrap();
            asked
        };
        assert_eq!(ask(Some(&Position::new("a\"7"))), serde_json::json!({"after": "a\"7"}));
        assert_eq!(ask(None), serde_json::json!({}));
    }

    #[test]
    fn every_field_but_the_data_may_be_absent_and_unknown_ones_pass() {
        let Reading::Item(bare) = read("item", r#"{"data":7,"colour":"red"}"#) else { panic!("no item") };
        assert_eq!(bare, Entry::new(7));
        let whole = r#"{"id":"m1","position":"p1","audience":{"organization":"o","conversation":"c"},"replayed":true,"data":7}"#;
        let Reading::Item(entry) = read("item", whole) else { panic!("no item") };
        let audience = Audience::organization("o").conversation("c");
        assert_eq!(entry, Entry::new(7).id("m1").position(Position::new("p1")).audience(audience).replayed());
    }

    #[test]
    fn the_end_of_a_replay_may_say_where_it_is() {
        for (payload, position) in [(r#"{"position":"9"}"#, Some("9")), ("{}", None), ("null", None), ("", None)] {
            let Reading::Replayed(found) = read("caught_up", payload) else { panic!("{payload}") };
            assert_eq!(found.as_ref().map(Position::as_str), position, "{payload}");
        }
        assert!(matches!(read("too_old", ""), Reading::TooOld));
        assert!(matches!(read("presence_state", "{}"), Reading::Other));
    }

    #[test]
    fn an_item_of_another_shape_is_told_without_its_content() {
        for payload in [r#"{"data":"s3cret"}"#, "s3cret", r#"{"data":7"#] {
            let Reading::Unreadable(error) = read("item", payload) else { panic!("{payload}") };
            let shown = format!("{error:?} {error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(error.code() == UNREADABLE && !shown.contains("s3cret"), "{shown}");
        }
    }
}
