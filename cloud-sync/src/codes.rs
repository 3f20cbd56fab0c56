//! The codes that syncing gives.
use cloud_client::{
    ErrorCode,
    ErrorKind::{Closed, Conflict, Forbidden, Incompatible, InvalidInput, Local, NotFound},
};

/// The local database failed.
pub const STORE_FAILED: ErrorCode = ErrorCode::new(
    "sync.store_failed",
    Local,
    "The local sync database could not be used",
    "Check the disk and the rights of the state directory; what was stored before is untouched.",
);
/// No space left.
pub const DISK_FULL: ErrorCode = ErrorCode::new(
    "sync.disk_full",
    Local,
    "There is no space left for the local sync database",
    "Free some space; the change was not stored and should be made again.",
);
/// Another process uses it.
pub const STORE_BUSY: ErrorCode = ErrorCode::new(
    "sync.store_busy",
    Local,
    "Another process uses this sync database",
    "Let one process sync, or give each a state directory of its own.",
);
/// Written by a newer version.
pub const STORE_NEWER: ErrorCode = ErrorCode::new(
    "sync.store_newer",
    Local,
    "The local sync database was written by a newer version",
    "Update this app; the database was left as it is.",
);
/// The handle was closed.
pub const STORE_CLOSED: ErrorCode =
    ErrorCode::new("sync.closed", Closed, "Syncing was closed", "Open it again before using it.");
/// `.cloud-link.json` could not be written or read.
pub const LINK_FILE: ErrorCode = ErrorCode::new(
    "sync.link_file",
    Local,
    "The link file of the workspace could not be used",
    "Check that the folder exists and can be written.",
);
/// The folder is linked already.
pub const ALREADY_LINKED: ErrorCode = ErrorCode::new(
    "sync.already_linked",
    Conflict,
    "The folder is linked to another cloud workspace",
    "Unlink it first; nothing in the cloud is deleted by that.",
);
/// The link was ended.
pub const NOT_LINKED: ErrorCode = ErrorCode::new(
    "sync.not_linked",
    Conflict,
    "The folder is not linked to this cloud workspace any more",
    "Link it again to go on; local data stays as it is.",
);
/// The workspace cannot be seen.
pub const WORKSPACE_GONE: ErrorCode = ErrorCode::new(
    "sync.workspace_gone",
    NotFound,
    "The cloud workspace cannot be seen",
    "Check its id; it was deleted, or this user has no access. Local data stays as it is.",
);
/// The workspace can be seen and not written.
pub const READ_ONLY: ErrorCode = ErrorCode::new(
    "sync.read_only",
    Forbidden,
    "The cloud workspace can be read but not changed by this user",
    "Ask an owner for the right to write; local changes stay and are sent then.",
);
/// Somebody else keeps writing.
pub const CONTENDED: ErrorCode = ErrorCode::new(
    "sync.contended",
    Conflict,
    "Others kept changing the workspace while it was pushed",
    "Local changes are kept; they are tried again with the next sync.",
);
/// The schema lacks what syncing needs.
pub const NO_ORDER: ErrorCode = ErrorCode::new(
    "sync.no_message_order",
    Incompatible,
    "The cloud's messages have no per-conversation `seq`, so none could be read without missing some",
    "Deploy the schema that this app was made for.",
);
/// Not a workspace field.
pub const UNKNOWN_FIELD: ErrorCode = ErrorCode::new(
    "sync.unknown_field",
    InvalidInput,
    "This is not a field of a workspace",
    "Use one of task_goal, current_step, status, progress_data, next_steps, shared_memory.",
);
/// The value does not fit the field.
pub const BAD_VALUE: ErrorCode = ErrorCode::new(
    "sync.bad_value",
    InvalidInput,
    "The value does not fit this field of a workspace",
    "task_goal, current_step and status take a text or null, next_steps a list or null; no text may hold a NUL character.",
);
/// The message cannot be stored as given.
pub const BAD_MESSAGE: ErrorCode = ErrorCode::new(
    "sync.bad_message",
    InvalidInput,
    "The message cannot be kept as given",
    "Give it a role, a content of at most 1 MiB, and a time before the year 10000.",
);
/// The conversation name cannot be used.
pub const BAD_NAME: ErrorCode = ErrorCode::new(
    "sync.bad_name",
    InvalidInput,
    "The conversation's name cannot be used",
    "Use 1 to 200 characters, without control characters.",
);
