//! An answer as it is made: pulls events, lets the [`Decoder`] judge them, hands out chunks.
//!
//! Nothing is read ahead: the next event is pulled when the chunks of the last one are used up (S9). The request is
//! closed when the answer is complete, when it has failed, and when the stream is dropped (S7); nothing is asked anew (G4).
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use cloud_client::{
    Error,
    sse::{SseEvent, SseStream},
};
use futures::{Stream, StreamExt};

use super::{AiChunk, AiReply, Decoder, Usage};

/// How an answer stands.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Outcome {
    /// Not all of it has been read.
    #[default]
    Running,
    /// It is whole: its end mark or its finish reason was seen (S1).
    Completed,
    /// It broke off; what had arrived is kept.
    Failed(Error),
}

/// One answer, chunk by chunk, in order. Dropping it closes the request.
#[must_use = "chunks are read only when asked for"]
pub struct AiStream {
    /// `None` once nothing more is wanted from it.
    events: Option<SseStream>,
    request_id: String,
    decoder: Decoder,
    /// A failure that waits until the chunks before it are taken.
    failure: Option<Error>,
    outcome: Outcome,
}

impl AiStream {
    /// Reads the events of a chat completion, also from a server that is not the cloud.
    pub fn new(events: SseStream) -> Self {
        Self {
            request_id: events.request_id().to_owned(),
            events: Some(events),
            decoder: Decoder::default(),
            failure: None,
            outcome: Outcome::Running,
        }
    }

    /// An answer that came in one piece of JSON.
    pub(super) fn whole(json: &str, request_id: &str) -> Result<Self, Error> {
        let mut decoder = Decoder::default();
        decoder.whole(json).map_err(|error| error.with_request_id(request_id))?;
        let request_id = request_id.to_owned();
        Ok(Self { events: None, request_id, decoder, failure: None, outcome: Outcome::Running })
    }

    /// The next chunk; `None` once the answer is over, and after an error. Cancel safe.
    ///
    /// # Errors
    ///
    /// `ai.interrupted` when the input ended too early, `ai.failed_in_stream` (also `ai.quota`, `server.rate_limited`)
    /// when the server reported a failure, `net.*` when the connection broke, stayed silent, or brought what cannot be
    /// read. What arrived before stays in [`AiStream::partial`].
    pub async fn next(&mut self) -> Option<Result<AiChunk, Error>> {
        StreamExt::next(self).await
    }

    /// Reads to the end and gives the whole answer, chunks already taken included.
    ///
    /// # Errors
    ///
    /// As [`AiStream::next`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: call it again to go on.
    pub async fn finish(&mut self) -> Result<AiReply, Error> {
        while let Some(chunk) = self.next().await {
            chunk?;
        }
        match &self.outcome {
            Outcome::Failed(error) => Err(error.clone()),
            _ => Ok(self.decoder.reply().clone()),
        }
    }

    /// How the answer stands.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The words that have arrived.
    pub fn text(&self) -> &str {
        &self.decoder.reply().text
    }

    /// Everything that has arrived. Tool calls are in it once the answer is whole.
    pub fn partial(&self) -> &AiReply {
        self.decoder.reply()
    }

    /// Tokens of question and answer, once the server has said so.
    pub fn usage(&self) -> Option<&Usage> {
        self.decoder.reply().usage.as_ref()
    }

    /// The server's id of the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Takes one event, or the end of the input.
    fn absorb(&mut self, item: Option<Result<SseEvent, Error>>) {
        let taken = match item {
            Some(Ok(event)) => self.decoder.event(&event.event, &event.data),
            // The model had ended; only counts and the end mark are lost with the connection.
            Some(Err(_)) if self.decoder.is_finished() => self.decoder.end(),
            Some(Err(error)) => Err(error),
            None => self.decoder.end(),
        };
        if let Err(error) = taken {
            self.failure = Some(error.with_request_id(&self.request_id));
        }
        if self.failure.is_some() || self.decoder.is_complete() {
            self.events = None;
        }
    }
}

impl Stream for AiStream {
    type Item = Result<AiChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(chunk) = self.decoder.chunk() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            let Some(events) = &mut self.events else { break };
            let item = ready!(events.poll_next_unpin(cx));
            self.absorb(item);
        }
        match self.failure.take() {
            Some(error) => {
                self.outcome = Outcome::Failed(error.clone());
                Poll::Ready(Some(Err(error)))
            }
            None => {
                if matches!(self.outcome, Outcome::Running) {
                    self.outcome = Outcome::Completed;
                }
                Poll::Ready(None)
            }
        }
    }
}

impl fmt::Debug for AiStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AiStream")
            .field("request_id", &self.request_id)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
