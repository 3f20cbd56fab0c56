//! The secrets of one cloud: the token signing key, and the two API keys an application may use.
//!
//! Random for every data directory, kept there in a file that only its owner may read, and random for every
//! start in memory mode. Nothing here is ever printed by `Debug`.
//! Wire source: Supabase API keys, legacy (`anon`, a token with that role) and new (`sb_publishable_…`).

use std::{
    fmt,
    io::{self, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::jwt;

/// The file inside a data directory.
const FILE: &str = "keys.json";

/// How long the legacy key is good, in seconds: ten years.
const ANON_LIFETIME: i64 = 10 * 365 * 24 * 3600;

/// The secrets of one cloud.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    jwt_secret: String,
    anon_key: String,
    publishable_key: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of `directory`, made and stored if it has none yet; fresh ones without a directory.
    pub(crate) fn open(directory: Option<&Path>, now: i64) -> io::Result<Self> {
        let Some(directory) = directory else { return Self::random(now) };
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                restrict(&path)?;
                serde_json::from_slice(&bytes).map_err(|_| {
                    let problem = format!("{} is damaged; remove it to get new keys", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, problem)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys = Self::random(now)?;
                keys.store(&path)?;
                Ok(keys)
            }
            Err(error) => Err(error),
        }
    }

    /// The same, but tokens are signed with `secret`; nothing is stored.
    pub(crate) fn sign_with(mut self, secret: &str, now: i64) -> Self {
        secret.clone_into(&mut self.jwt_secret);
        self.anon_key = anon_key(secret, now);
        self
    }

    /// The key that signs access tokens.
    pub(crate) fn jwt_secret(&self) -> &[u8] {
        self.jwt_secret.as_bytes()
    }

    /// The legacy API key: a token with the role `anon`.
    pub(crate) fn anon(&self) -> &str {
        &self.anon_key
    }

    /// The API key of the new kind.
    pub(crate) fn publishable(&self) -> &str {
        &self.publishable_key
    }

    /// Whether `key` is one of the two API keys.
    pub(crate) fn accepts(&self, key: &str) -> bool {
        same(key, &self.anon_key) || same(key, &self.publishable_key)
    }

    fn random(now: i64) -> io::Result<Self> {
        let jwt_secret = random_text::<32>()?;
        let anon_key = anon_key(&jwt_secret, now);
        let publishable_key = format!("sb_publishable_{}", random_text::<24>()?);
        Ok(Self { jwt_secret, anon_key, publishable_key })
    }

    fn store(&self, path: &Path) -> io::Result<()> {
        let mut options = std::fs::File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Written beside and renamed, so that a crash leaves either no keys or whole ones.
        let beside = path.with_extension("json.new");
        let mut file = options.open(&beside)?;
        restrict(&beside)?; // one that a crash left may have other rights
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }
}

fn anon_key(jwt_secret: &str, now: i64) -> String {
    let claims = json!({ "iss": "cloud-dev", "role": "anon", "iat": now, "exp": now + ANON_LIFETIME });
    jwt::sign(jwt_secret.as_bytes(), &claims)
}

/// Compares two secrets in a time that depends on their length alone.
pub(crate) fn same(left: &str, right: &str) -> bool {
    let differing = left.bytes().zip(right.bytes()).fold(0, |differing, (l, r)| differing | (l ^ r));
    left.len() == right.len() && differing == 0
}

fn random_text<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Unix")]
fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_compare_equal_only_when_they_are() {
        for (left, right, equal) in [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false)] {
            assert_eq!(same(left, right), equal, "{left} and {right}");
        }
    }

    #[test]
    fn a_damaged_key_file_is_an_error_and_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Keys::open(Some(directory.path()), 0).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(&path).unwrap(), b"{");
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = Keys::open(None, 0).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys { .. }");
    }
}
