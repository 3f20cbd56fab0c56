//! One message between its frame and its meaning: who it is for, what it is, and a payload not read yet.
//!
//! Text and binary frames say the same things in different ways. [`Envelope::reply`] and
//! [`Envelope::broadcast`] give one view of both, so that nothing above the codec looks at frame kinds.
//! `Debug` shows sizes, never payloads: a join carries an access token.
//! Source: Phoenix channels, message fields; Supabase Realtime, broadcast payloads.

use super::{
    DecodeError,
    error::bad_json,
    wire::{WireBroadcast, WireReply},
};
use crate::{event, refs::Ref, topic::HEARTBEAT_TOPIC};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// A message with its payload as it came. Borrows from the frame it was read from.
#[derive(Clone, PartialEq)]
pub struct Envelope<'a> {
    pub(super) join_ref: Option<Cow<'a, str>>,
    pub(super) message_ref: Option<Cow<'a, str>>,
    pub(super) topic: Cow<'a, str>,
    pub(super) event: Cow<'a, str>,
    pub(super) payload: Payload<'a>,
}

impl<'a> Envelope<'a> {
    /// An ordinary message, without refs.
    pub fn new(topic: impl Into<Cow<'a, str>>, event: impl Into<Cow<'a, str>>, content: Content<'a>) -> Self {
        let payload = Payload::Content(content);
        Self { join_ref: None, message_ref: None, topic: topic.into(), event: event.into(), payload }
    }

    /// A broadcast in the application's own words. Goes as kind 3 or 4 on 2.0.0, as text on 1.0.0.
    pub fn new_broadcast(topic: impl Into<Cow<'a, str>>, broadcast: UserBroadcast<'a>) -> Self {
        let payload = Payload::Broadcast(broadcast);
        Self { payload, ..Self::new(topic, event::BROADCAST, Content::null()) }
    }

    /// An answer, as a server gives it.
    pub fn new_reply(topic: impl Into<Cow<'a, str>>, reply: Reply<'a>) -> Self {
        Self { payload: Payload::Reply(reply), ..Self::new(topic, event::REPLY, Content::null()) }
    }

    /// The heartbeat with this ref.
    pub fn heartbeat(message_ref: Ref) -> Self {
        Self::new(HEARTBEAT_TOPIC, event::HEARTBEAT, Content::empty_object()).with_ref(message_ref)
    }

    /// Sets the ref that the answer repeats.
    #[must_use]
    pub fn with_ref(mut self, message_ref: impl Into<Cow<'a, str>>) -> Self {
        self.message_ref = Some(message_ref.into());
        self
    }

    /// Sets the ref of the join that opened the channel. Every push on a channel needs it.
    #[must_use]
    pub fn with_join_ref(mut self, join_ref: impl Into<Cow<'a, str>>) -> Self {
        self.join_ref = Some(join_ref.into());
        self
    }

    /// The ref of the channel instance, where the message has one.
    pub fn join_ref(&self) -> Option<&str> {
        self.join_ref.as_deref()
    }

    /// The ref of the push or of the push that is answered, where the message has one.
    pub fn message_ref(&self) -> Option<&str> {
        self.message_ref.as_deref()
    }

    /// The channel's full name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What happened; see [`event`] for the reserved names.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The payload as it came.
    pub const fn payload(&self) -> &Payload<'a> {
        &self.payload
    }

    /// Whether the message is for the channel instance that joined with `join_ref`, and not for one that
    /// held the topic before.
    ///
    /// A message without a join ref is for whoever holds the topic, except that 1.0.0 servers name the
    /// instance of a close or an error in `ref`.
    pub fn is_for(&self, join_ref: Ref) -> bool {
        match (self.join_ref(), self.message_ref(), self.event()) {
            (Some(theirs), ..) | (None, Some(theirs), event::CLOSE | event::ERROR) => join_ref.is(theirs),
            _ => true,
        }
    }

    /// Decodes a JSON payload.
    ///
    /// # Errors
    ///
    /// When the payload is binary or has another shape.
    pub fn decode<'s, T: Deserialize<'s>>(&'s self) -> Result<T, DecodeError> {
        match &self.payload {
            Payload::Content(content) => content.decode(),
            Payload::Reply(Reply { response, .. }) => response.decode(),
            Payload::Broadcast(UserBroadcast { content, .. }) => content.decode(),
        }
    }

    /// The answer in this message, from text or binary; `None` when it is not a reply.
    ///
    /// # Errors
    ///
    /// When the message says it is a reply and has no status.
    pub fn reply(&self) -> Option<Result<Reply<'_>, DecodeError>> {
        match &self.payload {
            Payload::Reply(reply) => Some(Ok(reply.clone())),
            Payload::Content(Content::Json(raw)) if self.event == event::REPLY => {
                Some(serde_json::from_str::<WireReply<'_>>(raw.get()).map(Reply::from).map_err(bad_json("reply")))
            }
            _ => None,
        }
    }

    /// The application's broadcast in this message, from text or binary; `None` when it is not one.
    ///
    /// # Errors
    ///
    /// When the message says it is a broadcast and names no event.
    pub fn broadcast(&self) -> Option<Result<UserBroadcast<'_>, DecodeError>> {
        match &self.payload {
            Payload::Broadcast(broadcast) => Some(Ok(broadcast.clone())),
            Payload::Content(Content::Json(raw)) if self.event == event::BROADCAST => Some(
                serde_json::from_str::<WireBroadcast<'_>>(raw.get())
                    .map(UserBroadcast::from)
                    .map_err(bad_json("broadcast")),
            ),
            _ => None,
        }
    }

    /// The same message, no longer tied to its frame.
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope {
            join_ref: self.join_ref.map(own),
            message_ref: self.message_ref.map(own),
            topic: own(self.topic),
            event: event::own(self.event),
            payload: match self.payload {
                Payload::Content(content) => Payload::Content(content.into_owned()),
                Payload::Reply(reply) => Payload::Reply(reply.into_owned()),
                Payload::Broadcast(broadcast) => Payload::Broadcast(broadcast.into_owned()),
            },
        }
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("join_ref", &self.join_ref)
            .field("ref", &self.message_ref)
            .field("topic", &self.topic)
            .field("event", &self.event)
            .field("payload", &self.payload)
            .finish()
    }
}

/// A payload in the form it came in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// JSON of a text frame, or the bytes of a binary push or broadcast.
    Content(Content<'a>),
    /// A reply that came as a binary frame, or one to be sent.
    Reply(Reply<'a>),
    /// A user broadcast that came as a binary frame, or one to be sent.
    Broadcast(UserBroadcast<'a>),
}

impl Payload<'_> {
    /// Whether version 2.0.0 carries this in a text frame.
    pub(super) const fn is_text(&self) -> bool {
        match self {
            Self::Content(content) | Self::Reply(Reply { response: content, .. }) => {
                matches!(content, Content::Json(_))
            }
            Self::Broadcast(_) => false,
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Content(content) => content.size_bytes(),
            Self::Reply(reply) => reply.response.size_bytes(),
            Self::Broadcast(broadcast) => broadcast.content.size_bytes(),
        }
    }
}

/// JSON or bytes, not decoded.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "the protocol's encodings are one byte, and it has two")]
pub enum Content<'a> {
    /// Checked to be JSON, not decoded.
    Json(Cow<'a, RawValue>),
    /// Bytes that mean something to the application only.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Content<'a> {
    /// `value` as JSON.
    ///
    /// # Errors
    ///
    /// When the value refuses to be JSON, such as a map whose keys are not strings.
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Content<'static>, super::EncodeError> {
        let raw = serde_json::value::to_raw_value(value).map_err(super::error::unwritable)?;
        Ok(Content::Json(Cow::Owned(raw)))
    }

    /// Bytes, unchanged.
    pub fn binary(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// JSON `null`.
    pub const fn null() -> Self {
        Self::Json(Cow::Borrowed(RawValue::NULL))
    }

    /// JSON `{}`, the payload of a message that says everything by its event.
    pub fn empty_object() -> Self {
        // The text is constant and valid, so the fallback is never used.
        serde_json::from_str::<&'static RawValue>("{}").map_or(Self::null(), |raw| Self::Json(Cow::Borrowed(raw)))
    }

    /// Decodes JSON.
    ///
    /// # Errors
    ///
    /// When these are bytes, or JSON of another shape.
    pub fn decode<'s, T: Deserialize<'s>>(&'s self) -> Result<T, DecodeError> {
        match self {
            Self::Json(raw) => serde_json::from_str(raw.get()).map_err(bad_json("payload")),
            Self::Binary(_) => Err(DecodeError::BinaryPayload),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Json(raw) => raw.get().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// The same, no longer tied to its frame.
    pub fn into_owned(self) -> Content<'static> {
        match self {
            Self::Json(raw) => Content::Json(Cow::Owned(raw.into_owned())),
            Self::Binary(bytes) => Content::Binary(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl PartialEq for Content<'_> {
    /// Same text or same bytes; two spellings of one JSON value differ.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(ours), Self::Json(theirs)) => ours.get() == theirs.get(),
            (Self::Binary(ours), Self::Binary(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Json(_)) { "json" } else { "binary" };
        write!(f, "<{kind}, {} bytes>", self.size_bytes())
    }
}

/// The answer to a push.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply<'a> {
    /// `ok`, `error`, or any other word of the server.
    pub status: Cow<'a, str>,
    /// What the server says; an object by custom, but any JSON is seen, and bytes.
    pub response: Content<'a>,
}

impl<'a> Reply<'a> {
    /// An answer with this status.
    pub fn new(status: impl Into<Cow<'a, str>>, response: Content<'a>) -> Self {
        Self { status: status.into(), response }
    }

    /// Whether the push was done.
    pub fn is_ok(&self) -> bool {
        self.status == "ok"
    }

    /// The same, no longer tied to its frame.
    pub fn into_owned(self) -> Reply<'static> {
        Reply { status: own(self.status), response: self.response.into_owned() }
    }
}

/// A message from one member of a channel to the others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UserBroadcast<'a> {
    /// The application's own event name.
    pub event: Cow<'a, str>,
    /// What is said.
    pub content: Content<'a>,
    /// What the server adds, such as an id, or that this is a replay. Always JSON.
    pub metadata: Option<Content<'a>>,
}

impl<'a> UserBroadcast<'a> {
    /// A broadcast without metadata.
    pub fn new(event: impl Into<Cow<'a, str>>, content: Content<'a>) -> Self {
        Self { event: event.into(), content, metadata: None }
    }

    /// Adds metadata, which has to be JSON.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Content<'a>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The same, no longer tied to its frame.
    pub fn into_owned(self) -> UserBroadcast<'static> {
        UserBroadcast {
            event: own(self.event),
            content: self.content.into_owned(),
            metadata: self.metadata.map(Content::into_owned),
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
