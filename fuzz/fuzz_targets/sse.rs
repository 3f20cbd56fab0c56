//! Event streams: whatever the bytes are and however they are cut, nothing panics and the same events come out.
//!
//! Input: `cuts|stream`. Each byte of `cuts` is the length of a chunk (`1` is one byte, `A` seventeen), used in turn; no
//! cuts is one chunk.
#![no_main]
use bytes::Bytes;
use cloud_client::sse::{Limits, SseEvent, SseStream};
use futures::{StreamExt as _, stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let bar = input.iter().position(|byte| *byte == b'|').unwrap_or(0);
    let (cuts, bytes) = input.split_at(bar);
    let bytes = bytes.strip_prefix(b"|").unwrap_or(bytes);
    let mut tight = Limits::default();
    (tight.line_bytes, tight.event_bytes) = (16, 40);
    for limits in [Limits::default(), tight] {
        let whole = read(vec![Bytes::copy_from_slice(bytes)], limits.clone());
        assert_eq!(read(chunks(bytes, cuts), limits.clone()), whole, "cut by {cuts:?}");
        assert_eq!(read(chunks(bytes, b"1"), limits), whole, "byte for byte");
    }
});

fn chunks(mut bytes: &[u8], cuts: &[u8]) -> Vec<Bytes> {
    let mut lengths = cuts.iter().cycle().map(|cut| usize::from(cut.wrapping_sub(b'0')));
    let mut chunks = Vec::new();
    // A chunk may be empty, but a body of nothing else has no end.
    let mut empty = 0;
    while !bytes.is_empty() {
        let length = lengths.next().filter(|_| empty < 8).unwrap_or(bytes.len()).min(bytes.len());
        empty = if length == 0 { empty + 1 } else { 0 };
        let (chunk, rest) = bytes.split_at(length);
        chunks.push(Bytes::copy_from_slice(chunk));
        bytes = rest;
    }
    chunks
}

/// The events, or the code of the error that took the place of one.
fn read(chunks: Vec<Bytes>, limits: Limits) -> Vec<Result<SseEvent, &'static str>> {
    let body = stream::iter(chunks.into_iter().map(Ok)).boxed();
    let events = SseStream::from_chunks(body, limits).map(|event| event.map_err(|error| error.code().as_str()));
    futures::executor::block_on(events.collect())
}
