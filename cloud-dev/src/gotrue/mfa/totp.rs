//! Time-based one-time passwords: the secret, its address for an authenticator, its picture, its codes.
//!
//! Six digits, a new code every 30 s, SHA-1, as every authenticator can. Wire source: RFC 4226, 6238 and 4648;
//! Key URI format of Google Authenticator.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use ring::hmac;

use crate::{gotrue::error::AuthError, keys};

/// How long a code is the current one, in seconds.
const PERIOD: i64 = 30;

/// How many steps a clock may be off, either way.
const SKEW: i64 = 1;

/// Bytes of a secret.
const SECRET_BYTES: usize = 20;

/// Edge of the picture around the code, in modules.
const BORDER: i32 = 4;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret, in base32.
pub(super) fn secret() -> Result<String, AuthError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::no_randomness())?;
    Ok(encode(&bytes))
}

/// What an authenticator reads.
pub(super) fn uri(issuer: &str, account: &str, secret: &str) -> String {
    let mut uri = url::Url::parse("otpauth://totp/").expect("a constant address");
    uri.set_path(&format!("/{issuer}:{account}"));
    uri.query_pairs_mut()
        .append_pair("algorithm", "SHA1")
        .append_pair("digits", "6")
        .append_pair("issuer", issuer)
        .append_pair("period", "30")
        .append_pair("secret", secret);
    uri.into()
}

/// The picture of an address, in SVG; `None` if it does not fit into one.
pub(super) fn qr_code(uri: &str) -> Option<String> {
    let code = QrCode::encode_text(uri, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * BORDER;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _ = write!(path, "M{},{}h1v1h-1z", x + BORDER, y + BORDER);
        }
    }
    Some(format!(
        "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0,0h{size}v{size}h-{size}z\"/><path d=\"{path}\"/></svg>"
    ))
}

/// The time step whose code this is, among those that count at `now`, in seconds since 1970.
pub(super) fn step_of(code: &str, secret: &str, now: i64) -> Option<i64> {
    let key = decode(secret)?;
    let current = now.div_euclid(PERIOD);
    (current - SKEW..=current + SKEW).find(|step| keys::same(&at(&key, *step), code))
}

fn at(key: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let start = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let number = bytes.iter().skip(start).take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for c in text.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == c)?;
        buffer = buffer << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 6238, appendix B: the digits, twice.
    const KEY: &[u8] = b"12345678901234567890";

    #[test]
    fn the_codes_are_the_published_ones() {
        // The published codes have eight digits; ours are their last six.
        for (now, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(at(KEY, now / PERIOD), code, "{now}");
        }
    }

    #[test]
    fn a_code_counts_one_step_early_and_late_and_no_more() {
        let secret = encode(KEY);
        for (now, step) in [(0, None), (29, None), (30, Some(2)), (60, Some(2)), (119, Some(2)), (120, None)] {
            assert_eq!(step_of(&at(KEY, 2), &secret, now), step, "{now}");
        }
    }

    #[test]
    fn secrets_survive_their_encoding() {
        assert_eq!(encode(b"fooba"), "MZXW6YTB"); // RFC 4648, section 10
        assert_eq!(decode(&encode(KEY)).unwrap(), KEY);
        assert_eq!(decode("not base32"), None);
    }

    #[test]
    fn the_picture_is_of_the_address() {
        let uri = uri("localhost:3000", "ada@example.com", "MZXW6YTBOI");
        let query = "?algorithm=SHA1&digits=6&issuer=localhost%3A3000&period=30&secret=MZXW6YTBOI";
        assert_eq!(uri, format!("otpauth://totp/localhost:3000:ada@example.com{query}"));
        assert!(qr_code(&uri).unwrap().contains("</svg>"));
    }
}
