use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_agents::{Ai, AiChunk, AiRequest, AiStream, ChatMessage, ai::Outcome};
use cloud_client::{
    Client, Error,
    error::codes::CUT,
    sse::{Limits, SseStream},
    testing::{Scripted, Step},
    transport::{Body, Request, Response, SharedTransport, Transport},
};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::client;

fn question() -> AiRequest {
    AiRequest::new([ChatMessage::user("hi")])
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn words(text: &str) -> String {
    event(&json!({"id": "a1", "model": "m1", "choices": [{"index": 0, "delta": {"content": text}}], "usage": null}))
}

fn fragment(fragment: Value) -> String {
    event(&json!({"choices": [{"index": 0, "delta": {"tool_calls": [fragment]}}]}))
}

/// An answer as a metered proxy gives it: words, a call in pieces, a finish, the counts, the end mark.
struct Recorded {
    text: String,
    /// Where the finish reason is complete, blank line included.
    finished_at: usize,
}

fn recorded() -> Recorded {
    let mut text = String::from(": OPENROUTER PROCESSING\n\n");
    text += &event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}));
    for word in ["Grüße", " aus", " Köln", " \u{1f30d}"] {
        text += &words(word);
    }
    text += &fragment(json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}));
    text += &fragment(json!({"index": 0, "function": {"arguments": "{\"a\":"}}));
    text += &fragment(json!({"index": 0, "function": {"arguments": "1}"}}));
    text += ": keep-alive\n\n";
    text += &event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": null}));
    let finished_at = text.len();
    text += &event(&json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}));
    text += "data: [DONE]\n\n";
    Recorded { text, finished_at }
}

fn body(bytes: &[u8], chunk: usize, end: Option<Error>) -> Body {
    let chunks: Vec<_> = bytes.chunks(chunk.max(1)).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks).chain(stream::iter(end.map(Err))).boxed()
}

struct Read {
    stream: AiStream,
    chunks: Vec<AiChunk>,
    error: Option<Error>,
}

async fn read(body: Body) -> Read {
    read_stream(AiStream::new(SseStream::from_chunks(body, Limits::default()))).await
}

async fn read_stream(mut stream: AiStream) -> Read {
    let (mut chunks, mut error) = (Vec::new(), None);
    while let Some(item) = stream.next().await {
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(failed) => error = Some(failed),
        }
    }
    assert!(stream.next().await.is_none(), "the end stays the end");
    Read { stream, chunks, error }
}

impl Read {
    fn completed(&self) -> bool {
        matches!(self.stream.outcome(), Outcome::Completed)
    }

    fn words(&self) -> String {
        let words = self.chunks.iter().map(|chunk| if let AiChunk::Text(text) = chunk { text.as_str() } else { "" });
        words.collect()
    }

    fn calls(&self) -> usize {
        self.chunks.iter().filter(|chunk| matches!(chunk, AiChunk::ToolCall(_))).count()
    }
}

#[tokio::test(start_paused = true)]
async fn s01_a_stream_cut_at_any_byte_is_complete_only_behind_its_finish() {
    let Recorded { text, finished_at } = recorded();
    for cut in 0..=text.len() {
        let bytes = text.as_bytes().get(..cut).unwrap();
        for end in [None, Some(Error::new(CUT))] {
            let broken = end.is_some();
            let read = read(body(bytes, 1 + cut % 40, end)).await;
            assert_eq!(read.completed(), cut >= finished_at, "cut at {cut}");
            assert_eq!(read.error.is_none(), read.completed(), "cut at {cut}");
            assert_eq!(read.calls(), usize::from(read.completed()), "G5: cut at {cut}");
            assert_eq!(read.words(), read.stream.text(), "S5: cut at {cut}");
            assert!("Grüße aus Köln \u{1f30d}".starts_with(read.stream.text()));
            if let Some(error) = read.error {
                let code = if broken { "net.cut" } else { "ai.interrupted" };
                assert_eq!(error.code().as_str(), code, "cut at {cut}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s02_an_answer_is_the_same_whatever_the_chunks() {
    let text = recorded().text;
    let whole = read(body(text.as_bytes(), text.len(), None)).await;
    assert_eq!((whole.words().as_str(), whole.calls()), ("Grüße aus Köln \u{1f30d}", 1));
    assert_eq!(whole.stream.usage().unwrap().total_tokens, 3);
    for chunk in 1..200 {
        assert_eq!(read(body(text.as_bytes(), chunk, None)).await.chunks, whole.chunks, "chunks of {chunk}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_asks_for_events_and_counts_and_finishes_with_the_whole_answer() {
    let scripted = Scripted::new([
        Step::answer(200, "Text/Event-Stream; charset=utf-8", &recorded().text).header("sb-request-id", "req-1")
    ]);
    let mut answer = Ai::new(client(&scripted)).stream(&question()).await.unwrap();
    assert_eq!(answer.request_id(), "req-1");
    assert_eq!(answer.next().await.unwrap().unwrap(), AiChunk::Text("Grüße".to_owned()));
    assert!(matches!(answer.outcome(), Outcome::Running) && answer.usage().is_none());
    let reply = answer.finish().await.unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("Grüße aus Köln \u{1f30d}", "m1"));
    assert_eq!((reply.tool_calls.len(), reply.finish_reason.unwrap().as_str()), (1, "tool_calls"));
    assert!(matches!(answer.outcome(), Outcome::Completed));
    let sent = &scripted.sent()[0];
    assert!(sent.header("accept").starts_with("text/event-stream"), "{}", sent.header("accept"));
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[tokio::test(start_paused = true)]
async fn json_instead_of_events_is_an_answer_or_an_error_like_any_other() {
    let answer = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}],"usage":{"total_tokens":3}}"#;
    for kind in ["application/json", "text/plain"] {
        let scripted = Scripted::new([Step::answer(200, kind, answer).header("sb-request-id", "req-7")]);
        let stream = Ai::new(client(&scripted)).stream(&question()).await.unwrap();
        assert_eq!(stream.request_id(), "req-7");
        let read = read_stream(stream).await;
        assert!(read.completed() && read.error.is_none());
        assert_eq!((read.words().as_str(), read.chunks.len()), ("hello", 2));
    }
    let scripted = Scripted::new([Step::json(200, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#)]);
    let error = Ai::new(client(&scripted)).stream(&question()).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.detail()), ("ai.quota", Some("m")));
}

#[tokio::test(start_paused = true)]
async fn g01_s05_s06_a_failure_in_the_stream_keeps_the_words_before_it() {
    let failures = [
        (event(&json!({"error": {"message": "boom", "code": 500}})), "ai.failed_in_stream"),
        ("event: error\ndata: {\"message\":\"boom\"}\n\n".to_owned(), "ai.failed_in_stream"),
        (event(&json!({"object": "error", "message": "boom"})), "ai.failed_in_stream"),
        ("data: {\"choices\": [{\n\n".to_owned(), "net.unreadable"),
        (String::new(), "ai.interrupted"),
    ];
    for (failure, code) in failures {
        let text = [words("Hel"), words("lo"), failure].concat();
        let scripted = Scripted::new([Step::answer(200, "text/event-stream", &text).header("sb-request-id", "req-9")]);
        let mut answer = Ai::new(client(&scripted)).stream(&question()).await.unwrap();
        let error = answer.finish().await.unwrap_err();
        assert_eq!((error.code().as_str(), error.request_id(), answer.text()), (code, Some("req-9"), "Hello"));
        assert!(matches!(answer.outcome(), Outcome::Failed(kept) if kept.code() == error.code()));
        assert!(!answer.may_fall_back(), "G1: words were handed out");
        assert_eq!(answer.finish().await.unwrap_err().code(), error.code(), "asked again, the same answer");
    }
    let thought = event(&json!({"choices": [{"delta": {"reasoning": "Hm"}}]}));
    let scripted = Scripted::new([Step::answer(200, "text/event-stream", &thought)]);
    let mut answer = Ai::new(client(&scripted)).stream(&question()).await.unwrap();
    assert_eq!(answer.finish().await.unwrap_err().code().as_str(), "ai.interrupted");
    assert!(!answer.may_fall_back(), "G1: thoughts were handed out");
    let scripted = Scripted::new([Step::answer(200, "text/event-stream", "data: {\"error\":\"busy\"}\n\n")]);
    let mut answer = Ai::new(client(&scripted)).stream(&question()).await.unwrap();
    answer.finish().await.unwrap_err();
    assert!(answer.may_fall_back(), "G1: nothing was handed out");
}

#[tokio::test(start_paused = true)]
async fn g06_counts_that_come_several_times_are_those_of_the_last_and_each_answer_has_its_own() {
    let counts = |tokens: u64| event(&json!({"choices": [], "usage": {"prompt_tokens": 5, "total_tokens": tokens}}));
    let first = [words("a"), counts(6), words("b"), counts(7)].concat();
    let second = [words("c"), counts(8), "data: [DONE]\n\n".to_owned()].concat();
    // The first answer breaks off, so the question goes to another provider: what either used up is not mixed.
    let scripted = Scripted::new([first, second].map(|text| Step::answer(200, "text/event-stream", &text)));
    let ai = Ai::new(client(&scripted));
    for (over, tokens) in [(false, 7), (true, 8)] {
        let read = read_stream(ai.stream(&question()).await.unwrap()).await;
        assert_eq!(read.completed(), over);
        let usage = read.stream.usage().unwrap();
        assert_eq!((usage.prompt_tokens, usage.total_tokens), (5, tokens));
        let told = read.chunks.iter().filter(|chunk| matches!(chunk, AiChunk::Usage(_))).count();
        assert_eq!(told, usize::from(over), "told once, behind a whole answer");
    }
}

/// Answers every question with an endless stream of words, and watches its body.
#[derive(Clone, Debug, Default)]
struct Endless {
    asked: Arc<AtomicUsize>,
    pulled: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    silent: bool,
    as_json: bool,
}

struct Closing(Arc<AtomicBool>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Endless {
    fn body(&self) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let (pulled, silent, closing) = (Arc::clone(&self.pulled), self.silent, Closing(Arc::clone(&self.closed)));
        stream::unfold(closing, move |closing| {
            let pulled = Arc::clone(&pulled);
            async move {
                if silent && pulled.load(SeqCst) > 0 {
                    std::future::pending::<()>().await;
                }
                pulled.fetch_add(1, SeqCst);
                Some((Ok(Bytes::from(words("more "))), closing))
            }
        })
    }
}

#[async_trait]
impl Transport for Endless {
    async fn send(&self, _: Request) -> Result<Response, Error> {
        self.asked.fetch_add(1, SeqCst);
        let mut headers = HeaderMap::new();
        let kind = if self.as_json { "application/json" } else { "text/event-stream" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(Response::new(StatusCode::OK, headers, self.body().boxed()))
    }
}

fn over(endless: &Endless) -> Ai {
    let client = Client::builder("https://cloud.example", "sb_publishable_key").unwrap();
    Ai::new(client.transport(SharedTransport::new(endless.clone())).build())
}

#[tokio::test(start_paused = true)]
async fn g04_s07_s09_words_are_pulled_one_by_one_and_dropping_closes_the_request_and_asks_no_other() {
    let endless = Endless::default();
    let mut answer = over(&endless).stream(&question()).await.unwrap();
    assert_eq!(endless.pulled.load(SeqCst), 0);
    for n in 1..=5 {
        assert_eq!(answer.next().await.unwrap().unwrap(), AiChunk::Text("more ".to_owned()));
        assert_eq!(endless.pulled.load(SeqCst), n);
    }
    assert!(!endless.closed.load(SeqCst));
    drop(answer);
    assert!(endless.closed.load(SeqCst));
    assert_eq!(endless.asked.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn s04_a_silent_stream_ends_with_an_error_and_its_words() {
    let endless = Endless { silent: true, ..Endless::default() };
    let mut answer = over(&endless).stream(&question()).await.unwrap();
    let error = answer.finish().await.unwrap_err();
    assert_eq!((error.code().as_str(), answer.text()), ("net.idle", "more "));
    assert!(endless.closed.load(SeqCst), "the request is closed before the stream is dropped");
}

#[tokio::test(start_paused = true)]
async fn t01_t05_json_without_end_instead_of_events_is_bounded_in_time_and_size() {
    for (silent, code) in [(true, "net.timeout"), (false, "net.too_large")] {
        let endless = Endless { silent, as_json: true, ..Endless::default() };
        let error = over(&endless).stream(&question()).await.unwrap_err();
        assert_eq!(error.code().as_str(), code);
        assert!(endless.closed.load(SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_mark_closes_the_request_without_waiting_for_the_end_of_input() {
    let closed = Arc::new(AtomicBool::new(false));
    let closing = Closing(Arc::clone(&closed));
    let never = stream::once(async move {
        let _closing = closing;
        std::future::pending::<()>().await;
        Ok(Bytes::new())
    });
    let text = format!("{}data: [DONE]\n\n", words("hi"));
    let read = read(stream::iter([Ok(Bytes::from(text))]).chain(never).boxed()).await;
    assert!(read.completed() && closed.load(SeqCst));
}
