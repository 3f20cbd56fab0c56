//! Broadcasts: messages from one member of a channel to the others, kept by nobody.
//!
//! ```text
//! Broadcast ─► send, send_acknowledged (socket)  ─► members
//!           └► HttpBroadcasts (no channel needed) ─► members
//! message ─► Inbox: typed, replayed ones marked, repeated ones dropped ─► Broadcasts<T>
//! ```
//! Nothing promises that a broadcast arrives. Only what the database sends is stored by the server, for
//! three days, and can be replayed on private channels; see [`Inbox`].
//! Source: Supabase Realtime, broadcast over the socket and over HTTP, replay.

mod http;
mod inbox;
mod send;
mod stream;

pub use self::{
    http::{HttpBroadcasts, MAX_BATCH},
    inbox::{Heard, Inbox, MAX_REPLAYED, MAX_SEEN_IDS},
    send::Broadcast,
    stream::{BroadcastEvent, Broadcasts},
};
