//! The model server behind this cloud, if there is one: any that speaks OpenAI's chat completions.
//!
//! A request goes out once and is never repeated; its body comes back as it arrives, pulled by whoever
//! reads, and dropping it closes the connection to the model server.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;

/// Limits the connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits the wait for each next byte; local models think long before the first.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Where a model server is, and the key it wants.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    base: Url,
    key: Option<SecretString>,
}

/// Why the model server gave no answer; never shows its key, nor what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("the model server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the model server answered {0}")]
    Refused(u16),
    /// It has too much to do; with what it said about when to come back.
    #[error("the model server takes no more questions at the moment")]
    Busy(Option<HeaderValue>),
    #[error("the model server's answer cannot be read")]
    Unreadable(#[source] reqwest::Error),
}

impl Upstream {
    /// A client for the server at `base`, such as `http://127.0.0.1:11434/v1`; opens no connection.
    pub(crate) fn new(base: &str, key: Option<SecretString>) -> Result<Self, String> {
        let base = address(base)?;
        let client = client()?;
        Ok(Self { client, base, key })
    }

    /// Asks for a completion; resolves at the head of the answer.
    pub(crate) async fn chat(&self, body: &Map<String, Value>) -> Result<Response, UpstreamError> {
        self.send(self.client.post(self.address("chat/completions")).json(body)).await
    }

    /// Asks which models there are.
    pub(crate) async fn models(&self) -> Result<Value, UpstreamError> {
        let response = self.send(self.client.get(self.address("models"))).await?;
        response.json().await.map_err(|error| UpstreamError::Unreadable(error.without_url()))
    }

    fn address(&self, path: &str) -> Url {
        let mut address = self.base.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        address
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, UpstreamError> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await.map_err(|error| UpstreamError::Unreachable(error.without_url()))?;
        let status = response.status();
        match status {
            status if status.is_success() => Ok(response),
            StatusCode::TOO_MANY_REQUESTS => Err(UpstreamError::Busy(response.headers().get(RETRY_AFTER).cloned())),
            status => Err(UpstreamError::Refused(status.as_u16())),
        }
    }
}

/// Reads the address of a server.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim_end_matches('/')).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err("not an http or https address".to_owned());
    }
    Ok(url)
}

/// A client that follows no redirect and repeats nothing.
pub(crate) fn client() -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        // Nothing is sent twice here, so nothing may be lost to an idle connection that its server closes just then.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_built_below_the_base() {
        for base in ["http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/"] {
            let upstream = Upstream::new(base, None).unwrap();
            assert_eq!(upstream.address("chat/completions").as_str(), "http://127.0.0.1:11434/v1/chat/completions");
        }
        for bad in ["", "127.0.0.1:11434", "file:///v1", "data:x"] {
            assert!(Upstream::new(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let upstream = Upstream::new("http://127.0.0.1:1/v1", Some("sk-very-secret".into())).unwrap();
        assert!(!format!("{upstream:?}").contains("very-secret"));
    }
}
