//! The AI proxy: one question to a model, answered whole or as a stream, and charged.
//!
//! Body → checked → limit of the day → built-in model or model server → answer. Two doors share it: the
//! function of the requirements, and the path where an unchanged OpenAI client can be pointed.
//! Wire source: OpenAI chat completions and models; the `ai-proxy` and `cloud-models` functions.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _, stream};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Map, Value, json};

use super::{
    Caller,
    completion::Completion,
    meter::{Bill, Meter},
    model::{self, Message},
    upstream::{Upstream, UpstreamError},
    usage::{self, Usage},
};
use crate::{cloud::Cloud, gateway};

/// Which door a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `/functions/v1/ai-proxy`.
    Function,
    /// `/functions/v1/ai-proxy/v1/…`.
    OpenAi,
}

impl Style {
    /// A refusal in the shape this door's clients read.
    fn error(self, status: StatusCode, kind: &str, message: &str) -> Response {
        let error = match self {
            Self::Function => json!(message),
            Self::OpenAi => json!({ "message": message, "type": kind, "param": null, "code": null }),
        };
        gateway::refuse(status, json!({ "error": error }))
    }

    fn over_limit(self, usage: &Value) -> Response {
        let message = "The daily token limit of your plan is used up";
        let error = match self {
            Self::Function => json!(message),
            Self::OpenAi => json!({
                "message": message, "type": "insufficient_quota", "param": null, "code": "insufficient_quota",
            }),
        };
        gateway::refuse(StatusCode::TOO_MANY_REQUESTS, json!({ "error": error, "usage": usage }))
    }
}

/// A question that was checked.
#[derive(Debug)]
struct Question {
    model: String,
    messages: Vec<Message>,
    tools: Vec<Value>,
    max_tokens: Option<u64>,
    stream: bool,
    include_usage: bool,
    /// What a model server is sent.
    body: Map<String, Value>,
}

impl Question {
    fn read(mut body: Map<String, Value>, style: Style) -> Result<Self, &'static str> {
        let messages = body.get("messages").and_then(Value::as_array).ok_or("messages must be a list")?;
        let messages: Vec<Message> = messages.iter().map(message).collect::<Option<_>>().ok_or(BAD_MESSAGE)?;
        if messages.is_empty() {
            return Err("messages must not be empty");
        }
        let stream = match body.get("stream") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(stream)) => *stream,
            Some(_) => return Err("stream must be true or false"),
        };
        let model = match body.get("model") {
            None | Some(Value::Null) => model::NAME.to_owned(),
            Some(Value::String(model)) => model.clone(),
            Some(_) => return Err("model must be a text"),
        };
        for ours in ["provider", "workspace_id"] {
            body.remove(ours);
        }
        let asked = body.get("stream_options").and_then(|options| options.get("include_usage"));
        let include_usage = stream && (style == Style::Function || asked == Some(&Value::Bool(true)));
        if include_usage {
            body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        let limit = body.get("max_completion_tokens").or_else(|| body.get("max_tokens"));
        let max_tokens = limit.and_then(Value::as_u64);
        let tools = body.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self { model, messages, tools, max_tokens, stream, include_usage, body })
    }
}

const BAD_MESSAGE: &str = "each message needs a role and a content";

/// Role and text of one message; a list of parts counts by its texts.
fn message(value: &Value) -> Option<Message> {
    let role = value.get("role")?.as_str()?.to_owned();
    let content = match value.get("content") {
        None | Some(Value::Null) if role == "assistant" => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            texts.join("\n")
        }
        _ => return None,
    };
    Some(Message { role, content })
}

/// Answers one question.
pub(crate) async fn chat(cloud: &Cloud, caller: &Caller, body: Body, style: Style) -> Response {
    let question = match super::object(body).await {
        Ok(body) => Question::read(body, style),
        Err((status, message)) => return style.error(status, "invalid_request_error", message),
    };
    let question = match question {
        Ok(question) => question,
        Err(message) => return style.error(StatusCode::BAD_REQUEST, "invalid_request_error", message),
    };
    let usage = match Usage::of(cloud, caller).await {
        Ok(usage) => usage,
        Err(error) => return usage::broken(&error),
    };
    if let Some(usage) = usage.refusal() {
        return style.over_limit(&usage);
    }
    match &cloud.upstream {
        Some(upstream) => forward(cloud, caller, upstream, question, &usage, style).await,
        None => answer(cloud, caller, &question, &usage, style),
    }
}

/// The built-in model's answer.
fn answer(cloud: &Cloud, caller: &Caller, question: &Question, usage: &Usage, style: Style) -> Response {
    let Question { model, messages, tools, max_tokens, .. } = question;
    let completion = Completion::of(model, messages, tools, *max_tokens, cloud.now_seconds());
    usage::charge(cloud, &caller.user_id, model, completion.total_tokens());
    if question.stream {
        let events = completion.events(question.include_usage);
        return event_stream(Body::from_stream(paced(events, cloud.settings.token_pace)));
    }
    let mut body = completion.to_json();
    if style == Style::Function {
        body["_cloud_usage"] = usage.after(completion.total_tokens());
    }
    Json(body).into_response()
}

/// One event after the other, each sent on its own.
fn paced(events: Vec<String>, pace: Duration) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::iter(events).then(move |event| async move {
        if pace.is_zero() {
            tokio::task::yield_now().await; // lets the connection send what it has
        } else {
            tokio::time::sleep(pace).await;
        }
        Ok(Bytes::from(event))
    })
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no")); // proxies must not collect a stream
    response
}

/// The model server's answer.
async fn forward(
    cloud: &Cloud,
    caller: &Caller,
    upstream: &Upstream,
    question: Question,
    usage: &Usage,
    style: Style,
) -> Response {
    let response = match upstream.chat(&question.body).await {
        Ok(response) => response,
        Err(error) => return bad_gateway(&error, style),
    };
    let asked: u64 = question.messages.iter().map(|message| model::count(&message.content)).sum();
    let bill = Bill::open(cloud, caller, question.model, asked);
    if question.stream {
        let body = stream::unfold((response, bill), |(mut response, mut bill)| async move {
            // Dropped with the body when the reader leaves: that ends the request and writes the bill.
            let chunk = response.chunk().await.map_err(reqwest::Error::without_url).transpose()?;
            if let Ok(chunk) = &chunk {
                bill.meter.read(chunk);
            }
            Some((chunk, (response, bill)))
        });
        return event_stream(Body::from_stream(body));
    }
    let mut answer: Value = match response.json().await {
        Ok(answer) => answer,
        Err(error) => return bad_gateway(&UpstreamError::Unreadable(error.without_url()), style),
    };
    let mut bill = bill;
    bill.meter.note(&answer);
    if style == Style::Function && answer.is_object() {
        answer["_cloud_usage"] = usage.after(bill.meter.total());
    }
    Json(answer).into_response()
}

fn bad_gateway(error: &UpstreamError, style: Style) -> Response {
    tracing::warn!(%error, "the model server failed");
    if let UpstreamError::Busy(retry_after) = error {
        // The same answer for the one who asked: a client waits as it would for the model server itself.
        let mut response = style.error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", &error.to_string());
        if let Some(wait) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, wait.clone());
        }
        return response;
    }
    style.error(StatusCode::BAD_GATEWAY, "upstream_error", &error.to_string())
}

/// Asks whichever model there is for one answer, for a function of this cloud.
pub(crate) async fn ask(
    cloud: &Cloud,
    caller: &Caller,
    model: Option<&str>,
    messages: &[Message],
) -> Result<String, Response> {
    let usage = Usage::of(cloud, caller).await.map_err(|error| usage::broken(&error))?;
    if let Some(usage) = usage.refusal() {
        return Err(Style::Function.over_limit(&usage));
    }
    let model = model.unwrap_or(model::NAME);
    let Some(upstream) = &cloud.upstream else {
        let completion = Completion::of(model, messages, &[], None, cloud.now_seconds());
        usage::charge(cloud, &caller.user_id, model, completion.total_tokens());
        return Ok(completion.text());
    };
    let listed: Vec<Value> =
        messages.iter().map(|message| json!({ "role": message.role, "content": message.content })).collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("messages".to_owned(), Value::Array(listed));
    let failed = |error: UpstreamError| bad_gateway(&error, Style::Function);
    let response = upstream.chat(&body).await.map_err(failed)?;
    let answer: Value =
        response.json().await.map_err(|error| failed(UpstreamError::Unreadable(error.without_url())))?;
    let mut meter = Meter::new(messages.iter().map(|message| model::count(&message.content)).sum());
    meter.note(&answer);
    usage::charge(cloud, &caller.user_id, model, meter.total());
    Ok(answer.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// `GET v1/models`: the list an OpenAI client reads.
pub(crate) async fn models(cloud: &Cloud) -> Response {
    match model_ids(cloud).await {
        Ok(ids) => {
            let models: Vec<Value> = ids
                .iter()
                .map(|id| json!({ "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "cloud-dev" }))
                .collect();
            Json(json!({ "object": "list", "data": models })).into_response()
        }
        Err(error) => bad_gateway(&error, Style::OpenAi),
    }
}

/// `GET cloud-models`: the list a client of this cloud reads.
pub(crate) async fn catalogue(cloud: &Cloud) -> Response {
    match model_ids(cloud).await {
        Ok(ids) => Json(json!({ "models": ids.iter().map(|id| entry(id)).collect::<Vec<_>>() })).into_response(),
        Err(error) => bad_gateway(&error, Style::Function),
    }
}

fn entry(id: &str) -> Value {
    json!({
        "id": id,
        "display_name": if id == model::NAME { "Built-in development model" } else { id },
        "context_window": 32_768,
        "max_output_tokens": 4_096,
        "supports_tool_calling": true,
        "supports_streaming": true,
        "cost_tier": "free",
        "reasoning": false,
        "tier_required": "free",
    })
}

async fn model_ids(cloud: &Cloud) -> Result<Vec<String>, UpstreamError> {
    let Some(upstream) = &cloud.upstream else { return Ok(vec![model::NAME.to_owned()]) };
    let list = upstream.models().await?;
    let models = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(models.iter().filter_map(|model| Some(model.get("id")?.as_str()?.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_checked() {
        let read = |body: Value| match body {
            Value::Object(body) => Question::read(body, Style::OpenAi).map(|question| question.messages),
            _ => unreachable!(),
        };
        let user = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
        assert_eq!(read(user(json!("hi"))).unwrap().first().unwrap().content, "hi");
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "image_url" }, { "type": "text", "text": "b" }]);
        assert_eq!(read(user(parts)).unwrap().first().unwrap().content, "a\nb");
        for bad in [
            json!({}),
            json!({ "messages": "hi" }),
            json!({ "messages": [] }),
            json!({ "messages": [{ "role": "user" }] }),
            json!({ "messages": ["hi"] }),
            user(json!(1)),
            json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": "yes" }),
            json!({ "messages": [{ "role": "user", "content": "hi" }], "model": 4 }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
