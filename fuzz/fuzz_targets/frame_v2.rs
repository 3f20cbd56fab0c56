//! Text frames of protocol 2.0.0: read as `serde_json` reads them, and written as they were read.
//!
//! The input is the text of a frame.
#![no_main]
use cloud_fuzz::frames::{same_after_writing, views};
use cloud_realtime::{Codec, Frame, Sender, Version};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (codec, frame) = (Codec::new(Version::V2), Frame::text(text));
    let read = codec.decode(Sender::Server, &frame);
    let value = serde_json::from_str::<Value>(text);
    if let Ok(Value::Array(parts)) = &value {
        let is_ref = |part: &Value| part.is_null() || part.is_string() || part.is_i64() || part.is_u64();
        let wanted = match parts.as_slice() {
            [join_ref, message_ref, Value::String(topic), Value::String(event), ..] if parts.len() >= 5 => {
                (is_ref(join_ref) && is_ref(message_ref)).then_some((topic.as_str(), event.as_str()))
            }
            _ => None,
        };
        assert_eq!(read.as_ref().ok().map(|envelope| (envelope.topic(), envelope.event())), wanted);
    }
    if let Ok(envelope) = read {
        views(&envelope);
        same_after_writing(codec, Sender::Client, &envelope);
    }
});
