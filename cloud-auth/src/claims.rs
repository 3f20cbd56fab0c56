//! What an access token says about its session. Read to be shown, never to be trusted: the server checks tokens.
//!
//! The middle part of the JWT → [`Claims`]. A token that is no JWT says nothing, and that is no failure.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::status::AssuranceLevel;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    pub(crate) aal: Option<AssuranceLevel>,
    /// Whose token it is. Anything but a text says nothing, and an empty one names nobody.
    #[serde(default, deserialize_with = "name")]
    pub(crate) sub: Option<String>,
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(name) if !name.is_empty() => Some(name),
        _ => None,
    })
}

impl Claims {
    pub(crate) fn of(token: &SecretString) -> Self {
        let body = token.expose_secret().split('.').nth(1);
        let bytes = body.and_then(|body| URL_SAFE_NO_PAD.decode(body).ok()).map(Zeroizing::new);
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_level_and_anything_else_tells_nothing() {
        let token = |body: &str| SecretString::from(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(body)));
        assert_eq!(Claims::of(&token(r#"{"aal":"aal2","amr":["totp"]}"#)).aal, Some(AssuranceLevel::AAL2));
        assert_eq!(Claims::of(&token(r#"{"aal":"aal7"}"#)).aal, Some(AssuranceLevel::new("aal7")));
        let named = Claims::of(&token(r#"{"aal":"aal2","sub":"ada"}"#));
        assert_eq!(named.sub.as_deref(), Some("ada"));
        for sub in ["7", "null", "\"\"", "{\"id\":\"ada\"}"] {
            let odd = Claims::of(&token(&format!(r#"{{"sub":{sub},"aal":"aal2"}}"#)));
            assert_eq!(odd, Claims { aal: Some(AssuranceLevel::AAL2), sub: None }, "{sub}");
        }
        for odd in [token("{}"), token("7"), token(r#"{"aal":2}"#), "".into(), "a.b.c".into(), "at-1".into()] {
            assert_eq!(Claims::of(&odd), Claims::default());
        }
    }
}
