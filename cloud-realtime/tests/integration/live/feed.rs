//! A feed over a channel whose every frame the test decides.
use cloud_realtime::{
    feed::{ChannelSource, Feed, FeedEvent, JsonDialect, Position},
    socket::CloseReason,
};

use super::*;

fn feed(client: &Client, realtime: &cloud_realtime::Realtime) -> Feed<u64> {
    Feed::new(client, ChannelSource::replaying(realtime.channel(topic("feed:o")), JsonDialect::new()))
}

fn client() -> Client {
    Client::builder("http://127.0.0.1:54321", "sb_publishable_demo").unwrap().random(Random::seeded(7)).build()
}

/// What the feed tells next, in a few words.
async fn told(feed: &mut Feed<u64>) -> String {
    match tokio::time::timeout(LONG, feed.next()).await.unwrap() {
        Some(FeedEvent::Item { item, replayed, .. }) => format!("{item}{}", if replayed { "r" } else { "" }),
        Some(FeedEvent::CaughtUp { .. }) => "caught up".into(),
        other => format!("{other:?}"),
    }
}

fn item(join: &Wire, n: u64, replayed: bool) -> Value {
    let payload = json!({ "id": format!("id-{n}"), "position": n.to_string(), "replayed": replayed, "data": n });
    json!([join.0, null, "feed:o", "item", payload])
}

impl Server {
    /// Takes the next join, says these, and that this was all.
    async fn replay(&mut self, items: impl IntoIterator<Item = u64>) -> Wire {
        let join = self.join().await;
        for n in items {
            self.say(item(&join, n, true)).await;
        }
        self.say(json!([join.0, null, "feed:o", "caught_up", {}])).await;
        join
    }
}

#[tokio::test(start_paused = true)]
async fn r12_every_join_asks_for_what_comes_after_the_position_as_it_is_then() {
    let client = client();
    let (builder, mut network) = over(client.clone());
    let realtime = builder.open();
    let mut feed = feed(&client, &realtime);
    let opening = async {
        let mut server = Server::accept(&mut network).await;
        let join = server.replay([]).await;
        (server, join)
    };
    let (first, (server, join)) = tokio::join!(told(&mut feed), opening);
    assert_eq!((first.as_str(), &join.4), ("caught up", &json!({})));
    server.say(item(&join, 1, false)).await;
    server.say(item(&join, 2, false)).await;
    assert_eq!(told(&mut feed).await, "1");
    feed.applied(&Position::new("1"));
    assert_eq!(told(&mut feed).await, "2");
    // The second was told and not applied: it is asked for again, and not told again.
    server.peer.close(CloseReason::new(1012, "")).await;
    let again = async {
        let mut server = Server::accept(&mut network).await;
        let join = server.replay([2, 3]).await;
        (server, join)
    };
    let (third, (_server, join)) = tokio::join!(told(&mut feed), again);
    assert_eq!((third.as_str(), &join.4), ("3r", &json!({"after": "1"})));
    assert_eq!(told(&mut feed).await, "caught up");
}

#[tokio::test(start_paused = true)]
async fn r08_what_a_slow_reader_missed_is_replayed_by_another_join() {
    let client = client();
    let (builder, mut network) = over(client.clone());
    let realtime = builder.open();
    let mut feed = feed(&client, &realtime).after(Position::new("0"));
    let opening = async {
        let mut server = Server::accept(&mut network).await;
        let join = server.replay([1]).await;
        (server, join)
    };
    let (first, (mut server, join)) = tokio::join!(told(&mut feed), opening);
    assert_eq!(first, "1r");
    feed.applied(&Position::new("1"));
    let flood = 2_000;
    for n in 2..=flood {
        server.say(item(&join, n, false)).await;
    }
    // The answer to this comes behind all of them.
    realtime.wake();
    assert!(tokio::time::timeout(Duration::from_secs(1), server.next()).await.is_err(), "only a heartbeat");
    let again = async {
        let leave = server.expect("phx_leave").await;
        server.reply(&leave, "ok", json!({})).await;
        server.replay(2..=flood).await
    };
    let read = async {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last: &String| last != "2000r") {
            let event = told(&mut feed).await;
            let position = event.trim_end_matches('r');
            if event != "caught up" {
                feed.applied(&Position::new(position));
                heard.push(event);
            }
        }
        heard
    };
    let (join, heard) = tokio::join!(again, read);
    assert_eq!(join.4, json!({"after": "1"}));
    assert_eq!(heard, (2..=flood).map(|n| format!("{n}r")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_refused_feed_is_asked_for_again_on_another_socket() {
    let client = client();
    let (builder, mut network) = over(client.clone());
    let realtime = builder.open();
    let mut feed = feed(&client, &realtime);
    let refusing = async {
        let mut server = Server::accept(&mut network).await;
        let join = server.expect("phx_join").await;
        server.reply(&join, "error", json!({"reason": "unauthorized"})).await;
        server
    };
    let (refused, server) = tokio::join!(told(&mut feed), refusing);
    assert!(refused.contains("realtime.channel_forbidden"), "{refused}");
    server.peer.close(CloseReason::new(1012, "")).await;
    let again = async {
        let mut server = Server::accept(&mut network).await;
        server.replay([]).await;
        server
    };
    let (opened, _server) = tokio::join!(told(&mut feed), again);
    assert_eq!(opened, "caught up");
}
