//! Where a browser may be sent at the end, and what it takes along.
//!
//! [`is_allowed`] reads an address by hand and not as a browser would: `http://2130706433/` is this machine to a
//! browser and nobody here. Results go into the query (codes) or the fragment (tokens), errors into both.
//! Wire source: GoTrue, redirect validation and redirects of `/verify` and `/callback`.

use std::{collections::BTreeMap, net::IpAddr};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header::LOCATION};
use serde_json::Value;

use crate::gotrue::error::AuthError;

/// The parts of an address that the rules look at.
struct Target<'a> {
    scheme: String,
    host: &'a str,
    port: &'a str,
}

impl<'a> Target<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(plain) {
            return None;
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let authority = rest.strip_prefix("//").unwrap_or_default();
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                (host, after.strip_prefix(':').unwrap_or(after))
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        port.bytes().all(|byte| byte.is_ascii_digit()).then(|| Self { scheme: scheme.to_ascii_lowercase(), host, port })
    }

    fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Whether a browser may be sent to `target`.
pub(crate) fn is_allowed(target: &str, site: &str, patterns: &[String]) -> bool {
    let (Some(to), Some(home)) = (Target::parse(target), Target::parse(site)) else { return false };
    let same_port = to.port == home.port || to.is_this_machine();
    if to.scheme == home.scheme && to.host == home.host && same_port {
        return true;
    }
    if !to.host.is_empty() && to.host.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if let Ok(address) = to.host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let web = matches!(to.scheme.as_str(), "http" | "https");
    if web && !is_regular(to.host) {
        return false;
    }
    let without_fragment = target.split('#').next().unwrap_or_default();
    patterns.iter().any(|pattern| matches(pattern, without_fragment))
}

fn is_regular(host: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = host.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
}

/// Whether a pattern of the list covers `text`: `*` and `?` stop at `.` and `/`, `**` does not.
fn matches(pattern: &str, text: &str) -> bool {
    let mut expression = String::from("^(?:");
    let mut depth = 0_u32;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => expression.push_str(".*"),
            '*' => expression.push_str("[^./]*"),
            '?' => expression.push_str("[^./]"),
            '{' => {
                depth += 1;
                expression.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                expression.push(')');
            }
            ',' if depth > 0 => expression.push('|'),
            '\\' => expression.push_str(&regex::escape(&rest.next().map(String::from).unwrap_or_default())),
            c => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression.push_str(")$");
    regex::Regex::new(&expression).is_ok_and(|expression| expression.is_match(text))
}

/// Sends the browser on.
pub(crate) fn to(status: StatusCode, target: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(target) else {
        let message = "Cannot redirect to this address";
        return AuthError::bad_request("validation_failed", message).into_response(&http::HeaderMap::new());
    };
    (status, [(LOCATION, location)], Body::empty()).into_response()
}

/// Adds a code to the query.
pub(crate) fn with_code(target: &str, code: &str) -> String {
    rebuild(target, &BTreeMap::from([("code", code)]), None)
}

/// Adds the tokens of a session object, and `extra`, as the fragment.
pub(crate) fn with_tokens(target: &str, session: &Value, extra: Option<(&str, &str)>) -> String {
    let mut fields = BTreeMap::new();
    for name in [
        "access_token",
        "token_type",
        "expires_in",
        "expires_at",
        "refresh_token",
        "provider_token",
        "provider_refresh_token",
    ] {
        match &session[name] {
            Value::String(text) => drop(fields.insert(name, text.clone())),
            Value::Number(number) => drop(fields.insert(name, number.to_string())),
            _ => {}
        }
    }
    fields.insert("sb", String::new());
    if let Some((name, value)) = extra {
        fields.insert(name, value.to_owned());
    }
    format!("{target}#{}", encode(&fields))
}

/// Adds a message to the fragment, and to the query if the link belongs to a flow with a code.
pub(crate) fn with_message(target: &str, message: &str, in_query: bool) -> String {
    let query = if in_query { BTreeMap::from([("message", message)]) } else { BTreeMap::new() };
    rebuild(target, &query, Some(&BTreeMap::from([("message", message), ("sb", "")])))
}

/// Adds an error to the fragment, and to the query too if `in_query`.
pub(crate) fn with_error(target: &str, error: &AuthError, in_query: bool) -> String {
    let fields = error.for_redirect();
    let fields: BTreeMap<&str, &str> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut fragment = fields.clone();
    fragment.insert("sb", "");
    rebuild(target, &if in_query { fields } else { BTreeMap::new() }, Some(&fragment))
}

/// `target` with these fields in its query, in place of fields of the same name, and with this fragment.
fn rebuild(target: &str, fields: &BTreeMap<&str, &str>, fragment: Option<&BTreeMap<&str, &str>>) -> String {
    let (before, old_fragment) = target.split_once('#').map_or((target, None), |(before, old)| (before, Some(old)));
    let mut address = before.to_owned();
    if !fields.is_empty() {
        let (path, query) = before.split_once('?').unwrap_or((before, ""));
        let old = url::form_urlencoded::parse(query.as_bytes());
        let mut all: Vec<(String, String)> = old
            .filter(|(name, _)| !fields.contains_key(name.as_ref()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .chain(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
            .collect();
        all.sort_by(|left, right| left.0.cmp(&right.0));
        address = format!("{path}?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish());
    }
    match (fragment, old_fragment) {
        (Some(fragment), _) => format!("{address}#{}", encode(fragment)),
        (None, Some(old)) => format!("{address}#{old}"),
        (None, None) => address,
    }
}

fn encode<K: AsRef<str>, V: AsRef<str>>(fields: &BTreeMap<K, V>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_browser_goes_where_the_list_lets_it_and_to_this_machine() {
        let patterns = ["http://localhost:8000/*".to_owned()];
        for (target, allowed) in [
            ("http://localhost:8000/path", true),
            ("http://localhost:8000/path?param=1", true),
            ("http://localhost:8000/path#fragment/with.dots", true),
            ("http://127.0.0.1:12345/path", true),
            ("http://[0:0:0:0:0:0:0:1]:12345/path", true),
            ("https://example.com/dashboard", true),
            ("http://localhost:3000", false),
            ("http://localhost:8000", false),
            ("http://localhost:8000/path/to/page", false),
            ("http://example.com/dashboard", false),
            ("https://example.com:8443/dashboard", false),
            ("http://123.123.123.123?localhost:8000/path", false),
            ("http://2130706433/", false),
            ("http://0x7f000001/", false),
            ("https://example.com@evil.example/", false),
            ("http://local_host:8000/path", false),
            ("http://127.0.0.1.evil.example/", false),
            ("com.example.app://callback", false),
            ("//example.com/", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(target, "https://example.com", &patterns), allowed, "{target}");
        }
    }

    #[test]
    fn any_port_of_this_machine_is_home_where_the_site_is_this_machine() {
        for (site, target, allowed) in [
            ("http://localhost:3000", "http://localhost:8080/callback", true),
            ("http://localhost:3000", "http://localhost/callback", true),
            ("https://localhost:3000", "http://localhost:8080/callback", false),
        ] {
            assert_eq!(is_allowed(target, site, &[]), allowed, "{site} {target}");
        }
    }

    #[test]
    fn patterns_stop_at_dots_and_slashes_unless_doubled() {
        for (pattern, text, matched) in [
            ("app://cloud/auth/callback", "app://cloud/auth/callback", true),
            ("https://*.example.com/**", "https://a.example.com/b/c.html", true),
            ("https://*.example.com/**", "https://a.b.example.com/", false),
            ("https://example.com/?", "https://example.com/a", true),
            ("https://{a,b}.example.com", "https://b.example.com", true),
            ("https://example.com/a+b", "https://example.com/aab", false),
        ] {
            assert_eq!(matches(pattern, text), matched, "{pattern} {text}");
        }
    }

    #[test]
    fn an_error_goes_into_query_and_fragment() {
        let error = AuthError::bad_request("validation_failed", "Invalid redirect URL");
        let words = "error=invalid_request&error_code=validation_failed&error_description=Invalid+redirect+URL";
        let both = format!("https://example.com/?{words}#{words}&sb=");
        assert_eq!(with_error("https://example.com/", &error, true), both);
        let fragment = format!("https://example.com/?test=param#{words}&sb=");
        assert_eq!(with_error("https://example.com/?test=param", &error, false), fragment);
    }

    #[test]
    fn tokens_go_into_the_fragment_with_an_empty_mark() {
        let session = json!({
            "access_token": "test_access_token", "token_type": "bearer", "expires_in": 3600,
            "expires_at": 1_234_567_890, "refresh_token": "test_refresh_token",
            "provider_token": "provider_access_token", "user": {},
        });
        assert_eq!(
            with_tokens("https://example.com/callback", &session, None),
            "https://example.com/callback#access_token=test_access_token&expires_at=1234567890&expires_in=3600&\
             provider_token=provider_access_token&refresh_token=test_refresh_token&sb=&token_type=bearer"
        );
    }

    #[test]
    fn a_code_joins_the_query_and_keeps_the_rest() {
        assert_eq!(with_code("app://cloud/cb", "c"), "app://cloud/cb?code=c");
        assert_eq!(with_code("http://127.0.0.1:1/cb?z=1&code=old#top", "c"), "http://127.0.0.1:1/cb?code=c&z=1#top");
    }
}
