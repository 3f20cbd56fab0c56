//! The shapes that the auth server sends and takes. Source: GoTrue `internal/api/token.go`, `signup.go`, `user.go`.
use std::time::Duration;

use cloud_client::call::Call;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    contact::Contact,
    passages::{IdToken, ProviderTokens},
    status::{User, UserId},
};

/// Lifetime of an access token when the server names none, in seconds: GoTrue's default.
const DEFAULT_LIFETIME: f64 = 3600.0;
/// The longest lifetime that is believed: beyond a year something is wrong with the answer.
const LONGEST_LIFETIME: f64 = 366.0 * 86400.0;

/// Every field that a call may carry; what is not set is not sent.
#[derive(Default, Serialize)]
pub(super) struct Form<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) create_user: Option<bool>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code_verifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current_password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_identity: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) factor_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) friendly_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) challenge_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code_challenge: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code_challenge_method: Option<&'a str>,
}

impl<'a> Form<'a> {
    pub(super) fn of(contact: &'a Contact) -> Self {
        match contact {
            Contact::Email(email) => Self { email: Some(email), ..Self::default() },
            Contact::Phone(phone) => Self { phone: Some(phone), ..Self::default() },
        }
    }

    pub(super) fn of_id_token(token: &'a IdToken) -> Self {
        Self {
            provider: Some(&token.provider),
            id_token: Some(token.token.expose_secret()),
            access_token: token.access_token.as_ref().map(|token| token.expose_secret()),
            nonce: token.nonce.as_ref().map(|nonce| nonce.expose_secret()),
            ..Self::default()
        }
    }
}

/// Where a mailed link leads, and the challenge that only this device can meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linked {
    pub(crate) redirect: Option<String>,
    /// Whether it is to finish on this device: a challenge goes out with it.
    pub(crate) finishes_here: bool,
    /// The S256 challenge of a verifier kept here; the link then comes back with a code instead of tokens.
    pub(crate) challenge: Option<String>,
}

impl Linked {
    pub(super) fn on(&self, call: Call) -> Call {
        match &self.redirect {
            Some(redirect) => call.query("redirect_to", redirect),
            None => call,
        }
    }

    pub(super) fn in_form<'a>(&'a self, form: Form<'a>) -> Form<'a> {
        match self.challenge.as_deref() {
            Some(challenge) => Form { code_challenge: Some(challenge), code_challenge_method: Some("s256"), ..form },
            None => form,
        }
    }
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
    provider_token: Option<SecretString>,
    #[serde(default)]
    provider_refresh_token: Option<SecretString>,
    #[serde(default)]
    pub(crate) user: Option<WireUser>,
}

impl Grant {
    /// What the provider gave for calls to itself; only the answer to a sign-in has it.
    pub(crate) fn take_provider_tokens(&mut self) -> Option<ProviderTokens> {
        let refresh_token = self.provider_refresh_token.take();
        self.provider_token.take().map(|access_token| ProviderTokens { access_token, refresh_token })
    }

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
    phone: Option<String>,
    #[serde(default)]
    new_email: Option<String>,
    #[serde(default)]
    new_phone: Option<String>,
    #[serde(default)]
    is_anonymous: Option<bool>,
    #[serde(default)]
    user_metadata: Option<Map<String, Value>>,
    #[serde(default)]
    app_metadata: Option<Map<String, Value>>,
    /// `[]` on sign-up says that the address may belong to somebody already.
    #[serde(default)]
    pub(super) identities: Option<Vec<Value>>,
    #[serde(default)]
    factors: Option<Vec<WireFactor>>,
}

#[derive(Debug, Deserialize)]
struct WireFactor {
    #[serde(default)]
    status: String,
}

impl From<WireUser> for User {
    fn from(wire: WireUser) -> Self {
        let factors = wire.factors.unwrap_or_default();
        // The server writes "no address" as an empty text.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            email: given(wire.email),
            phone: given(wire.phone),
            new_email: given(wire.new_email),
            new_phone: given(wire.new_phone),
            has_second_factor: factors.iter().any(|factor| factor.status == "verified"),
            is_anonymous: wire.is_anonymous.unwrap_or_default(),
            user_metadata: wire.user_metadata.unwrap_or_default(),
            app_metadata: wire.app_metadata.unwrap_or_default(),
            ..Self::bare(UserId::new(wire.id))
        }
        .imprinted()
    }
}
