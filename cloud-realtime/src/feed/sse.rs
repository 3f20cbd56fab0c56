//! A feed over an event stream: opened with `Last-Event-ID`, opened again when it ends.
//!
//! request → events → [`Signal`]. The server's `retry` is the least pause between two requests; a clean end, a cut, a
//! silence or a failure of the server is a pause and another request with the place as it is then. 204 is the end, and so is
//! whatever time alone does not change: another content type, a refusal, an event past the limits, somebody in between who
//! answers in the server's place. An event that was cut in the middle is discarded. An event is named by the id it brings;
//! one without has the position of the last that had one, and no name. Grammar: WHATWG HTML §9.2 "Server-sent events".
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{
    Client, Error,
    call::Call,
    error::codes::QUERY_INVALID,
    retry::is_hopeless,
    sse::{Limits, SseEvent, SseStream},
};
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue};

use super::{Dialect, FeedSource, Opening, Place, Position, Reading, Signal, channel::signal, pause::Pauses};
use crate::pause::USEFUL;

/// The pause of a server that names none.
const RETRY: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// An event stream as a [`FeedSource`].
pub struct SseSource<T> {
    client: Client,
    call: Call,
    limits: Limits,
    dialect: Arc<dyn Dialect<T>>,
    state: State,
    /// The least pause, as the server has set it.
    retry: Duration,
    pauses: Pauses,
    /// The id of the last event, or the one that was asked with; empty without one.
    last_id: String,
    /// When the stream began.
    opened: Duration,
    next: VecDeque<Signal<T>>,
}

type Answer = Result<Option<SseStream>, Error>;

enum State {
    Closed,
    Waiting(BoxFuture<'static, ()>),
    Asking(BoxFuture<'static, Answer>),
    Open(Box<SseStream>),
    Over,
}

impl<T: 'static> SseSource<T> {
    /// The stream that `call`, a `GET`, asks for. What an event's type and data mean is for `dialect` to say; an item
    /// without a position has the event's id for it, or the last one before it.
    pub fn new(client: &Client, call: Call, dialect: impl Dialect<T> + 'static) -> Self {
        Self {
            client: client.clone(),
            // Asked for once, since the pauses between two requests are made here.
            call: call.once(),
            limits: Limits::default(),
            dialect: Arc::new(dialect),
            state: State::Closed,
            retry: RETRY,
            pauses: Pauses::default(),
            last_id: String::new(),
            opened: Duration::ZERO,
            next: VecDeque::new(),
        }
    }

    /// Sets how large and how silent the stream may be. Default: [`Limits::default`], 60 s of silence.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn ask(&mut self, place: &Place) -> Result<State, Error> {
        let mut call = self.call.clone();
        self.last_id = place.position().map(|position| position.as_str().to_owned()).unwrap_or_default();
        if !self.last_id.is_empty() {
            let value = HeaderValue::from_bytes(self.last_id.as_bytes());
            call = call.header(LAST_EVENT_ID, value.map_err(|_| Error::new(QUERY_INVALID).during("open a feed"))?);
        }
        let (client, limits) = (self.client.clone(), self.limits.clone());
        Ok(State::Asking(Box::pin(async move { client.events(call, limits).await })))
    }

    fn wait(&mut self, wish: Duration) {
        let pause = self.pauses.at_least(wish.max(self.retry), self.client.random());
        let clock = self.client.clock().clone();
        self.state = State::Waiting(Box::pin(async move { clock.sleep(pause).await }));
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Ok(None) => self.state = State::Over,
            Ok(Some(stream)) => {
                let placed = !self.last_id.is_empty();
                self.next.push_back(Signal::Opened(if placed { Opening::Replay } else { Opening::New }));
                if !self.dialect.tells_end() {
                    self.next.push_back(Signal::Replayed(None));
                }
                self.opened = self.client.clock().monotonic();
                self.state = State::Open(Box::new(stream.began_after(self.last_id.as_str())));
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) {
        if error.kind().is_transient() && !is_hopeless(&error) {
            tracing::debug!(code = %error.code(), "a feed is asked for again");
            self.wait(error.retry_after().unwrap_or_default());
        } else {
            self.state = State::Over;
            self.next.push_back(Signal::Refused(error));
        }
    }

    fn ended(&mut self, stream_retry: Option<Duration>, error: Option<Error>) {
        self.retry = stream_retry.unwrap_or(self.retry);
        if self.client.clock().monotonic() >= self.opened + USEFUL {
            self.pauses.reset();
        }
        self.next.push_back(Signal::Lost);
        match error {
            Some(error) => self.failed(error),
            None => self.wait(Duration::ZERO),
        }
    }

    fn hear(&mut self, event: &SseEvent) {
        // An empty id takes the place back, also one that came without data.
        let taken_back = event.id.is_empty() && (event.brought_id || !self.last_id.is_empty());
        self.last_id.clone_from(&event.id);
        let reading = match self.dialect.read(&event.event, &event.data) {
            Reading::Item(mut entry) => {
                // Some servers end each answer after a few seconds; one that brought something was worth asking for.
                self.pauses.reset();
                if entry.position.is_none() && (taken_back || !event.id.is_empty()) {
                    entry.position = Some(Position::new(event.id.as_str()));
                    entry.shares_position = !event.brought_id;
                }
                Reading::Item(entry)
            }
            other => other,
        };
        self.next.extend(signal(reading, event.data.len()));
    }
}

#[async_trait]
impl<T: Send + 'static> FeedSource<T> for SseSource<T> {
    async fn next(&mut self, place: &Place) -> Option<Signal<T>> {
        loop {
            if let Some(signal) = self.next.pop_front() {
                return Some(signal);
            }
            match &mut self.state {
                State::Closed => match self.ask(place) {
                    Ok(asking) => self.state = asking,
                    Err(error) => self.failed(error),
                },
                State::Waiting(timer) => {
                    timer.await;
                    self.state = State::Closed;
                }
                State::Asking(asking) => {
                    let answer = asking.await;
                    self.answered(answer);
                }
                State::Open(stream) => match stream.next().await {
                    Some(Ok(event)) => self.hear(&event),
                    end => {
                        let retry = stream.retry();
                        self.ended(retry, end.and_then(Result::err));
                    }
                },
                State::Over => return None,
            }
        }
    }

    fn reopen(&mut self) {
        self.next.clear();
        if !matches!(self.state, State::Over | State::Waiting(_)) {
            self.wait(Duration::ZERO);
        }
    }
}

impl<T> fmt::Debug for SseSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseSource").field("call", &self.call).field("dialect", &self.dialect).finish_non_exhaustive()
    }
}
