//! Asks the auth server for an address to open: for SSO, and to add an identity to the account that is signed in.
//!
//! domain or id, redirect and challenge → `POST /sso` or `GET /user/identities/authorize` → `{"url"}`, checked before it
//! is handed on (G8). Source: GoTrue `internal/api/sso.go`, `identity.go`.
use cloud_client::{Error, call::Call, error::Service};
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Gotrue, error, post};
use crate::oauth::{METHOD, Sso, to_be_opened};

#[derive(Serialize)]
struct SsoBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'a str>,
    redirect_to: &'a str,
    skip_http_redirect: bool,
    code_challenge: &'a str,
    code_challenge_method: &'a str,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

impl Gotrue {
    /// Where a company signs in.
    pub(crate) async fn sso_address(&self, sso: &Sso, redirect_to: &str, code_challenge: &str) -> Result<Url, Error> {
        let (domain, provider_id) = match sso {
            Sso::Domain(domain) => (Some(domain.as_str()), None),
            Sso::Provider(id) => (None, Some(id.as_str())),
        };
        let body = SsoBody {
            domain,
            provider_id,
            redirect_to,
            skip_http_redirect: true,
            code_challenge,
            code_challenge_method: METHOD,
        };
        self.address(post("sso").json(&body)?).await
    }

    /// Where the provider asks for its identity; this speaks for whoever is signed in.
    pub(crate) async fn link_address(&self, query: &[(&str, &str)]) -> Result<Url, Error> {
        let version = HeaderValue::from_static(error::API_VERSION);
        let call = Call::new(Service::Auth, Method::GET).segment("user").segment("identities").segment("authorize");
        let call = call.header(HeaderName::from_static(error::API_VERSION_HEADER), version).once();
        let call = query.iter().fold(call, |call, (name, value)| call.query(name, value));
        self.address(call.query("skip_http_redirect", "true")).await
    }

    async fn address(&self, call: Call) -> Result<Url, Error> {
        let Address { url } = self.answer(call).await?.json()?;
        to_be_opened(&url, self.0.origin())
    }
}
