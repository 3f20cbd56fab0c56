//! What happened to the session, in order. Only changes are told; [`Auth::status`](crate::Auth::status) is the truth.
use serde::Serialize;

use crate::status::{AssuranceLevel, SignOutReason, User};

/// One change and its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuthEvent {
    /// Counts up by one with every event of a handle, from 1.
    pub sequence: u64,
    /// What changed.
    #[serde(flatten)]
    pub change: AuthChange,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthChange {
    /// Somebody is signed in: by password, from the store at the start, or through another process.
    SignedIn {
        /// Who.
        user: User,
        /// Whether the cloud has confirmed it; `false` for a login from the store until the first refresh.
        verified: bool,
    },
    /// Nobody is signed in any more.
    SignedOut {
        /// Why.
        reason: SignOutReason,
    },
    /// Somebody came in because the password is forgotten; told after `SignedIn`. Time to ask for a new one.
    PasswordRecovery,
    /// There is a new access token.
    TokenRefreshed,
    /// Something about the user is different, here or by another device.
    UserUpdated {
        /// The user as they are now.
        user: User,
    },
    /// The session is better or less well assured than before, such as after a second factor.
    AssuranceChanged {
        /// The level now.
        level: AssuranceLevel,
    },
    /// Profile, organisations or the active organisation are different: see
    /// [`Auth::user_context`](crate::Auth::user_context).
    ContextChanged,
    /// The store of secrets failed: the login may not survive a restart, or a removed one may come back.
    StoreDegraded {
        /// The code of the failure.
        code: &'static str,
    },
    /// The store of secrets works again.
    StoreRecovered,
}
