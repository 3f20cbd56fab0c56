//! The table API: `/rest/v1/<table>` over the tables of [`schema`](crate::core::schema).
//!
//! Request → parsed query and headers → plan → SQL in one transaction → answer. The transaction is rolled
//! back on every error, including those that are found only in the answer, such as a second row where one
//! object was asked for. The server calls [`handle`] after it has checked the token; nothing here reads one.
//! Wire source: PostgREST 14 on PostgreSQL.
//!
//! | Module                                | What lives there                          |
//! |---------------------------------------|-------------------------------------------|
//! | [`request`], [`filter`], [`select`]   | the query string, as values               |
//! | [`headers`], [`payload`], [`csv`]     | preferences, media types, bodies          |
//! | [`plan`], [`sql`], [`condition`]      | names to tables, values to SQL            |
//! | [`job`], [`read`], [`write`]          | what runs in the transaction              |
//! | [`rpc`]                               | the database functions                    |
//! | [`respond`], [`error`]                | statuses, headers and bodies              |
//! | [`constraints`]                       | what a stored row must meet               |
//! | [`value`], [`json`], [`functions`]    | PostgreSQL types and operators on SQLite  |
//! | [`text_search`]                       | PostgreSQL's full-text search             |

mod condition;
mod constraints;
mod csv;
mod error;
mod filter;
mod functions;
mod headers;
mod job;
mod json;
mod near;
mod payload;
mod plan;
mod read;
mod request;
mod respond;
mod rpc;
mod scan;
mod select;
mod sql;
mod text_search;
mod value;
mod write;

use http::{HeaderMap, Method, StatusCode};
use rusqlite::Connection;

use self::{
    error::{ApiError, Outcome},
    job::Job,
    respond::Answer,
};
use crate::core::{
    Identity,
    schema::{TABLES, Table},
};

pub(crate) use functions::{compile, like, register};
pub(crate) use value::{from_text, instant};

/// A request to the table API.
#[derive(Clone, Debug)]
pub(crate) struct RestRequest {
    pub(crate) method: Method,
    /// What follows `/rest/v1/`, percent-encoded.
    pub(crate) path: String,
    /// What follows `?`, as sent.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: bytes::Bytes,
}

/// The answer to a [`RestRequest`].
#[derive(Clone, Debug)]
pub(crate) struct RestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What a deployment chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Rows that one read returns at most; a longer result is cut without a word.
    pub(crate) max_rows: Option<u32>,
    /// The tables that can be reached.
    pub(crate) tables: &'static [Table],
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_rows: Some(1000), tables: TABLES }
    }
}

/// Answers `request` as `identity` with the default [`Settings`].
pub(crate) fn handle(conn: &mut Connection, identity: &Identity, request: RestRequest) -> RestResponse {
    handle_with(conn, identity, request, Settings::default())
}

/// Answers `request` as `identity`.
pub(crate) fn handle_with(
    conn: &mut Connection,
    identity: &Identity,
    request: RestRequest,
    settings: Settings,
) -> RestResponse {
    let head = request.method == Method::HEAD;
    let outcome = answer(conn, identity, &request, settings);
    let mut response = outcome.map_or_else(|error| respond::failure(&error), Answer::into_response);
    if head {
        response.body.clear();
    }
    response
}

fn answer(conn: &mut Connection, identity: &Identity, request: &RestRequest, settings: Settings) -> Outcome<Answer> {
    let path = percent_decoded(&request.path);
    let name = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        [""] => {
            return Err(ApiError::new(StatusCode::NOT_FOUND, "PGRST126", "Root endpoint metadata is disabled"));
        }
        ["rpc", function] => return rpc::call(conn, identity, request, settings, function),
        [table] => (*table).to_owned(),
        _ => return Err(ApiError::new(StatusCode::NOT_FOUND, "PGRST125", "Invalid path specified in request URL")),
    };
    let job = Job::prepare(identity, request, settings, &name)?;
    let transaction = conn.transaction_with_behavior(job.behavior())?;
    let answer = job.run(&transaction)?; // an error drops the transaction, which rolls it back
    transaction.commit()?;
    Ok(answer)
}

fn percent_decoded(path: &str) -> String {
    let (mut decoded, mut bytes) = (Vec::new(), path.bytes());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit().zip(digit())) {
            (b'%', Some((high, low))) => {
                decoded.extend(u8::try_from(high * 16 + low));
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests;
