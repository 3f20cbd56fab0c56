//! The end at every call that changes the disk: a failure there, or a process that is killed there.
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use secrecy::ExposeSecret as _;

use super::{Disk, RealDisk, WholeFile};
use crate::store::{FileStore, SecretKey, SecretStoreHandle, StoredKey, VaultStore};

/// What one write does, in this order; the first two are half of a write each.
const CALLS: [&str; 6] = ["create", "write half", "write", "sync", "rename", "sync"];
/// Which call a child process dies at, and the store it uses.
const DIE_AT: &str = "CLOUD_AUTH_TEST_DIE_AT";

#[derive(Debug)]
enum End {
    Fail(io::ErrorKind),
    /// As `kill -9` would.
    Abort,
}

/// Ends at its call number `at`.
#[derive(Debug)]
struct Breaking {
    at: usize,
    end: End,
    calls: AtomicUsize,
    seen: Mutex<Vec<&'static str>>,
}

impl Breaking {
    fn new(at: usize, end: End) -> Arc<Self> {
        Arc::new(Self { at, end, calls: AtomicUsize::new(0), seen: Mutex::default() })
    }

    fn call(&self, name: &'static str) -> io::Result<()> {
        self.seen.lock().unwrap().push(name);
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.at {
            return Ok(());
        }
        match self.end {
            End::Fail(kind) => Err(kind.into()),
            End::Abort => std::process::abort(),
        }
    }
}

impl Disk for Breaking {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call("create")?;
        let file = RealDisk.create(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = file.metadata()?.permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "private from the first moment on, before there is anything in it");
        }
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.call("write half")?;
        RealDisk.write(file, first)?;
        self.call("write")?;
        RealDisk.write(file, second)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.call("sync")?;
        RealDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename")?;
        RealDisk.rename(from, to)
    }
}

/// Both kinds of store in one file, on a disk of one's own.
fn stores(directory: &Path, disk: &Arc<dyn Disk>) -> [(&'static str, SecretStoreHandle); 2] {
    let on = |file: &mut WholeFile| file.disk = Arc::clone(disk);
    let mut plain = FileStore::new(directory.join("plain"));
    on(&mut plain.0);
    let key =
        StoredKey::new(SecretStoreHandle::new(FileStore::new(directory.join("key"))), SecretKey::new("VAULT_KEY"));
    let mut vault = VaultStore::with_key_source(directory.join("vault"), key);
    on(&mut vault.file);
    [("plain", SecretStoreHandle::new(plain)), ("vault", SecretStoreHandle::new(vault))]
}

fn key() -> SecretKey {
    SecretKey::new("KEY")
}

async fn text(store: &SecretStoreHandle) -> String {
    store.get(&key()).await.unwrap().expect("the login is gone").expose_secret().to_owned()
}

#[tokio::test]
async fn a03_what_was_written_is_synced_before_it_takes_the_place_of_the_former() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Breaking::new(usize::MAX, End::Abort);
    let shared: Arc<dyn Disk> = Arc::clone(&disk) as Arc<dyn Disk>;
    for (name, store) in stores(directory.path(), &shared) {
        disk.seen.lock().unwrap().clear();
        store.put(&key(), "value".into()).await.unwrap();
        assert_eq!(*disk.seen.lock().unwrap(), CALLS, "{name}");
    }
}

#[tokio::test]
async fn a04_a_disk_that_fails_at_any_call_leaves_the_former_value_and_no_litter() {
    let directory = tempfile::tempdir().unwrap();
    for (at, call) in CALLS.into_iter().enumerate() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other, io::ErrorKind::PermissionDenied] {
            let sound: Arc<dyn Disk> = Arc::new(RealDisk);
            for (_, store) in stores(directory.path(), &sound) {
                store.put(&key(), "former".into()).await.unwrap();
            }
            for n in 0..2 {
                let broken: Arc<dyn Disk> = Breaking::new(at, End::Fail(kind));
                let (name, store) = stores(directory.path(), &broken).into_iter().nth(n).unwrap();
                let error = store.put(&key(), "later".into()).await.unwrap_err();
                assert_eq!(error.code().as_str(), "store.failed");
                // After the rename the new value is there, only not known to be durable.
                let expected = if at == 5 { "later" } else { "former" };
                assert_eq!(text(&store).await, expected, "{name}: {kind} at {}", call);
                assert!(!directory.path().join(format!("{name}.new")).exists(), "{name}: litter at {}", call);
                store.put(&key(), "again".into()).await.unwrap();
                assert_eq!(text(&store).await, "again");
            }
        }
    }
}

/// What a child does; in the parent it has nothing to do but to say so.
#[tokio::test]
async fn a_child_dies_where_it_is_told() {
    let Ok(order) = std::env::var(DIE_AT) else {
        assert!(std::env::var_os(DIE_AT).is_none());
        return;
    };
    let mut order = order.splitn(3, ':');
    let (which, at) = (order.next().unwrap().to_owned(), order.next().unwrap().parse().unwrap());
    let directory = PathBuf::from(order.next().unwrap());
    let disk: Arc<dyn Disk> = Breaking::new(at, End::Abort);
    let [plain, vault] = stores(&directory, &disk);
    let (_, store) = if which == "plain" { plain } else { vault };
    let _lock = store.lock().await.unwrap();
    store.put(&key(), "later".into()).await.unwrap();
    unreachable!("it should have died");
}

#[tokio::test]
async fn h03_a_process_that_is_killed_at_any_call_leaves_a_whole_login_and_its_locks_are_free() {
    let directory = tempfile::tempdir().unwrap();
    let sound: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut litter = 0;
    for (at, call) in CALLS.into_iter().enumerate() {
        for (name, store) in stores(directory.path(), &sound) {
            store.put(&key(), "former".into()).await.unwrap();
            let mut child = Command::new(std::env::current_exe().unwrap());
            let test = "store::whole_file::crash::a_child_dies_where_it_is_told";
            child.args(["--exact", test, "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
            child.env(DIE_AT, format!("{name}:{at}:{}", directory.path().display()));
            let status = child.status().unwrap();
            #[cfg(unix)]
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "it died by its own hand");
            assert!(!status.success());
            litter += usize::from(directory.path().join(format!("{name}.new")).exists());
            // A14: both locks went with the process; nobody waits and nobody steals.
            drop(store.lock().await.unwrap());
            let expected = if at == 5 { "later" } else { "former" };
            assert_eq!(text(&store).await, expected, "{name}: killed at {}", call);
            store.put(&key(), "next".into()).await.unwrap();
            assert_eq!(text(&store).await, "next");
            assert!(!directory.path().join(format!("{name}.new")).exists(), "{name}: what was left is used up");
        }
    }
    assert!(litter >= 6, "the children really died in the middle: {litter}");
}
