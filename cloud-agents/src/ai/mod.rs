//! Questions to models, through the cloud's metered proxy.
//!
//! [`AiRequest`] → `POST /functions/v1/ai-proxy` → JSON or events → [`Decoder`] (pure) → [`AiReply`], or [`AiChunk`]s out
//! of an [`AiStream`]. The proxy picks provider and model where the request says `auto`. What was used up and what there
//! is to choose from: [`Ai::usage`], [`Ai::models`]. Wire source: OpenAI chat completions.
mod allowance;
mod chunk;
mod decoder;
mod fallback;
mod json_shape;
mod models;
mod reply;
mod request;
mod stream;
mod tool_calls;

use std::time::Duration;

use cloud_client::{
    Client, Error,
    capability::{Capability, Support},
    functions::Answered,
};
use serde_json::value::RawValue;

pub use self::{
    allowance::{Allowance, Period},
    decoder::{AiChunk, Decoder},
    fallback::may_fall_back,
    models::Model,
    reply::{AiReply, FinishReason, ToolCall, Usage},
    request::AiRequest,
    stream::{AiStream, Outcome},
};
use crate::codes::of_question;

/// The longest wait for an answer, or for the head of a streamed one: functions are stopped after 150 s without one.
const ANSWER_LIMIT: Duration = Duration::from_secs(150);
const OPERATION: &str = "asking a model";

/// A handle on the models of a cloud. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ai {
    client: Client,
    answer_limit: Duration,
}

impl Ai {
    /// The models of the cloud that `client` speaks to, for whoever is signed in there.
    pub fn new(client: Client) -> Self {
        Self { client, answer_limit: ANSWER_LIMIT }
    }

    /// Limits the wait for a whole answer, or for the head of a streamed one. Default: 150 s.
    #[must_use]
    pub fn answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    /// Asks, and waits for the whole answer. Sent once: a repeat would be another answer, and charged again (G3).
    ///
    /// # Errors
    ///
    /// `ai.sign_in_required` when nobody is signed in, `ai.quota` when the allowance is used up, `ai.request_invalid` for
    /// a request that cannot be sent, `ai.failed_in_stream` for a failure reported under a good status, otherwise as
    /// [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; what the model did until then is charged.
    pub async fn complete(&self, request: &AiRequest) -> Result<AiReply, Error> {
        let body = request.wire(false)?;
        let reply = self.function().invoke_raw(&body).await.map_err(|error| of_question(error, OPERATION))?;
        let raw: Box<RawValue> = reply.json()?;
        let mut decoder = Decoder::default();
        decoder.whole(raw.get()).map_err(|error| error.with_request_id(&reply.request_id))?;
        Ok(decoder.into_reply())
    }

    /// Asks, and gives the answer as it is made. Sent once, as [`Ai::complete`].
    ///
    /// A server that answers with plain JSON in spite of the question gives a stream all the same, of a few large chunks.
    ///
    /// # Errors
    ///
    /// As [`Ai::complete`], until the head arrived; later ones come out of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or later the stream, closes the request.
    pub async fn stream(&self, request: &AiRequest) -> Result<AiStream, Error> {
        let body = request.wire(true)?;
        match self.function().open(&body).await.map_err(|error| of_question(error, OPERATION))? {
            Answered::Events(events) => {
                self.client.mark(Capability::AI_STREAM, Support::Supported);
                Ok(AiStream::new(*events))
            }
            Answered::Whole(reply) => {
                let whole = Support::unsupported("The function gives its answers whole.", "ai.whole");
                self.client.mark(Capability::AI_STREAM, whole);
                let raw: Box<RawValue> = reply.json()?;
                AiStream::whole(raw.get(), &reply.request_id)
            }
        }
    }

    /// What is left of the allowance for models.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; `ai.sign_in_required` when nobody is signed in.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn usage(&self) -> Result<Allowance, Error> {
        let read = self.client.function("cloud-usage").read().await;
        read.map_err(|error| of_question(error, "reading the allowance for models"))
    }

    /// The models there are to choose from.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; `ai.sign_in_required` when nobody is signed in.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let read = self.client.function("cloud-models").read().await;
        let catalogue: models::Catalogue = read.map_err(|error| of_question(error, "reading the list of models"))?;
        Ok(catalogue.models)
    }

    fn function(&self) -> cloud_client::functions::Function {
        self.client.function("ai-proxy").timeout(self.answer_limit)
    }
}
