//! The one task of a connection.
use std::sync::Arc;

use cloud_client::tasks::CancellationToken;
use tokio::sync::{Notify, mpsc, watch};

use super::{Intent, builder::RealtimeBuilder};
use crate::{channel::command::Command, status::Status};

/// What the task listens to.
pub(super) struct Ears {
    pub(super) stop: CancellationToken,
    pub(super) asked: mpsc::Receiver<Command>,
    pub(super) dropped: Arc<Notify>,
    pub(super) intents: watch::Receiver<Intent>,
}

pub(super) struct Supervisor {
    _options: RealtimeBuilder,
    _status: watch::Sender<Status>,
}

impl Supervisor {
    pub(super) fn new(options: RealtimeBuilder, status: watch::Sender<Status>) -> Self {
        Self { _options: options, _status: status }
    }

    pub(super) async fn run(self, ears: Ears) {
        let Ears { stop, mut asked, dropped: _dropped, intents: _intents } = ears;
        while let Some(Some(command)) = stop.run_until_cancelled(asked.recv()).await {
            if let Command::Push { waiter, .. } = command {
                waiter.fail(cloud_client::Error::new(crate::codes::SOCKET_LOST));
            }
        }
    }
}
