//! The text frames of version 2.0.0: a JSON array of five.
//!
//! ```json
//! ["1","2","room:9","phx_reply",{"status":"ok","response":{}}]
//! ```
//! In order: join ref, ref, topic, event, payload. More elements are ignored, as the server does.
//! Source: Phoenix `V2.JSONSerializer`.

use super::{
    Content, DecodeError, EncodeError, Envelope, Payload,
    error::{bad_json, unwritable},
    wire::{Text, WireRef, text_payload},
};
use serde::{
    Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

pub(super) fn decode(text: &str) -> Result<Envelope<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let envelope = json.deserialize_seq(ArrayVisitor).map_err(bad_json("frame"))?;
    json.end().map_err(bad_json("frame"))?;
    Ok(envelope)
}

pub(super) fn encode(envelope: &Envelope<'_>) -> Result<String, EncodeError> {
    let payload: &RawValue = &text_payload(envelope.payload())?;
    serde_json::to_string(&(envelope.join_ref(), envelope.message_ref(), envelope.topic(), envelope.event(), payload))
        .map_err(unwritable)
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of join ref, ref, topic, event and payload")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let missing = |length: usize| A::Error::invalid_length(length, &"five elements");
        let WireRef(join_ref) = seq.next_element()?.ok_or_else(|| missing(0))?;
        let WireRef(message_ref) = seq.next_element()?.ok_or_else(|| missing(1))?;
        let Text(topic) = seq.next_element()?.ok_or_else(|| missing(2))?;
        let Text(event) = seq.next_element()?.ok_or_else(|| missing(3))?;
        let payload: &'de RawValue = seq.next_element()?.ok_or_else(|| missing(4))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let payload = Payload::Content(Content::Json(Cow::Borrowed(payload)));
        Ok(Envelope { join_ref, message_ref, topic, event, payload })
    }
}
