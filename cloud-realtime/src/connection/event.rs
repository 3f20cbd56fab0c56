//! What goes into the machine and what comes out of it.
use super::Verdict;
use crate::refs::{Ref, Refs};
use cloud_client::random::Random;
use std::time::Duration;

/// What happened. Those with a generation count only if it is the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// Whether any channel is wanted.
    Wanted(bool),
    /// The host wants no socket.
    Disconnect,
    /// The host wants a socket, whatever went before.
    Reconnect,
    /// The machine or the network came back; `slept` is how long it was away, as far as known.
    Woke {
        slept: Duration,
    },
    /// There is another token than before.
    NewToken,
    Acquired {
        generation: u64,
        valid_for: Option<Duration>,
    },
    Connected {
        generation: u64,
    },
    Failed {
        generation: u64,
        verdict: Verdict,
    },
    Closed {
        generation: u64,
        code: Option<u16>,
    },
    Frame,
    HeartbeatAnswered {
        reference: &'a str,
    },
    /// Whether a join is being worked on.
    Joining(bool),
    /// Whether any channel is live.
    Live(bool),
    /// The server asked for fewer joins or connections.
    Limited,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Get credentials; renewed ones if the last were refused.
    Acquire { generation: u64, renew: bool },
    /// Open the socket with them.
    Connect { generation: u64 },
    /// Give the attempt up, or drop the socket without waiting for the other end.
    Drop,
    /// Close the socket with a word.
    Close,
    /// The socket can be used.
    Opened,
    /// The socket cannot be used any more.
    Lost(Loss),
    /// Send a heartbeat with this ref.
    Heartbeat(Ref),
}

/// Why a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The other end or the network ended it.
    Closed { code: Option<u16> },
    /// It went silent.
    Silent,
    /// The machine slept.
    Slept,
    /// Nobody wants it.
    Unwanted,
}

/// What a step may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    pub(crate) at: Duration,
    pub(crate) random: &'a Random,
    pub(crate) refs: &'a Refs,
}

impl Now<'_> {
    /// Evenly between `least` and `most`.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        crate::pause::between(least, most, self.random)
    }
}
