//! A whole answer: words, tool calls, why it ended, tokens.
use cloud_client::{Error, error::codes::UNREADABLE};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Allowance;
use crate::open_name::open_name;

open_name! {
    /// Why an answer ended.
    FinishReason {
        /// The model had said everything.
        STOP = "stop",
        /// The limit of tokens was reached.
        LENGTH = "length",
        /// The model wants results of tools.
        TOOL_CALLS = "tool_calls",
        /// Words were held back.
        CONTENT_FILTER = "content_filter",
    }
}

/// A tool that the model wants used. Always whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// What the result is sent back under.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, in JSON as the model wrote it: not always valid.
    pub arguments: String,
}

impl ToolCall {
    /// A call of the tool `name`, with arguments in JSON.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// `net.unreadable` when the model wrote no JSON, or other arguments than `T` has. Tell the model so in the result.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let unreadable = |cause| Error::new(UNREADABLE).during("reading a tool call's arguments").with_source(cause);
        serde_json::from_str(&self.arguments).map_err(unreadable)
    }
}

/// Tokens of one question and its answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the question.
    #[serde(default, deserialize_with = "count")]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default, deserialize_with = "count")]
    pub completion_tokens: u64,
    /// Both together.
    #[serde(default, deserialize_with = "count")]
    pub total_tokens: u64,
    /// Everything else, such as how many came from a cache.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Usage {
    /// Reads a `usage` object; a total that is missing is the sum.
    pub(super) fn read(json: &str) -> Option<Self> {
        let mut usage: Self = serde_json::from_str(json).ok()?;
        if usage.total_tokens == 0 {
            usage.total_tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        }
        Some(usage)
    }
}

/// A number of tokens; `null`, and what is no count, is none.
pub(super) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Value::deserialize(from)?.as_u64().unwrap_or_default())
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AiReply {
    /// The words.
    pub text: String,
    /// What the model thought before, where it shows that.
    pub reasoning: String,
    /// Tools it wants used.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended, where the server said so.
    pub finish_reason: Option<FinishReason>,
    /// Tokens, where the server counted.
    pub usage: Option<Usage>,
    /// What is left of the allowance, where the cloud said so along with the answer.
    pub allowance: Option<Allowance>,
    /// The model that answered.
    pub model: String,
    /// The server's id of the answer.
    pub id: String,
}
