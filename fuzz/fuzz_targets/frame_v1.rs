//! Text frames of protocol 1.0.0: read as `serde_json` reads them, and written as they were read.
//!
//! The input is the text of a frame.
#![no_main]
use cloud_fuzz::frames::{same_after_writing, views};
use cloud_realtime::{Codec, Frame, Sender, Version};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (codec, frame) = (Codec::new(Version::V1), Frame::text(text));
    let read = codec.decode(Sender::Server, &frame);
    let value = serde_json::from_str::<Value>(text);
    let Ok(envelope) = read else { return };
    // A payload may be deeper than a value can be.
    if let Ok(value) = value {
        assert_eq!(
            (value["topic"].as_str(), value["event"].as_str()),
            (Some(envelope.topic()), Some(envelope.event()))
        );
    }
    views(&envelope);
    same_after_writing(codec, Sender::Client, &envelope);
});
