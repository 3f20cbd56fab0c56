//! What a transfer costs above the bare HTTP client: 64 MiB up and down over loopback, ours and plain reqwest.
//!
//! Compare the two lines of each group; ours should reach nine tenths of the plain one. The server throws bodies
//! away and answers `GET` with 64 MiB from memory.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
mod server;

use std::time::Duration;

use bytes::Bytes;
use cloud_client::{
    Client,
    storage::{Bucket, UploadOptions},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;

const SIZE: usize = 64 * 1024 * 1024;

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
    let url = server::serve(vec![7_u8; SIZE], br#"{"Id":"1","Key":"bench/a"}"#);
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
