//! The SDK's resumable upload to a server of another author, which is killed and started again.
//!
//! File → [`cloud_sdk::client::storage`] → `js/tus-server.mjs` (`@tus/server`, the library that Supabase Storage
//! takes uploads with) → a folder, where the bytes are compared. The server knows neither people nor buckets, so
//! rights are not in question here.
//! Wire source: TUS 1.0.0 as `@tus/server` 2.4 speaks it.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use cloud_sdk::client::{
    Client,
    storage::{Bucket, Content, UploadOptions, tus::CHUNK_BYTES},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    sync::Notify,
    time::timeout,
};

use crate::{clients::Clients, lane::skip};

/// How long the server may take to start or to end, and an upload to be done.
const LIMIT: Duration = Duration::from_secs(40);

/// Three chunks of 6 MiB and a bit.
const LARGE: usize = 20 * 1024 * 1024 + 7;

/// The largest upload that the server takes, in bytes.
const SERVER_LIMIT: usize = 32 * 1024 * 1024;

/// How often to look at the server's file.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Somewhere in the second chunk.
const KILL_AT: u64 = 8 * 1024 * 1024;

/// `@tus/server` on a folder, always at the same port.
#[derive(Debug)]
struct Server {
    clients: &'static Clients,
    folder: TempDir,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// `None` where it cannot be installed; that was said then.
    async fn start() -> Option<Self> {
        let clients = match Clients::install().await {
            Ok(clients) => clients,
            Err(reason) => {
                skip("the upload to @tus/server", reason);
                return None;
            }
        };
        let mut server = Self { clients, folder: tempfile::tempdir().unwrap(), port: 0, child: Mutex::default() };
        server.port = server.spawn().await;
        Some(server)
    }

    /// Starts it and gives its port.
    async fn spawn(&self) -> u16 {
        let mut script = self.clients.script("tus-server.mjs");
        script.arg(self.folder.path()).args([self.port.to_string(), SERVER_LIMIT.to_string()]);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(LIMIT, lines.next_line()).await.expect("@tus/server should be there by now").unwrap();
        *self.child.lock().unwrap() = Some(child);
        line.expect("@tus/server says its port").parse().unwrap()
    }

    /// Ends it as a power cut would.
    fn kill(&self) {
        self.child.lock().unwrap().as_mut().unwrap().start_kill().unwrap();
    }

    /// Stops the thread that sends, until this much of what it sent is in the server's file.
    fn hold_until_it_has(&self, len: u64) {
        let has = || self.files(false).iter().any(|file| fs::metadata(file).is_ok_and(|known| known.len() >= len));
        for _ in 0..LIMIT.as_millis() / LOOK_INTERVAL.as_millis() {
            if has() {
                return;
            }
            std::thread::park_timeout(LOOK_INTERVAL);
        }
    }

    async fn restart(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        let end = timeout(LIMIT, child.wait()).await.expect("@tus/server should be gone by now").unwrap();
        assert!(!end.success(), "it was killed");
        assert_eq!(self.spawn().await, self.port);
    }

    /// A bucket of a client that knows nothing yet.
    fn bucket(&self) -> Bucket {
        let client = Client::builder(&format!("http://127.0.0.1:{}", self.port), "sb_publishable_of_nobody").unwrap();
        client.build().storage().bucket("workspace-files")
    }

    /// The files of its folder: what was uploaded, or what is known about it.
    fn files(&self, known: bool) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|kind| kind == "json") == known).collect()
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[tokio::test]
async fn an_upload_outlives_a_server_of_another_author_that_is_killed_twice() {
    let Some(server) = Server::start().await else { return };
    let server = Arc::new(server);
    let (content, file) = (bytes(LARGE), tempfile::NamedTempFile::new().unwrap());
    fs::write(file.path(), &content).unwrap();
    let source = Content::file(file.path()).await.unwrap();

    // Killed while a chunk is on its way: the upload finds its place by itself.
    let (once, killed) = (AtomicBool::new(false), Arc::new(Notify::new()));
    let options = UploadOptions::default().content_type("application/x-large").on_progress({
        let (server, killed) = (Arc::clone(&server), Arc::clone(&killed));
        move |progress| {
            if progress.done_bytes > KILL_AT && !once.swap(true, SeqCst) {
                server.hold_until_it_has(CHUNK_BYTES + 1);
                server.kill();
                killed.notify_one();
            }
        }
    });
    let mut upload = server.bucket().upload_resumable("ws/large.bin", source.clone(), options).unwrap();
    let sending = async {
        loop {
            let ticket = upload.advance().await.unwrap().expect("not everything was sent yet");
            if ticket.offset_bytes > KILL_AT {
                return ticket;
            }
        }
    };
    let restarting = async {
        killed.notified().await;
        server.restart().await;
        fs::metadata(&server.files(false)[0]).unwrap().len()
    };
    let (ticket, kept) = timeout(LIMIT, async { tokio::join!(sending, restarting) }).await.expect("it should go on");
    println!("@tus/server had {kept} bytes when it was killed");
    assert!((CHUNK_BYTES + 1..2 * CHUNK_BYTES).contains(&kept), "{kept}");
    drop(upload);

    // Killed again, and the sender's process has ended as well: another one goes on with the ticket.
    server.kill();
    server.restart().await;
    let text = serde_json::to_string(&ticket).unwrap();
    let upload = server.bucket().upload_resumable("ws/large.bin", source, UploadOptions::default()).unwrap();
    let upload = upload.resume(&serde_json::from_str(&text).unwrap()).unwrap();
    let uploaded = timeout(LIMIT, upload.finish()).await.expect("the rest should be there by now").unwrap();
    assert_eq!((uploaded.key.as_str(), uploaded.size_bytes), ("ws/large.bin", LARGE as u64));

    let [stored] = server.files(false).try_into().expect("nothing was begun anew");
    assert!(fs::read(stored).unwrap() == content, "other bytes arrived");
    let known: Value = serde_json::from_slice(&fs::read(&server.files(true)[0]).unwrap()).unwrap();
    assert_eq!(known["metadata"]["bucketName"], "workspace-files");
    assert_eq!(known["metadata"]["objectName"], "ws/large.bin");
    assert_eq!(known["metadata"]["contentType"], "application/x-large");
}

#[tokio::test]
async fn what_another_author_refuses_has_the_codes_of_the_sdk() {
    let Some(server) = Server::start().await else { return };
    let bucket = server.bucket();
    let start = |len| bucket.upload_resumable("ws/a.bin", bytes(len), UploadOptions::default()).unwrap();

    let error = start(SERVER_LIMIT + 1).finish().await.unwrap_err();
    assert_eq!(error.code().as_str(), "storage.too_large");
    assert_eq!(server.files(false), Vec::<PathBuf>::new());

    // Given up: the bytes are gone, and giving up once more is no error.
    let mut upload = start(LARGE);
    while upload.advance().await.unwrap().unwrap().offset_bytes == 0 {}
    let ticket = upload.ticket().unwrap();
    for _ in 0..2 {
        bucket.terminate(&ticket).await.unwrap();
        assert_eq!(server.files(false), Vec::<PathBuf>::new());
    }
    // Whoever still has the ticket begins anew.
    timeout(LIMIT, start(LARGE).resume(&ticket).unwrap().finish()).await.expect("it should be there").unwrap();
    assert!(fs::read(&server.files(false)[0]).unwrap() == bytes(LARGE), "other bytes arrived");
}
