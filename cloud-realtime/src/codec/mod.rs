//! Frames to envelopes and back, for protocol versions 1.0.0 and 2.0.0, from either side.
//!
//! ```text
//! text frame   ──► v1 (object) | v2 (array) ─┐
//!                                            ├─► Envelope: refs, topic, event, payload still as it came
//! binary frame ──► binary (kinds 0 to 4)    ─┘
//! ```
//!
//! Reading borrows from the frame: nothing is copied, and a payload is decoded only when it is asked
//! for, so a message that nobody wants costs its envelope. Both sides are here because a client is
//! tested against frames of a server. Nothing here does I/O or panics, whatever the bytes.
//! Source: Phoenix `V1.JSONSerializer` and `V2.JSONSerializer`; Supabase Realtime's serializer for the
//! binary kinds 3 and 4.

mod binary;
mod envelope;
mod error;
mod v1;
mod v2;
mod wire;

pub(crate) use self::error::{bad_json, unwritable};
pub use self::{
    envelope::{Content, Envelope, Payload, Reply, UserBroadcast},
    error::{DecodeError, EncodeError, JsonFault},
};
use crate::socket::Frame;
use std::fmt;

/// Most bytes in a frame that a client sends. Supabase Realtime closes the socket above this.
pub const MAX_SENT_BYTES: usize = 5_000_000;
/// Most bytes in a frame that is read: a server may send more than it takes.
pub const MAX_RECEIVED_BYTES: usize = 8 * 1024 * 1024;

/// A protocol version, the `vsn` of the socket's URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// `1.0.0`: JSON objects, no join refs from the server, no bytes. For old servers.
    V1,
    /// `2.0.0`: JSON arrays and binary frames.
    #[default]
    V2,
}

impl Version {
    /// The value of the `vsn` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// Who wrote a frame. The same first byte means different things in the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a socket has two ends")]
pub enum Sender {
    /// The side that opened the socket.
    Client,
    /// The side that accepted it.
    Server,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Reads and writes the frames of one protocol version.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    version: Version,
    max_sent_bytes: usize,
    max_received_bytes: usize,
}

impl Codec {
    /// A codec with the usual limits, [`MAX_SENT_BYTES`] and [`MAX_RECEIVED_BYTES`].
    pub const fn new(version: Version) -> Self {
        Self { version, max_sent_bytes: MAX_SENT_BYTES, max_received_bytes: MAX_RECEIVED_BYTES }
    }

    /// Limits what [`encode`](Self::encode) writes. Default: [`MAX_SENT_BYTES`].
    #[must_use]
    pub const fn max_sent_bytes(mut self, limit: usize) -> Self {
        self.max_sent_bytes = limit;
        self
    }

    /// Limits what [`decode`](Self::decode) reads. Default: [`MAX_RECEIVED_BYTES`].
    #[must_use]
    pub const fn max_received_bytes(mut self, limit: usize) -> Self {
        self.max_received_bytes = limit;
        self
    }

    /// The version this codec speaks.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The frame of `envelope`, as `sender` writes it.
    ///
    /// # Errors
    ///
    /// When a field or the frame is too long, or this version has no frame for the payload.
    pub fn encode(&self, sender: Sender, envelope: &Envelope<'_>) -> Result<Frame, EncodeError> {
        self.check_sent(envelope.payload().size_bytes())?;
        let frame = match self.version {
            Version::V1 => Frame::text(v1::encode(sender, envelope)?),
            Version::V2 if envelope.payload().is_text() => Frame::text(v2::encode(envelope)?),
            Version::V2 => Frame::Binary(binary::encode(sender, envelope)?.into()),
        };
        self.check_sent(frame.size_bytes())?;
        Ok(frame)
    }

    /// Reads a frame that `sender` wrote. The envelope borrows from it.
    ///
    /// # Errors
    ///
    /// When the frame is not one that `sender` can have written in this version, or is too large.
    pub fn decode<'a>(&self, sender: Sender, frame: &'a Frame) -> Result<Envelope<'a>, DecodeError> {
        let (size_bytes, limit_bytes) = (frame.size_bytes(), self.max_received_bytes);
        if size_bytes > limit_bytes {
            return Err(DecodeError::TooLarge { size_bytes, limit_bytes });
        }
        match (self.version, frame) {
            (Version::V1, Frame::Text(text)) => v1::decode(text),
            (Version::V2, Frame::Text(text)) => v2::decode(text),
            (Version::V1, Frame::Binary(_)) => Err(DecodeError::BinaryOnV1),
            (Version::V2, Frame::Binary(bytes)) => binary::decode(sender, bytes),
        }
    }

    const fn check_sent(&self, size_bytes: usize) -> Result<(), EncodeError> {
        let limit_bytes = self.max_sent_bytes;
        if size_bytes > limit_bytes { Err(EncodeError::TooLarge { size_bytes, limit_bytes }) } else { Ok(()) }
    }
}
