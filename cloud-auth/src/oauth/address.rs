//! The addresses of a browser sign-in: where the browser goes, where it comes back to, and which ones are opened at all.
//!
//! provider, scopes, parameters, challenge and redirect → `/auth/v1/authorize?…`; a redirect gets the name of its flow
//! as `sb_flow_id`, without a change to anything else in it. What the server gives as an address to open is checked
//! first (G8). Source: GoTrue `internal/api/external.go`, auth-js for the name of the parameter.
use cloud_client::{Error, config::Origin};
use url::{Host, Url};

use super::pkce::{FlowId, METHOD};
use crate::codes::{ADDRESS_UNTRUSTED, REDIRECT_INVALID};

/// The parameter that tells sign-ins apart.
pub(super) const FLOW_ID: &str = "sb_flow_id";
/// The longest redirect, in bytes.
const REDIRECT_LIMIT_BYTES: usize = 2048;
/// Parameters that are ours, or that the server sets for the provider.
const RESERVED: [&str; 11] = [
    "provider",
    "redirect_to",
    "scopes",
    "code_challenge",
    "code_challenge_method",
    "skip_http_redirect",
    "client_id",
    "redirect_uri",
    "response_type",
    "state",
    "apikey",
];

/// What a provider is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) provider: String,
    pub(super) scopes: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Wish {
    /// Whether it can be asked.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &'static str| Err(Error::new(REDIRECT_INVALID).during(what));
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-:.".contains(c);
        if !(1..=64).contains(&self.provider.len()) || !self.provider.chars().all(plain) {
            return wrong("checking the provider's name");
        }
        let ours = |name: &str| name.is_empty() || RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved));
        if self.parameters.iter().any(|(name, _)| ours(name)) {
            return wrong("checking the parameters for the provider");
        }
        Ok(())
    }

    /// The parameters of `/authorize`, in their order.
    pub(super) fn query<'a>(&'a self, redirect: &'a str, challenge: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut query = vec![("provider", self.provider.as_str()), ("redirect_to", redirect)];
        if !self.scopes.is_empty() {
            query.push(("scopes", &self.scopes));
        }
        query.extend([("code_challenge", challenge), ("code_challenge_method", METHOD)]);
        query.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        query
    }
}

/// Where the browser goes for a provider.
pub(super) fn authorize(origin: &Origin, wish: &Wish, redirect: &str, challenge: &str) -> Result<Url, Error> {
    let url = Url::parse(&format!("{}/auth/v1/authorize", origin.as_str()));
    let mut url = url.map_err(|cause| Error::new(REDIRECT_INVALID).with_source(cause))?;
    url.query_pairs_mut().extend_pairs(wish.query(redirect, challenge));
    Ok(url)
}

/// Checks an address of the host's that the browser is to come back to.
pub(super) fn check_redirect(address: &str) -> Result<(), Error> {
    let invalid = || Error::new(REDIRECT_INVALID).during("checking the redirect address");
    let clean = address.len() <= REDIRECT_LIMIT_BYTES && !address.chars().any(|c| c.is_control() || c.is_whitespace());
    let url = Url::parse(address).ok().filter(|_| clean).ok_or_else(invalid)?;
    let fine = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(&url),
        // Code and files are no place to come back to.
        "javascript" | "data" | "file" | "blob" | "about" | "vbscript" | "ftp" | "ws" | "wss" => false,
        _ => true,
    };
    if fine { Ok(()) } else { Err(invalid()) }
}

/// `address` with the name of its flow; an older name is replaced, everything else stays as it is written.
pub(super) fn with_flow_id(address: &str, id: &FlowId) -> String {
    let (address, fragment) = match address.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (address, None),
    };
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(FLOW_ID);
    let mut text = format!("{path}?");
    for pair in query.split('&').filter(other) {
        text.extend([pair, "&"]);
    }
    text.extend([FLOW_ID, "=", id.as_str()]);
    if let Some(fragment) = fragment {
        text.extend(["#", fragment]);
    }
    text
}

/// Takes an address that the server gives to be opened (G8): https to anywhere, since identity providers are elsewhere;
/// plain http only on this machine, and only from a cloud that is on this machine itself.
pub(crate) fn to_be_opened(text: &str, origin: &Origin) -> Result<Url, Error> {
    let untrusted = || Error::new(ADDRESS_UNTRUSTED).during("checking the address to open");
    let url = Url::parse(text).map_err(|_| untrusted())?;
    let bare = url.username().is_empty() && url.password().is_none();
    let fine = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => origin.is_loopback() && is_loopback(&url),
        _ => false,
    };
    if fine && bare { Ok(url) } else { Err(untrusted()) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> FlowId {
        FlowId::parse(text).unwrap()
    }

    #[test]
    fn the_flow_is_named_without_a_change_to_anything_else() {
        for (address, expected) in [
            (
                "https://app.example.com/callback?next=/home",
                "https://app.example.com/callback?next=/home&sb_flow_id=abc12345",
            ),
            (
                "https://app.example.com/callback#section",
                "https://app.example.com/callback?sb_flow_id=abc12345#section",
            ),
            ("myapp://auth/callback", "myapp://auth/callback?sb_flow_id=abc12345"),
            ("https://x/?sb_flow_id=old00000&a=b", "https://x/?a=b&sb_flow_id=abc12345"),
            ("https://x/?next=%2Fa%20b", "https://x/?next=%2Fa%20b&sb_flow_id=abc12345"),
            ("https://x/?", "https://x/?sb_flow_id=abc12345"),
        ] {
            assert_eq!(with_flow_id(address, &id("abc12345")), expected);
        }
    }

    #[test]
    fn the_address_of_a_provider_carries_what_was_asked_for() {
        let origin = Origin::parse("https://p.example.co/base/").unwrap();
        let parameters = vec![("prompt".to_owned(), "select account".to_owned())];
        let wish = Wish { provider: "github".into(), scopes: "repo gist".into(), parameters };
        let url = authorize(&origin, &wish, "http://127.0.0.1:9/x?sb_flow_id=abc12345", "ch").unwrap();
        assert_eq!(
            url.as_str(),
            "https://p.example.co/base/auth/v1/authorize?provider=github\
             &redirect_to=http%3A%2F%2F127.0.0.1%3A9%2Fx%3Fsb_flow_id%3Dabc12345&scopes=repo+gist&code_challenge=ch\
             &code_challenge_method=s256&prompt=select+account"
        );
    }

    #[test]
    fn what_is_ours_or_the_servers_is_no_parameter() {
        for name in ["redirect_to", "State", "code_challenge", "client_id", ""] {
            let parameters = vec![(name.to_owned(), "x".to_owned())];
            let wish = Wish { provider: "github".into(), parameters, ..Wish::default() };
            assert_eq!(wish.check().unwrap_err().code(), REDIRECT_INVALID, "{name}");
        }
        for provider in ["", "git hub", "a&b", &"x".repeat(65)] {
            assert!(Wish { provider: provider.into(), ..Wish::default() }.check().is_err(), "{provider}");
        }
        assert!(Wish { provider: "custom:my-idp".into(), ..Wish::default() }.check().is_ok());
    }

    #[test]
    fn g08_only_https_or_this_machine_is_opened() {
        let (far, near) = (Origin::parse("https://p.example.co"), Origin::parse("http://127.0.0.1:54321"));
        let (far, near) = (far.unwrap(), near.unwrap());
        for (address, from_far, from_near) in [
            ("https://login.idp.example/start?x=y", true, true),
            ("http://127.0.0.1:9000/login", false, true),
            ("http://localhost:9000/login", false, true),
            ("http://[::1]:9000/login", false, true),
            ("http://idp.example/login", false, false),
            ("https://user:pass@idp.example/", false, false),
            ("javascript:alert(1)", false, false),
            ("file:///etc/passwd", false, false),
            ("data:text/html,hi", false, false),
            ("app://x", false, false),
            ("/relative", false, false),
            ("", false, false),
        ] {
            assert_eq!(to_be_opened(address, &far).is_ok(), from_far, "{address}");
            assert_eq!(to_be_opened(address, &near).is_ok(), from_near, "{address}");
        }
    }

    #[test]
    fn a_redirect_is_https_this_machine_or_an_app() {
        for good in
            ["app://cloud/auth/callback", "com.example.app:/cb", "https://app.example/cb", "http://127.0.0.1:7/x"]
        {
            assert!(check_redirect(good).is_ok(), "{good}");
        }
        for bad in ["", "callback", "http://app.example/cb", "javascript:alert(1)", "file:///tmp/x", "app://a b"] {
            assert!(check_redirect(bad).is_err(), "{bad}");
        }
        assert!(check_redirect(&format!("app://{}", "x".repeat(2048))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_flow_can_be_read_back_from_any_address(address in any::<String>(), flow in "[A-Za-z0-9_-]{8,64}") {
            let _ = (check_redirect(&address), to_be_opened(&address, &Origin::parse("https://a.example").unwrap()));
            let named = with_flow_id(&address, &id(&flow));
            // Naming it twice is naming it once.
            prop_assert_eq!(&with_flow_id(&named, &id(&flow)), &named);
            let query = named.split('#').next().unwrap().split_once('?').unwrap().1;
            prop_assert_eq!(query.matches(&format!("{FLOW_ID}={flow}")).count(), 1);
        }
    }
}
