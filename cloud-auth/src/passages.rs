//! The words for coming and going: which sessions a sign-out ends, and what a sign-up or sign-out came to.
use cloud_client::Error;

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

/// What a sign-out came to. Locally nobody is signed in any more, whatever this says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// Whether the stored secret is gone. If not, it is tried again while the handle lives.
    pub removed: Result<(), Error>,
    /// Whether the server has ended the sessions. If not, they end by themselves or by a later sign-out elsewhere.
    pub revoked: Result<(), Error>,
}
