//! The handle: asks the session task and shows what it publishes.
//!
//! A call becomes a command in the task's queue and waits for a oneshot; everything that must not be cut short happens
//! in the task. A token that is still fresh is handed out without asking anybody.
use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    error::codes::{CLOSED, TIMEOUT, UNREADABLE},
    events::{Bus, Listener},
    tasks::{CancellationToken, Tasks},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    account::{Account, Mfa},
    accounts::Slot,
    codes::{NOT_SIGNED_IN, PASSWORD_INVALID},
    contact::Contact,
    context::{OrganizationId, UserContext},
    events::AuthEvent,
    gotrue::{Gotrue, Linked, Upgrade, Way},
    oauth::SignIns,
    passages::{NotYet, Scope, SignUp, SignedOut},
    session::{
        Published,
        desk::{Command, Entry, Reply},
        expiry::{Access, Moment},
        machine::{Ask, Event},
        refresher::{Parts, Refresher},
    },
    status::{AuthStatus, User},
    store::{SecretKey, SecretStoreHandle},
};

/// A token is renewed this long before it ends.
const LEEWAY: Duration = Duration::from_secs(60);
/// Room in the queue of commands; full-queue rule: *wait*.
const COMMANDS: usize = 64;
/// The longest a request waits for a token.
const TOKEN_WAIT: Duration = Duration::from_secs(30);
/// The longest a call such as a sign-in may take: the server's answer, then the store.
const CALL_WAIT: Duration = Duration::from_secs(120);
/// What a task that was cut short gets to end.
const ABORT_WAIT: Duration = Duration::from_millis(100);
/// The longest password that the server tells apart from its own beginning, in bytes.
pub(crate) const PASSWORD_LIMIT_BYTES: usize = 72;

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
}

/// Options of an [`Auth`].
#[derive(Debug)]
#[must_use = "nothing happens until `open`"]
pub struct AuthBuilder {
    client: Client,
    store: SecretStoreHandle,
    key_prefix: String,
    account: Slot,
    leeway: Duration,
    start: Event,
}

impl AuthBuilder {
    /// Begins the name of the stored secret: `<prefix>REFRESH_TOKEN_<origin>`. Default: `CLOUD_`.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.key_prefix);
        self
    }

    /// Which of several accounts at this cloud it is, see [`Accounts`](crate::accounts::Accounts). Default: the first.
    pub fn account(mut self, slot: Slot) -> Self {
        self.account = slot;
        self
    }

    /// Renews a token this long before it ends. Default: 60 s; less for tokens that live for minutes only.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Leaves a stored login alone until somebody signs in. Default: it is taken up.
    pub fn leave_stored_login(mut self) -> Self {
        self.start = Event::StartedAlone;
        self
    }

    /// Starts the session. Returns at once, without network or disk: the stored login is read in the background
    /// (see [`Auth::settled`]), so a keyring that hangs holds up nothing (D2).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn open(self) -> Auth {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let start = Published { status: AuthStatus::Restoring, context: None, access: None, settled: false };
        let (publisher, published) = watch::channel(start);
        let (tasks, abort, events) = (Tasks::new(), CancellationToken::new(), Bus::default());
        let (origin, clock) = (self.client.origin().as_str(), self.client.clock().clone());
        let key = self.account.key(&self.key_prefix, origin);
        let sign_ins = SignIns::new(self.store.clone(), SecretKey::sign_ins(&self.key_prefix, origin), origin, clock);
        let refresher = Refresher::new(Parts {
            client: self.client.clone(),
            store: self.store,
            key,
            leeway: self.leeway,
            start: self.start,
            commands,
            published: publisher,
            events: events.clone(),
            stop: tasks.stop_signal(),
            abort: abort.clone(),
        });
        tasks.spawn(refresher.run());
        Auth(Arc::new(Inner { client: self.client, sign_ins, commands: sender, published, events, tasks, abort }))
    }
}

impl Auth {
    /// A session with the cloud of `client`, kept in `store`.
    pub fn builder(client: Client, store: SecretStoreHandle) -> AuthBuilder {
        AuthBuilder {
            client,
            store,
            key_prefix: "CLOUD_".to_owned(),
            account: Slot::FIRST,
            leeway: LEEWAY,
            start: Event::Started,
        }
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

    /// Signs in with email and password.
    ///
    /// # Errors
    ///
    /// `auth.email_invalid`, `auth.password_invalid` before anything is sent; `auth.invalid_credentials`,
    /// `auth.email_not_confirmed`, `auth.user_banned`, `auth.rate_limited` as the server says; `net.*` and `server.*`
    /// when it was not reached. Whoever was signed in before stays so. `auth.superseded` when a sign-out or another
    /// sign-in came in between.
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn sign_in_with_password(
        &self,
        contact: impl Into<Contact>,
        password: SecretString,
    ) -> Result<User, Error> {
        let contact = contact.into().checked()?;
        known(&password)?;
        self.sign_in(Way::Password { contact, password }).await
    }

    /// Makes an account. `data` becomes the user's own metadata, such as a display name.
    ///
    /// # Errors
    ///
    /// As [`Auth::sign_in_with_password`], and `auth.user_exists`, `auth.weak_password` (the reasons are in
    /// [`Error::detail`]), `auth.signup_disabled`.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn sign_up(
        &self,
        contact: impl Into<Contact>,
        password: SecretString,
        data: Option<Map<String, Value>>,
    ) -> Result<SignUp, Error> {
        let contact = contact.into().checked()?;
        known(&password)?;
        if password.expose_secret().len() > PASSWORD_LIMIT_BYTES {
            return Err(Error::new(PASSWORD_INVALID).during("checking the password"));
        }
        Ok(match self.enter(Way::SignUp { contact, password, data, link: Linked::default() }).await? {
            Entry::SignedIn(user) => SignUp::SignedIn(user),
            Entry::NotYet(NotYet::Confirm(user)) => SignUp::ConfirmEmail(user),
            Entry::NotYet(_) => SignUp::MaybeRegistered,
        })
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
        self.ask(CALL_WAIT, |reply| Command::Enter { way, reply }).await
    }

    /// A way in that ends in a session or fails.
    pub(crate) async fn sign_in(&self, way: Way) -> Result<User, Error> {
        match self.enter(way).await? {
            Entry::SignedIn(user) => Ok(user),
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

    /// The present token, when `usable` says so.
    fn present(&self, usable: impl FnOnce(&Access, Moment) -> bool) -> Option<AccessToken> {
        let now = Moment::now(self.0.client.clock());
        let published = self.0.published.borrow();
        published.access.as_ref().filter(|access| usable(access, now)).map(|access| access.token.clone())
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("client", &self.0.client).field("status", &self.status()).finish_non_exhaustive()
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
struct Member(Auth);

#[async_trait]
impl TokenSource for Member {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        self.0.token().await?.ok_or_else(|| Error::new(NOT_SIGNED_IN)).map(Some)
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.0.replace(refused).await
    }
}

/// What can be said of a password without asking the server.
fn known(password: &SecretString) -> Result<(), Error> {
    if password.expose_secret().is_empty() {
        return Err(Error::new(PASSWORD_INVALID).during("checking the password"));
    }
    Ok(())
}
