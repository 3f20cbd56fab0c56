//! The shapes of a chat completion, whole and in chunks.
//!
//! A [`Completion`] (the built-in model's answer, already cut into tokens) → one JSON object, or the events
//! of a stream: the role first, then a piece each, then the finish reason, the usage and `[DONE]`.
//! Wire source: OpenAI chat completions, `chat.completion` and `chat.completion.chunk`.

use serde_json::{Value, json};

use super::model::{self, Message, Reply};

/// A finished answer of the built-in model.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    id: String,
    created: i64,
    model: String,
    content: Content,
    finish_reason: &'static str,
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Text(Vec<String>),
    Tool { id: String, name: String, arguments: String },
}

impl Completion {
    /// Asks the built-in model.
    pub(crate) fn of(
        model: &str,
        messages: &[Message],
        tools: &[Value],
        max_tokens: Option<u64>,
        created: i64,
    ) -> Self {
        let mut finish_reason = "stop";
        let content = match model::reply(messages, tools) {
            Reply::Text(text) => {
                let mut pieces = model::pieces(&text);
                let limit = max_tokens.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
                if pieces.len() > limit {
                    pieces.truncate(limit);
                    finish_reason = "length";
                }
                Content::Text(pieces)
            }
            Reply::Tool { name, arguments } => {
                finish_reason = "tool_calls";
                Content::Tool { id: format!("call_{}", uuid::Uuid::new_v4().simple()), name, arguments }
            }
        };
        let completion_tokens = match &content {
            Content::Text(pieces) => pieces.len() as u64,
            Content::Tool { name, arguments, .. } => model::count(name) + model::count(arguments),
        };
        Self {
            id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
            created,
            model: model.to_owned(),
            content,
            finish_reason,
            prompt_tokens: messages.iter().map(|message| model::count(&message.content)).sum(),
            completion_tokens,
        }
    }

    /// The words of the answer.
    pub(crate) fn text(&self) -> String {
        match &self.content {
            Content::Text(pieces) => pieces.concat(),
            Content::Tool { .. } => String::new(),
        }
    }

    /// Tokens of the question and the answer.
    pub(crate) fn total_tokens(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }

    /// The whole answer as one object.
    pub(crate) fn to_json(&self) -> Value {
        let message = match &self.content {
            Content::Text(_) => json!({ "role": "assistant", "content": self.text(), "refusal": null }),
            Content::Tool { id, name, arguments } => json!({
                "role": "assistant",
                "content": null,
                "refusal": null,
                "tool_calls": [{
                    "id": id, "type": "function", "function": { "name": name, "arguments": arguments },
                }],
            }),
        };
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason,
            }],
            "usage": self.usage(),
            "system_fingerprint": null,
        })
    }

    /// The answer as the events of a stream, in order.
    pub(crate) fn events(&self, include_usage: bool) -> Vec<String> {
        let mut deltas = vec![json!({ "role": "assistant", "content": "", "refusal": null })];
        match &self.content {
            Content::Text(pieces) => deltas.extend(pieces.iter().map(|piece| json!({ "content": piece }))),
            Content::Tool { id, name, arguments } => {
                let call = json!({
                    "index": 0, "id": id, "type": "function", "function": { "name": name, "arguments": "" },
                });
                deltas = vec![json!({ "role": "assistant", "content": null, "tool_calls": [call] })];
                // Cut without mercy, as real models do: a reader has to put the pieces together.
                deltas.extend(
                    model::pieces(arguments)
                        .into_iter()
                        .map(|piece| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] })),
                );
            }
        }
        let choice = |delta: Value, finish: Option<&str>| json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        let mut events: Vec<Value> = deltas.into_iter().map(|delta| self.chunk(choice(delta, None))).collect();
        events.push(self.chunk(choice(json!({}), Some(self.finish_reason))));
        if include_usage {
            for event in &mut events {
                event["usage"] = Value::Null;
            }
            let mut last = self.chunk(json!([]));
            last["usage"] = self.usage();
            events.push(last);
        }
        let framed = events.into_iter().map(|event| format!("data: {event}\n\n"));
        framed.chain(["data: [DONE]\n\n".to_owned()]).collect()
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens(),
        })
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": null,
            "choices": choices,
        })
    }
}
