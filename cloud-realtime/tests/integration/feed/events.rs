//! Event streams: every split, every line ending, and every way in which they end.
use cloud_client::{
    ErrorKind,
    call::Call,
    error::{
        Service,
        codes::{INTERCEPTED, UNREADABLE},
    },
};
use cloud_realtime::{
    codec::Content,
    feed::{Dialect, SseSource},
};
use http::Method;

use super::*;

/// A server that says nothing but its data.
#[derive(Debug)]
struct Bare;

impl Dialect<String> for Bare {
    fn ask(&self, _: Option<&Position>) -> Content<'static> {
        Content::empty_object()
    }

    fn read(&self, _: &str, payload: &str) -> Reading<String> {
        Reading::Item(Entry::new(payload.to_owned()))
    }

    fn tells_end(&self) -> bool {
        false
    }
}

fn feed(script: &Script) -> Feed<String> {
    let client = script.client();
    let call = Call::new(Service::Host, Method::GET).segment("events");
    Feed::new(&client, SseSource::new(&client, call, Bare))
}

/// The next message, applied.
async fn applied(feed: &mut Feed<String>) -> String {
    let (item, position) = item(feed).await;
    feed.applied(position.as_ref());
    item
}

#[tokio::test(start_paused = true)]
async fn s03_two_events_are_the_same_however_they_are_split_and_whatever_ends_their_lines() {
    let text = "id: 1\nevent: x\ndata: a\ndata: b\n\n: comment\nid: 2\ndata: ü\n\n";
    for ending in ["\n", "\r", "\r\n"] {
        for mark in ["", "\u{feff}"] {
            let bytes = format!("{mark}{}", text.replace('\n', ending)).into_bytes();
            for at in 0..=bytes.len() {
                let (head, rest) = bytes.split_at(at);
                let script = Script::new([Answer::events([head.to_vec(), rest.to_vec()], Tail::Silence)]);
                let mut feed = feed(&script);
                let told = [item(&mut feed).await, item(&mut feed).await];
                let wanted = [("a\nb", "1"), ("ü", "2")];
                let wanted = wanted.map(|(data, id)| (data.to_owned(), Some(Position::new(id))));
                assert_eq!(told, wanted, "{ending:?}{mark:?} at {at}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn comments_are_life_and_silence_is_not() {
    let mut quiet = Answer::text("id: 1\ndata: a\n\n", Tail::Silence);
    quiet.chunks.extend((0..10).map(|_| (30, b":\n".to_vec())));
    quiet.chunks.push((30, b"id: 2\ndata: b\n\n".to_vec()));
    let script = Script::new([quiet, Answer::text("id: 3\ndata: c\n\n", Tail::Silence)]);
    let mut feed = feed(&script);
    let started = script.clock.monotonic();
    assert_eq!((applied(&mut feed).await, applied(&mut feed).await), ("a".into(), "b".into()));
    assert_eq!((script.ids(), script.clock.monotonic() - started), (vec!["none".into()], Duration::from_secs(330)));
    assert_eq!(applied(&mut feed).await, "c");
    assert_eq!(script.ids(), ["none", "2"]);
    let silent = script.asked()[1].at - started - Duration::from_secs(330);
    assert!((60..64).contains(&silent.as_secs()), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_cut_is_discarded_and_asked_for_by_the_last_whole_one() {
    let whole = "id: 1\ndata: a\n\nid: 2\ndata: half and half\n\n";
    let second = "id: 1\ndata: a\n\n".len();
    for at in second..whole.len() {
        for tail in [Tail::End, Tail::Cut] {
            let (head, rest) = (whole.get(..at).unwrap(), whole.get(second..).unwrap());
            let script = Script::new([Answer::text(head, tail), Answer::text(rest, Tail::Silence)]);
            let mut feed = feed(&script);
            let told = [applied(&mut feed).await, applied(&mut feed).await];
            assert_eq!(
                (told, script.ids()),
                (["a".into(), "half and half".into()], vec!["none".into(), "1".to_owned()])
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r12_the_id_that_is_shown_is_the_last_one_applied_and_what_comes_again_is_not_told_again() {
    let three = "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n";
    let script =
        Script::new([Answer::text(three, Tail::Cut), Answer::text(&format!("{three}id: 4\ndata: d\n\n"), Tail::Cut)]);
    let mut feed = feed(&script);
    assert_eq!(applied(&mut feed).await, "a");
    // Told, and not applied.
    assert_eq!((item(&mut feed).await.0, item(&mut feed).await.0), ("b".into(), "c".into()));
    assert_eq!(item(&mut feed).await.0, "d");
    assert_eq!((script.ids(), feed.position()), (vec!["none".into(), "1".to_owned()], Some(Position::new("1"))));
}

#[tokio::test(start_paused = true)]
async fn an_empty_id_takes_the_position_back() {
    let script = Script::new([
        Answer::text("id: 7\ndata: a\n\nid:\ndata: b\n\n", Tail::End),
        Answer::text("data: c\n\n", Tail::Silence),
    ]);
    let mut feed = feed(&script);
    assert_eq!((applied(&mut feed).await, feed.position()), ("a".into(), Some(Position::new("7"))));
    assert_eq!((applied(&mut feed).await, feed.position()), ("b".into(), None));
    assert_eq!((applied(&mut feed).await, script.ids()), ("c".into(), vec!["none".into(), "none".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_servers_retry_is_the_least_pause_and_failures_make_it_grow() {
    let script = Script::new([
        Answer::text("retry: 7000\n\nid: 1\ndata: a\n\n", Tail::End),
        Answer::status(503, &[("retry-after", "40")]),
        Answer::status(500, &[]),
        Answer::status(429, &[]),
        Answer::text("retry: 10\nid: 2\ndata: b\n\n", Tail::Cut),
        // Of use for so long that what was before is forgotten.
        Answer { chunks: vec![(30, b"data: c\n\n".to_vec())], ..Answer::text("", Tail::Cut) },
        Answer::text("data: d\n\n", Tail::Silence),
    ]);
    let mut feed = feed(&script);
    let told = [applied(&mut feed).await, applied(&mut feed).await, applied(&mut feed).await, applied(&mut feed).await];
    assert_eq!(told, ["a", "b", "c", "d"]);
    let at: Vec<Duration> = script.asked().into_iter().map(|asked| asked.at).collect();
    let pauses: Vec<u64> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    for (pause, (least, most)) in pauses.iter().zip([(7, 9), (40, 44), (7, 15), (7, 23), (0, 32), (30, 32)]) {
        assert!((least..=most).contains(pause), "{pauses:?}");
    }
    assert_eq!(script.ids(), ["none", "1", "1", "1", "1", "2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn no_content_is_the_end_and_what_time_does_not_change_is_a_refusal() {
    let script = Script::new([Answer::text("id: 1\ndata: a\n\n", Tail::End), Answer::status(204, &[])]);
    let mut over = feed(&script);
    assert_eq!(applied(&mut over).await, "a");
    assert!(next(&mut over).await.is_none());
    assert!(next(&mut over).await.is_none());

    let json = ("content-type", "application/json");
    for (answer, kind) in [
        (Answer::status(200, &[json]), ErrorKind::Protocol),
        (Answer::status(401, &[json]), ErrorKind::Unauthenticated),
        (Answer::status(403, &[json]), ErrorKind::Forbidden),
        (Answer::status(404, &[json]), ErrorKind::NotFound),
        (Answer::text(&format!("data: {}", "x".repeat(2 << 20)), Tail::Silence), ErrorKind::Protocol),
    ] {
        let script = Script::new([answer]);
        let mut feed = feed(&script);
        let refused = loop {
            match next(&mut feed).await {
                Some(FeedEvent::Refused(error)) => break error,
                Some(FeedEvent::CaughtUp { .. }) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused.kind(), kind, "{refused:?}");
        assert!(next(&mut feed).await.is_none() && script.asked().len() == 1, "{refused:?}");
    }
    let script = Script::new([Answer::status(200, &[json])]);
    let Some(FeedEvent::Refused(error)) = next(&mut feed(&script)).await else { panic!("no refusal") };
    assert_eq!(error.code(), UNREADABLE);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_loses_nothing() {
    let chunks = "id: 1\ndata: a\n\nid: 2\ndata: b\n\n".bytes().map(|byte| (1, vec![byte])).collect();
    let script = Script::new([Answer { chunks, ..Answer::text("", Tail::Silence) }]);
    let mut feed = feed(&script);
    let mut told = Vec::new();
    while told.len() < 2 {
        let wait = tokio::time::timeout(Duration::from_millis(300), feed.next()).await;
        if let Ok(Some(FeedEvent::Item { item, .. })) = wait {
            told.push(item);
        }
    }
    assert_eq!((told, script.asked().len()), (vec!["a".to_owned(), "b".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_an_id_of_its_own_is_told_and_keeps_the_place_of_the_last_that_had_one() {
    let script = Script::new([
        Answer::text("id: 7\ndata: a\n\ndata: b\n\ndata: b\n\n", Tail::End),
        Answer::text("data: c\n\nid: 7\ndata: a\n\ndata: d\n\n", Tail::Cut),
        // An id that is taken back without a message.
        Answer::text("id:\n\ndata: e\n\n", Tail::Cut),
        Answer::text("data: f\n\n", Tail::Silence),
    ]);
    let mut feed = feed(&script);
    let mut told = Vec::new();
    while told.len() < 7 {
        let item = applied(&mut feed).await;
        told.push(format!("{item}{}", feed.position().unwrap_or_default()));
    }
    assert_eq!(told, ["a7", "b7", "b7", "c7", "d7", "e", "f"]);
    assert_eq!(script.ids(), ["none", "7", "7", "none"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_ids_leaves_the_place_as_it_is() {
    let script = Script::new([Answer::text("data: a\n\ndata: b\n\n", Tail::Silence)]);
    let mut feed = feed(&script);
    assert_eq!(item(&mut feed).await, ("a".to_owned(), None));
    feed.applied(&Position::new("9"));
    assert_eq!((applied(&mut feed).await, feed.position()), ("b".into(), Some(Position::new("9"))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_servers_place_is_told_instead_of_asked_for_again_and_again() {
    let script = Script::new([Answer::status(200, &[("content-type", "text/html")])]);
    let mut feed = feed(&script);
    let Some(FeedEvent::Refused(error)) = next(&mut feed).await else { panic!("no refusal") };
    assert_eq!((error.code(), script.asked().len()), (INTERCEPTED, 1));
    assert!(next(&mut feed).await.is_none());
}
