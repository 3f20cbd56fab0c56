//! `Content-Range` of a counted read: the total is the number behind the `/`, if it is one, and is the same to whoever
//! asks for it. The input is the header's value.
#![no_main]
use bytes::Bytes;
use cloud_client::rest::Count;
use cloud_fuzz::{Answer, run};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|input: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, value)]);
    let body = Bytes::from_static(b"[{},{}]");
    let client = Answer { status: StatusCode::PARTIAL_CONTENT, headers, body }.client();
    let query = client.table("tasks").select(["id"]).limit(2).count();

    let rows = run(query.fetch::<IgnoredAny>()).expect("two rows");
    let wanted = total(input);
    assert_eq!((rows.len(), rows.total()), (2, wanted));
    assert_eq!(rows.is_cut(), wanted.is_none_or(|total| total > 2));
    assert_eq!(run(query.count_rows(Count::Exact)).ok(), wanted);
});

/// RFC 9110 §14.4: one or more digits, or `*` for "unknown".
fn total(value: &[u8]) -> Option<usize> {
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return None;
    }
    let slash = value.iter().position(|byte| *byte == b'/')?;
    let digits = value.get(slash + 1..)?.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
