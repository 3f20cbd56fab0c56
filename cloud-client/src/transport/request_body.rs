//! What a request carries: nothing, bytes at hand, or a stream that can be opened once for each attempt.
//!
//! A stream is given as a way to open it, not as a stream: a repeated or refused request starts it anew, and a
//! [`Request`](super::Request) stays cheap to clone. Its length is known beforehand and goes out as `Content-Length`,
//! so that a server can tell a short body from a whole one (T10).
use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::Body;
use crate::Error;

/// The body of a request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum RequestBody {
    /// No body.
    #[default]
    Empty,
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes that are read while they are sent.
    Stream(StreamBody),
}

impl RequestBody {
    /// Reads everything into memory; for transports that do not send, such as fakes.
    ///
    /// # Errors
    ///
    /// Whatever the stream ends with.
    pub async fn collect(self) -> Result<Bytes, Error> {
        match self {
            Self::Empty => Ok(Bytes::new()),
            Self::Bytes(bytes) => Ok(bytes),
            Self::Stream(body) => {
                let (mut chunks, mut whole) = (body.open(), BytesMut::new());
                while let Some(chunk) = chunks.next().await.transpose()? {
                    whole.extend_from_slice(&chunk);
                }
                Ok(whole.freeze())
            }
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// A body of known length that is read while it is sent.
#[derive(Clone)]
pub struct StreamBody {
    len_bytes: u64,
    open: Arc<dyn Fn() -> Body + Send + Sync>,
}

impl StreamBody {
    /// A body of `len_bytes`; `open` starts it at its beginning, once for each attempt. A stream that gives fewer or
    /// more bytes must end with an error.
    pub fn new(len_bytes: u64, open: impl Fn() -> Body + Send + Sync + 'static) -> Self {
        Self { len_bytes, open: Arc::new(open) }
    }

    /// The length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Starts the stream at its beginning.
    pub fn open(&self) -> Body {
        (self.open)()
    }
}

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBody").field("len_bytes", &self.len_bytes).finish_non_exhaustive()
    }
}
