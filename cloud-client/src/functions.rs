//! Edge functions: invoke with JSON, text or bytes, read the answer whole or as an event stream.
//!
//! value → JSON → `POST /functions/v1/{name}`, or another method → JSON, [`SseStream`], or whichever of the two the function chose. A
//! function's own errors keep their status; the platform's are told apart by `sb-error-code`. Wire source: Supabase
//! "Edge Functions" and functions-js.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Client, Error,
    call::{ANSWER_LIMIT_BYTES, Call, Opened, Reply},
    capability::{Capability, Support},
    error::{
        Service,
        codes::{ENCODE, SCHEMA, SETTING_INVALID, TIMEOUT, TOO_LARGE},
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
    method: Method,
    region: Option<String>,
    headers: HeaderMap,
}

impl Function {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            timeout: None,
            repeatable: false,
            method: Method::POST,
            region: None,
            headers: HeaderMap::new(),
        }
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

    /// Uses another method: `GET`, `PUT`, `PATCH` or `DELETE`. `GET` has no body, see [`Function::invoke_empty`], and
    /// may be repeated; the others only with [`Function::repeatable`]. Default: `POST`.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Runs the function in this region of the platform, such as `eu-central-1`, instead of the nearest one; `any`
    /// leaves the choice to the platform. A cloud of one's own takes no notice.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into()).filter(|region| region != "any");
        self
    }

    /// Adds a header. Key, token, request id, trace and a body's content type are set by the client and win.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
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

    /// The call without a body.
    fn call(&self) -> Result<Call, Error> {
        let invalid = |what| Err(Error::new(SETTING_INVALID).during("invoke a function").with_detail(what));
        if ![Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method) {
            return invalid("functions take GET, POST, PUT, PATCH and DELETE");
        }
        // The name is the host's own constant; a `/` in it is a sub-path.
        let mut call = Call::new(Service::Functions, self.method.clone());
        for part in self.name.split('/').filter(|part| !part.is_empty()) {
            call = call.segment(part);
        }
        call.headers = self.headers.clone();
        if let Some(region) = &self.region {
            // The header is for the platform's gateway, the parameter for what cannot see headers on the way.
            let word = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let Some(value) = HeaderValue::try_from(region).ok().filter(|_| word) else {
                return invalid("a region is a word such as eu-central-1");
            };
            call.headers.insert("x-region", value);
            call = call.query("forceFunctionRegion", region);
        }
        if let Some(limit) = self.timeout {
            call = call.timeout(limit);
        }
        Ok(if self.repeatable { call.repeatable() } else { call })
    }

    /// The call with a body of this content type.
    fn call_with(&self, content_type: HeaderValue, body: Bytes) -> Result<Call, Error> {
        let mut call = self.call()?;
        if call.method == Method::GET {
            let error = Error::new(SETTING_INVALID).during("invoke a function");
            return Err(error.with_detail("a GET has no body"));
        }
        call.headers.insert(header::CONTENT_TYPE, content_type);
        call.body = Some(body);
        Ok(call)
    }

    fn call_with_json(&self, body: &(impl Serialize + ?Sized)) -> Result<Call, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| Error::new(ENCODE).with_source(cause))?;
        self.call_with(HeaderValue::from_static("application/json"), body.into())
    }

    /// Invokes with a JSON body and reads a JSON answer.
    ///
    /// # Errors
    ///
    /// `config.setting_invalid` for a method or region that cannot be sent and for a body with `GET`,
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
    ///
    /// # Cancel safety
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_raw(&self, body: &(impl Serialize + ?Sized + Sync)) -> Result<Reply, Error> {
        self.learned(self.client.send(self.call_with_json(body)?).await)
    }

    /// Invokes with bytes of any content type, such as `application/octet-stream` or `image/png`, and gives the answer
    /// as it came.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    ///
    /// # Cancel safety
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_bytes(&self, content_type: HeaderValue, body: impl Into<Bytes> + Send) -> Result<Reply, Error> {
        let call = self.call_with(content_type, body.into())?;
        self.learned(self.client.send(call).await)
    }

    /// Invokes with text and gives the answer as it came.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    ///
    /// # Cancel safety
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_text(&self, body: impl Into<String> + Send) -> Result<Reply, Error> {
        let text = HeaderValue::from_static("text/plain;charset=UTF-8");
        self.invoke_bytes(text, body.into()).await
    }

    /// Invokes without a body and gives the answer as it came.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    ///
    /// # Cancel safety
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_empty(&self) -> Result<Reply, Error> {
        self.learned(self.client.send(self.call()?).await)
    }

    /// Reads a JSON answer with `GET`.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    ///
    /// # Cancel safety
    ///
    /// As [`Function::invoke`].
    pub async fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let call = self.clone().method(Method::GET).call()?;
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
        let mut call = self.call_with_json(body)?;
        call.headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
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
        let mut call = self.call_with_json(body)?;
        call.headers.insert(header::ACCEPT, accept);
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
