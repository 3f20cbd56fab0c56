//! The codes of the stores that ship with us. Five ways in which a keyring cannot keep a login are five codes, and none
//! of them means that nobody is signed in (A16).
use cloud_client::{ErrorCode, ErrorKind::Local};

/// There is no keyring here.
pub const KEYRING_ABSENT: ErrorCode = ErrorCode::new(
    "store.keyring_absent",
    Local,
    "This machine offers no keyring",
    "Install or start one (gnome-keyring, KWallet), or keep the login in an encrypted file.",
);
/// The keyring is locked. It may well hold a login.
pub const KEYRING_LOCKED: ErrorCode = ErrorCode::new(
    "store.keyring_locked",
    Local,
    "The keyring is locked",
    "Unlock it; the stored login is found by itself then.",
);
/// Somebody, or the system's rules, said no.
pub const KEYRING_DENIED: ErrorCode = ErrorCode::new(
    "store.keyring_denied",
    Local,
    "The keyring denied access",
    "Allow this app to use the keyring, or keep the login in an encrypted file.",
);
/// The keyring cannot hold a secret of this length.
pub const KEYRING_TOO_SMALL: ErrorCode = ErrorCode::new(
    "store.keyring_too_small",
    Local,
    "The keyring cannot hold a secret of this length",
    "Keep only the vault's key in the keyring, as the usual chain of stores does.",
);
/// What the keyring takes is lost again.
pub const KEYRING_NOT_PERSISTENT: ErrorCode = ErrorCode::new(
    "store.keyring_not_persistent",
    Local,
    "The keyring forgets what it is given",
    "Make a keyring that outlives the desktop session the default one, or keep the login in an encrypted file.",
);
/// The vault is whole, but this key does not open it.
pub const KEY_WRONG: ErrorCode = ErrorCode::new(
    "store.key_wrong",
    Local,
    "This key or passphrase does not open the encrypted file",
    "Give the one it was made with; or start over, which keeps the file under another name.",
);
/// There is a vault, but its key is nowhere.
pub const KEY_MISSING: ErrorCode = ErrorCode::new(
    "store.key_missing",
    Local,
    "The key of the encrypted file is gone",
    "Bring the keyring back that held it; or sign in again, which keeps the file under another name.",
);
/// More than a store of secrets may hold.
pub const STORE_TOO_LARGE: ErrorCode = ErrorCode::new(
    "store.too_large",
    Local,
    "The store of secrets would grow past its limit",
    "Remove accounts that are no longer used.",
);
/// No store of the chain took it.
pub const MEMORY_ONLY: ErrorCode = ErrorCode::new(
    "store.memory_only",
    Local,
    "No store on this machine can keep the login",
    "It lasts until the app ends, and is stored as soon as one can; the chain's status tells why.",
);
