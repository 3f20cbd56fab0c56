//! Reading an object: streamed, with progress, and taken up again where the connection was cut.
//!
//! key → `GET /object/{bucket}/{key}` (→ cut → `Range` and `If-Range` from the byte reached) → chunks. A continuation
//! counts only with the entity tag of the beginning; a server that ignores `Range` is read past what is known. A body
//! shorter than announced is never a success (T10). Wire source: Supabase Storage, download routes; RFC 9110, 14.
use std::{
    fmt,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{Bucket, Progress, SignedLink, content::local, progress::Listener, upload::link_error};
use crate::{
    Error, ErrorKind,
    call::{Call, Opened, Speaker},
    error::codes::{CUT, IDLE as SILENT, OBJECT_CHANGED, TIMEOUT, TOO_LARGE, UNREADABLE},
    pace::IDLE,
    transport::Body,
};

/// The longest download, unless the caller says otherwise.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a file is begun anew because the object changed meanwhile.
const FRESH_STARTS: u32 = 3;
/// How much is written to a file at once.
const WRITE_BYTES: usize = 256 * 1024;

/// An object to be read. Does nothing until it is opened.
#[derive(Clone, Debug)]
#[must_use = "nothing is read until the download is opened"]
pub struct Download {
    bucket: Bucket,
    key: String,
    link: Option<SignedLink>,
    from: u64,
    len: Option<u64>,
    timeout: Duration,
    listener: Listener,
}

/// What the head of the answer told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectHead {
    /// The object's whole length in bytes, also when only a part is read.
    pub size_bytes: Option<u64>,
    /// The entity tag as sent, quotes included.
    pub etag: Option<String>,
    /// The content type.
    pub content_type: Option<String>,
    /// When it was last written, as the server spells it.
    pub last_modified: Option<String>,
}

impl Download {
    pub(super) fn new(bucket: Bucket, key: String) -> Self {
        Self { bucket, key, link: None, from: 0, len: None, timeout: LIMIT, listener: Listener::default() }
    }

    pub(super) fn by_link(mut self, link: SignedLink) -> Self {
        self.link = Some(link);
        self
    }

    /// Reads from byte `from` to the end. Default: from the first.
    pub fn from(mut self, from: u64) -> Self {
        self.from = from;
        self
    }

    /// Reads at most `len` bytes. Default: to the end.
    pub fn take(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Limits the whole download. Silence is limited besides, to 30 s. Default: 24 h.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Tells how far the download is, chunk by chunk. Called on the task that reads, so it must be quick.
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(listener);
        self
    }

    /// Opens the object and hands out its bytes as they arrive.
    ///
    /// # Errors
    ///
    /// `api.not_found` when it does not exist or may not be seen, `storage.link_invalid` for a signed link that is over,
    /// otherwise as [`Client::open`](crate::Client::open); later ones come out of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn open(self) -> Result<ObjectStream, Error> {
        let clock = self.bucket.client.clock().clone();
        let (started, at) = (clock.monotonic(), self.from);
        let end = self.len.map(|len| self.from.saturating_add(len));
        let mut flow =
            Flow { download: self, head: ObjectHead::default(), at, end, skip: 0, body: None, failed: 0, started };
        if end != Some(at) {
            let opened = flow.ask().await?;
            flow.begin(opened)?;
        }
        let head = flow.head.clone();
        Ok(ObjectStream { head, chunks: stream::try_unfold(flow, Flow::step).boxed() })
    }

    /// Reads everything into memory, at most `limit_bytes`.
    ///
    /// # Errors
    ///
    /// `net.too_large` past the limit, otherwise as [`Download::open`] and its stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn bytes(self, limit_bytes: usize) -> Result<Bytes, Error> {
        let (mut stream, mut whole) = (self.open().await?, BytesMut::new());
        while let Some(chunk) = stream.next().await.transpose()? {
            if whole.len() + chunk.len() > limit_bytes {
                return Err(Error::new(TOO_LARGE));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads everything into `writer`, and flushes it.
    ///
    /// # Errors
    ///
    /// `storage.local_io` when writing fails, otherwise as [`Download::open`] and its stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the writer with what had arrived.
    pub async fn write_to(self, writer: &mut (impl AsyncWrite + Unpin + Send)) -> Result<ObjectHead, Error> {
        let mut stream = self.open().await?;
        while let Some(chunk) = stream.next().await.transpose()? {
            writer.write_all(&chunk).await.map_err(local)?;
        }
        writer.flush().await.map_err(local)?;
        Ok(stream.head)
    }

    /// Reads everything into a file: beside it first, then in its place, so that `path` holds the old bytes or all of
    /// the new ones. An object that changes meanwhile is read anew.
    ///
    /// # Errors
    ///
    /// As [`Download::write_to`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: `path` is untouched until everything has arrived, and the file beside it is removed.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectHead, Error> {
        let path = path.as_ref().to_owned();
        let mut start = 1;
        let (head, beside) = loop {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).to_owned();
            let file = blocking(move || tempfile::NamedTempFile::new_in(folder)).await?;
            let (file, beside) = file.into_parts();
            let mut file = tokio::io::BufWriter::with_capacity(WRITE_BYTES, tokio::fs::File::from_std(file));
            match self.clone().write_to(&mut file).await {
                Ok(head) => {
                    file.get_ref().sync_all().await.map_err(local)?;
                    break (head, beside);
                }
                Err(error) if error.code() == OBJECT_CHANGED && start < FRESH_STARTS => start += 1,
                Err(error) => return Err(error),
            }
        };
        blocking(move || beside.persist(path).map_err(|failed| failed.error)).await?;
        Ok(head)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(local),
        Err(cause) => Err(Error::new(crate::error::codes::INTERNAL).with_source(cause)),
    }
}

/// An object's bytes, in order. Dropping it closes the request.
#[must_use = "bytes are read only when asked for"]
pub struct ObjectStream {
    head: ObjectHead,
    chunks: Body,
}

impl ObjectStream {
    /// What the head of the answer told.
    pub fn head(&self) -> &ObjectHead {
        &self.head
    }

    /// The next bytes; `None` once the object is over or has failed.
    ///
    /// # Errors
    ///
    /// `storage.object_changed` when a cut download cannot go on because the object is another by now, otherwise what
    /// kept the rest from arriving.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no byte is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.chunks.next().await
    }
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream").field("head", &self.head).finish_non_exhaustive()
    }
}

/// One download on its way.
struct Flow {
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
            call = call.header(header::RANGE, super::upload::header_value(&format!("bytes={}-{last}", self.at))?);
            // A weak tag promises no equal bytes, and servers must ignore it here.
            let strong = self.head.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
            if let Some(tag) = strong {
                call = call.header(header::IF_RANGE, super::upload::header_value(tag)?);
            }
        }
        // Nothing of the flow is borrowed while waiting: its body may move between threads, not be shared by them.
        let (client, signed) = (bucket.client.clone(), link.is_some());
        let opened = client.open(call.timeout(left.min(2 * IDLE))).await;
        if signed { opened.map_err(link_error) } else { opened }
    }

    /// Takes over a head: the first one, or that of a continuation.
    fn begin(&mut self, opened: Opened) -> Result<(), Error> {
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
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let clock = self.download.bucket.client.clock().clone();
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return Ok(None);
            }
            let failure = match &mut self.body {
                None => match self.ask().await {
                    Ok(opened) => {
                        self.begin(opened)?;
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

/// Whether two streams give the same bytes, however they are cut into chunks.
pub(super) async fn same_bytes(there: &mut ObjectStream, here: &mut Body) -> Result<bool, Error> {
    let (mut left, mut right) = (Bytes::new(), Bytes::new());
    loop {
        if left.is_empty() {
            left = there.next().await.transpose()?.unwrap_or_default();
        }
        if right.is_empty() {
            right = here.next().await.transpose()?.unwrap_or_default();
        }
        let shared = left.len().min(right.len());
        if shared == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left.split_to(shared) != right.split_to(shared) {
            return Ok(false);
        }
    }
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
