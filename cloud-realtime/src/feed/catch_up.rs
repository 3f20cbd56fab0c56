//! Reading what was missed: pages of messages after a position, over HTTP or from wherever the host has them.
use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{Client, Error, call::Call, error::codes::TIMEOUT, retry::is_hopeless};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    Entry, Position,
    dialect::{Wire, unreadable},
    pause::Pauses,
};
use crate::codes::FEED_BROKEN;

/// A page is given up after this, and asked for again.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// So often in a row pages may be too old. Replicas that do not know one another's positions go on like that for ever.
pub(super) const MAX_TOO_OLD: u32 = 3;

/// Pages of a feed, oldest first.
#[async_trait]
pub trait CatchUp<T>: fmt::Debug + Send + Sync {
    /// The page after `after`; the first one of all where there is none.
    ///
    /// # Errors
    ///
    /// Transient kinds are tried again with growing pauses, but for what [`is_hopeless`]. Anything else is told as
    /// [`FeedEvent::Refused`](super::FeedEvent::Refused): the source is opened again after a pause, and this page asked
    /// for then. A [`PollSource`](super::PollSource) ends instead.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the page is no longer wanted.
    async fn page(&self, after: Option<&Position>) -> Result<Page<T>, Error>;
}

/// One page.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a page is there, or what it began with is gone")]
pub enum Page<T> {
    /// What comes after the position, in order.
    Items {
        /// The messages; none is a page too. One that cannot be read is told in its place, and the page goes on.
        entries: Vec<Result<Entry<T>, Error>>,
        /// Where the next page begins; `None` where nothing is known beyond what was asked for.
        position: Option<Position>,
        /// Whether there is another page.
        more: bool,
    },
    /// What comes after the position is gone: everything has to be read from the beginning.
    TooOld,
}

/// The next page, however long that takes, asked for after a pause.
pub(super) async fn pull<T>(
    client: Client,
    pages: Arc<dyn CatchUp<T>>,
    after: Option<Position>,
    pause: Duration,
) -> Result<Page<T>, Error> {
    let (clock, random, mut pauses) = (client.clock(), client.random(), Pauses::default());
    if !pause.is_zero() {
        clock.sleep(pause).await;
    }
    loop {
        let late = || Err(Error::new(TIMEOUT).during("read a page of a feed"));
        match clock.within(PAGE_LIMIT, pages.page(after.as_ref())).await.unwrap_or_else(late) {
            Err(error) if error.kind().is_transient() && !is_hopeless(&error) => {
                tracing::debug!(code = %error.code(), "a page of a feed is asked for again");
                clock.sleep(pauses.after(&error, random)).await;
            }
            answer => return answer,
        }
    }
}

/// Positions are given out and not known again.
pub(super) fn broken(detail: &'static str) -> Error {
    Error::new(FEED_BROKEN).with_detail(detail)
}

/// Pages in the [default words](super::JsonDialect): `GET …?after={position}&limit={n}` →
/// `{"items":[…],"position":"…","more":false}`, or 410 when what comes after the position is gone.
#[derive(Clone, Debug)]
pub struct JsonPages {
    client: Client,
    call: Call,
    limit: u32,
}

impl JsonPages {
    /// Pages that `call`, a `GET` without the two parameters, asks for.
    pub fn new(client: &Client, call: Call) -> Self {
        // Sent once, since a page that fails is asked for again here.
        Self { client: client.clone(), call: call.once(), limit: 100 }
    }

    /// Limits the messages of a page. Default: 100.
    #[must_use]
    pub const fn limit(mut self, messages: u32) -> Self {
        self.limit = messages;
        self
    }
}

#[async_trait]
impl<T: DeserializeOwned + Send> CatchUp<T> for JsonPages {
    async fn page(&self, after: Option<&Position>) -> Result<Page<T>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            items: Vec<Box<RawValue>>,
            position: Option<String>,
            #[serde(default)]
            more: bool,
        }
        let mut call = self.call.clone().query("limit", &self.limit.to_string());
        if let Some(after) = after {
            call = call.query("after", after.as_str());
        }
        let reply = match self.client.send(call).await {
            Err(error) if error.status() == Some(StatusCode::GONE.as_u16()) => return Ok(Page::TooOld),
            reply => reply?,
        };
        let Answer { items, position, more } = reply.json()?;
        let read = |item: Box<RawValue>| match serde_json::from_str::<Wire<T>>(item.get()) {
            Ok(wire) => Ok(Entry::from(wire).size_bytes(item.get().len())),
            Err(fault) => Err(unreadable(fault)),
        };
        let entries = items.into_iter().map(read).collect();
        Ok(Page::Items { entries, position: position.map(Position::new), more })
    }
}
