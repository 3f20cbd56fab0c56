//! The codes that this crate gives. Other crates of the family have a `codes.rs` of their own.
use super::{
    ErrorCode,
    ErrorKind::{
        Closed, Config, Conflict, Forbidden, Incompatible, Internal, InvalidInput, Local, Network, NotFound, Protocol,
        QuotaExceeded, RateLimited, Server, Timeout, Unauthenticated,
    },
};

const LATER: &str = "Nothing was lost; try again when the network is back.";

/// The cloud's address is not a URL.
pub const URL_INVALID: ErrorCode = ErrorCode::new(
    "config.url_invalid",
    Config,
    "The cloud's address is not usable",
    "Give a URL such as https://project.example.com, without user name, query, fragment or the path of a service.",
);
/// Plain http to something that is not this machine (T9).
pub const URL_INSECURE: ErrorCode = ErrorCode::new(
    "config.url_insecure",
    Config,
    "Plain http is only allowed to this machine",
    "Use https, or a loopback address such as http://127.0.0.1:54321.",
);
/// The key is empty or cannot be sent as a header.
pub const KEY_INVALID: ErrorCode = ErrorCode::new(
    "config.key_invalid",
    Config,
    "The cloud's public key is not usable",
    "Copy the publishable (or anon) key of the project, without blanks or line breaks.",
);
/// A secret key was given where only a public one may be (C3).
pub const KEY_SECRET: ErrorCode = ErrorCode::new(
    "config.key_secret",
    Config,
    "A secret or service-role key must never be in an app",
    "Use the publishable (or anon) key, and replace the secret one if it has been shipped.",
);
/// An extra certificate authority that cannot be read.
pub const ROOT_INVALID: ErrorCode = ErrorCode::new(
    "config.root_invalid",
    Config,
    "The extra certificate authority cannot be read",
    "Give its certificate as PEM text, from BEGIN CERTIFICATE to END CERTIFICATE.",
);
/// A setting is out of range.
pub const SETTING_INVALID: ErrorCode =
    ErrorCode::new("config.setting_invalid", Config, "A setting is not usable", "See the setting's documentation.");

/// The host name has no address.
pub const UNKNOWN_HOST: ErrorCode = ErrorCode::new(
    "net.unknown_host",
    Network,
    "The cloud's host name was not found",
    "Check the address and the network; local work goes on.",
);
/// No connection could be made.
pub const CONNECT: ErrorCode = ErrorCode::new("net.connect", Network, "The cloud could not be reached", LATER);
/// The secure connection failed.
pub const TLS: ErrorCode = ErrorCode::new(
    "net.tls",
    Network,
    "The secure connection to the cloud failed",
    "Check the clock of this machine and whether a proxy or firewall replaces certificates.",
);
/// The connection ended before the answer was whole (T10).
pub const CUT: ErrorCode =
    ErrorCode::new("net.cut", Network, "The connection ended before the answer was complete", LATER);
/// Something else failed while sending.
pub const SEND: ErrorCode = ErrorCode::new("net.send", Network, "The request could not be sent", LATER);
/// Something on the way answered in the cloud's place (T6).
pub const INTERCEPTED: ErrorCode = ErrorCode::new(
    "net.intercepted",
    Network,
    "Something on the way answered in place of the cloud",
    "A sign-in page of the network or a proxy is likely; open a browser, or check the cloud's address.",
);
/// The cloud answered with a redirect, which is never followed (T4).
pub const REDIRECTED: ErrorCode = ErrorCode::new(
    "net.redirected",
    Network,
    "The cloud's address redirects elsewhere",
    "Redirects are never followed, since they would carry the key; set the address that it points to.",
);
/// A limit of time ran out.
pub const TIMEOUT: ErrorCode = ErrorCode::new("net.timeout", Timeout, "The cloud took too long to answer", LATER);
/// No byte arrived for the idle limit of a stream.
pub const IDLE: ErrorCode = ErrorCode::new(
    "net.idle",
    Timeout,
    "The stream stayed silent for too long",
    "Ask again; what has arrived is kept.",
);
/// The answer is larger than the limit (T5).
pub const TOO_LARGE: ErrorCode = ErrorCode::new(
    "net.too_large",
    Protocol,
    "The answer is larger than allowed",
    "Ask for fewer rows or columns, or raise the limit.",
);
/// The answer is not what the endpoint is known to give.
pub const UNREADABLE: ErrorCode = ErrorCode::new(
    "net.unreadable",
    Protocol,
    "The answer could not be read",
    "The cloud may be newer or older than this app; update the app or report the request id.",
);

/// 5xx, or a code that means the same.
pub const SERVER_FAULT: ErrorCode = ErrorCode::new(
    "server.fault",
    Server,
    "The cloud failed to answer the request",
    "Try again later; give the request id to whoever runs the cloud if it stays.",
);
/// 502, 503, 504 and 520 to 530: away for a moment.
pub const UNAVAILABLE: ErrorCode = ErrorCode::new(
    "server.unavailable",
    Server,
    "The cloud is not available at the moment",
    "It is tried again by itself where that is safe; otherwise try later.",
);
/// 429.
pub const RATE_LIMITED: ErrorCode = ErrorCode::new(
    "server.rate_limited",
    RateLimited,
    "Too many requests",
    "Wait as long as the error says, then repeat.",
);
/// 402, or 429 with an allowance in the body.
pub const QUOTA: ErrorCode = ErrorCode::new(
    "server.quota_exceeded",
    QuotaExceeded,
    "The allowance is used up",
    "Wait for the next period, raise the plan, or use another provider.",
);

/// No user token was accepted.
pub const UNAUTHENTICATED: ErrorCode =
    ErrorCode::new("api.unauthenticated", Unauthenticated, "The cloud wants a signed-in user", "Sign in, then repeat.");
/// Whoever is signed in is not the user whose data this is (A7).
pub const OTHER_USER: ErrorCode = ErrorCode::new(
    "client.other_user",
    Unauthenticated,
    "The user whose data this is, is not signed in",
    "Nothing was sent in another's name; sign in as that user to go on.",
);
/// The user's token was refused, also after a refresh.
pub const TOKEN_REFUSED: ErrorCode = ErrorCode::new(
    "api.token_refused",
    Unauthenticated,
    "The cloud refused the session's token",
    "Sign in again if it stays; the stored login is kept until the cloud says that it is over.",
);
/// The project's public key was refused.
pub const KEY_REFUSED: ErrorCode = ErrorCode::new(
    "api.key_refused",
    Config,
    "The cloud refused the project's public key",
    "Check that address and key belong to the same project.",
);
/// 403.
pub const FORBIDDEN: ErrorCode = ErrorCode::new(
    "api.forbidden",
    Forbidden,
    "The cloud does not allow this",
    "Ask an owner of the organisation for the right.",
);
/// 404, or no such row.
pub const NOT_FOUND: ErrorCode = ErrorCode::new(
    "api.not_found",
    NotFound,
    "The cloud does not know what was asked for",
    "It may have been deleted, or this user cannot see it.",
);
/// 409.
pub const CONFLICT: ErrorCode = ErrorCode::new(
    "api.conflict",
    Conflict,
    "The cloud already holds something else under this key",
    "Read it again and decide.",
);
/// Any other 4xx.
pub const REJECTED: ErrorCode = ErrorCode::new(
    "api.rejected",
    InvalidInput,
    "The cloud refused the request",
    "Repeating it unchanged will not help; see the server's code.",
);
/// A table, column or function is missing there.
pub const SCHEMA: ErrorCode = ErrorCode::new(
    "api.schema_mismatch",
    Incompatible,
    "The cloud lacks a table, column or function that is needed",
    "Deploy the schema that this app was made for, or update the app.",
);
/// A feature that the cloud is known to lack, see [`Unsupported`](crate::capability::Unsupported).
pub const UNSUPPORTED: ErrorCode = ErrorCode::new(
    "api.unsupported",
    Incompatible,
    "The cloud does not support this feature",
    "Go on without it, or update the cloud; the error's cause names the feature.",
);
/// A query was built that cannot be sent.
pub const QUERY_INVALID: ErrorCode = ErrorCode::new(
    "rest.query_invalid",
    InvalidInput,
    "The query cannot be sent as it is",
    "See the documentation of the builder method.",
);
/// An update or delete without any filter.
pub const UNFILTERED: ErrorCode = ErrorCode::new(
    "rest.unfiltered_write",
    InvalidInput,
    "An update or delete without a filter would hit the whole table",
    "Add at least one filter.",
);
/// PGRST116 with no row where one is needed.
pub const NO_ROW: ErrorCode = ErrorCode::new(
    "rest.no_row",
    NotFound,
    "No row matches where exactly one is needed",
    "It may have been deleted, or this user cannot see it; a write was undone.",
);
/// PGRST116, or several rows where one at most is needed.
pub const NOT_ONE_ROW: ErrorCode = ErrorCode::new(
    "rest.not_one_row",
    InvalidInput,
    "More rows match than the one that is needed",
    "Narrow the filters to a unique key; a write was undone.",
);
/// PGRST124: a write would touch more rows than its limit.
pub const TOO_MANY_ROWS: ErrorCode = ErrorCode::new(
    "rest.too_many_rows",
    InvalidInput,
    "The write would touch more rows than its limit allows",
    "Nothing was changed; narrow the filters or raise the limit.",
);
/// PGRST103: the rows asked for begin behind the last one.
pub const RANGE: ErrorCode = ErrorCode::new(
    "rest.range_invalid",
    InvalidInput,
    "The rows asked for begin behind the last one",
    "Begin earlier, or go through the table by key.",
);
/// PGRST100, 108 and 118: the server does not understand the query.
pub const QUERY_REFUSED: ErrorCode = ErrorCode::new(
    "rest.query_refused",
    InvalidInput,
    "The cloud does not understand the query",
    "Check that related tables are embedded, and to one where rows are sorted by them; see the server's words.",
);
/// PGRST201 and 203: several relations or functions could be meant.
pub const AMBIGUOUS: ErrorCode = ErrorCode::new(
    "rest.ambiguous",
    InvalidInput,
    "Several relations or functions could be meant",
    "Name the foreign key as the embed's hint, or rename one of the functions.",
);
/// PGRST123 and 127: the server does not offer this part of the grammar.
pub const NOT_OFFERED: ErrorCode = ErrorCode::new(
    "rest.not_offered",
    Incompatible,
    "The cloud does not offer this kind of query",
    "Aggregates must be enabled on the server; otherwise update it.",
);
/// A body could not be written as JSON.
pub const ENCODE: ErrorCode = ErrorCode::new(
    "api.encode",
    InvalidInput,
    "The request body could not be written as JSON",
    "Check the value's types.",
);
/// The file is larger than the bucket or the plan allows.
pub const FILE_TOO_LARGE: ErrorCode = ErrorCode::new(
    "storage.too_large",
    InvalidInput,
    "The file is larger than the cloud allows",
    "Leave it out, or have the limit of the bucket raised.",
);
/// The bucket does not take files of this type.
pub const TYPE_REFUSED: ErrorCode = ErrorCode::new(
    "storage.type_refused",
    InvalidInput,
    "The cloud does not keep files of this type",
    "Give another content type, or have the bucket's list of types changed.",
);
/// A bucket's or object's name that the cloud does not take.
pub const NAME_INVALID: ErrorCode = ErrorCode::new(
    "storage.name_invalid",
    InvalidInput,
    "The name cannot be used in the cloud",
    "Encode file names first, and keep paths short.",
);
/// A signed link that is over, or for something else.
pub const LINK_INVALID: ErrorCode =
    ErrorCode::new("storage.link_invalid", Forbidden, "The signed link is no longer good", "Ask for a new link.");
/// The local content changed while it was being sent.
pub const SOURCE_CHANGED: ErrorCode = ErrorCode::new(
    "storage.source_changed",
    Local,
    "The file changed while it was being sent",
    "Send it again once it is at rest.",
);
/// Reading or writing the local side of a transfer failed.
pub const LOCAL_IO: ErrorCode = ErrorCode::new(
    "storage.local_io",
    Local,
    "The local side of the transfer failed",
    "Check the file, its rights and the free space.",
);
/// The object changed in the cloud while it was being read.
pub const OBJECT_CHANGED: ErrorCode = ErrorCode::new(
    "storage.object_changed",
    Conflict,
    "The file changed in the cloud while it was being read",
    "Read it again from the beginning.",
);
/// A resumable upload's ticket is for another cloud, object or content.
pub const TICKET_MISMATCH: ErrorCode = ErrorCode::new(
    "storage.ticket_mismatch",
    InvalidInput,
    "The unfinished upload belongs to something else",
    "Start the upload anew.",
);
/// A resumable upload was lost by the cloud again and again.
pub const UPLOAD_LOST: ErrorCode = ErrorCode::new(
    "storage.upload_lost",
    Server,
    "The cloud keeps losing the unfinished upload",
    "Try again later; if it stays, send the file in one request.",
);
/// The handle was closed.
pub const CLOSED: ErrorCode = ErrorCode::new("client.closed", Closed, "The handle was closed", "Open a new one.");
/// The waiting face was used inside an async runtime.
pub const BLOCKING_IN_ASYNC: ErrorCode = ErrorCode::new(
    "client.blocking_in_async",
    Config,
    "A waiting call cannot be made inside an async runtime",
    "Use the async client there, or a thread of your own.",
);
/// A promise of this library broke.
pub const INTERNAL: ErrorCode = ErrorCode::new(
    "client.internal",
    Internal,
    "Something inside this library went wrong",
    "Please report it with the code and the request id.",
);
