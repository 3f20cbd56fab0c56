//! The JSON pieces that both text versions share: refs, and the objects inside replies and broadcasts.
//!
//! Strings stay borrowed from the frame unless they contain an escape. A server repeats a ref as it
//! got it, so a number is read as its digits.
//! Source: Phoenix channels, `phx_reply`; Supabase Realtime, `broadcast`.

use super::{Content, EncodeError, Payload, Reply, UserBroadcast, error::unwritable};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};
use std::{borrow::Cow, fmt};

/// A string.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// A string, a number or null.
#[derive(Debug)]
pub(super) struct WireRef<'a>(pub(super) Option<Cow<'a, str>>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

struct RefVisitor;

impl<'de> Visitor<'de> for RefVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ref")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

impl<'de> Deserialize<'de> for WireRef<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefVisitor).map(Self)
    }
}

/// The payload of a `phx_reply`.
#[derive(Serialize, Deserialize)]
pub(super) struct WireReply<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

impl<'a> From<WireReply<'a>> for Reply<'a> {
    fn from(wire: WireReply<'a>) -> Self {
        Self::new(wire.status, json(wire.response))
    }
}

/// The payload of a `broadcast`.
#[derive(Serialize, Deserialize)]
pub(super) struct WireBroadcast<'a> {
    #[serde(borrow, rename = "type", default = "broadcast")]
    sort: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

const fn broadcast() -> Cow<'static, str> {
    Cow::Borrowed(crate::event::BROADCAST)
}

impl<'a> From<WireBroadcast<'a>> for UserBroadcast<'a> {
    fn from(wire: WireBroadcast<'a>) -> Self {
        let metadata = wire.meta.map(|raw| Content::Json(Cow::Borrowed(raw)));
        Self { metadata, ..Self::new(wire.event, json(wire.payload)) }
    }
}

fn json(raw: Option<&RawValue>) -> Content<'_> {
    raw.map_or(Content::null(), |raw| Content::Json(Cow::Borrowed(raw)))
}

/// The payload as the JSON of a text frame.
pub(super) fn text_payload<'s>(payload: &'s Payload<'_>) -> Result<Cow<'s, RawValue>, EncodeError> {
    let wrapped = match payload {
        Payload::Content(content) => return raw(content).map(Cow::Borrowed),
        Payload::Reply(Reply { status, response }) => {
            to_raw_value(&WireReply { status: Cow::Borrowed(status), response: Some(raw(response)?) })
        }
        Payload::Broadcast(UserBroadcast { event, content, metadata }) => to_raw_value(&WireBroadcast {
            sort: broadcast(),
            event: Cow::Borrowed(event),
            payload: Some(raw(content)?),
            meta: metadata.as_ref().map(raw).transpose()?,
        }),
    };
    wrapped.map(Cow::Owned).map_err(unwritable)
}

/// Text carries bytes in neither version; 2.0.0 never asks, because its bytes go in binary frames.
fn raw<'s>(content: &'s Content<'_>) -> Result<&'s RawValue, EncodeError> {
    match content {
        Content::Json(raw) => Ok(raw),
        Content::Binary(_) => Err(EncodeError::BinaryOnV1),
    }
}
