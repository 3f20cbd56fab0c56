//! Why a frame could not be read or written.
//!
//! None of these errors repeats what was in the frame: a frame may carry an access token, and JSON
//! errors like to quote. A place and a reason are kept instead. A frame that cannot be read is no
//! reason to give up the socket; the reader counts it, reports it and goes on.

use super::Sender;
use std::fmt;

/// Why a frame could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A binary frame without a single byte.
    #[error("the frame is empty")]
    Empty,
    /// A first byte that no protocol version knows.
    #[error("unknown binary frame kind {0}")]
    UnknownKind(u8),
    /// A known kind from the side that never sends it.
    #[error("binary frames of kind {kind} do not come from the {sender}")]
    WrongSender {
        /// The frame's first byte.
        kind: u8,
        /// Who sent it.
        sender: Sender,
    },
    /// The frame ends inside its header.
    #[error("a binary frame of kind {kind} ends inside its {field}")]
    Truncated {
        /// The frame's first byte.
        kind: u8,
        /// The part that is cut short.
        field: &'static str,
    },
    /// A header field is not text.
    #[error("the {field} is not UTF-8")]
    NotUtf8 {
        /// The field that is not text.
        field: &'static str,
    },
    /// Not the JSON that was expected here.
    #[error("the {what} is not what it should be: {fault}")]
    Json {
        /// The part that was read.
        what: &'static str,
        /// Where it stopped, and the sort of fault.
        fault: JsonFault,
    },
    /// Asked for JSON, but the payload is bytes.
    #[error("the payload is binary")]
    BinaryPayload,
    /// Version 1.0.0 has no binary frames.
    #[error("a binary frame on protocol version 1.0.0")]
    BinaryOnV1,
    /// Larger than the limit of this codec.
    #[error("the frame has {size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// Size of the frame.
        size_bytes: usize,
        /// The limit it broke.
        limit_bytes: usize,
    },
}

/// Why a frame could not be written. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A header field of more than 255 bytes.
    #[error("the {field} has {length_bytes} bytes, a binary frame holds 255")]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its length in UTF-8 bytes.
        length_bytes: usize,
    },
    /// Larger than the limit of this codec.
    #[error("the frame has {size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// Size of the frame, or of the payload where that alone is too much.
        size_bytes: usize,
        /// The limit it broke.
        limit_bytes: usize,
    },
    /// Version 1.0.0 has no binary frames.
    #[error("protocol version 1.0.0 cannot carry bytes")]
    BinaryOnV1,
    /// The protocol has no frame for this.
    #[error("{0}")]
    NoSuchFrame(&'static str),
    /// The value refuses to become JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Json(JsonFault),
}

/// Where JSON went wrong, without quoting any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonFault {
    sort: &'static str,
    line: usize,
    column: usize,
}

impl JsonFault {
    pub(crate) fn new(error: &serde_json::Error) -> Self {
        let sort = match error.classify() {
            serde_json::error::Category::Io => "not writable",
            serde_json::error::Category::Syntax => "broken JSON",
            serde_json::error::Category::Data => "another shape",
            serde_json::error::Category::Eof => "JSON that ends too early",
        };
        Self { sort, line: error.line(), column: error.column() }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.sort, self.line, self.column)
    }
}

pub(crate) fn bad_json(what: &'static str) -> impl Fn(serde_json::Error) -> DecodeError {
    move |error| DecodeError::Json { what, fault: JsonFault::new(&error) }
}

pub(crate) fn unwritable(error: serde_json::Error) -> EncodeError {
    EncodeError::Json(JsonFault::new(&error))
}
