//! What is uploaded: bytes at hand, a file, or anything else that can be read from a place again.
//!
//! An upload may have to start anew, or go on in the middle after a restart, so content is not a stream but a
//! [`Source`] of streams: any range, any number of times, always the same bytes. A file that changes while it is being
//! sent ends the transfer with `storage.source_changed`; no mixture of two versions is ever completed. A piece at a time is in
//! memory (B1).
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::progress::{Listener, Meter, metered};
use crate::{
    Error,
    error::codes::{LOCAL_IO, SOURCE_CHANGED},
    pace::Pace,
    transport::{Body, StreamBody},
};

/// How much is handed to the network at once: progress is told this often.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes that can be read again.
pub trait Source: fmt::Debug + Send + Sync {
    /// The length in bytes, fixed.
    fn len_bytes(&self) -> u64;

    /// A text that changes when the bytes do; an unfinished upload is only continued with an equal one. No secret.
    fn fingerprint(&self) -> String;

    /// The `len` bytes from `from` on. Ends with an error when the content is no longer what it was.
    fn read(&self, from: u64, len: u64) -> Body;
}

/// A cheap-clone handle on a [`Source`].
#[derive(Clone, Debug)]
pub struct Content(Arc<dyn Source>);

impl Content {
    /// Wraps an implementation.
    pub fn new(source: impl Source + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// A file as it is now. It is opened again for each attempt, and must not change until the transfer is over.
    ///
    /// The fingerprint is made of length and modification time: a file system with a coarse clock may hide a quick
    /// change from an upload that is continued later, so callers with a hash of their own implement [`Source`].
    ///
    /// # Errors
    ///
    /// `storage.local_io` when the file cannot be examined.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only looks.
    pub async fn file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let stamp = Stamp::of(&tokio::fs::metadata(&path).await.map_err(local)?);
        Ok(Self::new(FileSource { path, stamp }))
    }

    /// The length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    /// See [`Source::fingerprint`].
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    /// See [`Source::read`].
    pub fn read(&self, from: u64, len: u64) -> Body {
        self.0.read(from, len)
    }

    /// A range as the body of a request, measured.
    pub(super) fn body(&self, from: u64, len: u64, pace: &Pace, listener: &Listener) -> StreamBody {
        let (content, pace, listener) = (self.clone(), pace.clone(), listener.clone());
        StreamBody::new(len, move || {
            let (pace, listener) = (pace.clone(), listener.clone());
            let meter = Meter { before: from, len, total: content.len_bytes(), pace, listener };
            metered(content.read(from, len), meter)
        })
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        Self::new(Whole { bytes: bytes.into(), fingerprint: OnceLock::new() })
    }
}

/// Bytes at hand.
struct Whole {
    bytes: Bytes,
    /// Made when first asked for, since every ticket asks.
    fingerprint: OnceLock<String>,
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole({} bytes)", self.bytes.len())
    }
}

impl Source for Whole {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn fingerprint(&self) -> String {
        let hash = || {
            let digest = Sha256::digest(&self.bytes);
            digest.iter().fold(String::from("sha256-"), |text, byte| format!("{text}{byte:02x}"))
        };
        self.fingerprint.get_or_init(hash).clone()
    }

    fn read(&self, from: u64, len: u64) -> Body {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        let mut rest = self.bytes.slice(place(from)..place(from.saturating_add(len)));
        stream::iter(std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| Ok(rest.split_to(rest.len().min(PIECE_BYTES))))
        }))
        .boxed()
    }
}

/// By what a change of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

struct FileSource {
    path: PathBuf,
    stamp: Stamp,
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSource({} bytes)", self.stamp.len)
    }
}

impl Source for FileSource {
    fn len_bytes(&self) -> u64 {
        self.stamp.len
    }

    fn fingerprint(&self) -> String {
        let since = self.stamp.modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        format!("file-{}-{}", self.stamp.len, since.unwrap_or_default().as_nanos())
    }

    fn read(&self, from: u64, len: u64) -> Body {
        let (path, stamp) = (self.path.clone(), self.stamp);
        stream::once(async move { pieces(&path, stamp, from, len).await }).try_flatten().boxed()
    }
}

/// Opens the file, and reads piece after piece. Looks at the stamp before the first byte and after the last.
async fn pieces(path: &Path, stamp: Stamp, from: u64, len: u64) -> Result<Body, Error> {
    let mut file = tokio::fs::File::open(path).await.map_err(local)?;
    unchanged(&file, stamp).await?;
    file.seek(io::SeekFrom::Start(from)).await.map_err(local)?;
    Ok(stream::try_unfold((file, len), move |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let wanted = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        let mut piece = BytesMut::with_capacity(wanted);
        while piece.len() < wanted {
            let room = (wanted - piece.len()) as u64;
            if (&mut file).take(room).read_buf(&mut piece).await.map_err(local)? == 0 {
                return Err(Error::new(SOURCE_CHANGED));
            }
        }
        let left = left - wanted as u64;
        if left == 0 {
            // Before the last piece goes out, so that a server never gets a whole body of two versions.
            unchanged(&file, stamp).await?;
        }
        Ok(Some((piece.freeze(), (file, left))))
    })
    .boxed())
}

async fn unchanged(file: &tokio::fs::File, stamp: Stamp) -> Result<(), Error> {
    let now = Stamp::of(&file.metadata().await.map_err(local)?);
    if now == stamp { Ok(()) } else { Err(Error::new(SOURCE_CHANGED)) }
}

pub(super) fn local(cause: io::Error) -> Error {
    Error::new(LOCAL_IO).with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::RequestBody;

    async fn all(content: &Content, from: u64, len: u64) -> Result<Bytes, Error> {
        RequestBody::Stream(content.body(from, len, &Pace::default(), &Listener::default())).collect().await
    }

    #[tokio::test]
    async fn any_range_of_a_file_reads_as_the_same_range_of_its_bytes() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let (file, memory) = (Content::file(file.path()).await.unwrap(), Content::from(bytes.clone()));
        for (from, len) in [(0, 1_000_000), (0, 0), (999_999, 1), (262_143, 262_146), (1_000_000, 0)] {
            let expected = bytes.get(from as usize..(from + len) as usize).unwrap();
            assert_eq!(all(&file, from, len).await.unwrap(), expected);
            assert_eq!(all(&memory, from, len).await.unwrap(), expected);
        }
        // A range past the end is short, and a short body is an error.
        assert_eq!(all(&file, 999_999, 2).await.unwrap_err().code(), SOURCE_CHANGED);
        assert_eq!(all(&memory, 999_999, 2).await.unwrap_err().code(), SOURCE_CHANGED);
    }

    #[tokio::test]
    async fn a_file_that_changed_is_not_sent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before").unwrap();
        let content = Content::file(file.path()).await.unwrap();
        let fingerprint = content.fingerprint();
        std::fs::write(file.path(), "later!").unwrap();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(all(&content, 0, 6).await.unwrap_err().code(), SOURCE_CHANGED);
        assert_ne!(Content::file(file.path()).await.unwrap().fingerprint(), fingerprint);
    }
}
