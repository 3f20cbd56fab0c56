//! What the account is made of, as the auth server describes it.
use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{contact::Contact, gotrue::Linked};

/// What to change about the user; what is not named stays.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing changes until it is given to `update`"]
pub struct UserChange {
    pub(crate) email: Option<Contact>,
    pub(crate) phone: Option<Contact>,
    pub(crate) password: Option<SecretString>,
    pub(crate) current_password: Option<SecretString>,
    pub(crate) nonce: Option<SecretString>,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) link: Linked,
}

impl UserChange {
    /// Another email address.
    pub fn email(mut self, address: impl Into<String>) -> Self {
        self.email = Some(Contact::email(address));
        self
    }

    /// Another phone number, with its country code.
    pub fn phone(mut self, number: impl Into<String>) -> Self {
        self.phone = Some(Contact::phone(number));
        self
    }

    /// Another password.
    pub fn password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// The password until now, for clouds that ask for it.
    pub fn current_password(mut self, password: SecretString) -> Self {
        self.current_password = Some(password);
        self
    }

    /// What was mailed by [`Account::reauthenticate`](super::Account::reauthenticate).
    pub fn nonce(mut self, nonce: SecretString) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The user's own metadata: merged into what is there, field by field; `null` removes one.
    pub fn data(mut self, data: Map<String, Value>) -> Self {
        self.data = Some(data);
        self
    }

    /// Where the link in a confirmation mail leads. Default: what the cloud is set to.
    pub fn redirect(mut self, address: impl Into<String>) -> Self {
        self.link.redirect = Some(address.into());
        self
    }
}

/// One way by which the user can sign in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Identity {
    /// Names the identity itself.
    pub identity_id: String,
    /// The user's id at the other service.
    #[serde(default)]
    pub id: String,
    /// The service, such as `email` or `google`.
    pub provider: String,
    /// The address it brought.
    #[serde(default)]
    pub email: Option<String>,
    /// What the service told about the user.
    #[serde(default)]
    pub identity_data: Option<Map<String, Value>>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A second factor's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactorId(String);

impl FactorId {
    /// An id as the server writes it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One second factor.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Factor {
    /// The id.
    pub id: FactorId,
    /// `verified`, or `unverified` until its first code was given.
    pub status: String,
    /// `totp`, `phone` or `webauthn`.
    pub factor_type: String,
    /// What the user called it.
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Factor {
    /// Whether its first code was given.
    pub fn is_verified(&self) -> bool {
        self.status == "verified"
    }
}

/// A factor that waits for its first code. Holds its secret in three forms; none is ever printed.
#[non_exhaustive]
pub struct Enrolment {
    /// The factor.
    pub factor: FactorId,
    /// What people type who cannot scan, in base32.
    pub secret: SecretString,
    /// The same as an `otpauth://` address.
    pub uri: SecretString,
    /// The address as a picture to scan, in SVG.
    pub qr_svg: SecretString,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment").field("factor", &self.factor).finish_non_exhaustive()
    }
}

/// Time for one code.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Challenge {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) factor: FactorId,
    /// The end, in seconds since 1970 by the server's clock.
    #[serde(default)]
    pub expires_at: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_an_enrolment_prints_no_secret() {
        let canary = || SecretString::from("canary");
        let enrolment = Enrolment { factor: FactorId::new("f1"), secret: canary(), uri: canary(), qr_svg: canary() };
        assert_eq!(format!("{enrolment:?}"), r#"Enrolment { factor: FactorId("f1"), .. }"#);
        let change = UserChange::default().password(canary()).nonce(canary()).current_password(canary());
        assert!(!format!("{change:?}").contains("canary"));
    }
}
