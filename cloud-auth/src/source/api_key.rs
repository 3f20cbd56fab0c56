//! A key that stays the same until the host gives another one.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cloud_client::{AccessToken, Client, Error, TokenSource};
use http::HeaderName;
use secrecy::SecretString;

/// Speaks with one key.
///
/// ```
/// use cloud_auth::source::ApiKeySource;
/// use cloud_client::Client;
///
/// # fn example() -> Result<(), cloud_client::Error> {
/// let client = Client::builder("https://tenant.example.com", "sb_publishable_demo")?.build();
/// let key = "the tenant's key".to_owned().into();
/// let client = ApiKeySource::new(&client, key).header(http::HeaderName::from_static("x-tenant-key")).client();
/// # drop(client); Ok(()) }
/// ```
#[must_use = "nothing speaks with the key until `client`"]
pub struct ApiKeySource {
    client: Client,
    token: AccessToken,
}

impl ApiKeySource {
    /// The key for the cloud of `client`, sent as `Authorization: Bearer`.
    pub fn new(client: &Client, key: SecretString) -> Self {
        Self { client: client.clone(), token: AccessToken::new(key, 1) }
    }

    /// Sends the key in this header instead, as it is.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.token = self.token.in_header(name);
        self
    }

    /// The client, speaking with the key.
    pub fn client(self) -> Client {
        self.client.with_token_source(Arc::new(OneKey(self.token)))
    }
}

/// Shows no secret (A12).
impl fmt::Debug for ApiKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeySource").field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OneKey(AccessToken);

#[async_trait]
impl TokenSource for OneKey {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        Ok(Some(self.0.clone()))
    }

    async fn replace(&self, _refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        Ok(None) // there is no other
    }
}
