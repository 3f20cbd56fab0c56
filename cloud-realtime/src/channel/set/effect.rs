//! What the set is asked for, and what it wants done.
use cloud_client::Error;

use crate::{
    channel::{ChannelEvent, Joined, Params},
    codec::{Envelope, Reply},
    refs::Ref,
    status::ChannelState,
    topic::Topic,
};

/// What to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Find out which token counts now.
    AskToken,
    /// Get another one than this, which was refused.
    RenewToken { generation: u64 },
    /// Send the join of this channel, with its parameters and the token.
    Join { id: u64, join_ref: Ref },
    /// Send the newest token on this joined channel.
    SendToken { id: u64, join_ref: Ref, reference: Ref },
    /// Send this. If that fails, the push named here was not sent.
    Send { envelope: Envelope<'static>, push: Option<u64> },
    /// A push is over.
    Settle { push: u64, outcome: Outcome },
    /// The server took what this member tells about itself, or did not.
    Shown { id: u64, refusal: Option<Error> },
    /// Tell the listeners of a channel that it is joined, and whether with presence.
    Joined { id: u64, joined: Joined, has_presence: bool },
    /// Tell the listeners of a channel anything else.
    Tell { id: u64, event: ChannelEvent },
    /// Show what a channel is doing.
    Show { id: u64, state: ChannelState },
    /// The channel is gone for good.
    Gone { id: u64 },
    /// Whether a join is being worked on.
    Joining(bool),
    /// How many channels are live.
    Live(usize),
    /// The server limits joins or connections.
    Limited,
}

/// How a push ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Sent,
    Answered(Reply<'static>),
    Failed(Error),
}

/// A wish for a channel.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) id: u64,
    pub(crate) topic: Topic,
    pub(crate) params: Params,
}

/// Why there can be no such channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoChannel {
    Taken,
    TooMany,
}
