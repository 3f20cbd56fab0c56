//! Reads what the browser brings back: `…?code=…` or `…?error=…&error_code=…&error_description=…`.
//!
//! address (or the query of a request) → [`Callback`], or `None` for everything that is no answer to a sign-in. The
//! server writes errors to the query and to the fragment; where both carry a name the query counts. A name of ours that
//! comes twice makes the whole thing unreadable. Tokens in a fragment are not taken: a sign-in that was begun with a
//! challenge ends with a code. Source: GoTrue `internal/api/external.go`, RFC 6749 section 4.1.2.
use std::collections::BTreeMap;

use cloud_client::{Error, error::codes::SERVER_FAULT};
use secrecy::SecretString;
use url::form_urlencoded;

use super::{address::FLOW_ID, pkce::FlowId};
use crate::codes::{self, BROWSER_DENIED, BROWSER_REFUSED, SESSION_OVER};

/// The longest address that is read, in bytes.
const ADDRESS_LIMIT_BYTES: usize = 16 * 1024;
/// The longest code that is taken, in bytes; the server's are UUIDs.
const CODE_LIMIT_BYTES: usize = 2048;
/// What is looked at.
const NAMES: [&str; 5] = [FLOW_ID, "code", "error", "error_code", "error_description"];

/// An answer, and the sign-in that it says to belong to.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub(super) flow: Option<FlowId>,
    pub(super) answer: Answer,
}

/// How the sign-in went in the browser.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Well: to be exchanged, together with the verifier.
    Code(SecretString),
    Refused(Error),
}

/// Reads an address of any scheme.
pub(super) fn read(address: &str) -> Option<Callback> {
    let address = address.trim();
    if address.len() > ADDRESS_LIMIT_BYTES {
        return None;
    }
    let (address, fragment) = address.split_once('#').unwrap_or((address, ""));
    let (_, query) = address.split_once('?').unwrap_or((address, ""));
    read_parts(query, fragment)
}

/// Reads what somebody pasted: the code alone, or the whole address.
pub(super) fn read_pasted(text: &str) -> Option<Callback> {
    let text = text.trim();
    let bare = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if bare && (8..=CODE_LIMIT_BYTES).contains(&text.len()) {
        return Some(Callback { flow: None, answer: Answer::Code(text.to_owned().into()) });
    }
    read(text)
}

/// Reads the query and the fragment of an address.
pub(super) fn read_parts(query: &str, fragment: &str) -> Option<Callback> {
    let mut found = parameters(fragment)?;
    found.extend(parameters(query)?); // the query wins
    let flow = match found.remove(FLOW_ID) {
        Some(text) => Some(FlowId::parse(&text)?),
        None => None,
    };
    let mut take = |name: &str| found.remove(name).filter(|text| !text.is_empty());
    let (error, error_code, description) = (take("error"), take("error_code"), take("error_description"));
    if error.is_some() || error_code.is_some() {
        let word = error.as_deref().unwrap_or_default();
        let error = refusal(word, error_code.as_deref(), description.as_deref());
        return Some(Callback { flow, answer: Answer::Refused(error) });
    }
    let code = take("code").filter(|code| code.len() <= CODE_LIMIT_BYTES && code.bytes().all(|b| b.is_ascii_graphic()));
    Some(Callback { flow, answer: Answer::Code(code?.into()) })
}

/// Our parameters in one part; `None` when one of them comes twice.
fn parameters(part: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(part.as_bytes()) {
        if NAMES.contains(&&*name) && found.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(found)
}

/// What the server's words mean. The most precise one counts; what it says beside them is a detail, never printed.
fn refusal(error: &str, error_code: Option<&str>, description: Option<&str>) -> Error {
    let known = error_code.and_then(codes::from_server).filter(|code| *code != SESSION_OVER);
    let code = known.unwrap_or(match error {
        "access_denied" => BROWSER_DENIED,
        "server_error" | "temporarily_unavailable" => SERVER_FAULT,
        _ => BROWSER_REFUSED,
    });
    let refused = Error::new(code).during("signing in by browser");
    refused.with_server_code(error_code.unwrap_or(error)).with_detail(description.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(callback: Option<Callback>) -> String {
        let Some(Callback { flow, answer }) = callback else { return "nothing".to_owned() };
        let flow = flow.map(|flow| flow.as_str().to_owned()).unwrap_or_default();
        match answer {
            Answer::Code(code) => format!("{flow}: {}", code.expose_secret()),
            Answer::Refused(error) => {
                let word = error.server_code().unwrap_or_default();
                format!("{flow}: {} {word} {}", error.code(), error.detail().unwrap_or_default())
            }
        }
    }

    #[test]
    fn every_kind_of_answer_is_read() {
        for (address, expected) in [
            ("http://127.0.0.1:9/x?sb_flow_id=abc12345&code=c0de", "abc12345: c0de"),
            ("app://cloud/auth/callback?code=c0de&sb_flow_id=abc12345", "abc12345: c0de"),
            ("  app://cb?code=c0de\n", ": c0de"),
            ("https://x/?code=query#code=fragment", ": query"),
            ("https://x/#code=fragment&sb_flow_id=abc12345", "abc12345: fragment"),
            ("https://x/?a=b#error=access_denied", ": auth.browser_denied access_denied "),
            (
                "https://x/?error=access_denied&error_code=provider_disabled&error_description=not+on%21",
                ": auth.provider_disabled provider_disabled not on!",
            ),
            ("https://x/?error=server_error&error_code=unexpected_failure", ": server.fault unexpected_failure "),
            ("https://x/?error=invalid_request&error_code=bad_oauth_state", ": auth.flow_expired bad_oauth_state "),
            (
                "https://x/?error=invalid_request&error_code=validation_failed",
                ": auth.browser_refused validation_failed ",
            ),
            ("https://x/?error=access_denied&error_code=session_expired", ": auth.browser_denied session_expired "),
            ("https://x/?error=x&code=c0de", ": auth.browser_refused x "),
            ("https://x/?error_code=signup_disabled", ": auth.signup_disabled signup_disabled "),
            ("https://x/?code=", "nothing"),
            ("https://x/?code=two%20words", "nothing"),
            ("https://x/?code=one&code=two", "nothing"),
            ("https://x/?code=one&sb_flow_id=abc12345&sb_flow_id=abc12346", "nothing"),
            ("https://x/?code=one&sb_flow_id=slash/../evil", "nothing"),
            ("https://x/#access_token=t&refresh_token=r&sb=", "nothing"),
            ("https://x/", "nothing"),
            ("", "nothing"),
        ] {
            assert_eq!(shown(read(address)), expected, "{address}");
        }
        assert_eq!(shown(read(&format!("https://x/?code={}", "a".repeat(2049)))), "nothing");
        assert_eq!(shown(read(&format!("https://x/?code=a&x={}", "a".repeat(ADDRESS_LIMIT_BYTES)))), "nothing");
    }

    #[test]
    fn the_query_wins_over_the_fragment() {
        let error = "error=access_denied&error_code=user_banned";
        let same = format!("https://x/?{error}#{error}&sb=");
        assert_eq!(shown(read(&same)), ": auth.user_banned user_banned ");
        assert_eq!(
            shown(read("https://x/?error_code=user_banned#error_code=captcha_failed")),
            ": auth.user_banned user_banned "
        );
        assert_eq!(parameters("a=b&code=z&b=c").unwrap().len(), 1, "only what is ours");
    }

    #[test]
    fn a_pasted_text_is_a_code_or_an_address() {
        let pasted = |text| shown(read_pasted(text));
        assert_eq!(pasted(" 5f0c9b6e-6f3c-4c7a-9d26-0b4a1b7d2f11\n"), ": 5f0c9b6e-6f3c-4c7a-9d26-0b4a1b7d2f11");
        assert_eq!(pasted("https://app.example.com/?code=c0de"), ": c0de");
        assert_eq!(pasted("?code=c0de&sb_flow_id=abc12345"), "abc12345: c0de");
        for nothing in ["", "short", "two words here", "https://app.example.com/", "javascript:alert(1)"] {
            assert_eq!(pasted(nothing), "nothing", "{nothing}");
        }
    }

    #[test]
    fn a12_neither_code_nor_description_is_shown() {
        let callback = read("https://x/?code=canary-code&sb_flow_id=canary-flow").unwrap();
        assert!(!format!("{callback:?}").contains("canary"), "{callback:?}");
        let callback = read("https://x/?error=access_denied&error_description=canary").unwrap();
        assert!(!format!("{callback:?}").contains("canary"), "{callback:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_an_answer_or_none(text in any::<String>(), query in "[a-z_=&%0-9#?;+]{0,80}") {
            let _ = (read(&text), read_pasted(&text), read(&query), read_parts(&query, &text));
        }

        #[test]
        fn a_code_is_found_among_whatever_stands_around_it(
            code in "[!-~]{1,60}", name in "[a-z]{6}", value in any::<String>(), flow in "[A-Za-z0-9_-]{8,64}",
        ) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair(&name, &value).append_pair("code", &code).append_pair(FLOW_ID, &flow);
            let text = format!("app://x/y?{}", query.finish());
            prop_assert_eq!(shown(read(&text)), format!("{flow}: {code}"));
        }
    }
}
