//! Calls to the server that the session task makes beside the refresh itself.
use async_trait::async_trait;
use cloud_client::{AccessToken, Error, TokenSource};
use secrecy::SecretString;

use super::{expiry::Moment, machine::Fresh};
use crate::{
    gotrue::{Gotrue, Grant, RefreshAnswer},
    passages::Scope,
    status::User,
};

pub(super) fn fresh(grant: Box<Grant>, asked: Moment, user: Option<User>) -> Fresh {
    let lifetime = grant.lifetime();
    Fresh { access: grant.access_token, refresh: grant.refresh_token, lifetime, asked, user }
}

/// Ends a session at the server; with a fresh access token when there is none at hand.
pub(super) async fn revoke(
    gotrue: &Gotrue,
    access: Option<AccessToken>,
    refresh: &SecretString,
    scope: Scope,
) -> Result<(), Error> {
    let access = match access {
        Some(access) => access,
        None => match gotrue.refresh(refresh).await {
            RefreshAnswer::Renewed(grant) => AccessToken::new(grant.access_token, 0),
            RefreshAnswer::Failed(error) => return Err(error),
            // It is gone already.
            RefreshAnswer::Over(_) => return Ok(()),
        },
    };
    gotrue.log_out(access, scope).await
}

/// Speaks with one token and knows no other.
#[derive(Debug)]
pub(super) struct OneToken(pub(super) AccessToken);

#[async_trait]
impl TokenSource for OneToken {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        Ok(Some(self.0.clone()))
    }

    async fn replace(&self, _refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        Ok(None)
    }
}
