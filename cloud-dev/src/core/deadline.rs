//! How long a job may keep the database.
//!
//! [`Deadline::install`] has SQLite look at the time every so many instructions; [`Deadline::within`] says when the job
//! under way has had its. Between jobs, and in jobs without a limit, nothing is measured.
//! Wire source: PostgreSQL `statement_timeout`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

/// Instructions of SQLite's machine between two looks.
const STRIDE: i32 = 1_000;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// When the job under way has had its time; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Deadline {
    began: Instant,
    /// Milliseconds after `began`, or [`NEVER`].
    over: Arc<AtomicU64>,
}

impl Deadline {
    /// A deadline for what `connection` does.
    pub(super) fn install(connection: &mut Connection) -> Self {
        let deadline = Self { began: Instant::now(), over: Arc::new(AtomicU64::new(NEVER)) };
        let looked_at = deadline.clone();
        // Whether it tells of failures depends on the version of the driver; a connection of one's own has none.
        let _ = connection.progress_handler(STRIDE, Some(move || looked_at.is_over()));
        deadline
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER)
    }

    fn is_over(&self) -> bool {
        let over = self.over.load(Ordering::Relaxed);
        over != NEVER && self.millis() >= over
    }

    /// Runs `work`, in which statements end with `SQLITE_INTERRUPT` once `limit` is over.
    pub(super) fn within<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        struct Lifted<'d>(&'d AtomicU64);

        impl Drop for Lifted<'_> {
            fn drop(&mut self) {
                self.0.store(NEVER, Ordering::Relaxed);
            }
        }

        let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER);
        self.over.store(self.millis().saturating_add(limit), Ordering::Relaxed);
        let _lifted = Lifted(&self.over); // also when the work panics
        work()
    }
}
