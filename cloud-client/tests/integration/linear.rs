//! Four times the stream is about four times the work, counted in instructions, which a busy machine does not change.
//!
//! The test starts itself again under valgrind with a case in its environment; the case reads one stream and ends. Where
//! valgrind is missing the test says so and passes.
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use bytes::Bytes;
use cloud_client::sse::{Limits, SseStream};
use futures::{StreamExt as _, executor::block_on, stream};

const CASE: &str = "LINEAR_CASE";
const MEBIBYTE: usize = 1024 * 1024;
/// What four times the bytes may cost.
const LIMIT: f64 = 4.4;

#[test]
fn p04_a_longer_line_costs_in_proportion() {
    let line = |bytes: usize| [b"data: ".to_vec(), vec![b'x'; bytes], b"\n\n".to_vec()].concat();
    compare("linear::p04_a_longer_line_costs_in_proportion", |bytes| (line(bytes), 16 * 1024));
}

#[test]
fn p04_more_events_in_one_chunk_cost_in_proportion() {
    let event = format!("data: {}\n\n", "y".repeat(180));
    compare("linear::p04_more_events_in_one_chunk_cost_in_proportion", |bytes| {
        (event.repeat(bytes / event.len()).into_bytes(), bytes)
    });
}

#[test]
fn p04_more_lines_in_one_event_cost_in_proportion() {
    let line = "data: a short line of an event\n";
    compare("linear::p04_more_lines_in_one_event_cost_in_proportion", |bytes| {
        (format!("{}\n", line.repeat(bytes / line.len())).into_bytes(), 3000)
    });
}

/// Counts the work for no bytes, for a mebibyte and for four; `stream` gives the bytes and the length of a chunk.
fn compare(test: &str, stream: impl Fn(usize) -> (Vec<u8>, usize)) {
    if let Ok(bytes) = std::env::var(CASE) {
        let (bytes, chunk) = stream(bytes.parse().unwrap());
        return read(bytes, chunk);
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: valgrind is not installed; {test} was not run");
        return;
    }
    let [none, one, four] = [0, MEBIBYTE, 4 * MEBIBYTE].map(|bytes| instructions(test, bytes));
    let growth = (four - none) / (one - none);
    assert!((2.0..LIMIT).contains(&growth), "four times the bytes took {growth:.2} times the work");
}

fn read(bytes: Vec<u8>, chunk: usize) {
    let (whole, mut limits) = (Bytes::from(bytes), Limits::default());
    (limits.line_bytes, limits.event_bytes) = (8 * MEBIBYTE, 8 * MEBIBYTE);
    let chunks: Vec<_> = (0..whole.len())
        .step_by(chunk.max(1))
        .map(|from| Ok(whole.slice(from..whole.len().min(from + chunk))))
        .collect();
    let mut events = SseStream::from_chunks(stream::iter(chunks).boxed(), limits);
    let mut read = 0;
    block_on(async {
        while let Some(event) = events.next().await {
            read += event.unwrap().data.len();
        }
    });
    assert!(read + 64 >= whole.len() * 3 / 4, "{read} of {}", whole.len());
}

fn instructions(test: &str, bytes: usize) -> f64 {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .env(CASE, bytes.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stdout));
    let line = said.lines().find(|line| line.contains("Collected")).unwrap_or_else(|| panic!("{said}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
