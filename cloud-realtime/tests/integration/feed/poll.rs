//! Polling, and the pages that close the gaps of other shapes.
use cloud_client::{ErrorKind, call::Call, error::Service};
use cloud_realtime::feed::{CatchUp, JsonPages, PollSource};
use http::Method;

use super::*;

fn page(items: &[(u64, &str)], position: &str, more: bool) -> Answer {
    let items: Vec<String> =
        items.iter().map(|(n, at)| format!(r#"{{"id":"{n}","position":"{at}","data":{n}}}"#)).collect();
    let body = format!(r#"{{"items":[{}],"position":"{position}","more":{more}}}"#, items.join(","));
    Answer { headers: vec![("content-type", "application/json")], ..Answer::text(&body, Tail::End) }
}

fn pages(client: &Client) -> JsonPages {
    JsonPages::new(client, Call::new(Service::Host, Method::GET).segment("items").query("room", "1")).limit(2)
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_one_after_the_other_and_then_once_an_interval() {
    let script = Script::new([
        page(&[(1, "a"), (2, "b")], "b", true),
        page(&[(3, "c")], "c", false),
        Answer::status(500, &[]),
        page(&[], "c", false),
        page(&[(3, "c"), (4, "d")], "d", false),
        Answer::status(410, &[]),
        page(&[(1, "e"), (5, "f")], "f", false),
    ]);
    let client = script.client();
    let mut feed = Feed::<u64>::new(&client, PollSource::new(&client, pages(&client), Duration::from_secs(60)));
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| last != "5") {
        told.push(match next(&mut feed).await.unwrap() {
            FeedEvent::Item { item, position, replayed, .. } => {
                feed.applied(position.as_ref());
                format!("{item}{}", if replayed { "r" } else { "" })
            }
            FeedEvent::CaughtUp { position } => format!("caught up to {}", position.unwrap()),
            FeedEvent::Gap { after } => format!("gap {after:?}"),
            other => panic!("{other:?}"),
        });
        if told.len() == 8 {
            told.push("5".into());
        }
    }
    assert_eq!(told, ["1r", "2r", "3r", "caught up to c", "4", "gap None", "1r", "5r", "5"]);
    let asked: Vec<String> = script.asked().into_iter().map(|asked| asked.query).collect();
    let after = |position: &str| format!("room=1&limit=2&after={position}");
    let first = "room=1&limit=2".to_owned();
    assert_eq!(asked, [first.clone(), after("b"), after("c"), after("c"), after("c"), after("d"), first]);
    let at: Vec<u64> = script.asked().iter().map(|asked| (asked.at - script.asked()[0].at).as_secs()).collect();
    assert!((54..=66).contains(&at[2]) && at[3] - at[2] <= 2 && (54..=66).contains(&(at[4] - at[3])), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_refused_ends_the_polling() {
    let script = Script::new([Answer::status(403, &[])]);
    let client = script.client();
    let mut feed = Feed::<u64>::new(&client, PollSource::new(&client, pages(&client), Duration::from_secs(60)));
    let refused = loop {
        match next(&mut feed).await {
            Some(FeedEvent::Refused(error)) => break error,
            Some(_) => {}
            None => panic!("no refusal"),
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert!(next(&mut feed).await.is_none());
}

/// Never answers, then always fails.
#[derive(Debug)]
struct Stuck(Arc<Mutex<u32>>);

#[async_trait]
impl CatchUp<u64> for Stuck {
    async fn page(&self, _: Option<&Position>) -> Result<Page<u64>, Error> {
        let asked = {
            let mut asked = self.0.lock().unwrap();
            *asked += 1;
            *asked
        };
        match asked {
            1 => std::future::pending().await,
            2..6 => Err(Error::new(SERVER_FAULT)),
            _ => Ok(Page::Items { entries: vec![Entry::new(7)], position: None, more: false }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_an_answer_is_given_up_and_asked_for_again() {
    let script = Script::default();
    let asked = Arc::new(Mutex::new(0));
    let source = PollSource::new(&script.client(), Stuck(Arc::clone(&asked)), Duration::from_secs(60));
    let mut feed = Feed::new(&script.client(), source);
    let started = script.clock.monotonic();
    assert_eq!(item(&mut feed).await, (7, None));
    let waited = (script.clock.monotonic() - started).as_secs();
    assert!((60..60 + 63).contains(&waited) && *asked.lock().unwrap() == 6, "{waited}");
}
