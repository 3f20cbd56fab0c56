//! Reads `Retry-After` in all its forms: seconds, or one of the three HTTP dates (T3). Source: RFC 9110 §10.2.3.
use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// How long the server asks to wait, seen from `now`. A date in the past is zero; nonsense is `None`.
pub fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still "very long"; the caller clamps.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn wait(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).ok()?);
        // 1994-11-06 08:49:07 UTC
        parse(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747))
    }

    #[test]
    fn t03_seconds_and_the_three_dates_are_understood() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_value_panics(text in "[ -~]{0,60}") {
            let _ = wait(&text);
        }
    }
}
