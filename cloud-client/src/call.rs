//! One call to one endpoint: what to send, how it may be repeated, and the buffered answer.
//!
//! Built by the crates that know an endpoint (tables, functions, auth), sent by [`Client`](crate::Client). The path is
//! made of segments that are percent-encoded here, once; its template, with names in place of values, is all that logs
//! and errors ever see (T7).
use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error,
    error::{
        Service,
        codes::{ENCODE, INTERCEPTED, UNREADABLE},
    },
    pace::Pace,
    transport::{Body, StreamBody},
};

/// The largest JSON answer that is read, in bytes (T5).
pub(crate) const ANSWER_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// The largest error body that is read, in bytes (T5).
pub(crate) const ERROR_LIMIT_BYTES: usize = 64 * 1024;

/// Who the call speaks for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Speaker {
    /// The signed-in user when there is one, else the public key alone.
    #[default]
    User,
    /// The public key alone, also when somebody is signed in (sign-in itself, refresh).
    Nobody,
    /// This very token, never replaced (sign-out).
    Token(crate::AccessToken),
}

/// A request to one endpoint.
#[derive(Clone)]
pub struct Call {
    pub(crate) service: Service,
    pub(crate) method: Method,
    pub(crate) path: String,
    operation: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// A body that is read while it is sent, instead of one at hand.
    pub(crate) stream: Option<(StreamBody, Pace)>,
    pub(crate) speaker: Speaker,
    pub(crate) repeatable: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) limit_bytes: usize,
}

impl Call {
    /// A call to `service`, at its base path. `GET` and `HEAD` may be repeated; others only when said so (T2).
    pub fn new(service: Service, method: Method) -> Self {
        let base = match service {
            Service::Auth => "/auth/v1",
            Service::Rest => "/rest/v1",
            Service::Storage => "/storage/v1",
            Service::Functions => "/functions/v1",
            Service::Realtime => "/realtime/v1",
            Service::Host => "",
        };
        // Room for what is usual: growing step by step costs more than building.
        let (mut path, mut operation) = (String::with_capacity(64), String::with_capacity(64));
        path.push_str(base);
        operation.extend([method.as_str(), " ", base]);
        Self {
            service,
            repeatable: method == Method::GET || method == Method::HEAD,
            method,
            path,
            operation,
            query: None,
            headers: HeaderMap::new(),
            body: None,
            stream: None,
            speaker: Speaker::default(),
            timeout: None,
            limit_bytes: ANSWER_LIMIT_BYTES,
        }
    }

    /// Adds a fixed path segment, shown in logs.
    pub fn segment(mut self, fixed: &str) -> Self {
        push_encoded(&mut self.path, fixed);
        push_encoded(&mut self.operation, fixed);
        self
    }

    /// Adds a path segment that is a value: percent-encoded, shown in logs as `{name}`.
    pub fn value_segment(mut self, name: &str, value: &str) -> Self {
        push_encoded(&mut self.path, value);
        self.operation.extend(["/{", name, "}"]);
        self
    }

    /// Adds a query parameter; the value is percent-encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let query = self.query.get_or_insert_default();
        if !query.is_empty() {
            query.push('&');
        }
        push_query_text(query, name);
        query.push('=');
        push_query_text(query, value);
        self
    }

    /// Sets the whole query, already encoded.
    pub(crate) fn encoded_query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The text of a header that was set; empty when there is none.
    pub(crate) fn header_text(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    ///
    /// `api.encode` when `body` cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(body).map_err(|cause| Error::new(ENCODE).with_source(cause))?;
        self.body = Some(bytes.into());
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// Sets a body of bytes, sent as `application/octet-stream`.
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self
    }

    /// Sets a body that is read while it is sent. An attempt may then last as long as bytes move, counted by `pace`.
    pub(crate) fn stream(mut self, body: StreamBody, pace: Pace) -> Self {
        self.stream = Some((body, pace));
        self
    }

    /// Adds an object's name: segments divided by `/`, shown in logs as `{name}`.
    pub(crate) fn object_name(mut self, name: &str) -> Self {
        name.split('/').for_each(|segment| push_encoded(&mut self.path, segment));
        self.operation.push_str("/{name}");
        self
    }

    /// Sets who the call speaks for. Default: the signed-in user when there is one.
    pub fn speaker(mut self, speaker: Speaker) -> Self {
        self.speaker = speaker;
        self
    }

    /// Says that sending this twice has the effect of sending it once.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says that this call is sent once, whatever happens.
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Limits the whole call, repeats included. Default: the client's deadline (60 s).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Limits the answer. Default: 8 MiB.
    pub fn limit_bytes(mut self, limit: usize) -> Self {
        self.limit_bytes = limit;
        self
    }

    /// Method and path template, for logs and errors.
    pub(crate) fn operation(&self) -> &str {
        &self.operation
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.operation())
    }
}

/// Everything but unreserved characters becomes `%XX`, so that no value can add a segment or a query.
fn push_encoded(path: &mut String, segment: &str) {
    path.push('/');
    push_query_text(path, segment);
}

/// Whether a byte stands for itself in a query.
pub(crate) fn is_plain(byte: u8) -> bool {
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            plain[byte] = matches!(byte as u8, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9')
                || matches!(byte as u8, b'-' | b'_' | b'.' | b'~' | b'!' | b'*' | b'(' | b')' | b',' | b'\'');
            byte += 1;
        }
        plain
    };
    PLAIN[usize::from(byte)]
}

/// Percent-encodes one name or value of a query: `+` would otherwise turn into a blank.
pub(crate) fn push_query_text(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(text.len());
    let mut rest = text;
    loop {
        // Most of a query is plain: whole runs are copied at once.
        let (run, other) = rest.split_at(rest.bytes().take_while(|byte| is_plain(*byte)).count());
        out.push_str(run);
        let mut chars = other.chars();
        let Some(odd) = chars.next() else { return };
        for byte in odd.encode_utf8(&mut [0; 4]).bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        rest = chars.as_str();
    }
}

/// A whole answer, of any status.
#[derive(Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, complete.
    pub body: Bytes,
    /// The server's request id, or else the one that was sent.
    pub request_id: String,
    /// How many times the call was sent.
    pub attempts: u32,
    pub(crate) operation: String,
}

impl Reply {
    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// `net.intercepted` when it is HTML, `net.unreadable` when it is no JSON of the wanted shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|cause| {
            let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let looks_like_html = kind.starts_with("text/html") || self.body.trim_ascii_start().starts_with(b"<");
            self.error(if looks_like_html { INTERCEPTED } else { UNREADABLE }).with_source(cause)
        })
    }

    /// An error about this answer.
    pub fn error(&self, code: crate::ErrorCode) -> Error {
        Error::new(code)
            .during(self.operation.clone())
            .with_status(self.status.as_u16())
            .with_request_id(&self.request_id)
            .with_attempts(self.attempts)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("operation", &self.operation)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A successful answer whose body is still arriving.
#[non_exhaustive]
pub struct Opened {
    /// The status, a success.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body. Dropping it closes the request.
    pub body: Body,
    /// The server's request id, or else the one that was sent.
    pub request_id: String,
    pub(crate) attempts: u32,
    pub(crate) operation: String,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("operation", &self.operation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_leave_its_segment() {
        let call = Call::new(Service::Rest, Method::GET).value_segment("table", "a/b?c#d%2F..");
        assert_eq!(call.path, "/rest/v1/a%2Fb%3Fc%23d%252F..");
        assert_eq!(call.operation(), "GET /rest/v1/{table}");
        let call = call.query("created_at", "gt.2023-03-23T15:50:30.511743+00:00");
        assert_eq!(call.query.as_deref(), Some("created_at=gt.2023-03-23T15%3A50%3A30.511743%2B00%3A00"));
    }
}
