//! The account of whoever is signed in: the user, its addresses and password, and the services linked to it.
//!
//! [`Auth::account`](crate::Auth::account) and [`Auth::mfa`](crate::Auth::mfa) lend a handle; each call speaks for the
//! user who is signed in at that moment, and what the server says about the user is told to the session task, which
//! alone publishes it. Second factors are in [`Mfa`].
//!
//! ```no_run
//! # async fn run(auth: cloud_auth::Auth) -> Result<(), cloud_client::Error> {
//! use cloud_auth::account::UserChange;
//!
//! let user = auth.account().update(UserChange::default().email("ada@new.example")).await?;
//! assert_eq!(user.new_email.as_deref(), Some("ada@new.example"), "until the link in the mail was opened");
//! # Ok(()) }
//! ```
mod mfa;
mod shapes;

use cloud_client::Error;
use secrecy::ExposeSecret as _;

pub use self::{
    mfa::Mfa,
    shapes::{Challenge, Enrolment, Factor, FactorId, Identity, UserChange},
};
use crate::{
    auth::Auth,
    codes::{PASSWORD_INVALID, SESSION_OVER},
    gotrue::{Gotrue, Upgrade},
    passages::IdToken,
    status::User,
};

/// The account of whoever is signed in. Every method fails with `auth.not_signed_in` when nobody is.
#[derive(Debug)]
pub struct Account<'a>(pub(crate) &'a Auth);

impl Account<'_> {
    /// The user as the server knows them now. A difference is told as
    /// [`UserUpdated`](crate::events::AuthChange::UserUpdated).
    ///
    /// # Errors
    ///
    /// `auth.not_signed_in`, or why the server could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn fetch(&self) -> Result<User, Error> {
        let user = asked(self.0, async |gotrue: Gotrue| gotrue.user().await).await?;
        self.0.note(user).await
    }

    /// Changes the user. A new address stands as `new_email` until it is confirmed, where the cloud wants that; a new
    /// password ends the user's sessions on other devices. An anonymous user becomes one that can sign in again.
    ///
    /// # Errors
    ///
    /// `auth.email_invalid`, `auth.phone_invalid`, `auth.password_invalid` before anything is sent;
    /// `auth.user_exists`, `auth.weak_password`, `auth.same_password`; `auth.reauthentication_needed`: call
    /// [`Account::reauthenticate`] and give the nonce; `auth.nonce_invalid`; `auth.current_password_required`,
    /// `auth.current_password_wrong`; `auth.mfa_required`: verify a second factor first.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the change may have been made; the next refresh tells.
    pub async fn update(&self, change: UserChange) -> Result<User, Error> {
        let UserChange { email, phone, .. } = change.clone();
        let email = email.map(crate::Contact::checked).transpose()?;
        let phone = phone.map(crate::Contact::checked).transpose()?;
        let change = UserChange { email, phone, ..change };
        let length = change.password.as_ref().map(|password| password.expose_secret().len());
        if length.is_some_and(|length| !(1..=crate::doors::PASSWORD_LIMIT_BYTES).contains(&length)) {
            return Err(Error::new(PASSWORD_INVALID).during("checking the password"));
        }
        let was_anonymous = self.0.status().user().is_some_and(|user| user.is_anonymous);
        let user = asked(self.0, async |gotrue: Gotrue| gotrue.update_user(&change).await).await?;
        let user = self.0.note(user).await?;
        if was_anonymous && !user.is_anonymous {
            // Row policies read the token: without a new one the user stays a stranger for up to an hour. A refresh
            // that fails is tried again by itself.
            let _ = self.0.refresh().await;
        }
        Ok(user)
    }

    /// Sends a nonce to the user's address, which [`UserChange::nonce`] takes.
    ///
    /// # Errors
    ///
    /// `auth.mail_rate_limited`, `auth.not_signed_in`, or why the server could not be asked.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the mail may have been sent.
    pub async fn reauthenticate(&self) -> Result<(), Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.reauthenticate().await).await
    }

    /// The services and addresses by which the user can sign in.
    ///
    /// # Errors
    ///
    /// `auth.not_signed_in`, or why the server could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn identities(&self) -> Result<Vec<Identity>, Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.identities().await).await
    }

    /// Adds another service by a token of it, without a browser. The session is replaced by the one that the server
    /// gives, as in [`Mfa::verify`].
    ///
    /// # Errors
    ///
    /// `auth.linking_disabled`, `auth.user_exists` when it belongs to another account, `auth.id_token_refused`.
    ///
    /// # Cancel safety
    ///
    /// Linking goes on in the background when the future is dropped.
    pub async fn link_id_token(&self, token: IdToken) -> Result<User, Error> {
        self.0.upgrade(Upgrade::Link(token)).await
    }

    /// Takes a service away, by [`Identity::identity_id`].
    ///
    /// # Errors
    ///
    /// `auth.identity_needed` for the last one, `auth.identity_unknown`, `auth.linking_disabled`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the service may be gone.
    pub async fn unlink(&self, identity_id: &str) -> Result<(), Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.unlink_identity(identity_id).await).await?;
        // What else it brought, such as an address, may be gone with it.
        let _ = self.fetch().await;
        Ok(())
    }
}

/// One call for the user. When the server says that the session is over, the session task is sent to see for itself:
/// it alone may end it, after a look into the store (A6).
async fn asked<T>(auth: &Auth, call: impl AsyncFnOnce(Gotrue) -> Result<T, Error>) -> Result<T, Error> {
    let result = call(auth.member().await?).await;
    if result.as_ref().is_err_and(|error| error.code() == SESSION_OVER) {
        let _ = auth.refresh().await;
    }
    result
}
