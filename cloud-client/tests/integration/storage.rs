//! Files through a scripted transport: what goes over the wire, and what becomes of each answer.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use cloud_client::{
    Error, ErrorCode,
    error::codes,
    storage::{Bucket, Content, Source, UploadOptions},
    testing::{Scripted, Step},
    transport::Body,
};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::{Session, client};

/// The body of a storage failure, as servers from July 2026 on spell it.
pub(crate) fn failure(number: &str, error: &str, message: &str, code: &str) -> Step {
    let body = json!({"statusCode": number, "error": error, "message": message, "code": code});
    Step::json(400, &body.to_string())
}

pub(crate) fn missing() -> Step {
    failure("404", "not_found", "Object not found", "NoSuchKey")
}

pub(crate) fn taken() -> Step {
    failure("409", "Duplicate", "The resource already exists", "KeyAlreadyExists")
}

pub(crate) fn bucket(scripted: &Scripted) -> Bucket {
    client(scripted).storage().bucket("workspace-files")
}

fn stored() -> Step {
    Step::json(200, r#"{"Id":"6e0f","Key":"workspace-files/ws/a.txt"}"#)
}

fn targets(scripted: &Scripted) -> Vec<String> {
    scripted.sent().into_iter().map(|sent| sent.target).collect()
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_the_bytes_with_everything_else_in_headers() {
    let scripted = Scripted::new([stored()]);
    let Value::Object(values) = json!({"test1": "test1", "test2": "test2"}) else { unreachable!() };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let options = UploadOptions::default()
        .content_type("text/plain")
        .cache_control(Duration::from_secs(3600))
        .metadata(values)
        .on_progress(move |progress| ears.lock().unwrap().push((progress.done_bytes, progress.total_bytes)));
    let bytes = vec![0xff; 600_000];
    let uploaded = bucket(&scripted).upload("/ws//a b?.txt", bytes.clone(), &options).await.unwrap();
    assert_eq!((uploaded.key.as_str(), uploaded.size_bytes), ("ws/a b?.txt", 600_000));
    assert_eq!(uploaded.id.as_deref(), Some("6e0f"));
    let sent = &scripted.sent()[0];
    assert_eq!(sent.target, "POST /storage/v1/object/workspace-files/ws/a%20b%3F.txt");
    assert_eq!(sent.bytes, bytes);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("cache-control", "max-age=3600"),
        ("x-upsert", "false"),
        ("x-metadata", "eyJ0ZXN0MSI6InRlc3QxIiwidGVzdDIiOiJ0ZXN0MiJ9"),
    ] {
        assert_eq!(sent.header(name), value);
    }
    let heard = heard.lock().unwrap();
    assert!(heard.is_sorted() && heard.len() > 1);
    assert_eq!(heard.last(), Some(&(600_000, Some(600_000))));
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_says_why_and_is_not_repeated() {
    for (step, code) in [
        (failure("413", "Payload too large", "x", "EntityTooLarge"), codes::FILE_TOO_LARGE),
        (
            failure("403", "Unauthorized", "new row violates row-level security policy", "AccessDenied"),
            codes::FORBIDDEN,
        ),
        (
            failure("415", "invalid_mime_type", "mime type image/png is not supported", "InvalidMimeType"),
            codes::TYPE_REFUSED,
        ),
        (failure("400", "InvalidKey", "Invalid key: x", "InvalidKey"), codes::NAME_INVALID),
        (taken(), codes::CONFLICT),
    ] {
        let scripted = Scripted::new([step]);
        let error = bucket(&scripted).upload("a.txt", "x", &UploadOptions::default()).await.unwrap_err();
        assert_eq!((error.code(), scripted.sent().len()), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_the_service_refuses_are_refused_before_anything_is_sent() {
    let scripted = Scripted::default();
    let files = bucket(&scripted);
    let options = UploadOptions::default();
    for key in ["", "ä.txt", "a%20b", "a/../b", "x\ty"] {
        assert_eq!(files.upload(key, "x", &options).await.unwrap_err().code(), codes::NAME_INVALID);
        assert_eq!(files.download(key).open().await.unwrap_err().code(), codes::NAME_INVALID);
        assert_eq!(files.move_to("a", key).await.unwrap_err().code(), codes::NAME_INVALID);
        assert_eq!(files.remove([key]).await.unwrap_err().code(), codes::NAME_INVALID);
        assert_eq!(files.upload_resumable(key, "x", options.clone()).unwrap_err().code(), codes::NAME_INVALID);
    }
    assert!(scripted.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn t02_an_upload_whose_answer_was_lost_is_a_success_only_if_the_same_bytes_are_there() {
    let info = |size: u64| Step::json(200, &json!({"id": "1", "size": size}).to_string());
    let run = async |steps: Vec<Step>| {
        let scripted = Scripted::new(steps);
        let result = bucket(&scripted).upload("a.txt", "mine", &UploadOptions::default()).await;
        (result.map(|uploaded| uploaded.size_bytes).map_err(|error| error.code()), targets(&scripted).len())
    };
    let lost = || Step::fail(codes::CUT);
    assert_eq!(run(vec![lost(), taken(), info(4), Step::answer(200, "text/plain", "mine")]).await, (Ok(4), 4));
    assert_eq!(run(vec![lost(), taken(), info(9)]).await, (Err(codes::CONFLICT), 3));
    let other = Step::answer(200, "text/plain", "hers");
    assert_eq!(run(vec![lost(), taken(), info(4), other]).await, (Err(codes::CONFLICT), 4));
    assert_eq!(run(vec![lost(), taken(), missing()]).await, (Err(codes::CONFLICT), 3));
    assert_eq!(run(vec![lost(), stored()]).await, (Ok(4), 2));
    // Without a lost answer, what is there is somebody else's, whatever it holds.
    assert_eq!(run(vec![taken()]).await, (Err(codes::CONFLICT), 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_in_the_middle_is_replaced_and_the_bytes_sent_again() {
    let over = failure("403", "Unauthorized", "\"exp\" claim timestamp check failed", "AccessDenied");
    let scripted = Scripted::new([over, stored()]);
    let files = client(&scripted).with_token_source(Arc::new(Session::default())).storage().bucket("workspace-files");
    files.upload("a.txt", "whole", &UploadOptions::default()).await.unwrap();
    let sent = scripted.sent();
    assert_eq!((sent[0].body.as_str(), sent[1].body.as_str()), ("whole", "whole"));
    assert_eq!(sent[1].header("authorization"), "Bearer token-1");
}

/// Says that it has more than it gives.
#[derive(Debug)]
struct Shrunk;

impl Source for Shrunk {
    fn len_bytes(&self) -> u64 {
        10
    }

    fn fingerprint(&self) -> String {
        "shrunk".to_owned()
    }

    fn read(&self, _: u64, _: u64) -> Body {
        futures::stream::iter([Ok(Bytes::from_static(b"half"))]).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn t10_content_that_ends_early_is_an_error_and_is_not_repeated() {
    let scripted = Scripted::new([stored()]);
    let error = bucket(&scripted).upload("a", Content::new(Shrunk), &UploadOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), scripted.sent().len()), (codes::SOURCE_CHANGED, 0));
}

fn whole(body: &str) -> Step {
    Step::answer(200, "text/plain", body).header("etag", "\"v1\"").header("content-length", "10")
}

fn part(range: &str, body: &str) -> Step {
    Step::answer(206, "text/plain", body).header("etag", "\"v1\"").header("content-range", range)
}

async fn read(steps: Vec<Step>) -> (Result<Bytes, ErrorCode>, Scripted) {
    let scripted = Scripted::new(steps);
    let result = bucket(&scripted).download("a.txt").bytes(1000).await;
    (result.map_err(|error| error.code()), scripted)
}

#[tokio::test(start_paused = true)]
async fn a_cut_download_goes_on_where_it_stopped_and_only_with_the_same_object() {
    let (bytes, scripted) = read(vec![
        whole("0123").then_cut(),
        Step::fail(codes::CONNECT),
        part("bytes 4-9/10", "45").then_cut(),
        part("bytes 6-9/10", "6789"),
    ])
    .await;
    assert_eq!(bytes.unwrap(), "0123456789");
    let sent = scripted.sent();
    assert_eq!(sent[0].target, "GET /storage/v1/object/workspace-files/a.txt");
    assert_eq!((sent[0].header("range"), sent[0].header("if-range")), ("", ""));
    assert_eq!((sent[2].header("range"), sent[2].header("if-range")), ("bytes=4-9", "\"v1\""));
    assert_eq!(sent[3].header("range"), "bytes=6-9");

    // A server without ranges begins at the first byte.
    let (bytes, _) = read(vec![whole("0123").then_cut(), whole("0123456789")]).await;
    assert_eq!(bytes.unwrap(), "0123456789");
    // Another object by now.
    let (bytes, _) = read(vec![whole("0123").then_cut(), whole("abcdefghij").header("etag", "\"v2\"")]).await;
    assert_eq!(bytes, Err(codes::OBJECT_CHANGED));
    let other = part("bytes 4-9/10", "efghij").header("etag", "\"v2\"");
    assert_eq!(read(vec![whole("0123").then_cut(), other]).await.0, Err(codes::OBJECT_CHANGED));
    // A hole.
    assert_eq!(read(vec![whole("0123").then_cut(), part("bytes 5-9/10", "56789")]).await.0, Err(codes::UNREADABLE));
}

#[tokio::test(start_paused = true)]
async fn t10_a_body_shorter_than_announced_is_never_a_success() {
    let bare = Step::answer(200, "text/plain", "0123").header("content-length", "10");
    assert_eq!(read(vec![bare]).await.0, Err(codes::CUT));
    let short = std::iter::once(whole("0123")).chain((0..20).map(|_| part("bytes 4-9/10", "")));
    let (bytes, scripted) = read(short.collect()).await;
    assert_eq!(bytes, Err(codes::CUT));
    assert_eq!(scripted.sent().len(), 4, "tries without a byte are counted");
}

#[tokio::test(start_paused = true)]
async fn a_range_is_asked_for_and_cut_out_when_the_server_ignores_it() {
    let scripted = Scripted::new([part("bytes 2-5/10", "2345"), whole("0123456789"), part("bytes 8-9/10", "89")]);
    let files = bucket(&scripted);
    assert_eq!(files.download("a").from(2).take(4).bytes(10).await.unwrap(), "2345");
    assert_eq!(files.download("a").from(2).take(4).bytes(10).await.unwrap(), "2345");
    assert_eq!(files.download("a").from(8).take(92).bytes(10).await.unwrap(), "89");
    assert_eq!(files.download("a").from(8).take(0).bytes(10).await.unwrap(), "");
    let ranges: Vec<_> = scripted.sent().iter().map(|sent| sent.header("range").to_owned()).collect();
    assert_eq!(ranges, ["bytes=2-5", "bytes=2-5", "bytes=8-99"]);
}

#[tokio::test(start_paused = true)]
async fn t05_a_download_into_memory_has_a_limit() {
    let scripted = Scripted::new([whole("0123456789")]);
    assert_eq!(bucket(&scripted).download("a").bytes(9).await.unwrap_err().code(), codes::TOO_LARGE);
}

#[tokio::test]
async fn f01_a_file_holds_the_old_bytes_or_all_of_the_new_ones() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.txt");
    std::fs::write(&path, "old").unwrap();
    let scripted = Scripted::new([whole("0123").then_cut(), missing()]);
    assert_eq!(bucket(&scripted).download("a").to_file(&path).await.unwrap_err().code(), codes::NOT_FOUND);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    // The object changes while it is read: it is read anew.
    let next = || whole("abcdefghij").header("etag", "\"v2\"");
    scripted.then([whole("0123").then_cut(), next(), next()]);
    let head = bucket(&scripted).download("a").to_file(&path).await.unwrap();
    assert_eq!((head.size_bytes, head.etag.as_deref()), (Some(10), Some("\"v2\"")));
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdefghij");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_absent_and_a_refusal_is_no_answer() {
    let scripted = Scripted::new([Step::json(200, r#"{"id":"1","size":3,"metadata":{"a":1},"new":true}"#), missing()]);
    let files = bucket(&scripted);
    assert!(files.exists("a").await.unwrap());
    assert!(!files.exists("a").await.unwrap());
    scripted.then([Step::json(400, r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#)]);
    assert!(!files.exists("a").await.unwrap(), "servers before July 2026 give no code");
    scripted.then([failure("403", "Unauthorized", "new row violates", "AccessDenied")]);
    assert_eq!(files.exists("a").await.unwrap_err().code(), codes::FORBIDDEN);
    scripted.then([Step::json(200, r#"{"id":"1","size":3,"metadata":{"a":1},"new":true}"#)]);
    let info = files.info("a").await.unwrap();
    assert_eq!(
        (info.size, info.metadata.unwrap()["a"].as_u64(), info.extra["new"].as_bool()),
        (Some(3), Some(1), Some(true))
    );
    assert_eq!(targets(&scripted)[0], "GET /storage/v1/object/info/workspace-files/a");
}

#[tokio::test(start_paused = true)]
async fn a_backend_failure_is_repeated_where_that_is_safe() {
    let broken = || {
        Step::json(
            500,
            r#"{"statusCode":"500","code":"S3Error","error":"Unknown error","message":"S3ServiceException"}"#,
        )
    };
    let scripted = Scripted::new([broken(), stored()]);
    bucket(&scripted).upload("a", "x", &UploadOptions::default().upsert()).await.unwrap();
    assert_eq!(scripted.sent()[1].header("x-upsert"), "true");
    let scripted = Scripted::new([broken(), broken()]);
    let error = bucket(&scripted).copy("a", "b").await.unwrap_err();
    assert_eq!((error.code(), scripted.sent().len()), (codes::UNAVAILABLE, 1));
}

#[tokio::test(start_paused = true)]
async fn t02_a_move_is_sent_once_and_a_lost_answer_is_settled_by_looking() {
    let there = || Step::json(200, r#"{"id":"1"}"#);
    let run = async |steps: Vec<Step>| {
        let scripted = Scripted::new(steps);
        let moved: Result<(), Error> = bucket(&scripted).move_to("a", "b").await;
        (moved.map_err(|error| error.code()), scripted.sent())
    };
    let (moved, sent) = run(vec![Step::json(200, r#"{"message":"Successfully moved"}"#)]).await;
    assert_eq!((moved, sent.len()), (Ok(()), 1));
    assert_eq!(sent[0].target, "POST /storage/v1/object/move");
    assert_eq!(sent[0].body, r#"{"bucketId":"workspace-files","destinationKey":"b","sourceKey":"a"}"#);
    assert_eq!(run(vec![Step::fail(codes::CUT), there(), missing()]).await.0, Ok(()));
    assert_eq!(run(vec![Step::fail(codes::CUT), there(), there()]).await.0, Err(codes::CUT));
    assert_eq!(run(vec![Step::fail(codes::CUT), missing()]).await.0, Err(codes::CUT));
    assert_eq!(run(vec![taken()]).await.0, Err(codes::CONFLICT));
}

#[tokio::test(start_paused = true)]
async fn removing_many_goes_in_batches_and_gives_what_was_removed() {
    let scripted =
        Scripted::new([Step::json(200, r#"[{"name":"k0"}]"#), Step::fail(codes::CUT), Step::json(200, "[]")]);
    let keys: Vec<_> = (0..1001).map(|n| format!("k{n}")).collect();
    assert_eq!(bucket(&scripted).remove(&keys).await.unwrap(), ["k0"]);
    let sent = scripted.sent();
    assert_eq!(sent[0].target, "DELETE /storage/v1/object/workspace-files");
    assert_eq!(serde_json::from_str::<Value>(&sent[0].body).unwrap()["prefixes"].as_array().unwrap().len(), 1000);
    assert_eq!((sent.len(), sent[2].body.as_str()), (3, r#"{"prefixes":["k1000"]}"#));
}

#[tokio::test(start_paused = true)]
async fn a_listing_follows_the_cursor_to_its_end_and_never_in_circles() {
    let row = |name: &str| json!({"id": "1", "name": name, "metadata": {"size": 3}, "created_at": "x"});
    let page = |names: &[&str], next: Option<&str>| {
        let objects: Vec<_> = names.iter().map(|name| row(name)).collect();
        Step::json(
            200,
            &json!({"hasNext": next.is_some(), "nextCursor": next, "folders": [], "objects": objects}).to_string(),
        )
    };
    let scripted = Scripted::new([page(&["ws/a", "ws/b"], Some("c1")), page(&["ws/c"], None)]);
    let entries = bucket(&scripted).list("ws/").all(10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["ws/a", "ws/b", "ws/c"]);
    assert_eq!(entries[0].size_bytes(), Some(3));
    let bodies: Vec<Value> = scripted.sent().iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect();
    let first =
        json!({"prefix": "ws/", "limit": 1000, "with_delimiter": false, "sortBy": {"column": "name", "order": "asc"}});
    assert_eq!((&bodies[0], bodies[1]["cursor"].as_str()), (&first, Some("c1")));

    scripted.then([page(&["a"], Some("c1")), page(&["a"], Some("c1"))]);
    assert_eq!(bucket(&scripted).list("").all(10).await.unwrap_err().code(), codes::UNREADABLE);
    scripted.then([page(&["a", "b"], Some("c1"))]);
    assert_eq!(bucket(&scripted).list("").all(1).await.unwrap_err().code(), codes::TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn an_older_service_is_listed_folder_by_folder() {
    let old =
        Step::json(404, r#"{"message":"Route POST:/object/list-v2 not found","error":"Not Found","statusCode":"404"}"#);
    let top = r#"[{"name":"sub","id":null,"metadata":null},{"name":"b.txt","id":"1","metadata":{"size":1}}]"#;
    let sub = r#"[{"name":"a.txt","id":"2","metadata":{"size":2}}]"#;
    let scripted = Scripted::new([old, Step::json(200, top), Step::json(200, sub)]);
    let entries = bucket(&scripted).list("ws/").all(10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["ws/b.txt", "ws/sub/a.txt"]);
    assert_eq!(scripted.sent()[1].target, "POST /storage/v1/object/list/workspace-files");
    let body: Value = serde_json::from_str(&scripted.sent()[2].body).unwrap();
    assert_eq!((body["prefix"].as_str(), body["limit"].as_u64()), (Some("ws/sub/"), Some(100)));
}

#[tokio::test(start_paused = true)]
async fn g08_signed_links_are_built_on_our_origin_and_keep_their_secret() {
    let scripted =
        Scripted::new([Step::json(200, r#"{"signedURL":"/object/sign/workspace-files/a b?.txt?token=aa.bb.cc"}"#)]);
    let files = bucket(&scripted);
    let link = files.sign_download("a b?.txt", Duration::from_secs(60)).await.unwrap();
    use secrecy::ExposeSecret as _;
    let url = "https://cloud.example/storage/v1/object/sign/workspace-files/a%20b%3F.txt?token=aa.bb.cc";
    assert_eq!(link.url().expose_secret(), url);
    assert!(!format!("{link:?}").contains("aa.bb"));
    assert_eq!(scripted.sent()[0].body, r#"{"expiresIn":60}"#);

    scripted.then([whole("0123456789"), failure("400", "x", "x", "InvalidSignature")]);
    assert_eq!(files.download_signed(&link).bytes(10).await.unwrap(), "0123456789");
    assert_eq!(scripted.sent()[1].header("authorization"), "");
    assert_eq!(files.download_signed(&link).bytes(10).await.unwrap_err().code(), codes::LINK_INVALID);

    let batch = r#"[{"path":"b","signedURL":null,"error":"Either the object does not exist or you do not have access to it"},
        {"path":"a","signedURL":"/object/sign/workspace-files/a?token=t","error":null}]"#;
    scripted.then([Step::json(200, batch)]);
    let links = files.sign_downloads(["a", "b"], Duration::from_secs(1)).await.unwrap();
    assert!(links[0].is_ok());
    assert_eq!(links[1].as_ref().unwrap_err().code(), codes::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_signed_upload_needs_nobody_and_says_when_its_permission_is_over() {
    let signed = r#"{"url":"/object/upload/sign/workspace-files/a?token=up.lo.ad","token":"up.lo.ad"}"#;
    let over = r#"{"statusCode":"400","error":"InvalidJWT","message":"\"exp\" claim timestamp check failed","code":"InvalidJWT"}"#;
    let scripted = Scripted::new([Step::json(200, signed), Step::json(200, r#"{"Key":"a"}"#), Step::json(400, over)]);
    let session = Arc::new(Session::default());
    let files = client(&scripted).with_token_source(session).storage().bucket("workspace-files");
    let permission = files.sign_upload("a").await.unwrap();
    files.upload_signed(&permission, "bytes", &UploadOptions::default()).await.unwrap();
    let sent = scripted.sent();
    assert_eq!(sent[0].target, "POST /storage/v1/object/upload/sign/workspace-files/a");
    assert_eq!(sent[1].target, "PUT /storage/v1/object/upload/sign/workspace-files/a?token=up.lo.ad");
    assert_eq!((sent[1].body.as_str(), sent[1].header("authorization")), ("bytes", ""));
    let error = files.upload_signed(&permission, "bytes", &UploadOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), scripted.sent().len()), (codes::LINK_INVALID, 3));
    assert!(!format!("{permission:?} {error:?} {error}").contains("up.lo"));
}
