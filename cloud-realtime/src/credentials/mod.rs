//! The credential step before each connect: for clouds that hand out a ticket per socket over HTTP.
//!
//! The supervisor asks the [`CredentialSource`] anew for **every** attempt and uses the answer once; a ticket is never
//! kept for the next. Without a source the project's public key opens the socket, and the session's token is sent with
//! the joins.
mod mint;

pub use mint::TicketMint;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use cloud_client::Error;
use secrecy::SecretString;
use url::Url;

/// Gets the credentials of one attempt.
#[async_trait]
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Credentials for this attempt, fresh. The time it takes counts against the limit of the attempt.
    ///
    /// # Errors
    ///
    /// Transient kinds are tried again with backoff, honouring `retry_after`; `Unauthenticated` waits for another
    /// session, every other kind stops the connection.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the connection is no longer wanted.
    async fn acquire(&self, attempt: Attempt) -> Result<Credentials, Error>;
}

/// Which attempt the credentials are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts the attempts of this handle, from 1.
    pub number: u64,
    /// The server refused the credentials of the attempt before: renew whatever they are made from.
    pub renew: bool,
}

/// What opens one socket. Headers first, subprotocols second, the query last, since URLs end up in logs.
#[derive(Clone, Default)]
pub struct Credentials {
    pub(crate) url: Option<Url>,
    pub(crate) headers: Vec<(String, SecretString)>,
    pub(crate) subprotocols: Vec<SecretString>,
    pub(crate) query: Vec<(String, SecretString)>,
    pub(crate) valid_for: Option<Duration>,
}

impl Credentials {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects to `url` instead of the endpoint of the builder.
    #[must_use]
    pub fn url(mut self, url: Url) -> Self {
        self.url = Some(url);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// Offers a subprotocol, which may carry a token.
    #[must_use]
    pub fn subprotocol(mut self, value: SecretString) -> Self {
        self.subprotocols.push(value);
        self
    }

    /// Adds a parameter to the URL.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.query.push((name.into(), value));
        self
    }

    /// How long they are good from now on; if the socket could not be opened by then, new ones are asked for.
    #[must_use]
    pub fn valid_for(mut self, limit: Duration) -> Self {
        self.valid_for = Some(limit);
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("subprotocols", &self.subprotocols.len())
            .field("query", &self.query.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}
