//! The durable local store: one SQLite database, one thread that owns it, one closure at a time.
//!
//! async caller → bounded queue → owner thread → transaction → answer. Every write is one transaction, synced to disk
//! before it is reported (`synchronous=FULL`): an appended message survives power loss (O1). A side file is locked for
//! the life of the store, so a second process is refused instead of interleaving (O14). A database that is not one is
//! set aside under another name, never deleted (D5).
mod schema;

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use cloud_client::Error;
use rusqlite::{Connection, ErrorCode as SqliteCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::codes::{DISK_FULL, STORE_BUSY, STORE_CLOSED, STORE_FAILED, STORE_NEWER};

/// How many calls may wait; callers beyond wait for a place.
const QUEUE: usize = 64;

/// `None` is the last one: the thread lets go of the database and ends.
type Job = Option<Box<dyn FnOnce(&mut Connection) + Send>>;

/// A handle on the database; clone it freely. The thread ends when it is told to, or after the last handle was dropped.
#[derive(Clone)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
    path: Arc<Path>,
}

impl Store {
    /// Opens or creates the database at `path`, without blocking the async caller. The second value names the file that
    /// a damaged database was set aside to.
    pub(crate) async fn open(path: PathBuf) -> Result<(Self, Option<PathBuf>), Error> {
        let (ready, opened) = oneshot::channel();
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let shown: Arc<Path> = path.clone().into();
        std::thread::Builder::new()
            .name("cloud-sync-store".into())
            .spawn(move || run(&path, ready, queue))
            .map_err(|cause| Error::new(STORE_FAILED).with_source(cause))?;
        let set_aside = opened.await.map_err(|_| Error::new(STORE_FAILED))??;
        Ok((Self { jobs, path: shown }, set_aside))
    }

    /// Runs `work` in one transaction; an error rolls everything back.
    ///
    /// Cancel safety: a dropped call may still be carried out, whole.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs `work`, which only reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(move |connection| work(connection)).await
    }

    /// Lets go of the database and waits until it is free for the next opener. What was asked before is carried out, what
    /// comes later is refused.
    ///
    /// Cancel safety: once the last job is in the queue, the store closes.
    pub(crate) async fn close(&self) {
        if self.jobs.send(None).await.is_ok() {
            self.jobs.closed().await;
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |connection: &mut Connection| {
            let _ = reply.send(work(connection)); // the caller may have gone
        });
        self.jobs.send(Some(job)).await.map_err(|_| Error::new(STORE_CLOSED))?;
        answer.await.map_err(|_| Error::new(STORE_CLOSED))?.map_err(translate)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

fn run(path: &Path, ready: oneshot::Sender<Result<Option<PathBuf>, Error>>, mut queue: mpsc::Receiver<Job>) {
    let (mut connection, _lock, set_aside) = match open(path) {
        Ok(opened) => opened,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(set_aside));
    while let Some(Some(job)) = queue.blocking_recv() {
        job(&mut connection);
    }
    // The lock goes before the queue does: whoever waits for the end of the queue may open at once.
}

fn open(path: &Path) -> Result<(Connection, File, Option<PathBuf>), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(local)?;
    }
    let lock = lock(path)?;
    match connect(path) {
        Ok(connection) => Ok((connection, lock, None)),
        Err(Opening::Damaged) => {
            let aside = set_aside(path).map_err(local)?;
            tracing::warn!(set_aside = %aside.display(), "the sync database was damaged and has been set aside");
            match connect(path) {
                Ok(connection) => Ok((connection, lock, Some(aside))),
                Err(Opening::Damaged) => Err(Error::new(STORE_FAILED)),
                Err(Opening::Failed(error)) => Err(error),
            }
        }
        Err(Opening::Failed(error)) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock")).map_err(local)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(STORE_BUSY)),
        Err(TryLockError::Error(cause)) => Err(local(cause)),
    }
}

enum Opening {
    Damaged,
    Failed(Error),
}

fn connect(path: &Path) -> Result<Connection, Opening> {
    let prepare = || -> rusqlite::Result<(Connection, i64)> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        let version = schema::migrate(&mut connection)?;
        Ok((connection, version))
    };
    match prepare() {
        Ok((connection, version)) if version <= schema::VERSION => Ok(connection),
        Ok(_) => Err(Opening::Failed(Error::new(STORE_NEWER))),
        Err(cause) => match cause.sqlite_error_code() {
            Some(SqliteCode::NotADatabase | SqliteCode::DatabaseCorrupt) => Err(Opening::Damaged),
            _ => Err(Opening::Failed(translate(cause))),
        },
    }
}

/// Renames the database and its side files to the first free name.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let free = (1..).map(|n| beside(path, &format!(".damaged-{n}"))).find(|candidate| !candidate.exists());
    let target = free.unwrap_or_else(|| beside(path, ".damaged"));
    std::fs::rename(path, &target)?;
    for side in ["-wal", "-shm"] {
        if beside(path, side).exists() {
            std::fs::rename(beside(path, side), beside(&target, side))?;
        }
    }
    Ok(target)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn local(cause: std::io::Error) -> Error {
    let code = if cause.kind() == std::io::ErrorKind::StorageFull { DISK_FULL } else { STORE_FAILED };
    Error::new(code).with_source(cause)
}

fn translate(cause: rusqlite::Error) -> Error {
    let code = match cause.sqlite_error_code() {
        Some(SqliteCode::DiskFull) => DISK_FULL,
        Some(SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked) => STORE_BUSY,
        _ => STORE_FAILED,
    };
    Error::new(code).with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn o14_a_second_opener_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("sync.db");
        let (first, set_aside) = Store::open(path.clone()).await.unwrap();
        assert!(set_aside.is_none());
        assert_eq!(Store::open(path.clone()).await.unwrap_err().code(), STORE_BUSY);
        first.close().await;
        assert!(Store::open(path).await.is_ok());
        assert_eq!(first.read(|_| Ok(())).await.unwrap_err().code(), STORE_CLOSED);
    }

    #[tokio::test]
    async fn o01_what_is_reported_as_written_was_synced_to_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path().join("sync.db")).await.unwrap();
        let setting = async |name: &'static str| {
            let read = move |connection: &Connection| {
                connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            };
            store.read(read).await.unwrap()
        };
        assert_eq!(setting("synchronous").await, 2.into(), "FULL");
        assert_eq!(setting("journal_mode").await, "wal".to_owned().into());
    }

    #[tokio::test]
    async fn b03_a_full_disk_is_told_and_reading_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path().join("sync.db")).await.unwrap();
        let pages =
            |connection: &Connection| connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        store
            .read(move |connection| connection.pragma_update(None, "max_page_count", pages(connection)?))
            .await
            .unwrap();
        let long = "x".repeat(100_000);
        let fill = store.write(move |transaction| transaction.execute("INSERT INTO meta VALUES ('long', ?1)", [long]));
        assert_eq!(fill.await.unwrap_err().code(), DISK_FULL);
        let rows =
            |connection: &Connection| connection.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0));
        assert_eq!(store.read(rows).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn d05_a_damaged_database_is_set_aside_with_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        std::fs::write(&path, "this is no database, but somebody may want it back".repeat(50)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let (store, aside) = Store::open(path).await.unwrap();
        assert_eq!(std::fs::read(aside.unwrap()).unwrap(), before);
        let links =
            store.read(|connection| connection.query_row("SELECT count(*) FROM links", [], |row| row.get::<_, i64>(0)));
        assert_eq!(links.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
        drop(connection);
        assert_eq!(Store::open(path).await.unwrap_err().code(), STORE_NEWER);
    }

    #[tokio::test]
    async fn a_failed_transaction_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path().join("sync.db")).await.unwrap();
        let failed = store
            .write(|transaction| {
                transaction.execute("INSERT INTO meta VALUES ('a', '1')", [])?;
                transaction.execute("INSERT INTO meta VALUES ('a', '2')", [])
            })
            .await;
        assert_eq!(failed.unwrap_err().code(), STORE_FAILED);
        let rows = store.read(|connection| {
            connection.query_row("SELECT count(*) FROM meta WHERE key = 'a'", [], |row| row.get::<_, i64>(0))
        });
        assert_eq!(rows.await.unwrap(), 0);
    }
}
