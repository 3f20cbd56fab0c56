//! Passwords: the rules for new ones, and their hashes.
//!
//! Kept as Argon2id hashes, computed away from the async threads. Wire source: GoTrue, password checks.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use crate::{gotrue::error::AuthError, keys};

/// Fewest characters of a password.
const MIN_PASSWORD: usize = 6;

/// Most bytes of a password: what bcrypt, which GoTrue uses, can tell apart.
const MAX_PASSWORD_BYTES: usize = 72;

/// Memory of one hash in KiB: little, since the passwords of a development cloud guard nothing.
const HASH_MEMORY_KIB: u32 = 512;

/// Whether a new password may be used.
pub(super) fn check(password: &str) -> Result<(), AuthError> {
    if password.len() > MAX_PASSWORD_BYTES {
        let message = format!("Password cannot be longer than {MAX_PASSWORD_BYTES} characters");
        return Err(AuthError::bad_request("validation_failed", message));
    }
    if password.chars().count() < MIN_PASSWORD {
        return Err(AuthError::weak_password(format!("Password should be at least {MIN_PASSWORD} characters.")));
    }
    Ok(())
}

/// The hash of a new password.
pub(crate) async fn hash(password: &str) -> Result<String, AuthError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| AuthError::no_randomness())?;
    hash_with(password, salt.to_vec()).await.ok_or_else(|| AuthError::internal("Cannot hash passwords"))
}

/// Whether `hash` is that of `password`; slow on purpose.
pub(crate) async fn matches(password: &str, hash: &str) -> bool {
    let Some((salt, _)) = hash.split_once('$') else { return false };
    let Ok(salt) = STANDARD_NO_PAD.decode(salt) else { return false };
    hash_with(password, salt).await.is_some_and(|computed| keys::same(&computed, hash))
}

/// `salt$hash`, both in base64.
async fn hash_with(password: &str, salt: Vec<u8>) -> Option<String> {
    let password = password.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let params = argon2::Params::new(HASH_MEMORY_KIB, 1, 1, None).ok()?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut out = [0; 32];
        argon.hash_password_into(password.as_bytes(), &salt, &mut out).ok()?;
        Some(format!("{}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out)))
    });
    work.await.ok().flatten()
}
