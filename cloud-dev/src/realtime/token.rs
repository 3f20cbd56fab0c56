//! Whose a token is, and until when; the refusals in the service's own words.
//!
//! Token text → [`Token`] or [`Refused`]. An API key of the new kind stands for the role `anon`, as the gateway of
//! a hosted project makes of it. The same check is made at the upgrade, at a join and at `access_token`.
//! Wire source: Supabase Realtime `RealtimeWeb.ChannelsAuthorization`, `JwtVerification`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    cloud::Cloud,
    core::{Identity, Role, jwt::JwtError},
};

/// A token that was good when it was checked.
#[derive(Clone)]
pub(crate) struct Token {
    text: String,
    /// Seconds since 1970.
    pub(crate) expires: i64,
    pub(crate) identity: Identity,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Why a token is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("The token provided is not a valid JWT")]
    Malformed,
    #[error("Failed to validate JWT signature")]
    Signature,
    #[error("Fields `role` and `exp` are required in JWT")]
    Claims,
    #[error("Token has expired {0} seconds ago")]
    Expired(i64),
}

impl Refused {
    /// The word in front of the text in a refused join.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "MalformedJWT",
            Self::Signature => "JwtSignatureError",
            Self::Claims | Self::Expired(_) => "InvalidJWTToken",
        }
    }
}

impl Token {
    /// Checks `text`.
    pub(crate) fn check(cloud: &Cloud, text: &str) -> Result<Self, Refused> {
        if text == cloud.keys.publishable() {
            return Ok(Self { text: text.to_owned(), expires: i64::MAX, identity: Identity::anon() });
        }
        let unchecked = claims(text);
        let expires = unchecked.as_ref().and_then(|claims| claims["exp"].as_i64());
        let claims = cloud.check(text, 0).map_err(|error| match error {
            JwtError::Signature => Refused::Signature,
            JwtError::Malformed if unchecked.is_some() && expires.is_none() => Refused::Claims,
            JwtError::Malformed => Refused::Malformed,
            // One that was revoked counts as just expired.
            JwtError::Expired => Refused::Expired((cloud.now_seconds() - expires.unwrap_or_default()).max(0)),
        })?;
        let role = claims["role"].as_str().ok_or(Refused::Claims)?;
        let identity = match role {
            "service_role" => Identity { role: Role::Service, user_id: None, claims },
            _ => Cloud::person(claims).unwrap_or_else(Identity::anon),
        };
        Ok(Self { text: text.to_owned(), expires: expires.unwrap_or_default(), identity })
    }

    /// Checks it again, now.
    pub(crate) fn again(&self, cloud: &Cloud) -> Result<Self, Refused> {
        Self::check(cloud, &self.text)
    }

    /// Whether `text` is this token.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// The claims of a token that nobody has checked.
fn claims(text: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}
