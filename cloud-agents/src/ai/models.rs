//! The models that the proxy offers. Wire source: the `cloud-models` function.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One model. What the cloud did not say is `None`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Model {
    /// What a request calls it.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Tokens of question and answer together.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Tokens of the longest answer.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// Whether it can ask for tools.
    #[serde(default)]
    pub supports_tool_calling: Option<bool>,
    /// Whether it answers as a stream.
    #[serde(default)]
    pub supports_streaming: Option<bool>,
    /// What it costs, in the cloud's own words.
    #[serde(default)]
    pub cost_tier: Option<String>,
    /// Whether it thinks before it answers, in the cloud's own words.
    #[serde(default)]
    pub reasoning: Option<Value>,
    /// The plan that it needs.
    #[serde(default)]
    pub tier_required: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Catalogue {
    pub(super) models: Vec<Model>,
}
