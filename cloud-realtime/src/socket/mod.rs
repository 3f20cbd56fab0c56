//! The seam to the network: a [`Connector`] opens a [`Socket`], and a socket moves whole frames.
//!
//! ```text
//! Connector::connect(request) ──► Socket ── send(frame) ──►
//!                                        ◄── receive() ──── Frame | Alive | Closed
//! ```
//! One task owns a socket. Fragments, pings and masks stay below the seam; protocol versions, retries
//! and heartbeats stay above it. A connector tries once, and says why it failed in the server's words.
//! Source: RFC 6455; Supabase Realtime for the answers that refuse an upgrade.

mod outbound;
mod request;
mod text;
pub mod websocket;

pub use self::{request::ConnectRequest, text::Text};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

/// Most bytes kept of the answer that refused an upgrade.
const MAX_REFUSAL_BYTES: usize = 4 * 1024;

/// Opens sockets. Hold it as `Arc<dyn Connector>`.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// Makes one attempt. No retry, no redirect, and no time limit of its own: the caller sets it.
    ///
    /// Fails when the server picks a subprotocol that was not offered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up and closes whatever was open.
    async fn connect(&self, request: &ConnectRequest) -> Result<Box<dyn Socket>, ConnectError>;
}

/// An open socket. Dropping it closes the connection without a word.
#[async_trait]
pub trait Socket: fmt::Debug + Send {
    /// Hands one frame over; returns when there is room for the next.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may have sent the frame or not, never half of it.
    async fn send(&mut self, frame: Frame) -> Result<(), SocketError>;

    /// What the peer does next. After [`Received::Closed`], an error or a close, nothing more comes: every
    /// further call answers [`SocketError::Closed`]. Asked for each frame, hence no future in a box.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SocketError>>;

    /// Says goodbye with a close frame and closes. Closing twice is fine.
    async fn close(&mut self, reason: CloseReason) -> Result<(), SocketError>;
}

impl dyn Socket + '_ {
    /// What the peer does next; see [`Socket::poll_receive`].
    ///
    /// # Errors
    ///
    /// When the connection failed, the peer broke the protocol, or the socket was closed before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no frame.
    pub async fn receive(&mut self) -> Result<Received, SocketError> {
        poll_fn(|context| self.poll_receive(context)).await
    }
}

/// One message, whole. `Debug` shows its size only: frames carry tokens and user data.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6455 has two kinds of data frame")]
pub enum Frame {
    /// Text.
    Text(Text),
    /// Bytes.
    Binary(Bytes),
}

impl Frame {
    /// A frame of this text.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// Its length in bytes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Text(_)) { "Text" } else { "Binary" };
        write!(f, "{kind}({} bytes)", self.size_bytes())
    }
}

/// What came out of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Frame(Frame),
    /// A ping or a pong: no message, but the peer lives.
    Alive,
    /// The end.
    Closed(CloseReason),
}

/// How a socket ended. No code means do not come back; the code alone never decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReason {
    /// The code of the close frame; `None` when the connection just went away.
    pub code: Option<u16>,
    /// The words beside it, often none.
    pub text: String,
}

impl CloseReason {
    /// A close frame with this code.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    /// A connection that went away without a close frame.
    pub fn lost() -> Self {
        Self::default()
    }
}

/// Why a socket did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server answered the upgrade with something else.
    #[error("the server refused the socket with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The start of the answer, for classification; not part of `Display`.
        body: String,
        /// How long the server asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No connection: name, route, TLS. The source never holds the URL, which may carry a key.
    #[error("the server cannot be reached")]
    Unreachable(#[source] BoxError),
    /// A connection, but not a WebSocket: wrong accept key, unoffered subprotocol.
    #[error("the upgrade broke the protocol: {0}")]
    BadUpgrade(&'static str),
}

impl ConnectError {
    /// A refusal; of `body`, the first 4 KiB are kept.
    pub fn refused(status: u16, body: &str, retry_after: Option<Duration>) -> Self {
        let end = (0..=MAX_REFUSAL_BYTES.min(body.len())).rev().find(|&end| body.is_char_boundary(end));
        let body = body.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
        Self::Refused { status, body, retry_after }
    }
}

/// Why a socket failed while it was open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// It was closed before.
    #[error("the socket is closed")]
    Closed,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] BoxError),
    /// The peer sent more than the limit in one message; the socket is closed, with 1009 where that can still be said.
    #[error("a message is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The peer broke RFC 6455.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
}

/// The cause of a network failure, whatever the library below calls it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_frame_shows_no_content() {
        let frames = [Frame::text("s3cret"), Frame::Binary(Bytes::from_static(b"s3cret"))];
        assert_eq!(format!("{frames:?}"), "[Text(6 bytes), Binary(6 bytes)]");
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        let long = format!("{}é", "a".repeat(MAX_REFUSAL_BYTES - 1));
        let ConnectError::Refused { body, .. } = ConnectError::refused(500, &long, None) else { unreachable!() };
        assert_eq!(body.len(), MAX_REFUSAL_BYTES - 1);
    }

    #[test]
    fn a_short_refusal_is_kept_whole() {
        let text = r#"{"error":"Tenant not found"}"#;
        let ConnectError::Refused { status, body, .. } = ConnectError::refused(404, text, None) else { unreachable!() };
        assert_eq!((status, body.as_str()), (404, text));
    }
}
