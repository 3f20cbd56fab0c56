//! The words for coming and going: what is shown at the door, which sessions a sign-out ends, and what came of it.
use cloud_client::Error;
use secrecy::SecretString;

use crate::status::User;

/// Which sessions of the user a sign-out ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// This one.
    Local,
    /// This one and those on all other devices.
    Global,
    /// Those on all other devices; this one stays.
    Others,
}

impl Scope {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
            Self::Others => "others",
        }
    }
}

/// What a sign-up came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignUp {
    /// The account exists and is signed in.
    SignedIn(User),
    /// The account exists; its address has to be confirmed by mail first.
    ConfirmEmail(User),
    /// The address may belong to an account already. The server does not say so outright.
    MaybeRegistered,
}

/// What a code or a mailed link was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtpKind {
    /// Signing in by email, with or without an account before.
    Email,
    /// A forgotten password.
    Recovery,
    /// Confirming the address of a new account.
    SignUp,
    /// Taking up an invitation.
    Invite,
    /// Signing in by a mailed link, in its older form.
    MagicLink,
    /// Confirming a changed address.
    EmailChange,
    /// Signing in by a message to a phone.
    Sms,
    /// Confirming a changed phone number.
    PhoneChange,
}

impl OtpKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Recovery => "recovery",
            Self::SignUp => "signup",
            Self::Invite => "invite",
            Self::MagicLink => "magiclink",
            Self::EmailChange => "email_change",
            Self::Sms => "sms",
            Self::PhoneChange => "phone_change",
        }
    }
}

/// What a code or a mailed link came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verified {
    /// It was right, and its owner is signed in.
    SignedIn(User),
    /// It was right; the address changes once the other address's code has been given, too.
    OtherHalf,
}

/// A token by which another service vouches for the user. Never printed.
///
/// The nonce ties it to this sign-in: make a random text, ask the service for a token with the *hash* of it (SHA-256,
/// as lower-case hex), and give the text itself here.
#[derive(Clone, Debug)]
pub struct IdToken {
    pub(crate) provider: String,
    pub(crate) token: SecretString,
    pub(crate) access_token: Option<SecretString>,
    pub(crate) nonce: Option<SecretString>,
}

impl IdToken {
    /// A token of `provider`, such as `google`, `apple` or `azure`.
    pub fn new(provider: impl Into<String>, token: SecretString) -> Self {
        Self { provider: provider.into(), token, access_token: None, nonce: None }
    }

    /// Adds the text whose hash is in the token. Default: none, as the token has none.
    #[must_use]
    pub fn nonce(mut self, raw: SecretString) -> Self {
        self.nonce = Some(raw);
        self
    }

    /// Adds the service's access token, for tokens that hold its hash (`at_hash`). Default: none.
    #[must_use]
    pub fn access_token(mut self, token: SecretString) -> Self {
        self.access_token = Some(token);
        self
    }
}

/// The tokens of the provider with which somebody signed in, such as GitHub's, for calls to the provider itself. Never
/// printed (A12) and never stored: see [`Auth::take_provider_tokens`](crate::Auth::take_provider_tokens).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderTokens {
    /// Speaks for the user to the provider, within the rights that were asked for.
    pub access_token: SecretString,
    /// Renews it, where the provider gives one.
    pub refresh_token: Option<SecretString>,
}

/// What stands between a way in and the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotYet {
    /// The account exists; its address has to be confirmed first.
    Confirm(User),
    MaybeRegistered,
    /// The other address has to agree, too.
    OtherHalf,
}

/// What a sign-out came to. Locally nobody is signed in any more, whatever this says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// Whether the stored secret is gone. If not, it is tried again while the handle lives.
    pub removed: Result<(), Error>,
    /// Whether the server has ended the sessions. If not, this one is ended there later: it is tried again, also after a
    /// restart, until the last access token has ended. Sessions on other devices are left alone by then.
    ///
    /// Where the access token had ended already, as after a night without a network, only the refresh token can end the
    /// session. That one is never kept on disk after a sign-out: it is tried again for up to an hour while the handle
    /// lives. If the app ends before that, the session stays at the server, without anybody who holds its token, until
    /// the cloud's own limit, or until the user signs out everywhere ([`Scope::Global`]) or changes the password.
    pub revoked: Result<(), Error>,
}
