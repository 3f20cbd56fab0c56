//! What happens to the server while rows are written: one of a few faults, begun and ended by what was committed.
use std::time::Duration;

use cloud_dev::RealtimeControl;
use cloud_sdk::realtime::{
    Realtime,
    status::{ConnectionState, Status},
};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Every connection is cut.
    Cut,
    /// The server reads and never answers, and then does again.
    Freeze,
    /// The same, until the client has found out by itself.
    HalfOpen,
    /// The server closes every socket with this code.
    Close(u16),
    /// The server drains, as before a restart.
    Restart,
    /// Only the database feed of the channels starts anew.
    RestartFeed,
}

impl Disturbance {
    pub(crate) fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..40) {
            0..12 => Self::Cut,
            12..23 => Self::Freeze,
            23 => Self::HalfOpen,
            24..28 => Self::Close([1000, 1001, 1011, 4000][random.usize(0..4)]),
            28..36 => Self::Restart,
            _ => Self::RestartFeed,
        }
    }

    /// Begins when so many rows are committed, ends when `end` are. A `hint` tells the connection of the end.
    pub(crate) async fn happen(
        self,
        control: &RealtimeControl,
        realtime: &Realtime,
        mut written: watch::Receiver<u64>,
        (begin, end): (u64, u64),
        hint: bool,
    ) {
        written.wait_for(|written| *written >= begin).await.unwrap();
        match self {
            Self::Cut => control.cut(),
            Self::Close(code) => control.close(code),
            Self::Restart => control.drain(),
            Self::RestartFeed => control.restart_changes(Duration::from_millis(5)),
            Self::Freeze | Self::HalfOpen => control.freeze(),
        }
        written.wait_for(|written| *written >= end).await.unwrap();
        if self == Self::HalfOpen {
            // The socket of a frozen server is found dead and another is tried, which is not answered either.
            let left = |status: &Status| status.connection != ConnectionState::Open;
            realtime.watch_status().until(left).await.unwrap();
        }
        control.thaw();
        if hint {
            realtime.wake();
        }
    }
}
