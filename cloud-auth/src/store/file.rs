//! One small file, readable by its owner only, replaced as a whole.
//!
//! `{"version":1,"secrets":{KEY: text}}`. A change goes to a new file beside it, which is synced, renamed over the old
//! one and made durable by syncing the directory, so a reader or a crash sees the old or the new file and nothing
//! between (A4). Two side files carry locks: `<name>.lock` is the session's, held from reading a refresh token until its
//! successor is stored (A2); `<name>.write-lock` spans one read-change-replace. Neither is ever deleted or stolen (A14).
//! All file work runs on blocking threads, one piece at a time. A file that cannot be read is renamed, not removed (D5).
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{Error, ErrorCode, clock::SharedClock};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{SecretKey, SecretStore, StoreLock};
use crate::codes::{STORE_CORRUPT, STORE_FAILED, STORE_LOCKED};

/// How long another process may hold a lock (A14).
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often a held lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// The largest file that is taken for ours, in bytes.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// How many names are tried for a file that is set aside.
const SET_ASIDE_NAMES: u32 = 1000;

/// Secrets in one file of the user's own.
#[derive(Clone)]
pub struct FileStore {
    path: Arc<Path>,
    clock: SharedClock,
    /// Taken in order of asking, and kept by the work itself, so that a dropped caller changes no order.
    turn: Arc<Mutex<()>>,
}

impl FileStore {
    /// A store in the file at `path`. Nothing is opened yet; the directory is made when something is first stored.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into(), clock: SharedClock::default(), turn: Arc::default() }
    }

    /// Waits for locks on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        self.path.with_file_name(name)
    }

    /// Takes the lock on a side file, or gives up after [`LOCK_WAIT`].
    async fn locked(&self, suffix: &'static str) -> Result<File, Error> {
        let path = self.beside(suffix);
        let mut file = blocking("locking the file", move || open_lock(&path)).await?;
        let mut waited = Duration::ZERO;
        loop {
            let (held, outcome) = blocking("locking the file", move || {
                let outcome = file.try_lock();
                Ok((file, outcome))
            })
            .await?;
            file = held;
            match outcome {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if waited < LOCK_WAIT => {
                    self.clock.sleep(LOCK_PAUSE).await;
                    waited += LOCK_PAUSE;
                }
                Err(TryLockError::WouldBlock) => return Err(Error::new(STORE_LOCKED).during("locking the file")),
                Err(TryLockError::Error(cause)) => return Err(failed("locking the file", cause)),
            }
        }
    }

    /// Reads, changes and replaces the file, alone among tasks and processes.
    async fn change(&self, change: impl FnOnce(&mut Contents) -> bool + Send + 'static) -> Result<(), Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let lock = self.locked(".write-lock").await?;
        let path = Arc::clone(&self.path);
        blocking("writing the file", move || {
            let (_turn, _lock) = (turn, lock);
            let mut contents = match read(&path) {
                // It was set aside just now: what is to be stored starts a new file.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Contents::default(),
                contents => contents?,
            };
            if change(&mut contents) { replace(&path, &contents) } else { Ok(()) }
        })
        .await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for FileStore {
    async fn get(&self, key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (path, key) = (Arc::clone(&self.path), key.clone());
        blocking("reading the file", move || {
            let _turn = turn;
            Ok(read(&path)?.secrets.remove(key.as_str()).map(|text| SecretString::from(text.as_str())))
        })
        .await
    }

    async fn put(&self, key: &SecretKey, value: SecretString) -> Result<(), Error> {
        let key = key.as_str().to_owned();
        self.change(move |contents| {
            contents.secrets.insert(key, Zeroizing::new(value.expose_secret().to_owned()));
            true
        })
        .await
    }

    async fn delete(&self, key: &SecretKey) -> Result<(), Error> {
        let key = key.as_str().to_owned();
        self.change(move |contents| contents.secrets.remove(&key).is_some()).await
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        Ok(StoreLock::holding(self.locked(".lock").await?))
    }
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    secrets: BTreeMap<String, Zeroizing<String>>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { version: 1, secrets: BTreeMap::new() }
    }
}

fn failed(operation: &'static str, cause: io::Error) -> Error {
    let code: ErrorCode = if cause.kind() == io::ErrorKind::InvalidData { STORE_CORRUPT } else { STORE_FAILED };
    Error::new(code).during(operation).with_source(cause)
}

/// Runs file work on a thread that may wait.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|cause| Error::new(STORE_FAILED).with_source(cause))?;
    done.map_err(|cause| failed(operation, cause))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the directory, for its owner only; one that is already there stays as it is.
fn make_directory(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn open_lock(path: &Path) -> io::Result<File> {
    make_directory(path)?;
    private().create(true).truncate(false).write(true).open(path)
}

/// The file's contents; nothing when there is no file. What cannot be read is renamed and reported as `InvalidData`.
fn read(path: &Path) -> io::Result<Contents> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(cause) => return Err(cause),
    };
    close_to_others(&file)?;
    let mut text = Zeroizing::new(Vec::new());
    let length = (&file).take(FILE_LIMIT_BYTES + 1).read_to_end(&mut text)? as u64;
    let parsed = serde_json::from_slice::<Contents>(&text).ok().filter(|contents| contents.version == 1);
    match parsed {
        Some(contents) if length <= FILE_LIMIT_BYTES => Ok(contents),
        _ => {
            set_aside(path)?;
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file is not a store of secrets; it was renamed"))
        }
    }
}

/// Takes away the rights of everybody else, should a backup or a copy have given them.
#[cfg(unix)]
fn close_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(mode = format!("{:o}", mode & 0o777), "the store of secrets was open to others; closed now");
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Renames the file to the first free `<name>.corrupt-<n>`.
fn set_aside(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (1..=SET_ASIDE_NAMES).map(|n| path.with_file_name(format!("{name}.corrupt-{n}")));
    let free = names.into_iter().find(|name| !name.exists());
    let free = free.ok_or_else(|| io::Error::other("too many files were set aside"))?;
    tracing::warn!(to = %free.display(), "the store of secrets could not be read and was set aside");
    fs::rename(path, free)
}

/// Writes a new file, syncs it, renames it over the old one and syncs the directory.
fn replace(path: &Path, contents: &Contents) -> io::Result<()> {
    make_directory(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let text = Zeroizing::new(serde_json::to_vec(contents)?);
    // Made with mode 0600, under a name that nobody can guess.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|cause| cause.error)?;
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
