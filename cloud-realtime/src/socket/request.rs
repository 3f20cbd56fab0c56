//! What a connector needs for one attempt: where to, and the credentials of this attempt.
//!
//! Made anew for every attempt, so that a token is never older than the attempt. Headers come first,
//! subprotocols second, the query last, since URLs end up in logs. `Debug` shows scheme, host and path.
//! Source: Supabase Realtime, connection parameters; RFC 6455 for subprotocols.

use secrecy::SecretString;
use std::fmt;
use url::Url;

/// One attempt to open a socket.
#[derive(Clone)]
pub struct ConnectRequest {
    url: Url,
    headers: Vec<(String, SecretString)>,
    subprotocols: Vec<SecretString>,
}

impl ConnectRequest {
    /// A request to `url`, which is `ws` or `wss` and has its query already.
    pub const fn new(url: Url) -> Self {
        Self { url, headers: Vec::new(), subprotocols: Vec::new() }
    }

    /// Adds a header. Every value is treated as a secret.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// Offers a subprotocol, after those offered before. It may carry a token.
    #[must_use]
    pub fn subprotocol(mut self, value: SecretString) -> Self {
        self.subprotocols.push(value);
        self
    }

    /// Where to. May carry a key in its query: never log it.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The headers, in the order they were added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The subprotocols, most wanted first.
    pub fn subprotocols(&self) -> &[SecretString] {
        &self.subprotocols
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("ConnectRequest")
            .field("url", &format_args!("{}://{host}{}", self.url.scheme(), self.url.path()))
            .field("headers", &names)
            .field("subprotocols", &self.subprotocols.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_where_to_and_no_secret() {
        let url = "wss://user:s3cret@example.com/realtime/v1/websocket?apikey=s3cret&vsn=2.0.0";
        let request = ConnectRequest::new(url.parse().unwrap())
            .header("x-api-key", SecretString::from("s3cret"))
            .subprotocol(SecretString::from("base64url.bearer.phx.s3cret"));
        assert_eq!(
            format!("{request:?}"),
            "ConnectRequest { url: wss://example.com/realtime/v1/websocket, headers: [\"x-api-key\"], subprotocols: 1 }"
        );
    }
}
