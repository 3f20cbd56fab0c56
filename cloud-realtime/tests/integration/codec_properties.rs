//! What holds for every message, and for every bytes that are none.

use bytes::Bytes;
use cloud_realtime::{
    Codec, Envelope, Frame, Sender, Version,
    codec::{Content, Reply, UserBroadcast},
    event, presence,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json, value::RawValue};

const VERSIONS: [Codec; 2] = [Codec::new(Version::V1), Codec::new(Version::V2)];
const SENDERS: [Sender; 2] = [Sender::Client, Sender::Server];

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_:]{1,12}", "\\PC{1,20}", Just("caf\u{e9}\u{1f389}\"\\\n".to_owned())]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("\\PC{0,6}", inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn json_content() -> impl Strategy<Value = Content<'static>> {
    json_value().prop_map(|value| Content::json(&value).unwrap())
}

fn content() -> impl Strategy<Value = Content<'static>> {
    prop_oneof![json_content(), vec(any::<u8>(), 0..40).prop_map(Content::binary)]
}

fn user_broadcast() -> impl Strategy<Value = UserBroadcast<'static>> {
    (word(), content(), option::of("[a-z]{0,20}")).prop_map(|(event, content, id)| {
        let broadcast = UserBroadcast::new(event, content);
        match id {
            Some(id) => broadcast.with_metadata(Content::json(&json!({ "id": id })).unwrap()),
            None => broadcast,
        }
    })
}

fn envelope() -> impl Strategy<Value = Envelope<'static>> {
    let body = prop_oneof![
        (word(), word(), content()).prop_map(|(topic, event, content)| Envelope::new(topic, event, content)),
        (word(), user_broadcast()).prop_map(|(topic, broadcast)| Envelope::new_broadcast(topic, broadcast)),
        (word(), word(), content())
            .prop_map(|(topic, status, content)| Envelope::new_reply(topic, Reply::new(status, content))),
    ];
    (body, option::of(word()), option::of(word())).prop_map(|(mut envelope, join_ref, message_ref)| {
        if let Some(join_ref) = join_ref {
            envelope = envelope.with_join_ref(join_ref);
        }
        if let Some(message_ref) = message_ref {
            envelope = envelope.with_ref(message_ref);
        }
        envelope
    })
}

/// Asks a message everything there is to ask.
fn read_all(envelope: &Envelope<'_>) {
    let _ = (envelope.reply(), envelope.broadcast(), envelope.decode::<Value>(), format!("{envelope:?}"));
    if let Ok(raw) = envelope.decode::<&RawValue>() {
        let _ = (presence::State::parse(raw), presence::Diff::parse(raw));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_can_be_written_is_read_as_it_was(envelope in envelope()) {
        for codec in VERSIONS {
            for sender in SENDERS {
                let Ok(frame) = codec.encode(sender, &envelope) else { continue };
                let read = codec.decode(sender, &frame).unwrap();
                prop_assert_eq!(read.topic(), envelope.topic());
                prop_assert_eq!(read.event(), envelope.event());
                prop_assert_eq!(read.message_ref(), envelope.message_ref());
                if (codec.version(), sender) == (Version::V1, Sender::Server) {
                    prop_assert_eq!(read.join_ref(), None);
                } else {
                    prop_assert_eq!(read.join_ref(), envelope.join_ref());
                }
                match (envelope.reply(), envelope.broadcast()) {
                    (None, None) => prop_assert_eq!(read.payload(), envelope.payload()),
                    (reply, broadcast) => {
                        prop_assert_eq!(read.reply(), reply);
                        prop_assert_eq!(read.broadcast(), broadcast);
                    }
                }
            }
        }
    }

    #[test]
    fn a_client_can_say_everything_but_a_binary_reply_on_version_two(envelope in envelope()) {
        let frame = VERSIONS[1].encode(Sender::Client, &envelope);
        let binary_reply = envelope.reply().is_some_and(|reply| matches!(reply.unwrap().response, Content::Binary(_)));
        prop_assert_eq!(frame.is_err(), binary_reply && envelope.event() == event::REPLY, "{:?}", frame);
    }

    #[test]
    fn r13_no_bytes_make_the_codec_panic(kind in 0_u8..7, bytes in vec(prop_oneof![0_u8..6, any::<u8>()], 0..60)) {
        let mut frame = vec![kind];
        frame.extend(&bytes);
        let frames = [
            Frame::text(String::from_utf8_lossy(&bytes).into_owned()),
            Frame::Binary(Bytes::from(bytes)),
            Frame::Binary(Bytes::from(frame)),
        ];
        for (codec, sender) in VERSIONS.into_iter().flat_map(|codec| SENDERS.map(|sender| (codec, sender))) {
            for frame in &frames {
                if let Ok(envelope) = codec.decode(sender, frame) {
                    read_all(&envelope);
                }
            }
        }
    }

    #[test]
    fn r13_a_damaged_message_never_makes_the_codec_panic(
        envelope in envelope(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (codec, sender) in VERSIONS.into_iter().flat_map(|codec| SENDERS.map(|sender| (codec, sender))) {
            let Ok(frame) = codec.encode(sender, &envelope) else { continue };
            let mut bytes = match &frame {
                Frame::Text(text) => text.as_bytes().to_vec(),
                Frame::Binary(bytes) => bytes.to_vec(),
            };
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            let damaged = match frame {
                Frame::Text(_) => Frame::text(String::from_utf8_lossy(&bytes).into_owned()),
                Frame::Binary(_) => Frame::Binary(bytes.into()),
            };
            if let Ok(envelope) = codec.decode(sender, &damaged) {
                read_all(&envelope);
            }
        }
    }
}
