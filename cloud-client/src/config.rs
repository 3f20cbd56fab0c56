//! Where the cloud is and which public key opens it: checked once, then trusted by everything below.
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::Engine as _;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use crate::{
    Error,
    error::codes::{KEY_INVALID, KEY_SECRET, URL_INSECURE, URL_INVALID},
};

/// The address of one cloud. Tokens of one origin never go to another (A11).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Url);

/// What an address of one service ends with, copied in place of the project's own.
const SERVICES: [&str; 5] = ["/auth/v1", "/rest/v1", "/storage/v1", "/realtime/v1", "/functions/v1"];

impl Origin {
    /// Reads an address such as `https://project.example.com` or `http://127.0.0.1:54321`; trailing slashes are cut.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config): `config.url_invalid` for anything that is no http(s) URL,
    /// carries a user name, query or fragment, or ends with the path of one service, such as `/rest/v1`; `config.url_insecure` for plain http to another machine (T9).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::new(URL_INVALID);
        let mut url = Url::parse(text.trim()).map_err(|cause| invalid().with_source(cause))?;
        let bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if !bare || !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(invalid());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if SERVICES.iter().any(|service| path.ends_with(service)) {
            return Err(invalid());
        }
        url.set_path(&path);
        let origin = Self(url);
        if origin.0.scheme() == "http" && !origin.is_loopback() {
            return Err(Error::new(URL_INSECURE));
        }
        Ok(origin)
    }

    /// Whether this is the same machine: `127.0.0.0/8`, `[::1]` or `localhost`.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.0.host())
    }

    /// The address without trailing slash.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// `path` below this address, with `query` already encoded.
    pub(crate) fn join(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url.set_query(query.filter(|query| !query.is_empty()));
        url
    }
}

/// Whether `host` is this machine.
pub(crate) fn is_loopback(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// A project's public key: the newer `sb_publishable_…` or the older anon JWT.
#[derive(Clone)]
pub struct ApiKey {
    secret: SecretString,
    is_jwt: bool,
}

impl ApiKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// `config.key_invalid` when it is empty or holds blanks; `config.key_secret` for `sb_secret_…` and for a JWT of
    /// the service role, which must never be in an app (C3).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(KEY_INVALID));
        }
        let role = jwt_role(text);
        if text.starts_with("sb_secret_") || role.as_deref().is_some_and(|role| role != "anon") {
            return Err(Error::new(KEY_SECRET));
        }
        Ok(Self { secret: text.to_owned().into(), is_jwt: role.is_some() })
    }

    /// The text for the `apikey` header.
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Older gateways want a JWT key as `Bearer` too when nobody is signed in; the newer form never goes there.
    pub(crate) fn bearer_when_signed_out(&self) -> Option<&str> {
        self.is_jwt.then(|| self.expose())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_jwt { "ApiKey(jwt)" } else { "ApiKey(opaque)" })
    }
}

/// The `role` claim of a JWT, unverified: it only keeps a wrong key from being used by mistake.
fn jwt_role(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        role: String,
    }
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t09_plain_http_is_for_this_machine_only() {
        for good in
            ["http://127.0.0.1:1", "http://127.9.9.9", "http://localhost:54321/", "http://[::1]:8", "https://a.example"]
        {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for (bad, code) in [
            ("http://a.example", URL_INSECURE),
            ("http://192.168.0.2", URL_INSECURE),
            ("http://localhost.evil.example", URL_INSECURE),
            ("http://127.0.0.1.evil.example", URL_INSECURE),
            ("ftp://a.example", URL_INVALID),
            ("a.example", URL_INVALID),
            ("https://user:pw@a.example", URL_INVALID),
            ("https://a.example?x=1", URL_INVALID),
            ("", URL_INVALID),
        ] {
            assert_eq!(Origin::parse(bad).unwrap_err().code(), code, "{bad}");
        }
    }

    #[test]
    fn paths_join_below_a_prefix() {
        let origin = Origin::parse("https://a.example/cloud//").unwrap();
        assert_eq!(origin.as_str(), "https://a.example/cloud");
        assert_eq!(origin.join("/rest/v1/t", Some("a=1")).as_str(), "https://a.example/cloud/rest/v1/t?a=1");
    }

    #[test]
    fn the_address_of_one_service_is_not_taken_for_the_projects() {
        for service in SERVICES {
            for end in ["", "/"] {
                let error = Origin::parse(&format!("https://a.example{service}{end}")).unwrap_err();
                assert_eq!(error.code(), URL_INVALID, "{service}{end}");
            }
        }
        assert!(Origin::parse("https://a.example/rest/v1/cloud").is_ok());
    }

    #[test]
    fn c03_secret_keys_are_refused_and_never_printed() {
        let jwt = |claims: &str| {
            let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            format!("{}.{}.sig", engine.encode(r#"{"alg":"HS256"}"#), engine.encode(claims))
        };
        assert!(ApiKey::parse("sb_publishable_abc").unwrap().bearer_when_signed_out().is_none());
        let anon = ApiKey::parse(&jwt(r#"{"role":"anon"}"#)).unwrap();
        assert!(anon.bearer_when_signed_out().is_some());
        assert!(!format!("{anon:?}").contains(anon.expose()));
        for bad in [jwt(r#"{"role":"service_role"}"#), "sb_secret_x".into(), jwt(r#"{"role":"postgres"}"#)] {
            assert_eq!(ApiKey::parse(&bad).unwrap_err().code(), KEY_SECRET);
        }
        for bad in ["", "  ", "a b", "a\nb", "ключ"] {
            assert_eq!(ApiKey::parse(bad).unwrap_err().code(), KEY_INVALID, "{bad:?}");
        }
    }
}
