//! What the targets share: a client whose every request gets one and the same answer, without network and time.
//!
//! input of the fuzzer → [`Answer`] → [`Answer::client`] → the call under test, run by [`run`].
pub mod frames;

use std::{cell::RefCell, future::Future};

use bytes::Bytes;
use cloud_client::{
    Client, Error,
    random::Random,
    retry::Policy,
    transport::{Request, Response, SharedTransport, Transport},
};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};

/// The answer to every request. Unlike a script it may hold any header and any bytes.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A client that gets this answer, asks once and makes the same request ids each time.
    pub fn client(self) -> Client {
        let builder = Client::builder("http://127.0.0.1:54321", "sb_publishable_fuzz").expect("the address is right");
        builder.transport(SharedTransport::new(self)).retry(Policy::never()).random(Random::seeded(1)).build()
    }
}

#[async_trait::async_trait]
impl Transport for Answer {
    async fn send(&self, _: Request) -> Result<Response, Error> {
        let body = stream::iter([Ok(self.body.clone())]).boxed();
        Ok(Response::new(self.status, self.headers.clone(), body))
    }
}

/// Runs `work` to its end, on timers that do not wait.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"),
        );
    }
    RUNTIME.with_borrow(|runtime| runtime.block_on(work))
}
