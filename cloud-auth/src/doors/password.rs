//! Signing in and up with a password.
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};

use super::SendOptions;
use crate::{
    auth::Auth,
    codes::PASSWORD_INVALID,
    contact::Contact,
    gotrue::Way,
    oauth::{Awaited, Mailed},
    passages::{NotYet, SignUp},
    session::desk::Entry,
    status::User,
};

/// The longest password that the server tells apart from its own beginning, in bytes.
pub(crate) const PASSWORD_LIMIT_BYTES: usize = 72;

impl Auth {
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

    /// Makes an account. Metadata such as a display name goes into the options, and so does where the link leads that
    /// confirms the address.
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
        options: impl Into<SendOptions>,
    ) -> Result<SignUp, Error> {
        let (contact, SendOptions { data, link, .. }) = (contact.into().checked()?, options.into());
        known(&password)?;
        if password.expose_secret().len() > PASSWORD_LIMIT_BYTES {
            return Err(Error::new(PASSWORD_INVALID).during("checking the password"));
        }
        let awaited = Awaited::begin(self, link, Mailed::SignIn).await?;
        let entered = self.enter(Way::SignUp { contact, password, data, link: awaited.link().clone() }).await;
        if matches!(entered, Ok(Entry::SignedIn { .. })) {
            // No mail was needed.
            awaited.forget(self).await;
            return entered.map(signed_up);
        }
        awaited.sent(self, entered).await.map(signed_up)
    }
}

fn signed_up(entry: Entry) -> SignUp {
    match entry {
        Entry::SignedIn { user, .. } => SignUp::SignedIn(user),
        Entry::NotYet(NotYet::Confirm(user)) => SignUp::ConfirmEmail(user),
        Entry::NotYet(_) => SignUp::MaybeRegistered,
    }
}

/// What can be said of a password without asking the server.
fn known(password: &SecretString) -> Result<(), Error> {
    if password.expose_secret().is_empty() {
        return Err(Error::new(PASSWORD_INVALID).during("checking the password"));
    }
    Ok(())
}
