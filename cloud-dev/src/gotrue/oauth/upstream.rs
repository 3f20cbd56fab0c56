//! An OpenID provider outside: where to send browsers, and who came back.
//!
//! Discovery happens at the first use and is kept once it worked. Each flow has a verifier of its own with the
//! provider. What the provider says of a person comes from its userinfo endpoint, asked for with the token that
//! the code gave. Wire source: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749 and 7636.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{sync::OnceCell, time::timeout};
use url::Url;

use super::callback::Arrival;
use crate::{
    functions::upstream::{address, client},
    gotrue::{PATH, error::AuthError, identity::link::Person, pkce::Flow, settings::OidcProvider},
};

/// Limits one question to the provider.
const LIMIT: Duration = Duration::from_secs(15);

/// A provider and what it said of itself.
#[derive(Debug)]
pub(crate) struct Upstream {
    provider: OidcProvider,
    client: Client,
    found: OnceCell<Discovery>,
}

/// The part of a discovery document that is used here.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    userinfo_endpoint: Url,
    jwks_uri: Url,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: Option<String>,
}

impl Upstream {
    /// Checks the settings; asks nothing yet.
    pub(crate) fn new(provider: OidcProvider) -> Result<Self, String> {
        address(&provider.issuer)?;
        if provider.name.is_empty() {
            return Err("a provider needs a name".to_owned());
        }
        Ok(Self { provider, client: client()?, found: OnceCell::new() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.provider.name
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.provider.client_id
    }

    async fn discovery(&self) -> Result<&Discovery, AuthError> {
        let address = format!("{}/.well-known/openid-configuration", self.provider.issuer);
        self.found
            .get_or_try_init(async || {
                let found: Discovery = ask(self.client.get(&address)).await.map_err(|reason| {
                    let name = self.name();
                    tracing::warn!(provider = name, reason, "the provider's discovery document cannot be read");
                    AuthError::internal(format!("Cannot read the discovery document of {name}: {reason}"))
                })?;
                if found.issuer.trim_end_matches('/') != self.provider.issuer {
                    return Err(AuthError::internal(format!("{} says it is another issuer", self.name())));
                }
                Ok(found)
            })
            .await
    }

    /// Where to send a browser.
    pub(super) async fn authorize(
        &self,
        cloud: &str,
        state: &str,
        challenge: &str,
        scopes: &str,
    ) -> Result<Url, AuthError> {
        let mut address = self.discovery().await?.authorization_endpoint.clone();
        let scope = format!("{} {scopes}", self.provider.scopes);
        address
            .query_pairs_mut()
            .append_pair("client_id", &self.provider.client_id)
            .append_pair("redirect_uri", &callback(cloud))
            .append_pair("response_type", "code")
            .append_pair("scope", scope.trim())
            .append_pair("state", state)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(address)
    }

    /// Exchanges a code and asks who it is.
    pub(super) async fn redeem(&self, cloud: &str, flow: &Flow, code: &str) -> Result<Arrival, AuthError> {
        let found = self.discovery().await?;
        let redirect_uri = callback(cloud);
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", flow.upstream_verifier.as_deref().unwrap_or_default()),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .client
            .post(found.token_endpoint.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .basic_auth(form(&self.provider.client_id), Some(form(self.provider.client_secret.expose_secret())))
            .body(body);
        let tokens: Tokens = ask(request).await.map_err(|reason| {
            let start: String = code.chars().take(4).collect();
            tracing::warn!(provider = self.name(), reason, "the provider gave no token");
            AuthError::internal(format!("Unable to exchange external code: {start}"))
        })?;
        let request = self.client.get(found.userinfo_endpoint.clone()).bearer_auth(&tokens.access_token);
        let claims: Map<String, Value> = ask(request).await.map_err(|reason| {
            tracing::warn!(provider = self.name(), reason, "the provider does not say who it is");
            AuthError::internal("Error getting user profile from external provider")
        })?;
        let mut claims = claims;
        claims.insert("iss".to_owned(), Value::String(found.issuer.clone()));
        let person = Person::of_claims(self.name(), &claims)
            .ok_or_else(|| AuthError::internal("Error getting user profile from external provider"))?;
        Ok(Arrival { person, token: Some(tokens.access_token), refresh_token: tokens.refresh_token })
    }

    /// The issuer's name, and the keys it signs with.
    pub(super) async fn keys(&self) -> Result<(&str, Value), AuthError> {
        let found = self.discovery().await?;
        let keys = ask(self.client.get(found.jwks_uri.clone())).await;
        let keys = keys.map_err(|_| AuthError::oauth("invalid request", "Cannot read the provider's keys"))?;
        Ok((&found.issuer, keys))
    }
}

fn callback(cloud: &str) -> String {
    format!("{cloud}{PATH}/callback")
}

/// Encodes a part of the basic credentials, as RFC 6749 section 2.3.1 has it.
fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Sends a request and reads the JSON of a good answer; says what went wrong without any address or secret.
async fn ask<T: for<'de> Deserialize<'de>>(request: RequestBuilder) -> Result<T, String> {
    let exchange = async {
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        response.json().await.map_err(|error| error.without_url().to_string())
    };
    timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
}
