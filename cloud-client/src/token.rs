//! The seam through which requests get a user's token. `cloud-auth` answers it; this crate only asks.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::HeaderName;
use secrecy::SecretString;

use crate::Error;

/// A user's access token and which one of the session it is.
#[derive(Clone)]
#[non_exhaustive]
pub struct AccessToken {
    /// What goes after `Bearer`.
    pub secret: SecretString,
    /// Counts up with every refresh, so that a refusal of an older one asks for no new refresh.
    pub generation: u64,
    /// Which header carries it as it is. Default: none, it goes after `Authorization: Bearer`.
    pub header: Option<HeaderName>,
    /// The cloud's id of the user, where it is known; see [`Client::on_behalf_of`](crate::Client::on_behalf_of).
    pub user: Option<Arc<str>>,
}

impl AccessToken {
    /// The token number `generation` of a session.
    pub fn new(secret: SecretString, generation: u64) -> Self {
        Self { secret, generation, header: None, user: None }
    }

    /// The same token, known to be this user's.
    #[must_use]
    pub fn of_user(mut self, id: impl Into<Arc<str>>) -> Self {
        self.user = Some(id.into());
        self
    }

    /// The same token, carried by a header of its own.
    #[must_use]
    pub fn in_header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Whoever holds the session.
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A token that should be good now, renewed first if it is about to end; `None` when nobody is signed in.
    ///
    /// # Errors
    ///
    /// When somebody is signed in but no token can be had at the moment (offline, rate limited). That is not a
    /// sign-out: the caller reports it and tries later.
    async fn token(&self) -> Result<Option<AccessToken>, Error>;

    /// A token to use instead of one that the cloud refused; `None` when the session turned out to be over.
    ///
    /// # Errors
    ///
    /// As for [`TokenSource::token`].
    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error>;
}
