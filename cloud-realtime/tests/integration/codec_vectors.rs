//! Binary frames as other implementations write them, byte by byte.
//!
//! Source: frames that Supabase Realtime's own serializer wrote or read, and frames of running Phoenix
//! 1.7 and 1.8 servers.

use crate::{V1, V2, binary, bytes, raw, text};
use cloud_realtime::{
    Codec, Envelope, Sender,
    codec::{Content, DecodeError, EncodeError, Reply, UserBroadcast},
};

fn efg() -> Content<'static> {
    Content::binary(b"efg".as_slice())
}

struct Vector {
    name: &'static str,
    sender: Sender,
    hex: &'static str,
    payload_bytes: usize,
    envelope: Envelope<'static>,
}

fn vectors() -> Vec<Vector> {
    use Sender::{Client, Server};
    let v = |name, sender, hex, payload_bytes, envelope| Vector { name, sender, hex, payload_bytes, envelope };
    let user = |event, content| Envelope::new_broadcast("topic", UserBroadcast::new(event, content));
    let replayed = || raw(r#"{"replayed":true}"#);
    vec![
        v(
            "push of a client",
            Client,
            "00 02 03 05 05 3132 313233 746f706963 6576656e74 656667",
            3,
            Envelope::new("topic", "event", efg()).with_join_ref("12").with_ref("123"),
        ),
        v(
            "push of a server",
            Server,
            "00 02 05 05 3132 746f706963 6576656e74 656667",
            3,
            Envelope::new("topic", "event", efg()).with_join_ref("12"),
        ),
        v(
            "push of a running server",
            Server,
            "00 01 06 03 31 726f6f6d3a39 62696e 09",
            1,
            Envelope::new("room:9", "bin", Content::binary(&[9][..])).with_join_ref("1"),
        ),
        v(
            "reply",
            Server,
            "01 02 03 05 02 3132 313233 746f706963 6f6b 656667",
            3,
            Envelope::new_reply("topic", Reply::new("ok", efg())).with_join_ref("12").with_ref("123"),
        ),
        v(
            "reply of a running server",
            Server,
            "01 01 01 06 02 31 32 726f6f6d3a39 6f6b 0102ff",
            3,
            Envelope::new_reply("room:9", Reply::new("ok", Content::binary(&[1, 2, 255][..])))
                .with_join_ref("1")
                .with_ref("2"),
        ),
        v("broadcast", Server, "02 05 05 746f706963 6576656e74 656667", 3, Envelope::new("topic", "event", efg())),
        v(
            "broadcast of a running server",
            Server,
            "02 06 05 726f6f6d3a39 73686f7574 07",
            1,
            Envelope::new("room:9", "shout", Content::binary(&[7][..])),
        ),
        v(
            "user broadcast push, JSON",
            Client,
            "03 02 01 03 0a 00 01 3130 31 746f70 757365722d6576656e74 7b2261223a2262227d",
            9,
            Envelope::new_broadcast("top", UserBroadcast::new("user-event", raw(r#"{"a":"b"}"#)))
                .with_join_ref("10")
                .with_ref("1"),
        ),
        v(
            "user broadcast push, binary",
            Client,
            "03 02 03 05 0a 00 00 3132 313233 746f706963 757365725f6576656e74 656667",
            3,
            user("user_event", efg()).with_join_ref("12").with_ref("123"),
        ),
        v(
            "user broadcast push with metadata",
            Client,
            "03 02 03 05 0a 0e 00 3132 313233 746f706963 757365725f6576656e74 7b2273746f7265223a747275657d 656667",
            3,
            Envelope::new_broadcast(
                "topic",
                UserBroadcast::new("user_event", efg()).with_metadata(raw(r#"{"store":true}"#)),
            )
            .with_join_ref("12")
            .with_ref("123"),
        ),
        v(
            "user broadcast push, lengths in bytes",
            Client,
            "03 01 01 0e 04 00 01 31 32 7265616c74696d653a636166c3a9 f09f8e89 7b7d",
            2,
            Envelope::new_broadcast("realtime:caf\u{e9}", UserBroadcast::new("\u{1f389}", raw("{}")))
                .with_join_ref("1")
                .with_ref("2"),
        ),
        v(
            "user broadcast push, no refs, no payload",
            Client,
            "03 00 00 01 01 00 00 74 65",
            0,
            Envelope::new_broadcast("t", UserBroadcast::new("e", Content::binary(&[][..]))),
        ),
        v(
            "user broadcast, binary, with metadata",
            Server,
            "04 05 0a 11 00 746f706963 757365725f6576656e74 7b227265706c61796564223a747275657d 656667",
            3,
            Envelope::new_broadcast("topic", UserBroadcast::new("user_event", efg()).with_metadata(replayed())),
        ),
        v(
            "user broadcast, binary",
            Server,
            "04 05 0a 00 00 746f706963 757365725f6576656e74 656667",
            3,
            user("user_event", efg()),
        ),
        v(
            "user broadcast, JSON",
            Server,
            "04 05 0a 00 01 746f706963 757365725f6576656e74 7b2261223a2262227d",
            9,
            user("user_event", raw(r#"{"a":"b"}"#)),
        ),
        v(
            "user broadcast, JSON, with metadata",
            Server,
            "04 05 0a 11 01 746f706963 757365725f6576656e74 7b227265706c61796564223a747275657d 7b2261223a2262227d",
            9,
            Envelope::new_broadcast(
                "topic",
                UserBroadcast::new("user_event", raw(r#"{"a":"b"}"#)).with_metadata(replayed()),
            ),
        ),
    ]
}

#[test]
fn every_vector_is_read_as_what_it_says() {
    for Vector { name, sender, hex, envelope, .. } in vectors() {
        assert_eq!(V2.decode(sender, &binary(bytes(hex))).as_ref(), Ok(&envelope), "{name}");
    }
}

#[test]
fn every_vector_is_written_byte_by_byte() {
    for Vector { name, sender, hex, envelope, .. } in vectors() {
        assert_eq!(V2.encode(sender, &envelope), Ok(binary(bytes(hex))), "{name}");
    }
}

#[test]
fn every_proper_prefix_of_a_header_is_an_error() {
    let mut prefixes = 0;
    for Vector { name, sender, hex, payload_bytes, .. } in vectors() {
        let whole = bytes(hex);
        for length in 0..whole.len() - payload_bytes {
            let prefix = whole.iter().copied().take(length).collect();
            let error = V2.decode(sender, &binary(prefix)).unwrap_err();
            assert!(matches!(error, DecodeError::Empty | DecodeError::Truncated { .. }), "{name}, {length}: {error}");
            prefixes += 1;
        }
    }
    assert!(prefixes > 300, "{prefixes} prefixes");
}

#[test]
fn every_vector_from_the_other_side_is_an_error_or_another_message() {
    for Vector { name, sender, hex, envelope, .. } in vectors() {
        let other = if sender == Sender::Client { Sender::Server } else { Sender::Client };
        assert_ne!(V2.decode(other, &binary(bytes(hex))).as_ref(), Ok(&envelope), "{name}");
    }
}

#[test]
fn r13_broken_binary_frames_are_typed_errors() {
    let json_fault = |frame: &str| match V2.decode(Sender::Server, &binary(bytes(frame))) {
        Err(DecodeError::Json { what, .. }) => what,
        other => panic!("{frame}: {other:?}"),
    };
    assert_eq!(V2.decode(Sender::Server, &binary(vec![])), Err(DecodeError::Empty));
    assert_eq!(V2.decode(Sender::Server, &binary(bytes("05 00 00"))), Err(DecodeError::UnknownKind(5)));
    assert_eq!(
        V2.decode(Sender::Server, &binary(bytes("03 00 00 01 01 00 00 74 65"))),
        Err(DecodeError::WrongSender { kind: 3, sender: Sender::Server })
    );
    assert_eq!(
        V2.decode(Sender::Server, &binary(bytes("02 01 01 ff 65"))),
        Err(DecodeError::NotUtf8 { field: "topic" })
    );
    assert_eq!(json_fault("04 01 01 00 01 74 65 7b"), "payload", "broken JSON");
    assert_eq!(json_fault("04 01 01 00 01 74 65"), "payload", "no JSON at all");
    assert_eq!(json_fault("04 01 01 00 02 74 65 7b"), "payload", "every encoding but 0 is JSON");
    assert_eq!(json_fault("04 01 01 00 01 74 65 22ff22"), "payload", "JSON that is not UTF-8");
    assert_eq!(json_fault("04 01 01 01 00 74 65 7b 656667"), "metadata");
    assert_eq!(V1.decode(Sender::Server, &binary(bytes("02 01 01 74 65"))), Err(DecodeError::BinaryOnV1));
}

#[test]
fn errors_do_not_quote_the_frame() {
    let frames = [text(r#"[null,null,"t",true,"s3cret"]"#), text(r#"["1",{"s3cret":1},"t","e",{}]"#)];
    for frame in &frames {
        let error = V2.decode(Sender::Client, frame).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
    let frame = text(r#"[null,null,"t","e","s3cret"]"#);
    let error = V2.decode(Sender::Server, &frame).unwrap().decode::<u64>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn header_fields_stop_at_255_bytes() {
    let fits = "x".repeat(255);
    let long = "\u{e9}".repeat(128);
    let broadcast = |topic: &str, event: &str| {
        let broadcast = UserBroadcast::new(event.to_owned(), efg());
        Envelope::new_broadcast(topic.to_owned(), broadcast).with_join_ref("1").with_ref("2")
    };
    let refused = |field| Err(EncodeError::FieldTooLong { field, length_bytes: 256 });
    let metadata = raw(r#"{"a":1}"#);
    let long_json = format!("\"{}\"", "x".repeat(254));
    let cases = [
        (broadcast(&long, "e"), refused("topic")),
        (broadcast("t", &long), refused("event")),
        (broadcast("t", "e").with_join_ref(long.clone()), refused("join ref")),
        (broadcast("t", "e").with_ref(long.clone()), refused("ref")),
        (
            Envelope::new_broadcast("t", UserBroadcast::new("e", efg()).with_metadata(raw(&long_json))),
            refused("metadata"),
        ),
    ];
    for (envelope, error) in cases {
        assert_eq!(V2.encode(Sender::Client, &envelope), error);
    }
    let all_full = broadcast(&fits, &fits).with_join_ref(fits.clone()).with_ref(fits.clone());
    let frame = V2.encode(Sender::Client, &all_full).unwrap();
    assert_eq!(V2.decode(Sender::Client, &frame), Ok(all_full));
    let reply = Envelope::new_reply("t", Reply::new(long.clone(), efg()));
    assert_eq!(V2.encode(Sender::Server, &reply), refused("status"));
    let kept = Envelope::new_broadcast("t", UserBroadcast::new("e", efg()).with_metadata(metadata));
    assert!(V2.encode(Sender::Server, &kept).is_ok());
}

#[test]
fn frames_over_the_limit_are_neither_written_nor_read() {
    let envelope = Envelope::new("t", "e", raw(r#"{"a":"bcd"}"#));
    let frame = V2.encode(Sender::Client, &envelope).unwrap();
    let size_bytes = frame.size_bytes();
    let limit_bytes = size_bytes - 1;
    assert!(V2.max_sent_bytes(size_bytes).encode(Sender::Client, &envelope).is_ok());
    assert_eq!(
        V2.max_sent_bytes(limit_bytes).encode(Sender::Client, &envelope),
        Err(EncodeError::TooLarge { size_bytes, limit_bytes })
    );
    assert_eq!(
        V2.max_received_bytes(limit_bytes).decode(Sender::Server, &frame),
        Err(DecodeError::TooLarge { size_bytes, limit_bytes })
    );
}

#[test]
fn messages_without_a_frame_are_refused() {
    let no_frame = |codec: Codec, sender, envelope: Envelope<'_>| codec.encode(sender, &envelope).unwrap_err();
    let refused = |error| matches!(error, EncodeError::NoSuchFrame(_));
    let user = || UserBroadcast::new("e", efg());
    assert!(refused(no_frame(V2, Sender::Server, Envelope::new("t", "e", efg()).with_ref("1"))));
    assert!(refused(no_frame(V2, Sender::Client, Envelope::new_reply("t", Reply::new("ok", efg())))));
    assert!(refused(no_frame(V2, Sender::Server, Envelope::new_broadcast("t", user()).with_join_ref("1"))));
    assert!(refused(no_frame(V2, Sender::Client, Envelope::new_broadcast("t", user().with_metadata(efg())))));
    for envelope in [Envelope::new("t", "e", efg()), Envelope::new_broadcast("t", user())] {
        assert_eq!(no_frame(V1, Sender::Client, envelope), EncodeError::BinaryOnV1);
    }
}
