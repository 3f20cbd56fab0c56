//! The vectors of both serializers.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn user(event: &str, metadata: Option<&str>, body: Body) -> UserBroadcast {
    UserBroadcast { event: event.into(), metadata: metadata.map(Into::into), body }
}

fn efg() -> Body {
    Body::Binary(Bytes::from_static(b"efg"))
}

fn a_b() -> Body {
    Body::Json(r#"{"a":"b"}"#.into())
}

/// Frames of a client, and what they mean.
fn vectors() -> Vec<(Vec<u8>, Inbound)> {
    let message = |join_ref: &str, reference: &str, topic: &str, event: &str, payload| Inbound {
        join_ref: join_ref.into(),
        reference: reference.into(),
        topic: topic.into(),
        event: event.into(),
        payload,
    };
    let broadcast = |join_ref, reference, topic, broadcast| {
        message(join_ref, reference, topic, "broadcast", Payload::Broadcast(broadcast))
    };
    [
        (
            "00 02 03 05 05 3132 313233 746f706963 6576656e74 656667",
            message("12", "123", "topic", "event", Payload::Binary(Bytes::from_static(b"efg"))),
        ),
        (
            "03 02 01 03 0a 00 01 3130 31 746f70 757365722d6576656e74 7b2261223a2262227d",
            broadcast("10", "1", "top", user("user-event", None, a_b())),
        ),
        (
            "03 02 03 05 0a 00 00 3132 313233 746f706963 757365725f6576656e74 656667",
            broadcast("12", "123", "topic", user("user_event", None, efg())),
        ),
        (
            "03 02 03 05 0a 0e 00 3132 313233 746f706963 757365725f6576656e74 7b2273746f7265223a747275657d 656667",
            broadcast("12", "123", "topic", user("user_event", Some(r#"{"store":true}"#), efg())),
        ),
        (
            "03 01 01 0e 04 00 01 31 32 7265616c74696d653a636166c3a9 f09f8e89 7b7d",
            broadcast("1", "2", "realtime:café", user("\u{1F389}", None, Body::Json("{}".into()))),
        ),
        ("03 00 00 01 01 00 00 74 65", broadcast("", "", "t", user("e", None, Body::Binary(Bytes::new())))),
    ]
    .map(|(hex, message)| (bytes(hex), message))
    .into()
}

#[test]
fn binary_frames_of_a_client_are_read_and_no_part_of_their_header_is_enough() {
    for (frame, message) in vectors() {
        assert_eq!(decode(Version::V2, Frame::Binary(&frame)), Ok(message.clone()));
        assert_eq!(decode(Version::V1, Frame::Binary(&frame)), Err(Malformed), "version 1 has no binary frames");
        let lengths = if frame[0] == 0 { 4 } else { 5 };
        let header = 1
            + lengths
            + usize::from(frame[0] == 3)
            + frame[1..=lengths].iter().map(|length| usize::from(*length)).sum::<usize>();
        for end in 0..header {
            assert_eq!(decode(Version::V2, Frame::Binary(&frame[..end])), Err(Malformed), "{message:?} up to {end}");
        }
    }
}

#[test]
fn binary_frames_of_the_server_are_written_byte_for_byte() {
    let replayed = Some(r#"{"replayed":true}"#);
    for (hex, written) in [
        ("00 02 05 05 3132 746f706963 6576656e74 656667", push(&"12".into(), "topic", "event", b"efg")),
        ("00 01 06 03 31 726f6f6d3a39 62696e 09", push(&"1".into(), "room:9", "bin", &[9])),
        (
            "01 02 03 05 02 3132 313233 746f706963 6f6b 656667",
            reply(&"12".into(), &"123".into(), "topic", "ok", b"efg"),
        ),
        (
            "01 01 01 06 02 31 32 726f6f6d3a39 6f6b 0102ff",
            reply(&"1".into(), &"2".into(), "room:9", "ok", &[1, 2, 255]),
        ),
        ("02 05 05 746f706963 6576656e74 656667", shout("topic", "event", b"efg")),
        ("02 06 05 726f6f6d3a39 73686f7574 07", shout("room:9", "shout", &[7])),
        (
            "04 05 0a 11 00 746f706963 757365725f6576656e74 7b227265706c61796564223a747275657d 656667",
            user_broadcast("topic", &user("user_event", replayed, efg())),
        ),
        (
            "04 05 0a 00 00 746f706963 757365725f6576656e74 656667",
            user_broadcast("topic", &user("user_event", None, efg())),
        ),
        (
            "04 05 0a 00 01 746f706963 757365725f6576656e74 7b2261223a2262227d",
            user_broadcast("topic", &user("user_event", None, a_b())),
        ),
        (
            "04 05 0a 11 01 746f706963 757365725f6576656e74 7b227265706c61796564223a747275657d 7b2261223a2262227d",
            user_broadcast("topic", &user("user_event", replayed, a_b())),
        ),
    ] {
        assert_eq!(written, Ok(bytes(hex)), "{hex}");
    }
    let long = "é".repeat(128);
    assert_eq!(shout(&long, "e", b""), Err(TooLong), "256 bytes are too many, though 128 characters are not");
    assert!(shout(long.get(2..).unwrap(), "e", b"").is_ok());
}

#[test]
fn text_frames_keep_refs_and_numbers_as_they_came() {
    let text = r#"["1",2,"t","e",{"n":9223372036854775807,"d":1.000000000000000000001}, "more"]"#;
    let message = decode(Version::V2, Frame::Text(text)).unwrap();
    assert_eq!((message.join_ref, message.reference), (json!("1"), json!(2)));
    assert_eq!(message.payload, Payload::Json(r#"{"n":9223372036854775807,"d":1.000000000000000000001}"#.into()));
    let object = r#"{"payload":{},"topic":"t","ref":"2","event":"e"}"#;
    let message = decode(Version::V1, Frame::Text(object)).unwrap();
    assert_eq!((message.join_ref, message.reference), (Ref::Null, json!("2")));

    let outbound =
        Outbound { join_ref: &json!("1"), reference: &json!(2), topic: "t", event: "e", payload: r#"{"m":1}"# };
    assert_eq!(super::text(Version::V2, &outbound), r#"["1",2,"t","e",{"m":1}]"#);
    assert_eq!(super::text(Version::V1, &outbound), r#"{"topic":"t","event":"e","payload":{"m":1},"ref":2}"#);
    let nobody = Outbound { join_ref: &Ref::Null, reference: &Ref::Null, ..outbound };
    assert_eq!(super::text(Version::V2, &nobody), r#"[null,null,"t","e",{"m":1}]"#);
}

#[test]
fn what_is_no_message_is_malformed() {
    for text in ["", "[]", r#"["1","2","t","e"]"#, r#"{"topic":"t"}"#, "null", r#"["1","2",3,"e",{}]"#, "[1,2"] {
        assert_eq!(decode(Version::V2, Frame::Text(text)), Err(Malformed), "{text}");
    }
    for text in [
        r#"["1","2","t","e",{}]"#,
        "{}",
        r#"{"topic":"t","event":"e","payload":{}}"#,
        r#"{"topic":"t","event":"e","ref":"1"}"#,
    ] {
        assert_eq!(decode(Version::V1, Frame::Text(text)), Err(Malformed), "{text}");
    }
    for hex in [
        "",
        "05 00 00",
        "01 01 01 06 02 31 32 726f6f6d3a39 6f6b 01",
        "04 05 0a 00 00 746f706963",
        "03 00 00 01 01 00 01 74 65",
        "03 00 00 01 01 00 01 74 65 7b",
        "03 00 00 01 01 01 00 74 65 7b",
        "00 00 00 01 00 ff",
    ] {
        assert_eq!(decode(Version::V2, Frame::Binary(&bytes(hex))), Err(Malformed), "{hex}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_a_decoder_panic(frame in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,80}") {
        for version in [Version::V1, Version::V2] {
            let _ = decode(version, Frame::Binary(&frame));
            let _ = decode(version, Frame::Text(&text));
        }
    }
}
