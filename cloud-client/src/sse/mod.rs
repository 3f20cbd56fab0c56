//! Event streams: bytes of a body in, events out, within bounds.
//!
//! body → `SseDecoder` (lines, fields, events; sizes bounded) → [`SseEvent`]. Nothing is read ahead: the next chunk is
//! pulled when the events of the last one are used up (S9). Dropping the stream closes the request. A clean end of input
//! is `None`; whether the *answer* was complete is for the caller to say, who knows its end marker. A stream is never
//! opened anew by itself: whoever can go on behind [`SseStream::last_event_id`] asks again, after
//! [`SseStream::retry`] (S8). Grammar: WHATWG HTML §9.2 "Server-sent events".
mod decoder;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, StreamExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header};

use crate::{
    Client, Error,
    call::{Call, Opened},
    clock::SharedClock,
    error::codes::{IDLE, INTERCEPTED, TOO_LARGE, UNREADABLE},
    transport::Body,
};
pub use decoder::Limits;
use decoder::{Overflow, SseDecoder};

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
    /// Whether the event itself brought the id: others that have it came behind it.
    pub brought_id: bool,
}

/// A body read as events. See the module's page.
#[must_use = "events are only read when asked for"]
pub struct SseStream {
    decoder: SseDecoder,
    body: Body,
    silence: Silence,
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
        let silence = Silence { clock, limit: limits.idle, since: None, timer: None };
        Self { decoder: SseDecoder::new(limits), body, silence, request_id, operation, over: false }
    }

    /// Reads a plain stream of chunks as events, for bodies that do not come from a [`Client`].
    pub fn from_chunks(body: Body, limits: Limits) -> Self {
        Self::from_body(body, SharedClock::default(), limits, String::new(), String::from("event stream"))
    }

    /// Begins with the id that the stream was asked for with: events before the first one with an id have it.
    pub fn began_after(mut self, last_event_id: impl Into<String>) -> Self {
        self.decoder.begin_after(last_event_id.into());
        self
    }

    /// The next event; `None` at a clean end of input or after the first error. Cancel safe.
    ///
    /// # Errors
    ///
    /// `net.cut` when the connection broke, `net.idle` when it stayed silent too long, `net.too_large` past a limit.
    pub async fn next(&mut self) -> Option<Result<SseEvent, Error>> {
        StreamExt::next(self).await
    }

    /// The id of the last whole event, for `Last-Event-ID` when the stream is asked for anew; empty when there is
    /// none. A stream without ids cannot be continued.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_id()
    }

    /// How long the server wants a client to wait before it asks anew, if it said so.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
    }

    /// The server's id of the request behind this stream.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Client {
    /// Opens the event stream that `call`, usually a `GET`, asks for; `None` when the server says that nothing will come
    /// any more (204).
    ///
    /// # Errors
    ///
    /// As [`Client::send`], and `net.unreadable` for an answer that is no event stream; later ones come out of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or later the stream, closes the request.
    pub async fn events(&self, call: Call, limits: Limits) -> Result<Option<SseStream>, Error> {
        let call = call.header(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let opened = self.open(call).await?;
        if opened.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        SseStream::open(opened, self.clock().clone(), limits).map(Some)
    }
}

/// The media type in lower case, without parameters.
pub(crate) fn content_type(headers: &http::HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl SseStream {
    /// The next event, or what the stream ends with.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<SseEvent, Error>>> {
        loop {
            match self.decoder.next() {
                Some(Ok(event)) => return Poll::Ready(Some(Ok(event))),
                Some(Err(Overflow)) => return Poll::Ready(Some(Err(Error::new(TOO_LARGE)))),
                None => {}
            }
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    // Any byte is a sign of life, comments included.
                    self.silence.broken();
                    self.decoder.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                // What has no line end, and an event without its blank line, is discarded by the grammar.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.silence.poll_too_long(cx));
                    return Poll::Ready(Some(Err(Error::new(IDLE))));
                }
            }
        }
    }
}

impl Stream for SseStream {
    type Item = Result<SseEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_event(cx));
        self.over = !matches!(item, Some(Ok(_)));
        let told = |error: Error| error.during(self.operation.clone()).with_request_id(&self.request_id);
        Poll::Ready(item.map(|item| item.map_err(told)))
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

/// The wait for the next byte. One timer serves many waits: it is set anew only when it rings too early.
struct Silence {
    clock: SharedClock,
    limit: Duration,
    /// When the wait began; `None` while nobody waits.
    since: Option<Duration>,
    timer: Option<BoxFuture<'static, ()>>,
}

impl Silence {
    fn broken(&mut self) {
        self.since = None;
    }

    /// Ready once the wait has lasted too long.
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(|| self.clock.monotonic());
        loop {
            let left = || self.limit.saturating_sub(self.clock.monotonic().saturating_sub(since));
            let timer = self.timer.get_or_insert_with(|| {
                let (clock, left) = (self.clock.clone(), left());
                Box::pin(async move { clock.sleep(left).await })
            });
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if left().is_zero() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
