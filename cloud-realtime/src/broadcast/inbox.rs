//! What a member makes of the broadcasts that come: each once, and replayed ones told from live ones.
//!
//! The server names a stored broadcast by an id and marks a replayed one. A replay overlaps with what came
//! live before a break, so ids are remembered, [`MAX_SEEN_IDS`] of them (R12). A replay that is as long as it
//! may be was perhaps cut: [`Inbox::was_cut`]. What members send has no id and cannot come twice.
//! Source: Supabase Realtime, `meta` of broadcasts, replay.
use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, de::DeserializeOwned};

use crate::codec::{Content, DecodeError, Envelope, UserBroadcast};

/// Ids that are remembered. Two replays and much of what comes live between them.
pub const MAX_SEEN_IDS: usize = 1_024;
/// Most broadcasts in one replay; the server gives no more.
pub const MAX_REPLAYED: u8 = 25;
/// A longer id is nobody's, and not kept.
const MAX_ID_BYTES: usize = 128;

/// A broadcast that came.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Heard<'a> {
    /// The application's own event name.
    pub event: std::borrow::Cow<'a, str>,
    /// What was said: JSON or bytes.
    pub content: Content<'a>,
    /// The server's id, of one that it stores.
    pub id: Option<String>,
    /// Whether it was said earlier and is told again.
    pub is_replayed: bool,
}

impl Heard<'_> {
    /// What was said, as `T`.
    ///
    /// # Errors
    ///
    /// When it was bytes, or JSON of another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.content.decode()
    }
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    replayed: bool,
}

/// Takes broadcasts and lets each through once. Pure.
#[derive(Clone, Debug)]
pub struct Inbox {
    seen: HashSet<String>,
    /// The same ids, oldest first.
    order: VecDeque<String>,
    limit: u8,
    replayed: u8,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new(MAX_REPLAYED)
    }
}

impl Inbox {
    /// An inbox for a channel that asks for replays of at most `limit`.
    pub fn new(limit: u8) -> Self {
        Self { seen: HashSet::new(), order: VecDeque::new(), limit: limit.clamp(1, MAX_REPLAYED), replayed: 0 }
    }

    /// The channel was joined anew: its replay begins.
    pub const fn joined(&mut self) {
        self.replayed = 0;
    }

    /// Takes a message. `None` when it is no broadcast, or one that came already.
    ///
    /// # Errors
    ///
    /// When it says it is a broadcast and cannot be read as one.
    pub fn take<'s>(&mut self, envelope: &'s Envelope<'_>) -> Option<Result<Heard<'s>, DecodeError>> {
        match envelope.broadcast()? {
            Ok(broadcast) => self.one(broadcast).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the replay of this join is as long as it may be: there may have been more, so whoever needs all of them
    /// reads them elsewhere.
    pub const fn was_cut(&self) -> bool {
        self.replayed >= self.limit
    }

    fn one<'a>(&mut self, broadcast: UserBroadcast<'a>) -> Option<Heard<'a>> {
        let UserBroadcast { event, content, metadata } = broadcast;
        // Metadata is the server's own and may grow; without an id that can be read there is nothing to compare.
        let Meta { id, replayed } = metadata.and_then(|meta| meta.decode().ok()).unwrap_or_default();
        if replayed {
            self.replayed = self.replayed.saturating_add(1);
        }
        let id = id.filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES);
        if let Some(id) = &id {
            if !self.seen.insert(id.clone()) {
                return None;
            }
            self.order.push_back(id.clone());
            if self.order.len() > MAX_SEEN_IDS
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
        }
        Some(Heard { event, content, id, is_replayed: replayed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec, Frame, Sender, Version};
    use serde_json::{Value, json};

    fn text(meta: &Value) -> Frame {
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": 1}, "meta": meta});
        Frame::text(json!([null, null, "realtime:r", "broadcast", payload]).to_string())
    }

    fn binary(meta: &str) -> Frame {
        let mut bytes = vec![4, 10, 1, u8::try_from(meta.len()).unwrap(), 0];
        bytes.extend(b"realtime:re");
        bytes.extend(meta.as_bytes());
        bytes.extend([1, 2]);
        Frame::Binary(bytes.into())
    }

    fn taken(inbox: &mut Inbox, frame: &Frame) -> Option<(Option<String>, bool)> {
        let envelope = Codec::new(Version::V2).decode(Sender::Server, frame).unwrap();
        let heard = inbox.take(&envelope)?.unwrap();
        assert_eq!(heard.event, "e");
        Some((heard.id, heard.is_replayed))
    }

    #[test]
    fn r12_replayed_broadcasts_are_marked_and_come_once_whatever_their_form() {
        let mut inbox = Inbox::default();
        assert_eq!(taken(&mut inbox, &text(&json!({"id": "1"}))), Some((Some("1".into()), false)));
        assert_eq!(taken(&mut inbox, &text(&json!({"id": "1", "replayed": true}))), None);
        assert_eq!(taken(&mut inbox, &binary(r#"{"id":"1","replayed":true}"#)), None);
        assert_eq!(taken(&mut inbox, &binary(r#"{"id":"2","replayed":true}"#)), Some((Some("2".into()), true)));
        assert_eq!(taken(&mut inbox, &text(&json!({"id": "2"}))), None);
    }

    #[test]
    fn broadcasts_without_an_id_all_come() {
        let mut inbox = Inbox::default();
        for meta in
            [json!(null), json!({}), json!({"id": ""}), json!({"id": 7}), json!("x"), json!({"id": "i".repeat(129)})]
        {
            assert_eq!(taken(&mut inbox, &text(&meta)), Some((None, false)), "{meta}");
            assert_eq!(taken(&mut inbox, &text(&meta)), Some((None, false)), "{meta}");
        }
    }

    #[test]
    fn r12_a_replay_as_long_as_it_may_be_was_perhaps_cut() {
        for (count, cut) in [(0, false), (24, false), (25, true), (26, true)] {
            let mut inbox = Inbox::default();
            for n in 0..count {
                taken(&mut inbox, &text(&json!({"id": n.to_string(), "replayed": true})));
            }
            assert_eq!(inbox.was_cut(), cut, "{count}");
            inbox.joined();
            assert!(!inbox.was_cut());
        }
        let mut inbox = Inbox::new(2);
        for n in 0..2 {
            taken(&mut inbox, &text(&json!({"id": n.to_string(), "replayed": true})));
        }
        assert!(inbox.was_cut());
    }

    #[test]
    fn r12_the_memory_of_ids_is_bounded_and_keeps_the_newest() {
        let mut inbox = Inbox::default();
        for n in 0..20_000 {
            assert!(taken(&mut inbox, &text(&json!({"id": n.to_string()}))).is_some());
        }
        assert_eq!((inbox.seen.len(), inbox.order.len()), (MAX_SEEN_IDS, MAX_SEEN_IDS));
        let oldest = 20_000 - MAX_SEEN_IDS;
        assert!(taken(&mut inbox, &text(&json!({"id": oldest.to_string()}))).is_none());
        assert!(taken(&mut inbox, &text(&json!({"id": (oldest - 1).to_string()}))).is_some());
    }

    #[test]
    fn other_messages_are_none_and_broken_ones_errors() {
        let mut inbox = Inbox::default();
        let read = |inbox: &mut Inbox, text: &str| {
            let frame = Frame::text(text);
            let envelope = Codec::new(Version::V2).decode(Sender::Server, &frame).unwrap();
            inbox.take(&envelope).map(|taken| taken.is_ok())
        };
        assert_eq!(read(&mut inbox, r#"[null,null,"r","presence_diff",{}]"#), None);
        assert_eq!(read(&mut inbox, r#"[null,null,"r","broadcast",{"type":"broadcast"}]"#), Some(false));
    }

    #[test]
    fn json_is_decoded_and_bytes_are_not() {
        let mut inbox = Inbox::default();
        let codec = Codec::new(Version::V2);
        let (said, bytes) = (text(&json!(null)), binary(""));
        let envelope = codec.decode(Sender::Server, &said).unwrap();
        assert_eq!(inbox.take(&envelope).unwrap().unwrap().decode::<Value>().unwrap(), json!({"n": 1}));
        let envelope = codec.decode(Sender::Server, &bytes).unwrap();
        let heard = inbox.take(&envelope).unwrap().unwrap();
        assert_eq!(heard.content, Content::binary(vec![1, 2]));
        assert_eq!(heard.decode::<Value>(), Err(DecodeError::BinaryPayload));
    }
}
