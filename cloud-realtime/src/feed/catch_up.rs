//! Reading what was missed: pages of messages after a position, over HTTP or from wherever the host has them.
use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{Client, Error, call::Call, clock::SharedClock, error::codes::TIMEOUT, random::Random};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Entry, Position, dialect::Wire, pause::Pauses};

/// A page is given up after this, and asked for again.
const PAGE_LIMIT: Duration = Duration::from_secs(60);

/// Pages of a feed, oldest first.
#[async_trait]
pub trait CatchUp<T>: fmt::Debug + Send + Sync {
    /// The page after `after`; the first one of all where there is none.
    ///
    /// # Errors
    ///
    /// Transient kinds are tried again with growing pauses; any other ends the catch-up with
    /// [`FeedEvent::Refused`](super::FeedEvent::Refused).
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
        /// The messages; none is a page too.
        entries: Vec<Entry<T>>,
        /// Where the next page begins; `None` where nothing is known beyond what was asked for.
        position: Option<Position>,
        /// Whether there is another page.
        more: bool,
    },
    /// What comes after the position is gone: everything has to be read from the beginning.
    TooOld,
}

/// The next page, however long that takes.
pub(super) async fn pull<T>(
    pages: Arc<dyn CatchUp<T>>,
    after: Option<Position>,
    clock: SharedClock,
    random: Random,
) -> Result<Page<T>, Error> {
    let mut pauses = Pauses::default();
    loop {
        let late = || Err(Error::new(TIMEOUT).during("read a page of a feed"));
        match clock.within(PAGE_LIMIT, pages.page(after.as_ref())).await.unwrap_or_else(late) {
            Err(error) if error.kind().is_transient() => {
                tracing::debug!(code = %error.code(), "a page of a feed is asked for again");
                clock.sleep(pauses.after(&error, &random)).await;
            }
            answer => return answer,
        }
    }
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
        Self { client: client.clone(), call, limit: 100 }
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
        #[serde(bound = "T: DeserializeOwned")]
        struct Answer<T> {
            items: Vec<Wire<T>>,
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
        let Answer { items, position, more } = reply.json::<Answer<T>>()?;
        let entries = items.into_iter().map(Entry::from).collect();
        Ok(Page::Items { entries, position: position.map(Position::new), more })
    }
}
