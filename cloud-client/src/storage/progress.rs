//! How far a transfer is, told to whoever asked, and the guard that a body has the length it was announced with.
//!
//! body → [`metered`] → the same chunks, counted: for the caller's progress, for the limit of silence
//! ([`Pace`](crate::pace::Pace)), and against the announced length (T10).
use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use crate::{Error, error::codes::SOURCE_CHANGED, pace::Pace, transport::Body};

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that went through. Falls back when an attempt starts anew.
    pub done_bytes: u64,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
}

/// Whoever wants to know.
#[derive(Clone, Default)]
pub(super) struct Listener(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl Listener {
    pub(super) fn new(listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(super) fn tell(&self, done_bytes: u64, total_bytes: Option<u64>) {
        if let Some(listener) = &self.0 {
            listener(Progress { done_bytes, total_bytes });
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(on)" } else { "Listener(off)" })
    }
}

/// What a metered body is measured against.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// Bytes of the whole transfer that lie before this body.
    pub(super) before: u64,
    /// Bytes that this body must have.
    pub(super) len: u64,
    /// Bytes of the whole transfer.
    pub(super) total: u64,
    pub(super) pace: Pace,
    pub(super) listener: Listener,
}

/// `body`, counted; it ends with an error unless it has exactly the announced length.
pub(super) fn metered(body: Body, meter: Meter) -> Body {
    stream::try_unfold((body, meter, 0_u64), async |(mut body, meter, seen)| {
        let chunk: Option<Bytes> = body.next().await.transpose()?;
        let Some(chunk) = chunk else {
            return if seen == meter.len { Ok(None) } else { Err(Error::new(SOURCE_CHANGED)) };
        };
        let taken = chunk.len() as u64;
        let seen = seen + taken;
        if seen > meter.len {
            return Err(Error::new(SOURCE_CHANGED));
        }
        meter.pace.moved(taken);
        meter.listener.tell(meter.before + seen, Some(meter.total));
        Ok(Some((chunk, (body, meter, seen))))
    })
    .boxed()
}
