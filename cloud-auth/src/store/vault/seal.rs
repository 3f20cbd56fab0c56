//! The bytes of a vault. Pure but for the randomness.
//!
//! ```text
//! "CLOUDVLT" version(1) | derivation: 0, or 1 memory_kib passes lanes (u32 each, little-endian) salt(16)
//! key id (8) | nonce (24) | XChaCha20-Poly1305 of the text, everything before as associated data | SHA-256 (32)
//! ```
//!
//! The digest at the end tells damage from a wrong key without knowing the key; the key id, a digest of the key, tells a
//! wrong key from tampering. What a file asks for is limited before it is done.
use std::array;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use cloud_client::Error;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::VaultKey;
use crate::{codes::STORE_FAILED, store::whole_file::Bytes};

const MAGIC: &[u8; 8] = b"CLOUDVLT";
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// The most memory that a key may cost, in KiB: a file must not be able to ask for more.
const MEMORY_LIMIT_KIB: u32 = 1024 * 1024;
const PASSES_LIMIT: u32 = 16;

/// What deriving a key from a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self::new(64 * 1024, 3)
    }
}

impl Cost {
    pub(super) fn new(memory_kib: u32, passes: u32) -> Self {
        Self { memory_kib: memory_kib.clamp(8, MEMORY_LIMIT_KIB), passes: passes.clamp(1, PASSES_LIMIT), lanes: 1 }
    }

    fn is_bearable(self) -> bool {
        (8..=MEMORY_LIMIT_KIB).contains(&self.memory_kib)
            && (1..=PASSES_LIMIT).contains(&self.passes)
            && self.lanes == 1
    }

    /// With a salt of its own.
    pub(super) fn salted(self) -> Result<Derivation, Error> {
        let mut salt = [0; SALT_BYTES];
        fill(&mut salt)?;
        Ok(Derivation { cost: self, salt })
    }
}

/// How a key came from a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Derivation {
    cost: Cost,
    salt: [u8; SALT_BYTES],
}

/// A derived key and how it was derived.
pub(super) struct Derived {
    pub(super) derivation: Derivation,
    pub(super) key: VaultKey,
}

impl Derivation {
    pub(super) fn derive(self, passphrase: &str) -> Result<Derived, Error> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let mut key = Zeroizing::new([0; 32]);
        let derived = Params::new(memory_kib, passes, lanes, Some(key.len()))
            .and_then(|params| {
                let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon.hash_password_into(passphrase.as_bytes(), &self.salt, &mut *key)
            })
            .map_err(|cause| {
                Error::new(STORE_FAILED).during("deriving the vault's key").with_detail(cause.to_string())
            });
        derived.map(|()| Derived { derivation: self, key: VaultKey::from_bytes(*key) })
    }
}

/// A vault whose bytes are whole.
#[derive(Debug)]
pub(super) struct Sealed<'a> {
    pub(super) derivation: Option<Derivation>,
    key_id: &'a [u8],
    nonce: [u8; NONCE_BYTES],
    header: &'a [u8],
    text: &'a [u8],
}

/// Takes the bytes apart; `None` when they are damaged, or of a version that nobody here knows.
pub(super) fn read(bytes: &[u8]) -> Option<Sealed<'_>> {
    let (covered, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
    if Sha256::digest(covered)[..] != digest[..] {
        return None;
    }
    let rest = covered.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (derivation, rest) = match rest.split_first()? {
        (0, rest) => (None, rest),
        (1, rest) => {
            let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
            let (memory_kib, rest) = rest.split_first_chunk()?;
            let (passes, rest) = rest.split_first_chunk()?;
            let (lanes, rest) = rest.split_first_chunk()?;
            let (salt, rest) = rest.split_first_chunk()?;
            let cost = Cost { memory_kib: number(memory_kib), passes: number(passes), lanes: number(lanes) };
            (Some(Derivation { cost, salt: *salt }).filter(|derivation| derivation.cost.is_bearable()), rest)
        }
        _ => return None,
    };
    if derivation.is_none() && covered.get(MAGIC.len() + 1) != Some(&0) {
        return None;
    }
    let (key_id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
    let (nonce, text) = rest.split_first_chunk()?;
    let header = covered.get(..covered.len() - text.len())?;
    Some(Sealed { derivation, key_id, nonce: *nonce, header, text })
}

impl Sealed<'_> {
    pub(super) fn fits(&self, key: &VaultKey) -> bool {
        self.key_id == key_id(key)
    }

    pub(super) fn open(&self, key: &VaultKey) -> Option<Bytes> {
        let payload = Payload { msg: self.text, aad: self.header };
        cipher(key).decrypt(&XNonce::from(self.nonce), payload).ok().map(Zeroizing::new)
    }
}

/// Seals `text` with a nonce of its own.
pub(super) fn write(derivation: Option<&Derivation>, key: &VaultKey, text: &[u8]) -> Result<Bytes, Error> {
    let mut nonce = [0; NONCE_BYTES];
    fill(&mut nonce)?;
    let mut bytes = Zeroizing::new([MAGIC.as_slice(), &[VERSION, u8::from(derivation.is_some())]].concat());
    if let Some(Derivation { cost, salt }) = derivation {
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(salt);
    }
    bytes.extend(key_id(key));
    bytes.extend(nonce);
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &bytes });
    bytes.extend(sealed.map_err(|_| Error::new(STORE_FAILED).during("sealing the vault"))?);
    let digest = Sha256::digest(&*bytes);
    bytes.extend(digest);
    Ok(bytes)
}

/// Random bytes from the system.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|cause| Error::new(STORE_FAILED).during("making a key").with_source(cause))
}

fn cipher(key: &VaultKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}

/// Names a key without telling anything about it.
fn key_id(key: &VaultKey) -> [u8; KEY_ID_BYTES] {
    let digest = Sha256::new().chain_update(b"cloud vault key id").chain_update(key.expose()).finalize();
    array::from_fn(|n| digest[n])
}
