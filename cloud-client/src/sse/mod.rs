//! Event streams: bytes of a body in, events out, within bounds.
//!
//! body → `LineGuard` (whole lines, no BOM, valid UTF-8, sizes bounded) → `eventsource-stream` (the grammar of
//! fields and events) → [`SseEvent`]. The guard is there because the parser alone panics on a second BOM, needs
//! quadratic time for long lines and large chunks, has no size limit and hides comments and a lone `retry:`.
//! Nothing is read ahead: the next chunk is pulled when the events of the last one are used up. Dropping the stream
//! closes the request. A clean end of input is `None`; whether the *answer* was complete is for the caller to say, who
//! knows its end marker. Grammar: WHATWG HTML §9.2 "Server-sent events".
mod guard;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use eventsource_stream::{EventStream, EventStreamError};
use futures::{Stream, StreamExt, future::BoxFuture};
use http::header;

use crate::{
    Error,
    call::Opened,
    clock::SharedClock,
    error::codes::{IDLE, INTERCEPTED, TOO_LARGE, UNREADABLE},
    transport::Body,
};
pub use guard::Limits;
use guard::LineGuard;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseEvent {
    /// The event's type; `message` when the server named none.
    pub event: String,
    /// The lines of `data`, joined by line feeds.
    pub data: String,
    /// The last id the server gave, also by an earlier event; empty when none.
    pub id: String,
}

/// A body read as events. See the module's page.
#[must_use = "events are only read when asked for"]
pub struct SseStream {
    events: EventStream<Lines>,
    request_id: String,
    operation: String,
    over: bool,
}

impl SseStream {
    /// Reads `opened` as events within `limits`.
    ///
    /// # Errors
    ///
    /// `net.intercepted` for HTML, `net.unreadable` for any other content type than `text/event-stream`.
    pub(crate) fn open(opened: Opened, clock: SharedClock, limits: Limits) -> Result<Self, Error> {
        let kind = content_type(&opened.headers);
        if kind != "text/event-stream" {
            let code = if kind == "text/html" { INTERCEPTED } else { UNREADABLE };
            return Err(Error::new(code).during(opened.operation).with_request_id(opened.request_id));
        }
        Ok(Self::from_body(opened.body, clock, limits, opened.request_id, opened.operation))
    }

    pub(crate) fn from_body(
        body: Body,
        clock: SharedClock,
        limits: Limits,
        request_id: String,
        operation: String,
    ) -> Self {
        let idle = limits.idle;
        let lines =
            Lines { guard: LineGuard::new(limits), body, clock, idle, timer: None, greeted: false, ended: false };
        Self { events: EventStream::new(lines), request_id, operation, over: false }
    }

    /// Reads a plain stream of chunks as events, for bodies that do not come from a [`Client`](crate::Client).
    pub fn from_chunks(body: Body, limits: Limits) -> Self {
        Self::from_body(body, SharedClock::default(), limits, String::new(), String::from("event stream"))
    }

    /// The next event; `None` at a clean end of input or after the first error. Cancel safe.
    ///
    /// # Errors
    ///
    /// `net.cut` when the connection broke, `net.idle` when it stayed silent too long, `net.too_large` past a limit.
    pub async fn next(&mut self) -> Option<Result<SseEvent, Error>> {
        StreamExt::next(self).await
    }

    /// The server's id of the request behind this stream.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}

/// The media type in lower case, without parameters.
pub(crate) fn content_type(headers: &http::HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Stream for SseStream {
    type Item = Result<SseEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(item) = Pin::new(&mut self.events).poll_next(cx) else { return Poll::Pending };
        let error = match item {
            Some(Ok(event)) => {
                let eventsource_stream::Event { event, data, id, .. } = event;
                return Poll::Ready(Some(Ok(SseEvent { event, data, id })));
            }
            Some(Err(EventStreamError::Transport(error))) => error,
            Some(Err(_)) => Error::new(UNREADABLE),
            None => {
                self.over = true;
                return Poll::Ready(None);
            }
        };
        self.over = true;
        Poll::Ready(Some(Err(error.during(self.operation.clone()).with_request_id(&self.request_id))))
    }
}

impl fmt::Debug for SseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseStream")
            .field("operation", &self.operation)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// The body as whole lines, one an item, each with its line feed.
struct Lines {
    guard: LineGuard,
    body: Body,
    clock: SharedClock,
    idle: Duration,
    timer: Option<BoxFuture<'static, ()>>,
    greeted: bool,
    ended: bool,
}

impl Stream for Lines {
    type Item = Result<Vec<u8>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.greeted {
            // The parser treats the first character it ever sees as a possible BOM, wrongly. This comment is that
            // character, so a BOM that the grammar counts as part of a field name is left alone.
            this.greeted = true;
            return Poll::Ready(Some(Ok(b":\n".to_vec())));
        }
        loop {
            match this.guard.next_line() {
                Some(Ok(line)) => return Poll::Ready(Some(Ok(line))),
                Some(Err(_)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(Error::new(TOO_LARGE))));
                }
                None if this.ended => return Poll::Ready(None),
                None => {}
            }
            match this.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    // Any byte is a sign of life, comments included.
                    this.timer = None;
                    this.guard.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    // What has no line end, and an event without its blank line, is discarded by the grammar.
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let (clock, idle) = (&this.clock, this.idle);
                    let timer = this.timer.get_or_insert_with(|| {
                        let clock = clock.clone();
                        Box::pin(async move { clock.sleep(idle).await })
                    });
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.ended = true;
                    return Poll::Ready(Some(Err(Error::new(IDLE))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
