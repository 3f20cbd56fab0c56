//! Proof that whoever brings the code is whoever asked for it: RFC 7636, method S256.
//!
//! 32 random bytes → verifier (43 characters, a secret) → challenge, which may be seen by anybody. The same kind of
//! text, from 16 bytes, names a sign-in ([`FlowId`]): it travels in the address that the browser returns to and tells
//! several sign-ins apart, and the cloud's answers from what others made up.
use std::fmt;

use base64::Engine as _;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What the server is told of the method.
pub(crate) const METHOD: &str = "s256";

/// Fresh random bytes of the system.
pub(super) fn entropy<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The secret of one sign-in.
pub(super) fn verifier(entropy: &[u8; 32]) -> SecretString {
    base64url(entropy).into()
}

/// What the server is told of the verifier.
pub(super) fn challenge(verifier: &str) -> String {
    base64url(&Sha256::digest(verifier.as_bytes()))
}

/// Names one sign-in: 8 to 64 letters, digits, `-` and `_`. Compared in constant time, and not shown.
#[derive(Clone)]
pub(super) struct FlowId(String);

impl FlowId {
    pub(super) fn new(entropy: &[u8; 16]) -> Self {
        Self(base64url(entropy))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((8..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether both texts are the same; takes as long for any two of one length.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl PartialEq for FlowId {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for FlowId {}

/// Shows no secret (A12).
impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowId")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_challenge_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn only_plain_names_of_8_to_64_characters_are_flow_ids() {
        for bad in ["", "abc12", "with spaces", "slash/../evil", "ümlaut-name", "a\nb\ncdefgh", &"x".repeat(65)] {
            assert!(FlowId::parse(bad).is_none(), "{bad:?}");
        }
        for good in ["abc12345", "A-b_C-d_", &"x".repeat(64)] {
            assert_eq!(FlowId::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a12_a_flow_id_is_not_shown() {
        let id = FlowId::new(&[7; 16]);
        assert!(!format!("{id:?}").contains(id.as_str()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn verifiers_and_ids_are_of_the_allowed_form(secret: [u8; 32], name: [u8; 16], other: [u8; 16]) {
            let text = verifier(&secret);
            prop_assert_eq!(text.expose_secret().len(), 43);
            prop_assert!(text.expose_secret().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            prop_assert_eq!(challenge(text.expose_secret()).len(), 43);
            let id = FlowId::new(&name);
            prop_assert_eq!(FlowId::parse(id.as_str()), Some(id.clone()));
            prop_assert_eq!(id == FlowId::new(&other), name == other);
        }
    }
}
