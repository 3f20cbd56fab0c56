use std::time::Duration;

use cloud_agents::{Ai, AiRequest, ChatMessage, ToolCall, ai::may_fall_back};
use cloud_client::{
    capability::{Capability, Support, Unsupported},
    testing::{Scripted, Step},
};
use serde_json::{Value, json};

use crate::{client, refusals};

fn question() -> AiRequest {
    AiRequest::new([ChatMessage::user("hi")])
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_brings_words_calls_counts_and_the_allowance() {
    let answer = json!({
        "id": "a1", "model": "m1",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "Let me look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "_cloud_usage": {"tokens_used": 10, "daily_limit": 50, "remaining": 40, "tier": "free"},
    });
    let scripted = Scripted::new([Step::json(200, &answer.to_string())]);
    let reply = Ai::new(client(&scripted)).complete(&question().workspace_id("w1")).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str(), reply.id.as_str()), ("Let me look.", "m1", "a1"));
    assert_eq!(reply.tool_calls, [ToolCall::new("c1", "look", "{\"at\":1}")]);
    assert_eq!(reply.tool_calls[0].parse::<Value>().unwrap(), json!({"at": 1}));
    assert_eq!((reply.usage.unwrap().total_tokens, reply.allowance.unwrap().remaining), (7, Some(40)));
    let sent = &scripted.sent()[0];
    assert_eq!((sent.target.as_str(), sent.header("authorization")), ("POST /functions/v1/ai-proxy", "Bearer token"));
    assert_eq!(
        serde_json::from_str::<Value>(&sent.body).unwrap(),
        json!({"provider": "auto", "model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": false,
            "workspace_id": "w1"})
    );
}

#[tokio::test(start_paused = true)]
async fn g03_a_question_is_sent_once_and_every_refusal_has_its_code() {
    for (what, step, code) in refusals() {
        let scripted = Scripted::new([step.clone(), Step::json(200, "{}")]);
        let error = Ai::new(client(&scripted)).complete(&question()).await.unwrap_err();
        assert_eq!((error.code().as_str(), scripted.sent().len()), (code, 1), "whole: {what}");

        let scripted = Scripted::new([step, Step::json(200, "{}")]);
        let error = Ai::new(client(&scripted)).stream(&question()).await.unwrap_err();
        assert_eq!((error.code().as_str(), scripted.sent().len()), (code, 1), "stream: {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn g02_only_failures_of_the_cloud_itself_go_to_another_provider() {
    let stay = ["ai.sign_in_required", "api.token_refused", "api.forbidden"];
    for (what, step, code) in refusals() {
        let error = Ai::new(client(&Scripted::new([step]))).complete(&question()).await.unwrap_err();
        assert_eq!(may_fall_back(&error), !stay.contains(&code), "{what}");
    }
    let scripted = Scripted::new([Step::json(400, r#"{"error":{"message":"context too long"}}"#)]);
    let refused = Ai::new(client(&scripted)).complete(&question()).await.unwrap_err();
    assert!(!may_fall_back(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_what_the_cloud_said_about_it() {
    let over = Step::json(429, r#"{"error":"over","usage":{"used":2,"limit":1}}"#).header("retry-after", "60");
    let error = Ai::new(client(&Scripted::new([over]))).complete(&question()).await.unwrap_err();
    assert_eq!((error.status(), error.retry_after()), (Some(429), Some(Duration::from_secs(60))));
    assert_eq!(error.detail(), Some("over"));
    assert!(!error.is_retryable() && error.to_string().contains("allowance"));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_sent_touches_no_network() {
    let scripted = Scripted::new([]);
    let ai = Ai::new(client(&scripted));
    assert_eq!(ai.complete(&AiRequest::new([])).await.unwrap_err().code().as_str(), "ai.request_invalid");
    assert_eq!(ai.stream(&AiRequest::new([])).await.unwrap_err().code().as_str(), "ai.request_invalid");
    assert!(scripted.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn allowance_and_catalogue_are_read_again_when_the_cloud_was_away() {
    let usage = json!({"today": {"tokens_used": 5, "tokens_limit": 50}, "tier": "free"});
    let scripted = Scripted::new([Step::json(503, "{}"), Step::json(200, &usage.to_string())]);
    let ai = Ai::new(client(&scripted));
    let allowance = ai.usage().await.unwrap();
    assert_eq!((allowance.remaining, allowance.tier.as_deref()), (Some(45), Some("free")));
    assert_eq!(scripted.sent()[1].target, "GET /functions/v1/cloud-usage");

    let models = json!({"models": [{"id": "m", "display_name": "M", "context_window": 32768, "max_output_tokens": 4096,
        "supports_tool_calling": true, "supports_streaming": true, "cost_tier": "low", "reasoning": false,
        "tier_required": "free", "colour": "red"}, {"id": "n"}]});
    scripted.then([Step::json(200, &models.to_string()), Step::json(401, r#"{"error":"no"}"#)]);
    let models = ai.models().await.unwrap();
    assert_eq!((models[0].context_window, models[0].supports_tool_calling), (Some(32768), Some(true)));
    assert_eq!((models[0].extra["colour"].as_str(), models[1].display_name.as_deref()), (Some("red"), None));
    assert_eq!(scripted.sent()[2].target, "GET /functions/v1/cloud-models");
    assert_eq!(ai.usage().await.unwrap_err().code().as_str(), "ai.sign_in_required");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_stream_is_known_as_one_until_it_does() {
    let whole =
        r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"All of it."}}]}"#;
    let events =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Bit\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let scripted = Scripted::new([Step::json(200, whole), Step::answer(200, "text/event-stream", events)]);
    let client = client(&scripted);
    let ai = Ai::new(client.clone());
    let ask = || async { ai.stream(&question()).await.unwrap().finish().await.unwrap().text };
    assert_eq!(ask().await, "All of it.");
    let lacking = client.capabilities().require(&Capability::AI_STREAM).unwrap_err();
    assert_eq!(Unsupported::of(&lacking).unwrap().code, "ai.whole");
    assert_eq!(ask().await, "Bit");
    assert_eq!(client.capabilities().support(&Capability::AI_STREAM), Support::Supported);
}
