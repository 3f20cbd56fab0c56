//! A connection that goes on in another protocol, such as a WebSocket: the bytes behind a `101 Switching Protocols`.
//!
//! Request → HTTP/1.1 over the same proxy, certificates and limits as every other → 101 and a [`RawStream`], or the
//! answer that refused. What is spoken on the stream is the caller's business. Wire source: RFC 9110, section 7.8.
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Response;

/// What the server said to an upgrade.
#[derive(Debug)]
#[non_exhaustive]
pub enum Upgrade {
    /// It switches. The headers are still to be checked by whoever knows the protocol.
    #[non_exhaustive]
    Switched {
        /// The headers of the 101.
        headers: HeaderMap,
        /// The connection.
        stream: RawStream,
    },
    /// It answered with something else.
    Refused(Response),
}

/// A connection that was taken over. Dropping it closes it.
pub struct RawStream(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl RawStream {
    /// Wraps a connection, for transports of one's own.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl Upgrade {
    /// A switch, for transports of one's own.
    pub fn switched(headers: HeaderMap, stream: RawStream) -> Self {
        Self::Switched { headers, stream }
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawStream")
    }
}

impl AsyncRead for RawStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
