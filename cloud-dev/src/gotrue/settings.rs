//! What the accounts of a cloud may do, and who else vouches for people.
//!
//! Made by the builder, read by every handler, never changed while the cloud runs. The defaults are those of
//! GoTrue, except that nothing waits for a mail unless it was asked for.
//! Wire source: GoTrue, environment variables `GOTRUE_*`.

use std::time::Duration;

use secrecy::SecretString;

/// Where a browser ends when it was not told, or may not go where it was told.
const SITE_URL: &str = "http://localhost:3000";

/// How long a mailed code or link is good.
const CODE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long a sign-in through a browser may take.
const FLOW_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// What can be switched off, see [`Builder::without`](crate::Builder::without).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthFeature {
    /// New accounts of any kind: `signup_disabled`.
    SignUp,
    /// Accounts without an address: `anonymous_provider_disabled`.
    AnonymousSignUp,
    /// Accounts with an address and a password, and mailed links: `email_provider_disabled`.
    Email,
    /// Linking and unlinking of identities by the person: `manual_linking_disabled`.
    ManualLinking,
    /// New second factors: `mfa_totp_enroll_not_enabled`.
    TotpEnrolment,
    /// The check of second factors: `mfa_totp_verify_not_enabled`.
    TotpVerification,
}

/// An OpenID provider outside of this cloud, for [`Builder::oauth_upstream`](crate::Builder::oauth_upstream).
#[derive(Clone, Debug)]
#[must_use = "hand it to the builder"]
pub struct OidcProvider {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    pub(crate) scopes: String,
}

impl OidcProvider {
    /// The provider `name` (as in `/authorize?provider=name`) whose discovery document is below `issuer`.
    ///
    /// It has to send browsers back to `<cloud>/auth/v1/callback`, and to take the client's secret in the
    /// `Authorization` header (`client_secret_basic`).
    pub fn new(
        name: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        let issuer: String = issuer.into();
        Self {
            name: name.into().to_lowercase(),
            issuer: issuer.trim_end_matches('/').to_owned(),
            client_id: client_id.into(),
            client_secret: client_secret.into().into(),
            scopes: "openid email profile".to_owned(),
        }
    }

    /// Asks for these scopes, separated by spaces, before those of a request. Default: `openid email profile`.
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.scopes = scopes.into();
        self
    }
}

/// What the builder decided about accounts.
#[derive(Clone, Debug)]
pub(crate) struct AuthSettings {
    pub(crate) confirm_email: bool,
    pub(crate) site_url: String,
    pub(crate) redirect_urls: Vec<String>,
    pub(crate) off: Vec<AuthFeature>,
    pub(crate) code_lifetime: Duration,
    pub(crate) email_interval: Duration,
    pub(crate) emails_per_hour: Option<u32>,
    pub(crate) flow_lifetime: Duration,
    pub(crate) single_email_change: bool,
    pub(crate) require_current_password: bool,
    pub(crate) require_reauthentication: bool,
    pub(crate) rate_limits: bool,
    pub(crate) sso_domains: Vec<String>,
    pub(crate) upstreams: Vec<OidcProvider>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            confirm_email: false,
            site_url: SITE_URL.to_owned(),
            redirect_urls: Vec::new(),
            off: Vec::new(),
            code_lifetime: CODE_LIFETIME,
            email_interval: Duration::ZERO,
            emails_per_hour: None,
            flow_lifetime: FLOW_LIFETIME,
            single_email_change: false,
            require_current_password: false,
            require_reauthentication: false,
            rate_limits: false,
            sso_domains: Vec::new(),
            upstreams: Vec::new(),
        }
    }
}

impl AuthSettings {
    pub(crate) fn allows(&self, feature: AuthFeature) -> bool {
        !self.off.contains(&feature)
    }
}
