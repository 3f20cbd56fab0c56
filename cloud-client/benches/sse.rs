//! What reading an event stream costs: ours, `eventsource-stream`, and a scan for line ends as the limit.
//!
//! Compare the three lines of each group. `events/…`: 1,000 chat events of 187 bytes, one a chunk as models send them, and in
//! awkward chunks of 16 KiB and of 3 bytes. `linear/…`: four times the bytes should take four times as long.
//! `SSE_BENCH="ours 16384 100"` (or `other`, `scan`) reads 1,000 events in chunks of 16,384 bytes 100 times and nothing else,
//! `SSE_BENCH="line 1048576 2"` (or `small`) a line or small events of 1 MiB twice: `cargo xtask gates` counts that.
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

/// One event of one long line, in chunks as a network gives them.
fn line(bytes: usize) -> Vec<Bytes> {
    chunks(&[b"data: ".to_vec(), vec![b'x'; bytes], b"\n\n".to_vec()].concat(), 16 * 1024)
}

/// Small events in one chunk.
fn small(bytes: usize) -> Vec<Bytes> {
    chunks(&event().repeat(bytes / EVENT_BYTES), usize::MAX)
}

fn linear(criterion: &mut Criterion) {
    let cases = [
        ("one_line/1_mib", line(MEBIBYTE)),
        ("one_line/4_mib", line(4 * MEBIBYTE)),
        ("small_events_in_one_chunk/1_mib", small(MEBIBYTE)),
        ("small_events_in_one_chunk/4_mib", small(4 * MEBIBYTE)),
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
    let size = size.parse().unwrap();
    let events = || chunks(&event().repeat(1000), size);
    let (reader, chunks): (Reader, _) = match who {
        "ours" => (ours, events()),
        "other" => (other, events()),
        "scan" => (line_scan, events()),
        "line" => (ours, line(size)),
        "small" => (ours, small(size)),
        _ => panic!("not an order: {order}"),
    };
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
