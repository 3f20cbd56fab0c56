//! Resumable uploads through a scripted transport.
use std::{sync::Arc, time::Duration};

use cloud_client::{
    capability::{Capability, Support, Unsupported},
    error::codes,
    storage::{Bucket, ResumableUpload, ResumeTicket, UploadOptions},
    testing::{Scripted, Sent, Step},
};
use http::HeaderName;

use crate::{
    Session, client,
    storage::{bucket, missing},
};

const BYTES: &str = "0123456789abc";

fn created() -> Step {
    Step::json(201, "")
        .header("location", "https://elsewhere.example:8000/storage/v1:8000/upload/resumable/dGhlLWlk")
        .header("upload-expires", "Thu, 01 Jan 1970 00:16:40 GMT")
}

fn at(offset: u64) -> Step {
    Step::json(204, "").header("upload-offset", &offset.to_string())
}

fn asked(offset: u64) -> Step {
    Step::json(200, "").header("upload-offset", &offset.to_string()).header("upload-length", "13")
}

fn text(status: u16, body: &str) -> Step {
    Step::answer(status, "text/plain", body)
}

/// What a server says of its uploads that says nothing of them.
fn silent() -> Step {
    text(404, "no such page")
}

fn offer(max_bytes: &str) -> Step {
    let all = "creation,creation-with-upload,termination,expiration";
    text(204, "").header("tus-version", "1.0.0").header("tus-extension", all).header("tus-max-size", max_bytes)
}

/// A server that makes no offer, and then `steps`.
fn script(steps: impl IntoIterator<Item = Step>) -> Scripted {
    Scripted::new([silent()].into_iter().chain(steps))
}

/// Everything that was sent but the question for the offer.
fn requests(scripted: &Scripted) -> Vec<Sent> {
    let all = scripted.sent().into_iter();
    all.filter(|sent| !sent.target.starts_with("OPTIONS ")).collect()
}

fn upload(bucket: &Bucket) -> ResumableUpload {
    bucket.upload_resumable("ws1/abc.bin", BYTES, UploadOptions::default()).unwrap().chunk_bytes(6)
}

/// `METHOD offset body` of everything that was sent.
fn sent(scripted: &Scripted) -> Vec<String> {
    let line = |sent: Sent| {
        let method = sent.target.split(' ').next().unwrap_or_default().to_owned();
        format!("{method} {} {}", sent.header("upload-offset"), sent.body).trim().to_owned()
    };
    requests(scripted).into_iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn a11_an_upload_goes_in_chunks_to_our_own_origin_whatever_the_location_says() {
    let scripted = script([created(), at(6), at(12), at(13)]);
    let options = UploadOptions::default().cache_control(Duration::from_secs(3600)).upsert();
    let upload = bucket(&scripted).upload_resumable("ws1/abc.bin", BYTES, options).unwrap().chunk_bytes(6);
    assert_eq!(upload.finish().await.unwrap().size_bytes, 13);
    assert_eq!(sent(&scripted), ["POST", "PATCH 0 012345", "PATCH 6 6789ab", "PATCH 12 c"]);
    let all = requests(&scripted);
    assert_eq!(all[0].target, "POST /storage/v1/upload/resumable");
    assert_eq!(all[0].header("upload-length"), "13");
    assert_eq!(
        all[0].header("upload-metadata"),
        "bucketName d29ya3NwYWNlLWZpbGVz,objectName d3MxL2FiYy5iaW4=,\
         contentType YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt,cacheControl MzYwMA=="
    );
    for sent in &all {
        assert_eq!((sent.header("tus-resumable"), sent.header("x-upsert")), ("1.0.0", "true"));
    }
    for sent in &all[1..] {
        assert_eq!(sent.target, "PATCH /storage/v1/upload/resumable/dGhlLWlk");
        assert_eq!(sent.header("content-type"), "application/offset+octet-stream");
    }
}

#[tokio::test(start_paused = true)]
async fn after_anything_uncertain_the_server_is_asked_before_a_byte_is_sent() {
    for (trouble, kept, next) in [
        (Step::fail(codes::CUT), 3, "PATCH 3 345678"),
        (text(409, "Upload-Offset conflict\n"), 6, "PATCH 6 6789ab"),
        (text(400, "Request aborted due to lock acquired"), 0, "PATCH 0 012345"),
        (text(500, "Something went wrong receiving the file\n"), 1, "PATCH 1 123456"),
        (text(423, ""), 0, "PATCH 0 012345"),
        (at(99), 6, "PATCH 6 6789ab"),
        (at(0), 6, "PATCH 6 6789ab"),
        (Step::json(204, ""), 6, "PATCH 6 6789ab"),
    ] {
        let scripted = script([created(), trouble, asked(kept), at(13)]);
        let mut upload = upload(&bucket(&scripted));
        upload.advance().await.unwrap();
        let advanced = upload.advance().await;
        // Nothing kept is nothing to hand out: the course went on by itself.
        if kept == 0 {
            assert!(advanced.is_err(), "the answer to the next chunk is past its end, and the script is over");
        } else {
            assert_eq!(advanced.unwrap().unwrap().offset_bytes, kept);
            let _ = upload.advance().await;
        }
        assert_eq!(sent(&scripted)[1..4], ["PATCH 0 012345".to_owned(), "HEAD".to_owned(), next.to_owned()]);
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_from_a_ticket_without_secrets() {
    let scripted = script([created(), at(6)]);
    let session = || Arc::new(Session::default());
    let files = client(&scripted).with_token_source(session()).storage().bucket("workspace-files");
    let mut first = upload(&files);
    first.advance().await.unwrap();
    let ticket = first.advance().await.unwrap().unwrap();
    drop(first);
    let text = serde_json::to_string(&ticket).unwrap();
    assert!(!text.contains("token-") && !text.contains("sb_publishable"));
    let ticket: ResumeTicket = serde_json::from_str(&text).unwrap();
    assert_eq!((ticket.offset_bytes, ticket.expires_at, ticket.upload_id.as_str()), (6, Some(1000), "dGhlLWlk"));

    let scripted = Scripted::new([asked(9), at(13)]);
    upload(&bucket(&scripted)).resume(&ticket).unwrap().finish().await.unwrap();
    assert_eq!(sent(&scripted), ["HEAD", "PATCH 9 9abc"]);

    let scripted = Scripted::default();
    let files = bucket(&scripted);
    let begin = |bytes: &'static str| files.upload_resumable("ws1/abc.bin", bytes, UploadOptions::default()).unwrap();
    let mut elsewhere = ticket.clone();
    elsewhere.origin = "https://elsewhere.example".to_owned();
    let mut stray = ticket.clone();
    stray.upload_id = "../../rest/v1/t".to_owned();
    for refused in [
        begin("0123456789abX").resume(&ticket),
        begin("0123").resume(&ticket),
        begin(BYTES).resume(&elsewhere),
        begin(BYTES).resume(&stray),
        files.upload_resumable("other", BYTES, UploadOptions::default()).unwrap().resume(&ticket),
    ] {
        assert_eq!(refused.unwrap_err().code(), codes::TICKET_MISMATCH);
    }
    assert!(requests(&scripted).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_is_replaced_and_the_same_chunk_sent_again() {
    for over in [
        text(400, "\"exp\" claim timestamp check failed"),
        Step::json(
            400,
            r#"{"statusCode":"403","error":"Unauthorized","message":"\"exp\" claim timestamp check failed"}"#,
        ),
        Step::json(401, r#"{"message":"jwt expired"}"#),
    ] {
        let scripted = script([created(), at(6), over, at(12), at(13)]);
        let session = Arc::new(Session::default());
        let files = client(&scripted).with_token_source(session).storage().bucket("workspace-files");
        upload(&files).finish().await.unwrap();
        assert_eq!(sent(&scripted)[2..], ["PATCH 6 6789ab", "PATCH 6 6789ab", "PATCH 12 c"]);
        let bearers: Vec<_> = requests(&scripted).iter().map(|sent| sent.header("authorization").to_owned()).collect();
        assert_eq!(bearers[2..], ["Bearer token-0", "Bearer token-1", "Bearer token-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_last_answer_is_settled_by_the_object_itself() {
    let info = || Step::json(200, r#"{"size":13}"#);
    let lost =
        || [created(), at(6), at(12), Step::fail(codes::CUT), text(410, "The file for this url no longer exists\n")];
    let scripted = script(lost().into_iter().chain([info(), text(200, BYTES)]));
    upload(&bucket(&scripted)).finish().await.unwrap();
    assert_eq!(requests(&scripted).last().unwrap().target, "GET /storage/v1/object/workspace-files/ws1/abc.bin");

    // Not there: begun anew, once more from the first byte.
    let scripted = script(lost().into_iter().chain([missing(), created(), at(6), at(12), at(13)]));
    upload(&bucket(&scripted)).finish().await.unwrap();
    assert_eq!(sent(&scripted)[6..], ["POST", "PATCH 0 012345", "PATCH 6 6789ab", "PATCH 12 c"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_ends_with_its_own_code() {
    for (at_creation, step, code) in [
        (true, text(413, "Maximum size exceeded\n"), codes::FILE_TOO_LARGE),
        (true, text(404, "Bucket not found"), codes::NOT_FOUND),
        (true, text(403, "new row violates row-level security policy"), codes::FORBIDDEN),
        (false, text(409, "The resource already exists"), codes::CONFLICT),
        (false, text(413, "upload's size exceeded\n"), codes::FILE_TOO_LARGE),
        (false, text(403, "Upload-Offset header required\n"), codes::FORBIDDEN),
    ] {
        let steps = if at_creation { vec![step] } else { vec![created(), step] };
        let (count, scripted) = (steps.len(), script(steps));
        let error = upload(&bucket(&scripted)).finish().await.unwrap_err();
        assert_eq!((error.code(), requests(&scripted).len()), (code, count));
    }
}

#[tokio::test(start_paused = true)]
async fn b04_a_dead_cloud_is_given_up_and_a_later_call_goes_on() {
    let scripted = script([created(), at(6)]);
    let mut upload = upload(&bucket(&scripted));
    upload.advance().await.unwrap();
    upload.advance().await.unwrap();
    let error = upload.advance().await.unwrap_err();
    assert_eq!((error.code(), requests(&scripted).len()), (codes::CONNECT, 2 + 7));
    scripted.then([asked(6), at(12), at(13)]);
    while upload.advance().await.unwrap().is_some() {}
    assert_eq!(sent(&scripted)[9..], ["HEAD", "PATCH 6 6789ab", "PATCH 12 c"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_step_asks_first_when_it_is_taken_up() {
    let scripted = script([created(), at(6).after(Duration::from_secs(9)), asked(6), at(12), at(13)]);
    let files = bucket(&scripted);
    let mut upload = upload(&files);
    upload.advance().await.unwrap();
    let clock = cloud_client::clock::SharedClock::default();
    assert!(clock.within(Duration::from_secs(1), upload.advance()).await.is_none());
    let ticket = upload.ticket().unwrap();
    upload.finish().await.unwrap();
    assert_eq!(sent(&scripted)[1..], ["PATCH 0 012345", "HEAD", "PATCH 6 6789ab", "PATCH 12 c"]);

    scripted.then([Step::json(204, ""), text(404, "The file for this url was not found\n"), text(400, "x")]);
    files.terminate(&ticket).await.unwrap();
    files.terminate(&ticket).await.unwrap();
    assert_eq!(files.terminate(&ticket).await.unwrap_err().code(), codes::REJECTED);
    assert_eq!(requests(&scripted)[5].target, "DELETE /storage/v1/upload/resumable/dGhlLWlk");
}

#[tokio::test(start_paused = true)]
async fn a_signed_upload_uses_its_own_route_and_hides_its_permission() {
    let signed = Step::json(200, r#"{"url":"/x?token=up.lo.ad","token":"up.lo.ad"}"#);
    let scripted = Scripted::new([signed, silent(), created(), at(13), created(), text(400, "Invalid Compact JWS")]);
    let files = bucket(&scripted);
    let permission = files.sign_upload("ws1/abc.bin").await.unwrap();
    let begin = || upload(&files).chunk_bytes(100).signed(permission.clone()).unwrap();
    begin().finish().await.unwrap();
    for sent in &requests(&scripted)[1..] {
        assert!(sent.target.contains("/storage/v1/upload/resumable/sign"));
        let signature = &sent.headers[HeaderName::from_static("x-signature")];
        assert!(signature == "up.lo.ad" && signature.is_sensitive());
        assert_eq!(sent.header("authorization"), "");
    }
    assert_eq!(requests(&scripted)[2].target, "PATCH /storage/v1/upload/resumable/sign/dGhlLWlk");
    let error = begin().finish().await.unwrap_err();
    assert_eq!(error.code(), codes::LINK_INVALID);
}

#[tokio::test(start_paused = true)]
async fn no_bytes_at_all_are_sent_in_one_request() {
    let scripted = Scripted::new([Step::json(200, r#"{"Id":"1","Key":"workspace-files/a"}"#)]);
    let upload = bucket(&scripted).upload_resumable("a", "", UploadOptions::default()).unwrap();
    assert_eq!(upload.finish().await.unwrap().size_bytes, 0);
    assert_eq!(requests(&scripted)[0].target, "POST /storage/v1/object/workspace-files/a");
}

/// Storage vectors 17 and 18.
#[tokio::test(start_paused = true)]
async fn content_of_one_chunk_is_one_request_where_the_server_offers_that_and_it_is_asked_once() {
    let whole = || created().header("upload-offset", "13");
    let scripted = Scripted::new([offer("100"), whole(), whole(), created(), at(6), at(12), at(13)]);
    let files = bucket(&scripted);
    for _ in 0..2 {
        upload(&files).chunk_bytes(13).finish().await.unwrap();
    }
    let all = scripted.sent();
    assert_eq!(all[0].target, "OPTIONS /storage/v1/upload/resumable");
    assert_eq!(all.len(), 3, "one question and one request each");
    for sent in &all[1..] {
        assert_eq!(
            (sent.header("upload-length"), sent.header("content-type")),
            ("13", "application/offset+octet-stream")
        );
        assert_eq!((sent.header("content-length"), sent.body.as_str()), ("", BYTES));
    }
    // More than a chunk: its place is learned before its bytes go out.
    upload(&files).finish().await.unwrap();
    assert_eq!(sent(&scripted)[2..], ["POST", "PATCH 0 012345", "PATCH 6 6789ab", "PATCH 12 c"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_whole_creation_is_settled_by_the_object_itself() {
    let taken = || text(409, "The resource already exists");
    let info = || Step::json(200, r#"{"size":13}"#);
    for (body, end) in [(BYTES, None), ("other bytes!!", Some(codes::CONFLICT))] {
        let scripted = Scripted::new([offer("0"), Step::fail(codes::CUT), taken(), info(), text(200, body)]);
        let done = upload(&bucket(&scripted)).chunk_bytes(13).finish().await;
        assert_eq!(done.err().map(|error| error.code()), end);
    }
    // Nothing was lost: the key belongs to somebody else.
    let scripted = Scripted::new([offer("0"), taken()]);
    let error = upload(&bucket(&scripted)).chunk_bytes(13).finish().await.unwrap_err();
    assert_eq!((error.code(), scripted.sent().len()), (codes::CONFLICT, 2));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_offer_is_refused_before_a_byte_is_sent() {
    let scripted = Scripted::new([offer("12")]);
    let error = upload(&bucket(&scripted)).finish().await.unwrap_err();
    assert_eq!(error.code(), codes::FILE_TOO_LARGE);
    assert!(error.detail().unwrap().contains("12 bytes"), "{error:?}");
    assert_eq!(scripted.sent().len(), 1);

    let poor = text(204, "").header("tus-version", "1.0.0").header("tus-extension", "termination");
    let scripted = Scripted::new([poor]);
    let cloud = client(&scripted);
    let start = || upload(&cloud.storage().bucket("workspace-files"));
    for _ in 0..2 {
        let error = start().finish().await.unwrap_err();
        assert_eq!(Unsupported::of(&error).unwrap().capability, Capability::STORAGE_RESUMABLE);
    }
    assert_eq!(scripted.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_such_uploads_is_known_as_one() {
    for gone in [
        Step::json(404, r#"{"message":"Route POST:/upload/resumable not found","error":"Not Found","statusCode":404}"#),
        text(405, ""),
        text(501, "not supported"),
    ] {
        let scripted = script([gone]);
        let cloud = client(&scripted);
        let error = upload(&cloud.storage().bucket("workspace-files")).finish().await.unwrap_err();
        assert_eq!((error.code(), requests(&scripted).len()), (codes::UNSUPPORTED, 1));
        assert!(cloud.capabilities().require(&Capability::STORAGE_RESUMABLE).is_err());
    }
    // A bucket that is missing says nothing about uploads.
    let scripted = script([text(404, "Bucket not found"), created(), at(6), at(12), at(13)]);
    let cloud = client(&scripted);
    let start = || upload(&cloud.storage().bucket("workspace-files"));
    assert_eq!(start().finish().await.unwrap_err().code(), codes::NOT_FOUND);
    assert_eq!(cloud.capabilities().support(&Capability::STORAGE_RESUMABLE), Support::Unknown);
    start().finish().await.unwrap();
    assert_eq!(cloud.capabilities().support(&Capability::STORAGE_RESUMABLE), Support::Supported);
}
