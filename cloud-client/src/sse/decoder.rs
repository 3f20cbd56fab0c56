//! Turns chunks of bytes into events, in time linear in the bytes whatever the chunks are. Pure; no I/O.
//!
//! chunk → [`SseDecoder::push`] → [`SseDecoder::next`] until `None`; the events are the same wherever the chunks are cut
//! (S2). A line inside one chunk is read where it lies; only
//! the beginning of a line whose end has not arrived is kept aside. Ends of line are LF, CR and CRLF, also split over two
//! chunks; one BOM at the very start is cut; malformed UTF-8 becomes U+FFFD; lines and events are bounded (S4). Grammar
//! (S3): WHATWG HTML §9.2.6 "Interpreting an event stream".
use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::SseEvent;

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
pub(super) struct SseDecoder {
    limits: Limits,
    chunk: Bytes,
    /// How much of the chunk is read.
    at: usize,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    pending: Pending,
    retry: Option<Duration>,
    last_id: String,
}

/// The event whose blank line has not arrived.
#[derive(Debug, Default)]
struct Pending {
    /// Bytes of its lines, whether they matter or not.
    bytes: usize,
    kind: String,
    /// `None` until there is a `data` line: such an event is never given out.
    data: Option<String>,
    /// The id that counts from this event on.
    id: Option<String>,
}

impl SseDecoder {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk: Bytes::new(),
            at: 0,
            partial: Vec::new(),
            after_cr: false,
            at_start: true,
            pending: Pending::default(),
            retry: None,
            last_id: String::new(),
        }
    }

    /// Sets the id that counts until the server gives one.
    pub(super) fn begin_after(&mut self, id: String) {
        self.last_id = id;
    }

    /// Adds what arrived. The chunk before it must have been used up.
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.at >= self.chunk.len());
        (self.chunk, self.at) = (chunk, 0);
    }

    /// The next event; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Option<Result<SseEvent, Overflow>> {
        // Set aside while its lines are read in place.
        let chunk = std::mem::take(&mut self.chunk);
        let found = self.read(&chunk);
        if self.at < chunk.len() {
            self.chunk = chunk;
        }
        found.transpose()
    }

    /// The id that a new request may begin behind, as of the last whole event; empty when there is none.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// How long the server wants a client to wait before it connects anew.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn read(&mut self, chunk: &[u8]) -> Result<Option<SseEvent>, Overflow> {
        while let Some(mut rest) = chunk.get(self.at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.after_cr) && rest.first() == Some(&b'\n') {
                self.at += 1;
                rest = rest.get(1..).unwrap_or_default();
            }
            let end = memchr2(b'\n', b'\r', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if self.partial.len() + line.len() > self.limits.line_bytes {
                return Err(Overflow);
            }
            let Some(end) = end else {
                self.partial.extend_from_slice(line);
                self.at = chunk.len();
                break;
            };
            self.at += end + 1;
            self.after_cr = rest.get(end) == Some(&b'\r');
            let event = if self.partial.is_empty() {
                self.line(line)?
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                let event = self.line(&whole)?;
                whole.clear();
                self.partial = whole; // for the room it has
                event
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Takes one line; a blank one gives out the event before it.
    fn line(&mut self, mut line: &[u8]) -> Result<Option<SseEvent>, Overflow> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = match memchr(b':', line) {
            Some(0) => return Ok(None), // a comment
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        self.pending.bytes += line.len() + 1;
        if self.pending.bytes > self.limits.event_bytes {
            return Err(Overflow);
        }
        match field {
            b"data" => match &mut self.pending.data {
                None => self.pending.data = Some(text(value).into_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(&text(value));
                }
            },
            b"event" => self.pending.kind = text(value).into_owned(),
            b"id" if memchr(0, value).is_none() => self.pending.id = Some(text(value).into_owned()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                // Empty, and a number past all bounds, are no time.
                let time = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry = time.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        if self.pending.bytes == 0 {
            return None;
        }
        let Pending { kind, data, id, .. } = std::mem::take(&mut self.pending);
        let brought_id = id.is_some();
        if let Some(id) = id {
            self.last_id = id;
        }
        let event = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(SseEvent { event, data: data?, id: self.last_id.clone(), brought_id })
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The check that expects no fault is many times as fast as the one that mends.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
