//! The answers of servers in use, by the book and beside it, and what a cut stream may never become.
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What became of an answer.
#[derive(Debug, PartialEq)]
struct Read {
    text: String,
    calls: Vec<(String, String)>,
    tokens: Option<u64>,
    finish: Option<String>,
    end: Result<(), &'static str>,
}

fn run(events: &[&str]) -> (Decoder, Result<(), Error>) {
    let mut decoder = Decoder::default();
    for data in events {
        let (event, data) = data.strip_prefix("!error ").map_or(("message", *data), |data| ("error", data));
        if let Err(error) = decoder.event(event, data) {
            return (decoder, Err(error));
        }
    }
    let end = decoder.end();
    (decoder, end)
}

fn read_events(events: &[&str]) -> Read {
    let (decoder, end) = run(events);
    let reply = decoder.into_reply();
    Read {
        text: reply.text,
        calls: reply.tool_calls.into_iter().map(|call| (call.name, call.arguments)).collect(),
        tokens: reply.usage.map(|usage| usage.total_tokens),
        finish: reply.finish_reason.map(|reason| reason.as_str().to_owned()),
        end: end.map_err(|error| error.code().as_str()),
    }
}

fn text(content: &str) -> String {
    json!({"id": "x", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}], "usage": null})
        .to_string()
}

fn tool(fragment: Value) -> String {
    json!({"choices": [{"index": 0, "delta": {"tool_calls": [fragment]}}]}).to_string()
}

fn finish(reason: &str) -> String {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}).to_string()
}

const DONE: &str = "[DONE]";
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
const INTERRUPTED_NAME: Result<(), &str> = Err("ai.interrupted");
const FAILED_NAME: Result<(), &str> = Err("ai.failed_in_stream");
const UNREADABLE_NAME: Result<(), &str> = Err("net.unreadable");

#[test]
fn s01_s05_s06_every_known_way_of_answering_is_read_for_what_it_is() {
    let hi = text("hi");
    let (stop, calls, length) = (finish("stop"), finish("tool_calls"), finish("length"));
    let c1 = tool(json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}));
    let part = |arguments: &str| tool(json!({"index": 0, "function": {"arguments": arguments}}));
    let (open, close) = (part("{\"a\""), part(":1}"));
    let whole =
        |index: Value, id: &str| tool(json!({"index": index, "id": id, "function": {"name": "f", "arguments": "{}"}}));
    let (zero_a, zero_b) = (whole(json!(0), "call_a"), whole(json!(0), "call_b"));
    let (none_a, none_b) = (whole(Value::Null, "call_a"), whole(Value::Null, "call_b"));
    let (one, f) = (whole(json!(1), "call_a"), || ("f".to_owned(), "{}".to_owned()));
    let with_usage =
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let ok = Ok(());

    type Row<'a> =
        (&'a str, Vec<&'a str>, &'a str, Vec<(String, String)>, Option<u64>, Option<&'a str>, Result<(), &'static str>);
    let rows: Vec<Row<'_>> = vec![
        (
            "18 one call in pieces",
            vec![&c1, &open, &close, &calls],
            "",
            vec![("f".into(), "{\"a\":1}".into())],
            None,
            Some("tool_calls"),
            ok,
        ),
        (
            "19 one index, two ids",
            vec![&zero_a, &zero_b, &calls, DONE],
            "",
            vec![f(), f()],
            None,
            Some("tool_calls"),
            ok,
        ),
        ("20 no index, ids on each", vec![&none_a, &none_b, &calls], "", vec![f(), f()], None, Some("tool_calls"), ok),
        ("21 first index is 1", vec![&one, &calls], "", vec![f()], None, Some("tool_calls"), ok),
        ("22 usage after the finish", vec![&hi, &stop, USAGE, DONE], "hi", vec![], Some(7), Some("stop"), ok),
        ("22 usage with the finish", vec![&hi, with_usage, DONE], "hi", vec![], Some(7), Some("stop"), ok),
        ("22 usage, then the end", vec![&hi, &stop, USAGE], "hi", vec![], Some(7), Some("stop"), ok),
        ("23 end after content only", vec![&hi], "hi", vec![], None, None, INTERRUPTED_NAME),
        ("23 end after nothing", vec![], "", vec![], None, None, INTERRUPTED_NAME),
        ("23 end after usage only", vec![&hi, USAGE], "hi", vec![], Some(7), None, INTERRUPTED_NAME),
        (
            "24 an error object",
            vec![&hi, r#"{"error":{"message":"m","type":"server_error","code":null}}"#, &hi, DONE],
            "hi",
            vec![],
            None,
            None,
            FAILED_NAME,
        ),
        (
            "24 an error object after the finish",
            vec![&hi, &stop, r#"{"error":{"message":"m"}}"#],
            "hi",
            vec![],
            None,
            Some("stop"),
            FAILED_NAME,
        ),
        ("an error event", vec![&hi, "!error {\"message\":\"m\"}"], "hi", vec![], None, None, FAILED_NAME),
        ("an error event in plain words", vec![&hi, "!error overloaded"], "hi", vec![], None, None, FAILED_NAME),
        ("an error as a text", vec![&hi, r#"{"error":"m"}"#], "hi", vec![], None, None, FAILED_NAME),
        (
            "an error without an envelope",
            vec![&hi, r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#],
            "hi",
            vec![],
            None,
            None,
            FAILED_NAME,
        ),
        (
            "last words and an error in one chunk",
            vec![
                r#"{"error":{"code":502,"message":"m"},"choices":[{"delta":{"content":"hi"},"finish_reason":"error"}]}"#,
            ],
            "hi",
            vec![],
            None,
            None,
            FAILED_NAME,
        ),
        (
            "the finish reason error",
            vec![&hi, r#"{"choices":[{"delta":{"content":"!"},"finish_reason":"error"}]}"#],
            "hi!",
            vec![],
            None,
            Some("error"),
            FAILED_NAME,
        ),
        (
            "an allowance that ran out meanwhile",
            vec![&hi, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#],
            "hi",
            vec![],
            None,
            None,
            Err("ai.quota"),
        ),
        (
            "too fast",
            vec![r#"{"error":{"message":"m","code":429}}"#],
            "",
            vec![],
            None,
            None,
            Err("server.rate_limited"),
        ),
        (
            "an error of null is none",
            vec![r#"{"error":null,"choices":[{"delta":{"content":"hi"}}]}"#, DONE],
            "hi",
            vec![],
            None,
            None,
            ok,
        ),
        ("S6 half a chunk", vec![&hi, r#"{"choices":[{"del"#, DONE], "hi", vec![], None, None, UNREADABLE_NAME),
        ("S6 no JSON", vec![&hi, "oops", DONE], "hi", vec![], None, None, UNREADABLE_NAME),
        ("S6 another shape", vec![r#"{"choices":{"a":1}}"#], "", vec![], None, None, UNREADABLE_NAME),
        ("[DONE] without a finish reason", vec![&hi, DONE], "hi", vec![], None, None, ok),
        ("[DONE] with something behind it", vec![&hi, " [DONE] bye", "garbage"], "hi", vec![], None, None, ok),
        ("finish reason without [DONE]", vec![&hi, &stop], "hi", vec![], None, Some("stop"), ok),
        (
            "an unknown finish reason",
            vec![&hi, r#"{"choices":[{"delta":{},"finish_reason":"eos"}]}"#],
            "hi",
            vec![],
            None,
            Some("eos"),
            ok,
        ),
        ("stop, in spite of calls", vec![&zero_a, &stop], "", vec![f()], None, Some("tool_calls"), ok),
        ("cut by length, half a call", vec![&hi, &c1, &open, &length], "hi", vec![], None, Some("length"), ok),
        ("cut by length, whole call", vec![&zero_a, &length], "", vec![f()], None, Some("length"), ok),
        ("[DONE] in half a call", vec![&c1, &open, DONE], "", vec![], None, None, INTERRUPTED_NAME),
        ("[DONE] after a whole call", vec![&zero_a, DONE], "", vec![f()], None, None, ok),
        ("an empty object as arguments", vec![&c1, &calls], "", vec![f()], None, Some("tool_calls"), ok),
        (
            "the old function_call",
            vec![
                r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]}"#,
                r#"{"choices":[{"delta":{"function_call":{"arguments":"}"}},"finish_reason":"function_call"}]}"#,
            ],
            "",
            vec![f()],
            None,
            Some("function_call"),
            ok,
        ),
        (
            "content in parts",
            vec![
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"h"},{"type":"text","text":"i"}]}}]}"#,
                DONE,
            ],
            "hi",
            vec![],
            None,
            None,
            ok,
        ),
        ("content is null", vec![r#"{"choices":[{"delta":{"content":null}}]}"#, DONE], "", vec![], None, None, ok),
        (
            "delta is null, or missing",
            vec![r#"{"choices":[{"delta":null}]}"#, r#"{"choices":[{}]}"#, &hi, DONE],
            "hi",
            vec![],
            None,
            None,
            ok,
        ),
        (
            "no choices, or null",
            vec![r#"{"choices":[],"prompt_filter_results":[{}]}"#, r#"{"choices":null}"#, "{}", &hi, DONE],
            "hi",
            vec![],
            None,
            None,
            ok,
        ),
        ("empty data as a sign of life", vec!["", " ", &hi, DONE], "hi", vec![], None, None, ok),
        (
            "a second choice nobody asked for",
            vec![
                r#"{"choices":[{"index":1,"delta":{"content":"no"},"finish_reason":"stop"},{"index":0,"delta":{"content":"hi"}}]}"#,
                DONE,
            ],
            "hi",
            vec![],
            None,
            None,
            ok,
        ),
        ("a refusal", vec![r#"{"choices":[{"delta":{"refusal":"no"}}]}"#, &stop], "no", vec![], None, Some("stop"), ok),
        (
            "a count that is no count",
            vec![
                &hi,
                r#"{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":4,"total_tokens":"x"}}"#,
                DONE,
            ],
            "hi",
            vec![],
            Some(4),
            None,
            ok,
        ),
    ];
    for (what, events, text, calls, tokens, finish, end) in rows {
        let expected = Read { text: text.to_owned(), calls, tokens, finish: finish.map(str::to_owned), end };
        assert_eq!(read_events(&events), expected, "{what}");
    }
}

#[test]
fn chunks_come_in_order_with_calls_and_counts_last() {
    let mut decoder = Decoder::default();
    let thought = r#"{"choices":[{"delta":{"reasoning_content":"","reasoning":"hm","content":"so"}}],"model":"m"}"#;
    let call = tool(json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}));
    let counts = r#"{"choices":[],"usage":{"total_tokens":7,"cached":1},"_cloud_usage":{"tokens_used":9}}"#;
    for data in [thought, &call, &finish("tool_calls"), counts] {
        decoder.event("message", data).unwrap();
    }
    assert_eq!(decoder.chunk(), Some(AiChunk::Reasoning("hm".to_owned())));
    assert_eq!(decoder.chunk(), Some(AiChunk::Text("so".to_owned())));
    assert_eq!(decoder.chunk(), None); // a failure may still follow
    decoder.event("message", DONE).unwrap();
    assert_eq!(decoder.chunk(), Some(AiChunk::ToolCall(ToolCall::new("c", "f", "{}"))));
    assert!(
        matches!(decoder.chunk(), Some(AiChunk::Usage(usage)) if usage.total_tokens == 7 && usage.extra["cached"] == 1)
    );
    assert!(matches!(decoder.chunk(), Some(AiChunk::Allowance(allowance)) if allowance.used == Some(9)));
    assert_eq!((decoder.chunk(), decoder.reply().model.as_str()), (None, "m"));
}

#[test]
fn s05_the_servers_words_are_kept_apart_from_the_message_for_logs() {
    let (decoder, end) = run(&[&text("hi"), r#"{"error":{"message":"your key sk-1","code":"overloaded"}}"#]);
    let error = end.unwrap_err();
    assert_eq!((error.detail(), error.server_code()), (Some("your key sk-1"), Some("overloaded")));
    assert!(!error.to_string().contains("sk-1"));
    assert_eq!(decoder.reply().text, "hi");
}

#[test]
fn a_whole_answer_is_read_by_the_same_rules() {
    let read = |json: &str| {
        let mut decoder = Decoder::default();
        let taken = decoder.whole(json).map_err(|error| error.code().as_str());
        taken.map(|()| decoder.into_reply())
    };
    let bare = read(r#"{"choices":[{"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":100,"completion_tokens":200}}"#).unwrap();
    assert_eq!((bare.text.as_str(), bare.usage.unwrap().total_tokens, bare.finish_reason), ("hi", 300, None));
    let calls = read(
        r#"{"id":"i","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"content":null,"tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
            {"id":"b","type":"function","function":{"name":"g","arguments":""}}]}}],
            "_cloud_usage":{"tokens_used":1,"daily_limit":3}}"#,
    )
    .unwrap();
    assert_eq!(calls.tool_calls, [ToolCall::new("a", "f", "{\"x\":1}"), ToolCall::new("b", "g", "{}")]);
    assert_eq!(
        (calls.finish_reason, calls.id.as_str(), calls.model.as_str()),
        (Some(FinishReason::TOOL_CALLS), "i", "m")
    );
    assert_eq!(calls.allowance.unwrap().remaining, Some(2));
    for (json, code) in [
        (r#"{"error":{"message":"m"}}"#, "ai.failed_in_stream"),
        (r#"{"object":"error","message":"m"}"#, "ai.failed_in_stream"),
        (r#"{"choices":[]}"#, "net.unreadable"),
        ("{}", "net.unreadable"),
        ("[]", "net.unreadable"),
        (r#"{"choices":[{"message":null}]}"#, "net.unreadable"),
        ("", "net.unreadable"),
    ] {
        assert_eq!(read(json).unwrap_err(), code, "{json}");
    }
}

#[test]
fn an_answer_without_end_is_cut_off_with_an_error() {
    let mut decoder = Decoder::default();
    let mebibyte = text(&"x".repeat(1024 * 1024));
    let results: Vec<_> = (0..9).map(|_| decoder.event("message", &mebibyte).map_err(|error| error.code())).collect();
    assert_eq!(results.iter().position(|result| *result == Err(TOO_LARGE)), Some(8));
    assert_eq!(decoder.reply().text.len(), ANSWER_LIMIT_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_data_at_all_is_read_or_refused_and_never_completes_by_itself(data in "\\PC{0,80}") {
        let mut decoder = Decoder::default();
        let _ = decoder.event("message", &data);
        prop_assert!(!decoder.is_complete() || data.trim_start().starts_with("[DONE]"));
    }

    #[test]
    fn words_are_joined_exactly_as_they_were_sent(parts in prop::collection::vec("\\PC{0,10}", 0..20)) {
        let mut decoder = Decoder::default();
        let mut handed_out = String::new();
        for part in &parts {
            decoder.event("message", &text(part)).unwrap();
            while let Some(AiChunk::Text(text)) = decoder.chunk() {
                handed_out.push_str(&text);
            }
        }
        prop_assert_eq!(&handed_out, &parts.concat());
        prop_assert_eq!(&decoder.reply().text, &handed_out);
    }
}
