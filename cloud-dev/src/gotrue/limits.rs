//! How often one caller may ask, where that is switched on: a bucket of tokens for each endpoint and caller.
//!
//! A caller is the value of `X-Forwarded-For`, or this machine. Time is the cloud's own, so that a test moves it.
//! Wire source: GoTrue, rate limits of 2.196: bursts of 30, then as many as the period gives.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::{Method, StatusCode};

use super::{call::Call, error::AuthError};

/// Requests that may come at once.
const BURST: f64 = 30.0;

/// Callers that are told apart; when there are more, all start anew.
const MAX_CALLERS: usize = 10_000;

/// What was taken from a bucket, and when.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: i64,
}

/// The buckets of one cloud.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    buckets: Mutex<HashMap<(&'static str, String), Bucket>>,
}

impl Limits {
    /// Counts a request, and refuses it if it is one too many.
    pub(crate) fn check(&self, call: &Call<'_>, path: &str) -> Result<(), AuthError> {
        let anonymous = call.text("email").is_none() && call.text("phone").is_none();
        let Some((name, per_second)) = rate(&call.parts.method, path, anonymous) else { return Ok(()) };
        let header = call.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let caller = header.unwrap_or_default().split(',').next().unwrap_or_default().trim().to_owned();
        if self.take(name, caller, per_second, call.cloud.now_micros()) {
            return Ok(());
        }
        let message = "Request rate limit reached";
        Err(AuthError::new(StatusCode::TOO_MANY_REQUESTS, "over_request_rate_limit", message))
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a test fit")]
    fn take(&self, name: &'static str, caller: String, per_second: f64, now: i64) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_CALLERS {
            buckets.clear();
        }
        let bucket = buckets.entry((name, caller)).or_insert(Bucket { left: BURST, at: now });
        let gone = now.saturating_sub(bucket.at).max(0) as f64 / 1_000_000.0;
        bucket.left = (bucket.left + gone * per_second).min(BURST);
        bucket.at = now;
        let good = bucket.left >= 1.0;
        if good {
            bucket.left -= 1.0;
        }
        good
    }
}

/// The bucket of a request, and how many requests a second it gains.
fn rate(method: &Method, path: &str, anonymous: bool) -> Option<(&'static str, f64)> {
    let five_minutes = |number: f64| number / 300.0;
    Some(match (method.as_str(), path) {
        ("POST", "/token") => ("token", five_minutes(150.0)),
        ("GET" | "POST", "/verify") => ("verify", five_minutes(30.0)),
        ("POST", "/signup") if anonymous => ("anonymous", 30.0 / 3600.0),
        ("POST", "/signup") => ("signup", five_minutes(30.0)),
        ("POST", "/otp") => ("otp", five_minutes(30.0)),
        ("POST", "/magiclink") => ("magiclink", five_minutes(30.0)),
        ("POST", "/recover") => ("recover", five_minutes(30.0)),
        ("POST", "/resend") => ("resend", five_minutes(30.0)),
        ("PUT", "/user") => ("user", five_minutes(30.0)),
        ("POST", "/sso") => ("sso", five_minutes(30.0)),
        ("POST", path) if path.starts_with("/factors/") => ("factors", 15.0 / 60.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_at_once_and_then_as_many_as_time_gives() {
        let limits = Limits::default();
        let take = |caller: &str, now| limits.take("token", caller.to_owned(), 0.5, now);
        assert!((0..30).all(|_| take("a", 0)));
        assert!(!take("a", 0));
        assert!(take("b", 0), "another caller has a bucket of its own");
        assert!(!take("a", 1_000_000));
        assert!(take("a", 2_000_000));
        assert!(!take("a", 2_000_000));
    }
}
