//! Live connections: Phoenix channels with broadcast, presence and changes of the tables.
//!
//! Upgrade ([`door`]) → one task per socket ([`socket`]): frames → [`wire`] → [`session`] → the shared [`hub`] → outboxes
//! → frames. Commits of the database reach the hub through [`changes`]. [`Realtime`] owns the sockets: its stop signal
//! ends them, and it can wait until they are gone.
//! Wire source: Phoenix channels; Supabase Realtime, "Protocol".
//!
//! | Module                        | What lives there                                       |
//! |-------------------------------|--------------------------------------------------------|
//! | [`wire`]                      | frames of both serializer versions                     |
//! | [`door`], [`token`], [`access`] | who may connect, who may join what                   |
//! | [`socket`], [`outbox`]        | reading and writing one connection                     |
//! | [`session`], [`join`], [`room`] | what one socket asks for, and the answers            |
//! | [`hub`], [`presence`], [`limits`] | the state all sockets share                        |
//! | [`changes`]                   | commits → `postgres_changes`                           |
//! | [`api`], [`stored`]           | broadcasts over HTTP and from the database, replay     |
//! | [`disturb`], [`control`]      | faults                                                 |

mod access;
mod api;
mod changes;
mod control;
mod disturb;
mod door;
mod hub;
mod join;
mod limits;
mod options;
mod outbox;
mod presence;
mod room;
mod session;
mod socket;
mod stored;
mod token;
mod wire;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    api::{BATCH, SINGLE, batch, single},
    changes::start,
    door::upgrade,
};
pub use self::{
    control::RealtimeControl,
    options::{RealtimeOptions, TopicAccess},
};
use self::{disturb::Disturb, hub::Hub, stored::Stored};
use crate::core::changes::Wanted;

/// Where its socket is.
pub(crate) const UPGRADE_PATH: &str = "/realtime/v1/websocket";

/// Where a Realtime without a gateway, and any Phoenix server, has its socket.
pub(crate) const PLAIN_PATH: &str = "/socket/websocket";

/// The realtime service of one server.
#[derive(Debug)]
pub(crate) struct Realtime {
    pub(crate) options: RealtimeOptions,
    hub: Hub,
    disturb: Disturb,
    stored: Stored,
    wanted: Wanted,
    /// Tells sessions that their subscriptions broke off, and for how long.
    restart: watch::Sender<Duration>,
    /// Tells sessions to check their tokens now.
    recheck: watch::Sender<()>,
    stop: CancellationToken,
    sockets: TaskTracker,
}

impl Realtime {
    pub(crate) fn new(options: RealtimeOptions) -> Self {
        let hub = Hub::new(&options);
        let (recheck, stop, sockets) = (watch::Sender::new(()), CancellationToken::new(), TaskTracker::new());
        Self {
            options,
            hub,
            disturb: Disturb::new(),
            stored: Stored::default(),
            wanted: Wanted::default(),
            restart: watch::Sender::default(),
            recheck,
            stop,
            sockets,
        }
    }

    /// Makes every session check its tokens now.
    pub(crate) fn check_tokens(&self) {
        self.recheck.send_replace(());
    }

    /// Ends every socket with 1012, and resolves once their tasks are gone.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + use<> {
        self.stop.cancel();
        self.sockets.close();
        let sockets = self.sockets.clone();
        async move { sockets.wait().await }
    }
}
