//! Uploads that go on after a break: create, append, ask how far, cancel.
//!
//! Create → row and address; append → bytes at the end of the file, whose length is how far the upload is;
//! the last byte turns the row into an object, in one transaction. Each step asks the rules again. Requests
//! of one upload take [turns](turn). Checksums of a chunk are compared when the client sends one, with MD5 or
//! SHA-256, though the real service knows none.
//! Wire source: TUS 1.0.0 (core, creation, creation-with-upload, termination, expiration) as `@tus/server` and
//! Supabase Storage speak it.

mod metadata;
mod steps;
mod turn;

use axum::{
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

pub(super) use self::turn::{Turn, Turns};
use super::{call::Call, error::StorageError, key::Place, sign, upload::Claim};
use crate::cloud::Cloud;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// The only version there is.
const VERSION: &str = "1.0.0";

/// What this server can do besides the core.
const EXTENSIONS: &str = "creation,creation-with-upload,termination,expiration";

/// A refusal: a true status and a text.
#[derive(Debug)]
struct TusError {
    status: StatusCode,
    text: String,
}

impl TusError {
    fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text: text.into() }
    }

    fn not_found() -> Self {
        Self::new(404, "The file for this url was not found\n")
    }

    fn broken() -> Self {
        Self::new(500, "Something went wrong receiving the file\n")
    }
}

impl From<StorageError> for TusError {
    fn from(error: StorageError) -> Self {
        Self::new(error.status, error.message)
    }
}

impl From<rusqlite::Error> for TusError {
    fn from(error: rusqlite::Error) -> Self {
        StorageError::from(error).into()
    }
}

impl From<std::io::Error> for TusError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "a resumable upload could not use its file");
        Self::broken()
    }
}

/// How a request proves what it may do.
#[derive(Clone, Debug)]
enum Proof {
    /// As the person who is signed in.
    Person,
    /// With the token of a signed upload.
    Token(String),
}

impl Proof {
    /// What the request may do at `place`.
    fn claim(&self, call: Call<'_>, place: Place) -> Result<Claim, TusError> {
        match self {
            Self::Person => Ok(call.claim(place)?),
            Self::Token(token) => Ok(sign::upload_claim(call, token, place)?),
        }
    }

    /// What an address has between the endpoint and the id.
    const fn route(&self) -> &'static str {
        match self {
            Self::Person => "",
            Self::Token(_) => "/sign",
        }
    }
}

/// Answers a request under `/upload/resumable`; `rest` is what follows.
pub(super) async fn handle(call: Call<'_>, rest: &str, body: &mut BodyDataStream) -> Response {
    let (signed, id) = match rest.strip_prefix("/sign") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (true, rest),
        _ => (false, rest),
    };
    if call.parts.method == Method::OPTIONS {
        return labelled(discovery(call.cloud));
    }
    let proof = match prove(call, signed) {
        Ok(proof) => proof,
        // The real service checks the person before its upload server, and so in its own shape.
        Err(error) if !signed => return labelled(error.into_response()),
        Err(error) => return refused(TusError::from(error)),
    };
    let done = if call.header(&TUS_RESUMABLE) == Some(VERSION) {
        match (&call.parts.method, id.trim_matches('/')) {
            (&Method::POST, "") => steps::create(call, &proof, body).await,
            (_, "") => Err(TusError::not_found()),
            (&Method::HEAD, id) => steps::ask(call, &proof, id).await,
            (&Method::PATCH, id) => steps::append(call, &proof, id, body).await,
            (&Method::DELETE, id) => steps::cancel(call, &proof, id).await,
            _ => Err(TusError::not_found()),
        }
    } else {
        Err(TusError::new(412, "Tus-Resumable Required\n"))
    };
    labelled(done.unwrap_or_else(refused))
}

fn prove(call: Call<'_>, signed: bool) -> Result<Proof, StorageError> {
    if !signed {
        return call.identity().map(|_| Proof::Person);
    }
    let token = call.header(&SIGNATURE).filter(|token| !token.is_empty());
    token.map(|token| Proof::Token(token.to_owned())).ok_or_else(|| StorageError::request("Missing x-signature header"))
}

fn refused(error: TusError) -> Response {
    labelled((error.status, error.text).into_response())
}

fn discovery(cloud: &Cloud) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, cloud.settings.max_object_bytes.into());
    response
}

fn labelled(mut response: Response) -> Response {
    response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    response
}
