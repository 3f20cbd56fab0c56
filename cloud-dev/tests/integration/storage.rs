//! Objects over HTTP: in, out, listed, signed, moved, removed, and what is refused in which shape.

use std::{path::Path, time::Duration};

use cloud_dev::{CloudDev, Fault};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::caller::{Answer, Caller, send, try_send};

const OBJECT: &str = "/storage/v1/object";
const LIST: &str = "/storage/v1/object/list";

/// A cloud with somebody signed in, and addresses in the demo workspace.
pub(crate) struct Files {
    pub(crate) caller: Caller,
    pub(crate) token: String,
}

impl Files {
    pub(crate) async fn start() -> Self {
        Self::with(CloudDev::builder()).await
    }

    pub(crate) async fn with(builder: cloud_dev::Builder) -> Self {
        let caller = Caller::with(builder).await;
        let token = caller.token().await;
        Self { caller, token }
    }

    /// The key of a file in the demo workspace.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.caller.cloud.demo().workspace_id)
    }

    /// `bucket/key` of a file in the demo workspace.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("workspace-files/{}", self.key(name))
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.caller.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn put(&self, place: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.ask(Method::POST, &format!("{OBJECT}/{place}")).header("content-type", "text/plain");
        send(request.body(body)).await
    }

    pub(crate) async fn get(&self, place: &str) -> Answer {
        send(self.ask(Method::GET, &format!("{OBJECT}/{place}"))).await
    }

    pub(crate) async fn json(&self, path: &str, body: Value) -> Answer {
        send(self.ask(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn info(&self, place: &str) -> Answer {
        send(self.ask(Method::GET, &format!("{OBJECT}/info/{place}"))).await
    }

    /// Makes a bucket that belongs to whoever is signed in.
    pub(crate) async fn bucket(&self, body: Value) {
        let made = self.json("/storage/v1/bucket", body).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
}

/// Status, meant status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String) {
    (answer.status, answer.text_at("/statusCode"), answer.text_at("/code"))
}

fn refused(status: u16, meant: &str, code: &str) -> (u16, String, String) {
    (status, meant.to_owned(), code.to_owned())
}

pub(crate) fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("storage")).unwrap().count()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

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

#[tokio::test]
async fn a_bucket_has_limits_of_its_own() {
    let files = Files::start().await;
    let bucket = json!({ "name": "pictures", "file_size_limit": "10kb", "allowed_mime_types": ["image/jpeg"] });
    files.bucket(bucket.clone()).await;
    let again = files.json("/storage/v1/bucket", bucket).await;
    assert_eq!(refusal(&again), refused(400, "409", "ResourceAlreadyExists"));
    let put = async |content_type: &str, bytes: usize| {
        let request =
            files.ask(Method::POST, &format!("{OBJECT}/pictures/{bytes}")).header("content-type", content_type);
        send(request.body(vec![0; bytes])).await
    };
    let png = put("image/png", 1).await;
    assert_eq!(refusal(&png), refused(400, "415", "InvalidMimeType"));
    assert_eq!(png.text_at("/message"), "mime type image/png is not supported");
    assert_eq!(put("image/jpeg", 10_241).await.text_at("/code"), "EntityTooLarge");
    assert_eq!(put("image/jpeg", 10_240).await.status, 200);
    let missing = files.put("nowhere/a", "x").await;
    assert_eq!(refusal(&missing), refused(400, "404", "NoSuchBucket"));
    let all = send(files.ask(Method::GET, "/storage/v1/bucket")).await.json();
    assert_eq!(names(&all), ["pictures", "workspace-files"]);
    let one = send(files.ask(Method::GET, "/storage/v1/bucket/workspace-files")).await.json();
    assert_eq!((&one["public"], &one["id"]), (&json!(false), &json!("workspace-files")));
    let grace = files.caller.sign_in(1).await.text_at("/access_token");
    let theirs = files.caller.get("/storage/v1/bucket/pictures", Some(&grace)).await;
    assert_eq!(theirs.text_at("/code"), "NoSuchBucket");
}

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
    ] {
        let part = get(range).await;
        assert_eq!(
            (part.status, part.text.as_str(), part.header("content-range")),
            (206, text, Some(shown)),
            "{range}"
        );
        assert_eq!(part.header("content-length"), Some(text.len().to_string().as_str()));
    }
    for range in ["bytes=10-12", "bytes=8-4", "bytes=-0", "items=0-1"] {
        let answer = get(range).await;
        assert_eq!((answer.status, answer.text_at("/code").as_str()), (416, "InvalidRange"), "{range}");
    }
}

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
async fn a_folder_lists_what_is_directly_in_it() {
    let files = Files::start().await;
    files.bucket(json!({ "name": "b" })).await;
    for name in [
        "folder/only_uid.jpg",
        "folder/subfolder/a",
        "folder/subfolder/b",
        "folder/UPPER-folder/c",
        "public/100",
        "a_c",
        "abc",
    ] {
        assert_eq!(files.put(&format!("b/{name}"), "x").await.status, 200);
    }
    let list = async |body: Value| files.json(&format!("{LIST}/b"), body).await;
    let inside = list(json!({ "prefix": "folder" })).await.json();
    assert_eq!(names(&inside), ["subfolder", "UPPER-folder", "only_uid.jpg"]);
    assert_eq!((&inside[0]["id"], &inside[0]["metadata"]), (&Value::Null, &Value::Null));
    assert_eq!(inside[2]["metadata"]["size"], json!(1));
    assert!(inside[2]["metadata"]["eTag"].as_str().unwrap().starts_with('"'));
    for (body, expected) in [
        (json!({ "prefix": "notfound" }), vec![]),
        (json!({ "prefix": "PUBLIC/" }), vec!["100"]),
        (json!({ "prefix": "", "limit": 2, "offset": 1 }), vec!["public", "a_c"]),
        (json!({ "prefix": "", "search": "a_" }), vec!["a_c"]),
        (json!({ "prefix": "", "search": "%" }), vec![]),
        (
            json!({ "prefix": "", "sortBy": { "column": "name", "order": "desc" } }),
            vec!["public", "folder", "abc", "a_c"],
        ),
        (
            json!({ "prefix": "", "sortBy": { "column": "created_at", "order": "asc" } }),
            vec!["folder", "public", "a_c", "abc"],
        ),
    ] {
        assert_eq!(names(&list(body.clone()).await.json()), expected, "{body}");
    }
    for body in
        [json!({}), json!({ "prefix": "", "limit": 0 }), json!({ "prefix": "", "sortBy": { "column": "size" } })]
    {
        assert_eq!(list(body.clone()).await.status, 400, "{body}");
    }
    let missing = files.json(&format!("{LIST}/nowhere"), json!({ "prefix": "" })).await;
    assert_eq!((missing.status, missing.text.as_str()), (200, "[]"));
}

#[tokio::test]
async fn a_cursor_visits_every_object_once() {
    let files = Files::start().await;
    files.bucket(json!({ "name": "b" })).await;
    let all: Vec<String> = ["a", "d1/x", "d1/y", "d2/z", "m", "z"].map(str::to_owned).into();
    for name in all.iter().rev() {
        files.put(&format!("b/{name}"), "x").await;
    }
    let flat_by_time: Vec<&str> = all.iter().rev().map(String::as_str).collect();
    for (delimiter, column, order, expected) in [
        (false, "name", "asc", all.iter().map(String::as_str).collect()),
        (false, "name", "desc", flat_by_time.clone()),
        (false, "created_at", "asc", flat_by_time),
        (true, "name", "asc", vec!["a", "d1/", "d2/", "m", "z"]),
        (true, "updated_at", "desc", vec!["d2/", "d1/", "a", "m", "z"]),
    ] {
        for limit in [1, 2, 100] {
            let (mut seen, mut cursor) = (Vec::new(), Value::Null);
            for _ in 0..10 {
                let body = json!({ "limit": limit, "cursor": cursor, "with_delimiter": delimiter, "sortBy": { "column": column, "order": order } });
                let page = files.json("/storage/v1/object/list-v2/b", body).await.json();
                let mut both: Vec<String> =
                    names(&page["folders"]).into_iter().chain(names(&page["objects"])).map(str::to_owned).collect();
                if column == "name" {
                    both.sort();
                    if order == "desc" {
                        both.reverse();
                    }
                }
                seen.extend(both);
                cursor = page["nextCursor"].clone();
                if page["hasNext"] == json!(false) {
                    break;
                }
            }
            assert_eq!(seen, expected, "{delimiter} {column} {order} {limit}");
        }
    }
    let some = files.json("/storage/v1/object/list-v2/b", json!({ "prefix": "d1" })).await.json();
    assert_eq!(names(&some["objects"]), ["d1/x", "d1/y"]);
    assert_eq!((&some["hasNext"], &some["folders"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn removing_many_says_what_went() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    for name in ["a", "b", "c"] {
        files.put(&files.at(name), name).await;
    }
    let remove = async |bucket: &str, keys: Value| {
        send(files.ask(Method::DELETE, &format!("{OBJECT}/{bucket}")).json(&json!({ "prefixes": keys }))).await
    };
    let gone = remove("workspace-files", json!([files.key("a"), files.key("missing"), "other/x"])).await;
    assert_eq!((gone.status, names(&gone.json())), (200, vec![files.key("a").as_str()]));
    assert_eq!(remove("workspace-files", json!([files.key("a")])).await.text, "[]");
    assert_eq!(remove("nowhere", json!(["x"])).await.text, "[]");
    assert_eq!(remove("workspace-files", json!([])).await.status, 400);
    let one = send(files.ask(Method::DELETE, &format!("{OBJECT}/{}", files.at("b")))).await;
    assert_eq!((one.status, one.text_at("/message").as_str()), (200, "Successfully deleted"));
    let again = send(files.ask(Method::DELETE, &format!("{OBJECT}/{}", files.at("b")))).await;
    assert_eq!(refusal(&again), refused(400, "404", "NoSuchKey"));
    assert_eq!((files_in(directory.path()), files.get(&files.at("c")).await.text.as_str()), (1, "c"));
}

#[tokio::test]
async fn a_signed_address_needs_nothing_else() {
    let files = Files::start().await;
    let (one, two) = (files.at("one.txt"), files.at("two.txt"));
    files.put(&one, "first").await;
    files.put(&two, "second").await;
    let sign = async |place: &str, expires: Value| {
        files.json(&format!("{OBJECT}/sign/{place}"), json!({ "expiresIn": expires })).await
    };
    let bare = async |method: Method, path: &str, body: &'static str| {
        let url = format!("{}/storage/v1{path}", files.caller.cloud.url());
        send(files.caller.http.request(method, url).body(body)).await
    };
    let address = sign(&one, json!(60)).await.text_at("/signedURL");
    assert_eq!(bare(Method::GET, &address, "").await.text, "first");
    let token = address.split_once("token=").unwrap().1;
    for path in [
        format!("/object/sign/{two}?token={token}"),
        format!("/object/sign/{one}?token=x"),
        format!("/object/sign/{one}"),
    ] {
        assert_eq!(bare(Method::GET, &path, "").await.status, 400, "{path}");
    }
    assert_eq!(
        bare(Method::PUT, &format!("/object/upload/sign/{one}?token={token}"), "x").await.text_at("/code"),
        "InvalidSignature"
    );
    for expires in [json!(0), json!(1e21), json!("60")] {
        let answer = sign(&one, expires.clone()).await;
        assert!(answer.status == 400 && answer.text_at("/message").contains("expiresIn"), "{expires}");
    }
    assert_eq!(sign(&files.at("missing"), json!(60)).await.text_at("/code"), "NoSuchKey");

    let offer = files.json(&format!("{OBJECT}/upload/sign/{}", files.at("new.txt")), json!({})).await;
    let (url, upload) = (offer.text_at("/url"), offer.text_at("/token"));
    assert_eq!(
        bare(Method::GET, &format!("/object/sign/{}?token={upload}", files.at("new.txt")), "").await.status,
        400
    );
    assert_eq!(bare(Method::PUT, &url, "brought").await.text_at("/Key"), files.at("new.txt"));
    assert_eq!(bare(Method::PUT, &url, "again").await.text_at("/statusCode"), "409");
    assert_eq!(files.get(&files.at("new.txt")).await.text, "brought");
    let user = format!("/object/sign/{one}?token={}", files.token);
    assert_eq!(bare(Method::GET, &user, "").await.status, 400, "an access token is no signature");

    let paths = json!({ "expiresIn": 60, "paths": [files.key("one.txt"), files.key("missing")] });
    let many = files.json(&format!("{OBJECT}/sign/workspace-files"), paths.clone()).await.json();
    assert_eq!(bare(Method::GET, many[0]["signedURL"].as_str().unwrap(), "").await.text, "first");
    assert_eq!(
        (&many[1]["signedURL"], many[1]["error"].as_str().unwrap()),
        (&Value::Null, "Either the object does not exist or you do not have access to it")
    );
    assert_eq!(files.json(&format!("{OBJECT}/sign/nowhere"), paths).await.status, 200);
    let too_many = json!({ "expiresIn": 60, "paths": vec!["x"; 1001] });
    assert_eq!(files.json(&format!("{OBJECT}/sign/workspace-files"), too_many).await.status, 400);
}

#[tokio::test]
async fn a_public_bucket_is_read_by_anyone_and_written_by_its_maker() {
    let files = Files::start().await;
    files.bucket(json!({ "name": "site", "public": true })).await;
    files.put("site/index.txt", "hello").await;
    let url = |path: &str| format!("{}{OBJECT}/{path}", files.caller.cloud.url());
    for path in ["public/site/index.txt", "site/index.txt"] {
        let read = send(files.caller.http.get(url(path))).await;
        assert_eq!((read.status, read.text.as_str()), (200, "hello"), "{path}");
    }
    let info = send(files.caller.http.get(url("info/public/site/index.txt"))).await;
    assert_eq!(info.json()["size"], json!(5));
    let private = send(files.caller.http.get(url("public/workspace-files/x"))).await;
    assert_eq!(private.text_at("/code"), "NoSuchBucket");
    let anon =
        files.caller.request(Method::POST, &format!("{OBJECT}/site/mine")).bearer_auth(files.caller.cloud.anon_key());
    assert_eq!(send(anon.body("x")).await.text_at("/code"), "AccessDenied");
    let wrong = send(files.caller.http.get(url("public/site/index.txt")).header("apikey", "wrong")).await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn a_move_takes_and_a_copy_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(directory.path())).await;
    let go = async |what: &str, from: &str, to: &str| {
        let body =
            json!({ "bucketId": "workspace-files", "sourceKey": files.key(from), "destinationKey": files.key(to) });
        files.json(&format!("{OBJECT}/{what}"), body).await
    };
    files.put(&files.at("a"), "from a").await;
    files.put(&files.at("taken"), "untouched").await;
    let moved = go("move", "a", "b/c").await;
    assert_eq!((moved.status, moved.text_at("/Key")), (200, files.key("b/c")), "{}", moved.text);
    assert_eq!(files.get(&files.at("b/c")).await.text, "from a");
    assert_eq!(files.get(&files.at("a")).await.text_at("/code"), "NoSuchKey");
    assert_eq!(refusal(&go("move", "b/c", "taken").await), refused(400, "409", "KeyAlreadyExists"));
    assert_eq!(refusal(&go("move", "a", "d").await), refused(400, "404", "NoSuchKey"));
    let copied = go("copy", "b/c", "copy").await;
    assert_eq!((copied.status, copied.text_at("/Key")), (200, files.at("copy")), "{}", copied.text);
    assert_eq!(refusal(&go("copy", "b/c", "taken").await), refused(400, "409", "KeyAlreadyExists"));
    assert_eq!(send(files.ask(Method::DELETE, &format!("{OBJECT}/{}", files.at("b/c")))).await.status, 200);
    assert_eq!(files.get(&files.at("copy")).await.text, "from a", "a copy has its own bytes");
    assert_eq!(files.get(&files.at("taken")).await.text, "untouched");
    let outside =
        json!({ "bucketId": "workspace-files", "sourceKey": files.key("copy"), "destinationKey": "elsewhere/x" });
    assert_eq!(files.json(&format!("{OBJECT}/move"), outside).await.text_at("/code"), "AccessDenied");
    assert_eq!(files_in(directory.path()), 2);
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
