//! What a transfer costs above the bare HTTP client: 64 MiB up and down over loopback, ours and plain reqwest.
//!
//! Compare the two lines of each group; ours should reach nine tenths of the plain one. The server below reads requests
//! by their length, throws bodies away and answers `GET` with 64 MiB from memory.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cloud_client::{
    Client,
    storage::{Bucket, UploadOptions},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;

const SIZE: usize = 64 * 1024 * 1024;

/// Serves connections, one thread each, for as long as the process lives.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let object = Arc::new(vec![7_u8; SIZE]);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let object = Arc::clone(&object);
            std::thread::spawn(move || answer(connection.unwrap(), &object));
        }
    });
    url
}

/// Answers requests until the client goes.
fn answer(connection: TcpStream, object: &[u8]) {
    connection.set_nodelay(true).unwrap();
    let mut output = connection.try_clone().unwrap();
    let mut input = BufReader::with_capacity(256 * 1024, connection);
    let mut sink = vec![0; 256 * 1024];
    loop {
        let (mut length, mut is_get, mut line) = (0_usize, false, String::new());
        loop {
            line.clear();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim_end().to_ascii_lowercase();
            is_get |= lower.starts_with("get ");
            if let Some(text) = lower.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if lower.is_empty() {
                break;
            }
        }
        while length > 0 {
            let room = length.min(sink.len());
            let Ok(read @ 1..) = input.read(sink.get_mut(..room).unwrap()) else { return };
            length -= read;
        }
        let body: &[u8] = if is_get { object } else { br#"{"Id":"1","Key":"bench/a"}"# };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"1\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if output.write_all(head.as_bytes()).and_then(|()| output.write_all(body)).is_err() {
            return;
        }
    }
}

async fn upload(bucket: &Bucket, bytes: Bytes) -> usize {
    let sent = bucket.upload("a", bytes, &UploadOptions::default().upsert()).await.unwrap();
    usize::try_from(sent.size_bytes).unwrap()
}

async fn plain_upload(client: &reqwest::Client, url: &str, bytes: Bytes) -> usize {
    let size = bytes.len();
    let answer = client.post(format!("{url}/storage/v1/object/bench/a")).body(bytes).send().await.unwrap();
    answer.error_for_status().unwrap().bytes().await.unwrap();
    size
}

async fn download(bucket: &Bucket) -> usize {
    let (mut stream, mut size) = (bucket.download("a").open().await.unwrap(), 0);
    while let Some(chunk) = stream.next().await {
        size += chunk.unwrap().len();
    }
    size
}

async fn plain_download(client: &reqwest::Client, url: &str) -> usize {
    let answer = client.get(format!("{url}/storage/v1/object/bench/a")).send().await.unwrap();
    let (mut stream, mut size) = (answer.bytes_stream(), 0);
    while let Some(chunk) = stream.next().await {
        size += chunk.unwrap().len();
    }
    size
}

fn transfer(criterion: &mut Criterion) {
    // The plain client takes the process-wide provider; another bench of this process may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bucket = Client::builder(&url, "sb_publishable_bench").unwrap().build().storage().bucket("bench");
    let plain = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
    let bytes = Bytes::from(vec![9_u8; SIZE]);

    let mut group = criterion.benchmark_group("transfer/64_mib_up");
    group.throughput(Throughput::Bytes(SIZE as u64));
    assert_eq!(runtime.block_on(upload(&bucket, bytes.clone())), SIZE);
    group.bench_function("ours", |bencher| bencher.iter(|| runtime.block_on(upload(&bucket, bytes.clone()))));
    group.bench_function("reqwest", |bencher| {
        bencher.iter(|| runtime.block_on(plain_upload(&plain, &url, bytes.clone())));
    });
    group.finish();

    let mut group = criterion.benchmark_group("transfer/64_mib_down");
    group.throughput(Throughput::Bytes(SIZE as u64));
    assert_eq!(runtime.block_on(download(&bucket)), SIZE);
    group.bench_function("ours", |bencher| bencher.iter(|| runtime.block_on(download(&bucket))));
    group.bench_function("reqwest", |bencher| bencher.iter(|| runtime.block_on(plain_download(&plain, &url))));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = short(); targets = transfer }
criterion_main!(benches);
