//! Memory does not grow with the size of a transfer: eight times the bytes, the same peak.
//!
//! The test starts itself again with a case in its environment. That process moves a sparse file over loopback and tells the
//! most memory that it ever held, as Linux counts it (`VmHWM`).
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use cloud_client::{
    Client,
    storage::{Content, UploadOptions},
};
use tempfile::NamedTempFile;

const CASE: &str = "MEMORY_CASE";
const MEBIBYTE: u64 = 1024 * 1024;
/// The most that eight times the bytes may take, in KiB: a few buffers, and what the allocator keeps.
const SLACK_KIB: u64 = 6 * 1024;

#[test]
fn b01_uploads_take_no_more_memory_for_more_bytes() {
    compare("memory::b01_uploads_take_no_more_memory_for_more_bytes", |len| Box::pin(upload(len, false)));
}

#[test]
fn b01_resumable_uploads_take_no_more_memory_for_more_bytes() {
    compare("memory::b01_resumable_uploads_take_no_more_memory_for_more_bytes", |len| Box::pin(upload(len, true)));
}

#[test]
fn b01_downloads_take_no_more_memory_for_more_bytes() {
    compare("memory::b01_downloads_take_no_more_memory_for_more_bytes", |len| Box::pin(download(len)));
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn compare(test: &str, work: impl Fn(u64) -> Work) {
    if let Ok(len) = std::env::var(CASE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work(len.parse().unwrap()));
        println!("peak {}", peak_kib());
        return;
    }
    let [small, large] = [8, 64].map(|mebibytes| {
        let me = std::env::current_exe().unwrap();
        let size = (mebibytes * MEBIBYTE).to_string();
        let run = Command::new(me).args(["--exact", test, "--nocapture"]).env(CASE, size).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
        let peak = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap_or_else(|| panic!("{said}"));
        peak.parse::<u64>().unwrap()
    });
    assert!(large <= small + SLACK_KIB, "8 MiB took {small} KiB, 64 MiB {large} KiB");
}

/// The most memory this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn bucket(url: &str) -> cloud_client::storage::Bucket {
    Client::builder(url, "sb_publishable_memory").unwrap().build().storage().bucket("files")
}

async fn upload(len: u64, resumable: bool) {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(len).unwrap();
    let content = Content::file(file.path()).await.unwrap();
    let bucket = bucket(&serve(0));
    let sent = if resumable {
        bucket.upload_resumable("a", content, UploadOptions::default()).unwrap().finish().await
    } else {
        bucket.upload("a", content, &UploadOptions::default()).await
    };
    assert_eq!(sent.unwrap().size_bytes, len);
}

async fn download(len: u64) {
    let bucket = bucket(&serve(len));
    let (mut stream, mut read) = (bucket.download("a").open().await.unwrap(), 0);
    while let Some(chunk) = stream.next().await {
        read += chunk.unwrap().len() as u64;
    }
    assert_eq!(read, len);
}

/// A server that throws away what it is sent, takes uploads in chunks, and gives `len` bytes to whoever reads.
fn serve(len: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || while answer(connection.as_ref().unwrap(), len).is_some() {});
        }
    });
    url
}

/// Answers one request; `None` when the client has gone.
fn answer(mut connection: &TcpStream, len: u64) -> Option<()> {
    let mut input = BufReader::with_capacity(64 * 1024, connection);
    let (mut head, mut line) = (Vec::new(), String::new());
    while input.read_line(&mut line).ok()? > 2 {
        head.push(std::mem::take(&mut line).to_ascii_lowercase());
    }
    let number = |name: &str| {
        let value = head.iter().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse::<u64>().ok()
    };
    let sent = number("content-length:").unwrap_or_default();
    std::io::copy(&mut input.by_ref().take(sent), &mut std::io::sink()).ok()?;
    let first = head.first()?;
    let (answer, body) = match first.split(' ').next()? {
        "options" => ("204 No Content\r\ntus-version: 1.0.0\r\ntus-extension: creation\r\n".to_owned(), 0),
        "post" if first.contains("resumable") => ("201 Created\r\nlocation: /upload/resumable/id\r\n".to_owned(), 0),
        "patch" => (format!("204 No Content\r\nupload-offset: {}\r\n", number("upload-offset:")? + sent), 0),
        "get" => ("200 OK\r\n".to_owned(), len),
        _ => ("200 OK\r\n".to_owned(), 0),
    };
    write!(connection, "HTTP/1.1 {answer}content-length: {body}\r\n\r\n").ok()?;
    std::io::copy(&mut std::io::repeat(7).take(body), &mut connection).map(|_| ()).ok()
}
