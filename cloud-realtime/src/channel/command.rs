//! What handles ask of the supervisor.
use std::sync::Arc;

use cloud_client::Error;
use tokio::sync::oneshot;

use super::{Params, Rejoin, Shared};
use crate::{codec::Reply, message::Push};

/// One request. The queue is bounded; a full one makes the caller wait.
#[derive(Debug)]
pub(crate) enum Command {
    Open { shared: Arc<Shared>, params: Params, taken: oneshot::Sender<Result<(), Error>> },
    Configure { id: u64, params: Params, rejoin: Rejoin },
    AfterJoin { id: u64, push: Option<Push> },
    Push { id: u64, push: Push, waiter: Waiter },
}

/// Who waits for a push, and for what.
#[derive(Debug)]
pub(crate) enum Waiter {
    Sent(oneshot::Sender<Result<(), Error>>),
    Answer(oneshot::Sender<Result<Reply<'static>, Error>>),
}

impl Waiter {
    pub(crate) fn fail(self, error: Error) {
        // Whoever asked may have gone.
        match self {
            Self::Sent(waiter) => drop(waiter.send(Err(error))),
            Self::Answer(waiter) => drop(waiter.send(Err(error))),
        }
    }
}
