//! Event names that the protocol keeps for itself; every other name belongs to the application.
//!
//! Source: Phoenix channels (`phx_*`, `heartbeat`) and Supabase Realtime (the rest).
use std::borrow::Cow;

/// Client → server: opens a channel. Its ref becomes the channel's join ref.
pub const JOIN: &str = "phx_join";
/// Client → server: closes a channel.
pub const LEAVE: &str = "phx_leave";
/// Server → client: the answer to a push, matched by ref.
pub const REPLY: &str = "phx_reply";
/// Server → client: the channel ended, asked for or not.
pub const CLOSE: &str = "phx_close";
/// Server → client: the channel's process died.
pub const ERROR: &str = "phx_error";
/// Client → server, on the topic [`HEARTBEAT_TOPIC`](crate::topic::HEARTBEAT_TOPIC): still here.
pub const HEARTBEAT: &str = "heartbeat";
/// Client → server: a newer access token for one joined channel. A success has no reply.
pub const ACCESS_TOKEN: &str = "access_token";
/// Both ways: a message from one member to the others.
pub const BROADCAST: &str = "broadcast";
/// Client → server: track or untrack this member.
pub const PRESENCE: &str = "presence";
/// Server → client: everyone who is there.
pub const PRESENCE_STATE: &str = "presence_state";
/// Server → client: who came and who went.
pub const PRESENCE_DIFF: &str = "presence_diff";
/// Server → client: a row changed.
pub const POSTGRES_CHANGES: &str = "postgres_changes";
/// Server → client: news about the channel itself, such as "Subscribed to PostgreSQL".
pub const SYSTEM: &str = "system";

/// Whether the server speaks about a channel here, and not the application in it.
pub(crate) fn is_about_channel(event: &str) -> bool {
    matches!(event, REPLY | CLOSE | ERROR | SYSTEM)
}

/// Whether it is about who is there.
pub(crate) fn is_about_presence(event: &str) -> bool {
    matches!(event, PRESENCE_STATE | PRESENCE_DIFF)
}

/// The name, no longer tied to its frame; those that come often cost nothing.
pub(crate) fn own(event: Cow<'_, str>) -> Cow<'static, str> {
    let often = [POSTGRES_CHANGES, BROADCAST, PRESENCE_DIFF, REPLY];
    match often.into_iter().find(|known| *known == event) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(event.into_owned()),
    }
}
