//! The handle: asks the session task and shows what it publishes.
//!
//! A call becomes a command in the task's queue and waits for a oneshot; everything that must not be cut short happens
//! in the task. A token that is still fresh is handed out without asking anybody.
mod builder;
mod token;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloud_client::{
    Client, Error, TokenSource as _,
    error::codes::{CLOSED, TIMEOUT, UNREADABLE},
    events::{Bus, Listener},
    tasks::{CancellationToken, Tasks},
};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::builder::AuthBuilder;
use self::token::Member;
use crate::{
    account::{Account, Mfa},
    codes::NOT_SIGNED_IN,
    context::{OrganizationId, UserContext},
    events::AuthEvent,
    gotrue::{Gotrue, Upgrade, Way},
    oauth::SignIns,
    passages::{ProviderTokens, Scope, SignedOut},
    session::{
        Published,
        desk::{Command, Entry, Reply},
        machine::Ask,
    },
    status::{AuthStatus, User, UserId},
    store::SecretStoreHandle,
};

/// The longest a call such as a sign-in may take: the server's answer, then the store.
const CALL_WAIT: Duration = Duration::from_secs(120);
/// What a task that was cut short gets to end.
const ABORT_WAIT: Duration = Duration::from_millis(100);

/// Signs in and stays signed in. Cheap to clone; all clones share one session.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    client: Client,
    sign_ins: SignIns,
    commands: mpsc::Sender<Command>,
    published: watch::Receiver<Published>,
    events: Bus<AuthEvent>,
    tasks: Tasks,
    abort: CancellationToken,
    /// What the provider of the newest sign-in gave, and whose it is; until somebody takes it.
    provider: Mutex<Option<(UserId, ProviderTokens)>>,
}

impl Auth {
    /// A session with the cloud of `client`, kept in `store`.
    pub fn builder(client: Client, store: SecretStoreHandle) -> AuthBuilder {
        AuthBuilder::new(client, store)
    }

    /// The client, speaking for whoever is signed in at the moment of each call.
    pub fn client(&self) -> Client {
        self.0.client.with_token_source(Arc::new(self.clone()))
    }

    /// Who is signed in, as far as is known now.
    pub fn status(&self) -> AuthStatus {
        self.0.published.borrow().status.clone()
    }

    /// Waits until the stored login has been read, or could not be, and tells the status. It takes at most as long as
    /// the store may: ten seconds.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn settled(&self) -> AuthStatus {
        let mut published = self.0.published.clone();
        // An error says that the task has ended: what it said last stands.
        let settled = published.wait_for(|published| published.settled).await.map(|published| published.status.clone());
        settled.unwrap_or_else(|_| self.status())
    }

    /// Changes from now on, in order.
    pub fn events(&self) -> Listener<AuthEvent> {
        self.0.events.subscribe()
    }

    /// The tokens of the provider with which somebody just signed in or linked an identity, for calls to the provider
    /// itself. They are given once and kept in memory only, until the next sign-in or a sign-out; keeping them is up to
    /// the host, and so is renewing them. `None` for ways in without a provider, for a user who has left, and when the
    /// sign-in's own caller had gone away.
    ///
    /// ```no_run
    /// # async fn run(auth: cloud_auth::Auth) -> Result<(), cloud_client::Error> {
    /// let mut attempt = auth.sign_in_with_browser("github").scopes(["repo"]).begin().await?;
    /// attempt.wait().await?;
    /// if let Some(github) = auth.take_provider_tokens() {
    ///     let token = github.access_token; // a secret: it is neither stored nor shown
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use = "they are given once"]
    pub fn take_provider_tokens(&self) -> Option<ProviderTokens> {
        let (whose, tokens) = self.set_provider_tokens(None)?;
        self.status().user().is_some_and(|user| user.id == whose).then_some(tokens)
    }

    fn set_provider_tokens(&self, tokens: Option<(UserId, ProviderTokens)>) -> Option<(UserId, ProviderTokens)> {
        std::mem::replace(&mut *self.0.provider.lock().unwrap_or_else(PoisonError::into_inner), tokens)
    }

    /// Signs out. The session ends here at once; the stored secret is removed first, then the server is told, for at
    /// most ten seconds. What failed of that is told in [`SignedOut`]. [`Scope::Others`] leaves this session alone.
    ///
    /// # Errors
    ///
    /// `client.closed` after [`Auth::close`]; for [`Scope::Others`] also `auth.not_signed_in` and what kept a token
    /// from being had.
    ///
    /// # Cancel safety
    ///
    /// The sign-out goes on in the background when the future is dropped.
    pub async fn sign_out(&self, scope: Scope) -> Result<SignedOut, Error> {
        if scope == Scope::Others {
            let access = self.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN))?;
            let revoked = self.gotrue().log_out(access, scope).await;
            return Ok(SignedOut { removed: Ok(()), revoked });
        }
        self.set_provider_tokens(None);
        self.ask(CALL_WAIT, |reply| Command::SignOut { scope, reply }).await
    }

    /// The account of whoever is signed in: user, addresses, password, linked services.
    pub fn account(&self) -> Account<'_> {
        Account(self)
    }

    /// The second factors of whoever is signed in.
    pub fn mfa(&self) -> Mfa<'_> {
        Mfa(self)
    }

    /// Renews the access token now, whatever is left of the present one; also the way to say that the network is back.
    ///
    /// # Errors
    ///
    /// `auth.not_signed_in`; otherwise why it could not be renewed. Only an error of kind `Unauthenticated` means that
    /// nobody is signed in any more.
    ///
    /// # Cancel safety
    ///
    /// The refresh goes on in the background when the future is dropped.
    pub async fn refresh(&self) -> Result<(), Error> {
        let token = self.ask(CALL_WAIT, |reply| Command::Token { ask: Ask::Now, reply }).await?;
        token.map(drop).ok_or_else(|| Error::new(NOT_SIGNED_IN))
    }

    /// Profile and organisations as last loaded; also after an offline start. `None` until then, or when nobody is
    /// signed in.
    pub fn user_context(&self) -> Option<Arc<UserContext>> {
        self.0.published.borrow().context.clone()
    }

    /// Loads profile and organisations again.
    ///
    /// # Errors
    ///
    /// `auth.not_signed_in`, or why they could not be read; the former ones stay.
    ///
    /// # Cancel safety
    ///
    /// Loading goes on in the background when the future is dropped.
    pub async fn load_context(&self) -> Result<Arc<UserContext>, Error> {
        // A token that has just ended is renewed first.
        self.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN))?;
        self.ask(CALL_WAIT, |reply| Command::LoadContext { reply }).await
    }

    /// Makes an organisation of the user the active one, also for later starts.
    ///
    /// # Errors
    ///
    /// `auth.organization_unknown` when the user is no member there, or nothing has been loaded yet.
    pub async fn set_active_organization(&self, id: &OrganizationId) -> Result<(), Error> {
        let id = id.clone();
        self.ask(CALL_WAIT, |reply| Command::Choose { id, reply }).await
    }

    /// Ends the background work within `limit` and keeps the login for the next start (L2). `false` when a refresh had
    /// to be cut short; that too is safe. Calls fail with `client.closed` afterwards.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the work has been told to end.
    pub async fn close(&self, limit: Duration) -> bool {
        let clock = self.0.client.clock();
        if self.0.tasks.close(clock, limit).await {
            return true;
        }
        self.0.abort.cancel();
        self.0.tasks.close(clock, ABORT_WAIT).await;
        false
    }

    /// The client, speaking for nobody.
    pub(crate) fn plain_client(&self) -> &Client {
        &self.0.client
    }

    /// The browser sign-ins that wait.
    pub(crate) fn sign_ins(&self) -> &SignIns {
        &self.0.sign_ins
    }

    /// The server, spoken to in the name of whoever is signed in; never in nobody's.
    pub(crate) async fn member(&self) -> Result<Gotrue, Error> {
        self.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN))?;
        Ok(Gotrue::new(self.0.client.with_token_source(Arc::new(Member(self.clone())))))
    }

    /// Tells the session task how the server described the user.
    pub(crate) async fn note(&self, user: User) -> Result<User, Error> {
        self.ask(CALL_WAIT, |reply| Command::UserLoaded { user, reply }).await
    }

    /// Gets a better session in place of the present one.
    pub(crate) async fn upgrade(&self, upgrade: Upgrade) -> Result<User, Error> {
        self.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN))?;
        self.ask(CALL_WAIT, |reply| Command::Upgrade { upgrade, reply }).await
    }

    pub(crate) fn gotrue(&self) -> Gotrue {
        Gotrue::new(self.0.client.clone())
    }

    /// Goes one way in: the session is durable before it is shown (A17).
    pub(crate) async fn enter(&self, way: Way) -> Result<Entry, Error> {
        let mut entry = self.ask(CALL_WAIT, |reply| Command::Enter { way, reply }).await?;
        if let Entry::SignedIn { user, provider } = &mut entry {
            self.set_provider_tokens(provider.take().map(|tokens| (user.id.clone(), tokens)));
        }
        Ok(entry)
    }

    /// A way in that ends in a session or fails.
    pub(crate) async fn sign_in(&self, way: Way) -> Result<User, Error> {
        match self.enter(way).await? {
            Entry::SignedIn { user, .. } => Ok(user),
            Entry::NotYet(_) => Err(Error::new(UNREADABLE).during("signing in")),
        }
    }

    /// One command and its answer.
    async fn ask<T>(&self, limit: Duration, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let work = async {
            let (reply, answer) = oneshot::channel();
            self.0.commands.send(command(reply)).await.map_err(|_| Error::new(CLOSED))?;
            answer.await.map_err(|_| Error::new(CLOSED))?
        };
        let late = || Err(Error::new(TIMEOUT).during("waiting for the session"));
        self.0.client.clock().within(limit, work).await.unwrap_or_else(late)
    }
}

/// Shows no secret (A12).
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("client", &self.0.client).field("status", &self.status()).finish_non_exhaustive()
    }
}
