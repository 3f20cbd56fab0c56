//! What a request is answered with when it fails: status, code and the four-field body.
//!
//! Every failure of the table API is made here, so a code and its status cannot drift apart.
//! Wire source: PostgREST 14 error codes; PostgreSQL error codes and message texts.

use http::StatusCode;

use super::json::{Json, quoted};
use crate::core::{Identity, Role, schema::Table};

/// The result of anything that can refuse a request.
pub(crate) type Outcome<T> = Result<T, ApiError>;

/// The headers of a read whose offset is past the last row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PastEnd {
    pub(crate) content_range: String,
    pub(crate) content_location: Option<String>,
    pub(crate) preference_applied: Option<String>,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: Box<str>,
    pub(crate) details: Json,
    pub(crate) hint: Option<Box<str>>,
    /// What a read past its end still says about itself.
    pub(crate) range: Option<Box<PastEnd>>,
}

impl ApiError {
    /// A failure that the table API itself reports.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<Box<str>>) -> Self {
        Self { status, code, message: message.into(), details: Json::Null, hint: None, range: None }
    }

    /// A failure that PostgreSQL would report; the status follows from the code.
    pub(crate) fn database(code: &'static str, message: impl Into<Box<str>>) -> Self {
        let status = match code {
            "23503" | "23505" => StatusCode::CONFLICT,
            "42501" => StatusCode::FORBIDDEN,
            "42883" | "42P01" => StatusCode::NOT_FOUND,
            "21000" | "XX000" => StatusCode::INTERNAL_SERVER_ERROR,
            // Too much asked of the database, or stopped by it.
            code if code.starts_with("54") || code.starts_with("57") => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, code, message)
    }

    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Json::Text(details.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The JSON body.
    pub(crate) fn body(&self) -> String {
        format!(
            r#"{{"code":{},"details":{},"hint":{},"message":{}}}"#,
            quoted(self.code),
            self.details,
            self.hint.as_deref().map_or_else(|| "null".to_owned(), quoted),
            quoted(&self.message)
        )
    }

    pub(crate) fn parse(what: &str, input: &str, column: usize, details: impl Into<String>) -> Self {
        let message = format!("\"failed to parse {what} ({input})\" (line 1, column {column})");
        Self::new(StatusCode::BAD_REQUEST, "PGRST100", message).details(details)
    }

    pub(crate) fn bad_body(message: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PGRST102", message)
    }

    pub(crate) fn bad_range(details: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "PGRST103", "Requested range not satisfiable").details(details)
    }

    pub(crate) fn not_embedded(name: &str) -> Self {
        let message = format!("'{name}' is not an embedded resource in this request");
        Self::new(StatusCode::BAD_REQUEST, "PGRST108", message)
            .hint(format!("Verify that '{name}' is included in the 'select' query parameter."))
    }

    pub(crate) fn not_one_row(rows: usize) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "PGRST116", "Cannot coerce the result to a single JSON object")
            .details(format!("The result contains {rows} rows"))
    }

    /// A single-row upsert whose filters are not the key.
    pub(crate) fn put_filters() -> Self {
        let message = "Filters must include all and only primary key columns with 'eq' operators";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST105", message)
    }

    pub(crate) fn put_bounds() -> Self {
        let message = "limit/offset querystring parameters are not allowed for PUT";
        Self::new(StatusCode::BAD_REQUEST, "PGRST114", message)
    }

    pub(crate) fn put_payload() -> Self {
        let message = "Payload values do not match URL in primary key column(s)";
        Self::new(StatusCode::BAD_REQUEST, "PGRST115", message)
    }

    pub(crate) fn unknown_table(name: &str) -> Self {
        let message = format!("Could not find the table 'public.{name}' in the schema cache");
        Self::new(StatusCode::NOT_FOUND, "PGRST205", message)
    }

    pub(crate) fn unknown_payload_column(table: &Table, column: &str) -> Self {
        let message = format!("Could not find the '{column}' column of '{}' in the schema cache", table.name);
        Self::new(StatusCode::BAD_REQUEST, "PGRST204", message)
    }

    pub(crate) fn unknown_column(table: &str, column: &str) -> Self {
        let plain = column.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let column = if plain { column.to_owned() } else { format!("\"{}\"", column.replace('"', "\"\"")) };
        Self::database("42703", format!("column {table}.{column} does not exist"))
    }

    pub(crate) fn bad_value(type_name: &str, text: &str) -> Self {
        Self::database("22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    /// A row that the policies do not let this person store.
    pub(crate) fn policy_violation(table: &Table, identity: &Identity, using: bool) -> Self {
        let part = if using { " (USING expression)" } else { "" };
        let message = format!("new row violates row-level security policy{part} for table \"{}\"", table.name);
        Self::forbidden(message, identity)
    }

    pub(crate) fn permission_denied(table: &Table, identity: &Identity) -> Self {
        Self::forbidden(format!("permission denied for table {}", table.name), identity)
    }

    fn forbidden(message: String, identity: &Identity) -> Self {
        let mut error = Self::database("42501", message);
        if identity.role == Role::Anon {
            error.status = StatusCode::UNAUTHORIZED;
        }
        error
    }
}

impl From<rusqlite::Error> for ApiError {
    /// A failure of the store that no check foresaw; its text is SQLite's, so it is not sent out.
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::ErrorCode;
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return Self::database("57014", "canceling statement due to statement timeout");
        }
        tracing::error!(error = %error, "the table API could not use its store");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                let mut full = Self::database("53100", "could not extend file: no space left on device");
                full.status = StatusCode::SERVICE_UNAVAILABLE;
                full
            }
            _ => Self::database("XX000", "internal error of the development database"),
        }
    }
}
