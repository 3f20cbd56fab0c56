//! Who is signed in, as a snapshot that can be shown, logged and sent to a user interface: it holds no secret.
use std::fmt;

use serde::{Deserialize, Serialize};

/// A user's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// An id as the server writes it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user as the auth server describes them. Serialises to id and address only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The address; `None` for people who signed up another way.
    pub email: Option<String>,
    /// What the user may change about themselves. Empty after an offline start.
    #[serde(default, skip_serializing)]
    pub user_metadata: serde_json::Map<String, serde_json::Value>,
    /// What only the server changes. Empty after an offline start.
    #[serde(default, skip_serializing)]
    pub app_metadata: serde_json::Map<String, serde_json::Value>,
}

/// Why nobody is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignOutReason {
    /// Nobody has signed in on this machine.
    NeverSignedIn,
    /// A stored login, if there is one, was left alone, as the host wanted.
    NotTakenUp,
    /// Somebody asked for it.
    Asked,
    /// The server ended the session.
    SessionOver {
        /// The server's own code, such as `session_expired`.
        server_code: String,
    },
    /// The stored login could not be read; it was set aside.
    StoreCorrupt,
}

/// The session's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthStatus {
    /// The store is being read; [`Auth::settled`](crate::Auth::settled) waits for the end of that.
    Restoring,
    /// The store cannot be read at the moment, so nobody knows. It is tried again.
    StoreUnavailable {
        /// The code of the failure, such as `store.timeout`.
        code: &'static str,
    },
    /// Nobody is signed in.
    SignedOut {
        /// Why not.
        reason: SignOutReason,
    },
    /// Somebody is signed in.
    SignedIn(Session),
}

impl AuthStatus {
    /// Whether somebody is signed in.
    pub fn is_signed_in(&self) -> bool {
        matches!(self, Self::SignedIn(_))
    }

    /// Who is signed in.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::SignedIn(session) => Some(&session.user),
            _ => None,
        }
    }
}

/// A session, without its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// Who is signed in.
    pub user: User,
    /// Whether the cloud has confirmed the session since this start. `false` while offline.
    pub verified: bool,
    /// When the access token ends, in seconds since 1970 by this machine's clock.
    pub expires_at: Option<u64>,
    /// Whether the login would survive a restart.
    pub stored: bool,
    /// The code of the last failed refresh, while it has not been made good.
    pub problem: Option<&'static str>,
}
