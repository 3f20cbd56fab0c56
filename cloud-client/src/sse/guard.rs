//! Cuts chunks of bytes into whole lines, in time linear in the bytes whatever the chunks are. Pure; no I/O.
//!
//! chunk → [`LineGuard::push`] → [`LineGuard::next_line`] until `None`. Ends of line (LF, CR, CRLF, also split over two
//! chunks) become one LF; one BOM at the very start is cut; malformed UTF-8 becomes U+FFFD; comments and runs of blank
//! lines, which cannot change an event, are dropped here; lines and events are bounded (S4).
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use memchr::memchr2;

/// How large and how slow a stream may be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest line, in bytes. Default: 1 MiB.
    pub line_bytes: usize,
    /// The largest event, all its lines together, in bytes. Default: 4 MiB.
    pub event_bytes: usize,
    /// The longest silence; comments count as life. Default: 60 s.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes: 1024 * 1024, event_bytes: 4 * 1024 * 1024, idle: Duration::from_secs(60) }
    }
}

/// A line or an event grew past its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

#[derive(Debug)]
pub(super) struct LineGuard {
    limits: Limits,
    chunk: Bytes,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// Bytes of the event under way.
    event_bytes: usize,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
}

impl LineGuard {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, chunk: Bytes::new(), partial: Vec::new(), event_bytes: 0, after_cr: false, at_start: true }
    }

    /// Adds what arrived. The chunk before it must have been used up.
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// The next line that matters, with a LF at its end; `None` when more bytes are needed.
    pub(super) fn next_line(&mut self) -> Option<Result<Vec<u8>, Overflow>> {
        loop {
            if self.after_cr && !self.chunk.is_empty() {
                self.after_cr = false;
                if self.chunk.first() == Some(&b'\n') {
                    self.chunk.advance(1);
                }
            }
            let Some(end) = memchr2(b'\n', b'\r', &self.chunk) else {
                if self.partial.len() + self.chunk.len() > self.limits.line_bytes {
                    return Some(Err(Overflow));
                }
                self.partial.extend_from_slice(&self.chunk);
                self.chunk.clear();
                return None;
            };
            if self.partial.len() + end > self.limits.line_bytes {
                return Some(Err(Overflow));
            }
            self.after_cr = self.chunk.get(end) == Some(&b'\r');
            let mut line = std::mem::take(&mut self.partial);
            line.reserve_exact(end + 1);
            line.extend_from_slice(self.chunk.get(..end).unwrap_or_default());
            self.chunk.advance(end + 1);
            if std::mem::take(&mut self.at_start) && line.starts_with("\u{feff}".as_bytes()) {
                line.drain(..3);
            }
            if let Some(kept) = self.keep(line) {
                return Some(kept);
            }
        }
    }

    /// Decides what the parser gets to see.
    fn keep(&mut self, mut line: Vec<u8>) -> Option<Result<Vec<u8>, Overflow>> {
        if line.is_empty() {
            // A blank line after nothing dispatches nothing.
            if std::mem::take(&mut self.event_bytes) == 0 {
                return None;
            }
        } else if line.first() == Some(&b':') || is_bad_retry(&line) {
            return None;
        } else {
            self.event_bytes += line.len() + 1;
            if self.event_bytes > self.limits.event_bytes {
                return Some(Err(Overflow));
            }
            if std::str::from_utf8(&line).is_err() {
                line = String::from_utf8_lossy(&line).into_owned().into_bytes();
            }
        }
        line.push(b'\n');
        Some(Ok(line))
    }
}

/// `retry` counts only when it is all digits; a number parser would also take a sign.
fn is_bad_retry(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"retry:") else { return false };
    !value.strip_prefix(b" ").unwrap_or(value).iter().all(u8::is_ascii_digit)
}
