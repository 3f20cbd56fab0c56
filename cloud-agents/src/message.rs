//! The turns of a conversation, in the shape of OpenAI chat completions.
//!
//! Host's history → [`ChatMessage`] → the `messages` of a model request, or the history of an agent. Fields that this
//! crate does not know survive a round trip.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ai::ToolCall, open_name::open_name};

open_name! {
    /// Who speaks in a turn.
    Role {
        /// Instructions from the host.
        SYSTEM = "system",
        /// The person.
        USER = "user",
        /// The model.
        ASSISTANT = "assistant",
        /// The result of a tool.
        TOOL = "tool",
    }
}

/// One turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said; `null` in a turn that only calls tools.
    #[serde(default)]
    pub content: Content,
    /// The tools that this turn of the model calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "wire_calls")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's result answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is said in a turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Words.
    Text(String),
    /// Texts, images and other parts, as the model's provider defines them.
    Parts(Vec<Value>),
}

impl Content {
    /// The words alone; of several parts, one a line.
    pub fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts: Vec<_> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
                texts.join("\n")
            }
        }
    }
}

impl ChatMessage {
    /// A turn of `role` that says `text`.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Content::Text(text.into()), ..Self::default() }
    }

    /// Instructions to the model.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::SYSTEM, text)
    }

    /// What a person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::USER, text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::ASSISTANT, text)
    }

    /// The model's wish to use tools, to be followed by one [`ChatMessage::tool_result`] for each.
    pub fn tool_use(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self { role: Role::ASSISTANT, tool_calls: calls.into_iter().collect(), ..Self::default() }
    }

    /// What a tool returned for the call with this id.
    pub fn tool_result(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::TOOL, text) }
    }
}

/// Tool calls as messages carry them: nested under `function`, with a `type`.
mod wire_calls {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::ai::ToolCall;

    #[derive(Serialize, Deserialize)]
    struct Wire<F> {
        id: String,
        r#type: String,
        function: F,
    }

    #[derive(Serialize)]
    struct Named<'a> {
        name: &'a str,
        arguments: &'a str,
    }

    #[derive(Deserialize)]
    struct Owned {
        name: String,
        arguments: String,
    }

    pub(super) fn serialize<S: Serializer>(calls: &[ToolCall], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(calls.iter().map(|call| Wire {
            id: call.id.clone(),
            r#type: "function".to_owned(),
            function: Named { name: &call.name, arguments: &call.arguments },
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ToolCall>, D::Error> {
        let calls: Option<Vec<Wire<Owned>>> = Option::deserialize(from)?;
        let call = |wire: Wire<Owned>| ToolCall::new(wire.id, wire.function.name, wire.function.arguments);
        Ok(calls.unwrap_or_default().into_iter().map(call).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_survive_a_round_trip_with_fields_nobody_knows() {
        let cases = [
            json!({"role": "user", "content": "hi", "name": "ada"}),
            json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}),
            json!({"role": "developer", "content": "new role", "cache_control": {"type": "ephemeral"}}),
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}),
            json!({"role": "tool", "content": "42", "tool_call_id": "c1"}),
        ];
        for case in cases {
            let message: ChatMessage = serde_json::from_value(case.clone()).unwrap();
            assert_eq!(serde_json::to_value(&message).unwrap(), case);
        }
    }

    #[test]
    fn constructors_write_what_models_read() {
        let call = ToolCall::new("c1", "f", "{}");
        let messages = [ChatMessage::tool_use([call]), ChatMessage::tool_result("c1", "42")];
        assert_eq!(
            serde_json::to_value(messages).unwrap(),
            json!([
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
            ])
        );
    }
}
