//! The same story in each shape: cuts, a cut event, a crash, restarts, and positions that the server has forgotten.
use super::*;

/// Publishes numbers, and between them what is for others.
struct Publisher {
    control: FeedControl,
    organization: String,
    next: u64,
}

impl Publisher {
    /// Ten more; returns the last.
    fn ten(&mut self) -> u64 {
        for _ in 0..10 {
            self.control.publish("another-organization", None, "999").unwrap();
            self.control.publish(&self.organization, None, &self.next.to_string()).unwrap();
            self.next += 1;
        }
        self.next - 1
    }
}

async fn story(shape: Shape) -> Store {
    let (place, control) = cloud(options().repeated_messages(3)).await;
    let ada = place.ada().await;
    let organization = place.organization().to_owned();
    let mut publisher = Publisher { control: control.clone(), organization: organization.clone(), next: 0 };
    let mut store = Store::default();

    // From nothing, then live.
    publisher.ten();
    let mut feed = ada.feed(shape, &organization, None);
    store.until(&mut feed, 9).await;
    store.until(&mut feed, publisher.ten()).await;

    // The line goes dead, and a line goes dead in the middle of an event.
    control.cut();
    store.until(&mut feed, publisher.ten()).await;
    control.cut_in_events(1);
    store.until(&mut feed, publisher.ten()).await;

    // The application dies with what it has heard and not stored.
    publisher.ten();
    for _ in 0..3 {
        soon("something to forget", feed.next()).await.unwrap();
    }
    drop(feed);
    let mut feed = ada.feed(shape, &organization, store.position.clone());
    store.until(&mut feed, publisher.ten()).await;

    // The server restarts; then it no longer has what it would have to replay.
    control.restart();
    store.until(&mut feed, publisher.ten()).await;
    assert_eq!(store.wholes, 0, "nothing made it begin anew so far");
    control.cut();
    publisher.ten();
    control.forget_replay();
    store.until(&mut feed, publisher.ten()).await;
    assert_eq!((store.wholes, store.repeats), (0, 0), "the pages still have it");

    // The server knows no position any more: everything comes again.
    control.forget_positions();
    store.until(&mut feed, publisher.ten()).await;
    assert_eq!((store.wholes, store.repeats), (1, 0));
    assert_eq!(store.items, (0..publisher.next).collect::<Vec<_>>(), "{shape:?}");
    store
}

#[tokio::test]
async fn r12_a_ticketed_channel_with_replay_tells_every_message_once_and_in_order() {
    story(Shape::Replaying).await;
}

#[tokio::test]
async fn r12_a_channel_without_replay_tells_every_message_once_and_in_order() {
    story(Shape::Fresh).await;
}

#[tokio::test]
async fn r12_an_event_stream_tells_every_message_once_and_in_order() {
    story(Shape::Events).await;
}

#[tokio::test]
async fn r12_polling_tells_every_message_once_and_in_order() {
    story(Shape::Polling).await;
}

#[tokio::test]
async fn r12_the_next_message_is_exactly_the_one_behind_the_position() {
    let (place, control) = cloud(options()).await;
    let ada = place.ada().await;
    let organization = place.organization();
    let publish = |n: u64| control.publish(organization, None, &n.to_string()).unwrap();
    (0..5).for_each(|n| drop(publish(n)));
    for shape in SHAPES {
        let (mut feed, mut positions) = (ada.feed(shape, organization, None), Vec::new());
        while positions.len() < 5 {
            if let Some(FeedEvent::Item { position, .. }) = soon("five messages", feed.next()).await {
                positions.push(position.unwrap());
            }
        }
        for (n, position) in positions.iter().enumerate() {
            let mut feed = ada.feed(shape, organization, Some(position.clone()));
            let mut told = Vec::new();
            loop {
                match soon("the rest", feed.next()).await.unwrap() {
                    FeedEvent::Item { item, replayed, .. } => told.push((item, replayed)),
                    FeedEvent::CaughtUp { .. } => break,
                    FeedEvent::Gap { after, .. } => assert_eq!((after.as_ref(), shape), (Some(position), Shape::Fresh)),
                    other => panic!("{other:?}"),
                }
            }
            let rest: Vec<_> = (n as u64 + 1..5).map(|n| (n, true)).collect();
            assert_eq!(told, rest, "{shape:?} after {n}");
        }
    }
}

#[tokio::test]
async fn a_feed_that_starts_over_forgets_its_positions_and_what_is_on_its_way() {
    let (place, control) = cloud(options()).await;
    let ada = place.ada().await;
    let organization = place.organization();
    (0..20).for_each(|n| drop(control.publish(organization, None, &n.to_string()).unwrap()));
    for shape in SHAPES {
        let (mut feed, mut store) = (ada.feed(shape, organization, None), Store::default());
        store.until(&mut feed, 12).await;
        feed.start_over(None);
        assert_eq!(feed.position(), None);
        let mut store = Store::default();
        store.until(&mut feed, 19).await;
        assert_eq!((store.items, store.repeats), ((0..20).collect(), 0), "{shape:?}");
        // Another audience: what is for the one before does not come any more.
        feed.switch_audience(Audience::organization("another"), None);
        assert!(caught_up_without_a_message(&mut feed).await, "{shape:?}");
    }
}

async fn caught_up_without_a_message(feed: &mut Feed<u64>) -> bool {
    loop {
        match soon("the feed is caught up", feed.next()).await.unwrap() {
            FeedEvent::CaughtUp { .. } => return true,
            FeedEvent::Item { .. } => return false,
            _ => {}
        }
    }
}

#[tokio::test]
async fn broadcasts_of_supabase_are_read_by_their_own_event() {
    let (place, _) = cloud(options()).await;
    let ada = place.ada().await;
    let realtime = ada.builder().open();
    let mut feed =
        Feed::<u64>::new(&ada.live, ChannelSource::fresh(realtime.channel(topic("notes")), JsonDialect::new()));
    caught_up(&mut feed).await.unwrap();
    place.control().send("notes", "another", r#"{"id":"a","data":6}"#, false);
    place.control().send("notes", "item", r#"{"id":"b","data":7}"#, false);
    let mut store = Store::default();
    store.until(&mut feed, 7).await;
    assert_eq!(store.items, [7]);
}
