//! Whether another provider may be asked after a failure. Pure; the host owns the providers and their order.
use cloud_client::{Error, ErrorKind, error::codes::KEY_REFUSED};

use super::AiStream;

/// Whether a question that failed with `error` may go to the next provider (G2).
///
/// Yes when the cloud was not reached or failed, when requests come too fast, and when the allowance is used up. No when
/// the question itself, or who asks it, was refused: another provider would only hide that. For a stream, ask
/// [`AiStream::may_fall_back`], since a second answer must never join the first one.
pub fn may_fall_back(error: &Error) -> bool {
    use ErrorKind::{Incompatible, Network, Protocol, QuotaExceeded, RateLimited, Server, Timeout};
    let kind = error.kind();
    error.code() != KEY_REFUSED
        && matches!(kind, Network | Timeout | Server | Protocol | RateLimited | QuotaExceeded | Incompatible)
}

impl AiStream {
    /// Whether the question may go to the next provider: this answer failed, and nothing of it was handed out (G1).
    pub fn may_fall_back(&self) -> bool {
        let untouched = self.text().is_empty() && self.partial().reasoning.is_empty();
        match self.outcome() {
            super::Outcome::Failed(error) => untouched && may_fall_back(error),
            _ => false,
        }
    }
}
