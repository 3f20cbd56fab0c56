//! The codes that this crate gives, besides those of `cloud-client`, and how the latter become these.
use cloud_client::{
    Error, ErrorCode,
    ErrorKind::{InvalidInput, Network, NotFound, QuotaExceeded, Server, Unauthenticated},
    error::codes,
};

/// The input ended, and neither an end mark nor a finish reason had arrived (S1).
pub const INTERRUPTED: ErrorCode = ErrorCode::new(
    "ai.interrupted",
    Network,
    "The answer ended before it was complete",
    "What arrived is kept; ask again for a whole answer.",
);
/// The server reported a failure inside a stream that had begun well (S5).
pub const FAILED_IN_STREAM: ErrorCode = ErrorCode::new(
    "ai.failed_in_stream",
    Server,
    "The model failed while it was answering",
    "What arrived is kept; ask again, or ask another model.",
);
/// The tokens of the period, or the credits, are used up.
pub const QUOTA: ErrorCode = ErrorCode::new(
    "ai.quota",
    QuotaExceeded,
    "The allowance for cloud models is used up",
    "Wait for the next period, raise the plan, or use a provider of your own.",
);
/// Nobody is signed in.
pub const SIGN_IN_REQUIRED: ErrorCode = ErrorCode::new(
    "ai.sign_in_required",
    Unauthenticated,
    "An active cloud login is required",
    "Sign in to the cloud, or use a provider of your own.",
);
/// The question cannot be sent as it is.
pub const REQUEST_INVALID: ErrorCode = ErrorCode::new(
    "ai.request_invalid",
    InvalidInput,
    "The question to the model cannot be sent",
    "Give at least one message, and numbers that are finite.",
);
/// No such agent, or none that this user can see.
pub const UNKNOWN_AGENT: ErrorCode = ErrorCode::new(
    "agents.unknown_agent",
    NotFound,
    "The cloud knows no agent of this name",
    "List the agents of the organisation and use the slug of one of them.",
);
/// No such conversation, or none that this user can see.
pub const UNKNOWN_CONVERSATION: ErrorCode = ErrorCode::new(
    "agents.unknown_conversation",
    NotFound,
    "The cloud does not know the conversation that the agent should answer in",
    "Link the conversation again, or invoke the agent without one.",
);

/// The same failure under a code of this crate, with everything the first one knew.
pub(crate) fn recode(error: Error, code: ErrorCode, operation: &'static str) -> Error {
    let mut new = Error::new(code).during(operation).with_attempts(error.attempts());
    if let Some(status) = error.status() {
        new = new.with_status(status);
    }
    if let Some(word) = error.server_code() {
        new = new.with_server_code(word);
    }
    if let Some(id) = error.request_id() {
        new = new.with_request_id(id);
    }
    if let Some(wait) = error.retry_after() {
        new = new.with_retry_after(wait);
    }
    if let Some(detail) = error.detail() {
        new = new.with_detail(detail);
    }
    new.with_source(error)
}

/// What a failed question to a model or an agent means.
pub(crate) fn of_question(error: Error, operation: &'static str) -> Error {
    // The public key goes out as the bearer only when nobody is signed in, so a bearer that is no user's token says so.
    let key_as_bearer = error.server_code() == Some("UNAUTHORIZED_INVALID_JWT_FORMAT");
    if error.code() == codes::QUOTA {
        recode(error, QUOTA, operation)
    } else if error.code() == codes::UNAUTHENTICATED || key_as_bearer {
        recode(error, SIGN_IN_REQUIRED, operation)
    } else {
        error
    }
}
