//! The vectors of the web-platform-tests and of the OpenAI clients, plus what a hostile or broken server sends.
use bytes::Bytes;
use futures::stream;
use proptest::prelude::*;

use super::*;
use crate::error::codes::CUT;

mod oracle;

fn chunked(chunks: Vec<Vec<u8>>) -> Body {
    stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)))).boxed()
}

fn read_all(body: Body, limits: Limits) -> Vec<Result<SseEvent, Error>> {
    futures::executor::block_on(SseStream::from_chunks(body, limits).collect())
}

fn read(input: &[u8], chunk: usize) -> Vec<(String, String, String)> {
    let chunks = input.chunks(chunk.max(1)).map(<[u8]>::to_vec).collect();
    read_all(chunked(chunks), Limits::default())
        .into_iter()
        .map(|event| event.map(|event| (event.event, event.data, event.id)).unwrap())
        .collect()
}

/// Input, and the data of the events it holds: the web-platform-tests (vectors 1 to 5, 8 to 11), the OpenAI clients' (17),
/// and our own.
const DATA: &[(&[u8], &[&str])] = &[
    (b"data:\n\ndata\ndata\n\ndata:test\n\n", &["", "\n", "test"]),
    (b"retry:1000\ndata:test1\n\nid:test\ndata:test2", &["test1"]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n", &["2", "3"]),
    (b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", &["1", "3"]),
    (b"data:\0\n\n", &["\0"]),
    (b"retry:+5\nretry:1000x\ndata:x\n\n", &["x"]),
    (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
        &["\0\n 2\n1\n3\n\n4"],
    ),
    (b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n", &["test\n\ntest"]),
    (b"data:\ttest\rdata: \ndata:test\n\n", &["\ttest\n\ntest"]),
    (b"data: one\r\n\r\ndata: two\r\rdata: three\n\n", &["one", "two", "three"]),
    (b"event: ping\n\ndata: x\n\n", &["x"]),
    (b"data: {\ndata: \"foo\":\ndata: \ndata:\ndata: true}\n\n", &["{\n\"foo\":\n\n\ntrue}"]),
    ("data: a\u{2028}b\u{85}c\n\n".as_bytes(), &["a\u{2028}b\u{85}c"]),
    (b"data: bad \xff\xfe utf8\n\n", &["bad \u{fffd}\u{fffd} utf8"]),
    (b": keep-alive\n\n\n\n: again\n\ndata: x\n\n", &["x"]),
    (b"", &[]),
];

#[test]
fn s03_the_grammar_vectors_hold_for_every_chunk_size() {
    for (input, expected) in DATA {
        for chunk in (1..=input.len().max(1)).chain([1 << 20]) {
            let data: Vec<_> = read(input, chunk).into_iter().map(|(_, data, _)| data).collect();
            assert_eq!(data, *expected, "{:?} in chunks of {chunk}", String::from_utf8_lossy(input));
        }
    }
}

#[test]
fn s03_types_and_ids_follow_the_standard() {
    let types = |input: &[u8]| read(input, 3).into_iter().map(|(kind, _, _)| kind).collect::<Vec<_>>();
    assert_eq!(types(b"event:test\ndata:x\n\ndata:x\n\n"), ["test", "message"]);
    assert_eq!(types(b"event: \ndata:data\n\n"), ["message"]);
    let ids = |input: &[u8]| read(input, 3).into_iter().map(|(_, _, id)| id).collect::<Vec<_>>();
    assert_eq!(ids(b"id: 1\ndata: a\n\nid\ndata: b\n\n"), ["1", ""]);
    assert_eq!(ids(b"id: a\n\ndata: x\n\n"), ["a"]);
    assert_eq!(ids(b"id: keep\nid: a\0b\ndata: x\n\n"), ["keep"]);
}

#[test]
fn an_event_says_whether_its_id_is_its_own_and_the_id_that_was_asked_with_counts_until_the_first() {
    let body = chunked(vec![b"data: a\n\nid: 7\ndata: b\n\ndata: c\n\nid\ndata: d\n\ndata: e\n\n".to_vec()]);
    let events = SseStream::from_chunks(body, Limits::default()).began_after("6");
    assert_eq!(events.last_event_id(), "6");
    let events: Vec<_> = futures::executor::block_on(events.map(Result::unwrap).collect());
    let ids: Vec<_> = events.iter().map(|event| (event.id.as_str(), event.brought_id)).collect();
    assert_eq!(ids, [("6", false), ("7", true), ("7", false), ("", true), ("", false)]);
}

/// Vectors 2, 6 and 7.
#[test]
fn s08_the_wait_before_a_new_request_and_the_id_to_begin_behind_are_told() {
    let told = |input: &[u8]| {
        let chunks = input.chunks(2).map(<[u8]>::to_vec).collect();
        let mut events = SseStream::from_chunks(chunked(chunks), Limits::default());
        futures::executor::block_on(async { while events.next().await.is_some() {} });
        (events.retry().map(|wait| wait.as_millis()), events.last_event_id().to_owned())
    };
    for (input, retry, id) in [
        (&b"retry:1000\ndata:test1\n\nid:test\ndata:test2"[..], Some(1000), ""),
        (b"retry:2000\nretry:1000x\n", Some(2000), ""),
        (b"retry:03000\n", Some(3000), ""),
        (b"retry: 5\nretry\nretry:\nretry:-1\nretry:+1\nretry:99999999999999999999999\n", Some(5), ""),
        (b"data: x\n\n", None, ""),
        (b"id: 1\ndata: x\n\nid: 2\ndata: cut", None, "1"),
        (b"id: 1\n\n", None, "1"),
        (b"id: 1\ndata: x\n\nid\ndata: y\n\n", None, ""),
    ] {
        assert_eq!(told(input), (retry, id.to_owned()), "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn s04_lines_and_events_past_their_limit_end_the_stream_with_a_typed_error() {
    let limits = || Limits { line_bytes: 100, event_bytes: 250, ..Limits::default() };
    let codes = |input: Vec<u8>, chunk: usize| -> Vec<_> {
        let chunks = input.chunks(chunk).map(<[u8]>::to_vec).collect();
        read_all(chunked(chunks), limits())
            .into_iter()
            .map(|event| event.map(|_| ()).map_err(|error| error.code()))
            .collect()
    };
    for chunk in [1, 7, 1000] {
        let long = [b"data: ok\n\ndata: ".to_vec(), vec![b'x'; 200], b"\n\ndata: never\n\n".to_vec()].concat();
        assert_eq!(codes(long, chunk), [Ok(()), Err(TOO_LARGE)]);
        let unended = vec![b'x'; 500];
        assert_eq!(codes(unended, chunk), [Err(TOO_LARGE)]);
        let many = b"data: 0123456789012345678901234567890123456789\n".repeat(10);
        assert_eq!(codes(many, chunk), [Err(TOO_LARGE)]);
    }
}

#[test]
fn a_cut_connection_is_an_error_and_nothing_comes_after_it() {
    let body = stream::iter([Ok(Bytes::from_static(b"data: a\n\ndata: b")), Err(Error::new(CUT))]).boxed();
    let events = read_all(body, Limits::default());
    assert_eq!(events.len(), 2);
    assert_eq!(events.first().unwrap().as_ref().unwrap().data, "a");
    assert_eq!(events.last().unwrap().as_ref().unwrap_err().code(), CUT);
}

#[tokio::test(start_paused = true)]
async fn silence_past_the_idle_limit_is_an_error_and_comments_are_life() {
    let limits = Limits { idle: Duration::from_secs(10), ..Limits::default() };
    let clock = SharedClock::default();
    let pulse = clock.clone();
    // Five comments, nine seconds apart, then nothing for ever.
    let body = stream::unfold(0, move |n| {
        let pulse = pulse.clone();
        async move {
            if n == 5 {
                std::future::pending::<()>().await;
            }
            pulse.sleep(Duration::from_secs(9)).await;
            Some((Ok(Bytes::from_static(b": ping\n")), n + 1))
        }
    });
    let started = clock.monotonic();
    let mut events = SseStream::from_body(body.boxed(), clock.clone(), limits, String::new(), String::from("test"));
    assert_eq!(events.next().await.unwrap().unwrap_err().code(), IDLE);
    assert_eq!((clock.monotonic() - started).as_secs(), 5 * 9 + 10);
    assert!(events.next().await.is_none());
}

proptest! {
    #[test]
    fn s02_events_do_not_depend_on_chunk_borders(
        input in proptest::collection::vec(
            prop_oneof![
                Just(b"data: x".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(b"\r\n".to_vec()),
                Just(b"id: 7".to_vec()), Just(b"event: e".to_vec()), Just(b":c".to_vec()), Just("é\u{feff}".as_bytes().to_vec()),
                proptest::collection::vec(any::<u8>(), 0..6),
            ],
            0..40,
        ),
        cuts in proptest::collection::vec(1_usize..9, 1..40),
    ) {
        let whole = input.concat();
        let expected = read(&whole, whole.len());
        let (mut rest, mut chunks) = (&*whole, Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            chunks.push(head.to_vec());
            rest = tail;
        }
        let actual: Vec<_> = read_all(chunked(chunks), Limits::default())
            .into_iter().map(|event| event.map(|event| (event.event, event.data, event.id)).unwrap()).collect();
        prop_assert_eq!(actual, expected);
    }

    #[test]
    fn no_bytes_panic(input in proptest::collection::vec(any::<u8>(), 0..400), chunk in 1_usize..50) {
        let _ = read_all(chunked(input.chunks(chunk).map(<[u8]>::to_vec).collect()), Limits::default());
    }
}
