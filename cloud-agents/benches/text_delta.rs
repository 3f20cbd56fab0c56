//! What it costs to get from the bytes of an answer to its words.
//!
//! Compare the lines of each group with `limit`, a scan for line ends and a typed, borrowed read of each line's JSON.
//! `decoder` is the same scan with our rules of an answer behind it; `stream` is the whole way, events included.
use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use cloud_agents::{
    AiChunk, AiStream,
    ai::{Decoder, Outcome},
};
use cloud_client::sse::{Limits, SseStream};
use criterion::{Criterion, Throughput, criterion_group};
use futures::{StreamExt as _, executor::block_on, stream};
use serde::Deserialize;

const WORD: &str = " world";
const EVENTS: usize = 1000;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    content: Option<&'a str>,
}

/// Events as a model sends them, 187 bytes each, and the end mark.
fn answer() -> Vec<u8> {
    let event = format!(
        r#"data: {{"id":"chatcmpl-0123456789abc","object":"chat.completion.chunk","created":1767225600,"model":"dev-model","choices":[{{"index":0,"delta":{{"content":"{WORD}"}},"finish_reason":null}}]}}"#
    );
    format!("{}data: [DONE]\n\n", format!("{event}\n\n").repeat(EVENTS)).into_bytes()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    let mut from = 0;
    memchr::memchr_iter(b'\n', text).filter_map(move |end| {
        let line = text.get(from..end)?.strip_prefix(b"data: ");
        from = end + 1;
        std::str::from_utf8(line?).ok()
    })
}

fn limit(text: &[u8]) -> usize {
    let words = lines(text).filter_map(|data| serde_json::from_str::<Chunk<'_>>(data).ok());
    words.flat_map(|chunk| chunk.choices).filter_map(|choice| choice.delta.content).map(str::len).sum()
}

fn decoder(text: &[u8]) -> usize {
    let (mut decoder, mut bytes) = (Decoder::default(), 0);
    for data in lines(text) {
        if decoder.event("message", data).is_err() {
            return 0;
        }
        while let Some(chunk) = decoder.chunk() {
            bytes += length(&chunk);
        }
    }
    if decoder.is_complete() { bytes } else { 0 }
}

fn stream(chunks: &[Bytes]) -> usize {
    let body = stream::iter(chunks.to_vec()).map(Ok).boxed();
    let mut answer = AiStream::new(SseStream::from_chunks(body, Limits::default()));
    block_on(async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = answer.next().await {
            bytes += length(&chunk);
        }
        if matches!(answer.outcome(), Outcome::Completed) { bytes } else { 0 }
    })
}

fn length(chunk: &AiChunk) -> usize {
    if let AiChunk::Text(text) = chunk { text.len() } else { 0 }
}

fn text_delta(criterion: &mut Criterion) {
    let text = answer();
    let by_event: Vec<_> = text.chunks(text.len() / EVENTS).map(Bytes::copy_from_slice).collect();
    let large: Vec<_> = text.chunks(16 * 1024).map(Bytes::copy_from_slice).collect();
    let expected = WORD.len() * EVENTS;
    assert_eq!(
        (limit(&text), decoder(&text), stream(&by_event), stream(&large)),
        (expected, expected, expected, expected)
    );

    let mut group = criterion.benchmark_group("text_delta");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("limit", |bencher| bencher.iter(|| limit(black_box(&text))));
    group.bench_function("decoder", |bencher| bencher.iter(|| decoder(black_box(&text))));
    group.bench_function("stream/one_a_chunk", |bencher| bencher.iter(|| stream(black_box(&by_event))));
    group.bench_function("stream/16_kib_chunks", |bencher| bencher.iter(|| stream(black_box(&large))));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
}

criterion_group! { name = benches; config = short(); targets = text_delta }

fn main() {
    // `16384 3000`: reads the answer in chunks of so many bytes so often, and nothing else; see `compare.sh`.
    let Ok(order) = std::env::var("TEXT_DELTA") else {
        benches();
        return Criterion::default().configure_from_args().final_summary();
    };
    let mut numbers = order.split(' ').map_while(|number| number.parse::<usize>().ok());
    let (Some(size), Some(times)) = (numbers.next(), numbers.next()) else { panic!("not an order: {order}") };
    let chunks: Vec<_> = answer().chunks(size).map(Bytes::copy_from_slice).collect();
    for _ in 0..times {
        assert_eq!(stream(black_box(&chunks)), WORD.len() * EVENTS);
    }
}
