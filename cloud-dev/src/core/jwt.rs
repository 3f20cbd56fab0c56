//! Signing and checking JSON Web Tokens with HMAC-SHA256, the only algorithm of this cloud.
//!
//! Claims → `header.claims.signature`, and back. A token is never trusted before its signature is, and the
//! header's `alg` is compared, never obeyed. Times are seconds since 1970 and given by the caller.
//! Wire source: RFC 7515 and 7519; claims as GoTrue issues them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// Not three parts of base64url JSON, or another algorithm.
    #[error("token is malformed")]
    Malformed,
    /// Signed with another key.
    #[error("signature is invalid")]
    Signature,
    /// Valid once.
    #[error("token is expired")]
    Expired,
}

/// Signs `claims`.
pub(crate) fn sign(secret: &[u8], claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(mac(secret, &signed).finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// Checks signature and expiry, and returns the claims; `leeway` seconds past `exp` are forgiven.
pub(crate) fn verify(secret: &[u8], token: &str, now: i64, leeway: i64) -> Result<Value, JwtError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Malformed)?;
    if decode(header)?.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(JwtError::Malformed);
    }
    mac(secret, signed).verify_slice(&signature).map_err(|_| JwtError::Signature)?;
    let claims = decode(claims)?;
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or(JwtError::Malformed)?;
    if now >= expires.saturating_add(leeway) {
        return Err(JwtError::Expired);
    }
    Ok(claims)
}

fn decode(part: &str) -> Result<Value, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| JwtError::Malformed)
}

fn mac(secret: &[u8], signed: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the tests";

    #[test]
    fn the_signature_matches_the_published_example() {
        // The example token of jwt.io, whose secret is public.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        // Its signature is good, but it has no `exp`, so it gets past the signature and no further.
        assert_eq!(verify(b"your-256-bit-secret", token, 0, 0), Err(JwtError::Malformed));
        assert_eq!(verify(b"another", token, 0, 0), Err(JwtError::Signature));
    }

    #[test]
    fn a_token_is_good_until_its_last_second_and_no_longer() {
        let token = sign(SECRET, &json!({ "sub": "x", "exp": 100 }));
        for (now, leeway, good) in [(99, 0, true), (100, 0, false), (129, 30, true), (130, 30, false)] {
            assert_eq!(verify(SECRET, &token, now, leeway).is_ok(), good, "at {now} with {leeway}");
        }
    }

    #[test]
    fn no_changed_character_is_accepted() {
        let token = sign(SECRET, &json!({ "sub": "x", "exp": 100 }));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(SECRET, &changed, 0, 0).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn unsigned_tokens_and_rubbish_are_malformed() {
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":100}"#);
        for token in ["", ".", "..", "a.b", "a.b.c", "é.ü.ß", &format!("{none}.{claims}.")] {
            assert_eq!(verify(SECRET, token, 0, 0), Err(JwtError::Malformed), "{token}");
        }
    }
}
