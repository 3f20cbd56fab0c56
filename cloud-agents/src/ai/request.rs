//! A question to a model, and the JSON it is sent as.
use cloud_client::Error;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{codes::REQUEST_INVALID, message::ChatMessage};

/// Lets the cloud choose.
const AUTO: &str = "auto";

/// A question to a model. Everything but the messages has a default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AiRequest {
    /// What was said so far, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Whose model answers.
    pub provider: String,
    /// Which model answers.
    pub model: String,
    /// How freely it answers.
    pub temperature: Option<f64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u64>,
    /// Tools it may call, as OpenAI's API describes them.
    pub tools: Vec<Value>,
    /// The form the answer must have, as OpenAI's API describes it.
    pub response_format: Option<Value>,
    /// The workspace that the tokens are counted for.
    pub workspace_id: Option<String>,
    /// Further fields, sent as they are.
    pub extra: Map<String, Value>,
}

impl AiRequest {
    /// Asks for the next turn of a conversation.
    pub fn new(messages: impl IntoIterator<Item = ChatMessage>) -> Self {
        Self {
            messages: messages.into_iter().collect(),
            provider: AUTO.to_owned(),
            model: AUTO.to_owned(),
            temperature: None,
            max_tokens: None,
            tools: Vec::new(),
            response_format: None,
            workspace_id: None,
            extra: Map::new(),
        }
    }

    /// Sets the model. Default: `auto`, the cloud chooses.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Sets the provider. Default: `auto`, the cloud chooses.
    #[must_use]
    pub fn provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = provider.into();
        self
    }

    /// Offers tools, each an object as OpenAI's API describes it. Default: none.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Value>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Limits the answer, in tokens. Default: the model's own limit.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets how freely the model answers. Default: the model's own.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets the form of the answer, such as `{"type":"json_object"}`. Default: words.
    #[must_use]
    pub fn response_format(mut self, format: Value) -> Self {
        self.response_format = Some(format);
        self
    }

    /// Counts the tokens for a workspace. Default: for nobody but the user.
    #[must_use]
    pub fn workspace_id(mut self, id: impl Into<String>) -> Self {
        self.workspace_id = Some(id.into());
        self
    }

    /// Sends a further field, such as `tool_choice`. The fields that have a method of their own win.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: Value) -> Self {
        self.extra.insert(name.into(), value);
        self
    }

    /// The body that is sent.
    pub(super) fn wire(&self, stream: bool) -> Result<WireRequest<'_>, Error> {
        let invalid = |detail: &str| Err(Error::new(REQUEST_INVALID).during("asking a model").with_detail(detail));
        if self.messages.is_empty() {
            return invalid("there is no message");
        }
        if self.temperature.is_some_and(|temperature| !temperature.is_finite()) {
            return invalid("the temperature is not a finite number");
        }
        let ours = [
            "provider",
            "model",
            "messages",
            "stream",
            "stream_options",
            "temperature",
            "max_tokens",
            "tools",
            "response_format",
            "workspace_id",
        ];
        let extra = self.extra.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
        Ok(WireRequest {
            provider: &self.provider,
            model: &self.model,
            messages: &self.messages,
            stream,
            stream_options: stream.then(|| json!({ "include_usage": true })),
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            tools: &self.tools,
            response_format: self.response_format.as_ref(),
            workspace_id: self.workspace_id.as_deref(),
            extra: extra.map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct WireRequest<'a> {
    provider: &'a str,
    model: &'a str,
    messages: &'a [ChatMessage],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tools: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<&'a str>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(request: &AiRequest, stream: bool) -> Value {
        serde_json::to_value(request.wire(stream).unwrap()).unwrap()
    }

    #[test]
    fn a_bare_question_leaves_the_choice_to_the_cloud() {
        let request = AiRequest::new([ChatMessage::user("hi")]);
        let messages = json!([{"role": "user", "content": "hi"}]);
        assert_eq!(
            sent(&request, false),
            json!({"provider": "auto", "model": "auto", "messages": messages, "stream": false})
        );
        assert_eq!(sent(&request, true)["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn every_option_is_sent_once_and_further_fields_never_replace_it() {
        let request = AiRequest::new([ChatMessage::user("hi")])
            .provider("anthropic")
            .model("m")
            .temperature(0.5)
            .max_tokens(9)
            .tools([json!({"type": "function"})])
            .response_format(json!({"type": "json_object"}))
            .workspace_id("w")
            .field("tool_choice", json!("required"))
            .field("model", json!("other"))
            .field("stream", json!(false));
        let text = serde_json::to_string(&request.wire(true).unwrap()).unwrap();
        assert_eq!((text.matches("\"model\"").count(), text.matches("\"stream\"").count()), (1, 1), "{text}");
        let sent = sent(&request, true);
        assert_eq!(
            (&sent["model"], &sent["stream"], &sent["tool_choice"]),
            (&json!("m"), &json!(true), &json!("required"))
        );
        assert_eq!(
            (&sent["temperature"], &sent["max_tokens"], &sent["workspace_id"]),
            (&json!(0.5), &json!(9), &json!("w"))
        );
        assert_eq!((&sent["tools"], &sent["provider"]), (&json!([{"type": "function"}]), &json!("anthropic")));
        assert_eq!(sent["response_format"], json!({"type": "json_object"}));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is_sent() {
        let empty = AiRequest::new([]);
        let hot = AiRequest::new([ChatMessage::user("hi")]).temperature(f64::NAN);
        for request in [empty, hot] {
            assert_eq!(request.wire(false).unwrap_err().code(), REQUEST_INVALID);
        }
    }
}
