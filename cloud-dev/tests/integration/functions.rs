//! Agents, the AI proxy by both of its doors, models and usage.

use std::time::Duration;

use cloud_dev::{CloudDev, Fault};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::caller::{Answer, Caller, send};

const PROXY: &str = "/functions/v1/ai-proxy";
const OPENAI: &str = "/functions/v1/ai-proxy/v1/chat/completions";

fn ask(question: &str) -> Value {
    json!({ "model": "any", "messages": [{ "role": "user", "content": question }] })
}

fn streamed(question: &str) -> Value {
    let mut body = ask(question);
    body["stream"] = json!(true);
    body
}

/// The JSON events of a stream, after checking that `[DONE]` ends it.
fn events(answer: &Answer) -> Vec<Value> {
    let mut data: Vec<&str> =
        answer.text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{}", answer.text);
    data.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn text_of(events: &[Value]) -> String {
    events.iter().filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str()).collect()
}

#[tokio::test]
async fn a_function_wants_a_persons_token() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let cases = [
        (None, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"),
        (Some(caller.cloud.anon_key().to_owned()), "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT"),
        (Some(caller.cloud.publishable_key().to_owned()), "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT"),
        (Some(format!("{token}x")), "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"),
    ];
    for (bearer, code, message) in cases {
        let answer = caller.get("/functions/v1/cloud-usage", bearer.as_deref()).await;
        assert_eq!((answer.status, answer.header("sb-error-code")), (401, Some(code)), "{bearer:?}");
        assert_eq!(answer.json(), json!({ "code": 401, "message": message }), "{bearer:?}");
    }
    caller.cloud.expire_access_tokens();
    let expired = caller.get("/functions/v1/cloud-usage", Some(&token)).await;
    assert_eq!((expired.status, expired.header("sb-error-code")), (401, Some("UNAUTHORIZED_LEGACY_JWT")));
    let unknown = caller.get("/functions/v1/nothing", Some(&token)).await;
    assert_eq!((unknown.status, unknown.header("sb-error-code")), (404, Some("NOT_FOUND")));
    let method = caller.get(PROXY, Some(&caller.token().await)).await;
    assert_eq!((method.status, method.header("sb-error-code")), (405, None));
}

#[tokio::test]
async fn a_whole_answer_has_the_openai_shape_and_is_charged() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let answer = caller.post(PROXY, Some(&token), ask("count to 3")).await.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "any");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("1, 2, 3") && text.contains("built-in development model"), "{text}");
    let total = answer["usage"]["total_tokens"].as_u64().unwrap();
    assert_eq!(
        total,
        answer["usage"]["prompt_tokens"].as_u64().unwrap() + answer["usage"]["completion_tokens"].as_u64().unwrap()
    );
    assert_eq!(answer["_cloud_usage"]["tokens_used"], total);
    let usage = caller.get("/functions/v1/cloud-usage", Some(&token)).await.json();
    assert_eq!((&usage["tokens_used"], &usage["today"]["tokens_used"]), (&json!(total), &json!(total)));
    assert_eq!(
        (&usage["daily_limit"], &usage["tier"], &usage["request_count"]),
        (&json!(50_000), &json!("free"), &json!(1))
    );
    assert_eq!(usage["remaining"], 50_000 - total);
    assert_eq!(usage["today"]["models_used"], json!(["any"]));
    let grace = caller.sign_in(1).await.text_at("/access_token");
    let other = caller.get("/functions/v1/cloud-usage", Some(&grace)).await.json();
    assert_eq!(other["tokens_used"], 0, "each person pays for themselves");
}

#[tokio::test]
async fn a_streamed_answer_comes_as_openai_sends_it() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let whole = caller.post(PROXY, Some(&token), ask("list 3 things")).await.json();
    let answer = caller.post(PROXY, Some(&token), streamed("list 3 things")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = events(&answer);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(text_of(&events), whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event["object"] == "chat.completion.chunk"));
    let (usage, rest) = events.split_last().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &whole["usage"]));
    assert!(rest.iter().all(|event| event["usage"].is_null()));
    let (finish, rest) = rest.split_last().unwrap();
    assert_eq!((&finish["choices"][0]["finish_reason"], &finish["choices"][0]["delta"]), (&json!("stop"), &json!({})));
    assert!(rest.iter().all(|event| event["choices"][0]["finish_reason"].is_null()));
}

#[tokio::test]
async fn a_stream_is_sent_token_by_token() {
    let caller = Caller::with(CloudDev::builder().token_pace(Duration::from_millis(20))).await;
    let token = caller.token().await;
    let request = caller.request(Method::POST, PROXY).bearer_auth(token).json(&streamed("hello"));
    let mut response = request.send().await.unwrap();
    let mut chunks = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        assert!(chunk.ends_with(b"\n\n"), "whole events");
        chunks += 1;
    }
    assert!(chunks > 20, "{chunks} chunks");
}

#[tokio::test]
async fn an_openai_client_needs_nothing_but_a_persons_token() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let url = |path: &str| format!("{}{path}", caller.cloud.url());
    let answer = send(caller.http.post(url(OPENAI)).bearer_auth(&token).json(&ask("hello"))).await;
    assert_eq!((answer.status, answer.json().get("_cloud_usage")), (200, None));
    let with_key = caller.http.post(url(OPENAI)).header("apikey", caller.cloud.anon_key()).bearer_auth(&token);
    assert_eq!(send(with_key.json(&ask("hello"))).await.status, 200);
    let wrong_key = caller.http.post(url(OPENAI)).header("apikey", "wrong").bearer_auth(&token);
    assert_eq!(send(wrong_key.json(&ask("hello"))).await.status, 401);
    let key_only = caller.http.post(url(OPENAI)).bearer_auth(caller.cloud.publishable_key());
    assert_eq!(send(key_only.json(&ask("hello"))).await.status, 401);
    let nothing = send(caller.http.post(url(OPENAI)).json(&ask("hello"))).await;
    assert_eq!((nothing.status, nothing.text_at("/message").as_str()), (401, "No API key found in request"));
    let elsewhere = caller.http.post(url(PROXY)).bearer_auth(&token);
    assert_eq!(send(elsewhere.json(&ask("hello"))).await.status, 401, "every other path wants a key");
    let plain = events(&send(caller.http.post(url(OPENAI)).bearer_auth(&token).json(&streamed("hello"))).await);
    assert!(plain.iter().all(|event| event.get("usage").is_none()), "usage was not asked for");
    let mut with_usage = streamed("hello");
    with_usage["stream_options"] = json!({ "include_usage": true });
    let told = events(&send(caller.http.post(url(OPENAI)).bearer_auth(&token).json(&with_usage)).await);
    assert!(told.last().unwrap()["usage"]["total_tokens"].as_u64() > Some(0));
    let models = send(caller.http.get(url("/functions/v1/ai-proxy/v1/models")).bearer_auth(&token)).await.json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("dev-model")));
}

#[tokio::test]
async fn limits_and_tools_are_honoured() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let mut short = ask("hello");
    short["max_tokens"] = json!(5);
    let short = caller.post(PROXY, Some(&token), short).await.json();
    assert_eq!(
        (&short["choices"][0]["finish_reason"], &short["usage"]["completion_tokens"]),
        (&json!("length"), &json!(5))
    );
    let mut tools = streamed("use get_weather for Oslo");
    tools["tools"] = json!([{ "type": "function", "function": {
        "name": "get_weather", "parameters": { "type": "object", "properties": { "city": { "type": "string" } } },
    } }]);
    let events = events(&caller.post(PROXY, Some(&token), tools).await);
    assert_eq!(events[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "get_weather");
    let arguments: String = events
        .iter()
        .filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0/function/arguments")?.as_str())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({ "city": "use get_weather for Oslo" }));
    assert!(events.iter().any(|event| event["choices"][0]["finish_reason"] == "tool_calls"));
}

#[tokio::test]
async fn a_used_up_day_is_refused_by_both_doors() {
    let caller = Caller::with(CloudDev::builder().daily_tokens(20)).await;
    let token = caller.token().await;
    let first = caller.post(PROXY, Some(&token), ask("hello")).await.json();
    let used = first["usage"]["total_tokens"].clone();
    for path in [PROXY, OPENAI] {
        let answer = caller.post(path, Some(&token), ask("hello")).await;
        assert_eq!(answer.status, 429, "{path}");
        assert_eq!(answer.json()["usage"], json!({ "used": used, "limit": 20, "tier": "free" }), "{path}");
        let error = answer.json()["error"].clone();
        assert!(error.is_string() || error["code"] == "insufficient_quota", "{error}");
    }
    let agent = json!({ "agentSlug": "helper", "userMessage": "hello", "messageHistory": [] });
    assert_eq!(caller.post("/functions/v1/agent-chat", Some(&token), agent).await.status, 429);
}

#[tokio::test]
async fn a_question_without_sense_is_a_bad_request() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    for path in [PROXY, OPENAI] {
        for body in [json!({}), json!([]), json!({ "messages": [] })] {
            let answer = caller.post(path, Some(&token), body.clone()).await;
            assert_eq!(answer.status, 400, "{path} {body}");
            assert_eq!(answer.json()["error"].is_object(), path == OPENAI, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn an_agent_answers_by_its_instructions() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let body = json!({
        "agentSlug": caller.cloud.demo().agent_slug,
        "userMessage": "what now?",
        "messageHistory": [{ "role": "user", "content": "hello" }, { "role": "assistant", "content": "hi" }],
    });
    let answer = caller.post("/functions/v1/agent-chat", Some(&token), body).await;
    assert_eq!((answer.status, answer.text_at("/agentName").as_str()), (200, "Helper"), "{}", answer.text);
    let content = answer.text_at("/content");
    for part in ["You help a small team", "what now?", "turn 2"] {
        assert!(content.contains(part), "{part} in {content}");
    }
}

#[tokio::test]
async fn an_agents_answer_takes_its_place_in_the_conversation() {
    let caller = Caller::start().await;
    let token = caller.token().await;
    let demo = caller.cloud.demo().clone();
    let insert = async |table: &str, row: Value| {
        let request = caller.request(Method::POST, &format!("/rest/v1/{table}")).bearer_auth(&token);
        let answer = send(request.header("prefer", "return=representation").json(&row)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()[0].clone()
    };
    let person = &demo.people[0].user_id;
    let conversation =
        insert("conversations", json!({ "workspace_id": demo.workspace_id, "name": "talk", "started_by": person }))
            .await;
    let id = conversation["id"].as_str().unwrap();
    let said = json!({ "conversation_id": id, "role": "user", "content": "hello", "sender_user_id": person });
    insert("messages", said).await;
    let body = json!({ "agentSlug": "helper", "conversationId": id, "userMessage": "hello", "messageHistory": [] });
    let answer = caller.post("/functions/v1/agent-chat", Some(&token), body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let grace = caller.sign_in(1).await.text_at("/access_token");
    let path = format!("/rest/v1/messages?conversation_id=eq.{id}&order=seq.asc&select=*");
    let rows = caller.get(&path, Some(&grace)).await.json();
    assert_eq!((&rows[0]["seq"], &rows[1]["seq"], &rows[2]), (&json!(1), &json!(2), &Value::Null));
    assert_eq!(rows[1]["id"], answer.json()["messageId"]);
    assert_eq!(rows[1]["content"], answer.json()["content"]);
    assert_eq!(rows[1]["role"], "assistant");
    assert!(rows[1]["sender_agent_id"].is_string() && rows[1]["sender_user_id"].is_null());
    assert!(rows[1]["created_at"].as_str() > rows[0]["created_at"].as_str());
}

#[tokio::test]
async fn an_agent_is_nobodys_outside_its_organisation() {
    let caller = Caller::start().await;
    let body = json!({ "email": "stranger@example.com", "password": "long enough" });
    let stranger = caller.post("/auth/v1/signup", None, body).await.text_at("/access_token");
    let ada = caller.token().await;
    let nowhere = "00000000-0000-4000-8000-000000000000";
    for (token, body, status) in [
        (&stranger, json!({ "agentSlug": "helper", "userMessage": "hello" }), 404),
        (&ada, json!({ "agentSlug": "nobody", "userMessage": "hello" }), 404),
        (&ada, json!({ "agentSlug": "helper", "userMessage": "hello", "conversationId": nowhere }), 404),
        (&ada, json!({ "agentSlug": "helper" }), 400),
        (&ada, json!({ "agentSlug": "helper", "userMessage": "hello", "conversationId": "x" }), 400),
        (&ada, json!("hello"), 400),
    ] {
        let answer = caller.post("/functions/v1/agent-chat", Some(token), body.clone()).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn the_models_are_described() {
    let caller = Caller::start().await;
    let models = caller.get("/functions/v1/cloud-models", Some(&caller.token().await)).await.json();
    let model = &models["models"][0];
    assert_eq!(model["id"], "dev-model");
    for field in ["display_name", "cost_tier", "tier_required"] {
        assert!(model[field].is_string(), "{field}");
    }
    for field in ["context_window", "max_output_tokens"] {
        assert!(model[field].is_u64(), "{field}");
    }
    for field in ["supports_tool_calling", "supports_streaming", "reasoning"] {
        assert!(model[field].is_boolean(), "{field}");
    }
}

/// A cloud whose model server is another cloud.
async fn behind() -> (Caller, Caller) {
    let far = Caller::start().await;
    let base = format!("{}/functions/v1/ai-proxy/v1", far.cloud.url());
    let key = far.token().await;
    (Caller::with(CloudDev::builder().ai_upstream(base).ai_upstream_key(key)).await, far)
}

#[tokio::test]
async fn a_model_server_answers_through_the_proxy() {
    let (near, far) = behind().await;
    let token = near.token().await;
    let mut body = ask("count to 4");
    body["provider"] = json!("openai");
    let whole = near.post(PROXY, Some(&token), body).await.json();
    assert!(whole["choices"][0]["message"]["content"].as_str().unwrap().contains("1, 2, 3, 4"));
    let answer = near.post(PROXY, Some(&token), streamed("count to 4")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(text_of(&events(&answer)).contains("1, 2, 3, 4"));
    assert_eq!(far.cloud.requests(OPENAI), 2);
    let spent = whole["usage"]["total_tokens"].as_u64().unwrap();
    let usage = near.get("/functions/v1/cloud-usage", Some(&token)).await.json();
    assert_eq!(usage["tokens_used"], 2 * spent, "the model server's own count is charged");
    let agent = json!({ "agentSlug": "helper", "userMessage": "count to 4" });
    let agent = near.post("/functions/v1/agent-chat", Some(&token), agent).await;
    assert!(agent.text_at("/content").contains("1, 2, 3, 4"));
    let models = near.get("/functions/v1/ai-proxy/v1/models", Some(&token)).await.json();
    assert_eq!(models["data"][0]["id"], "dev-model");
}

#[tokio::test]
async fn a_model_server_that_fails_is_a_bad_gateway() {
    let (near, far) = behind().await;
    let token = near.token().await;
    far.cloud.inject(Fault::answer(401).body("text/plain", "sk-secret is wrong").on(OPENAI));
    let refused = near.post(PROXY, Some(&token), ask("hello")).await;
    assert_eq!((refused.status, refused.text_at("/error").as_str()), (502, "the model server answered 401"));
    for path in [PROXY, OPENAI, "/functions/v1/agent-chat"] {
        far.cloud.inject(Fault::answer(429).retry_after("7").on(OPENAI));
        let body = json!({ "agentSlug": "helper", "userMessage": "hello", "messages": [{ "role": "user", "content": "hello" }] });
        let busy = near.post(path, Some(&token), body).await;
        assert_eq!((busy.status, busy.header("retry-after")), (429, Some("7")), "{path}");
    }
    far.cloud.inject(Fault::answer(200).body("text/html", "<html>").on(OPENAI));
    assert_eq!(near.post(PROXY, Some(&token), ask("hello")).await.status, 502);
    far.cloud.set_offline(true);
    for body in [ask("hello"), streamed("hello")] {
        let answer = near.post(OPENAI, Some(&token), body).await;
        assert_eq!((answer.status, answer.text_at("/error/type").as_str()), (502, "upstream_error"));
    }
}

#[tokio::test]
async fn s7_leaving_a_stream_ends_the_request_to_the_model_server() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", server.local_addr().unwrap());
    // Answers with one event, then says nothing and waits until the other side hangs up.
    let model = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0); // an answer before the question is an error
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.read_to_end(&mut request).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let caller = Caller::with(CloudDev::builder().ai_upstream(base).ai_upstream_key("sk-model")).await;
    let token = caller.token().await;
    let mut body = streamed("hello");
    body["workspace_id"] = json!("w");
    let request = caller.request(Method::POST, PROXY).bearer_auth(&token).json(&body);
    let mut response = request.send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().as_deref(), Some(&b"data: {}\n\n"[..]), "passed on at once");
    drop(response);
    let request = tokio::time::timeout(Duration::from_secs(10), model).await.expect("the request ended").unwrap();
    assert!(request.starts_with("POST /v1/chat/completions ") && request.contains("Bearer sk-model"), "{request}");
    assert!(!request.contains(&token) && !request.contains("workspace_id"), "only the model's business is passed on");
}
