//! Names of buckets and objects: which are allowed, and how they come out of a path.
//!
//! Percent-encoded path → [`Place`]. The check runs on the decoded text, and only a few ASCII characters
//! pass, so a name with an umlaut or a percent sign is refused however it travels. A name is never used as
//! a path of the file system.
//! Wire source: Supabase Storage, `isValidKey` and `isValidBucketName`.

use super::error::StorageError;

/// Longest bucket name, in characters.
const MAX_BUCKET: usize = 100;

/// Longest key, in bytes.
const MAX_KEY: usize = 1024;

/// How much of a refused key is shown, in characters.
const SHOWN: usize = 200;

/// An object's address: its bucket and its key there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) name: String,
}

impl Place {
    /// Checks both names.
    pub(super) fn new(bucket: impl Into<String>, name: impl Into<String>) -> Result<Self, StorageError> {
        let (bucket, name) = (bucket.into(), name.into());
        if !is_bucket(&bucket) {
            return Err(StorageError::invalid_bucket_name());
        }
        if !is_key(&name) {
            return Err(StorageError::invalid_key(&name));
        }
        Ok(Self { bucket, name })
    }

    /// Reads `bucket/key`, percent-encoded.
    pub(super) fn from_path(path: &str) -> Result<Self, StorageError> {
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return Err(StorageError::request("params/* must NOT have fewer than 1 characters"));
        }
        let decoded = |text: &str| decode(text).ok_or_else(|| StorageError::invalid_key(text));
        Self::new(decoded(bucket)?, decoded(name)?)
    }

    /// `bucket/key`.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.bucket, self.name)
    }

    /// Whether a part of the key means a folder itself or the one above.
    pub(super) fn traverses(&self) -> bool {
        self.name.split('/').any(|part| matches!(part, "." | ".."))
    }

    /// Whether this is the marker that keeps an empty folder visible; it may hold nothing.
    pub(super) fn is_folder_marker(&self) -> bool {
        self.name.rsplit('/').next() == Some(".emptyFolderPlaceholder")
    }
}

/// Whether `name` may be an object's key.
pub(super) fn is_key(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_KEY && name.bytes().all(|byte| byte == b'/' || is_allowed(byte))
}

/// Whether `name` may be a bucket's.
pub(super) fn is_bucket(name: &str) -> bool {
    (1..=MAX_BUCKET).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_!-.*'() &$@=;:+,?".contains(&byte)
}

/// A refused name as far as an answer repeats it.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

/// Undoes percent-encoding; `None` if the bytes are no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let (mut decoded, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.extend(u8::try_from(high * 16 + low));
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_a_few_ascii_characters_and_no_others() {
        let long = "a".repeat(1023) + "/";
        for good in ["folder/file-name_01.jpg", "file/!-*'() &$=@;:+,?name", "file_name", &long] {
            assert!(is_key(good), "{good}");
        }
        let longer = "a".repeat(1025);
        for bad in [
            "",
            "file\tname",
            "file\nname",
            "file\u{7f}name",
            "file%20name",
            "a#",
            "a[",
            "a]",
            "a{",
            "a}",
            "a^",
            "a~",
            "a`",
            "a\"",
            "a<",
            "a>",
            "a|",
            "a\\",
            "ファイル-emoji-😀.txt",
            "a bé.txt",
            &longer,
        ] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_bucket_has_no_slash_and_a_hundred_characters_at_most() {
        assert!(is_bucket(&"b".repeat(100)) && is_bucket("workspace-files"));
        assert!(!is_bucket(&"b".repeat(101)) && !is_bucket("folder/name") && !is_bucket(""));
    }

    #[test]
    fn a_path_is_checked_after_decoding() {
        let place = Place::from_path("b/ws/what%3F%20now.txt").unwrap();
        assert_eq!((place.bucket.as_str(), place.name.as_str()), ("b", "ws/what? now.txt"));
        for (path, code) in [
            ("b/100%25.txt", "InvalidKey"),
            ("b/%C3%A4.txt", "InvalidKey"),
            ("b/%FF", "InvalidKey"),
            ("b/%2", "InvalidKey"),
            ("b/", "InvalidRequest"),
            ("b", "InvalidRequest"),
            ("%23/x", "InvalidBucketName"),
        ] {
            assert_eq!(Place::from_path(path).unwrap_err().code, code, "{path}");
        }
        assert!(Place::new("b", "a/../c").unwrap().traverses() && !Place::new("b", "a/..c/...").unwrap().traverses());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn whatever_is_encoded_comes_back(text in ".{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }
}
