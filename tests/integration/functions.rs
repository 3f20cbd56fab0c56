//! Functions and their event streams, end to end: answers as functions and platforms give them, over real HTTP.
//!
//! Numbers are those of the list of cases in the description of the protocol: 1 to 17 the grammar of event streams
//! (also `cloud-client/src/sse/tests`), 18 to 24 a model's answer (also `cloud-agents/src/ai/decoder/tests.rs`), 25 and 26
//! failures (also `cloud-client/src/error`).
use cloud_dev::{Fault, Running};
use cloud_sdk::{
    Cloud,
    agents::{AiRequest, ChatMessage, ai::Outcome},
};
use serde_json::{Value as Json, json};

use crate::app::{App, cloud, stop};

const OWN: &str = "/functions/v1/own";
const PROXY: &str = "/functions/v1/ai-proxy";
const EVENTS: &str = "text/event-stream";

async fn open() -> (Running, Cloud, App) {
    let server = cloud().await;
    let app = App::new(&server);
    let cloud = app.start_signed_in(&server.demo().people[0]).await;
    (server, cloud, app)
}

/// What a stream told: its events as type, data and id, and what it says about going on.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<(String, String, String)>,
    last_id: String,
    retry_ms: Option<u128>,
}

async fn told(cloud: &Cloud) -> Told {
    let mut stream = cloud.client().function("own").stream(&json!({})).await.unwrap();
    let mut told = Told::default();
    while let Some(event) = stream.next().await {
        let event = event.unwrap();
        told.events.push((event.event, event.data, event.id));
    }
    told.last_id = stream.last_event_id().to_owned();
    told.retry_ms = stream.retry().map(|wait| wait.as_millis());
    told
}

/// Data of `message` events without ids.
fn messages(data: &[&str]) -> Vec<(String, String, String)> {
    data.iter().map(|data| ("message".to_owned(), (*data).to_owned(), String::new())).collect()
}

#[tokio::test]
async fn s02_s03_vectors_1_to_17_events_arrive_as_the_standard_has_them_in_pieces_of_any_length() {
    let (server, cloud, _app) = open().await;
    let event = |kind: &str, data: &str, id: &str| (kind.to_owned(), data.to_owned(), id.to_owned());
    let cases: Vec<(&str, &str, Told)> = vec![
        (
            "1",
            "data:\n\ndata\ndata\n\ndata:test\n\n",
            Told { events: messages(&["", "\n", "test"]), ..Told::default() },
        ),
        (
            "2",
            "retry:1000\ndata:test1\n\nid:test\ndata:test2",
            Told { events: messages(&["test1"]), retry_ms: Some(1000), ..Told::default() },
        ),
        (
            "3",
            "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n",
            Told { events: messages(&["2", "3"]), ..Told::default() },
        ),
        (
            "4",
            "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n",
            Told { events: messages(&["1", "3"]), ..Told::default() },
        ),
        ("5", "data:\0\n\n", Told { events: messages(&["\0"]), ..Told::default() }),
        ("6", "retry:2000\nretry:1000x\n", Told { retry_ms: Some(2000), ..Told::default() }),
        ("7", "retry:03000\n", Told { retry_ms: Some(3000), ..Told::default() }),
        ("8", "event: \ndata:data\n\n", Told { events: messages(&["data"]), ..Told::default() }),
        (
            "9",
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
            Told { events: messages(&["\0\n 2\n1\n3\n\n4"]), ..Told::default() },
        ),
        (
            "10",
            "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
            Told { events: messages(&["test\n\ntest"]), ..Told::default() },
        ),
        ("11", "data:\ttest\rdata: \ndata:test\n\n", Told { events: messages(&["\ttest\n\ntest"]), ..Told::default() }),
        (
            "12",
            "event:test\ndata:x\n\ndata:x\n\n",
            Told { events: vec![event("test", "x", ""), event("message", "x", "")], ..Told::default() },
        ),
        (
            "14",
            "id: 1\ndata: a\n\nid\ndata: b\n\n",
            Told { events: vec![event("message", "a", "1"), event("message", "b", "")], ..Told::default() },
        ),
        (
            "14",
            "id: a\n\ndata: x\n\nid: c\0d\ndata: y\n\n",
            Told {
                events: vec![event("message", "x", "a"), event("message", "y", "a")],
                last_id: "a".to_owned(),
                ..Told::default()
            },
        ),
        (
            "15",
            "data: one\r\n\r\ndata: two\r\rdata: three\n\n",
            Told { events: messages(&["one", "two", "three"]), ..Told::default() },
        ),
        ("16", "event: ping\n\ndata: x\n\n", Told { events: messages(&["x"]), ..Told::default() }),
        (
            "17",
            "data: {\ndata: \"foo\":\ndata: \ndata:\ndata: true}\n\ndata: a\u{2028}b €\n\n",
            Told { events: messages(&["{\n\"foo\":\n\n\ntrue}", "a\u{2028}b €"]), ..Told::default() },
        ),
    ];
    for (vector, input, expected) in cases {
        // One byte each splits every line end and every character.
        for piece in [1, 2, 7, 4096] {
            server.inject(Fault::answer(200).body(EVENTS, input).in_pieces(piece).on(OWN));
            assert_eq!(told(&cloud).await, expected, "vector {vector} in pieces of {piece}");
        }
    }
    stop(cloud).await;
}

#[tokio::test]
async fn s03_vector_13_a_stream_is_utf_8_whatever_its_content_type_says() {
    let (server, cloud, _app) = open().await;
    for kind in ["text/event-stream;charset=windows-1252", "Text/Event-Stream; charset=\"utf-16\"", EVENTS] {
        server.inject(Fault::answer(200).body(kind, "data: größe €\n\n").on(OWN));
        assert_eq!(told(&cloud).await.events, messages(&["größe €"]), "{kind}");
    }
    server.inject(Fault::answer(200).body("text/plain", "data: x\n\n").on(OWN));
    let error = cloud.client().function("own").stream(&json!({})).await.unwrap_err();
    assert_eq!(error.code().as_str(), "net.unreadable", "another type is no stream");
    stop(cloud).await;
}

fn words(text: &str) -> Json {
    json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}], "usage": null})
}

fn fragment(fragment: &Json) -> Json {
    json!({"choices": [{"index": 0, "delta": {"tool_calls": [fragment]}}]})
}

fn finish(reason: &str) -> Json {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn answer(chunks: &[Json], done: bool) -> String {
    let mut text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    if done {
        text.push_str("data: [DONE]\n\n");
    }
    text
}

#[tokio::test]
async fn s01_s05_g05_vectors_18_to_24_a_models_answer_is_taken_for_what_it_is() {
    let (server, cloud, _app) = open().await;
    let ai = cloud.ai();
    let whole = |index: &Json, id: &str| {
        fragment(&json!({"index": index, "id": id, "function": {"name": "f", "arguments": "{}"}}))
    };
    let part = |arguments: &str| fragment(&json!({"index": 0, "function": {"arguments": arguments}}));
    let first = fragment(&json!({"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}));
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}});
    let failure = json!({"error": {"message": "m", "type": "server_error", "code": null}});
    let (zero, none, one) = (json!(0), Json::Null, json!(1));
    let calls = || finish("tool_calls");
    let ok = Ok(());
    type Expected<'a> = (&'a str, Vec<&'a str>, Option<u64>, Result<(), &'a str>);
    let cases: Vec<(&str, Vec<Json>, bool, Expected<'_>)> = vec![
        ("18", vec![first, part("{\"a\""), part(":1}"), calls()], true, ("", vec!["f({\"a\":1})"], None, ok)),
        (
            "19",
            vec![whole(&zero, "call_a"), whole(&zero, "call_b"), calls()],
            true,
            ("", vec!["f({})", "f({})"], None, ok),
        ),
        (
            "20",
            vec![whole(&none, "call_a"), whole(&none, "call_b"), calls()],
            true,
            ("", vec!["f({})", "f({})"], None, ok),
        ),
        ("21", vec![whole(&one, "call_a"), calls()], true, ("", vec!["f({})"], None, ok)),
        ("22", vec![words("hi"), finish("stop"), usage], true, ("hi", vec![], Some(7), ok)),
        ("22 without [DONE]", vec![words("hi"), finish("stop")], false, ("hi", vec![], None, ok)),
        ("23", vec![words("hi")], false, ("hi", vec![], None, Err("ai.interrupted"))),
        ("24", vec![words("hi"), failure], true, ("hi", vec![], None, Err("ai.failed_in_stream"))),
    ];
    for (vector, chunks, done, (text, tools, tokens, end)) in cases {
        for piece in [1, 100_000] {
            server.inject(Fault::answer(200).body(EVENTS, answer(&chunks, done)).in_pieces(piece).on(PROXY));
            let mut stream = ai.stream(&AiRequest::new([ChatMessage::user("hello")])).await.unwrap();
            let finished = stream.finish().await.map(|_| ()).map_err(|error| error.code().as_str());
            assert_eq!(finished, end, "vector {vector}");
            assert_eq!(matches!(stream.outcome(), Outcome::Completed), end.is_ok(), "vector {vector}");
            let reply = stream.partial();
            let called: Vec<_> =
                reply.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
            assert_eq!(
                (reply.text.as_str(), called),
                (text, tools.iter().map(|t| (*t).to_owned()).collect()),
                "{vector}"
            );
            assert_eq!(reply.usage.as_ref().map(|usage| usage.total_tokens), tokens, "vector {vector}");
        }
    }
    stop(cloud).await;
}

#[tokio::test]
async fn vector_25_a_failure_of_the_relay_is_one_whatever_its_status() {
    let (server, cloud, _app) = open().await;
    for status in [200, 404, 500] {
        server.inject(Fault::answer(status).header("x-relay-error", "true").on(OWN));
        let error = cloud.client().function("own").invoke::<Json>(&json!({})).await.unwrap_err();
        assert_eq!(error.code().as_str(), "server.unavailable", "{status}");
        server.inject(Fault::answer(status).header("x-relay-error", "true").body(EVENTS, "data: x\n\n").on(OWN));
        let error = cloud.client().function("own").stream(&json!({})).await.unwrap_err();
        assert_eq!(error.code().as_str(), "server.unavailable", "{status}");
    }
    stop(cloud).await;
}

#[tokio::test]
async fn a05_vector_26_only_the_platforms_401_asks_for_a_new_token() {
    let (server, cloud, _app) = open().await;
    let asked = || (server.requests("/auth/v1/token"), server.requests(OWN));
    let invoke = async || cloud.client().function("own").invoke::<Json>(&json!({})).await;
    let invalid = || Fault::answer(401).body("application/json", r#"{"code":401,"message":"Invalid JWT"}"#).on(OWN);

    let (tokens, calls) = asked();
    server.inject(invalid());
    server.inject(Fault::answer(200).body("application/json", r#"{"ok":true}"#).on(OWN));
    assert_eq!(invoke().await.unwrap(), json!({"ok": true}));
    assert_eq!(asked(), (tokens + 1, calls + 2), "one new token, one repeat");

    let (tokens, calls) = asked();
    server.inject(invalid().times(5));
    assert_eq!(invoke().await.unwrap_err().code().as_str(), "api.token_refused");
    assert_eq!(asked(), (tokens + 1, calls + 2), "and no loop");
    server.clear_faults();

    let (tokens, calls) = asked();
    server.inject(Fault::answer(401).body("application/json", r#"{"error":"nope"}"#).on(OWN));
    assert_eq!(invoke().await.unwrap_err().status(), Some(401));
    assert_eq!(asked(), (tokens, calls + 1), "a function's own 401 says nothing about the token");
    stop(cloud).await;
}
