//! Feeds without a network: paused time, event streams whose every byte the test decides, and crashes at every point.
mod crash;
mod events;
mod poll;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{
    Client, Error,
    clock::SharedClock,
    error::codes::{CUT, SERVER_FAULT},
    random::Random,
    transport::{Request, Response, SharedTransport, Transport},
};
use cloud_realtime::feed::{Entry, Feed, FeedEvent, Page, Position, Reading};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Longer than anything here waits; time is paused, so it costs nothing.
const LONG: Duration = Duration::from_secs(3_600);

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug)]
enum Tail {
    End,
    Cut,
    Silence,
}

/// One answer.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    /// Chunks, each after a pause.
    chunks: Vec<(u64, Vec<u8>)>,
    tail: Tail,
}

impl Answer {
    fn events(chunks: impl IntoIterator<Item = Vec<u8>>, tail: Tail) -> Self {
        let chunks = chunks.into_iter().map(|chunk| (0, chunk)).collect();
        Self { status: 200, headers: vec![("content-type", "text/event-stream")], chunks, tail }
    }

    fn text(text: &str, tail: Tail) -> Self {
        Self::events([text.as_bytes().to_vec()], tail)
    }

    fn status(status: u16, headers: &[(&'static str, &'static str)]) -> Self {
        Self { status, headers: headers.to_vec(), chunks: Vec::new(), tail: Tail::End }
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    query: String,
    last_event_id: Option<String>,
    at: Duration,
}

/// A server that answers from a script, and then not at all.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    clock: SharedClock,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        script
    }

    fn client(&self) -> Client {
        let builder = Client::builder("http://127.0.0.1:54321", "sb_publishable_test").unwrap();
        builder.transport(SharedTransport::new(self.clone())).random(Random::seeded(5)).build()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The ids that were shown.
    fn ids(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.last_event_id.unwrap_or_else(|| "none".into())).collect()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let last_event_id = request.headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
        let query = request.url.query().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(Asked { query, last_event_id, at: self.clock.monotonic() });
        let answer = self.answers.lock().unwrap().pop_front();
        let Some(Answer { status, headers, chunks, tail }) = answer else { return std::future::pending().await };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let clock = self.clock.clone();
        let chunks = stream::iter(chunks).then(move |(pause, chunk)| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(pause)).await;
                Ok(bytes::Bytes::from(chunk))
            }
        });
        let tail = match tail {
            Tail::End => stream::empty().boxed(),
            Tail::Cut => stream::iter([Err(Error::new(CUT))]).boxed(),
            Tail::Silence => stream::pending().boxed(),
        };
        Ok(Response::new(
            StatusCode::from_u16(status).unwrap(),
            HeaderMap::from_iter(headers),
            chunks.chain(tail).boxed(),
        ))
    }
}

/// The next event, within a bound.
async fn next<T: Send + 'static>(feed: &mut Feed<T>) -> Option<FeedEvent<T>> {
    tokio::time::timeout(LONG, feed.next()).await.expect("the feed says something")
}

/// The next message; whether it is applied is for the test to say.
async fn item<T: Send + 'static>(feed: &mut Feed<T>) -> (T, Option<Position>) {
    loop {
        match next(feed).await {
            Some(FeedEvent::Item { item, position, .. }) => return (item, position),
            Some(FeedEvent::Refused(error)) => panic!("{error:?}"),
            Some(_) => {}
            None => panic!("the feed is over"),
        }
    }
}
