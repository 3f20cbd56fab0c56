//! What the task waits for besides the socket: one attempt to connect, one question for a token.
//!
//! They are futures of the task itself, so nothing is left running when it ends; giving one up drops it.
use std::{future::pending, sync::Arc, time::Duration};

use cloud_client::{AccessToken, Error, error::codes::TIMEOUT};
use futures::future::BoxFuture;

use super::{address, builder::RealtimeBuilder};
use crate::{
    connection::{Verdict, of_attempt, of_credentials},
    credentials::{Attempt, Credentials},
    socket::{ConnectRequest, Connector, Socket, websocket::WebSocketConnector},
};

/// A question for a token takes no longer.
const TOKEN_LIMIT: Duration = Duration::from_secs(10);

/// How a step of an attempt ended.
pub(super) struct Attempted {
    pub(super) generation: u64,
    pub(super) outcome: Result<Step, (Verdict, Error)>,
}

pub(super) enum Step {
    Acquired(Credentials),
    Connected(Box<dyn Socket>),
}

/// A job that is done.
pub(super) enum Done {
    Attempt(Attempted),
    Token(TokenAnswer),
}

pub(super) type TokenAnswer = Result<Option<AccessToken>, Error>;

pub(super) struct Jobs {
    options: Arc<RealtimeBuilder>,
    connector: Arc<dyn Connector>,
    attempt: Option<BoxFuture<'static, Attempted>>,
    token: Option<BoxFuture<'static, TokenAnswer>>,
    number: u64,
}

impl Jobs {
    pub(super) fn new(options: Arc<RealtimeBuilder>) -> Self {
        let connector = options.connector.clone().unwrap_or_else(|| {
            let limit = options.max_received_bytes;
            Arc::new(WebSocketConnector::new(&options.client).max_received_bytes(limit))
        });
        Self { options, connector, attempt: None, token: None, number: 0 }
    }

    /// The credentials of one attempt, always anew.
    pub(super) fn acquire(&mut self, generation: u64, renew: bool) {
        self.number += 1;
        let (source, attempt) = (self.options.credentials.clone(), Attempt { number: self.number, renew });
        self.attempt = Some(Box::pin(async move {
            let outcome = match source {
                Some(source) => source.acquire(attempt).await.map_err(|error| (of_credentials(&error), error)),
                None => Ok(Credentials::new()),
            };
            Attempted { generation, outcome: outcome.map(Step::Acquired) }
        }));
    }

    /// Opens the socket; the credentials are used up by it.
    pub(super) fn connect(&mut self, generation: u64, credentials: Credentials) {
        let (connector, request) = (Arc::clone(&self.connector), address::request(&self.options, credentials));
        self.attempt = Some(Box::pin(async move {
            let outcome = match request {
                Ok(request) => connect(&*connector, &request).await,
                Err(error) => Err((Verdict::Stop, error)),
            };
            Attempted { generation, outcome }
        }));
    }

    pub(super) fn give_up(&mut self) {
        self.attempt = None;
    }

    /// Asks for the token that counts now, or for another one than was refused.
    pub(super) fn ask_token(&mut self, refused: Option<AccessToken>) {
        let (source, clock) = (self.options.client.token_source().cloned(), self.options.client.clock().clone());
        self.token = Some(Box::pin(async move {
            let Some(source) = source else { return Ok(None) };
            let answer = async {
                match &refused {
                    Some(refused) => source.replace(refused).await,
                    None => source.token().await,
                }
            };
            clock.within(TOKEN_LIMIT, answer).await.unwrap_or_else(|| Err(Error::new(TIMEOUT).during("token")))
        }));
    }

    /// The next job that is done. Cancel safe: a job goes on where it was.
    pub(super) async fn next(&mut self) -> Done {
        let Self { attempt, token, .. } = self;
        tokio::select! {
            biased;
            done = finish(attempt) => Done::Attempt(done),
            answer = finish(token) => Done::Token(answer),
        }
    }
}

async fn finish<T>(job: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(running) = job else { return pending().await };
    let done = running.await;
    *job = None;
    done
}

async fn connect(connector: &dyn Connector, request: &ConnectRequest) -> Result<Step, (Verdict, Error)> {
    connector.connect(request).await.map(Step::Connected).map_err(of_attempt)
}
