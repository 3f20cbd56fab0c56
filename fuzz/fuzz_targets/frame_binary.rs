//! Binary frames: whatever is read is written so that it reads the same; protocol 1.0.0 reads none.
//!
//! The first byte says who sent it (odd: the server), the rest is the frame.
#![no_main]
use cloud_fuzz::frames::{same_after_writing, views};
use cloud_realtime::{Codec, Frame, Sender, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let sender = if first % 2 == 1 { Sender::Server } else { Sender::Client };
    let frame = Frame::Binary(bytes.to_vec().into());
    assert!(Codec::new(Version::V1).decode(sender, &frame).is_err());
    let codec = Codec::new(Version::V2);
    let Ok(envelope) = codec.decode(sender, &frame) else { return };
    for text in [Some(envelope.topic()), Some(envelope.event()), envelope.join_ref(), envelope.message_ref()] {
        assert!(text.is_none_or(|text| text.len() <= 255));
    }
    views(&envelope);
    same_after_writing(codec, sender, &envelope);
});
