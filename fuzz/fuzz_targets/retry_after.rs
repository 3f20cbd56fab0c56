//! `Retry-After`: no value panics, plain seconds are taken as they are, and a later clock never waits longer.
#![no_main]
use std::time::{Duration, SystemTime};

use cloud_client::retry::retry_after;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value)]);
    // 1994-11-06 08:49:07 UTC, half a minute before the date that the standard's examples show.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
    let wait = retry_after::parse(&headers, now);
    let text = input.trim_ascii();
    let visible = input.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if visible && !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        let seconds =
            text.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        assert_eq!(wait, Some(Duration::from_secs(seconds.unwrap_or(u64::MAX))));
        return;
    }
    for later in [1, 30, 100_000_000_000] {
        let then = retry_after::parse(&headers, now + Duration::from_secs(later));
        assert_eq!(then.is_some(), wait.is_some());
        assert!(then <= wait, "waits longer at a later time");
    }
    assert_eq!(retry_after::parse(&headers, SystemTime::UNIX_EPOCH).is_some(), wait.is_some());
});
