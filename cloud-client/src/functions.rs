//! Edge functions: invoke with JSON, read the answer whole or as an event stream.
//!
//! value → JSON → `POST /functions/v1/{name}` → JSON, [`SseStream`], or whichever of the two the function chose. A
//! function's own errors keep their status; the platform's are told apart by `sb-error-code`. Wire source: Supabase
//! "Edge Functions" and functions-js.
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Client, Error,
    call::{ANSWER_LIMIT_BYTES, Call, Opened, Reply},
    capability::{Capability, Support},
    error::{
        Service,
        codes::{SCHEMA, TIMEOUT, TOO_LARGE},
    },
    sse::{Limits, SseStream, content_type},
};

/// The longest wait for the rest of an answer that turned out to be no stream, unless the function has a limit.
const WHOLE_LIMIT: Duration = Duration::from_secs(60);

/// An answer in the form that the function chose.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "an answer either is an event stream or is not")]
pub enum Answered {
    /// Events, still arriving.
    Events(Box<SseStream>),
    /// Anything else, read to its end.
    Whole(Reply),
}

/// One function of the cloud. Cheap to make.
#[derive(Clone, Debug)]
#[must_use = "a function does nothing until it is invoked"]
pub struct Function {
    client: Client,
    name: String,
    timeout: Option<Duration>,
    repeatable: bool,
}

impl Function {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name, timeout: None, repeatable: false }
    }

    /// Limits the call; for a stream, the wait for its head. Default: the client's deadline (60 s).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Says that running this function twice has the effect of running it once, so that a lost answer may be asked for
    /// again. Default: sent once.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Remembers whether the function is there.
    fn learned<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        let support = match &outcome {
            Ok(_) => Support::Supported,
            Err(error) if error.code() == SCHEMA => {
                Support::unsupported("The function is not deployed.", SCHEMA.as_str())
            }
            Err(_) => return outcome,
        };
        self.client.mark(Capability::function(&self.name), support);
        outcome
    }

    fn call(&self) -> Call {
        // The name is the host's own constant; a `/` in it is a sub-path.
        let mut call = Call::new(Service::Functions, Method::POST);
        for part in self.name.split('/').filter(|part| !part.is_empty()) {
            call = call.segment(part);
        }
        if let Some(limit) = self.timeout {
            call = call.timeout(limit);
        }
        if self.repeatable { call.repeatable() } else { call }
    }

    /// Invokes with a JSON body and reads a JSON answer.
    ///
    /// # Errors
    ///
    /// `api.schema_mismatch` when the function is not deployed, `server.quota_exceeded` for a used-up allowance,
    /// otherwise as [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; the function may have run.
    pub async fn invoke<T: DeserializeOwned>(&self, body: &(impl Serialize + ?Sized + Sync)) -> Result<T, Error> {
        self.invoke_raw(body).await?.json()
    }

    /// Invokes with a JSON body and gives the answer as it came.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_raw(&self, body: &(impl Serialize + ?Sized + Sync)) -> Result<Reply, Error> {
        self.learned(self.client.send(self.call().json(body)?).await)
    }

    /// Reads a JSON answer with `GET`.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    pub async fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut call = self.call().repeatable();
        call.method = Method::GET;
        self.learned(self.client.send(call).await)?.json()
    }

    /// Invokes with a JSON body and reads the answer as events, within the default [`Limits`].
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`], until the head arrived; later ones come out of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or later the stream, closes the request.
    pub async fn stream(&self, body: &(impl Serialize + ?Sized + Sync)) -> Result<SseStream, Error> {
        let call = self.call().json(body)?.header(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let opened = self.learned(self.client.open(call).await)?;
        SseStream::open(opened, self.client.clock().clone(), Limits::default())
    }

    /// Invokes with a JSON body, asks for events, and takes what comes: the answer's content type decides.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`], and as [`Client::send`] for an answer that is read whole; later ones come out of the
    /// stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or later the stream, closes the request.
    pub async fn open(&self, body: &(impl Serialize + ?Sized + Sync)) -> Result<Answered, Error> {
        let accept = HeaderValue::from_static("text/event-stream, application/json;q=0.9");
        let call = self.call().json(body)?.header(header::ACCEPT, accept);
        let opened = self.learned(self.client.open(call).await)?;
        let clock = self.client.clock();
        if content_type(&opened.headers) == "text/event-stream" {
            let events = SseStream::open(opened, clock.clone(), Limits::default())?;
            return Ok(Answered::Events(Box::new(events)));
        }
        let about = |error: Error| error.during(opened.operation.clone()).with_request_id(&opened.request_id);
        let (late, limit) = (Error::new(TIMEOUT), self.timeout.unwrap_or(WHOLE_LIMIT));
        let Opened { headers, mut body, .. } = opened;
        let rest = async {
            let mut whole = BytesMut::new();
            while let Some(chunk) = body.next().await.transpose()? {
                if whole.len() + chunk.len() > ANSWER_LIMIT_BYTES {
                    return Err(Error::new(TOO_LARGE));
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.freeze())
        };
        let body = clock.within(limit, rest).await.unwrap_or(Err(late)).map_err(about)?;
        Ok(Answered::Whole(Reply {
            status: StatusCode::OK,
            headers,
            body,
            request_id: opened.request_id,
            attempts: opened.attempts,
            operation: opened.operation,
        }))
    }
}
