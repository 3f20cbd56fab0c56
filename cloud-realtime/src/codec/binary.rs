//! The binary frames of version 2.0.0: a kind, one byte per length, the fields, then the payload.
//!
//! ```text
//! kind  from    lengths                                  fields in the same order, then data
//! 0     client  join_ref ref topic event                 push
//! 0     server  join_ref topic event                     push: the server's has no ref
//! 1     server  join_ref ref topic status                reply
//! 2     server  topic event                              broadcast
//! 3     client  join_ref ref topic event metadata, enc   user broadcast, Supabase only
//! 4     server  topic event metadata, enc                user broadcast, Supabase only
//! ```
//! Lengths count UTF-8 bytes. `enc` is 0 for bytes; anything else is JSON. A ref of length 0 is no ref.
//! Source: Phoenix `V2.JSONSerializer` for kinds 0 to 2, Supabase Realtime's serializer for 3 and 4.

use super::{Content, DecodeError, EncodeError, Envelope, Payload, Reply, Sender, UserBroadcast, error::bad_json};
use crate::event;
use serde_json::value::RawValue;
use std::borrow::Cow;

const PUSH: u8 = 0;
const REPLY: u8 = 1;
const BROADCAST: u8 = 2;
const USER_BROADCAST_PUSH: u8 = 3;
const USER_BROADCAST: u8 = 4;

const ENCODING_BINARY: u8 = 0;
const ENCODING_JSON: u8 = 1;

const JOIN_REF: &str = "join ref";
const REF: &str = "ref";
const TOPIC: &str = "topic";
const EVENT: &str = "event";
const STATUS: &str = "status";
const METADATA: &str = "metadata";

pub(super) fn decode(sender: Sender, frame: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let (&kind, rest) = frame.split_first().ok_or(DecodeError::Empty)?;
    let mut header = Header { kind, rest };
    match (kind, sender) {
        (PUSH, Sender::Client) => {
            let [join_ref, message_ref, topic, event] = header.texts([JOIN_REF, REF, TOPIC, EVENT])?;
            Ok(envelope(join_ref, message_ref, topic, event, Payload::Content(header.bytes())))
        }
        (PUSH, Sender::Server) => {
            let [join_ref, topic, event] = header.texts([JOIN_REF, TOPIC, EVENT])?;
            Ok(envelope(join_ref, "", topic, event, Payload::Content(header.bytes())))
        }
        (REPLY, Sender::Server) => {
            let [join_ref, message_ref, topic, status] = header.texts([JOIN_REF, REF, TOPIC, STATUS])?;
            let reply = Payload::Reply(Reply::new(status, header.bytes()));
            Ok(envelope(join_ref, message_ref, topic, event::REPLY, reply))
        }
        (BROADCAST, Sender::Server) => {
            let [topic, event] = header.texts([TOPIC, EVENT])?;
            Ok(envelope("", "", topic, event, Payload::Content(header.bytes())))
        }
        (USER_BROADCAST_PUSH, Sender::Client) => {
            let lengths = header.lengths([JOIN_REF, REF, TOPIC, EVENT, METADATA])?;
            let encoding = header.byte("encoding")?;
            let [join_ref, message_ref, topic, event, metadata] =
                header.fields(lengths, [JOIN_REF, REF, TOPIC, EVENT, METADATA])?;
            let broadcast = user_broadcast(event, metadata, encoding, header.rest)?;
            Ok(envelope(join_ref, message_ref, topic, event::BROADCAST, broadcast))
        }
        (USER_BROADCAST, Sender::Server) => {
            let lengths = header.lengths([TOPIC, EVENT, METADATA])?;
            let encoding = header.byte("encoding")?;
            let [topic, event, metadata] = header.fields(lengths, [TOPIC, EVENT, METADATA])?;
            let broadcast = user_broadcast(event, metadata, encoding, header.rest)?;
            Ok(envelope("", "", topic, event::BROADCAST, broadcast))
        }
        (PUSH..=USER_BROADCAST, _) => Err(DecodeError::WrongSender { kind, sender }),
        _ => Err(DecodeError::UnknownKind(kind)),
    }
}

/// What is left of a frame while its header is read from the front.
struct Header<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn texts<const N: usize>(&mut self, names: [&'static str; N]) -> Result<[&'a str; N], DecodeError> {
        let lengths = self.lengths(names)?;
        self.fields(lengths, names)
    }

    fn lengths<const N: usize>(&mut self, names: [&'static str; N]) -> Result<[u8; N], DecodeError> {
        let mut lengths = [0; N];
        for (length, name) in lengths.iter_mut().zip(names) {
            *length = self.byte(name)?;
        }
        Ok(lengths)
    }

    fn fields<const N: usize>(
        &mut self,
        lengths: [u8; N],
        names: [&'static str; N],
    ) -> Result<[&'a str; N], DecodeError> {
        let mut fields = [""; N];
        for (field, (length, name)) in fields.iter_mut().zip(lengths.into_iter().zip(names)) {
            let (bytes, rest) = self.rest.split_at_checked(length.into()).ok_or_else(|| self.truncated(name))?;
            *field = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { field: name })?;
            self.rest = rest;
        }
        Ok(fields)
    }

    fn byte(&mut self, name: &'static str) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.truncated(name))?;
        self.rest = rest;
        Ok(byte)
    }

    const fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated { kind: self.kind, field }
    }

    const fn bytes(&self) -> Content<'a> {
        Content::Binary(Cow::Borrowed(self.rest))
    }
}

fn envelope<'a>(
    join_ref: &'a str,
    message_ref: &'a str,
    topic: &'a str,
    event: &'a str,
    payload: Payload<'a>,
) -> Envelope<'a> {
    let some = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
    Envelope {
        join_ref: some(join_ref),
        message_ref: some(message_ref),
        topic: Cow::Borrowed(topic),
        event: Cow::Borrowed(event),
        payload,
    }
}

fn user_broadcast<'a>(
    event: &'a str,
    metadata: &'a str,
    encoding: u8,
    data: &'a [u8],
) -> Result<Payload<'a>, DecodeError> {
    let content = match encoding {
        ENCODING_BINARY => Content::Binary(Cow::Borrowed(data)),
        _ => json(serde_json::from_slice(data), "payload")?,
    };
    let metadata = match metadata {
        "" => None,
        text => Some(json(serde_json::from_str(text), METADATA)?),
    };
    Ok(Payload::Broadcast(UserBroadcast { event: Cow::Borrowed(event), content, metadata }))
}

fn json<'a>(raw: serde_json::Result<&'a RawValue>, what: &'static str) -> Result<Content<'a>, DecodeError> {
    raw.map(|raw| Content::Json(Cow::Borrowed(raw))).map_err(bad_json(what))
}

/// Writes any payload that does not go as text. All lengths are checked before the first byte.
pub(super) fn encode(sender: Sender, envelope: &Envelope<'_>) -> Result<Vec<u8>, EncodeError> {
    let join_ref = (JOIN_REF, envelope.join_ref().unwrap_or_default());
    let message_ref = (REF, envelope.message_ref().unwrap_or_default());
    let topic = (TOPIC, envelope.topic());
    let event = (EVENT, envelope.event());
    let has_ref = envelope.message_ref().is_some();
    let has_join_ref = envelope.join_ref().is_some();
    match (envelope.payload(), sender) {
        (Payload::Content(content), Sender::Client) => {
            write(PUSH, &[join_ref, message_ref, topic, event], None, content)
        }
        (Payload::Content(_), Sender::Server) if has_ref => {
            Err(EncodeError::NoSuchFrame("a server's binary push has no ref"))
        }
        (Payload::Content(content), Sender::Server) if has_join_ref => {
            write(PUSH, &[join_ref, topic, event], None, content)
        }
        (Payload::Content(content), Sender::Server) => write(BROADCAST, &[topic, event], None, content),
        (Payload::Reply(Reply { status, response }), Sender::Server) => {
            write(REPLY, &[join_ref, message_ref, topic, (STATUS, status)], None, response)
        }
        (Payload::Reply(_), Sender::Client) => Err(EncodeError::NoSuchFrame("a client sends no binary replies")),
        (Payload::Broadcast(broadcast), Sender::Client) => {
            let (event, metadata) = ((EVENT, &*broadcast.event), (METADATA, metadata(broadcast)?));
            let fields = [join_ref, message_ref, topic, event, metadata];
            write(USER_BROADCAST_PUSH, &fields, Some(encoding(broadcast)), &broadcast.content)
        }
        (Payload::Broadcast(_), Sender::Server) if has_ref || has_join_ref => {
            Err(EncodeError::NoSuchFrame("a server's user broadcast has no refs"))
        }
        (Payload::Broadcast(broadcast), Sender::Server) => {
            let fields = [topic, (EVENT, &*broadcast.event), (METADATA, metadata(broadcast)?)];
            write(USER_BROADCAST, &fields, Some(encoding(broadcast)), &broadcast.content)
        }
    }
}

fn metadata<'s>(broadcast: &'s UserBroadcast<'_>) -> Result<&'s str, EncodeError> {
    match &broadcast.metadata {
        None => Ok(""),
        Some(Content::Json(raw)) => Ok(raw.get()),
        Some(Content::Binary(_)) => Err(EncodeError::NoSuchFrame("the metadata of a broadcast is JSON")),
    }
}

const fn encoding(broadcast: &UserBroadcast<'_>) -> u8 {
    match broadcast.content {
        Content::Json(_) => ENCODING_JSON,
        Content::Binary(_) => ENCODING_BINARY,
    }
}

fn write(
    kind: u8,
    fields: &[(&'static str, &str)],
    encoding: Option<u8>,
    content: &Content<'_>,
) -> Result<Vec<u8>, EncodeError> {
    let data = match content {
        Content::Json(raw) => raw.get().as_bytes(),
        Content::Binary(bytes) => bytes,
    };
    let text_bytes: usize = fields.iter().map(|(_, text)| text.len()).sum();
    let mut frame = Vec::with_capacity(2 + fields.len() + text_bytes + data.len());
    frame.push(kind);
    for &(field, text) in fields {
        let length_bytes = text.len();
        frame.push(u8::try_from(length_bytes).map_err(|_| EncodeError::FieldTooLong { field, length_bytes })?);
    }
    frame.extend(encoding);
    for (_, text) in fields {
        frame.extend_from_slice(text.as_bytes());
    }
    frame.extend_from_slice(data);
    Ok(frame)
}
