//! Files through the public API: both ways, over cuts, restarts and tokens that end; `vectors` are the published cases.
mod vectors;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use cloud_dev::{CloudDev, Fault, Running};
use cloud_sdk::{
    Cloud,
    client::storage::{Bucket, Content, ObjectName, UploadOptions},
};

use crate::app::{App, stop};

const STORAGE: &str = "/storage/v1/";
/// More than two chunks of the resumable upload, and no round number.
const LARGE: usize = 13 * 1024 * 1024 + 1;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A person's bucket and the key of `name` in the demo workspace.
struct Files {
    server: Running,
    app: App,
    cloud: Cloud,
    bucket: Bucket,
}

impl Files {
    async fn open() -> Self {
        Self::with(CloudDev::builder()).await
    }

    async fn with(builder: cloud_dev::Builder) -> Self {
        let server = builder.start().await.unwrap();
        let app = App::new(&server);
        let cloud = app.start_signed_in(&server.demo().people[0]).await;
        let bucket = cloud.client().storage().bucket(server.demo().bucket.clone());
        Self { server, app, cloud, bucket }
    }

    fn key(&self, path: &str) -> String {
        format!("{}/{}", self.server.demo().workspace_id, ObjectName::encode(path).unwrap().as_str())
    }

    async fn read(&self, key: &str) -> Vec<u8> {
        self.bucket.download(key).bytes(LARGE).await.unwrap().to_vec()
    }
}

#[tokio::test]
async fn f08_any_file_name_comes_back_with_its_bytes() {
    let files = Files::open().await;
    let names = ["Ümläut %#?.txt", "docs/a=b [1].txt", "日本語/メモ 😀.md", " edge ", "Readme.md", "README.md"];
    for name in names {
        let content = format!("content of {name}").into_bytes();
        files.bucket.upload(&files.key(name), content, &UploadOptions::default()).await.unwrap();
    }
    let prefix = format!("{}/", files.server.demo().workspace_id);
    let mut found = Vec::new();
    for entry in files.bucket.list(prefix.as_str()).page_size(2).all(100).await.unwrap() {
        let name = ObjectName::parse(entry.name.strip_prefix(&prefix).unwrap()).unwrap().decode();
        assert_eq!(files.read(&entry.name).await, format!("content of {name}").into_bytes());
        found.push(name);
    }
    found.sort();
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    stop(files.cloud).await;
}

#[tokio::test]
async fn an_object_is_moved_copied_described_and_removed() {
    let files = Files::open().await;
    let (a, b, c) = (files.key("a.txt"), files.key("b.txt"), files.key("c.txt"));
    let options = UploadOptions::default().content_type("text/plain").cache_control(Duration::from_secs(60));
    files.bucket.upload(&a, "one", &options).await.unwrap();
    let again = files.bucket.upload(&a, "two", &options).await.unwrap_err();
    assert_eq!(again.code().as_str(), "api.conflict");
    files.bucket.upload(&a, "two", &options.upsert()).await.unwrap();

    let info = files.bucket.info(&a).await.unwrap();
    assert_eq!((info.size, info.content_type.as_deref()), (Some(3), Some("text/plain")));
    files.bucket.move_to(&a, &b).await.unwrap();
    files.bucket.copy(&b, &c).await.unwrap();
    assert_eq!(files.bucket.copy(&b, &c).await.unwrap_err().code().as_str(), "api.conflict");
    files.bucket.copy_over(&b, &c).await.unwrap();
    assert!(!files.bucket.exists(&a).await.unwrap());
    assert_eq!((files.read(&b).await, files.read(&c).await), (b"two".to_vec(), b"two".to_vec()));

    let mut removed = files.bucket.remove([&a, &b, &c]).await.unwrap();
    removed.sort();
    assert_eq!(removed, [b.clone(), c]);
    assert_eq!(files.bucket.download(&b).open().await.unwrap_err().code().as_str(), "api.not_found");
    stop(files.cloud).await;
}

#[tokio::test]
async fn a_stranger_uploads_and_reads_by_signed_permissions_only() {
    let files = Files::open().await;
    let stranger = cloud_sdk::client::Client::builder(files.server.url(), files.server.publishable_key()).unwrap();
    let stranger = stranger.build().storage().bucket(files.server.demo().bucket.clone());
    let key = files.key("gift ?.txt");
    assert!(stranger.upload(&key, "x", &UploadOptions::default()).await.is_err());

    let permission = files.bucket.sign_upload(&key).await.unwrap();
    stranger.upload_signed(&permission, "for you", &UploadOptions::default()).await.unwrap();
    assert!(stranger.download(&key).open().await.is_err());
    let link = files.bucket.sign_download(&key, Duration::from_secs(60)).await.unwrap();
    assert_eq!(stranger.download_signed(&link).bytes(100).await.unwrap(), "for you");
    let links = files.bucket.sign_downloads([key, files.key("none")], Duration::from_secs(60)).await.unwrap();
    assert!(links[0].is_ok() && links[1].is_err());
    stop(files.cloud).await;
}

#[tokio::test]
async fn a_large_file_goes_up_and_down_by_streams_with_its_progress_told() {
    let files = Files::open().await;
    let (key, content) = (files.key("large.bin"), bytes(LARGE));
    let (local, back) = (files.app.home.path().join("large.bin"), files.app.home.path().join("back.bin"));
    std::fs::write(&local, &content).unwrap();
    let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (ears, more_ears) = (Arc::clone(&up), Arc::clone(&down));
    let options = UploadOptions::default().on_progress(move |progress| ears.store(progress.done_bytes, SeqCst));
    files.bucket.upload(&key, Content::file(&local).await.unwrap(), &options).await.unwrap();
    assert_eq!(up.load(SeqCst), LARGE as u64);

    // Cut twice on the way down, and taken up again each time.
    files.server.inject(Fault::cut_body(1_000_000).on(STORAGE).method("GET").times(2));
    let download = files.bucket.download(&key);
    download.on_progress(move |progress| more_ears.store(progress.done_bytes, SeqCst)).to_file(&back).await.unwrap();
    assert!(std::fs::read(&back).unwrap() == content, "the bytes are the same");
    assert_eq!(down.load(SeqCst), LARGE as u64);
    let part = files.bucket.download(&key).from(LARGE as u64 - 5).bytes(10).await.unwrap();
    assert_eq!(part, content.get(LARGE - 5..).unwrap());
    stop(files.cloud).await;
}

#[tokio::test]
async fn a_resumable_upload_outlives_the_process_lost_answers_and_its_token() {
    let files = Files::open().await;
    let (key, content) = (files.key("large.bin"), bytes(LARGE));
    let begin = |bucket: &Bucket| {
        bucket.upload_resumable(&key, content.clone(), UploadOptions::default()).unwrap().chunk_bytes(1024 * 1024)
    };
    let mut upload = begin(&files.bucket);
    upload.advance().await.unwrap();
    files.server.inject(Fault::lose_reply().on(STORAGE).method("PATCH").times(2));
    upload.advance().await.unwrap();
    files.server.inject(Fault::lose_request().on(STORAGE).method("PATCH").times(1));
    let ticket = upload.advance().await.unwrap().unwrap();
    assert!(ticket.offset_bytes > 0 && ticket.offset_bytes < LARGE as u64);
    let text = serde_json::to_string(&ticket).unwrap();
    drop(upload);
    stop(files.cloud).await;

    // Another process, whose token ends in the middle.
    let cloud = files.app.start_signed_in(&files.server.demo().people[0]).await;
    let bucket = cloud.client().storage().bucket(files.server.demo().bucket.clone());
    let mut upload = begin(&bucket).resume(&serde_json::from_str(&text).unwrap()).unwrap();
    upload.advance().await.unwrap();
    files.server.expire_access_tokens();
    while upload.advance().await.unwrap().is_some() {}
    let back = bucket.download(&key).bytes(LARGE).await.unwrap();
    assert!(back == content, "the bytes are the same");
    stop(cloud).await;
}

#[tokio::test]
async fn a_lost_answer_to_the_last_chunk_is_a_success_and_a_taken_key_is_not() {
    let files = Files::open().await;
    let (key, content) = (files.key("a.bin"), bytes(3000));
    let begin = |content: Vec<u8>| {
        files.bucket.upload_resumable(&key, content, UploadOptions::default()).unwrap().chunk_bytes(2000)
    };
    files.server.inject(Fault::lose_reply().on(STORAGE).method("PATCH").after(1).times(1));
    begin(content.clone()).finish().await.unwrap();
    assert!(files.read(&key).await == content);

    let error = begin(bytes(2999)).finish().await.unwrap_err();
    assert_eq!(error.code().as_str(), "api.conflict");
    assert!(files.read(&key).await == content, "what was there stays");

    let other = files.key("b.bin");
    let mut left = files.bucket.upload_resumable(&other, content, UploadOptions::default()).unwrap().chunk_bytes(2000);
    let ticket = left.advance().await.unwrap().unwrap();
    files.bucket.terminate(&ticket).await.unwrap();
    files.bucket.terminate(&ticket).await.unwrap();
    stop(files.cloud).await;
}
