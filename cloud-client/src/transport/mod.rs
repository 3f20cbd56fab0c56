//! The seam to the network: a request goes out, the answer's head comes back, the caller pulls the body.
//!
//! [`Transport`] knows nothing of tokens, retries or services; it sends one request once. An HTTP 500 is a success here:
//! only what kept an answer from arriving is an error. The real one is [`HttpTransport`]; a scripted one for tests lives
//! in `testing`.
mod http_transport;
mod request_body;
pub(crate) mod roots;
mod upgrade;

use std::{fmt, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

pub use http_transport::HttpTransport;
pub use request_body::{RequestBody, StreamBody};
pub use upgrade::{RawStream, Upgrade};

use crate::Error;

/// The bytes of an answer as they arrive. Nothing is read ahead: back-pressure reaches the socket.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// One request, complete.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to. May carry values in path and query, so it is never printed.
    pub url: Url,
    /// All headers; those with secrets are marked sensitive.
    pub headers: HeaderMap,
    /// The body, if any.
    pub body: RequestBody,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: RequestBody::Empty }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// The head of an answer, and its body still to come.
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body. Dropping it closes the request.
    pub body: Body,
}

impl Response {
    /// An answer.
    pub fn new(status: StatusCode, headers: HeaderMap, body: Body) -> Self {
        Self { status, headers, body }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Sends requests.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends `request` once and resolves at the head of the answer. Redirects are answers, not followed (T4).
    ///
    /// # Errors
    ///
    /// Codes `net.*` for whatever kept an answer from arriving.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the request; whether the server saw it is not known.
    async fn send(&self, request: Request) -> Result<Response, Error>;

    /// Asks once to go on in another protocol on the same connection, over HTTP/1.1. Default: refuses to, with
    /// `api.unsupported`.
    ///
    /// # Errors
    ///
    /// As for [`Transport::send`]; an answer that refuses is none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    async fn upgrade(&self, request: Request) -> Result<Upgrade, Error> {
        drop(request);
        Err(Error::new(crate::error::codes::UNSUPPORTED).during("upgrade"))
    }

    /// Uses no connection again that is open now; what is under way may end on its own. Default: nothing to do.
    fn reset_connections(&self) {}
}

/// A cheap-clone handle on a [`Transport`].
#[derive(Clone, Debug)]
pub struct SharedTransport(Arc<dyn Transport>);

impl SharedTransport {
    /// Wraps an implementation.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Self(Arc::new(transport))
    }

    /// See [`Transport::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        self.0.send(request).await
    }

    /// See [`Transport::upgrade`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn upgrade(&self, request: Request) -> Result<Upgrade, Error> {
        self.0.upgrade(request).await
    }

    /// See [`Transport::reset_connections`].
    pub fn reset_connections(&self) {
        self.0.reset_connections();
    }
}
