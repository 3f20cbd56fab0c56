//! The codes that this crate gives, beside those of `cloud-client`.
use cloud_client::{
    ErrorCode,
    ErrorKind::{
        Config, Conflict, Forbidden, InvalidInput, Network, Protocol, RateLimited, Server, Timeout, Unauthenticated,
    },
};

const BY_ITSELF: &str = "It is tried again by itself; polling goes on meanwhile.";

/// The socket's address cannot be used, or plain `ws` to another machine (T9).
pub const ENDPOINT_INVALID: ErrorCode = ErrorCode::new(
    "realtime.endpoint_invalid",
    Config,
    "The address of the live connection is not usable",
    "Give a ws or wss address (or http, https) without credentials in it; plain ws only to this machine.",
);
/// The server answered the upgrade with something that coming back will not change.
pub const SOCKET_REFUSED: ErrorCode = ErrorCode::new(
    "realtime.socket_refused",
    Config,
    "The cloud refused the live connection",
    "Check the project's address and key, and that realtime is switched on; then reconnect.",
);
/// The upgrade was refused because of who asks.
pub const SOCKET_UNAUTHENTICATED: ErrorCode = ErrorCode::new(
    "realtime.socket_unauthenticated",
    Unauthenticated,
    "The cloud did not accept the credentials of the live connection",
    "A new token is tried by itself; sign in again if it stays.",
);
/// The socket ended or could not be opened.
pub const SOCKET_LOST: ErrorCode =
    ErrorCode::new("realtime.socket_lost", Network, "The live connection was lost", BY_ITSELF);
/// Half-open: a heartbeat stayed without an answer.
pub const HEARTBEAT_LOST: ErrorCode =
    ErrorCode::new("realtime.heartbeat_lost", Network, "The live connection went silent", BY_ITSELF);
/// The server asks to slow down.
pub const LIMITED: ErrorCode = ErrorCode::new(
    "realtime.rate_limited",
    RateLimited,
    "The cloud asks for fewer live messages, joins or channels",
    "Open fewer channels or send less often; it is tried again after half a minute or more.",
);
/// A join was refused for want of rights, or they were withdrawn.
pub const CHANNEL_FORBIDDEN: ErrorCode = ErrorCode::new(
    "realtime.channel_forbidden",
    Forbidden,
    "The cloud does not allow this channel to this user",
    "It is tried again when the session changes; ask an owner for the right.",
);
/// A join was refused because of its token, or the token ran out.
pub const CHANNEL_UNAUTHENTICATED: ErrorCode = ErrorCode::new(
    "realtime.channel_unauthenticated",
    Unauthenticated,
    "The cloud did not accept the token for this channel",
    "It is tried again with the next token; sign in again if it stays.",
);
/// A join that the server will never take as it is.
pub const CHANNEL_REFUSED: ErrorCode = ErrorCode::new(
    "realtime.channel_refused",
    InvalidInput,
    "The cloud does not take this channel as it is asked for",
    "Change its topic or configuration; the detail holds the cloud's words.",
);
/// A join or a channel failed for a reason that may pass.
pub const CHANNEL_FAILED: ErrorCode =
    ErrorCode::new("realtime.channel_failed", Server, "The channel failed in the cloud", BY_ITSELF);
/// No answer to a join.
pub const JOIN_TIMEOUT: ErrorCode =
    ErrorCode::new("realtime.join_timeout", Timeout, "The channel was not joined in time", BY_ITSELF);
/// No answer to a push.
pub const PUSH_TIMEOUT: ErrorCode = ErrorCode::new(
    "realtime.push_timeout",
    Timeout,
    "The message got no answer in time",
    "Whether the cloud took it is not known; some messages are never answered.",
);
/// A push waited for the channel until its time was over. It was not sent.
pub const PUSH_EXPIRED: ErrorCode = ErrorCode::new(
    "realtime.push_expired",
    Timeout,
    "The channel did not open before the message's time was over",
    "The message was not sent; send it again when the channel is live.",
);
/// Too many pushes wait. This one was not sent.
pub const PUSH_OVERFLOW: ErrorCode = ErrorCode::new(
    "realtime.push_overflow",
    RateLimited,
    "Too many messages wait for the channel",
    "The message was not sent; send less, or wait until the channel is live.",
);
/// The connection ended between a push and its answer.
pub const PUSH_UNCERTAIN: ErrorCode = ErrorCode::new(
    "realtime.push_uncertain",
    Network,
    "The live connection was lost before the message was answered",
    "Whether the cloud took it is not known; check before sending it again.",
);
/// A push that no frame can carry.
pub const PUSH_INVALID: ErrorCode = ErrorCode::new(
    "realtime.push_invalid",
    InvalidInput,
    "The message cannot be sent as it is",
    "Make it smaller; event names hold at most 255 bytes, and protocol 1.0.0 carries no bytes.",
);
/// The topic already has a channel on this connection.
pub const TOPIC_TAKEN: ErrorCode = ErrorCode::new(
    "realtime.topic_taken",
    Conflict,
    "There is already a channel for this topic",
    "Share the channel (it can be cloned and listened to more than once), or drop it first.",
);
/// More channels than a connection may have.
pub const TOO_MANY_CHANNELS: ErrorCode = ErrorCode::new(
    "realtime.too_many_channels",
    RateLimited,
    "The live connection has as many channels as it may have",
    "Drop channels that are not needed, or raise the limit if the cloud allows more.",
);
/// A broadcast that the server found too large.
pub const BROADCAST_TOO_LARGE: ErrorCode = ErrorCode::new(
    "realtime.broadcast_too_large",
    InvalidInput,
    "The cloud does not take a broadcast of this size",
    "Make it smaller (the limit is 256 kB to 3 MB, by plan), or send where to find it instead.",
);
/// A broadcast that the server answered with something other than yes.
pub const BROADCAST_REFUSED: ErrorCode = ErrorCode::new(
    "realtime.broadcast_refused",
    InvalidInput,
    "The cloud did not take the broadcast",
    "Check its topic and event; the detail holds the cloud's words.",
);
/// A feed whose first page claims to be too old to begin with.
pub const FEED_BROKEN: ErrorCode = ErrorCode::new(
    "realtime.feed_broken",
    Protocol,
    "The cloud cannot say where this feed begins",
    "Report it to whoever runs the cloud; the feed can be opened again.",
);
/// A presence that the server did not take.
pub const PRESENCE_REFUSED: ErrorCode = ErrorCode::new(
    "realtime.presence_refused",
    InvalidInput,
    "The cloud did not take what this member tells about itself",
    "Tell a JSON object of at most ten keys and a few kilobytes; writing presence may also need a right.",
);
