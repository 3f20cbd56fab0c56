//! One sign-in while the browser is away: its address, the wait, and the other ways to an end.
use std::{fmt, sync::Arc, time::Duration};

use cloud_client::Error;
use tokio::sync::watch;
use url::Url;

use super::{
    callback::{self, Answer},
    loopback::{Loopback, Visitor},
    pkce::FlowId,
    sign_ins::Outcome,
};
use crate::{
    Auth,
    codes::{BROWSER_TIMEOUT, CALLBACK_INVALID, FLOW_UNKNOWN},
    status::User,
};

/// A sign-in that waits for the browser. Dropping it closes the listener; an answer that comes as a link to the app
/// still counts (see [`Auth::complete`]).
#[must_use = "the browser comes back to `wait`"]
pub struct Attempt {
    auth: Auth,
    id: FlowId,
    url: Url,
    opener_error: Option<Error>,
    listener: Option<Loopback>,
    outcome: Arc<watch::Sender<Outcome>>,
    /// What the browser brought, while nobody has judged it.
    received: Option<Answer>,
    /// On the clock that goes on only.
    until: Duration,
}

/// What ends a wait.
enum Heard {
    Answer(Answer, Option<Visitor>),
    /// It was finished elsewhere in this process.
    Elsewhere(Result<User, Error>),
}

impl Attempt {
    pub(super) fn new(auth: Auth, id: FlowId, url: Url, listener: Option<Loopback>, wait: Duration) -> Self {
        let outcome = auth.sign_ins().watch(&id);
        let until = auth.plain_client().clock().monotonic().saturating_add(wait);
        Self { auth, id, url, opener_error: None, listener, outcome, received: None, until }
    }

    pub(super) fn opened(&mut self, outcome: Result<(), Error>) {
        self.opener_error = outcome.err();
        if let Some(error) = &self.opener_error {
            tracing::info!(%error, "the browser could not be opened");
        }
    }

    /// The address to show in the system's browser. It is good for this sign-in only.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Why the browser could not be opened: the user has to be shown [`Attempt::url`].
    pub fn opener_error(&self) -> Option<&Error> {
        self.opener_error.as_ref()
    }

    /// Waits for the browser to come back, signs in and tells who is signed in.
    ///
    /// # Errors
    ///
    /// `auth.browser_timeout` when nobody came in time; [`Attempt::complete`] may still end it. `auth.browser_denied`,
    /// `auth.browser_refused` and others as the cloud says, `auth.flow_unknown` when five later sign-ins took its
    /// place, `auth.flow_expired`. `net.*` and `server.*` when the cloud was not reached with the code: the next call
    /// of `wait` tries the same code again. `auth.superseded` when another sign-in or a sign-out came in between.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe until the browser has come back; then the sign-in goes on in the background.
    pub async fn wait(&mut self) -> Result<User, Error> {
        let clock = self.auth.plain_client().clock().clone();
        let left = self.until.saturating_sub(clock.monotonic());
        let late = || Error::new(BROWSER_TIMEOUT).during("waiting for the browser");
        let heard = match self.received.clone() {
            Some(answer) => Heard::Answer(answer, None),
            None => clock.within(left, self.heard()).await.ok_or_else(late)?,
        };
        match heard {
            Heard::Elsewhere(result) => {
                if result.as_ref().is_err_and(Error::is_retryable) {
                    self.outcome.send_replace(None);
                }
                result
            }
            Heard::Answer(answer, visitor) => {
                self.received = Some(answer.clone());
                let result = self.end(answer).await;
                if let Some(visitor) = visitor {
                    visitor.show(result.as_ref().err().map(Error::code)).await;
                }
                result
            }
        }
    }

    /// Signs in with what the user pasted: the code, or the whole address that the browser ended at.
    ///
    /// # Errors
    ///
    /// `auth.callback_invalid` when it is neither, `auth.flow_unknown` when it belongs to another sign-in: this one
    /// waits on. Otherwise as [`Attempt::wait`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn complete(&mut self, pasted: &str) -> Result<User, Error> {
        let invalid = || Error::new(CALLBACK_INVALID).during("reading what was pasted");
        let callback = callback::read_pasted(pasted).ok_or_else(invalid)?;
        // A cloud that did not accept the redirect leaves the name out; the user says which one is meant.
        if callback.flow.is_some_and(|flow| flow != self.id) {
            return Err(Error::new(FLOW_UNKNOWN).during("reading what was pasted"));
        }
        self.end(callback.answer).await
    }

    /// Gives up: no answer counts any more.
    ///
    /// # Errors
    ///
    /// `store.*` when the verifier could not be removed; it is forgotten after ten minutes.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the removal may not have happened then.
    pub async fn cancel(self) -> Result<(), Error> {
        match self.auth.sign_ins().claim(&self.id).await {
            Err(error) if error.code().as_str().starts_with("store.") => Err(error),
            _ => Ok(()),
        }
    }

    /// Whatever comes first: the browser at the listener, or an end elsewhere.
    async fn heard(&self) -> Heard {
        let mut outcome = self.outcome.subscribe();
        let elsewhere = async {
            match outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
                Ok(Some(result)) => result,
                // Not reached: the sender is ours.
                _ => std::future::pending().await,
            }
        };
        let answer = async {
            match &self.listener {
                Some(listener) => listener.answer(&self.id).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = elsewhere => Heard::Elsewhere(result),
            (answer, visitor) = answer => Heard::Answer(answer, Some(visitor)),
        }
    }

    /// One answer through the store and the server.
    async fn end(&mut self, answer: Answer) -> Result<User, Error> {
        let result = self.auth.finish(&self.id, answer).await;
        let again = result.as_ref().is_err_and(Error::is_retryable);
        if again {
            self.outcome.send_replace(None);
        } else {
            self.received = None;
        }
        if result.is_ok() {
            self.listener = None;
        }
        result
    }
}

/// Shows no secret (A12).
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (listens, error) = (self.listener.is_some(), &self.opener_error);
        f.debug_struct("Attempt").field("listens", &listens).field("opener_error", error).finish_non_exhaustive()
    }
}
