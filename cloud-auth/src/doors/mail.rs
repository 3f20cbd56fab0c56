//! Codes and links by mail or message: asking for them, and signing in with them.
//!
//! What sends mail speaks to the server directly and changes nothing here, except that a link which is to finish on this
//! device has its verifier stored first.
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};

use super::SendOptions;
use crate::{
    auth::Auth,
    codes::OTP_EXPIRED,
    contact::Contact,
    gotrue::Way,
    oauth::{Awaited, Mailed},
    passages::{NotYet, OtpKind, Verified},
    session::desk::Entry,
};

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
        let SendOptions { create_user, data, link } = options;
        let awaited = Awaited::begin(self, link, Mailed::SignIn).await?;
        let sent = self.gotrue().send_code(&contact, create_user, data.as_ref(), awaited.link()).await;
        awaited.sent(self, sent).await
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
            Entry::SignedIn { user, .. } => Verified::SignedIn(user),
            Entry::NotYet(NotYet::Confirm(_) | NotYet::MaybeRegistered | NotYet::OtherHalf) => Verified::OtherHalf,
        })
    }

    /// Sends the mail or message once more that confirms a new account or a changed address. Its link never finishes
    /// here (see [`SendOptions::finish_at`]): the server cannot do that for a mail that it repeats.
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
    /// signs them in, or [`Auth::complete`] with the link where that finishes here, and the account sets the new one.
    /// The server does not say whether there is such an account.
    ///
    /// # Errors
    ///
    /// As [`Auth::send_code`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn send_recovery(&self, contact: impl Into<Contact>, options: SendOptions) -> Result<(), Error> {
        let contact = contact.into().checked()?;
        let awaited = Awaited::begin(self, options.link, Mailed::Recovery).await?;
        let sent = self.gotrue().send_recovery(&contact, awaited.link()).await;
        awaited.sent(self, sent).await
    }
}
