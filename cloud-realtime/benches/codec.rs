//! What a message of 600 bytes costs: its envelope, its typed row, and `serde_json::Value` in place of either.
//!
//! Compare the lines of each group `received_600_bytes/<version>`: `envelope` against `value`, `typed_row` against
//! `value_to_row`. The message is a row change of the size that a chat table sends. `presence/…`: an update of one
//! member among 1,000. `CODEC_BENCH="typed_row 2.0.0 1000"` does one thing so often and nothing else, for
//! `cargo xtask gates`, which counts instructions and allocations and knows their limits.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
mod message;

use cloud_realtime::{
    Codec, Frame, Sender, Version,
    changes::{Decoded, RowChange},
    codec::{Content, Payload},
    presence::{Diff, Presence, State},
    refs::Refs,
};
use criterion::{Criterion, Throughput, criterion_group};
use message::{ID, Message, frame};
use serde_json::{Value, value::RawValue};
use std::hint::black_box;

/// A member that comes, one of 1,000.
const DIFF: &str = r#"{"joins":{"k500":{"metas":[{"phx_ref":"N","phx_ref_prev":"R500","file":"src/main.rs","at":"2025-11-19T00:22:40.877Z"}]}},"leaves":{"k500":{"metas":[{"phx_ref":"R500","file":"src/main.rs","at":"2025-11-19T00:22:40.877Z"}]}}}"#;

fn envelope(codec: Codec, frame: &Frame) -> usize {
    codec.decode(Sender::Server, frame).unwrap().topic().len()
}

fn typed_row(codec: Codec, frame: &Frame) -> usize {
    let envelope = codec.decode(Sender::Server, frame).unwrap();
    let Payload::Content(Content::Json(raw)) = envelope.payload() else { panic!("JSON") };
    let change = RowChange::parse(raw).unwrap();
    assert!(change.ids().any(|id| id == ID));
    match change.decode::<Message>().unwrap() {
        Decoded::Change(change) => change.row.unwrap().sum(),
        Decoded::Reread(_) => panic!("a whole row"),
    }
}

fn value(_: Codec, frame: &Frame) -> usize {
    let Frame::Text(text) = frame else { panic!("text") };
    black_box(serde_json::from_str::<Value>(text).unwrap().is_array().into())
}

fn value_to_row(_: Codec, frame: &Frame) -> usize {
    let Frame::Text(text) = frame else { panic!("text") };
    let mut value: Value = serde_json::from_str(text).unwrap();
    let payload = if value.is_array() { value[4].take() } else { value["payload"].take() };
    let mut data = payload;
    let record = data["data"]["record"].take();
    serde_json::from_value::<Message>(record).unwrap().sum()
}

/// 1,000 members.
fn members() -> Presence {
    let (refs, mut presence) = (Refs::new(), Presence::new());
    presence.joining(refs.next());
    let member = |n: u32| {
        format!(r#""k{n}":{{"metas":[{{"phx_ref":"R{n}","file":"src/main.rs","at":"2025-11-19T00:22:40.877Z"}}]}}"#)
    };
    let state = format!("{{{}}}", (0..1_000).map(member).collect::<Vec<_>>().join(","));
    let raw: Box<RawValue> = serde_json::from_str(&state).unwrap();
    presence.state(None, State::parse(&raw).unwrap());
    presence
}

/// One update there and one back, so that any number of them ends where it began.
fn updates(presence: &mut Presence, there: &RawValue, back: &RawValue) -> usize {
    let update = |raw| Diff::parse(raw).unwrap();
    presence.diff(update(there)).len() + presence.diff(update(back)).len()
}

fn diffs() -> (Box<RawValue>, Box<RawValue>) {
    let back = DIFF.replace("\"N\"", "\"X\"").replace("\"R500\"", "\"N\"").replace("\"X\"", "\"R500\"");
    (serde_json::from_str(DIFF).unwrap(), serde_json::from_str(&back).unwrap())
}

type Reader = fn(Codec, &Frame) -> usize;

const READERS: [(&str, Reader); 4] =
    [("envelope", envelope), ("value", value), ("typed_row", typed_row), ("value_to_row", value_to_row)];

fn received(criterion: &mut Criterion) {
    for version in [Version::V2, Version::V1] {
        let (codec, frame) = (Codec::new(version), frame(version));
        let mut group = criterion.benchmark_group(format!("received_600_bytes/{}", version.as_str()));
        group.throughput(Throughput::Bytes(frame.size_bytes() as u64));
        for (name, reader) in READERS {
            group.bench_function(name, |bencher| bencher.iter(|| reader(codec, black_box(&frame))));
        }
        group.finish();
    }
}

fn presence(criterion: &mut Criterion) {
    let (mut members, (there, back)) = (members(), diffs());
    let mut group = criterion.benchmark_group("presence");
    group.bench_function("two_updates_of_1000_members", |bencher| {
        bencher.iter(|| updates(&mut members, black_box(&there), black_box(&back)));
    });
    group.bench_function("state_of_1000_members", |bencher| bencher.iter(self::members));
    group.finish();
}

criterion_group!(benches, received, presence);

/// `typed_row 2.0.0 100`: what, in which version, how often.
fn make(order: &str) {
    let words: Vec<_> = order.split(' ').collect();
    let [what, version, times] = words[..] else { panic!("not an order: {order}") };
    let version = if version == Version::V1.as_str() { Version::V1 } else { Version::V2 };
    let (codec, frame, times) = (Codec::new(version), frame(version), times.parse::<u32>().unwrap());
    if what == "presence" {
        let (mut members, (there, back)) = (members(), diffs());
        return (0..times).for_each(|_| assert_eq!(updates(&mut members, black_box(&there), black_box(&back)), 2));
    }
    let (_, reader) = READERS.iter().find(|(name, _)| *name == what).unwrap();
    for _ in 0..times {
        black_box(reader(codec, black_box(&frame)));
    }
}

fn main() {
    match std::env::var("CODEC_BENCH") {
        Ok(order) => make(&order),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
