//! What a channel tells: messages, and between them every break in their sequence.
//!
//! `Joined → Live → Message* → Gap → Joined → Live → …`: what came between a `Gap` and the next `Live` may be missing,
//! and so may whatever `Lagged` counts. After `Lagged` it is told how things stand: `Joined` and `Live`, or the `Gap`, if
//! those were lost, and who is there. Whoever needs every row pulls at each event for which
//! [`ChannelEvent::asks_for_catch_up`] is true (R1).
use cloud_client::Error;

use crate::{codec::Content, message::Message, refs::Ref};

/// One event of a channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChannelEvent {
    /// The server took the join; nothing is promised about row changes yet. After [`Self::Lagged`] perhaps told once more,
    /// with the same ref.
    Joined(Joined),
    /// Messages flow from here on, row changes too if they were asked for (R3). Comes once after each [`Self::Gap`].
    Live,
    /// The server subscribed to its database anew while the channel was live; rows may have slipped through.
    Resubscribed,
    /// The sequence broke; it goes on at the next [`Self::Live`].
    Gap(GapCause),
    /// This listener was too slow: so many events of its own were thrown away (R8).
    Lagged {
        /// How many.
        missed: u64,
    },
    /// A message.
    Message(Message),
    /// The server refused the channel, and time alone will not change that; see the error's code. The channel stays
    /// wanted: it is tried again with another token or configuration, and where it carries no token, on the next socket.
    Refused(Error),
}

impl ChannelEvent {
    /// Whether something may have been missed that a pull should now fetch.
    pub const fn asks_for_catch_up(&self) -> bool {
        matches!(self, Self::Live | Self::Resubscribed | Self::Lagged { .. })
    }
}

/// The server's answer to a join.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Joined {
    /// Names this instance of the channel.
    pub join_ref: Ref,
    /// What the server answered: of Supabase an object with the ids of the row changes asked for.
    pub response: Content<'static>,
}

/// Why the sequence broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// The connection was lost or given up.
    Connection,
    /// The server closed the channel, or it crashed there.
    Channel,
    /// The channel was opened anew on purpose: another configuration, another user.
    Rejoin,
    /// The database feed behind the channel reported an error.
    Database,
}
