//! Where one attempt goes and what it carries: endpoint, key, parameters, credentials → [`ConnectRequest`].
//!
//! Secrets go into headers first, subprotocols second, the query last, since URLs end up in logs. The project's key goes
//! to the project's own origin only (A11).
//! Source: Supabase Realtime, connection parameters; Phoenix, `vsn`.
use cloud_client::{Client, Error};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{Endpoint, KeyPlacement, RealtimeBuilder};
use crate::{codes::ENDPOINT_INVALID, credentials::Credentials, socket::ConnectRequest};

const SUPABASE: &str = "/realtime/v1/websocket";
const WEBSOCKET: &str = "/websocket";

/// The request of one attempt. `credentials` are used up.
pub(super) fn request(options: &RealtimeBuilder, credentials: Credentials) -> Result<ConnectRequest, Error> {
    let own = matches!(options.endpoint, Endpoint::Supabase | Endpoint::Path(_)) && credentials.url.is_none();
    let mut url = match credentials.url {
        Some(url) => socket_scheme(url)?,
        None => endpoint(&options.client, &options.endpoint)?,
    };
    let key = options.client.public_key().to_str().ok().filter(|_| own && options.credentials.is_none());
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("vsn", options.version.as_str());
        for (name, value) in &options.parameters {
            query.append_pair(name, value);
        }
        if let (Some(key), KeyPlacement::Query) = (key, options.key) {
            query.append_pair("apikey", key);
        }
        for (name, value) in &credentials.query {
            query.append_pair(name, value.expose_secret());
        }
    }
    let mut request = ConnectRequest::new(url);
    if let (Some(key), KeyPlacement::Header) = (key, options.key) {
        for name in ["apikey", "x-api-key"] {
            request = request.header(name, SecretString::from(key));
        }
    }
    for (name, value) in credentials.headers {
        request = request.header(name, value);
    }
    Ok(credentials.subprotocols.into_iter().fold(request, ConnectRequest::subprotocol))
}

fn endpoint(client: &Client, endpoint: &Endpoint) -> Result<Url, Error> {
    let below = |path: &str| -> Result<Url, Error> {
        let text = format!("{}/{}", client.origin().as_str(), path.trim_start_matches('/'));
        Url::parse(&text).map_err(|cause| Error::new(ENDPOINT_INVALID).with_source(cause))
    };
    match endpoint {
        Endpoint::Supabase => socket_scheme(below(SUPABASE)?),
        Endpoint::Path(path) => socket_scheme(with_websocket(below(path)?)),
        Endpoint::Url(url) => socket_scheme(with_websocket(url.clone())),
    }
}

/// A path that ends in `/websocket` gets no second one.
fn with_websocket(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    match path.as_str() {
        "" => {}
        path if path.ends_with(WEBSOCKET) => url.set_path(path),
        path => url.set_path(&format!("{path}{WEBSOCKET}")),
    }
    url
}

fn socket_scheme(mut url: Url) -> Result<Url, Error> {
    let invalid = || Error::new(ENDPOINT_INVALID);
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(invalid()),
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(invalid());
    }
    url.set_scheme(scheme).map_err(|()| invalid())?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Realtime, Version};

    fn options() -> RealtimeBuilder {
        Realtime::builder(&Client::builder("https://p.example.com/base", "sb_publishable_k3y").unwrap().build())
    }

    fn sent(options: &RealtimeBuilder, credentials: Credentials) -> (String, Vec<(String, String)>) {
        let request = request(options, credentials).unwrap();
        let headers =
            request.headers().map(|(name, value)| (name.to_owned(), value.expose_secret().to_owned())).collect();
        (request.url().to_string(), headers)
    }

    #[test]
    fn the_key_goes_into_headers_and_never_to_another_address() {
        let (url, headers) = sent(&options(), Credentials::new());
        assert_eq!(url, "wss://p.example.com/base/realtime/v1/websocket?vsn=2.0.0");
        assert_eq!(headers.len(), 2);
        assert!(headers.iter().all(|(_, value)| value == "sb_publishable_k3y"));

        let elsewhere = options().endpoint(Endpoint::Url("http://other.example.com/socket".parse().unwrap()));
        assert_eq!(
            sent(&elsewhere, Credentials::new()),
            ("ws://other.example.com/socket/websocket?vsn=2.0.0".into(), vec![])
        );
        let moved = Credentials::new().url("wss://other.example.com/ws".parse().unwrap());
        assert!(sent(&options(), moved).1.is_empty());
    }

    #[test]
    fn browsers_and_old_servers_are_served_by_settings() {
        let options = options()
            .key_placement(KeyPlacement::Query)
            .version(Version::V1)
            .parameter("log_level", "info")
            .endpoint(Endpoint::Path("/socket/websocket/".into()));
        let (url, headers) = sent(&options, Credentials::new());
        assert_eq!(url, "wss://p.example.com/base/socket/websocket?vsn=1.0.0&log_level=info&apikey=sb_publishable_k3y");
        assert!(headers.is_empty());
    }

    #[test]
    fn a_ticket_replaces_the_key_wherever_it_is_placed() {
        let secret = |text: &str| SecretString::from(text);
        #[derive(Debug)]
        struct Unused;
        #[async_trait::async_trait]
        impl crate::credentials::CredentialSource for Unused {
            async fn acquire(&self, _: crate::credentials::Attempt) -> Result<Credentials, Error> {
                Ok(Credentials::new())
            }
        }
        let ticket = Credentials::new()
            .header("authorization", secret("Bearer t1"))
            .subprotocol(secret("ticket.t2"))
            .query("ticket", secret("t3&"));
        let request = request(&options().credentials(Unused), ticket).unwrap();
        assert_eq!(request.url().query(), Some("vsn=2.0.0&ticket=t3%26"));
        assert_eq!(request.headers().map(|(name, _)| name).collect::<Vec<_>>(), ["authorization"]);
        assert_eq!(request.subprotocols().len(), 1);
    }

    #[test]
    fn addresses_with_credentials_or_of_another_kind_are_refused() {
        for bad in ["ftp://a.example.com/x", "wss://user:pw@a.example.com/x", "wss://a.example.com/x#f"] {
            let options = options().endpoint(Endpoint::Url(bad.parse().unwrap()));
            assert_eq!(request(&options, Credentials::new()).unwrap_err().code(), ENDPOINT_INVALID, "{bad}");
        }
    }
}
