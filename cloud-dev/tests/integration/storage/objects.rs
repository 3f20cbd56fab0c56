//! Objects one by one: in, out, replaced, refused, broken off, kept. Numbers are those of the published cases.

use std::time::Duration;

use cloud_dev::{CloudDev, Fault};
use reqwest::Method;
use serde_json::json;

use super::{Files, LIST, OBJECT, files_in, refusal, refused};
use crate::caller::{send, try_send};

/// Vector 9.
#[tokio::test]
async fn what_goes_in_comes_out_with_its_headers() {
    let files = Files::start().await;
    let place = files.at("docs/hello world.txt");
    let stored = send(
        files
            .ask(Method::POST, &format!("{OBJECT}/{place}"))
            .header("content-type", "text/plain;charset=utf-8")
            .header("cache-control", "max-age=60")
            .header("x-metadata", "eyJ0ZXN0MSI6InRlc3QxIiwidGVzdDIiOiJ0ZXN0MiJ9")
            .body("hello"),
    )
    .await;
    assert_eq!((stored.status, stored.text_at("/Key")), (200, place.clone()));
    let etag = "\"5d41402abc4b2a76b9719d911017c592\""; // the MD5 of `hello`
    for door in ["", "/authenticated"] {
        let read = send(files.ask(Method::GET, &format!("{OBJECT}{door}/{place}"))).await;
        assert_eq!((read.status, read.text.as_str(), read.header("etag")), (200, "hello", Some(etag)), "{door}");
        assert_eq!(read.header("cache-control"), Some("max-age=60"));
        assert_eq!(read.header("content-type"), Some("text/plain;charset=utf-8"));
        assert_eq!((read.header("accept-ranges"), read.header("content-length")), (Some("bytes"), Some("5")));
        let head = send(files.ask(Method::HEAD, &format!("{OBJECT}{door}/{place}"))).await;
        assert_eq!((head.status, head.header("content-length"), head.header("etag")), (200, Some("5"), Some(etag)));
        for (name, value) in [("if-none-match", etag), ("if-modified-since", read.header("last-modified").unwrap())] {
            let again = send(files.ask(Method::GET, &format!("{OBJECT}{door}/{place}")).header(name, value)).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{name}");
        }
    }
    let info = files.info(&place).await.json();
    assert_eq!(info["metadata"], json!({ "test1": "test1", "test2": "test2" }));
    assert_eq!((&info["size"], &info["etag"], &info["id"]), (&json!(5), &json!(etag), &stored.json()["Id"]));
    let saved = send(files.ask(Method::GET, &format!("{OBJECT}/{place}?download=a%20b.txt"))).await;
    assert_eq!(
        saved.header("content-disposition"),
        Some("attachment; filename=a%20b.txt; filename*=UTF-8''a%20b.txt;")
    );
}

#[tokio::test]
async fn a_page_is_never_served_as_one() {
    let files = Files::start().await;
    let place = files.at("page.html");
    let request =
        files.ask(Method::PUT, &format!("{OBJECT}/{place}")).header("content-type", "text/html; charset=utf-8");
    assert_eq!(send(request.body("<script>")).await.status, 200);
    let read = files.get(&place).await;
    assert_eq!(
        (read.header("content-type"), read.header("cache-control")),
        (Some("text/plain; charset=utf-8"), Some("no-cache"))
    );
}

/// Vector 8.
#[tokio::test]
async fn an_object_is_replaced_only_when_that_is_asked_for() {
    let files = Files::start().await;
    let place = files.at("a.txt");
    let first = files.put(&place, "one").await;
    let again = files.put(&place, "two").await;
    assert_eq!(refusal(&again), refused(400, "409", "KeyAlreadyExists"));
    assert_eq!(
        (again.text_at("/error"), again.text_at("/message").as_str()),
        ("Duplicate".to_owned(), "The resource already exists")
    );
    assert_eq!(files.get(&place).await.text, "one");
    for (method, upsert, body) in [(Method::POST, "true", "three"), (Method::PUT, "false", "four")] {
        let request = files.ask(method, &format!("{OBJECT}/{place}")).header("x-upsert", upsert).body(body);
        assert_eq!(send(request).await.text_at("/Id"), first.text_at("/Id"), "the object keeps its id");
        assert_eq!(files.get(&place).await.text, body);
    }
}

/// Vectors 1, 2 and 8.
#[tokio::test]
async fn names_are_ascii_and_never_empty() {
    let files = Files::start().await;
    let ok = files.put(&files.at("!-*'()%20&$=@;:+,%3Fname"), "x").await;
    assert_eq!((ok.status, ok.text_at("/Key")), (200, files.at("!-*'() &$=@;:+,?name")));
    for name in ["a%20b%C3%A9.txt", "100%25.txt", "a%23b", "a~b", "a%09b", "%F0%9F%98%80"] {
        let answer = files.put(&files.at(name), "x").await;
        assert_eq!(refusal(&answer), refused(400, "400", "InvalidKey"), "{name}");
    }
    assert_eq!(files.put("workspace-files/", "x").await.status, 400);
    let marker = files.at("empty/.emptyFolderPlaceholder");
    assert_eq!(files.put(&marker, "x").await.text_at("/code"), "EntityTooLarge");
    assert_eq!(files.put(&marker, "").await.status, 200);
}

/// Vectors 4 and 5.
#[tokio::test]
async fn objects_are_for_the_members_of_the_workspaces_organisation() {
    let files = Files::start().await;
    let place = files.at("shared.txt");
    assert_eq!(files.put(&place, "for the team").await.status, 200);
    let grace = files.caller.sign_in(1).await.text_at("/access_token");
    let path = format!("{OBJECT}/{place}");
    assert_eq!(files.caller.get(&path, Some(&grace)).await.text, "for the team");
    let body = json!({ "email": "eve@example.com", "password": "long enough" });
    let eve = files.caller.post("/auth/v1/signup", None, body).await.text_at("/access_token");
    let eve = Files { token: eve, caller: files.caller };
    assert_eq!(refusal(&eve.get(&place).await), refused(400, "404", "NoSuchKey"));
    let message = eve.get(&place).await;
    assert_eq!(
        (message.text_at("/error"), message.text_at("/message").as_str()),
        ("not_found".to_owned(), "Object not found")
    );
    for (what, request) in [
        ("new", eve.ask(Method::POST, &format!("{OBJECT}/{}", eve.at("mine.txt")))),
        ("over another's", eve.ask(Method::PUT, &path)),
        ("outside", eve.ask(Method::POST, &format!("{OBJECT}/workspace-files/loose.txt"))),
    ] {
        let answer = send(request.body("x")).await;
        assert_eq!(refusal(&answer), refused(400, "403", "AccessDenied"), "{what}");
        assert_eq!(answer.text_at("/message"), "new row violates row-level security policy");
        assert_eq!(answer.text_at("/error"), "Unauthorized");
    }
    let list = eve.json(&format!("{LIST}/workspace-files"), json!({ "prefix": "" })).await;
    assert_eq!((list.status, list.text.as_str()), (200, "[]"));
    let gone = send(eve.ask(Method::DELETE, &path)).await;
    assert_eq!(gone.text_at("/code"), "NoSuchKey");
    let open = eve.caller.get(&path, None).await;
    assert_eq!((open.status, open.text_at("/code").as_str()), (400, "NoSuchBucket"), "nobody is told more");
    assert_eq!(eve.caller.get(&format!("{OBJECT}/authenticated/{place}"), None).await.status, 400);
}

#[tokio::test]
async fn an_old_token_is_named_as_such() {
    let files = Files::start().await;
    let place = files.at("a.txt");
    files.put(&place, "x").await;
    files.caller.cloud.expire_access_tokens();
    let path = format!("{OBJECT}/authenticated/{place}");
    let answers = [
        files.put(&place, "x").await,
        send(files.ask(Method::GET, &path)).await,
        files.json(&format!("{LIST}/workspace-files"), json!({})).await,
    ];
    for answer in answers {
        assert_eq!(refusal(&answer), refused(400, "403", "AccessDenied"));
        assert_eq!(answer.text_at("/message"), "\"exp\" claim timestamp check failed");
    }
    let head = send(files.ask(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.text.as_str()), (400, ""), "HEAD cannot say why");
    let none =
        send(files.caller.request(Method::POST, &format!("{LIST}/workspace-files")).json(&json!({ "prefix": "" })))
            .await;
    assert_eq!((none.status, none.text_at("/code").as_str()), (400, "InvalidRequest"));
    let garbage = Files { token: "garbage".to_owned(), ..files }.put(&place, "x").await;
    assert_eq!(garbage.text_at("/message"), "Invalid Compact JWS");
}

/// Vector 3.
#[tokio::test]
async fn too_much_is_refused_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path()).max_object_bytes(100_000)).await;
    let big = vec![b'x'; 100_001];
    let chunks = big.chunks(10_000).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>();
    let unknown = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    for (what, body) in [("announced", big.into()), ("not announced", unknown)] {
        let answer = files.put(&files.at("big"), body).await;
        assert_eq!(refusal(&answer), refused(400, "413", "EntityTooLarge"), "{what}");
        assert_eq!(answer.text_at("/error"), "Payload too large");
        assert_eq!(files.info(&files.at("big")).await.text_at("/code"), "NoSuchKey", "{what}");
        assert_eq!(files_in(directory.path()), 0, "{what}");
    }
    assert_eq!(files.put(&files.at("fits"), vec![b'x'; 100_000]).await.status, 200);
}

/// Vector 16.
#[tokio::test]
async fn a_range_is_a_part() {
    let files = Files::start().await;
    let place = files.at("digits");
    files.put(&place, "0123456789").await;
    let get =
        async |range: &str| send(files.ask(Method::GET, &format!("{OBJECT}/{place}")).header("range", range)).await;
    for (range, text, shown) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-5", "56789", "bytes 5-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        let part = get(range).await;
        assert_eq!(
            (part.status, part.text.as_str(), part.header("content-range")),
            (206, text, Some(shown)),
            "{range}"
        );
        assert_eq!(part.header("content-length"), Some(text.len().to_string().as_str()));
    }
    for range in ["bytes=10-12", "bytes=8-4", "bytes=-0", "bytes=-", "bytes=a-b", "items=0-1"] {
        let answer = get(range).await;
        assert_eq!((answer.status, answer.text_at("/code").as_str()), (416, "InvalidRange"), "{range}");
    }
}

/// Vector 9.
#[tokio::test]
async fn a_form_is_taken_as_well() {
    let files = Files::start().await;
    let place = files.at("form.bin");
    let body = "--X\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n3600\r\n\
                --X\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"a\":\"b\"}\r\n\
                --X\r\nContent-Disposition: form-data; name=\"\"; filename=\"blob\"\r\nContent-Type: image/png\r\n\r\n\
                bytes\r\n--X--\r\n";
    let request = files.ask(Method::POST, &format!("{OBJECT}/{place}"));
    let stored = send(request.header("content-type", "multipart/form-data; boundary=X").body(body)).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    let info = files.info(&place).await.json();
    assert_eq!(info["metadata"], json!({ "a": "b" }));
    assert_eq!(
        (&info["size"], &info["content_type"], &info["cache_control"]),
        (&json!(5), &json!("image/png"), &json!("max-age=3600"))
    );
    let none = files.ask(Method::POST, &format!("{OBJECT}/{}", files.at("none")));
    let none = send(none.header("content-type", "multipart/form-data; boundary=X").body("--X--\r\n")).await;
    assert_eq!(none.status, 400);
}

#[tokio::test]
async fn a_large_object_passes_through_unchanged() {
    let files = Files::start().await;
    let chunk: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let body = chunk.repeat(24);
    let place = files.at("large.bin");
    let stored = files.put(&place, body.clone()).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    let response = files.ask(Method::GET, &format!("{OBJECT}/{place}")).send().await.unwrap();
    assert!(response.bytes().await.unwrap() == body);
}

#[tokio::test]
async fn faults_hit_files_as_they_hit_everything() {
    let files = Files::start().await;
    let (cloud, place) = (&files.caller.cloud, files.at("a.bin"));
    let path = format!("{OBJECT}/{place}");
    let upload = || files.ask(Method::POST, &path).body(vec![b'x'; 300_000]);
    cloud.inject(Fault::lose_request().on(OBJECT));
    assert!(try_send(upload()).await.is_err());
    assert_eq!(files.info(&place).await.text_at("/code"), "NoSuchKey", "a lost request stored nothing");
    cloud.inject(Fault::lose_reply().on(OBJECT));
    assert!(try_send(upload()).await.is_err());
    assert_eq!(send(upload()).await.text_at("/statusCode"), "409", "a lost reply stored it");
    assert_eq!(files.info(&place).await.json()["size"], json!(300_000));
    cloud.inject(Fault::cut_body(100_000).on(OBJECT));
    let mut response = files.ask(Method::GET, &path).send().await.unwrap();
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
    }
    assert_eq!(read, 100_000);
    let rest = send(files.ask(Method::GET, &path).header("range", format!("bytes={read}-"))).await;
    assert_eq!((rest.status, rest.text.len()), (206, 200_000));
    cloud.inject(Fault::answer(503).retry_after("1").on(OBJECT));
    assert_eq!(send(files.ask(Method::GET, &path)).await.status, 503);
    cloud.inject(Fault::delay(Duration::from_millis(1)).on(OBJECT));
    assert_eq!(send(files.ask(Method::GET, &path)).await.status, 200);
}

/// Vector 7.
#[tokio::test]
async fn a_failing_disk_is_the_services_failure_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    let place = files.at("a.txt");
    std::fs::remove_dir_all(directory.path().join("storage")).unwrap();
    let failed = files.put(&place, "x").await;
    assert_eq!(refusal(&failed), refused(500, "500", "S3Error"));
    assert_eq!(
        (failed.text_at("/error"), failed.text_at("/message").as_str()),
        ("Unknown error".to_owned(), "S3ServiceException")
    );
    assert_eq!(files.info(&place).await.text_at("/code"), "NoSuchKey");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    let parts = [Ok(vec![b'x'; 200_000]), Err(std::io::Error::other("the sender is gone"))];
    let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
    let request = files.ask(Method::POST, &format!("{OBJECT}/{}", files.at("half"))).body(body);
    assert!(try_send(request).await.is_err());
    assert_eq!(files.info(&files.at("half")).await.text_at("/code"), "NoSuchKey");
    files.caller.cloud.shutdown().await;
    assert_eq!(files_in(directory.path()), 0);
}

#[tokio::test]
async fn objects_survive_a_restart_and_leftovers_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let builder = || CloudDev::builder().data_dir(directory.path());
    let files = Files::with(builder()).await;
    files.put(&files.at("kept"), "still here").await;
    let before = files.info(&files.at("kept")).await.json();
    files.caller.cloud.shutdown().await;
    std::fs::write(directory.path().join("storage/left-by-a-crash"), "x").unwrap();

    let files = Files::with(builder()).await;
    assert_eq!(files_in(directory.path()), 1);
    assert_eq!(files.get(&files.at("kept")).await.text, "still here");
    assert_eq!(files.info(&files.at("kept")).await.json(), before);
    files.caller.cloud.shutdown().await;

    let files = Files::with(builder().discard_data()).await;
    assert_eq!(files_in(directory.path()), 0);
    assert_eq!(files.get(&files.at("kept")).await.text_at("/code"), "NoSuchKey");
}
