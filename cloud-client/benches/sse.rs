//! What reading an event stream costs: ours, `eventsource-stream`, and a scan for line ends as the limit.
//!
//! Compare the three lines of each group. `SSE_BENCH="ours 16384 100"` (or `other`, `scan`) reads 1,000 events in chunks of
//! 16,384 bytes 100 times and nothing else, for `valgrind --tool=callgrind`; see `benches/instructions.sh`. `events/…`: 1,000 chat events of 187 bytes, one a chunk as models send them,
//! and in awkward chunks of 16 KiB and of 3 bytes. `linear/…`: four times the bytes should take four times as long.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
use std::{convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use cloud_client::sse::{Limits, SseStream};
use criterion::{Criterion, Throughput, criterion_group};
use eventsource_stream::EventStream;
use futures::{StreamExt as _, executor::block_on, stream};

const MEBIBYTE: usize = 1024 * 1024;
const EVENT_BYTES: usize = 187;

/// One event as a model sends it.
fn event() -> Vec<u8> {
    let (head, tail) = (
        r#"data: {"id":"chatcmpl-"#,
        r#"","object":"chat.completion.chunk","created":1767225600,"model":"dev-model","choices":[{"index":0,"delta":{"content":" world"},"finish_reason":null}]}"#,
    );
    let padding = "x".repeat(EVENT_BYTES - head.len() - tail.len() - 2);
    format!("{head}{padding}{tail}\n\n").into_bytes()
}

fn chunks(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size).map(Bytes::copy_from_slice).collect()
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.line_bytes, limits.event_bytes) = (8 * MEBIBYTE, 8 * MEBIBYTE);
    limits
}

fn ours(chunks: &[Bytes]) -> usize {
    let body = stream::iter(chunks.to_vec()).map(Ok).boxed();
    let mut events = SseStream::from_chunks(body, limits());
    block_on(async {
        let mut bytes = 0;
        while let Some(Ok(event)) = events.next().await {
            bytes += event.data.len();
        }
        bytes
    })
}

fn other(chunks: &[Bytes]) -> usize {
    let mut events = EventStream::new(stream::iter(chunks.to_vec()).map(Ok::<_, Infallible>));
    block_on(async {
        let mut bytes = 0;
        while let Some(Ok(event)) = events.next().await {
            bytes += event.data.len();
        }
        bytes
    })
}

/// Whole lines and no grammar: what nothing that reads lines can be faster than.
fn line_scan(chunks: &[Bytes]) -> usize {
    let (mut bytes, mut partial) = (0, Vec::new());
    let mut count = |line: &[u8]| bytes += line.strip_prefix(b"data: ").map_or(0, <[u8]>::len);
    for chunk in chunks {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let rest = chunk.get(from..end).unwrap_or_default();
            if partial.is_empty() {
                count(rest);
            } else {
                partial.extend_from_slice(rest);
                count(&partial);
                partial.clear();
            }
            from = end + 1;
        }
        partial.extend_from_slice(chunk.get(from..).unwrap_or_default());
    }
    bytes
}

type Reader = fn(&[Bytes]) -> usize;

fn events(criterion: &mut Criterion) {
    let stream = event().repeat(1000);
    for (name, size) in [("one_a_chunk", EVENT_BYTES), ("16_kib_chunks", 16 * 1024), ("3_byte_chunks", 3)] {
        let chunks = chunks(&stream, size);
        let mut group = criterion.benchmark_group(format!("events/{name}"));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        let readers: [(&str, Reader); 3] =
            [("sse_stream", ours), ("eventsource_stream", other), ("line_scan", line_scan)];
        for (name, reader) in readers {
            assert_eq!(reader(&chunks), line_scan(&chunks), "{name} reads everything");
            group.bench_function(name, |bencher| bencher.iter(|| reader(black_box(&chunks))));
        }
        group.finish();
    }
}

fn linear(criterion: &mut Criterion) {
    let line = |bytes: usize| [b"data: ".to_vec(), vec![b'x'; bytes], b"\n\n".to_vec()].concat();
    let small = |bytes: usize| event().repeat(bytes / EVENT_BYTES);
    let network = 16 * 1024;
    let cases = [
        ("one_line/1_mib", chunks(&line(MEBIBYTE), network)),
        ("one_line/4_mib", chunks(&line(4 * MEBIBYTE), network)),
        ("small_events_in_one_chunk/1_mib", chunks(&small(MEBIBYTE), usize::MAX)),
        ("small_events_in_one_chunk/4_mib", chunks(&small(4 * MEBIBYTE), usize::MAX)),
    ];
    let mut group = criterion.benchmark_group("linear");
    for (name, chunks) in cases {
        group.throughput(Throughput::Bytes(chunks.iter().map(|chunk| chunk.len() as u64).sum()));
        group.bench_function(name, |bencher| bencher.iter(|| ours(black_box(&chunks))));
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
}

criterion_group! { name = benches; config = short(); targets = events, linear }

/// `ours 16384 100`: who reads, in chunks of how many bytes, how often.
fn make(order: &str) {
    let words: Vec<_> = order.split(' ').collect();
    let [who, size, times] = words[..] else { panic!("not an order: {order}") };
    let reader: Reader = match who {
        "ours" => ours,
        "other" => other,
        "scan" => line_scan,
        _ => panic!("not an order: {order}"),
    };
    let chunks = chunks(&event().repeat(1000), size.parse().unwrap());
    for _ in 0..times.parse::<u32>().unwrap() {
        assert_ne!(reader(black_box(&chunks)), 0);
    }
}

fn main() {
    match std::env::var("SSE_BENCH") {
        Ok(order) => make(&order),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
