//! One SQLite connection, owned by one thread, reached through a bounded queue.
//!
//! A caller's closure goes through the queue to the owner thread, runs there with the connection, and its
//! result comes back; so every write of the cloud is ordered, and no async thread ever waits on a disk.
//! The thread ends when the last [`Db`] is dropped. The clock and the id source of the database are SQL
//! functions registered here, so that triggers and services use the same ones.
//! Wire source: PostgreSQL `timestamptz` text, as PostgREST prints it.

use std::{
    any::Any,
    fmt,
    fs::{File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, functions::FunctionFlags};
use tokio::sync::{mpsc, oneshot, watch};

use super::deadline::Deadline;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What is called after each job.
type Listener = Box<dyn FnMut(&Connection) + Send>;

/// Jobs waiting for the database; a full queue makes callers wait.
const QUEUE: usize = 256;

/// The file name of the database inside a data directory.
const FILE: &str = "cloud.sqlite3";

/// The lock beside it, so that two servers never share one directory.
const LOCK: &str = "cloud.lock";

/// How long to wait for a lock: a cloud that was just dropped may still be letting go.
const LOCK_WAIT: Duration = Duration::from_millis(400);
const LOCK_STEP: Duration = Duration::from_millis(20);

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the data directory cannot be used")]
    Directory(#[source] io::Error),
    #[error("another development cloud is using this data directory")]
    InUse,
    #[error("the database cannot be opened")]
    Database(#[from] rusqlite::Error),
}

/// A handle to the database; clones share one connection.
#[derive(Clone)]
pub(crate) struct Db {
    owner: Arc<Owner>,
}

struct Owner {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: watch::Receiver<()>,
    listener: Arc<Mutex<Option<Listener>>>,
    deadline: Deadline,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database in `directory` (created if absent), or a fresh one in memory.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, OpenError> {
        let (mut connection, lock) = match directory {
            None => (Connection::open_in_memory()?, None),
            Some(directory) => {
                let lock = lock(directory)?;
                let connection = Connection::open(directory.join(FILE))?;
                connection.pragma_update(None, "journal_mode", "WAL")?;
                (connection, Some(lock))
            }
        };
        let synchronous = if lock.is_some() { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.set_prepared_statement_cache_capacity(128);
        register(&connection)?;
        let deadline = Deadline::install(&mut connection);

        let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
        let (ended, ends) = watch::channel(());
        let listener: Arc<Mutex<Option<Listener>>> = Arc::default();
        let told = Arc::clone(&listener);
        let thread = thread::Builder::new()
            .name("cloud-dev-db".to_owned())
            .spawn(move || {
                // Dropped in the opposite order: the connection, the lock, then the sign that both are gone.
                let _ended = ended;
                let _lock = lock;
                let mut connection = connection;
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut connection);
                    tell(&told, &connection);
                }
            })
            .map_err(OpenError::Directory)?;
        let owner = Owner { jobs: Some(jobs), thread: Mutex::new(Some(thread)), ended: ends, listener, deadline };
        Ok(Self { owner: Arc::new(owner) })
    }

    /// Resolves once the database is closed, which is after the last handle was dropped.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.owner.ended.clone();
        async move {
            let _ = ended.wait_for(|()| false).await; // an error says that the thread is gone
        }
    }

    /// Calls `listener` on the database's thread after each job from now on, outside any transaction.
    ///
    /// It must not hold a handle of this database, which would never close.
    pub(crate) fn after_each(&self, listener: impl FnMut(&Connection) + Send + 'static) {
        *self.owner.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(listener));
    }

    /// Queues `work` without waiting for it; drops it when the queue is full.
    ///
    /// For bookkeeping at places that cannot wait, such as a stream whose reader has gone.
    pub(crate) fn post(&self, work: impl FnOnce(&mut Connection) + Send + 'static) {
        if let Some(jobs) = &self.owner.jobs {
            let _ = jobs.try_send(Box::new(move |connection| {
                let _ = catch_unwind(AssertUnwindSafe(|| work(connection))); // reported by the panic hook
            }));
        }
    }

    /// Runs `work` with the connection and returns its result.
    ///
    /// A closure that panics takes its caller down, not the database: an open transaction is rolled back.
    ///
    /// # Cancel safety
    ///
    /// A dropped caller does not stop work that was already queued.
    pub(crate) async fn call<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job: Job = Box::new(move |connection| {
            let result = catch_unwind(AssertUnwindSafe(|| work(connection)));
            if result.is_err() && !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK"); // nothing of a broken job may stay
            }
            let _ = reply.send(result); // the caller may have gone
        });
        let jobs = self.owner.jobs.as_ref().expect("the queue lives as long as a handle");
        assert!(jobs.send(job).await.is_ok(), "the database thread lives as long as a handle");
        match answer.await.expect("the database thread answers every job") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// As [`call`](Self::call), but what `work` asks of the connection is broken off with `SQLITE_INTERRUPT` once the work
    /// took longer than `limit`.
    pub(crate) async fn call_within<T, F>(&self, limit: Duration, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> T + Send + 'static,
    {
        let deadline = self.owner.deadline.clone();
        self.call(move |connection| deadline.within(limit, || work(connection))).await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.jobs = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle can be dropped by a job on the owner thread itself; it cannot wait for itself.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn tell(listener: &Mutex<Option<Listener>>, connection: &Connection) {
    if let Some(listener) = listener.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        && connection.is_autocommit()
    {
        let _ = catch_unwind(AssertUnwindSafe(|| listener(connection))); // reported by the panic hook
    }
}

/// Removes the database of `directory`, unless somebody is using it.
pub(crate) fn discard(directory: &Path) -> Result<(), OpenError> {
    let _lock = lock(directory)?;
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::remove_file(directory.join(format!("{FILE}{suffix}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::Directory(error)),
            _ => {}
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory).map_err(OpenError::Directory)?;
    let file = private_file(&directory.join(LOCK))?;
    private_file(&directory.join(FILE))?; // SQLite gives its side files the rights of this one
    let mut left = LOCK_WAIT.as_millis() / LOCK_STEP.as_millis();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if left == 0 => return Err(OpenError::InUse),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_STEP),
            Err(TryLockError::Error(error)) => return Err(OpenError::Directory(error)),
        }
        left -= 1;
    }
}

/// Opens a file for writing, creating it readable by its owner alone.
fn private_file(path: &Path) -> Result<File, OpenError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(OpenError::Directory)
}

/// Adds the SQL functions that triggers and services share.
///
/// `now_pg()` is the time in PostgreSQL's text form; no two calls of one database ever return the same, so
/// two updates of a row never share a version. `new_uuid()` is a random UUID.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let last = AtomicI64::new(0);
    connection.create_scalar_function("now_pg", 0, FunctionFlags::SQLITE_UTF8, move |_| {
        let wall = jiff::Timestamp::now().as_microsecond();
        let earlier = last.fetch_max(wall, Ordering::Relaxed);
        let now = if earlier >= wall { last.fetch_add(1, Ordering::Relaxed) + 1 } else { wall };
        Ok(timestamptz(now))
    })?;
    connection.create_scalar_function("new_uuid", 0, FunctionFlags::SQLITE_UTF8, |_| {
        Ok(uuid::Uuid::new_v4().hyphenated().to_string())
    })
}

/// Prints microseconds since 1970 the way PostgREST prints a `timestamptz` in UTC.
pub(crate) fn timestamptz(microseconds: i64) -> String {
    let seconds = microseconds.div_euclid(1_000_000);
    let fraction = microseconds.rem_euclid(1_000_000);
    let whole = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut text = whole.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push_str("+00:00");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_as_postgresql_prints_it() {
        for (microseconds, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (1_771_542_000_123_456, "2026-02-19T23:00:00.123456+00:00"),
            (1_771_542_000_123_450, "2026-02-19T23:00:00.12345+00:00"),
            (1_771_542_000_500_000, "2026-02-19T23:00:00.5+00:00"),
            (1_771_542_000_000_001, "2026-02-19T23:00:00.000001+00:00"),
            (-1, "1969-12-31T23:59:59.999999+00:00"),
        ] {
            assert_eq!(timestamptz(microseconds), text);
        }
    }

    #[tokio::test]
    async fn no_two_calls_of_the_clock_agree() {
        let db = Db::open(None).unwrap();
        let distinct: i64 = db
            .call(|conn| {
                conn.query_row(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                     SELECT count(DISTINCT t) FROM (SELECT now_pg() || '' AS t FROM n)",
                    [],
                    |row| row.get(0),
                )
            })
            .await
            .unwrap();
        assert_eq!(distinct, 5000);
    }

    #[tokio::test]
    async fn a_statement_that_takes_too_long_is_broken_off_and_the_next_job_has_its_own_time() {
        let db = Db::open(None).unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let limit = Duration::from_millis(20);
        let broken = db
            .call_within(limit, |conn| {
                let transaction = conn.transaction()?;
                transaction.execute_batch("CREATE TABLE t (x)")?;
                transaction.query_row(endless, [], |row| row.get::<_, i64>(0))
            })
            .await
            .unwrap_err();
        assert_eq!(broken.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        let long =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT max(i) FROM n";
        let after = db.call(move |conn| conn.query_row(long, [], |row| row.get::<_, i64>(0))).await.unwrap();
        assert_eq!(after, 200_000, "who has no limit is not broken off");
        let tables = "SELECT count(*) FROM sqlite_schema";
        let left: i64 = db.call(move |conn| conn.query_row(tables, [], |row| row.get(0))).await.unwrap();
        assert_eq!(left, 0, "and nothing of the broken one stays");
    }

    #[tokio::test]
    async fn a_job_that_panics_leaves_no_half_written_transaction() {
        let db = Db::open(None).unwrap();
        db.call(|conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
        let broken = db.clone();
        let panicked = tokio::spawn(async move {
            broken
                .call(|conn| {
                    conn.execute_batch("BEGIN; INSERT INTO t VALUES (1)").unwrap();
                    panic!("broken on purpose");
                })
                .await;
        });
        assert!(panicked.await.unwrap_err().is_panic());
        let rows: i64 = db.call(|conn| conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap();
        assert_eq!(rows, 0);
    }

    #[test]
    fn a_data_directory_has_one_user_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Db::open(Some(directory.path())).unwrap();
        assert!(matches!(Db::open(Some(directory.path())), Err(OpenError::InUse)));
        drop(first);
        assert!(Db::open(Some(directory.path())).is_ok());
    }
}
