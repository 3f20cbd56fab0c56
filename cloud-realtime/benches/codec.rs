//! What an envelope costs against decoding the whole frame into `serde_json::Value`.
//!
//! Compare the two lines of each group: `received_600_bytes/2.0.0/…` and `received_600_bytes/1.0.0/…`.
//! The message is a row change of the size that a chat table sends.

use cloud_realtime::{Codec, Frame, Sender, Version};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use std::hint::black_box;

const PAYLOAD: &str = r#"{"ids":[104868189],"data":{"schema":"public","table":"messages","type":"INSERT","commit_timestamp":"2025-11-19T00:22:40.877Z","columns":[{"name":"id","type":"uuid"},{"name":"conversation_id","type":"uuid"},{"name":"seq","type":"int8"},{"name":"content","type":"text"}],"record":{"id":"0199c0de-1111-7000-8000-000000000001","conversation_id":"0199c0de-2222-7000-8000-000000000002","seq":4711,"content":"The quick brown fox jumps over the lazy dog, twice, and then it goes home to sleep until the next message comes in."},"errors":null}}"#;

fn received(criterion: &mut Criterion) {
    let frames = [
        (Version::V2, format!(r#"[null,null,"realtime:notes","postgres_changes",{PAYLOAD}]"#)),
        (
            Version::V1,
            format!(r#"{{"event":"postgres_changes","payload":{PAYLOAD},"ref":null,"topic":"realtime:notes"}}"#),
        ),
    ];
    for (version, text) in frames {
        let (codec, frame) = (Codec::new(version), Frame::Text(text.clone()));
        let mut group = criterion.benchmark_group(format!("received_600_bytes/{}", version.as_str()));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("envelope", |bencher| {
            bencher.iter(|| {
                let envelope = codec.decode(Sender::Server, black_box(&frame));
                black_box(envelope.is_ok_and(|envelope| envelope.topic() == "realtime:notes"))
            });
        });
        group.bench_function("value", |bencher| {
            bencher.iter(|| black_box(serde_json::from_str::<Value>(black_box(&text)).is_ok()));
        });
        group.finish();
    }
}

criterion_group!(benches, received);
criterion_main!(benches);
