//! The session as a source of tokens: the present one while it is fresh, otherwise whatever the task comes to.
use std::time::Duration;

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Error, TokenSource,
    error::codes::{CLOSED, TIMEOUT},
};

use super::Auth;
use crate::{
    codes::NOT_SIGNED_IN,
    session::{
        desk::Command,
        expiry::{Access, Moment},
        machine::Ask,
    },
};

/// The longest a request waits for a token.
const TOKEN_WAIT: Duration = Duration::from_secs(30);

impl Auth {
    /// The present token, when `usable` says so.
    fn present(&self, usable: impl FnOnce(&Access, Moment) -> bool) -> Option<AccessToken> {
        let now = Moment::now(self.0.client.clock());
        let published = self.0.published.borrow();
        published.access.as_ref().filter(|access| usable(access, now)).map(|access| access.token.clone())
    }
}

#[async_trait]
impl TokenSource for Auth {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        if self.0.commands.is_closed() {
            return Err(Error::new(CLOSED));
        }
        if let Some(token) = self.present(Access::is_fresh) {
            return Ok(Some(token));
        }
        match self.ask(TOKEN_WAIT, |reply| Command::Token { ask: Ask::Stale, reply }).await {
            // The exchange is slow, and what we have is still good.
            Err(error) if error.code() == TIMEOUT => match self.present(Access::is_alive) {
                Some(token) => Ok(Some(token)),
                None => Err(error),
            },
            answer => answer,
        }
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        let generation = refused.generation;
        let newer = |access: &Access, now| {
            // Below the floor it was another session's token, which only the task may judge.
            generation >= access.floor && access.token.generation > generation && access.is_alive(now)
        };
        if let Some(token) = self.present(newer) {
            return Ok(Some(token));
        }
        self.ask(TOKEN_WAIT, |reply| Command::Token { ask: Ask::Refused(generation), reply }).await
    }
}

/// Speaks for whoever is signed in, and for nobody else: a call that needs a user is not sent without one.
#[derive(Debug)]
pub(super) struct Member(pub(super) Auth);

#[async_trait]
impl TokenSource for Member {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        self.0.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN)).map(Some)
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.0.replace(refused).await
    }
}
