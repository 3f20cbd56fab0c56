//! Signing in through the system's browser: OAuth providers, SSO, and further identities of one account.
//!
//! [`BrowserSignIn`] (provider, scopes) → a verifier and the name of the flow, durable in the store → [`Attempt`] with
//! the address to open → the browser → an answer → the code and the verifier go to the server → the session. The
//! answer comes to a listener on this machine, as a link to the app ([`Auth::complete`]), or pasted by the user
//! ([`Attempt::complete`]). The host opens the page, with an [`Opener`] or by itself.
//!
//! At most five sign-ins wait at once, each for ten minutes and one answer; an answer that belongs to none of them
//! changes nothing (A15). The password is typed into the provider's page and never seen here.
//!
//! ```no_run
//! # async fn run(auth: cloud_auth::Auth) -> Result<(), cloud_client::Error> {
//! let show = |url: &str| std::process::Command::new("xdg-open").arg(url).spawn().map(drop);
//! let mut attempt = auth.sign_in_with_browser("github").open(&show).await?;
//! if attempt.opener_error().is_some() {
//!     println!("Open this address to sign in: {}", attempt.url());
//! }
//! let user = attempt.wait().await?;
//! # let _ = user; Ok(()) }
//! ```
//!
//! The cloud must accept where the browser comes back to: `http://127.0.0.1:*/**` for the listener, which Supabase does
//! by itself, and `app://cloud/auth/callback*` for a link to an app, which has to be on its list of redirect addresses.
//! Sources: RFC 7636, RFC 8252, GoTrue `internal/api/external.go`.
mod address;
mod attempt;
mod begin;
mod callback;
mod loopback;
mod mailed;
mod opener;
mod page;
mod pending;
mod pkce;
mod request;
mod sign_ins;

use cloud_client::Error;

#[cfg(feature = "browser")]
pub use opener::SystemBrowser;
pub(crate) use {
    address::to_be_opened,
    mailed::{Awaited, Mailed},
    pkce::METHOD,
    sign_ins::SignIns,
};
pub use {
    attempt::Attempt,
    begin::{BrowserSignIn, Sso},
    opener::Opener,
};

use self::{callback::Answer, pkce::FlowId};
use crate::{
    Auth,
    codes::{CALLBACK_INVALID, SUPERSEDED},
    gotrue::Way,
    status::{AuthStatus, User, UserId},
};

impl Auth {
    /// Signs in with a provider that the cloud knows, such as `github`, in the system's browser.
    pub fn sign_in_with_browser(&self, provider: &str) -> BrowserSignIn {
        BrowserSignIn::new(self.clone(), begin::Kind::Provider(provider.to_owned()))
    }

    /// Signs in with the identity provider of a company, in the system's browser.
    pub fn sign_in_with_sso(&self, sso: Sso) -> BrowserSignIn {
        BrowserSignIn::new(self.clone(), begin::Kind::Sso(sso))
    }

    /// Adds an identity of a provider to the account that is signed in, in the system's browser.
    pub fn link_identity(&self, provider: &str) -> BrowserSignIn {
        BrowserSignIn::new(self.clone(), begin::Kind::Link(provider.to_owned()))
    }

    /// Finishes a browser sign-in, or one by a mailed link ([`SendOptions::finish_at`](crate::SendOptions::finish_at)),
    /// with the address that the system handed to the app, such as
    /// `app://cloud/auth/callback?code=…`. It may have been begun before the app was started again.
    ///
    /// # Errors
    ///
    /// `auth.callback_invalid` when `url` is no answer to a sign-in, `auth.flow_unknown` when it belongs to none that
    /// waits, `auth.flow_expired` after ten minutes, or an hour for a link from a mail: nothing has changed then. Otherwise as [`Attempt::wait`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn complete(&self, url: &str) -> Result<User, Error> {
        let invalid = || Error::new(CALLBACK_INVALID).during("reading the address");
        let callback = callback::read(url).ok_or_else(invalid)?;
        // Only the name says which sign-in it belongs to, and that the cloud sent it.
        let flow = callback.flow.ok_or_else(invalid)?;
        self.finish(&flow, callback.answer).await
    }

    /// One answer: claimed, judged by the server, told to whoever waits for it. A claimed sign-in is used up, whatever
    /// comes of it; only a failure that passes, and a code that the server does not know, give it back.
    async fn finish(&self, flow: &FlowId, answer: Answer) -> Result<User, Error> {
        let pending = self.sign_ins().claim(flow).await?;
        let result = match answer {
            Answer::Refused(error) => Err(error),
            // Somebody else has signed in meanwhile: their account gets no identity that they did not ask for.
            Answer::Code(_) if pending.link.is_some() && pending.link != self.user_id() => Err(Error::new(SUPERSEDED)),
            Answer::Code(code) => {
                let recovery = pending.mailed == Some(Mailed::Recovery);
                let result = self.sign_in(Way::Code { code, verifier: pending.verifier.clone(), recovery }).await;
                if result.as_ref().is_err_and(leaves_it_waiting)
                    && let Err(error) = self.sign_ins().begin(pending).await
                {
                    tracing::warn!(%error, "a sign-in that might be tried again could not be kept");
                }
                result
            }
        };
        match &result {
            Ok(_) => tracing::info!("signed in by browser"),
            Err(error) => tracing::info!(code = error.code().as_str(), "a browser sign-in failed"),
        }
        self.sign_ins().tell(flow, &result);
        result
    }

    fn user_id(&self) -> Option<UserId> {
        match self.status() {
            AuthStatus::SignedIn(session) => Some(session.user.id),
            _ => None,
        }
    }
}

/// Whether the verifier is as good as before: the server was not reached, or did not know the code, which may have been
/// mistyped.
fn leaves_it_waiting(error: &Error) -> bool {
    error.is_retryable() || error.server_code() == Some("flow_state_not_found")
}
