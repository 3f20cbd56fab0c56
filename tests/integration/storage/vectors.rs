//! The published cases of the storage protocol, end to end. Numbers are those of the description's list of cases.
//!
//! | Case   | Here                                    | On the wire (`S` of cloud-client, `D` of cloud-dev)      |
//! |--------|-----------------------------------------|----------------------------------------------------------|
//! | 1, 2   | `…names…`                               | S `keys_and_bucket_names…`, D `storage::key`             |
//! | 3–8    | `…refusals…`, `…failed…`, `…replaced…`  | S `storage_is_believed…`, D `storage::{objects, manage}` |
//! | 9      | `…metadata…`                            | S `an_upload_is_the_bytes…`, D `what_goes_in…`           |
//! | 10, 11 | `…listed…`, `…folders…`                 | S `a_listing_follows…`, D `a_folder_lists…`, `a_cursor…` |
//! | 12     | `…removal…`                             | S `removing_many…`, D `removing_many…`                   |
//! | 13, 14 | `…signed…`                              | S `g08_signed_links…`, D `a_signed_address…`             |
//! | 15     | `…move…`                                | S `t02_a_move…`, D `a_move_takes…`                       |
//! | 16     | `…ranges…`; the SDK sends no suffixes   | S `a_range_is_asked_for…`, D `storage::range`            |
//! | 17–23  | `super`; 21 to 23 need no SDK           | S `tus`, D `resumable`                                   |
//! | 24–28  | `super`: over restarts, losses, tokens  | S `tus::steps`, `t02_an_upload_whose_answer…`, `name`    |
use std::time::Duration;

use cloud_dev::{CloudDev, Fault};
use cloud_sdk::{
    Error, ExposeSecret as _,
    client::{
        Client,
        call::Call,
        error::Service,
        storage::{Bucket, Entry, Order, SignedUpload, UploadOptions},
    },
};
use http::Method;
use serde_json::{Value as Json, json};

use super::{Files, STORAGE};
use crate::app::stop;

const MINUTE: Duration = Duration::from_secs(60);

/// Makes a bucket that belongs to whoever is signed in.
async fn make_bucket(client: &Client, body: &Json) -> Bucket {
    let call = Call::new(Service::Storage, Method::POST).segment("bucket").json(body).unwrap();
    client.send(call).await.unwrap();
    client.storage().bucket(body["name"].as_str().unwrap())
}

async fn put(bucket: &Bucket, key: &str, content: &str) -> Result<(), Error> {
    bucket.upload(key, content.as_bytes().to_vec(), &UploadOptions::default()).await.map(|_| ())
}

/// A client with the app's key and nobody signed in.
fn nobody(files: &Files) -> Client {
    Client::builder(files.server.url(), files.server.publishable_key()).unwrap().build()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code().as_str()
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[tokio::test]
async fn vectors_1_and_2_names_are_kept_as_they_are_or_refused() {
    let files = Files::open().await;
    let long_name = "b".repeat(100);
    for name in ["own", long_name.as_str()] {
        let bucket = make_bucket(files.cloud.client(), &json!({"name": name})).await;
        for key in
            ["folder/file-name_01.jpg", "file/!-*'() &$=@;:+,?name", "file_name", &format!("{}/", "a".repeat(1023))]
        {
            put(&bucket, key, key).await.unwrap();
            assert_eq!(bucket.download(key).bytes(2000).await.unwrap(), key.as_bytes(), "{key}");
        }
    }
    let own = files.cloud.client().storage().bucket("own");
    let sent = files.server.requests(STORAGE);
    for key in
        ["", "file\tname", "file\nname", "file\u{7f}", "file%20name", "file#[]{}^~`\"<>\\|", "ファイル-emoji-😀.txt"]
    {
        assert_eq!(code(put(&own, key, "x").await), "storage.name_invalid", "{key:?}");
    }
    for name in ["b".repeat(101), "folder/name".to_owned()] {
        let bucket = files.cloud.client().storage().bucket(name);
        assert_eq!(code(put(&bucket, "a", "x").await), "storage.name_invalid");
    }
    assert_eq!(files.server.requests(STORAGE), sent, "nothing was sent");
    stop(files.cloud).await;
}

#[tokio::test]
async fn vectors_3_to_6_refusals_are_told_apart_by_what_they_mean() {
    let files = Files::with(CloudDev::builder().max_object_bytes(1000)).await;
    let key = files.key("a.txt");
    let error = files.bucket.upload(&key, vec![0; 1001], &UploadOptions::default()).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.server_code()), ("storage.too_large", Some("EntityTooLarge")));
    assert!(!files.bucket.exists(&key).await.unwrap());

    let outside = put(&files.bucket, "elsewhere/a.txt", "x").await.unwrap_err();
    assert_eq!((outside.code().as_str(), outside.server_code()), ("api.forbidden", Some("AccessDenied")));

    let missing = files.bucket.info(&key).await.unwrap_err();
    assert_eq!((missing.code().as_str(), missing.server_code()), ("api.not_found", Some("NoSuchKey")));
    let older = r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#;
    files.server.inject(Fault::answer(400).body("application/json", older).on(STORAGE));
    assert_eq!(code(files.bucket.info(&key).await), "api.not_found", "an older server gives no code");

    let pictures = json!({"name": "pictures", "allowed_mime_types": ["image/jpeg"]});
    let pictures = make_bucket(files.cloud.client(), &pictures).await;
    let png = UploadOptions::default().content_type("image/png");
    let error = pictures.upload("a.png", "x", &png).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.server_code()), ("storage.type_refused", Some("InvalidMimeType")));
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_7_a_failed_back_end_leaves_no_object() {
    let home = tempfile::tempdir().unwrap();
    let files = Files::with(CloudDev::builder().data_dir(home.path())).await;
    let key = files.key("a.txt");
    // The disk fails: there is a file where the folder of the bytes was.
    let bytes = home.path().join("storage");
    std::fs::remove_dir_all(&bytes).unwrap();
    std::fs::write(&bytes, "").unwrap();
    let error = put(&files.bucket, &key, "x").await.unwrap_err();
    assert_eq!(
        (error.code().as_str(), error.status(), error.server_code()),
        ("server.unavailable", Some(500), Some("S3Error"))
    );
    assert!(!files.bucket.exists(&key).await.unwrap());
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_8_an_object_is_replaced_when_that_is_asked_for_and_a_name_is_needed() {
    let files = Files::open().await;
    let key = files.key("a.txt");
    put(&files.bucket, &key, "one").await.unwrap();
    assert_eq!(code(put(&files.bucket, &key, "two").await), "api.conflict");
    files.bucket.upload(&key, "three", &UploadOptions::default().upsert()).await.unwrap();
    assert_eq!(files.read(&key).await, b"three");
    let nameless = Call::new(Service::Storage, Method::POST).segment("object").segment("bucket4").segment("");
    assert_eq!(files.cloud.client().send(nameless.json(&json!({})).unwrap()).await.unwrap_err().status(), Some(400));
    // The marker of an empty folder holds nothing.
    let marker = format!("{}/empty/.emptyFolderPlaceholder", files.server.demo().workspace_id);
    assert_eq!(code(put(&files.bucket, &marker, "x").await), "storage.too_large");
    put(&files.bucket, &marker, "").await.unwrap();
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_9_metadata_comes_back_as_it_was_given() {
    let files = Files::open().await;
    let Json::Object(values) = json!({"test1": "test1", "test2": "größe €"}) else { unreachable!() };
    let options = UploadOptions::default().metadata(values.clone());
    let (plain, resumed) = (files.key("plain"), files.key("resumed"));
    files.bucket.upload(&plain, "x", &options).await.unwrap();
    files.bucket.upload_resumable(&resumed, "x", options).unwrap().finish().await.unwrap();
    for key in [plain, resumed] {
        assert_eq!(files.bucket.info(&key).await.unwrap().metadata, Some(values.clone()), "{key}");
    }
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_10_entries_are_listed_by_prefix_with_no_letter_meaning_more_than_itself() {
    let files = Files::open().await;
    let bucket = make_bucket(files.cloud.client(), &json!({"name": "b"})).await;
    let keys =
        ["folder/only_uid.jpg", "folder/subfolder/a", "folder/UPPER-folder/c", "public/100", "a_c", "abc", "AbC"];
    for key in keys {
        put(&bucket, key, "x").await.unwrap();
    }
    let page = async |prefix: &str| bucket.list_folder(prefix).page().await.unwrap();
    assert_eq!(names(&page("folder").await), ["subfolder", "UPPER-folder", "only_uid.jpg"]);
    assert!(page("notfound").await.is_empty());
    assert_eq!(names(&page("PUBLIC/").await), ["100"], "the older call does not look at case");
    for (text, found) in [("%", vec![]), ("a_", vec!["a_c"]), ("A", vec!["a_c", "AbC", "abc"])] {
        assert_eq!(names(&bucket.list_folder("").search(text).page().await.unwrap()), found, "{text}");
    }
    for (prefix, found) in [("%", vec![]), ("a_", vec!["a_c"]), ("a", vec!["a_c", "abc"]), ("PUBLIC/", vec![])] {
        assert_eq!(names(&bucket.list(prefix).all(10).await.unwrap()), found, "{prefix}: the newer call looks at case");
    }
    let nobody = nobody(&files).storage().bucket("b");
    let error = nobody.list_folder("").page().await.unwrap_err();
    assert_eq!((error.status(), error.is_retryable()), (Some(400), false));
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_11_folders_come_in_the_order_of_their_making_whatever_the_objects_do() {
    let files = Files::open().await;
    let bucket = make_bucket(files.cloud.client(), &json!({"name": "b"})).await;
    for key in ["z/1", "m", "a/1", "c", "z/2"] {
        put(&bucket, key, "x").await.unwrap();
    }
    for order in [Order::Newest, Order::LastChanged] {
        let page = bucket.list("").with_folders().order(order).page().await.unwrap();
        assert_eq!((names(&page.folders), names(&page.objects)), (vec!["z/", "a/"], vec!["c", "m"]), "{order:?}");
        let page = bucket.list("").order(order).page().await.unwrap();
        assert_eq!((names(&page.folders), names(&page.objects)), (vec![], vec!["z/2", "c", "a/1", "m", "z/1"]));
    }
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_12_a_removal_tells_what_went_and_nothing_more() {
    let files = Files::open().await;
    let (mine, gone) = (files.key("mine"), files.key("gone"));
    put(&files.bucket, &mine, "x").await.unwrap();
    let removed = files.bucket.remove([mine.as_str(), gone.as_str(), "another/place"]).await.unwrap();
    assert_eq!(removed, [mine.as_str()]);
    assert!(files.bucket.remove([&mine, &gone]).await.unwrap().is_empty(), "missing keys are no failure");
    let nowhere = files.cloud.client().storage().bucket("nowhere");
    assert!(nowhere.remove(["a"]).await.unwrap().is_empty(), "nor is a missing bucket");
    let nobody = nobody(&files).storage().bucket(files.bucket.name());
    assert_eq!(nobody.remove([&mine]).await.unwrap_err().status(), Some(400));
    // The call for one object, which the SDK does not use, does not find it.
    let one = Call::new(Service::Storage, Method::DELETE).segment("object").segment(files.bucket.name());
    let error = files.cloud.client().send(one.segment("gone")).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.status()), ("api.not_found", Some(400)));
    stop(files.cloud).await;
}

#[tokio::test]
async fn vectors_13_and_14_a_signed_permission_is_for_one_thing_and_a_while() {
    let files = Files::open().await;
    let (here, other) = (files.key("here"), files.key("other"));
    put(&files.bucket, &here, "x").await.unwrap();
    let links = files.cloud.client().storage().bucket("nowhere").sign_downloads(["a", "b"], MINUTE).await.unwrap();
    for link in links {
        let error = link.unwrap_err();
        let why = "Either the object does not exist or you do not have access to it";
        assert_eq!((error.code().as_str(), error.detail()), ("api.not_found", Some(why)));
    }
    let error = files.bucket.sign_download(&here, Duration::from_secs(u64::MAX)).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.status()), ("api.rejected", Some(400)));
    assert!(error.detail().unwrap().contains("expiresIn"));

    let stranger = nobody(&files).storage().bucket(files.bucket.name());
    let link = files.bucket.sign_download(&here, MINUTE).await.unwrap();
    let token = |url: &str| url.split_once("token=").unwrap().1.to_owned();
    let download_token = token(link.url().expose_secret());
    let stolen = SignedUpload::new(&here, download_token.clone().into()).unwrap();
    assert_eq!(code(stranger.upload_signed(&stolen, "y", &UploadOptions::default()).await), "storage.link_invalid");

    let permission = files.bucket.sign_upload(&other).await.unwrap();
    let upload_token = permission.secret().expose_secret().to_owned();
    let get = async |key: &str, token: &str| {
        let call = Call::new(Service::Storage, Method::GET).segment("object").segment("sign");
        let call = key.split('/').fold(call.segment(files.bucket.name()), Call::segment).query("token", token);
        nobody(&files).send(call).await.map_err(|error| error.status())
    };
    assert!(get(&here, &download_token).await.is_ok());
    for (key, token) in [(&here, &upload_token), (&other, &upload_token), (&other, &download_token)] {
        assert_eq!(get(key, token).await.unwrap_err(), Some(400));
    }

    // Hours later.
    assert_eq!(stranger.download_signed(&link).bytes(9).await.unwrap(), "x");
    files.server.skew_clock(3 * 3600);
    assert_eq!(code(stranger.download_signed(&link).bytes(9).await), "storage.link_invalid");
    let late = stranger.upload_signed(&permission, "y", &UploadOptions::default()).await;
    assert_eq!(code(late), "storage.link_invalid");
    files.server.skew_clock(0);
    assert_eq!(files.read(&here).await, b"x");
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_15_a_move_onto_another_object_changes_neither() {
    let files = Files::open().await;
    let (from, to) = (files.key("from"), files.key("to"));
    put(&files.bucket, &from, "one").await.unwrap();
    put(&files.bucket, &to, "two").await.unwrap();
    assert_eq!(code(files.bucket.move_to(&from, &to).await), "api.conflict");
    assert_eq!((files.read(&from).await, files.read(&to).await), (b"one".to_vec(), b"two".to_vec()));
    stop(files.cloud).await;
}

#[tokio::test]
async fn vector_16_ranges_of_ten_bytes_are_what_was_asked_for_as_far_as_it_is_there() {
    let files = Files::open().await;
    let key = files.key("digits");
    put(&files.bucket, &key, "0123456789").await.unwrap();
    let read = async |from: u64, len: Option<u64>| {
        let download = files.bucket.download(&key).from(from);
        let download = if let Some(len) = len { download.take(len) } else { download };
        download.bytes(100).await
    };
    for (from, len, found) in
        [(0, Some(1), "0"), (2, Some(4), "2345"), (7, None, "789"), (5, None, "56789"), (8, Some(92), "89")]
    {
        assert_eq!(read(from, len).await.unwrap(), found, "{from} {len:?}");
    }
    assert_eq!(read(10, Some(3)).await.unwrap_err().status(), Some(416), "nothing is there");
    stop(files.cloud).await;
}
