//! The crate by its public API: the codec against recorded bytes, and its cores against simple models.

#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it inside test functions only, and these build their values in others"
)]

mod cloud;
mod codec_properties;
mod codec_text;
mod codec_vectors;
mod feed;
mod live;
mod presence_model;

use bytes::Bytes;
use cloud_realtime::{Codec, Frame, Version, codec::Content};
use serde_json::value::RawValue;
use std::borrow::Cow;

const V1: Codec = Codec::new(Version::V1);
const V2: Codec = Codec::new(Version::V2);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn binary(bytes: Vec<u8>) -> Frame {
    Frame::Binary(Bytes::from(bytes))
}

fn text(text: &str) -> Frame {
    Frame::text(text)
}

fn raw(text: &str) -> Content<'_> {
    Content::Json(Cow::Borrowed(serde_json::from_str::<&RawValue>(text).unwrap()))
}
