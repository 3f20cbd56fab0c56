//! What the targets of all frames check.
use cloud_realtime::{Codec, Envelope, Sender};

/// Both views of an envelope may fail and must not panic; one message is never both.
pub fn views(envelope: &Envelope<'_>) {
    let (reply, broadcast) = (envelope.reply(), envelope.broadcast());
    assert!(reply.is_none() || broadcast.is_none());
    if let Some(Ok(reply)) = reply {
        assert!(reply.is_ok() == (reply.status == "ok"));
    }
    assert_eq!(&envelope.clone().into_owned(), envelope);
}

/// What was read can be written, and reads the same again.
pub fn same_after_writing(codec: Codec, sender: Sender, envelope: &Envelope<'_>) {
    let frame = codec.encode(sender, envelope).expect("what was read can be written");
    assert_eq!(codec.decode(sender, &frame).as_ref(), Ok(envelope));
}
