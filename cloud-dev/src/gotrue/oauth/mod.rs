//! Signing in through somebody else: a provider of this cloud's own, or a real one.
//!
//! `/authorize` notes a flow and sends the browser to the provider; the provider sends it back to `/callback`,
//! which finds out who it was and sends it on to the application.
//!
//! | Module       | What lives there                                        |
//! |--------------|---------------------------------------------------------|
//! | [`authorize`]| the way out: `/authorize`, linking, `/sso`              |
//! | [`callback`] | the way back                                            |
//! | [`page`]     | the built-in provider: a page where one chooses who one is |
//! | [`upstream`] | an OpenID provider outside                              |
//! | [`id_token`] | the grant for a provider's token, without a browser     |
//! | [`redirect`] | where browsers may go, and what they take along         |

pub(crate) mod authorize;
pub(crate) mod callback;
pub(crate) mod id_token;
pub(crate) mod page;
pub(crate) mod redirect;
pub(crate) mod upstream;

use self::upstream::Upstream;
use super::{Auth, error::AuthError};

/// The names under which the built-in provider answers.
pub(crate) const BUILT_IN: [&str; 7] = ["apple", "azure", "demo", "discord", "github", "gitlab", "google"];

/// Who vouches for people.
#[derive(Debug)]
pub(crate) enum Provider<'a> {
    BuiltIn(String),
    Upstream(&'a Upstream),
}

impl<'a> Provider<'a> {
    /// The provider called so; case does not matter.
    pub(crate) fn find(auth: &'a Auth, name: &str) -> Result<Self, AuthError> {
        let name = name.to_lowercase();
        if let Some(upstream) = auth.upstreams.iter().find(|upstream| upstream.name() == name) {
            return Ok(Self::Upstream(upstream));
        }
        if BUILT_IN.contains(&name.as_str()) {
            return Ok(Self::BuiltIn(name));
        }
        let message = match name.as_str() {
            "" => "Unsupported provider: missing provider",
            _ => "Unsupported provider: provider is not enabled",
        };
        Err(AuthError::bad_request("validation_failed", message))
    }
}
