//! What the host's tracing and metrics see of a call: one span, and with the feature `metrics` three figures.
//!
//! The span `cloud.call` has the fields `operation` (method and path template), `service`, `attempts`, `status` or
//! `code`, `request_id` and `elapsed_ms`; no value, query, header or body. The figures are `cloud_client_calls_total`
//! and `cloud_client_call_seconds` with the labels `operation`, `service` and `status` (`2xx` … `5xx`, `none`), and
//! `cloud_client_retries_total` with `operation` and `service`. A call ends at the head of an answer that is read as it
//! arrives, and is not counted when its future is dropped. Wire source: W3C Trace Context, section 3.2.
use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use tracing::{Span, field::Empty};

use crate::{Error, call::Call, error::Service};

/// One call, while it runs.
#[derive(Debug)]
pub(crate) struct Observed<'a> {
    span: Span,
    #[cfg(feature = "metrics")]
    call: &'a Call,
    #[cfg(not(feature = "metrics"))]
    call: std::marker::PhantomData<&'a Call>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    /// The status of the answer, or what kept it from arriving.
    pub(crate) outcome: Result<StatusCode, &'a Error>,
    pub(crate) request_id: &'a str,
    pub(crate) attempts: u32,
    pub(crate) elapsed: Duration,
}

impl<'a> Observed<'a> {
    pub(crate) fn begin(call: &'a Call) -> Self {
        let span = tracing::info_span!(
            "cloud.call",
            operation = call.operation(),
            service = name(call.service),
            attempts = Empty,
            status = Empty,
            code = Empty,
            request_id = Empty,
            elapsed_ms = Empty,
        );
        Self {
            span,
            #[cfg(feature = "metrics")]
            call,
            #[cfg(not(feature = "metrics"))]
            call: std::marker::PhantomData,
        }
    }

    /// The span that the call's work runs in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Whether anybody wants to know how long the call took.
    pub(crate) fn is_timed(&self) -> bool {
        cfg!(feature = "metrics") || !self.span.is_disabled()
    }

    pub(crate) fn end(self, end: &End<'_>) {
        match end.outcome {
            Ok(status) => self.span.record("status", status.as_u16()),
            Err(error) => self.span.record("code", error.code().as_str()),
        };
        self.span.record("attempts", end.attempts);
        self.span.record("request_id", end.request_id);
        self.span.record("elapsed_ms", u64::try_from(end.elapsed.as_millis()).unwrap_or(u64::MAX));
        #[cfg(feature = "metrics")]
        self.count(end);
    }

    #[cfg(feature = "metrics")]
    fn count(self, end: &End<'_>) {
        let status = match end.outcome.map(|status| status.as_u16() / 100) {
            Ok(2) => "2xx",
            Ok(3) => "3xx",
            Ok(4) => "4xx",
            Ok(5) => "5xx",
            _ => "none",
        };
        let (operation, service) = (self.call.operation().to_owned(), name(self.call.service));
        let labels = || [("operation", operation.clone()), ("service", service.into()), ("status", status.into())];
        metrics::counter!("cloud_client_calls_total", &labels()).increment(1);
        metrics::histogram!("cloud_client_call_seconds", &labels()).record(end.elapsed);
        let retries = u64::from(end.attempts.saturating_sub(1));
        if retries > 0 {
            metrics::counter!("cloud_client_retries_total", "operation" => operation, "service" => service)
                .increment(retries);
        }
    }
}

fn name(service: Service) -> &'static str {
    match service {
        Service::Auth => "auth",
        Service::Rest => "rest",
        Service::Storage => "storage",
        Service::Functions => "functions",
        Service::Realtime => "realtime",
        Service::Host => "host",
    }
}

/// The host's answer to "which trace is this part of?".
#[derive(Clone)]
pub(crate) struct TraceContext(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl TraceContext {
    pub(crate) fn new(provider: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(provider))
    }

    /// The value of `traceparent` at this moment; nothing when the host gives something else than one.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        (self.0)().filter(|text| is_traceparent(text)).and_then(|text| HeaderValue::try_from(text).ok())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceContext")
    }
}

/// `00-{32 hex}-{16 hex}-{2 hex}`, lower case, neither id all zeros. Other versions are not ours to send.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, len: usize| hex(part, len) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<_> = text.split('-').collect();
    matches!(parts[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_sent() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::new(|| Some(good.to_owned())).header().unwrap(), good);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",
        ] {
            assert_eq!(TraceContext::new(move || Some(bad.to_owned())).header(), None, "{bad}");
        }
        assert_eq!(TraceContext::new(|| None).header(), None);
    }
}
