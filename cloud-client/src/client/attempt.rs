//! One attempt of a call: the request with its headers, the answer as far as it is wanted.
//!
//! call, token, id → [`Request`] → transport → head → body (bounded) → reply, whatever its status. What follows from the
//! status is decided by the loop above.
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;

use super::{
    Answered, Client, PoisonError, Reading,
    body::{collect, collect_error},
};
use crate::{
    AccessToken, Error,
    call::{Call, Opened, Reply},
    error::{
        Service,
        codes::{KEY_INVALID, QUERY_INVALID},
    },
    observe::TraceContext,
    transport::{Request, RequestBody, Response},
};

const API_KEY: HeaderName = HeaderName::from_static("apikey");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

impl Client {
    /// Sends once and reads as much as was asked for.
    pub(super) async fn attempt(
        &self,
        call: &Call,
        token: Option<&AccessToken>,
        request_id: &str,
        reading: Reading,
        sent: u32,
    ) -> Result<Answered, Error> {
        let request = self.request(call, token, request_id)?;
        let left = self.inner.clock.now();
        let Response { status, headers, body } = self.inner.transport.send(request).await?;
        let arrived = self.inner.clock.now();
        self.inner.server_time.lock().unwrap_or_else(PoisonError::into_inner).observe(&headers, left, arrived);
        let request_id = server_request_id(&headers, &self.inner.request_id_header).unwrap_or(request_id).to_owned();
        let success = is_success(call.service, status, &headers);
        let operation = call.operation().to_owned();
        if success && reading == Reading::Open {
            return Ok(Answered::Open(Opened { status, headers, body, request_id, attempts: sent, operation }));
        }
        let body = if success { collect(body, call.limit_bytes).await? } else { collect_error(body).await };
        Ok(Answered::Whole(Reply { status, headers, body, request_id, attempts: sent, operation }))
    }

    fn request(&self, call: &Call, token: Option<&AccessToken>, request_id: &str) -> Result<Request, Error> {
        let inner = &*self.inner;
        let url = inner.origin.join(&call.path, call.query.as_deref());
        if !url.path().ends_with(&call.path) {
            // A segment of one or two dots is folded away by the rules of URLs, also when it is encoded.
            return Err(Error::new(QUERY_INVALID).with_detail("`.` and `..` cannot be part of an address"));
        }
        let mut request = Request::new(call.method.clone(), url);
        let headers = &mut request.headers;
        headers.clone_from(&inner.headers);
        for name in call.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &call.headers {
            headers.append(name.clone(), value.clone());
        }
        let (key, bearer) = &inner.key_headers;
        headers.insert(API_KEY, key.clone());
        let bearer = match token {
            Some(AccessToken { secret: token, header: Some(name), .. }) => {
                headers.insert(name.clone(), secret(token.expose_secret())?);
                bearer.clone()
            }
            Some(token) => Some(secret(&format!("Bearer {}", token.secret.expose_secret()))?),
            None => bearer.clone(),
        };
        if let Some(bearer) = bearer {
            headers.insert(header::AUTHORIZATION, bearer);
        }
        if let Ok(value) = HeaderValue::try_from(request_id) {
            headers.insert(inner.request_id_header.clone(), value);
        }
        if let Some(value) = inner.trace.as_ref().and_then(TraceContext::header) {
            headers.insert(TRACE_PARENT, value);
        }
        request.body = match (&call.stream, &call.body) {
            (Some((stream, _)), _) => RequestBody::Stream(stream.clone()),
            (None, Some(bytes)) => RequestBody::Bytes(bytes.clone()),
            (None, None) => RequestBody::Empty,
        };
        Ok(request)
    }
}

/// A header that no log shows.
pub(super) fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text).map_err(|_| Error::new(KEY_INVALID))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A function platform may report its own failure under any status.
pub(super) fn is_success(service: Service, status: StatusCode, headers: &HeaderMap) -> bool {
    let relay = service == Service::Functions && headers.get("x-relay-error").is_some_and(|value| value == "true");
    status.is_success() && !relay
}

fn server_request_id<'a>(headers: &'a HeaderMap, ours: &HeaderName) -> Option<&'a str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    text(ours.as_str()).or_else(|| text("sb-request-id")).or_else(|| text("x-request-id")).or_else(|| text("cf-ray"))
}
