//! One file that is read and replaced as a whole, and the locks beside it. Stores put their secrets into it.
//!
//! A change goes to `<name>.new`, made for its owner only, which is synced, renamed over the old file and made durable by
//! syncing the directory, so a reader or a crash sees the old or the new file and nothing between (A4, H3). Two side
//! files carry locks: `<name>.lock` is the session's, held from reading a refresh token until its successor is stored
//! (A2); `<name>.write-lock` spans one read-change-replace. Neither is ever deleted or stolen: the system frees the lock
//! of a process that has ended (A14). All file work runs on blocking threads, one piece at a time. A file that cannot be
//! read is renamed, not removed (D5).
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloud_client::{Error, ErrorCode, clock::SharedClock};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};
use zeroize::Zeroizing;

use super::{SecretKey, codes::STORE_TOO_LARGE};
use crate::codes::{STORE_CORRUPT, STORE_FAILED, STORE_LOCKED};

/// How long another process may hold a lock (A14).
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How soon a held lock is tried again, first and at most: a refresh takes some milliseconds or some seconds.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));
/// The largest file that is taken for ours, in bytes.
pub(super) const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// How many names are tried for a file that is set aside.
const SET_ASIDE_NAMES: u32 = 1000;

/// What a file's bytes are, in memory that is cleared.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// Why bytes could not be read as what they should be.
pub(super) enum Unread {
    /// They are not what was once written: the file is set aside.
    Damaged,
    /// They may be whole; the file stays where it is.
    #[cfg_attr(not(feature = "vault"), expect(dead_code, reason = "a plain file is read by anybody who may open it"))]
    Refused(Error),
}

/// The calls that change the disk, so that a test can stop at each of them.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file that only its owner can ever have opened.
    fn create(&self, path: &Path) -> io::Result<File> {
        private().create_new(true).write(true).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {}

/// The right to use the file, in order of asking; with `lock`, also alone among processes. It is kept by the work
/// itself, so that a dropped caller changes no order.
pub(super) struct Turn {
    _turn: OwnedMutexGuard<()>,
    _lock: Option<File>,
}

/// See the module. Clones are the same file.
#[derive(Clone)]
pub(super) struct WholeFile {
    path: Arc<Path>,
    pub(super) clock: SharedClock,
    turn: Arc<Mutex<()>>,
    pub(super) disk: Arc<dyn Disk>,
}

impl fmt::Debug for WholeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}

impl WholeFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: path.into(), clock: SharedClock::default(), turn: Arc::default(), disk: Arc::new(RealDisk) }
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        self.path.with_file_name(name)
    }

    /// Takes the lock on a side file, or gives up after [`LOCK_WAIT`].
    pub(super) async fn locked(&self, suffix: &'static str) -> Result<File, Error> {
        let path = self.beside(suffix);
        let mut file = blocking("locking the file", move || open_lock(&path)).await?;
        let (start, mut pause) = (self.clock.monotonic(), LOCK_PAUSE.0);
        loop {
            let (held, outcome) = blocking("locking the file", move || {
                let outcome = file.try_lock();
                Ok((file, outcome))
            })
            .await?;
            file = held;
            match outcome {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if self.clock.monotonic().saturating_sub(start) < LOCK_WAIT => {
                    self.clock.sleep(pause).await;
                    pause = (pause * 2).min(LOCK_PAUSE.1);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::new(STORE_LOCKED).during("locking the file")),
                Err(TryLockError::Error(cause)) => return Err(failed("locking the file", cause)),
            }
        }
    }

    /// The right to change the file.
    pub(super) async fn writing(&self) -> Result<Turn, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        Ok(Turn { _turn: turn, _lock: Some(self.locked(".write-lock").await?) })
    }

    #[cfg(feature = "vault")]
    pub(super) async fn exists(&self) -> Result<bool, Error> {
        let path = Arc::clone(&self.path);
        blocking("reading the file", move || path.try_exists()).await
    }

    /// What the file holds; `None` when there is none. Damage is reported once, by `store.corrupt`.
    pub(super) async fn load<T: Send + 'static>(
        &self,
        decode: impl Fn(&[u8]) -> Result<T, Unread> + Clone + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let turn = Turn { _turn: Arc::clone(&self.turn).lock_owned().await, _lock: None };
        let (path, first) = (Arc::clone(&self.path), decode.clone());
        let reading = blocking("reading the file", move || {
            let _turn = turn;
            read(&path, first)
        });
        match reading.await? {
            Ok(contents) => Ok(contents),
            Err(Unread::Refused(error)) => Err(error),
            // Once more, alone: somebody may have replaced it meanwhile.
            Err(Unread::Damaged) => {
                let turn = self.writing().await?;
                let path = Arc::clone(&self.path);
                let reading = blocking("reading the file", move || {
                    let _turn = turn;
                    let contents = read(&path, decode)?;
                    if matches!(contents, Err(Unread::Damaged)) {
                        set_aside(&path, "corrupt")?;
                    }
                    Ok(contents)
                });
                reading.await?.map_err(|unread| match unread {
                    Unread::Refused(error) => error,
                    Unread::Damaged => Error::new(STORE_CORRUPT).during("reading the file"),
                })
            }
        }
    }

    /// Reads, changes and replaces the file; `change` gives the new bytes, or `None` to leave it. A damaged file is set
    /// aside, and so is one that `start_over` allows to be: what is to be stored starts a new file then.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        turn: Turn,
        start_over: bool,
        decode: impl Fn(&[u8]) -> Result<T, Unread> + Send + 'static,
        change: impl FnOnce(Option<T>) -> Result<Option<Bytes>, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (path, fresh, disk) = (Arc::clone(&self.path), self.beside(".new"), Arc::clone(&self.disk));
        let changed = blocking("writing the file", move || {
            let _turn = turn;
            let contents = match read(&path, decode)? {
                Ok(contents) => contents,
                Err(Unread::Damaged) => set_aside(&path, "corrupt").map(|()| None)?,
                Err(Unread::Refused(_)) if start_over => set_aside(&path, "locked").map(|()| None)?,
                Err(Unread::Refused(error)) => return Ok(Err(error)),
            };
            Ok(match change(contents) {
                Ok(Some(bytes)) if bytes.len() as u64 > FILE_LIMIT_BYTES => Err(Error::new(STORE_TOO_LARGE)),
                Ok(Some(bytes)) => {
                    replace(&*disk, &path, &fresh, &bytes)?;
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            })
        });
        changed.await?.map_err(|error| error.during("writing the file"))
    }

    /// Renames the file, if there is one, so that the next change starts a new one.
    #[cfg(feature = "vault")]
    pub(super) async fn start_over(&self) -> Result<(), Error> {
        let turn = self.writing().await?;
        let path = Arc::clone(&self.path);
        blocking("setting the file aside", move || {
            let _turn = turn;
            if path.try_exists()? { set_aside(&path, "locked") } else { Ok(()) }
        })
        .await
    }
}

/// The secrets of one store: `{"version":1,"secrets":{KEY: text}}`.
#[derive(Serialize, Deserialize)]
pub(super) struct Contents {
    version: u32,
    secrets: BTreeMap<String, Zeroizing<String>>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { version: 1, secrets: BTreeMap::new() }
    }
}

impl Contents {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(text).ok().filter(|contents| contents.version == 1)
    }

    pub(super) fn bytes(&self) -> Result<Bytes, Error> {
        let text = serde_json::to_vec(self).map_err(|cause| Error::new(STORE_FAILED).with_source(cause))?;
        Ok(Zeroizing::new(text))
    }

    pub(super) fn take(&mut self, key: &SecretKey) -> Option<SecretString> {
        self.secrets.remove(key.as_str()).map(|text| SecretString::from(text.as_str()))
    }

    pub(super) fn put(&mut self, key: String, value: &str) {
        self.secrets.insert(key, Zeroizing::new(value.to_owned()));
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        self.secrets.remove(key).is_some()
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

/// For files that are never open to others, not even for a moment: the mode is given to `open` itself.
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

pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    make_directory(path)?;
    private().create(true).truncate(false).write(true).open(path)
}

/// The file's contents; nothing when there is no file.
fn read<T>(path: &Path, decode: impl Fn(&[u8]) -> Result<T, Unread>) -> io::Result<Result<Option<T>, Unread>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        Err(cause) => return Err(cause),
    };
    close_to_others(&file)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let length = (&file).take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes)? as u64;
    Ok(if length > FILE_LIMIT_BYTES { Err(Unread::Damaged) } else { decode(&bytes).map(Some) })
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

/// Renames the file to the first free `<name>.<why>-<n>`.
fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (1..=SET_ASIDE_NAMES).map(|n| path.with_file_name(format!("{name}.{why}-{n}")));
    let free = names.into_iter().find(|name| !name.exists());
    let free = free.ok_or_else(|| io::Error::other("too many files were set aside"))?;
    tracing::warn!(to = %free.display(), "the store of secrets could not be read and was set aside");
    fs::rename(path, free)
}

/// Writes a new file, syncs it, renames it over the old one and syncs the directory. Whoever calls is alone.
fn replace(disk: &dyn Disk, path: &Path, fresh: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directory(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // Left by a process that was killed. Made anew, so that nobody else's rights or links are inherited.
    match fs::remove_file(fresh) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let written = (|| {
        let mut file = disk.create(fresh)?;
        disk.write(&mut file, bytes)?;
        disk.sync(&file)?;
        drop(file);
        disk.rename(fresh, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(fresh); // it holds secrets
    }
    written?;
    #[cfg(unix)]
    disk.sync(&File::open(directory)?)?;
    Ok(())
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash;
#[cfg(test)]
#[path = "whole_file_tests.rs"]
mod tests;
