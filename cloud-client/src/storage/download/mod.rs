//! Reading an object: streamed, with progress, and taken up again where the connection was cut.
//!
//! [`Download`] says what is wanted, `flow` gets it over any number of connections, [`ObjectStream`] hands it out; into
//! memory, a writer or a file it goes from there.
mod flow;

use std::{
    fmt,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use self::flow::Flow;
use super::{Bucket, Progress, SignedLink, content::local, progress::Listener};
use crate::{
    Error,
    error::codes::{OBJECT_CHANGED, TOO_LARGE},
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
        let flow = Flow::begin(self).await?;
        let head = flow.head().clone();
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
