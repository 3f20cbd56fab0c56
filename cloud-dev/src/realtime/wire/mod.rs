//! Frames of the two serializer versions ↔ the five fields of a message.
//!
//! Client frame → [`decode`] → [`Inbound`]; a message of the server → [`text`], [`push`], [`reply`], [`shout`] or
//! [`user_broadcast`] → frame. JSON payloads stay the text they came as, so no number passes through a float.
//! Lengths of a binary header are one byte and count bytes of UTF-8. Nothing here knows what an event means.
//! Wire source: Phoenix `V1.JSONSerializer`, `V2.JSONSerializer`; Supabase Realtime's user broadcasts.

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Kinds of binary frames.
const PUSH: u8 = 0;
const REPLY: u8 = 1;
const BROADCAST: u8 = 2;
const USER_BROADCAST_PUSH: u8 = 3;
const USER_BROADCAST: u8 = 4;

/// The two ways to write a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// JSON objects, text only.
    V1,
    /// JSON arrays, and binary frames.
    V2,
}

/// What the client chose, or null; it goes back as it came.
pub(crate) type Ref = serde_json::Value;

/// A frame as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inbound {
    pub(crate) join_ref: Ref,
    pub(crate) reference: Ref,
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: Payload,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// The text of a JSON value.
    Json(String),
    Binary(Bytes),
    Broadcast(UserBroadcast),
}

/// A broadcast whose event and payload stand beside each other instead of inside one JSON object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserBroadcast {
    pub(crate) event: String,
    /// The text of a JSON object.
    pub(crate) metadata: Option<String>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Json(String),
    Binary(Bytes),
}

/// The frame is not a message of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A header field is longer than one byte can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A text message of the server; the payload is JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound<'a> {
    pub(crate) join_ref: &'a Ref,
    pub(crate) reference: &'a Ref,
    pub(crate) topic: &'a str,
    pub(crate) event: &'a str,
    pub(crate) payload: &'a str,
}

/// Reads a frame of a client.
pub(crate) fn decode(version: Version, frame: Frame<'_>) -> Result<Inbound, Malformed> {
    match (version, frame) {
        (Version::V1, Frame::Text(text)) => object(text),
        (Version::V2, Frame::Text(text)) => array(text),
        (Version::V2, Frame::Binary(bytes)) => binary(bytes),
        (Version::V1, Frame::Binary(_)) => Err(Malformed),
    }
}

/// Writes a message as text; version 1 has no place for the join's reference.
pub(crate) fn text(version: Version, message: &Outbound<'_>) -> String {
    let Outbound { join_ref, reference, topic, event, payload } = *message;
    let (topic, event) = (quoted(topic), quoted(event));
    match version {
        Version::V1 => format!(r#"{{"topic":{topic},"event":{event},"payload":{payload},"ref":{reference}}}"#),
        Version::V2 => format!("[{join_ref},{reference},{topic},{event},{payload}]"),
    }
}

/// Text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A binary push of the server; it has no reference.
pub(crate) fn push(join_ref: &Ref, topic: &str, event: &str, data: &[u8]) -> Result<Vec<u8>, TooLong> {
    framed(PUSH, &[&plain(join_ref), topic, event], &[], &[], data)
}

/// A reply whose response is binary.
pub(crate) fn reply(
    join_ref: &Ref,
    reference: &Ref,
    topic: &str,
    status: &str,
    data: &[u8],
) -> Result<Vec<u8>, TooLong> {
    framed(REPLY, &[&plain(join_ref), &plain(reference), topic, status], &[], &[], data)
}

/// A binary message to everybody in a topic.
pub(crate) fn shout(topic: &str, event: &str, data: &[u8]) -> Result<Vec<u8>, TooLong> {
    framed(BROADCAST, &[topic, event], &[], &[], data)
}

/// A user's broadcast as a frame of its own.
pub(crate) fn user_broadcast(topic: &str, broadcast: &UserBroadcast) -> Result<Vec<u8>, TooLong> {
    let metadata = broadcast.metadata.as_deref().unwrap_or_default();
    let metadata_length = u8::try_from(metadata.len()).map_err(|_| TooLong)?;
    let (encoding, data) = match &broadcast.body {
        Body::Binary(bytes) => (0, bytes.as_ref()),
        Body::Json(text) => (1, text.as_bytes()),
    };
    framed(USER_BROADCAST, &[topic, &broadcast.event], &[metadata_length, encoding], metadata.as_bytes(), data)
}

/// Kind, lengths of `fields`, `extra` header bytes, the fields, `metadata`, the data.
fn framed(kind: u8, fields: &[&str], extra: &[u8], metadata: &[u8], data: &[u8]) -> Result<Vec<u8>, TooLong> {
    let texts: usize = fields.iter().map(|field| field.len()).sum();
    let mut frame = Vec::with_capacity(1 + fields.len() + extra.len() + texts + metadata.len() + data.len());
    frame.push(kind);
    for field in fields {
        frame.push(u8::try_from(field.len()).map_err(|_| TooLong)?);
    }
    frame.extend_from_slice(extra);
    for field in fields {
        frame.extend_from_slice(field.as_bytes());
    }
    frame.extend_from_slice(metadata);
    frame.extend_from_slice(data);
    Ok(frame)
}

/// A reference where only text can stand: null is nothing.
fn plain(reference: &Ref) -> String {
    match reference {
        Ref::Null => String::new(),
        Ref::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn object(text: &str) -> Result<Inbound, Malformed> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(default)]
        join_ref: Ref,
        #[serde(rename = "ref")]
        reference: Ref,
        topic: String,
        event: String,
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    if !text.trim_start().starts_with('{') {
        return Err(Malformed); // a struct could be read from a list too
    }
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| Malformed)?;
    Ok(Inbound {
        join_ref: message.join_ref,
        reference: message.reference,
        topic: message.topic,
        event: message.event,
        payload: Payload::Json(message.payload.get().to_owned()),
    })
}

fn array(text: &str) -> Result<Inbound, Malformed> {
    let fields: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Malformed)?;
    let [join_ref, reference, topic, event, payload, ..] = fields.as_slice() else { return Err(Malformed) };
    let reference_of = |field: &RawValue| serde_json::from_str::<Ref>(field.get()).map_err(|_| Malformed);
    let text_of = |field: &RawValue| serde_json::from_str::<String>(field.get()).map_err(|_| Malformed);
    Ok(Inbound {
        join_ref: reference_of(join_ref)?,
        reference: reference_of(reference)?,
        topic: text_of(topic)?,
        event: text_of(event)?,
        payload: Payload::Json(payload.get().to_owned()),
    })
}

fn binary(frame: &[u8]) -> Result<Inbound, Malformed> {
    match *frame {
        [PUSH, join_ref, reference, topic, event, ref rest @ ..] => {
            let (fields, data) = split(rest, [join_ref, reference, topic, event])?;
            let [join_ref, reference, topic, event] = fields;
            let payload = Payload::Binary(Bytes::copy_from_slice(data));
            Ok(Inbound { join_ref: join_ref.into(), reference: reference.into(), topic, event, payload })
        }
        [USER_BROADCAST_PUSH, join_ref, reference, topic, event, metadata, encoding, ref rest @ ..] => {
            let (fields, data) = split(rest, [join_ref, reference, topic, event, metadata])?;
            let [join_ref, reference, topic, event, metadata] = fields;
            let metadata = (!metadata.is_empty()).then_some(metadata);
            if let Some(text) = &metadata {
                json(text.as_bytes())?;
            }
            // Everything but 0 is JSON.
            let body = match encoding {
                0 => Body::Binary(Bytes::copy_from_slice(data)),
                _ if data.is_empty() => return Err(Malformed),
                _ => Body::Json(json(data)?),
            };
            let payload = Payload::Broadcast(UserBroadcast { event, metadata, body });
            let (join_ref, reference) = (join_ref.into(), reference.into());
            Ok(Inbound { join_ref, reference, topic, event: "broadcast".to_owned(), payload })
        }
        _ => Err(Malformed),
    }
}

/// Takes texts of the given lengths off the front.
fn split<const N: usize>(bytes: &[u8], lengths: [u8; N]) -> Result<([String; N], &[u8]), Malformed> {
    let mut rest = bytes;
    let mut fields = [const { String::new() }; N];
    for (field, length) in fields.iter_mut().zip(lengths) {
        let (text, after) = rest.split_at_checked(usize::from(length)).ok_or(Malformed)?;
        std::str::from_utf8(text).map_err(|_| Malformed)?.clone_into(field);
        rest = after;
    }
    Ok((fields, rest))
}

fn json(bytes: &[u8]) -> Result<String, Malformed> {
    serde_json::from_slice::<&RawValue>(bytes).map(|raw| raw.get().to_owned()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
