//! Buckets and their contents: limited, listed, signed, moved, removed. Numbers are those of the published cases.

use cloud_dev::CloudDev;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Files, LIST, OBJECT, files_in, refusal, refused};
use crate::caller::send;

/// The names in a list, in its order.
fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

/// Vectors 3 and 6.
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

/// Vector 10.
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

/// Vectors 10 and 11.
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
    for (prefix, found) in [("%", vec![]), ("_", vec![]), ("D1", vec![]), ("d", vec!["d1/x", "d1/y", "d2/z"])] {
        let page = files.json("/storage/v1/object/list-v2/b", json!({ "prefix": prefix })).await.json();
        assert_eq!(names(&page["objects"]), found, "{prefix}");
    }
    let some = files.json("/storage/v1/object/list-v2/b", json!({ "prefix": "d1" })).await.json();
    assert_eq!(names(&some["objects"]), ["d1/x", "d1/y"]);
    assert_eq!((&some["hasNext"], &some["folders"]), (&json!(false), &json!([])));
}

/// Vector 12.
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
    let nobody = files.caller.request(Method::DELETE, &format!("{OBJECT}/workspace-files"));
    assert_eq!(send(nobody.json(&json!({ "prefixes": [files.key("b")] }))).await.status, 400);
    let one = send(files.ask(Method::DELETE, &format!("{OBJECT}/{}", files.at("b")))).await;
    assert_eq!((one.status, one.text_at("/message").as_str()), (200, "Successfully deleted"));
    let again = send(files.ask(Method::DELETE, &format!("{OBJECT}/{}", files.at("b")))).await;
    assert_eq!(refusal(&again), refused(400, "404", "NoSuchKey"));
    assert_eq!((files_in(directory.path()), files.get(&files.at("c")).await.text.as_str()), (1, "c"));
}

/// Vectors 13 and 14.
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
    // The Python client sends the digits as a text.
    let address = sign(&one, json!("60")).await.text_at("/signedURL");
    assert_eq!(bare(Method::GET, &address, "").await.text, "first");
    for expires in [json!(0), json!(1e21), json!("0"), json!("a minute"), json!("")] {
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

/// Vector 15.
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
