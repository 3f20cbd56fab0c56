//! Reads the body of an answer within a limit, whatever length it announced. Chunks in, bytes out.
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use crate::{Error, call::ERROR_LIMIT_BYTES, error::codes::TOO_LARGE, transport::Body};

/// Reads a body to its end, never past `limit` and never trusting an announced length (T5).
pub(super) async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
    let mut whole = BytesMut::new();
    let mut chunk = first;
    loop {
        if whole.len() + chunk.len() > limit {
            return Err(Error::new(TOO_LARGE));
        }
        match body.next().await.transpose()? {
            // One chunk is the whole body more often than not: no copy then.
            None if whole.is_empty() => return Ok(chunk),
            None => {
                whole.extend_from_slice(&chunk);
                return Ok(whole.freeze());
            }
            Some(next) => {
                whole.extend_from_slice(&chunk);
                chunk = next;
            }
        }
    }
}

/// Reads the beginning of an error body; the rest, and a cut, do not matter.
pub(super) async fn collect_error(mut body: Body) -> Bytes {
    let mut whole = BytesMut::new();
    while let Some(Ok(chunk)) = body.next().await {
        let room = ERROR_LIMIT_BYTES - whole.len();
        whole.extend_from_slice(&chunk.slice(..chunk.len().min(room)));
        if whole.len() == ERROR_LIMIT_BYTES {
            break;
        }
    }
    whole.freeze()
}
