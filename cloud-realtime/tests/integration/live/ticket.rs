//! Tickets: minted over HTTP by the host before each connect, used once, replaced when they run out.
use std::sync::Mutex;

use cloud_client::error::codes::{FORBIDDEN, RATE_LIMITED, SERVER_FAULT, UNAUTHENTICATED};
use cloud_realtime::{
    credentials::{Attempt, CredentialSource, Credentials},
    socket::{CloseReason, ConnectError},
    status::ConnectionState,
};
use secrecy::ExposeSecret as _;

use super::*;

/// Mints by a script; an empty one mints at once.
#[derive(Clone, Debug, Default)]
struct Mint(Arc<Mutex<Minting>>);

#[derive(Debug, Default)]
struct Minting {
    script: Vec<Result<(u64, Option<u64>), Error>>,
    attempts: Vec<Attempt>,
}

#[async_trait]
impl CredentialSource for Mint {
    async fn acquire(&self, attempt: Attempt) -> Result<Credentials, Error> {
        let (step, number) = {
            let mut minting = self.0.lock().unwrap();
            minting.attempts.push(attempt);
            let step = if minting.script.is_empty() { Ok((0, None)) } else { minting.script.remove(0) };
            (step, minting.attempts.len())
        };
        let (slow, valid) = step?;
        tokio::time::timeout(Duration::from_secs(slow), std::future::pending::<()>()).await.unwrap_err();
        let ticket = Credentials::new().header("authorization", format!("Ticket {number}").into());
        Ok(match valid {
            Some(seconds) => ticket.valid_for(Duration::from_secs(seconds)),
            None => ticket,
        })
    }
}

impl Mint {
    fn new(script: impl IntoIterator<Item = Result<(u64, Option<u64>), Error>>) -> Self {
        Self(Arc::new(Mutex::new(Minting { script: script.into_iter().collect(), attempts: Vec::new() })))
    }

    fn attempts(&self) -> Vec<(u64, bool)> {
        self.0.lock().unwrap().attempts.iter().map(|attempt| (attempt.number, attempt.renew)).collect()
    }
}

async fn ticket(server: &mut FakeServer) -> (String, cloud_realtime::testing::Attempt) {
    let attempt = tokio::time::timeout(LONG, server.next_attempt()).await.unwrap().unwrap();
    let headers: Vec<_> =
        attempt.request().headers().map(|(name, value)| (name, value.expose_secret().to_owned())).collect();
    assert_eq!(headers.len(), 1, "the project's key does not go along: {headers:?}");
    (headers[0].1.clone(), attempt)
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_a_ticket_of_its_own() {
    let mint = Mint::default();
    let (builder, mut network) = builder();
    let realtime = builder.credentials(mint.clone()).open();
    let (_room, mut events) = open(&realtime, "room:9").await;
    for (number, refusal) in [(1, 500), (2, 503), (3, 429)] {
        let (shown, attempt) = ticket(&mut network).await;
        assert_eq!(shown, format!("Ticket {number}"));
        attempt.refuse(ConnectError::refused(refusal, "", None));
    }
    let (shown, attempt) = ticket(&mut network).await;
    assert_eq!(shown, "Ticket 4");
    let mut server = Server { peer: attempt.accept() };
    server.join().await;
    until_live(&mut events).await;
    server.peer.close(CloseReason::new(4401, "the ticket is over")).await;
    let (shown, _attempt) = ticket(&mut network).await;
    assert_eq!(shown, "Ticket 5");
    assert_eq!(mint.attempts(), [(1, false), (2, false), (3, false), (4, false), (5, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_refuses_is_renewed_once_stopped_or_tried_later_by_its_answer() {
    let later = Error::new(RATE_LIMITED).with_retry_after(Duration::from_secs(90));
    let mint = Mint::new([Err(Error::new(SERVER_FAULT)), Err(later), Err(Error::new(UNAUTHENTICATED)), Ok((0, None))]);
    let (builder, mut network) = builder();
    let realtime = builder.credentials(mint.clone()).open();
    let started = now();
    let (_room, _events) = open(&realtime, "room:9").await;
    let (_, attempt) = ticket(&mut network).await;
    assert!(started.elapsed() >= Duration::from_secs(90), "the server's wish is kept");
    assert_eq!(mint.attempts(), [(1, false), (2, false), (3, false), (4, true)]);
    drop(attempt);
    realtime.close(Duration::from_secs(1)).await;

    let mint = Mint::new([Err(Error::new(FORBIDDEN))]);
    let (builder, mut network) = super::builder();
    let realtime = builder.credentials(mint.clone()).open();
    let (_room, _events) = open(&realtime, "room:9").await;
    let status = realtime.watch_status().until(|status| status.connection == ConnectionState::Stopped).await.unwrap();
    assert_eq!(status.last_error.unwrap().code(), FORBIDDEN);
    realtime.reconnect();
    let (shown, _attempt) = ticket(&mut network).await;
    assert_eq!(shown, "Ticket 2");
}

#[tokio::test(start_paused = true)]
async fn a_slow_mint_counts_against_the_attempt_and_a_ticket_that_ran_out_is_replaced() {
    let mint = Mint::new([Ok((3_000, None)), Ok((1, Some(5))), Ok((0, Some(60)))]);
    let (builder, mut network) = builder();
    let realtime = builder.credentials(mint.clone()).open();
    let started = now();
    let (_room, _events) = open(&realtime, "room:9").await;
    // The first mint is given up after the limit of an attempt; the second ticket runs out while the server is silent.
    let (shown, _silent) = ticket(&mut network).await;
    assert_eq!(shown, "Ticket 2");
    assert!(started.elapsed() >= Duration::from_secs(20) && started.elapsed() <= Duration::from_secs(30));
    let minted = now();
    let (shown, _attempt) = ticket(&mut network).await;
    assert_eq!((shown.as_str(), minted.elapsed()), ("Ticket 3", Duration::from_secs(5)));
    assert_eq!(realtime.status().connection, ConnectionState::Connecting);
}
