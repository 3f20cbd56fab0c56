//! Version 1.0.0: one JSON object per text frame.
//!
//! ```json
//! {"topic":"room:9","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}
//! ```
//! Keys come in any order. A server leaves `join_ref` out of everything; a client always sends it.
//! Source: Phoenix `V1.JSONSerializer`.

use super::{
    Content, DecodeError, EncodeError, Envelope, Payload, Sender,
    error::{bad_json, unwritable},
    wire::{Text, WireRef, text_payload},
};
use serde::{
    Deserializer, Serialize,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

pub(super) fn decode(text: &str) -> Result<Envelope<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let envelope = json.deserialize_map(ObjectVisitor).map_err(bad_json("frame"))?;
    json.end().map_err(bad_json("frame"))?;
    Ok(envelope)
}

pub(super) fn encode(sender: Sender, envelope: &Envelope<'_>) -> Result<String, EncodeError> {
    let payload = text_payload(envelope.payload())?;
    serde_json::to_string(&Object {
        topic: envelope.topic(),
        event: envelope.event(),
        payload: &payload,
        message_ref: envelope.message_ref(),
        join_ref: match sender {
            Sender::Client => Some(envelope.join_ref()),
            Sender::Server => None,
        },
    })
    .map_err(unwritable)
}

#[derive(Serialize)]
struct Object<'a> {
    topic: &'a str,
    event: &'a str,
    payload: &'a RawValue,
    #[serde(rename = "ref")]
    message_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_ref: Option<Option<&'a str>>,
}

/// A visitor of its own, because a derived one takes arrays too, and those are version 2.0.0.
struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with topic, event and payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut topic, mut event, mut payload, mut message_ref, mut join_ref) = (None, None, None, None, None);
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match &*key {
                "topic" => topic = Some(map.next_value::<Text<'de>>()?.0),
                "event" => event = Some(map.next_value::<Text<'de>>()?.0),
                "payload" => payload = Some(map.next_value::<&'de RawValue>()?),
                "ref" => message_ref = map.next_value::<WireRef<'de>>()?.0,
                "join_ref" => join_ref = map.next_value::<WireRef<'de>>()?.0,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Envelope {
            join_ref,
            message_ref,
            topic: topic.ok_or_else(|| A::Error::missing_field("topic"))?,
            event: event.ok_or_else(|| A::Error::missing_field("event"))?,
            payload: Payload::Content(Content::Json(Cow::Borrowed(
                payload.ok_or_else(|| A::Error::missing_field("payload"))?,
            ))),
        })
    }
}
