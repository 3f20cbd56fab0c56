//! Text frames of both versions, and the one view of text and binary that the channels use.
//!
//! Source: Phoenix `V1.JSONSerializer` and `V2.JSONSerializer`; Supabase Realtime for broadcasts.

use crate::{V1, V2, binary, bytes, raw, text};
use cloud_realtime::{
    Envelope, Frame, Sender,
    codec::{Content, DecodeError, Payload, Reply, UserBroadcast},
    event,
    refs::Ref,
};
use serde_json::{Value, json, value::RawValue};
use std::borrow::Cow;

#[test]
fn r13_broken_text_frames_are_typed_errors() {
    let v2 = [
        "",
        "[]",
        "null",
        "{}",
        r#"["1","1","t","e"]"#,
        r#"[null,null,"t","e",{}"#,
        r#"[null,null,"t","e",{}]]"#,
        r#"[null,null,null,"e",{}]"#,
        r#"[null,null,"t",1,{}]"#,
        r#"[{},null,"t","e",{}]"#,
        r#"[null,null,"t","e",{]"#,
        r#"{"topic":"t","event":"e","payload":{},"ref":null}"#,
    ];
    for frame in v2 {
        let error = V2.decode(Sender::Server, &text(frame)).unwrap_err();
        assert!(matches!(error, DecodeError::Json { what: "frame", .. }), "{frame}: {error}");
    }
    let v1 = [
        "",
        "{}",
        r#"[null,null,"t","e",{}]"#,
        r#"["t","e",{},null,null]"#,
        r#"{"topic":"t","event":"e"}"#,
        r#"{"topic":"t","payload":{}}"#,
        r#"{"event":"e","payload":{}}"#,
        r#"{"topic":1,"event":"e","payload":{}}"#,
        r#"{"topic":"t","event":"e","payload":{}}x"#,
    ];
    for frame in v1 {
        let error = V1.decode(Sender::Server, &text(frame)).unwrap_err();
        assert!(matches!(error, DecodeError::Json { what: "frame", .. }), "{frame}: {error}");
    }
}

#[test]
fn text_of_version_two_is_an_array() {
    let frame = text(r#"[null,null,"t","e",{"m":1}]"#);
    let envelope = Envelope::new("t", "e", raw(r#"{"m":1}"#));
    assert_eq!(V2.decode(Sender::Server, &frame).as_ref(), Ok(&envelope));
    assert_eq!(V2.encode(Sender::Client, &envelope), Ok(frame));
    assert_eq!(
        V2.encode(Sender::Client, &Envelope::heartbeat(Ref::parse("3").unwrap())),
        Ok(text(r#"[null,"3","phoenix","heartbeat",{}]"#))
    );
    let more = text(r#"["1",2,"caf\u00e9","e",[1],"ignored",{}]"#);
    let read = V2.decode(Sender::Server, &more).unwrap();
    assert_eq!((read.join_ref(), read.message_ref(), read.topic()), (Some("1"), Some("2"), "caf\u{e9}"));
}

#[test]
fn text_of_version_one_is_an_object() {
    let envelope = Envelope::new("t", "e", raw("{}")).with_join_ref("1").with_ref("2");
    let from_client = text(r#"{"topic":"t","event":"e","payload":{},"ref":"2","join_ref":"1"}"#);
    assert_eq!(V1.encode(Sender::Client, &envelope).as_ref(), Ok(&from_client));
    assert_eq!(V1.decode(Sender::Client, &from_client), Ok(envelope.clone()));
    let from_server = text(r#"{"topic":"t","event":"e","payload":{},"ref":"2"}"#);
    assert_eq!(V1.encode(Sender::Server, &envelope), Ok(from_server), "a server leaves join_ref out");
    assert_eq!(
        V1.encode(Sender::Client, &Envelope::heartbeat(Ref::parse("3").unwrap())),
        Ok(text(r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"3","join_ref":null}"#))
    );
    let reordered = text(r#"{"ref":7,"new":[1],"payload":[],"event":"e","topic":"t"}"#);
    let read = V1.decode(Sender::Server, &reordered).unwrap();
    assert_eq!((read.message_ref(), read.join_ref(), read.event()), (Some("7"), None, "e"));
}

#[test]
fn a_broadcast_reads_the_same_from_text_and_from_bytes() {
    let content = || raw(r#"{"a":"b"}"#);
    let said = UserBroadcast::new("typing", content()).with_metadata(raw(r#"{"id":"x"}"#));
    let envelope = Envelope::new_broadcast("realtime:r", said.clone());
    let as_text = V1.encode(Sender::Server, &envelope).unwrap();
    assert_eq!(
        as_text,
        text(concat!(
            r#"{"topic":"realtime:r","event":"broadcast","payload":{"type":"broadcast","event":"typing","#,
            r#""payload":{"a":"b"},"meta":{"id":"x"}},"ref":null}"#
        ))
    );
    let as_bytes = V2.encode(Sender::Server, &envelope).unwrap();
    for (codec, frame) in [(V1, as_text), (V2, as_bytes)] {
        let read = codec.decode(Sender::Server, &frame).unwrap();
        assert_eq!(read.broadcast(), Some(Ok(said.clone())), "{codec:?}");
        assert_eq!(read.event(), event::BROADCAST);
    }
}

#[test]
fn a_reply_reads_the_same_from_text_and_from_bytes() {
    let cases = [r#"{"reason":"join crashed"}"#, r#""too_large""#, "null", "[1]"];
    for response in cases {
        let frame = text(&format!(r#"["1","1","room:9","phx_reply",{{"response":{response},"status":"error"}}]"#));
        let read = V2.decode(Sender::Server, &frame).unwrap();
        let reply = read.reply().unwrap().unwrap();
        assert_eq!((reply.is_ok(), &*reply.status, reply.response), (false, "error", raw(response)));
    }
    let frame = binary(bytes("01 01 01 06 02 31 32 726f6f6d3a39 6f6b 0102ff"));
    let read = V2.decode(Sender::Server, &frame).unwrap();
    assert_eq!(read.event(), event::REPLY);
    assert_eq!(read.reply(), Some(Ok(Reply::new("ok", Content::binary(&[1, 2, 255][..])))));
    assert_eq!(read.decode::<Value>(), Err(DecodeError::BinaryPayload));
    let no_status = text(r#"["1","1","room:9","phx_reply",{}]"#);
    assert!(V2.decode(Sender::Server, &no_status).unwrap().reply().unwrap().is_err());
    assert_eq!(V2.decode(Sender::Server, &text(r#"[null,null,"t","e",{}]"#)).unwrap().reply(), None);
}

#[test]
fn r04_a_message_of_an_earlier_instance_is_told_apart() {
    let two = Ref::parse("2").unwrap();
    let cases = [
        (V2, r#"["1","1","room:9","phx_close",{}]"#, false),
        (V2, r#"["2","2","room:9","phx_close",{}]"#, true),
        (V2, r#"["1",null,"room:9","presence_state",{}]"#, false),
        (V2, r#"[null,null,"room:9","shout",{}]"#, true),
        (V2, r#"[null,"9","room:9","phx_reply",{}]"#, true),
        (V1, r#"{"event":"phx_close","payload":{},"ref":"1","topic":"room:9"}"#, false),
        (V1, r#"{"event":"phx_error","payload":{},"ref":"2","topic":"room:9"}"#, true),
        (V1, r#"{"event":"phx_error","payload":{},"ref":"1","topic":"room:9"}"#, false),
        (V1, r#"{"event":"phx_reply","payload":{},"ref":"1","topic":"room:9"}"#, true),
    ];
    for (codec, frame, expected) in cases {
        assert_eq!(codec.decode(Sender::Server, &text(frame)).unwrap().is_for(two), expected, "{frame}");
    }
}

#[test]
fn numbers_keep_every_digit_until_they_are_decoded() {
    let frame = text(r#"[null,null,"t","e",{"id":9223372036854775807,"price":0.12345678901234567890123456789}]"#);
    let envelope = V2.decode(Sender::Server, &frame).unwrap();
    let fields: std::collections::BTreeMap<String, &RawValue> = envelope.decode().unwrap();
    assert_eq!(fields["id"].get(), "9223372036854775807");
    assert_eq!(fields["price"].get(), "0.12345678901234567890123456789");
}

#[test]
fn a_deep_payload_is_an_error_only_for_who_decodes_it() {
    let deep = format!(r#"[null,null,"t","e",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let frame = text(&deep);
    let envelope = V2.decode(Sender::Server, &frame).unwrap();
    assert!(envelope.decode::<Value>().is_err());
}

#[test]
fn an_owned_envelope_equals_the_borrowed_one() {
    let frame = text(r#"["1","2","t","e",{"a":1}]"#);
    let owned = {
        let borrowed = V2.decode(Sender::Server, &frame).unwrap();
        let owned = borrowed.clone().into_owned();
        assert_eq!(owned, borrowed);
        owned
    };
    drop(frame);
    assert_eq!(owned.decode::<Value>().unwrap(), json!({"a": 1}));
}

#[test]
fn reading_copies_nothing() {
    let frame = text(r#"["1","2","realtime:notes","saved",{"id":7}]"#);
    let Frame::Text(held) = &frame else { unreachable!() };
    let within = held.as_bytes().as_ptr_range();
    let envelope = V2.decode(Sender::Server, &frame).unwrap();
    for part in [envelope.topic(), envelope.event(), envelope.join_ref().unwrap(), envelope.message_ref().unwrap()] {
        assert!(within.contains(&part.as_ptr()), "{part} was copied");
    }
    assert!(matches!(envelope.payload(), Payload::Content(Content::Json(Cow::Borrowed(_)))));
}
