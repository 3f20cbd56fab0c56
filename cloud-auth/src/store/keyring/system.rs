//! The keyring of the system this was built for, and what its answers mean.
//!
//! On Linux a locked Secret Service answers "no such entry", so it is asked whether it is locked before anything else,
//! and nobody is ever prompted. Source: the Secret Service API, `org.freedesktop.Secret.Collection`.
use std::{fmt, sync::Arc};

use keyring_core::{CredentialStore, Entry, Error, api::CredentialPersistence};
use zeroize::Zeroizing;

use super::{Refusal, Ring, cause};
use crate::store::whole_file::Bytes;

pub(super) struct SystemRing {
    service: String,
}

impl SystemRing {
    pub(super) fn new(service: String) -> Self {
        Self { service }
    }

    /// The entry `name`, once the keyring is known to be there and open. The connection is made for each call: calls are
    /// rare, and a desktop session may end and begin again between two of them.
    fn entry(&self, name: &str) -> Result<Entry, Refusal> {
        let store = open()?;
        match store.persistence() {
            CredentialPersistence::EntryOnly
            | CredentialPersistence::ProcessOnly
            | CredentialPersistence::UntilLogout
            | CredentialPersistence::UntilReboot => return Err(Refusal::NotPersistent),
            _ => {}
        }
        store.build(&self.service, name, None).map_err(refusal)
    }
}

impl fmt::Debug for SystemRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemRing({})", self.service)
    }
}

impl Ring for SystemRing {
    fn get(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        match self.entry(name)?.get_secret() {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        self.entry(name)?.set_secret(value).map_err(refusal)
    }

    fn delete(&self, name: &str) -> Result<(), Refusal> {
        match self.entry(name)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// What an answer means. The causes carry no secret: those that would are left behind.
fn refusal(error: Error) -> Refusal {
    match error {
        Error::NoStorageAccess(error) => access(error),
        Error::TooLong(..) => Refusal::TooSmall(cause(error)),
        Error::NoDefaultStore | Error::NotSupportedByStore(_) => Refusal::Absent(cause(error)),
        Error::PlatformFailure(error) => Refusal::Failed(cause(error)),
        Error::BadEncoding(_) | Error::BadDataFormat(..) => Refusal::Failed(cause("the entry is not ours")),
        error => Refusal::Failed(cause(error)),
    }
}

#[cfg(target_os = "linux")]
fn access(error: Box<dyn std::error::Error + Send + Sync>) -> Refusal {
    match error.downcast_ref::<secret_service::Error>() {
        Some(secret_service::Error::Locked) => Refusal::Locked,
        Some(secret_service::Error::NoResult) => Refusal::Absent(cause(error)),
        _ => Refusal::Denied(cause(error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn access(error: Box<dyn std::error::Error + Send + Sync>) -> Refusal {
    Refusal::Denied(cause(error))
}

#[cfg(target_os = "linux")]
fn open() -> Result<Arc<CredentialStore>, Refusal> {
    use secret_service::{
        EncryptionType,
        Error::{Locked, ZbusFdo},
        blocking::SecretService,
    };
    // No secret goes over this connection.
    let service = SecretService::connect(EncryptionType::Plain).map_err(|error| match error {
        ZbusFdo(ref told) if told.to_string().contains("AccessDenied") => Refusal::Denied(cause(error)),
        error => Refusal::Absent(cause(error)),
    })?;
    // The name exists, but no keyring behind it.
    let collection = service.get_default_collection().map_err(|error| Refusal::Absent(cause(error)))?;
    match collection.is_locked() {
        Ok(false) => {}
        Ok(true) | Err(Locked) => return Err(Refusal::Locked),
        Err(error) => return Err(Refusal::Absent(cause(error))),
    }
    // The collection of this name lives in the service's memory.
    if collection.collection_path.as_str().ends_with("/collection/session") {
        return Err(Refusal::NotPersistent);
    }
    let store = zbus_secret_service_keyring_store::Store::new().map_err(|error| Refusal::Absent(cause(error)))?;
    Ok(store)
}

#[cfg(target_os = "macos")]
fn open() -> Result<Arc<CredentialStore>, Refusal> {
    let store = apple_native_keyring_store::keychain::Store::new().map_err(refusal)?;
    Ok(store)
}

#[cfg(windows)]
fn open() -> Result<Arc<CredentialStore>, Refusal> {
    let store = windows_native_keyring_store::Store::new().map_err(refusal)?;
    Ok(store)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn open() -> Result<Arc<CredentialStore>, Refusal> {
    Err(Refusal::Absent(cause("no keyring is known for this system")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_an_entry_that_cannot_be_read_does_not_show_its_bytes() {
        for error in [Error::BadEncoding(b"canary".to_vec()), Error::BadDataFormat(b"canary".to_vec(), "canary".into())]
        {
            let shown = refusal(error);
            assert!(matches!(shown, Refusal::Failed(_)));
            let error = shown.error();
            assert!(!format!("{error:?} {error}").contains("canary") && !format!("{error:?}").contains("99, 97"));
        }
    }

    #[test]
    fn a16_each_answer_is_told_apart() {
        assert!(matches!(refusal(Error::TooLong("secret".into(), 2560)), Refusal::TooSmall(_)));
        assert!(matches!(refusal(Error::NoStorageAccess("denied".into())), Refusal::Denied(_)));
        assert!(matches!(refusal(Error::NoDefaultStore), Refusal::Absent(_)));
        #[cfg(target_os = "linux")]
        for (cause, locked) in [(secret_service::Error::Locked, true), (secret_service::Error::Prompt, false)] {
            assert_eq!(matches!(refusal(Error::NoStorageAccess(Box::new(cause))), Refusal::Locked), locked);
        }
    }
}
