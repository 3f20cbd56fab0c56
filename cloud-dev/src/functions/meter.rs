//! What an answer of a model server costs, found out while it passes by.
//!
//! Bytes of the answer, in whatever pieces → tokens: the server's own count if it tells one, else ours → the
//! person's account, once, at the end. Nothing is held back or changed.

use serde_json::Value;

use super::{Caller, model, usage};
use crate::{cloud::Cloud, core::db::Db};

/// Charges what was read, when it goes out of scope: at the end of a stream, or when its reader leaves.
#[derive(Debug)]
pub(super) struct Bill {
    db: Db,
    user: String,
    model: String,
    pub(super) meter: Meter,
}

impl Bill {
    /// A bill for `caller`, who has asked so many tokens.
    pub(super) fn open(cloud: &Cloud, caller: &Caller, model: String, asked: u64) -> Self {
        Self { db: cloud.db.clone(), user: caller.user_id.clone(), model, meter: Meter::new(asked) }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        usage::post(&self.db, &self.user, &self.model, self.meter.total());
    }
}

/// Counts tokens in an answer that passes by: the server's own count if it tells one, else ours.
#[derive(Debug, Default)]
pub(super) struct Meter {
    line: Vec<u8>,
    counted: u64,
    told: Option<u64>,
}

/// Longest line that is looked at; what is longer only passes by.
const MAX_LINE_BYTES: usize = 1 << 20;

impl Meter {
    /// Begins with the tokens that were asked.
    pub(super) fn new(asked: u64) -> Self {
        Self { counted: asked, ..Self::default() }
    }

    /// Looks at the next bytes of a stream, wherever it was cut.
    pub(super) fn read(&mut self, chunk: &[u8]) {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() <= MAX_LINE_BYTES {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if let Some(data) = line.strip_prefix(b"data:")
                    && let Ok(chunk) = serde_json::from_slice(data)
                {
                    self.note(&chunk);
                }
            }
        }
    }

    /// Looks at a whole answer, or one event of a stream.
    pub(super) fn note(&mut self, answer: &Value) {
        if let Some(total) = answer.pointer("/usage/total_tokens").and_then(Value::as_u64) {
            self.told = Some(total);
        }
        let texts = ["/choices/0/delta/content", "/choices/0/message/content"];
        let text = texts.iter().find_map(|path| answer.pointer(path)?.as_str());
        self.counted += text.map_or(0, model::count);
    }

    /// Tokens of question and answer so far.
    pub(super) fn total(&self) -> u64 {
        self.told.unwrap_or(self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_believes_the_server_and_counts_otherwise_whatever_the_chunks() {
        let told = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"one two\"}}]}\n\n: a comment\n\n",
            "data: {\"choices\":[],\"usage\":{\"total_tokens\":77}}\n\ndata: [DONE]\n\n",
        );
        let untold = "data: {\"choices\":[{\"delta\":{\"content\":\"one two\"}}],\"usage\":null}\r\n\r\n";
        for (text, total) in [(told, 77), (untold, 12), ("data: {\"broken\n", 10)] {
            for size in 1..text.len() {
                let mut meter = Meter::new(10);
                text.as_bytes().chunks(size).for_each(|chunk| meter.read(chunk));
                assert_eq!(meter.total(), total, "{text} in chunks of {size}");
            }
        }
    }
}
