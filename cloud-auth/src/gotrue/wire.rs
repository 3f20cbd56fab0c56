//! The shapes that the auth server sends and takes. Source: GoTrue `internal/api/token.go`, `signup.go`, `user.go`.
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::status::{User, UserId};

/// Lifetime of an access token when the server names none, in seconds: GoTrue's default.
const DEFAULT_LIFETIME: f64 = 3600.0;
/// The longest lifetime that is believed: beyond a year something is wrong with the answer.
const LONGEST_LIFETIME: f64 = 366.0 * 86400.0;

#[derive(Serialize)]
pub(super) struct Credentials<'a> {
    pub(super) email: &'a str,
    pub(super) password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Map<String, Value>>,
}

#[derive(Serialize)]
pub(super) struct Refresh<'a> {
    pub(super) refresh_token: &'a str,
}

/// A session as every token-issuing call answers it.
#[derive(Debug, Deserialize)]
pub(crate) struct Grant {
    pub(crate) access_token: SecretString,
    pub(crate) refresh_token: SecretString,
    #[serde(default)]
    expires_in: Option<f64>,
    #[serde(default)]
    pub(crate) user: Option<WireUser>,
}

impl Grant {
    /// How long the access token lives, from when the call was made (A10).
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs_f64(self.expires_in.unwrap_or(DEFAULT_LIFETIME).clamp(1.0, LONGEST_LIFETIME))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct WireUser {
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    user_metadata: Option<Map<String, Value>>,
    #[serde(default)]
    app_metadata: Option<Map<String, Value>>,
    /// `[]` on sign-up says that the address may belong to somebody already.
    #[serde(default)]
    pub(super) identities: Option<Vec<Value>>,
}

impl From<WireUser> for User {
    fn from(wire: WireUser) -> Self {
        Self {
            id: UserId::new(wire.id),
            // The server writes "no address" as an empty text.
            email: wire.email.filter(|email| !email.is_empty()),
            user_metadata: wire.user_metadata.unwrap_or_default(),
            app_metadata: wire.app_metadata.unwrap_or_default(),
        }
    }
}
