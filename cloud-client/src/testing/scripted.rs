//! A transport that answers from a script and remembers what it was asked. No network.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    Error, ErrorCode,
    clock::SharedClock,
    transport::{Request, Response, SharedTransport, Transport},
};

type Answer = (StatusCode, HeaderMap, Vec<Result<Bytes, ErrorCode>>);

/// What happens to one request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    wait: Duration,
    outcome: Result<Answer, ErrorCode>,
}

impl Step {
    /// An answer with `status` and a JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        Self::answer(status, "application/json", body)
    }

    /// An answer with any content type.
    pub fn answer(status: u16, content_type: &'static str, body: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { wait: Duration::ZERO, outcome: Ok((status, headers, vec![Ok(Bytes::copy_from_slice(body.as_bytes()))])) }
    }

    /// No answer.
    pub fn fail(code: ErrorCode) -> Self {
        Self { wait: Duration::ZERO, outcome: Err(code) }
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let (Ok((_, headers, _)), Ok(value)) = (&mut self.outcome, HeaderValue::from_str(value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Breaks the connection behind the body.
    pub fn then_cut(mut self) -> Self {
        if let Ok((_, _, body)) = &mut self.outcome {
            body.push(Err(crate::error::codes::CUT));
        }
        self
    }

    /// Waits before the answer.
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// One request as it was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Method, path and query.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// The body as it was sent.
    pub bytes: Bytes,
}

impl Sent {
    /// A header's text, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The transport. Clones share script and memory; a script that has run out fails with `net.connect`.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    script: Arc<Mutex<VecDeque<Step>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    clock: SharedClock,
}

impl Scripted {
    /// Answers with `steps`, in order.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let scripted = Self::default();
        scripted.then(steps);
        scripted
    }

    /// Adds steps.
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As a transport handle.
    pub fn shared(&self) -> SharedTransport {
        SharedTransport::new(self.clone())
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let bytes = request.body.collect().await?;
        let url = &request.url;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(Sent {
            target: format!("{} {}{query}", request.method, url.path()),
            headers: request.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        });
        let step = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(step) = step else { return Err(Error::new(crate::error::codes::CONNECT)) };
        self.clock.sleep(step.wait).await;
        let (status, headers, body) = step.outcome.map_err(Error::new)?;
        let body = stream::iter(body.into_iter().map(|chunk| chunk.map_err(Error::new))).boxed();
        Ok(Response::new(status, headers, body))
    }
}
