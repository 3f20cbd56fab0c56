//! One feed in four shapes, over real sockets: whatever happens, the same application ends with the same messages.
mod rights;
mod shapes;
mod tickets;

use cloud_client::error::ErrorKind;
use cloud_dev::{FeedControl, FeedOptions};
use cloud_realtime::{
    credentials::{Credentials, TicketMint},
    feed::{Audience, ChannelSource, Feed, FeedEvent, JsonDialect, JsonPages, PollSource, Position, SseSource},
    realtime::Endpoint,
};
use secrecy::SecretString;

use super::*;

/// How the feed comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A channel over a ticketed WebSocket; its server replays.
    Replaying,
    /// A channel that only tells what happens now; the rest is read from pages.
    Fresh,
    /// An event stream.
    Events,
    /// Pages, now and then.
    Polling,
}

const SHAPES: [Shape; 4] = [Shape::Replaying, Shape::Fresh, Shape::Events, Shape::Polling];

#[derive(Deserialize)]
struct Ticket {
    ticket: SecretString,
}

fn host(method: Method, path: &str) -> Call {
    Call::new(Service::Host, method).segment("feed").segment("v1").segment(path)
}

/// Twenty times as fast, so a stream has to say more often that it lives.
fn options() -> FeedOptions {
    FeedOptions::default().keep_alive(Duration::from_millis(300))
}

async fn cloud(options: FeedOptions) -> (Place, FeedControl) {
    let place = Place { server: CloudDev::builder().feed(options).start().await.unwrap() };
    let control = place.server.feed().unwrap();
    (place, control)
}

impl Place {
    fn organization(&self) -> &str {
        &self.server.demo().org_id
    }
}

impl Person {
    fn mint(&self) -> TicketMint {
        let read = |answer: Ticket| Credentials::new().query("ticket", answer.ticket);
        TicketMint::new(&self.live, host(Method::POST, "tickets"), read)
    }

    /// A connection of its own for each feed: a test that drops one drops the other.
    fn socket(&self) -> Realtime {
        self.builder().endpoint(Endpoint::Path("/feed/v1/socket".into())).credentials(self.mint()).open()
    }

    fn pages(&self, organization: &str) -> JsonPages {
        JsonPages::new(&self.live, host(Method::GET, "items").query("organization", organization)).limit(7)
    }

    /// A feed of numbers, after a position.
    fn feed(&self, shape: Shape, organization: &str, after: Option<Position>) -> Feed<u64> {
        let (client, words) = (&self.live, JsonDialect::new());
        let channel = || self.socket().channel(Topic::parse(&format!("feed:{organization}")).unwrap());
        let pages = || self.pages(organization);
        let feed = match shape {
            Shape::Replaying => Feed::new(client, ChannelSource::replaying(channel(), words)),
            Shape::Fresh => {
                let nothing = cloud_realtime::codec::Content::empty_object();
                Feed::new(client, ChannelSource::fresh(channel().params(nothing), words))
            }
            Shape::Events => {
                let call = host(Method::GET, "events").query("organization", organization);
                Feed::new(client, SseSource::new(client, call, words))
            }
            Shape::Polling => Feed::new(client, PollSource::new(client, pages(), Duration::from_secs(1))),
        };
        feed.after(after).audience(Audience::organization(organization)).catch_up(pages())
    }
}

/// What an application keeps, item and position in one transaction.
#[derive(Debug, Default)]
struct Store {
    items: Vec<u64>,
    position: Option<Position>,
    repeats: usize,
    /// How often everything came again.
    wholes: usize,
}

impl Store {
    fn take(&mut self, feed: &mut Feed<u64>, event: FeedEvent<u64>) {
        match event {
            FeedEvent::Item { item, position, .. } => {
                if self.items.contains(&item) {
                    self.repeats += 1;
                } else {
                    self.items.push(item);
                }
                self.position.clone_from(&position);
                feed.applied(position.as_ref());
            }
            FeedEvent::Gap { anew: true, .. } => {
                self.items.clear();
                self.position = None;
                self.wholes += 1;
            }
            FeedEvent::CaughtUp { position: Some(position) } => {
                feed.applied(&position);
                self.position = Some(position);
            }
            FeedEvent::Refused(error) | FeedEvent::Unreadable(error) => panic!("{error:?}"),
            _ => {}
        }
    }

    /// Reads until `last` is there.
    async fn until(&mut self, feed: &mut Feed<u64>, last: u64) {
        while self.items.last() != Some(&last) {
            let event = soon(&format!("{last} comes, behind {:?}", self.items.last()), feed.next()).await.unwrap();
            self.take(feed, event);
        }
    }
}

/// Reads until the feed is caught up.
async fn caught_up(feed: &mut Feed<u64>) -> Result<(), Error> {
    loop {
        match soon("the feed is caught up", feed.next()).await.unwrap() {
            FeedEvent::CaughtUp { .. } => return Ok(()),
            FeedEvent::Refused(error) => return Err(error),
            _ => {}
        }
    }
}
