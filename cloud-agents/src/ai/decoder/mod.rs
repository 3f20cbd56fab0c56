//! The rules of one answer: events in, chunks out, and the word on whether it is complete. Pure; no I/O.
//!
//! data of an event → [`Chunk`](super::chunk::Chunk) → text, reasoning, tool-call fragments, usage, finish reason →
//! [`AiChunk`]s to hand out. An answer is complete after `[DONE]`, or at an end of input that follows a finish reason;
//! any other end of input is an interruption (S1). A failure reported inside the stream (S5) and data that is no JSON
//! (S6) end it at once; what had arrived stays readable. Tool calls and usage come last, when nothing can take them
//! back. [`AiStream`](super::AiStream) drives it; a host with a transport of its own may do so too.
use std::collections::VecDeque;

use cloud_client::{
    Error,
    error::codes::{RATE_LIMITED, TOO_LARGE, UNREADABLE},
};
use serde::Deserialize;

use super::{
    AiReply, Allowance, FinishReason, ToolCall, Usage,
    chunk::{Choice, Chunk, Delta, Failure, Function, text},
    tool_calls::{Ending, Piece, ToolCalls},
};
use crate::codes::{FAILED_IN_STREAM, INTERRUPTED, QUOTA};

/// The largest answer that is kept, in bytes, all its parts together.
const ANSWER_LIMIT_BYTES: usize = 8 * 1024 * 1024;
const OPERATION: &str = "reading a model's answer";

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AiChunk {
    /// Some more words.
    Text(String),
    /// Some more of what the model thinks before it answers.
    Reasoning(String),
    /// A tool to use: whole, and given once.
    ToolCall(ToolCall),
    /// Tokens of question and answer, near the end.
    Usage(Usage),
    /// What is left of the allowance, near the end.
    Allowance(Box<Allowance>),
}

/// Reads one answer.
///
/// ```
/// use cloud_agents::ai::{AiChunk, Decoder};
///
/// # fn main() -> Result<(), cloud_client::Error> {
/// let mut decoder = Decoder::default();
/// decoder.event("message", r#"{"choices":[{"delta":{"content":"Hello"}}]}"#)?;
/// assert_eq!(decoder.chunk(), Some(AiChunk::Text("Hello".to_owned())));
/// assert!(!decoder.is_complete());
/// decoder.event("message", "[DONE]")?;
/// assert!(decoder.is_complete());
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    reply: AiReply,
    calls: ToolCalls,
    ready: VecDeque<AiChunk>,
    bytes: usize,
    complete: bool,
}

impl Decoder {
    /// Takes one event. Does nothing once the answer is complete.
    ///
    /// # Errors
    ///
    /// `ai.failed_in_stream`, `ai.quota` or `server.rate_limited` for a failure that the server reports,
    /// `net.unreadable` for data that is no JSON, `ai.interrupted` for `[DONE]` in the midst of a tool call,
    /// `net.too_large` for an answer beyond 8 MiB.
    pub fn event(&mut self, event: &str, data: &str) -> Result<(), Error> {
        if self.complete {
            return Ok(());
        }
        if event == "error" {
            return Err(failed(data));
        }
        if data.starts_with('{') {
            return self.take(data);
        }
        let data = data.trim_start();
        if data.starts_with("[DONE]") {
            let ending = self.ending(Ending::Unexplained);
            return self.conclude(ending);
        }
        if data.is_empty() { Ok(()) } else { self.take(data) }
    }

    /// Takes the end of the input.
    ///
    /// # Errors
    ///
    /// `ai.interrupted` when neither `[DONE]` nor a finish reason had arrived.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.complete {
            return Ok(());
        }
        if self.reply.finish_reason.is_none() {
            return Err(Error::new(INTERRUPTED).during(OPERATION));
        }
        let ending = self.ending(Ending::Unexplained);
        self.conclude(ending)
    }

    /// Takes a whole answer in one piece of JSON.
    ///
    /// # Errors
    ///
    /// As [`Decoder::event`]; `net.unreadable` also for JSON without an answer in it.
    pub fn whole(&mut self, json: &str) -> Result<(), Error> {
        let chunk: Chunk<'_> = read(json)?;
        let message = self.note(chunk, json)?.and_then(|choice| choice.message);
        let message = message.ok_or_else(|| Error::new(UNREADABLE).during(OPERATION))?;
        self.delta(read(message.get())?)?;
        // JSON that parses is whole by itself, whatever it says about its end.
        let ending = self.ending(Ending::Finished);
        self.conclude(ending)
    }

    /// The next chunk that is ready.
    pub fn chunk(&mut self) -> Option<AiChunk> {
        self.ready.pop_front()
    }

    /// Whether the answer is complete.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the model has said why it ended, so that only counts and the end mark may be missing.
    pub(super) fn is_finished(&self) -> bool {
        self.reply.finish_reason.is_some()
    }

    /// The answer as far as it has come. Tool calls are in it once it is complete.
    pub fn reply(&self) -> &AiReply {
        &self.reply
    }

    /// The answer as far as it has come.
    pub fn into_reply(self) -> AiReply {
        self.reply
    }

    fn take(&mut self, data: &str) -> Result<(), Error> {
        let chunk: Chunk<'_> = read(data)?;
        if let Some(delta) = self.note(chunk, data)?.and_then(|choice| choice.delta) {
            self.delta(delta)?;
        }
        if self.reply.finish_reason.as_ref().is_some_and(|reason| reason.as_str() == "error") {
            return Err(failed(data));
        }
        Ok(())
    }

    /// Takes what surrounds the choice, and gives the choice.
    fn note<'a>(&mut self, chunk: Chunk<'a>, data: &str) -> Result<Option<Choice<'a>>, Error> {
        if chunk.is_error() {
            // A router may put the last words and the failure into one chunk.
            if let Some(delta) = chunk.choices.0.and_then(|choice| choice.delta) {
                self.delta(delta)?;
            }
            return Err(failed(data));
        }
        if self.reply.id.is_empty() {
            self.reply.id = chunk.id.0.into_owned();
        }
        if self.reply.model.is_empty() {
            self.reply.model = chunk.model.0.into_owned();
        }
        // Several counts may come; the last one counts, and none is added to another (G6).
        if let Some(usage) = chunk.usage.and_then(|raw| Usage::read(raw.get())) {
            self.reply.usage = Some(usage);
        }
        if let Some(allowance) = chunk.allowance.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            self.reply.allowance = Some(allowance);
        }
        let choice = chunk.choices.0;
        if let Some(choice) = choice.as_ref().filter(|choice| !choice.finish_reason.0.is_empty()) {
            self.reply.finish_reason = Some(FinishReason::from(&*choice.finish_reason.0));
        }
        Ok(choice)
    }

    fn delta(&mut self, delta: Delta<'_>) -> Result<(), Error> {
        let mut reasoning = text(delta.reasoning_content);
        if reasoning.is_empty() {
            reasoning = text(delta.reasoning); // the other name for it
        }
        if !reasoning.is_empty() {
            self.grow(reasoning.len())?;
            self.reply.reasoning.push_str(&reasoning);
            self.ready.push_back(AiChunk::Reasoning(reasoning.into_owned()));
        }
        // A refusal is what the model says instead of an answer.
        for words in [delta.content.0, text(delta.refusal)] {
            if !words.is_empty() {
                self.grow(words.len())?;
                self.reply.text.push_str(&words);
                self.ready.push_back(AiChunk::Text(words.into_owned()));
            }
        }
        if let Some(function) = delta.function_call {
            self.fragment(None, "", &read(function.get())?)?;
        }
        for fragment in delta.tool_calls.into_iter().flatten() {
            self.fragment(fragment.index, &fragment.id.0, &fragment.function.unwrap_or_default())?;
        }
        Ok(())
    }

    fn fragment(&mut self, index: Option<u64>, id: &str, function: &Function<'_>) -> Result<(), Error> {
        let arguments = function.arguments();
        let name = &*function.name.0;
        self.grow(id.len() + name.len() + arguments.len())?;
        let pushed = self.calls.push(Piece { index, id, name, arguments: &arguments });
        pushed.map_err(|_| Error::new(TOO_LARGE).during(OPERATION))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes > ANSWER_LIMIT_BYTES { Err(Error::new(TOO_LARGE).during(OPERATION)) } else { Ok(()) }
    }

    fn ending(&self, unexplained: Ending) -> Ending {
        match &self.reply.finish_reason {
            None => unexplained,
            Some(reason) if [FinishReason::LENGTH, FinishReason::CONTENT_FILTER].contains(reason) => Ending::Stopped,
            Some(_) => Ending::Finished,
        }
    }

    fn conclude(&mut self, ending: Ending) -> Result<(), Error> {
        let called = !self.calls.is_empty();
        let calls = self.calls.conclude(ending).map_err(|_| Error::new(INTERRUPTED).during(OPERATION))?;
        if called && !calls.is_empty() && self.reply.finish_reason.as_ref() == Some(&FinishReason::STOP) {
            self.reply.finish_reason = Some(FinishReason::TOOL_CALLS);
        }
        self.ready.extend(calls.iter().cloned().map(AiChunk::ToolCall));
        self.ready.extend(self.reply.usage.clone().map(AiChunk::Usage));
        self.ready.extend(self.reply.allowance.clone().map(Box::new).map(AiChunk::Allowance));
        self.reply.tool_calls = calls;
        self.complete = true;
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|cause| Error::new(UNREADABLE).during(OPERATION).with_source(cause))
}

/// The error for a failure that the server reports under a good status.
fn failed(data: &str) -> Error {
    let Failure { message, code } = Failure::read(data);
    let kind = match code.as_str() {
        "402" | "insufficient_quota" | "quota_exceeded" => QUOTA,
        "429" | "rate_limit_exceeded" | "rate_limit_error" => RATE_LIMITED,
        _ => FAILED_IN_STREAM,
    };
    Error::new(kind).during(OPERATION).with_server_code(code).with_detail(message)
}

#[cfg(test)]
mod tests;
