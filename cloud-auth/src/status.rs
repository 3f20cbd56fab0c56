//! Who is signed in, as a snapshot that can be shown, logged and sent to a user interface: it holds no secret (A12).
use std::{borrow::Cow, fmt, num::NonZeroU32};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

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

/// A user as the auth server describes them. The metadata is not serialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The address; `None` for people who signed up another way.
    pub email: Option<String>,
    /// The phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The address that takes the place of [`email`](Self::email) once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_email: Option<String>,
    /// The number that takes the place of [`phone`](Self::phone) once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_phone: Option<String>,
    /// Whether nothing but this device vouches for the user yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_anonymous: bool,
    /// Whether the user has a second factor that counts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_second_factor: bool,
    /// What the user may change about themselves. Empty after a start until the cloud was reached.
    #[serde(default, skip_serializing)]
    pub user_metadata: serde_json::Map<String, serde_json::Value>,
    /// What only the server changes. Empty after a start until the cloud was reached.
    #[serde(default, skip_serializing)]
    pub app_metadata: serde_json::Map<String, serde_json::Value>,
    /// Stands for the metadata where they are not kept.
    #[serde(skip)]
    pub(crate) imprint: Imprint,
}

/// What metadata look like from outside: a start of their SHA-256. The stored login has this in their place, since a
/// system's keyring holds little, and so a start tells nobody of a change that was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Imprint(Option<NonZeroU32>);

impl User {
    /// The user with the imprint of the metadata that are there.
    pub(crate) fn imprinted(mut self) -> Self {
        let text = serde_json::to_vec(&(&self.user_metadata, &self.app_metadata)).unwrap_or_default();
        let digest = Sha256::digest(&text);
        let start = digest.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte));
        self.imprint = Imprint(NonZeroU32::new(start));
        self
    }

    /// Whether nothing about the user is different, as far as either side still knows.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let outline = |user: &Self| {
            let empty = serde_json::Map::new();
            Self { user_metadata: empty.clone(), app_metadata: empty, ..user.clone() }
        };
        outline(self) == outline(other)
    }

    /// Somebody of whom only the id is known.
    pub(crate) fn bare(id: UserId) -> Self {
        Self {
            id,
            email: None,
            phone: None,
            new_email: None,
            new_phone: None,
            is_anonymous: false,
            has_second_factor: false,
            user_metadata: serde_json::Map::new(),
            app_metadata: serde_json::Map::new(),
            imprint: Imprint::default(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
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
    SignedIn(Box<Session>),
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
    /// How well the session is assured.
    pub assurance: Assurance,
    /// Whether the login would survive a restart.
    pub stored: bool,
    /// The code of the last failed refresh, while it has not been made good.
    pub problem: Option<&'static str>,
}

/// How well a session is assured: `aal1` by one factor, `aal2` by two. The server may know more levels than we do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssuranceLevel(Cow<'static, str>);

impl AssuranceLevel {
    /// One factor, such as a password or a mailed code.
    pub const AAL1: Self = Self(Cow::Borrowed("aal1"));
    /// Two factors.
    pub const AAL2: Self = Self(Cow::Borrowed("aal2"));

    /// A level as the server writes it.
    pub fn new(level: impl Into<String>) -> Self {
        Self(Cow::Owned(level.into()))
    }

    /// The level as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The level of a session, and the one that the user could reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Assurance {
    /// What the present token says; `None` while offline, or when it does not say.
    pub current: Option<AssuranceLevel>,
    /// What a second factor would give; the same as `current` for users without one.
    pub reachable: Option<AssuranceLevel>,
}

impl Assurance {
    /// Whether the user has a second factor and has not used it in this session.
    pub fn wants_second_factor(&self) -> bool {
        self.current != self.reachable
    }
}
