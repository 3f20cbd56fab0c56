//! The text of a frame, in the buffer in which it was read: a frame goes from the network to its envelope without a copy.
use std::{fmt, ops::Deref};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Text that is cheap to clone. `Debug` shows its size only.
///
/// It keeps the whole buffer that it was read into; what is kept for longer is copied out of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Utf8Bytes);

impl Text {
    pub(super) const fn of(text: Utf8Bytes) -> Self {
        Self(text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
