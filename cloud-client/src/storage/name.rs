//! Object names for any file name: a reversible spelling in the few ASCII characters that the storage service takes.
//!
//! path (`notes/Größe #1.txt`) → [`ObjectName::encode`] → key (`notes/Gr=w7bDnw=e =Iw=1.txt`) → [`ObjectName::decode`]
//! → the same path, byte for byte.
//!
//! | Part of the path                                          | Spelling in the key                              |
//! |-----------------------------------------------------------|--------------------------------------------------|
//! | `A-Z a-z 0-9`, blank and `_ - . ! * ' ( ) & $ @ ; : + , ?` | itself, case preserved                           |
//! | every other run of bytes (UTF-8), `=` included             | `=`, URL-safe base64 without padding, `=`        |
//! | a blank at the beginning or end of a segment               | as such a run, since proxies trim blanks         |
//! | the dot of a last segment `.emptyFolderPlaceholder`        | as such a run: the service keeps that name empty |
//! | `/`                                                        | `/`                                              |
//!
//! Base64 costs four bytes for three, so that a path in any script has room within [`LIMIT_BYTES`]. Empty segments, `.`
//! and `..` are no file names and are refused in both directions. Only what `encode` writes is decoded: a key has one
//! path and a path has one key (F8). Names that differ in case or in Unicode form stay different here; whether a disk
//! can hold both is the disk's matter. A decoded path may hold `\`, `:` or control characters, which some systems give a
//! meaning: check it before opening a file by it.
//!
//! Wire source: the key pattern of Supabase Storage (`src/storage/limits.ts`).
use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Error, error::codes::NAME_INVALID};

/// The longest key, in bytes: what the 1,024 of the S3 protocol leave after the service's own prefix and version.
pub const LIMIT_BYTES: usize = 700;
/// A name that the service keeps for empty folders.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// Why a path or a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The path or one of its segments is empty.
    #[error("a path or one of its segments is empty")]
    Empty,
    /// A segment is `.` or `..`.
    #[error("a segment is `.` or `..`")]
    Dots,
    /// The key would be longer than [`LIMIT_BYTES`].
    #[error("the name is too long")]
    TooLong,
    /// The key was not made by this scheme.
    #[error("the key was not made from a file name")]
    Foreign,
}

impl From<NameError> for Error {
    fn from(cause: NameError) -> Self {
        Self::new(NAME_INVALID).with_source(cause)
    }
}

/// A key that stands for exactly one path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// The key of `path`, whose segments are divided by `/`.
    ///
    /// # Errors
    ///
    /// [`NameError`] for a path that no key can stand for.
    ///
    /// # Examples
    ///
    /// ```
    /// use cloud_client::storage::ObjectName;
    ///
    /// let name = ObjectName::encode("notes/Ümläut %#?.txt")?;
    /// assert_eq!(name.as_str(), "notes/=w5w=ml=w6Q=ut =JSM=?.txt");
    /// assert_eq!(name.decode(), "notes/Ümläut %#?.txt");
    /// # Ok::<(), cloud_client::storage::NameError>(())
    /// ```
    pub fn encode(path: &str) -> Result<Self, NameError> {
        let mut key = String::with_capacity(path.len() + 8);
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "" => return Err(NameError::Empty),
                "." | ".." => return Err(NameError::Dots),
                _ => encode_segment(segment, segments.peek().is_none(), &mut key),
            }
            if segments.peek().is_some() {
                key.push('/');
            }
        }
        if key.len() > LIMIT_BYTES { Err(NameError::TooLong) } else { Ok(Self(key)) }
    }

    /// Reads a key that [`ObjectName::encode`] made.
    ///
    /// # Errors
    ///
    /// [`NameError::Foreign`] for any other key, such as one that another program gave.
    pub fn parse(key: &str) -> Result<Self, NameError> {
        let path = decode(key).ok_or(NameError::Foreign)?;
        match Self::encode(&path) {
            Ok(name) if name.0 == key => Ok(name),
            _ => Err(NameError::Foreign),
        }
    }

    /// The key, as the service knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path that this key stands for.
    pub fn decode(&self) -> String {
        // A value of this type is always what `encode` wrote.
        decode(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectName(..)")
    }
}

impl AsRef<str> for ObjectName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Whether `byte` may stand in a key (the service's pattern without `/`).
pub(super) fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_!.*'() &$@=;:+,?-".contains(&byte)
}

fn encode_segment(segment: &str, last: bool, key: &mut String) {
    let bytes = segment.as_bytes();
    let plain = |at: usize, byte: u8| {
        let edge = at == 0 || at + 1 == bytes.len();
        let placeholder = at == 0 && last && segment == PLACEHOLDER;
        is_legal(byte) && byte != b'=' && !(byte == b' ' && edge) && !placeholder
    };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if plain(at, byte) {
            key.push(char::from(byte));
            at += 1;
            continue;
        }
        let rest = bytes.iter().enumerate().skip(at);
        let run = rest.take_while(|(at, byte)| !plain(*at, **byte)).count();
        key.push('=');
        URL_SAFE_NO_PAD.encode_string(bytes.get(at..at + run).unwrap_or_default(), key);
        key.push('=');
        at += run;
    }
}

/// The path in `key`; says nothing about whether `key` is the one spelling of it.
fn decode(key: &str) -> Option<String> {
    let mut path = Vec::with_capacity(key.len());
    let mut escaped = false;
    for part in key.split('=') {
        if escaped {
            path.extend(URL_SAFE_NO_PAD.decode(part).ok()?);
        } else {
            path.extend_from_slice(part.as_bytes());
        }
        escaped = !escaped;
    }
    // An even number of `=` leaves the last part unescaped.
    if escaped { String::from_utf8(path).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_scheme_is_what_it_was() {
        for (path, key) in [
            ("a.txt", "a.txt"),
            ("docs/My file (1).txt", "docs/My file (1).txt"),
            ("Ümläut %#?.txt", "=w5w=ml=w6Q=ut =JSM=?.txt"),
            ("a=b", "a=PQ=b"),
            (" x ", "=IA=x=IA="),
            ("a..b/...", "a..b/..."),
            ("x/.emptyFolderPlaceholder", "x/=Lg=emptyFolderPlaceholder"),
            (".emptyFolderPlaceholder/x", ".emptyFolderPlaceholder/x"),
            ("C:\\x", "C:=XA=x"),
            ("😀", "=8J-YgA="),
        ] {
            let name = ObjectName::encode(path).unwrap();
            assert_eq!((name.as_str(), name.decode().as_str()), (key, path));
        }
    }

    #[test]
    fn f08_what_is_no_file_name_has_no_key_and_foreign_keys_have_no_path() {
        for (path, why) in [
            ("", NameError::Empty),
            ("/a", NameError::Empty),
            ("a//b", NameError::Empty),
            ("a/", NameError::Empty),
            (".", NameError::Dots),
            ("a/../b", NameError::Dots),
            (&"ü".repeat(300), NameError::TooLong),
        ] {
            assert_eq!(ObjectName::encode(path), Err(why), "{path}");
        }
        // A lone `=`, hidden dots, hidden slash, an escape that was not needed, two runs where one would do, no UTF-8.
        for key in ["a=b", "=Li4=", "=Lw=", "a=Yg=", "=w6Q==w6Q=", "=_w=", "a b ", "==", "..", "", "a//b", "=PR="] {
            assert_eq!(ObjectName::parse(key), Err(NameError::Foreign), "{key}");
        }
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            "[A-Za-z0-9 ._=!?*'()&$@;:+,-]{1,12}",
            "\\PC{1,8}",
            any::<String>().prop_map(|text| text.replace('/', "").chars().take(12).collect()),
            Just(PLACEHOLDER.to_owned()),
        ];
        prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn f08_every_path_comes_back_from_a_key_that_the_service_takes(path in path()) {
            match ObjectName::encode(&path) {
                Ok(name) => {
                    prop_assert_eq!(name.decode(), path);
                    prop_assert_eq!(ObjectName::parse(name.as_str()), Ok(name.clone()));
                    for segment in name.as_str().split('/') {
                        prop_assert!(!["", ".", ".."].contains(&segment) && segment.bytes().all(is_legal));
                    }
                }
                Err(NameError::Empty) => prop_assert!(path.split('/').any(str::is_empty)),
                Err(NameError::Dots) => prop_assert!(path.split('/').any(|segment| matches!(segment, "." | ".."))),
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn f08_a_key_that_is_read_is_the_only_spelling_of_its_path(key in "[a-zA-Z0-9=./ _-]{0,24}") {
            if let Ok(name) = ObjectName::parse(&key) {
                let again = ObjectName::encode(&name.decode()).unwrap();
                prop_assert_eq!(again.as_str(), key.as_str());
            }
        }
    }
}
