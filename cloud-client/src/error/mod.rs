//! One error type for the whole family: a kind to branch on, a stable code to report, the cause in `source()`.
//!
//! Pure cores keep small enums of their own; they become [`Error`] once, at the handle. An [`ErrorCode`] is a constant
//! that fixes its kind, so the two never disagree, and carries what the user can do next. Clones are cheap, because one
//! failure answers many waiters. `Display` and `Debug` print only method, path template, status, code and request id:
//! never a token, a body, a query string or what the server said (that is [`Error::detail`], asked for by name).
mod classify;
pub mod codes;

use std::{any::Any, borrow::Cow, fmt, sync::Arc, time::Duration};

pub(crate) use classify::{Answer, classify};
pub use classify::{Service, is_token_refusal};

/// The longest piece of a server's own words that an error keeps, in bytes.
const DETAIL_LIMIT_BYTES: usize = 1024;

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nobody is signed in, or the session is over: sign in.
    Unauthenticated,
    /// Signed in, but not allowed: ask for the right.
    Forbidden,
    /// The thing asked for does not exist, or cannot be seen.
    NotFound,
    /// Somebody else wrote first: read again and decide.
    Conflict,
    /// The request itself is wrong: change it.
    InvalidInput,
    /// Too many requests: wait [`Error::retry_after`].
    RateLimited,
    /// A paid or daily allowance is used up.
    QuotaExceeded,
    /// The cloud was not reached, or something on the way answered in its place.
    Network,
    /// A limit of time ran out.
    Timeout,
    /// The cloud failed.
    Server,
    /// The cloud answered something that this client cannot read.
    Protocol,
    /// The cloud lacks a table, a column or a function that this client needs.
    Incompatible,
    /// A file, database or secret store on this machine failed.
    Local,
    /// The configuration is wrong.
    Config,
    /// The handle was closed.
    Closed,
    /// A broken promise inside this library.
    Internal,
}

impl ErrorKind {
    /// The kind's name in lower case, for logs and for hosts in other languages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InvalidInput => "invalid_input",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::Incompatible => "incompatible",
            Self::Local => "local",
            Self::Config => "config",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call, later and unchanged, may well succeed.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::RateLimited | Self::Network | Self::Timeout | Self::Server)
    }
}

/// Which failure it was. Codes are added, never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    name: &'static str,
    kind: ErrorKind,
    says: &'static str,
    advice: &'static str,
}

impl ErrorCode {
    /// Names a failure: its stable `name` (`area.reason`), what it `says` and what the user can do (`advice`).
    pub const fn new(name: &'static str, kind: ErrorKind, says: &'static str, advice: &'static str) -> Self {
        Self { name, kind, says, advice }
    }

    /// The stable name, such as `auth.invalid_credentials`.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// The kind this code belongs to.
    pub const fn kind(self) -> ErrorKind {
        self.kind
    }

    /// What to do next, as a sentence for a person.
    pub const fn advice(self) -> &'static str {
        self.advice
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a call failed.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    operation: Option<Cow<'static, str>>,
    status: Option<u16>,
    server_code: Option<Box<str>>,
    request_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    attempts: u32,
    detail: Option<Box<str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with nothing but its code.
    pub fn new(code: ErrorCode) -> Self {
        Self(Arc::new(Inner {
            code,
            operation: None,
            status: None,
            server_code: None,
            request_id: None,
            retry_after: None,
            attempts: 1,
            detail: None,
            source: None,
        }))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Names what was being done: method and path template, or a short verb phrase. Never a value.
    pub fn during(self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|inner| inner.operation = Some(operation.into()))
    }

    /// Adds the HTTP status.
    pub fn with_status(self, status: u16) -> Self {
        self.edit(|inner| inner.status = Some(status))
    }

    /// Adds the server's own code, such as `PGRST205`.
    pub fn with_server_code(self, code: impl AsRef<str>) -> Self {
        // A code is one word; a sentence in its place might carry a user's text into a log.
        let code = code.as_ref();
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_code = (1..=64).contains(&code.len()) && code.chars().all(word);
        self.edit(|inner| inner.server_code = is_code.then(|| code.into()))
    }

    /// Adds the id under which the server (or this client) knows the request.
    pub fn with_request_id(self, id: impl AsRef<str>) -> Self {
        let id: Box<str> = id.as_ref().chars().take(128).filter(char::is_ascii_graphic).collect::<String>().into();
        self.edit(|inner| inner.request_id = Some(id).filter(|id| !id.is_empty()))
    }

    /// Adds how long the server asks to wait.
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(wait))
    }

    /// Sets how many times the call was sent.
    pub fn with_attempts(self, attempts: u32) -> Self {
        self.edit(|inner| inner.attempts = attempts)
    }

    /// Keeps the first KiB of what the server said (see [`Error::detail`]).
    pub fn with_detail(self, detail: impl AsRef<str>) -> Self {
        let mut kept = String::new();
        for c in detail.as_ref().chars() {
            if kept.len() + c.len_utf8() > DETAIL_LIMIT_BYTES {
                break;
            }
            kept.push(c);
        }
        self.edit(|inner| inner.detail = (!kept.is_empty()).then(|| kept.into()))
    }

    /// Adds the cause, shown by reporters that walk `source()`. Of a JSON error only the kind and the place are kept: its
    /// text quotes the value that did not fit.
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let json = (&source as &dyn Any).downcast_ref::<serde_json::Error>().map(JsonFault::of);
        self.edit(|inner| {
            inner.source = Some(match json {
                Some(fault) => Arc::new(fault),
                None => Arc::new(source),
            });
        })
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind
    }

    /// Which failure it was.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The HTTP status, when an answer arrived.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The server's own code, such as `PGRST205` or `over_request_rate_limit`.
    pub fn server_code(&self) -> Option<&str> {
        self.0.server_code.as_deref()
    }

    /// The id to give to whoever runs the server.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How many times the call was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// What the server said, at most 1 KiB. It may quote what the user typed, so it is never printed by this type.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do next, as a sentence for a person.
    pub fn advice(&self) -> &'static str {
        self.0.code.advice
    }

    /// Whether the same call, later and unchanged, may well succeed.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient()
    }
}

/// What is wrong with a JSON text, without any of it.
#[derive(Debug)]
struct JsonFault {
    category: serde_json::error::Category,
    line: usize,
    column: usize,
}

impl JsonFault {
    fn of(error: &serde_json::Error) -> Self {
        Self { category: error.classify(), line: error.line(), column: error.column() }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde_json::error::Category;
        let what = match self.category {
            Category::Io => "the JSON could not be read",
            Category::Syntax => "this is no JSON",
            Category::Data => "the JSON has another shape than expected",
            Category::Eof => "the JSON ends too early",
        };
        write!(f, "{what}, at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for JsonFault {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{} [{}]", inner.code.says, inner.code.name)?;
        if let Some(operation) = &inner.operation {
            write!(f, " during {operation}")?;
        }
        if let Some(status) = inner.status {
            write!(f, ", status {status}")?;
        }
        if let Some(code) = &inner.server_code {
            write!(f, ", server code {code}")?;
        }
        if inner.attempts > 1 {
            write!(f, ", after {} attempts", inner.attempts)?;
        }
        if let Some(wait) = inner.retry_after {
            write!(f, ", retry after {} s", wait.as_secs_f32().ceil())?;
        }
        if let Some(id) = &inner.request_id {
            write!(f, ", request {id}")?;
        }
        write!(f, ". {}", inner.code.advice)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t07_display_and_debug_never_carry_what_the_server_said() {
        let error = Error::new(codes::SERVER_FAULT)
            .during("GET /rest/v1/{table}")
            .with_status(500)
            .with_detail("password is hunter2")
            .with_request_id("req-1");
        for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("server.fault") && text.contains("req-1") && text.contains("500"), "{text}");
        }
        assert_eq!(error.detail(), Some("password is hunter2"));
    }

    #[test]
    fn t07_a_json_error_in_the_chain_quotes_nothing_of_the_text() {
        let cause = serde_json::from_str::<u64>(r#" "eyJhbGciOi-a-token" "#).unwrap_err();
        assert!(cause.to_string().contains("a-token"), "what would have come out");
        let error = Error::new(codes::UNREADABLE).with_source(cause);
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "the JSON has another shape than expected, at line 1 column 21");
        assert!(!format!("{source:?}").contains("token"));
    }

    #[test]
    fn t05_a_long_detail_is_cut_at_a_character_within_one_kibibyte() {
        let error = Error::new(codes::SERVER_FAULT).with_detail("é".repeat(4000));
        let kept = error.detail().unwrap();
        assert_eq!(kept.len(), DETAIL_LIMIT_BYTES);
        assert!(kept.chars().all(|c| c == 'é'));
    }

    #[test]
    fn a_server_code_is_one_word_or_none() {
        let code = |text| Error::new(codes::SERVER_FAULT).with_server_code(text).server_code().map(str::to_owned);
        assert_eq!(code("PGRST205").as_deref(), Some("PGRST205"));
        for text in ["", "the model server cannot be reached", "PGRST205\n<b>", &"x".repeat(65)] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
