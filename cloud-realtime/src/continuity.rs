//! The breaks in a typed stream: what a channel says about itself, without its messages.
//!
//! Every typed stream of this crate passes these on between its items, so that no listener takes silence
//! for "nothing happened" (R1).
use cloud_client::Error;

use crate::channel::{ChannelEvent, GapCause};

/// Whether the stream can be trusted from here on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Continuity {
    /// Items flow from here on; what happened before may be missing (R3).
    Live,
    /// Items flow on, and some may have slipped through just now.
    Resubscribed,
    /// This stream was read too slowly: so many messages of its channel were thrown away (R8).
    Lagged {
        /// How many.
        missed: u64,
    },
    /// Nothing flows until the next [`Self::Live`].
    Gap(GapCause),
    /// The server refuses the channel, see the error's code; nothing flows until the next [`Self::Live`].
    Refused(Error),
}

impl Continuity {
    /// What `event` says; `None` for messages and answers to joins.
    pub fn of(event: &ChannelEvent) -> Option<Self> {
        match event {
            ChannelEvent::Live => Some(Self::Live),
            ChannelEvent::Resubscribed => Some(Self::Resubscribed),
            ChannelEvent::Lagged { missed } => Some(Self::Lagged { missed: *missed }),
            ChannelEvent::Gap(cause) => Some(Self::Gap(*cause)),
            ChannelEvent::Refused(error) => Some(Self::Refused(error.clone())),
            ChannelEvent::Joined(_) | ChannelEvent::Message(_) => None,
        }
    }

    /// Whether something may have been missed that a pull would find now.
    pub const fn asks_for_catch_up(&self) -> bool {
        matches!(self, Self::Live | Self::Resubscribed | Self::Lagged { .. })
    }
}
