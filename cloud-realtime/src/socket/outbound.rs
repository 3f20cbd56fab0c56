//! The raw stream below the WebSocket library, and the frames of ours that go past it.
//!
//! ```text
//! send ─► frame, masked ─► [`Outbound`] ─┐
//! library: pong, close ──► poll_write ───┴─► raw stream     frames of ours first, each whole
//! ```
//! The library writes out each frame that it sends, payload and all, to the log at its most talkative level; joins and token
//! pushes carry the session's token, and a library above it cannot stop that (A12). So the frames with payload are put
//! together here, by the library's own format, and never pass its log. Source: RFC 6455, sections 5.2 and 5.3.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use cloud_client::transport::RawStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Error as WsError,
    protocol::frame::{
        Frame as WireFrame,
        coding::{Data, OpCode},
    },
};

use super::Frame;

/// The raw stream with at most one frame of ours before whatever the library writes.
pub(super) struct Outbound {
    raw: RawStream,
    frame: Bytes,
}

impl Outbound {
    pub(super) const fn new(raw: RawStream) -> Self {
        Self { raw, frame: Bytes::new() }
    }

    /// Puts `frame` next. The one before has to be written, and what the library had to say as well: flush first.
    pub(super) fn put(&mut self, frame: Frame) -> Result<(), WsError> {
        debug_assert!(self.frame.is_empty(), "frames are put one by one, after a flush");
        let (payload, kind) = match frame {
            Frame::Text(text) => (Bytes::from(text), Data::Text),
            Frame::Binary(bytes) => (bytes, Data::Binary),
        };
        let mut frame = WireFrame::message(payload, OpCode::Data(kind), true);
        let mask = getrandom::u32().map_err(|cause| WsError::Io(io::Error::other(cause)))?;
        frame.header_mut().mask = Some(mask.to_ne_bytes());
        let mut wire = Vec::with_capacity(frame.len());
        frame.format(&mut wire)?;
        self.frame = wire.into();
        Ok(())
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.frame.is_empty() {
            let written = ready!(Pin::new(&mut self.raw).poll_write(context, &self.frame))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.frame.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Outbound {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.raw).poll_read(context, into)
    }
}

impl AsyncWrite for Outbound {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.raw).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.raw).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.raw).poll_shutdown(context)
    }
}
