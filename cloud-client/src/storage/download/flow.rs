//! One download on its way, over any number of connections.
//!
//! key → `GET /object/{bucket}/{key}` (→ cut → `Range` and `If-Range` from the byte reached) → chunks. A continuation
//! counts only with the entity tag of the beginning; a server that ignores `Range` is read past what is known. A body
//! shorter than announced is never a success (T10). Wire source: Supabase Storage, download routes; RFC 9110, 14.
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Download, ObjectHead};
use crate::{
    Error, ErrorKind,
    call::{Call, Opened, Speaker},
    error::codes::{CUT, IDLE as SILENT, OBJECT_CHANGED, TIMEOUT, UNREADABLE},
    pace::IDLE,
    storage::upload::{header_value, link_error},
    transport::Body,
};

/// One download on its way.
pub(super) struct Flow {
    download: Download,
    head: ObjectHead,
    /// The next byte to hand out, counted from the object's first.
    at: u64,
    /// The byte behind the last one wanted, once known.
    end: Option<u64>,
    /// Bytes of the present body that are known already.
    skip: u64,
    body: Option<Body>,
    /// Failures since the last byte.
    failed: u32,
    started: Duration,
}

impl Flow {
    /// Asks for the object, unless nothing of it is wanted.
    pub(super) async fn begin(download: Download) -> Result<Self, Error> {
        let (started, at) = (download.bucket.client.clock().monotonic(), download.from);
        let end = download.len.map(|len| at.saturating_add(len));
        let mut flow = Self { download, head: ObjectHead::default(), at, end, skip: 0, body: None, failed: 0, started };
        if end != Some(at) {
            let opened = flow.ask().await?;
            flow.take_over(opened)?;
        }
        Ok(flow)
    }

    /// What the head of the first answer told.
    pub(super) fn head(&self) -> &ObjectHead {
        &self.head
    }

    fn left(&self) -> Duration {
        let spent = self.download.bucket.client.clock().monotonic().saturating_sub(self.started);
        self.download.timeout.saturating_sub(spent)
    }

    /// Asks for everything from `at` on.
    async fn ask(&mut self) -> Result<Opened, Error> {
        let left = self.left();
        let Download { bucket, key, link, .. } = &self.download;
        let mut call: Call = match link {
            None => bucket.call(Method::GET, &["object"], key)?,
            Some(link) => {
                let call = bucket.call(Method::GET, &["object", "sign"], key)?;
                call.query("token", link.token()).speaker(Speaker::Nobody)
            }
        };
        call = call.header(header::ACCEPT, HeaderValue::from_static("*/*"));
        if self.at > 0 || self.end.is_some() {
            let last = self.end.map(|end| end.saturating_sub(1).to_string()).unwrap_or_default();
            call = call.header(header::RANGE, header_value(&format!("bytes={}-{last}", self.at))?);
            // A weak tag promises no equal bytes, and servers must ignore it here.
            let strong = self.head.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
            if let Some(tag) = strong {
                call = call.header(header::IF_RANGE, header_value(tag)?);
            }
        }
        // Nothing of the flow is borrowed while waiting: its body may move between threads, not be shared by them.
        let (client, signed) = (bucket.client.clone(), link.is_some());
        let opened = client.open(call.timeout(left.min(2 * IDLE))).await;
        if signed { opened.map_err(link_error) } else { opened }
    }

    /// Takes over a head: the first one, or that of a continuation.
    fn take_over(&mut self, opened: Opened) -> Result<(), Error> {
        let Opened { status, headers, body, request_id, operation, .. } = opened;
        let wrong = |code| Err(Error::new(code).during(operation.clone()).with_request_id(&request_id));
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        let (start, size) = if status == StatusCode::PARTIAL_CONTENT {
            let Some((start, size)) = text(header::CONTENT_RANGE).as_deref().and_then(content_range) else {
                return wrong(UNREADABLE);
            };
            (start, size)
        } else {
            (0, length(&headers))
        };
        let head = ObjectHead {
            size_bytes: size,
            etag: text(header::ETAG),
            content_type: text(header::CONTENT_TYPE),
            last_modified: text(header::LAST_MODIFIED),
        };
        let continued = self.head != ObjectHead::default();
        if continued && (head.etag != self.head.etag || (size.is_some() && size != self.head.size_bytes)) {
            return wrong(OBJECT_CHANGED);
        }
        // A body that begins later than asked would leave a hole.
        let Some(skip) = self.at.checked_sub(start) else { return wrong(UNREADABLE) };
        self.end = match (self.end, size) {
            (Some(end), Some(size)) => Some(end.min(size)),
            (end, size) => end.or(size),
        };
        if !continued {
            self.head = head;
        }
        (self.skip, self.body) = (skip, Some(body));
        Ok(())
    }

    /// The next bytes, over any number of connections.
    pub(super) async fn step(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let clock = self.download.bucket.client.clock().clone();
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return Ok(None);
            }
            let failure = match &mut self.body {
                None => match self.ask().await {
                    Ok(opened) => {
                        self.take_over(opened)?;
                        continue;
                    }
                    Err(error) => error,
                },
                Some(body) => match clock.within(IDLE, body.next()).await {
                    Some(Some(Ok(chunk))) => {
                        if let Some(fresh) = self.fresh(chunk) {
                            return Ok(Some((fresh, self)));
                        }
                        continue;
                    }
                    Some(Some(Err(error))) => error,
                    // Without a known end, the end of the body is the end of the object.
                    Some(None) if self.end.is_none() && self.skip == 0 => return Ok(None),
                    Some(None) => Error::new(CUT),
                    None => Error::new(SILENT),
                },
            };
            self.body = None;
            self.failed += 1;
            if self.left().is_zero() {
                return Err(Error::new(TIMEOUT).with_source(failure));
            }
            // Without a tag nothing proves that a continuation belongs to the beginning.
            let again = self.head.etag.is_some() && matches!(failure.kind(), ErrorKind::Network | ErrorKind::Timeout);
            let wait = self.download.bucket.client.pause(&failure, self.failed, self.left());
            match wait.filter(|_| again) {
                Some(wait) => clock.sleep(wait).await,
                None => return Err(failure),
            }
        }
    }

    /// What of `chunk` is new and wanted.
    fn fresh(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        let known = self.skip.min(chunk.len() as u64);
        self.skip -= known;
        chunk = chunk.slice(usize::try_from(known).unwrap_or(chunk.len())..);
        if let Some(end) = self.end {
            let wanted = end.saturating_sub(self.at).min(chunk.len() as u64);
            chunk.truncate(usize::try_from(wanted).unwrap_or(chunk.len()));
        }
        if chunk.is_empty() {
            return None;
        }
        self.at += chunk.len() as u64;
        self.failed = 0;
        let first = self.download.from;
        self.download.listener.tell(self.at - first, self.end.map(|end| end.saturating_sub(first)));
        Some(chunk)
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes 7-9/10` → the first byte, and the whole length unless it is `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = if size.trim() == "*" { None } else { Some(size.trim().parse().ok()?) };
    (first <= last && size.is_none_or(|size| last < size)).then_some((first, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_or_refused() {
        assert_eq!(content_range("bytes 7-9/10"), Some((7, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for bad in ["", "bytes */10", "bytes 9-7/10", "bytes 0-10/10", "items 0-1/2", "bytes -1-2/3", "bytes 1/3"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
