//! Resumable uploads over HTTP: begun, broken, taken up again, ended.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cloud_dev::{CloudDev, Fault};
use futures::{StreamExt as _, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    caller::{Answer, send, try_send},
    storage::{Files, files_in},
};

const ENDPOINT: &str = "/storage/v1/upload/resumable";
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// A few kilobytes that repeat nowhere near.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as u8).collect()
}

impl Files {
    fn creation(&self, endpoint: &str, name: &str, length: usize) -> RequestBuilder {
        self.creation_in(endpoint, "workspace-files", &self.key(name), length)
    }

    fn creation_in(&self, endpoint: &str, bucket: &str, name: &str, length: usize) -> RequestBuilder {
        let pairs = [
            ("bucketName", bucket),
            ("objectName", name),
            ("contentType", "text/plain"),
            ("cacheControl", "3600"),
            ("metadata", "{\"a\":\"b\"}"),
        ];
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        self.ask(Method::POST, endpoint)
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length)
            .header("upload-metadata", pairs.join(","))
    }

    /// Creates an upload and returns the path of its address.
    async fn create(&self, name: &str, length: usize) -> String {
        let created = send(self.creation(ENDPOINT, name, length)).await;
        assert_eq!(created.status, 201, "{}", created.text);
        self.path(&created)
    }

    fn path(&self, created: &Answer) -> String {
        created.header("location").unwrap().strip_prefix(self.caller.cloud.url()).unwrap().to_owned()
    }

    fn step(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask(method, path).header("tus-resumable", "1.0.0")
    }

    fn patch(&self, path: &str, offset: usize, chunk: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.step(Method::PATCH, path).header("content-type", OFFSET_STREAM);
        request.header("upload-offset", offset).body(chunk)
    }

    async fn offset(&self, path: &str) -> usize {
        let head = send(self.step(Method::HEAD, path)).await;
        assert_eq!(head.status, 200);
        head.header("upload-offset").unwrap().parse().unwrap()
    }

    async fn bytes(&self, name: &str) -> Vec<u8> {
        let response = self.ask(Method::GET, &format!("/storage/v1/object/{}", self.at(name))).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap().to_vec()
    }
}

#[tokio::test]
async fn the_endpoint_says_what_it_can() {
    let files = Files::with(CloudDev::builder().max_object_bytes(1234)).await;
    let url = format!("{}{ENDPOINT}", files.caller.cloud.url());
    let options = send(files.caller.http.request(Method::OPTIONS, url)).await;
    assert_eq!(
        (options.status, options.header("tus-version"), options.header("tus-max-size")),
        (204, Some("1.0.0"), Some("1234"))
    );
    let extensions: Vec<&str> = options.header("tus-extension").unwrap().split(',').collect();
    for extension in ["creation", "creation-with-upload", "termination", "expiration"] {
        assert!(extensions.contains(&extension), "{extension} in {extensions:?}");
    }
}

#[tokio::test]
async fn chunks_become_an_object_with_the_last_one() {
    let files = Files::start().await;
    let whole = content(20_000);
    let path = files.create("chunked.bin", whole.len()).await;
    assert!(path.starts_with(&format!("{ENDPOINT}/")), "{path}");
    for (number, chunk) in whole.chunks(8192).enumerate() {
        assert_eq!(files.offset(&path).await, number * 8192);
        assert_eq!(files.info(&files.at("chunked.bin")).await.status, 400, "not there before its last byte");
        let answer = send(files.patch(&path, number * 8192, chunk.to_vec())).await;
        let reached = number * 8192 + chunk.len();
        assert_eq!((answer.status, answer.header("upload-offset")), (204, Some(reached.to_string().as_str())));
        assert_eq!(answer.header("tus-complete"), (reached == whole.len()).then_some("1"));
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    }
    assert_eq!(files.bytes("chunked.bin").await, whole);
    let info = files.info(&files.at("chunked.bin")).await.json();
    assert_eq!((&info["cache_control"], &info["metadata"]), (&json!("max-age=3600"), &json!({ "a": "b" })));
    let head = send(files.step(Method::HEAD, &path)).await;
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), (Some("20000"), Some("20000")));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(send(files.step(Method::DELETE, &path)).await.status, 400, "what is finished cannot be cancelled");
}

#[tokio::test]
async fn a_creation_may_bring_the_bytes() {
    let files = Files::start().await;
    for (name, bytes, brought) in [("whole", 5000, 5000), ("half", 5000, 2500), ("empty", 0, 0)] {
        let whole = content(bytes);
        let request = files.creation(ENDPOINT, name, bytes).header("content-type", OFFSET_STREAM);
        let created = send(request.body(whole[..brought].to_vec())).await;
        assert_eq!(
            (created.status, created.header("upload-offset")),
            (201, Some(brought.to_string().as_str())),
            "{name}"
        );
        if brought < bytes {
            assert_eq!(send(files.patch(&files.path(&created), brought, whole[brought..].to_vec())).await.status, 204);
        }
        assert_eq!(files.bytes(name).await, whole);
    }
}

/// A chunk, and the end of the line once the cloud has some of it in its only file.
fn breaking(chunk: Vec<u8>, directory: &Path) -> reqwest::Body {
    let before = stored(directory);
    let directory = directory.to_owned();
    let dead = async move {
        let arrived = async {
            while stored(&directory) == before {
                tokio::task::yield_now().await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(10), arrived).await;
        Err(std::io::Error::other(if arrived.is_ok() { "the line is dead" } else { "nothing arrived" }))
    };
    reqwest::Body::wrap_stream(stream::once(async { Ok(chunk) }).chain(stream::once(dead)))
}

fn stored(directory: &Path) -> u64 {
    std::fs::read_dir(directory.join("storage")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_broken_connection_keeps_what_came() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    let whole = content(600_000);
    let path = files.create("broken.bin", whole.len()).await;
    let mut from = 0;
    for _ in 0..2 {
        let body = breaking(whole[from..from + 200_000].to_vec(), directory.path());
        assert!(try_send(files.patch(&path, from, body)).await.is_err());
        let reached = files.offset(&path).await;
        assert!((from + 1..=from + 200_000).contains(&reached), "{reached} after {from}");
        from = reached;
        for stale in [from - 1, from + 1] {
            let conflict = send(files.patch(&path, stale, whole[stale..].to_vec())).await;
            assert_eq!((conflict.status, conflict.text.as_str()), (409, "Upload-Offset conflict\n"));
        }
    }
    assert_eq!(send(files.patch(&path, from, whole[from..].to_vec())).await.status, 204);
    assert_eq!(files.bytes("broken.bin").await, whole);
}

#[tokio::test]
async fn a_lost_reply_to_the_last_chunk_shows_in_the_offset() {
    let files = Files::start().await;
    let path = files.create("lost.bin", 100).await;
    files.caller.cloud.inject(Fault::lose_reply().on(ENDPOINT).method("PATCH"));
    assert!(try_send(files.patch(&path, 0, content(100))).await.is_err());
    assert_eq!(files.offset(&path).await, 100);
    assert_eq!(files.bytes("lost.bin").await, content(100));
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_of_the_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = || Files::with(CloudDev::builder().data_dir(directory.path()).port(port));
    let files = start().await;
    let whole = content(10_000);
    let path = files.create("long.bin", whole.len()).await;
    assert_eq!(send(files.patch(&path, 0, whole[..4000].to_vec())).await.status, 204);
    files.caller.cloud.shutdown().await;
    let files = start().await;
    assert_eq!(files.offset(&path).await, 4000);
    assert_eq!(send(files.patch(&path, 4000, whole[4000..].to_vec())).await.status, 204);
    assert_eq!(files.bytes("long.bin").await, whole);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    let path = files.create("gone.bin", 100).await;
    assert_eq!(send(files.patch(&path, 0, content(50))).await.status, 204);
    assert_eq!(files_in(directory.path()), 1);
    assert_eq!(send(files.step(Method::DELETE, &path)).await.status, 204);
    assert_eq!(files_in(directory.path()), 0);
    let late = send(files.patch(&path, 50, content(50))).await;
    assert_eq!((late.status, late.text.as_str()), (404, "The file for this url was not found\n"));
}

#[tokio::test]
async fn an_upload_that_took_too_long_is_over() {
    let files = Files::with(CloudDev::builder().upload_lifetime(Duration::ZERO)).await;
    let created = send(files.creation(ENDPOINT, "late.bin", 100)).await;
    assert!(created.header("upload-expires").unwrap().ends_with(" GMT"));
    let late = send(files.patch(&files.path(&created), 0, content(100))).await;
    assert_eq!((late.status, late.text.as_str()), (410, "The file for this url no longer exists\n"));
}

#[tokio::test]
async fn uploads_that_nobody_went_on_with_are_forgotten_with_their_bytes_a_day_later() {
    let directory = tempfile::tempdir().unwrap();
    let lifetime = Duration::from_secs(60);
    let week = Duration::from_secs(7 * 24 * 3_600);
    let builder = CloudDev::builder().access_token_lifetime(week).upload_lifetime(lifetime);
    let files = Files::with(builder.data_dir(directory.path())).await;
    let path = files.create("late.bin", 100).await;
    assert_eq!(send(files.patch(&path, 0, content(50))).await.status, 204);
    for (skew, status, left) in [(61, 410, 1), (24 * 3_600 + 70, 404, 0)] {
        files.caller.cloud.skew_clock(skew);
        let other = files.create("other.bin", 10).await;
        assert_eq!(files_in(directory.path()), left, "{skew} s later");
        assert_eq!(send(files.patch(&path, 50, content(50))).await.status, status);
        assert_eq!(send(files.step(Method::DELETE, &other)).await.status, 204);
    }
}

#[tokio::test]
async fn an_upload_that_is_being_written_is_not_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let builder = CloudDev::builder().access_token_lifetime(Duration::from_secs(7 * 24 * 3_600));
    let files = Files::with(builder.data_dir(directory.path())).await;
    let (whole, path) = (content(100), files.create("slow.bin", 100).await);
    let (first, second) = (whole[..50].to_vec(), whole[50..].to_vec());
    let (go_on, waits) = tokio::sync::oneshot::channel::<()>();
    let rest = async move { waits.await.map(|()| second).map_err(std::io::Error::other) };
    let body = stream::once(async { Ok(first) }).chain(stream::once(rest));
    let writing = tokio::spawn(send(files.patch(&path, 0, reqwest::Body::wrap_stream(body))));
    let arrived = async {
        while stored(directory.path()) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived).await.unwrap();
    files.caller.cloud.skew_clock(3 * 24 * 3_600);
    files.create("other.bin", 10).await;
    go_on.send(()).unwrap();
    assert_eq!(writing.await.unwrap().status, 204);
    assert_eq!(files.bytes("slow.bin").await, whole);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_a_text() {
    let files = Files::start().await;
    files.bucket(json!({ "name": "small", "file_size_limit": "10kb" })).await;
    let create = |name: &str| files.creation(ENDPOINT, name, 10);
    let path = files.create("a", 10).await;
    let step = |method| files.step(method, &path);
    let bare = |method, path: &str| files.ask(method, path);
    for (what, request, status, text) in [
        ("no version", bare(Method::POST, ENDPOINT), 412, "Tus-Resumable Required\n"),
        (
            "no length",
            files.step(Method::POST, ENDPOINT),
            400,
            "Upload-Length or Upload-Defer-Length header required\n",
        ),
        ("bucket", files.creation_in(ENDPOINT, "nowhere", "a", 1), 404, "Bucket not found"),
        ("size", files.creation_in(ENDPOINT, "small", "a", 10_241), 413, "Maximum size exceeded\n"),
        ("huge", files.creation(ENDPOINT, "a", 1 << 40), 413, "Maximum size exceeded\n"),
        (
            "outside",
            files.creation_in(ENDPOINT, "workspace-files", "a", 1),
            403,
            "new row violates row-level security policy",
        ),
        ("no offset", step(Method::PATCH), 403, "Upload-Offset header required\n"),
        ("no type", step(Method::PATCH).header("upload-offset", 0), 403, "Content-Type header required\n"),
        ("offset", files.patch(&path, 1, "x"), 409, "Upload-Offset conflict\n"),
        ("too long", files.patch(&path, 0, "x".repeat(11)), 413, "upload's size exceeded\n"),
        (
            "unknown",
            files.step(Method::DELETE, &format!("{ENDPOINT}/bm90aGluZw")),
            404,
            "The file for this url was not found\n",
        ),
        (
            "deferred",
            files.step(Method::POST, ENDPOINT).header("upload-defer-length", "1"),
            501,
            "creation-defer-length extension is not (yet) supported.\n",
        ),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{what}");
    }
    for (what, request) in [
        ("a way up", create("../../../../escape")),
        ("an umlaut", create("ä")),
        ("metadata", files.step(Method::POST, ENDPOINT).header("upload-length", 1).header("upload-metadata", "a b c")),
    ] {
        assert_eq!(send(request).await.status, 400, "{what}");
    }
    assert_eq!(files.offset(&path).await, 0, "nothing of this counted");
}

#[tokio::test]
async fn who_finishes_first_has_the_name_unless_upsert_comes_with_every_chunk() {
    let files = Files::start().await;
    let (first, second) = (files.create("same", 10).await, files.create("same", 10).await);
    assert_ne!(first, second);
    assert_eq!(send(files.patch(&second, 0, "0123456789")).await.status, 204);
    let late = send(files.patch(&first, 0, "abcdefghij")).await;
    assert_eq!((late.status, late.text.as_str()), (409, "The resource already exists"));
    let created = send(files.creation(ENDPOINT, "same", 10).header("x-upsert", "true")).await;
    let path = files.path(&created);
    assert_eq!(send(files.patch(&path, 0, "ABCDE").header("x-upsert", "true")).await.status, 204);
    assert_eq!(send(files.patch(&path, 5, "FGHIJ")).await.status, 409, "the header was left out");
    assert_eq!(files.bytes("same").await, b"0123456789");
    assert_eq!(send(files.patch(&path, 5, "FGHIJ").header("x-upsert", "true")).await.status, 204);
    assert_eq!(files.bytes("same").await, b"ABCDEFGHIJ");
}

#[tokio::test]
async fn a_token_may_be_renewed_between_chunks() {
    let files = Files::start().await;
    let path = files.create("slow", 10).await;
    assert_eq!(send(files.patch(&path, 0, "01234")).await.status, 204);
    files.caller.cloud.expire_access_tokens();
    let old = send(files.patch(&path, 5, "56789")).await;
    assert_eq!((old.status, old.text_at("/message").as_str()), (400, "\"exp\" claim timestamp check failed"));
    let token = files.caller.token().await;
    let files = Files { token, ..files };
    assert_eq!(send(files.patch(&path, 5, "56789")).await.status, 204);
    assert_eq!(files.bytes("slow").await, b"0123456789");
}

#[tokio::test]
async fn a_signed_upload_is_for_its_object() {
    let files = Files::start().await;
    let offer = async |name: &str| {
        files.json(&format!("/storage/v1/object/upload/sign/{}", files.at(name)), json!({})).await.text_at("/token")
    };
    let (token, other) = (offer("signed").await, offer("other").await);
    let endpoint = format!("{ENDPOINT}/sign");
    let create = |signature: Option<&str>| {
        let request = files.creation(&endpoint, "signed", 4);
        signature.map_or(request.try_clone().unwrap(), |signature| request.header("x-signature", signature))
    };
    for (signature, text) in [
        (None, "Missing x-signature header"),
        (Some("garbage"), "Invalid Compact JWS"),
        (Some(other.as_str()), "The signature does not fit this address"),
    ] {
        let answer = send(create(signature)).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, text));
    }
    let created = send(create(Some(&token))).await;
    let path = files.path(&created);
    assert!(path.starts_with(&format!("{endpoint}/")), "{path}");
    assert_eq!(send(files.patch(&path, 0, "data").header("x-signature", &other)).await.status, 400);
    assert_eq!(send(files.patch(&path, 0, "data").header("x-signature", &token)).await.status, 204);
    assert_eq!(files.bytes("signed").await, b"data");
}

#[tokio::test]
async fn a_chunk_with_another_checksum_does_not_count() {
    let files = Files::start().await;
    let path = files.create("sum", 10).await;
    let chunk = |sum: &str| files.patch(&path, 0, "01234").header("upload-checksum", sum);
    let good = "md5 QQDE1E2pF3JH5EpfwVRneA=="; // the MD5 of `01234`
    for (sum, status) in [("md5 XUFAKrxLKna5cZ2REBfFkg==", 460), ("crc32 AAAA", 400), ("md5", 400), (good, 204)] {
        assert_eq!(files.offset(&path).await, 0, "{sum}");
        assert_eq!(send(chunk(sum)).await.status, status, "{sum}");
    }
    assert_eq!(files.offset(&path).await, 5);
}

#[tokio::test]
async fn a_cloud_can_insist_on_the_size_of_chunks() {
    let files = Files::with(CloudDev::builder().upload_chunk_bytes(6)).await;
    let path = files.create("strict", 10).await;
    assert_eq!(send(files.patch(&path, 0, "01234")).await.status, 400);
    assert_eq!(send(files.patch(&path, 0, "012345")).await.status, 204);
    assert_eq!(send(files.patch(&path, 6, "6789")).await.status, 204, "the last one may be smaller");
    assert_eq!(files.bytes("strict").await, b"0123456789");
}
