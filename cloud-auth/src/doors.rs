//! Signing in without a password: codes and links by mail, other services' tokens, nobody in particular.
//!
//! Each method checks what can be checked here, then goes its [`Way`] through the session task; what sends mail speaks
//! to the server directly and changes nothing here.
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::{
    auth::Auth,
    codes::OTP_EXPIRED,
    contact::Contact,
    gotrue::{Linked, Way},
    passages::{IdToken, NotYet, OtpKind, Verified},
    session::desk::Entry,
    status::User,
};

/// What goes with a code or a link that is sent. The default makes an account when there is none.
#[derive(Clone, Debug)]
#[must_use = "options of a call"]
pub struct SendOptions {
    create_user: bool,
    data: Option<Map<String, Value>>,
    pub(crate) link: Linked,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { create_user: true, data: None, link: Linked::default() }
    }
}

impl SendOptions {
    /// Sends nothing to people who have no account. Default: an account is made.
    pub fn existing_only(mut self) -> Self {
        self.create_user = false;
        self
    }

    /// Where the link in the mail leads; the cloud has to allow the address. Default: what the cloud is set to.
    pub fn redirect(mut self, address: impl Into<String>) -> Self {
        self.link.redirect = Some(address.into());
        self
    }

    /// The new user's own metadata. Default: none.
    pub fn data(mut self, data: Map<String, Value>) -> Self {
        self.data = Some(data);
        self
    }
}

impl Auth {
    /// Sends a code by mail, or by message to a phone, to sign in with: see [`Auth::verify_code`]. The mail holds a
    /// link, too.
    ///
    /// ```no_run
    /// # async fn run(auth: cloud_auth::Auth, typed: String) -> Result<(), cloud_client::Error> {
    /// use cloud_auth::OtpKind;
    ///
    /// auth.send_code("ada@example.com", Default::default()).await?;
    /// auth.verify_code(OtpKind::Email, "ada@example.com", typed.into()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `auth.email_invalid`, `auth.phone_invalid` before anything is sent; `auth.mail_rate_limited` with the wait in
    /// [`Error::retry_after`]; `auth.otp_disabled` for people without an account when none was to be made;
    /// `auth.signup_disabled`, `auth.provider_disabled`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the mail may have been sent.
    pub async fn send_code(&self, contact: impl Into<Contact>, options: SendOptions) -> Result<(), Error> {
        let contact = contact.into().checked()?;
        self.gotrue().send_code(&contact, options.create_user, options.data.as_ref(), &options.link).await
    }

    /// Signs in with the code from a mail or message. A code that confirms a changed address may need the other
    /// address's code, too: [`Verified::OtherHalf`]. After [`OtpKind::Recovery`] comes the event
    /// [`PasswordRecovery`](crate::events::AuthChange::PasswordRecovery).
    ///
    /// # Errors
    ///
    /// `auth.otp_expired` when the code is wrong, used or too old; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn verify_code(
        &self,
        kind: OtpKind,
        contact: impl Into<Contact>,
        code: SecretString,
    ) -> Result<Verified, Error> {
        let contact = contact.into().checked()?;
        // Blanks come with copying; no code has them.
        let token: String = code.expose_secret().chars().filter(|c| !c.is_whitespace()).collect();
        if token.is_empty() {
            return Err(Error::new(OTP_EXPIRED).during("checking the code"));
        }
        self.verified(Way::Otp { kind, contact, token: token.into() }).await
    }

    /// Signs in with the hash from a mailed link, the parameter `token_hash` or `token` of its address.
    ///
    /// # Errors
    ///
    /// As [`Auth::verify_code`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn verify_link(&self, kind: OtpKind, token_hash: SecretString) -> Result<Verified, Error> {
        self.verified(Way::TokenHash { kind, hash: token_hash }).await
    }

    async fn verified(&self, way: Way) -> Result<Verified, Error> {
        Ok(match self.enter(way).await? {
            Entry::SignedIn(user) => Verified::SignedIn(user),
            Entry::NotYet(NotYet::Confirm(_) | NotYet::MaybeRegistered | NotYet::OtherHalf) => Verified::OtherHalf,
        })
    }

    /// Sends the mail or message once more that confirms a new account or a changed address.
    ///
    /// # Errors
    ///
    /// As [`Auth::send_code`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn resend(&self, kind: OtpKind, contact: impl Into<Contact>, options: SendOptions) -> Result<(), Error> {
        self.gotrue().resend(kind, &contact.into().checked()?, &options.link).await
    }

    /// Sends a code and a link to somebody who forgot the password: [`Auth::verify_code`] with [`OtpKind::Recovery`]
    /// signs them in, and the account sets the new one. The server does not
    /// say whether there is such an account.
    ///
    /// # Errors
    ///
    /// As [`Auth::send_code`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn send_recovery(&self, contact: impl Into<Contact>, options: SendOptions) -> Result<(), Error> {
        self.gotrue().send_recovery(&contact.into().checked()?, &options.link).await
    }

    /// Signs in as nobody in particular: an account that only this device vouches for, until an address or another
    /// service is added. `data` becomes the user's own metadata.
    ///
    /// # Errors
    ///
    /// `auth.provider_disabled` where the cloud does not offer it; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn sign_in_anonymously(&self, data: Option<Map<String, Value>>) -> Result<User, Error> {
        self.sign_in(Way::Anonymous { data }).await
    }

    /// Signs in with a token by which another service vouches for the user.
    ///
    /// # Errors
    ///
    /// `auth.id_token_refused`, `auth.provider_disabled`; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn sign_in_with_id_token(&self, token: IdToken) -> Result<User, Error> {
        self.sign_in(Way::IdToken(token)).await
    }

    /// Signs in with the code that a browser came back with, and the verifier whose challenge went out with it (PKCE).
    ///
    /// # Errors
    ///
    /// `auth.flow_expired` when the code is unknown, used or older than five minutes; `auth.code_verifier` when it
    /// belongs to another verifier; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn exchange_code(&self, code: SecretString, verifier: SecretString) -> Result<User, Error> {
        self.sign_in(Way::Code { code, verifier, recovery: false }).await
    }

    /// Takes over a session from elsewhere, such as another app of the user. Its refresh token is spent: whoever had
    /// it before has to let go of it.
    ///
    /// # Errors
    ///
    /// `auth.session_over` when the session has ended; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn take_over_session(&self, refresh_token: SecretString) -> Result<User, Error> {
        self.sign_in(Way::Tokens { refresh: refresh_token }).await
    }
}
