//! Answers that are no success: whatever service, status, headers and body, the error says nothing of the body.
//!
//! Input, like an HTTP message: `status service`, header lines, an empty line, the body. An error may print its own
//! words, the operation, the status, the request id and what it kept of the server's code, cut to a word: so its text
//! must be that of an error made of these alone.
#![no_main]
use bytes::Bytes;
use cloud_client::{Error, call::Call, error::Service};
use cloud_fuzz::{Answer, run};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((service, answer)) = answer(input) else { return };
    let call = Call::new(service, Method::POST).segment("thing");
    let operation = format!("{call:?}").trim_start_matches("Call(").trim_end_matches(')').to_owned();
    let success = answer.status.is_success();
    match run(answer.client().send(call)) {
        Ok(_) => assert!(success, "taken for a success"),
        Err(error) => says_nothing_of_the_body(&error, operation),
    }
});

fn answer(input: &[u8]) -> Option<(Service, Answer)> {
    let end = input.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (input.get(..end)?, input.get(end + 2..)?);
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (status, service) = first.split_once(' ')?;
    let service = match service {
        "auth" => Service::Auth,
        "storage" => Service::Storage,
        "functions" => Service::Functions,
        _ => Service::Rest,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?);
    }
    let status = StatusCode::from_u16(status.parse().ok()?).ok()?;
    Some((service, Answer { status, headers, body: Bytes::copy_from_slice(body) }))
}

fn says_nothing_of_the_body(error: &Error, operation: String) {
    let mut bare = Error::new(error.code()).during(operation).with_attempts(error.attempts());
    if let Some(status) = error.status() {
        bare = bare.with_status(status);
    }
    if let Some(code) = error.server_code() {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!(code.len() <= 64 && code.bytes().all(word), "not a word: {code:?}");
        bare = bare.with_server_code(code);
    }
    if let Some(wait) = error.retry_after() {
        bare = bare.with_retry_after(wait);
    }
    if let Some(id) = error.request_id() {
        assert!(id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()), "not an id: {id:?}");
        bare = bare.with_request_id(id);
    }
    assert_eq!(error.to_string(), bare.to_string());
    assert_eq!(format!("{error:?}"), format!("{bare:?}"));
    assert_eq!(format!("{error:#?}"), format!("{bare:#?}"));
    assert!(error.detail().is_none_or(|detail| detail.len() <= 1024), "a detail without limit");
}
