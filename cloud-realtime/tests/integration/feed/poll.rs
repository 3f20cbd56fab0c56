//! Polling, and the pages that close the gaps of other shapes.
use cloud_client::{ErrorKind, call::Call, error::Service};
use cloud_realtime::{
    codes::FEED_BROKEN,
    feed::{CatchUp, FeedSource, JsonPages, Opening, Place, PollSource, Signal},
};
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
            FeedEvent::Gap { after, anew } => format!("gap {after:?} {anew}"),
            other => panic!("{other:?}"),
        });
        if told.len() == 8 {
            told.push("5".into());
        }
    }
    assert_eq!(told, ["1r", "2r", "3r", "caught up to c", "4", "gap None true", "1r", "5r", "5"]);
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
            _ => Ok(Page::Items { entries: vec![Ok(Entry::new(7))], position: None, more: false }),
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

fn json(body: &str) -> Answer {
    Answer { headers: vec![("content-type", "application/json")], ..Answer::text(body, Tail::End) }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_is_told_and_its_page_goes_on() {
    let items = r#"{"data":1},{"data":"one"},7,{"data":2}"#;
    let script = Script::new([json(&format!(r#"{{"items":[{items}],"position":"b"}}"#))]);
    let client = script.client();
    let mut feed = Feed::<u64>::new(&client, PollSource::new(&client, pages(&client), Duration::from_secs(60)));
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(match next(&mut feed).await.unwrap() {
            FeedEvent::Item { item, .. } => item.to_string(),
            FeedEvent::Unreadable(error) => error.code().to_string(),
            FeedEvent::CaughtUp { position } => position.unwrap().to_string(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(told, ["1", "net.unreadable", "net.unreadable", "2", "b"]);
}

#[tokio::test(start_paused = true)]
async fn pages_of_replicas_that_do_not_know_one_another_are_asked_for_slowly_and_then_refused() {
    let too_old = || Answer::status(410, &[]);
    let half = || page(&[(1, "a")], "a", true);
    let script = Script::new([half(), too_old(), half(), too_old(), half(), too_old(), half(), too_old()]);
    let client = script.client();
    let mut feed = Feed::<u64>::new(&client, PollSource::new(&client, pages(&client), Duration::from_secs(60)));
    let refused = loop {
        if let FeedEvent::Refused(error) = next(&mut feed).await.unwrap() {
            break error;
        }
    };
    assert_eq!(refused.code(), FEED_BROKEN);
    assert!(next(&mut feed).await.is_none());
    let at: Vec<Duration> = script.asked().iter().map(|asked| asked.at).collect();
    let waited: Vec<bool> = at.windows(2).map(|pair| pair[1] - pair[0] >= Duration::from_millis(500)).collect();
    assert_eq!(waited, [false, false, false, true, false, true, false]);
}

/// Opens, and says one thing after each opening.
#[derive(Debug, Default)]
struct Always {
    open: u32,
    told: u32,
}

#[async_trait]
impl FeedSource<u64> for Always {
    async fn next(&mut self, _: &Place) -> Option<Signal<u64>> {
        match self.told - 2 * self.open {
            0 => {
                self.told += 1;
                Some(Signal::Opened(Opening::Fresh))
            }
            1 => {
                self.told += 1;
                Some(Signal::Item(Entry::new(9).id("9")))
            }
            _ => std::future::pending().await,
        }
    }

    fn reopen(&mut self) {
        self.open += 1;
        self.told = 2 * self.open;
    }
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_that_is_refused_is_begun_again_after_pauses_and_nothing_stays_unheard() {
    let refused = || Answer::status(403, &[]);
    let portal = || Answer::status(200, &[("content-type", "text/html")]);
    let script = Script::new([refused(), json("[]"), portal(), refused(), page(&[(1, "a")], "a", false)]);
    let client = script.client();
    let mut feed = Feed::new(&client, Always::default()).catch_up(pages(&client));
    let mut told = Vec::new();
    while told.len() < 7 {
        told.push(match next(&mut feed).await.unwrap() {
            FeedEvent::Item { item, .. } => item.to_string(),
            FeedEvent::Refused(error) => error.code().to_string(),
            FeedEvent::CaughtUp { .. } => "caught up".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    let refusals = ["api.forbidden", "net.unreadable", "net.intercepted", "api.forbidden"];
    assert_eq!(told, [&refusals[..], &["1", "caught up", "9"]].concat());
    let at: Vec<Duration> = script.asked().iter().map(|asked| asked.at).collect();
    let pauses: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, most) in pauses.iter().zip([2, 4, 8, 16]) {
        assert!((Duration::from_millis(500)..=Duration::from_secs(most + 1)).contains(pause), "{pauses:?}");
    }
}
