//! The server, on threads of its own: it is in this process by chance, and what it or its libraries write to a log of what
//! they get is no log of the SDK's.
use std::sync::OnceLock;

use cloud_dev::{Builder, Running};
use tokio::runtime::{self, Runtime};

const THREAD: &str = "the other side";

/// Starts a cloud whose log is kept apart.
pub(crate) async fn start(cloud: Builder) -> Running {
    static THREADS: OnceLock<Runtime> = OnceLock::new();
    let threads = THREADS.get_or_init(|| {
        let mut threads = runtime::Builder::new_multi_thread();
        threads.worker_threads(1).thread_name(THREAD).enable_all().build().unwrap()
    });
    threads.spawn(cloud.start()).await.unwrap().unwrap()
}

/// Whether the server is at work on this thread.
pub(crate) fn is_here() -> bool {
    std::thread::current().name() == Some(THREAD)
}
