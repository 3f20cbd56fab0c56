//! The beginning of a browser sign-in: what is asked for, and the steps until there is an address to open.
//!
//! check → random bytes → listener bound → verifier and flow durable (A15) → address: built here for a provider, asked
//! of the server for SSO and for linking. Nothing is opened before all that.
use std::time::Duration;

use cloud_client::{Error, error::codes::INTERNAL};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{
    Attempt, Opener,
    address::{self, Wish, check_redirect, with_flow_id},
    loopback::Loopback,
    pending::Pending,
    pkce::{FlowId, challenge, entropy, verifier},
};
use crate::{Auth, codes::NOT_SIGNED_IN, gotrue::Gotrue};

/// How long to wait for the browser to come back.
const WAIT: Duration = Duration::from_secs(300);

/// How a company's identity provider is found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sso {
    /// By the domain of the user's address, such as `example.com`.
    Domain(String),
    /// By the id that the cloud gave the provider.
    Provider(String),
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Provider(String),
    Sso(Sso),
    Link(String),
}

/// A browser sign-in that is about to begin. See [`Auth::sign_in_with_browser`].
#[derive(Debug)]
#[must_use = "nothing happens until `open` or `begin`"]
pub struct BrowserSignIn {
    auth: Auth,
    kind: Kind,
    wish: Wish,
    redirect: Option<String>,
    wait: Duration,
}

impl BrowserSignIn {
    pub(super) fn new(auth: Auth, kind: Kind) -> Self {
        let provider = match &kind {
            Kind::Provider(provider) | Kind::Link(provider) => provider.clone(),
            Kind::Sso(_) => "sso".to_owned(),
        };
        Self { auth, kind, wish: Wish { provider, ..Wish::default() }, redirect: None, wait: WAIT }
    }

    /// Asks the provider for these rights, such as `repo`, beside what signing in needs. Not for SSO.
    pub fn scopes<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        for scope in scopes {
            if !self.wish.scopes.is_empty() {
                self.wish.scopes.push(' ');
            }
            self.wish.scopes.push_str(scope.as_ref());
        }
        self
    }

    /// Hands a parameter on to the provider, such as `prompt` = `select_account`. Not for SSO.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.wish.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the browser come back to `address`, such as `app://cloud/auth/callback`, which the system hands to the app
    /// and the app to [`Auth::complete`]. It has to be on the cloud's list of redirect addresses, with a `*` behind it.
    /// Default: a listener on this machine.
    pub fn redirect_to(mut self, address: &str) -> Self {
        self.redirect = Some(address.to_owned());
        self
    }

    /// Waits this long for the browser to come back. Default: 5 minutes; an answer counts for ten at most.
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Begins, and lets `opener` show the page. An opener that fails is no failure of the sign-in: see
    /// [`Attempt::opener_error`].
    ///
    /// # Errors
    ///
    /// As [`BrowserSignIn::begin`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn open(self, opener: &(impl Opener + ?Sized)) -> Result<Attempt, Error> {
        let mut attempt = self.begin().await?;
        attempt.opened(opener.open(attempt.url()).await);
        Ok(attempt)
    }

    /// Begins without opening anything: the host shows [`Attempt::url`].
    ///
    /// # Errors
    ///
    /// `auth.redirect_invalid` for a provider, parameter or redirect that cannot be used; `auth.listener_failed` when
    /// nothing can be bound on this machine; `store.*` when the verifier cannot be kept, since without it no answer
    /// would count. For SSO and linking also what the server says, `auth.address_untrusted` for an address that must
    /// not be opened, and `auth.not_signed_in` when there is no account to link to.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was stored by then is forgotten after ten minutes.
    pub async fn begin(self) -> Result<Attempt, Error> {
        let Self { auth, kind, wish, redirect, wait } = self;
        wish.check()?;
        redirect.as_deref().map_or(Ok(()), check_redirect)?;
        let link = match kind {
            Kind::Link(_) => Some(auth.user_id().ok_or_else(|| Error::new(NOT_SIGNED_IN))?),
            Kind::Provider(_) | Kind::Sso(_) => None,
        };
        let unlucky = |cause| Error::new(INTERNAL).during("drawing random bytes").with_source(cause);
        let (secret, name, path) = (entropy().map_err(unlucky)?, entropy().map_err(unlucky)?, entropy());
        let (verifier, id) = (verifier(&secret), FlowId::new(&name));
        let clock = auth.plain_client().clock().clone();
        let (redirect, listener) = match redirect {
            Some(redirect) => (redirect, None),
            None => {
                let listener = Loopback::bind(&path.map_err(unlucky)?, clock).await?;
                (listener.redirect(), Some(listener))
            }
        };
        let redirect = with_flow_id(&redirect, &id);
        let challenge = challenge(verifier.expose_secret());
        let begun = auth.sign_ins().now();
        auth.sign_ins().begin(Pending { id: id.clone(), verifier, begun, link, mailed: None }).await?;
        let attempt = |url: Url| Attempt::new(auth.clone(), id.clone(), url, listener, wait);
        match address_of(&auth, kind, &wish, &redirect, &challenge).await {
            Ok(url) => {
                tracing::info!(provider = wish.provider, "a browser sign-in begins");
                Ok(attempt(url))
            }
            Err(error) => {
                // Nobody can answer what nobody was asked.
                drop(auth.sign_ins().claim(&id).await);
                Err(error)
            }
        }
    }
}

/// Where the browser has to go.
async fn address_of(auth: &Auth, kind: Kind, wish: &Wish, redirect: &str, challenge: &str) -> Result<Url, Error> {
    match kind {
        Kind::Provider(_) => address::authorize(auth.plain_client().origin(), wish, redirect, challenge),
        Kind::Sso(sso) => auth.gotrue().sso_address(&sso, redirect, challenge).await,
        Kind::Link(_) => Gotrue::new(auth.client()).link_address(&wish.query(redirect, challenge)).await,
    }
}
