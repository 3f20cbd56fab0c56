//! The calls to the auth server under `/auth/v1`: the ways in, refresh, log-out.
//!
//! values in → one [`Call`] → [`Grant`], user or error out. Knows nothing of sessions or stores; only the session task
//! calls this. Nothing here is repeated by the client: the task decides about that. Source: GoTrue's endpoints.
mod account;
mod browser;
pub(crate) mod error;
mod factors;
mod mail;
mod way;
mod wire;

use std::time::Duration;

use cloud_client::{
    AccessToken, Client, Error, ErrorCode,
    call::{Call, Reply, Speaker},
    error::{Service, codes::UNREADABLE},
};
use http::{HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::{
    factors::Upgrade,
    way::{Admission, Way},
    wire::{Grant, Linked, WireUser},
};

use crate::{codes, passages::Scope, status::User};

/// The longest one refresh may take; a longer one is asked again later.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest a sign-out waits for the server.
const LOG_OUT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a refresh came to.
#[derive(Debug)]
pub(crate) enum RefreshAnswer {
    Renewed(Box<Grant>),
    /// Passing: the session stays as it is (A5).
    Failed(Error),
    /// The session has ended, says the server (A6).
    Over(Error),
}

/// The auth server, spoken to with the public key alone.
#[derive(Clone, Debug)]
pub(crate) struct Gotrue(Client);

impl Gotrue {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) async fn refresh(&self, token: &SecretString) -> RefreshAnswer {
        match self.try_refresh(token).await {
            Ok(answer) => answer,
            Err(error) => RefreshAnswer::Failed(error),
        }
    }

    async fn try_refresh(&self, token: &SecretString) -> Result<RefreshAnswer, Error> {
        let body = wire::Refresh { refresh_token: token.expose_secret() };
        let call = post("token").query("grant_type", "refresh_token").timeout(REFRESH_TIMEOUT).json(&body)?;
        let reply = self.0.exchange(call).await?;
        if reply.status.is_success() {
            return reply.json().map(Box::new).map(RefreshAnswer::Renewed);
        }
        let error = error::refusal(&self.0, &reply);
        Ok(if error::end_of_session(&reply).is_some() {
            RefreshAnswer::Over(error)
        } else {
            RefreshAnswer::Failed(error)
        })
    }

    /// Ends sessions at the server. A session that is already gone is no error.
    pub(crate) async fn log_out(&self, access: AccessToken, scope: Scope) -> Result<(), Error> {
        let call =
            post("logout").query("scope", scope.as_str()).speaker(Speaker::Token(access)).timeout(LOG_OUT_TIMEOUT);
        let reply = self.0.exchange(call).await?;
        let word = error::word(&reply.headers, &reply.body);
        // An expired token (`bad_jwt`) is no such case: the session behind it lives on.
        let gone = reply.status.is_client_error() && word.is_some_and(|word| codes::ends_session(&word));
        if reply.status.is_success() || gone { Ok(()) } else { Err(error::refusal(&self.0, &reply)) }
    }

    async fn answer(&self, call: Call) -> Result<Reply, Error> {
        let reply = self.0.exchange(call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(error::refusal(&self.0, &reply)) }
    }

    /// As `answer`; a plain 400 means `code`: the server has no word of its own for it.
    async fn answer_as(&self, call: Call, code: ErrorCode) -> Result<Reply, Error> {
        let reply = self.0.exchange(call).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let error = error::refusal(&self.0, &reply);
        let ours = error.code().as_str().starts_with("auth.");
        match error::word(&reply.headers, &reply.body) {
            Some(word) if reply.status.as_u16() == 400 && !ours => {
                let named = reply.error(code).with_server_code(word);
                Err(match error.detail() {
                    Some(detail) => named.with_detail(detail),
                    None => named,
                })
            }
            _ => Err(error),
        }
    }
}

/// A call in nobody's name, sent once.
fn post(path: &str) -> Call {
    as_user(Method::POST, path).speaker(Speaker::Nobody).once()
}

/// A call in the user's name; only a `GET` is repeated.
fn as_user(method: Method, path: &str) -> Call {
    let version = HeaderValue::from_static(error::API_VERSION);
    Call::new(Service::Auth, method).segment(path).header(HeaderName::from_static(error::API_VERSION_HEADER), version)
}

/// A session with its user; one without is not readable.
fn grant(reply: &Reply) -> Result<(Box<Grant>, User), Error> {
    let mut grant: Box<Grant> = reply.json()?;
    let user = grant.user.take().ok_or_else(|| reply.error(UNREADABLE))?;
    Ok((grant, user.into()))
}
