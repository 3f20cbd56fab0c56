//! Finds a secret in a text, in whatever form it was written there.
//!
//! As it is; in base64 (both alphabets, at any offset into a longer text); with `%` before some or all of its bytes; in
//! hex; as a list of numbers. A code of a few digits only counts as it is and as a word of its own, since digits are
//! everywhere.
use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// From here on a secret is searched for in every form, in bytes.
const LONG: usize = 8;

/// The forms in which `secret` may be hidden.
pub(crate) fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut forms = vec![secret.to_owned()];
    if bytes.len() < LONG {
        return forms;
    }
    let joined =
        |between: &str, one: fn(u8) -> String| bytes.iter().map(|byte| one(*byte)).collect::<Vec<_>>().join(between);
    forms.extend([joined("", |byte| format!("{byte:02x}")), joined("", |byte| format!("{byte:02X}"))]);
    forms.extend([joined("", |byte| format!("%{byte:02x}")), joined("", |byte| format!("%{byte:02X}"))]);
    forms.push(joined(", ", |byte| byte.to_string()));
    forms.push(url::form_urlencoded::byte_serialize(bytes).collect());
    forms.push(secret.escape_default().to_string());
    for offset in 0..3 {
        let mut shifted = vec![0; offset];
        shifted.extend(bytes);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // The characters at both ends depend on what stands beside the secret.
            let first = [0, 2, 3][offset];
            let last = text.len() - usize::from(shifted.len() % 3 != 0);
            forms.extend(text.get(first..last).map(str::to_owned));
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// What stands around the first place in `text` where `secret` does, with the secret itself taken out.
pub(crate) fn find(text: &str, secret: &str) -> Option<String> {
    assert!(secret.len() >= 4, "too short to be told from chance");
    forms(secret).iter().find_map(|form| {
        let found = text.match_indices(form.as_str()).find(|(at, _)| secret.len() >= LONG || is_word(text, *at, form));
        let (at, _) = found?;
        let mut around = String::new();
        let before = text.get(..at)?.chars().rev().take(100).collect::<Vec<_>>();
        let after = text.get(at + form.len()..)?.chars().take(60).collect::<String>();
        write!(around, "…{}SECRET{after}…", before.into_iter().rev().collect::<String>()).unwrap();
        Some(around)
    })
}

fn is_word(text: &str, at: usize, form: &str) -> bool {
    let plain = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
    let bytes = text.as_bytes();
    plain(at.checked_sub(1).and_then(|before| bytes.get(before))) && plain(bytes.get(at + form.len()))
}

#[test]
fn every_form_of_a_planted_secret_is_found() {
    let secret = "s3cr+t/of ~the?cloud";
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let percent = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let serialized: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut planted =
        vec![secret.to_owned(), hex.to_uppercase(), hex, percent, serialized, format!("{:?}", secret.as_bytes())];
    for before in ["", "a", "ab", "abc", "abcd"] {
        for after in ["", "z", "zy", "zyx"] {
            let whole = format!("{before}{secret}{after}");
            planted.extend([STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]);
        }
    }
    for form in planted {
        let around = find(&format!("GET /x?y={form}&z=1"), secret).unwrap_or_else(|| panic!("{form}"));
        assert!(around.contains("SECRET") && !around.contains("s3cr+t"), "{around}");
        let cut: String = form.chars().skip(form.len() / 2).collect();
        assert!(find(&cut, secret).is_none(), "{cut}");
    }
}

#[test]
fn a_code_of_six_digits_is_found_as_a_word_only() {
    for text in ["code 123456", "\"123456\"", "?token=123456&x", "123456"] {
        assert!(find(text, "123456").is_some(), "{text}");
    }
    for text in ["0.123456", "a123456", "1234567", "12345", "31323334353638"] {
        assert!(find(text, "123456").is_none(), "{text}");
    }
}
