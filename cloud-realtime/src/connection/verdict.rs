//! What follows from a refused upgrade, a failed attempt or a close code: one fixed action each (R14).
//!
//! The status decides first, the words second: servers before mid-2026 answer every refusal with an empty 403. No close
//! code means "do not come back"; it only sets how.
//! Source: Supabase Realtime, answers to the upgrade; RFC 6455, section 7.4; Phoenix and its web servers for the codes.
use std::time::Duration;

use cloud_client::{Error, ErrorKind, retry::RETRY_AFTER_LIMIT};

use crate::{
    codes::{LIMITED, SOCKET_LOST, SOCKET_REFUSED, SOCKET_UNAUTHENTICATED},
    socket::ConnectError,
};

/// A server that asks to slow down is left alone for at least so long.
pub(crate) const LIMITED_WAIT: Duration = Duration::from_secs(30);

/// What to do after an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try again after the usual pause.
    Retry,
    /// Try again, not earlier than after this.
    NotBefore(Duration),
    /// Renew the credentials and try again, once; then stop.
    Renew,
    /// Wait for the host.
    Stop,
}

/// How to come back after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Spread with everybody else over some seconds.
    Spread,
    /// After a pause that grows, as after a failure: coming back soon would end the same way.
    Pause,
    /// With new credentials, after a pause that grows.
    Renew,
    /// After half a minute at least.
    Limited,
}

/// The verdict on a failed attempt to open the socket, and the error to show.
pub(crate) fn of_attempt(error: ConnectError) -> (Verdict, Error) {
    match error {
        ConnectError::Refused { status, body, retry_after } => {
            let (verdict, code) = match status {
                401 if body.to_ascii_lowercase().contains("expired") => (Verdict::Renew, SOCKET_UNAUTHENTICATED),
                401 => (Verdict::Stop, SOCKET_UNAUTHENTICATED),
                403 if body.trim().is_empty() => (Verdict::Renew, SOCKET_UNAUTHENTICATED),
                300..=399 | 400 | 403 | 404 => (Verdict::Stop, SOCKET_REFUSED),
                408 | 425 => (Verdict::Retry, SOCKET_LOST),
                429 => (Verdict::NotBefore(LIMITED_WAIT), LIMITED),
                // A 4xx without a known meaning may be the word of something on the way: neither fast nor for ever.
                402..=499 => (Verdict::NotBefore(LIMITED_WAIT), SOCKET_LOST),
                _ => (Verdict::Retry, SOCKET_LOST),
            };
            let error = Error::new(code).with_status(status).with_detail(&body);
            wish(verdict, error, retry_after)
        }
        other => (Verdict::Retry, Error::new(SOCKET_LOST).with_source(other)),
    }
}

/// The verdict on credentials that could not be had.
pub(crate) fn of_credentials(error: &Error) -> Verdict {
    match error.kind() {
        ErrorKind::Unauthenticated => Verdict::Renew,
        ErrorKind::RateLimited => Verdict::NotBefore(asked_for(error).max(LIMITED_WAIT)),
        kind if kind.is_transient() => match error.retry_after() {
            Some(_) => Verdict::NotBefore(asked_for(error)),
            None => Verdict::Retry,
        },
        _ => Verdict::Stop,
    }
}

/// How to come back after a close with this code; `None` is a connection that went away without a word.
pub(crate) const fn of_close(code: Option<u16>) -> Return {
    match code {
        // Policy, unauthorized, forbidden, and their usual private spellings.
        Some(1008 | 3000 | 3003 | 4001 | 4003 | 4401 | 4403) => Return::Renew,
        // Try again later; too many requests.
        Some(1013 | 4429) => Return::Limited,
        // Something we sent or are: an unknown kind of data, invalid text, too large, an extension, a bad handshake.
        Some(1003 | 1007 | 1009 | 1010 | 1015) => Return::Pause,
        // Normal, going away, a server that broke off, restarts, drains, crashed, or private words of the application.
        _ => Return::Spread,
    }
}

fn wish(verdict: Verdict, error: Error, retry_after: Option<Duration>) -> (Verdict, Error) {
    let Some(wait) = retry_after else { return (verdict, error) };
    let wait = wait.min(RETRY_AFTER_LIMIT);
    let verdict = match verdict {
        Verdict::Retry => Verdict::NotBefore(wait),
        Verdict::NotBefore(least) => Verdict::NotBefore(wait.max(least)),
        other => other,
    };
    (verdict, error.with_retry_after(wait))
}

fn asked_for(error: &Error) -> Duration {
    error.retry_after().unwrap_or_default().min(RETRY_AFTER_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r14_every_refusal_of_the_upgrade_has_one_answer() {
        let half_minute = Verdict::NotBefore(LIMITED_WAIT);
        for (status, body, retry_after, expected, code) in [
            (400, "", None, Verdict::Stop, SOCKET_REFUSED),
            (401, r#"{"error":"Token has expired"}"#, None, Verdict::Renew, SOCKET_UNAUTHENTICATED),
            (401, r#"{"error":"API key is missing"}"#, None, Verdict::Stop, SOCKET_UNAUTHENTICATED),
            (403, "", None, Verdict::Renew, SOCKET_UNAUTHENTICATED),
            (403, r#"{"error":"Realtime was disabled for this tenant"}"#, None, Verdict::Stop, SOCKET_REFUSED),
            (404, r#"{"error":"Tenant not found"}"#, None, Verdict::Stop, SOCKET_REFUSED),
            (301, "", None, Verdict::Stop, SOCKET_REFUSED),
            (308, "", Some(1), Verdict::Stop, SOCKET_REFUSED),
            (408, "", None, Verdict::Retry, SOCKET_LOST),
            (418, "", None, half_minute, SOCKET_LOST),
            (429, r#"{"error":"Too many joins per second"}"#, None, half_minute, LIMITED),
            (429, "", Some(7), half_minute, LIMITED),
            (429, "", Some(90), Verdict::NotBefore(Duration::from_secs(90)), LIMITED),
            (500, r#"{"error":"Error connecting to Realtime"}"#, None, Verdict::Retry, SOCKET_LOST),
            (503, "", Some(4), Verdict::NotBefore(Duration::from_secs(4)), SOCKET_LOST),
            (503, "", Some(99_999), Verdict::NotBefore(RETRY_AFTER_LIMIT), SOCKET_LOST),
            (200, "<html>", None, Verdict::Retry, SOCKET_LOST),
        ] {
            let (verdict, error) =
                of_attempt(ConnectError::refused(status, body, retry_after.map(Duration::from_secs)));
            assert_eq!((verdict, error.code()), (expected, code), "{status} {body}");
        }
        for broken in [ConnectError::Unreachable("tls".into()), ConnectError::BadUpgrade("wrong accept key")] {
            assert_eq!(of_attempt(broken).0, Verdict::Retry);
        }
    }

    #[test]
    fn r14_every_close_code_has_one_way_back() {
        for code in [None, Some(1000), Some(1001), Some(1002), Some(1006), Some(1011), Some(1012), Some(4000)] {
            assert_eq!(of_close(code), Return::Spread, "{code:?}");
        }
        for code in [1008, 3000, 4401, 4403] {
            assert_eq!(of_close(Some(code)), Return::Renew, "{code}");
        }
        assert_eq!(of_close(Some(1009)), Return::Pause);
        assert_eq!(of_close(Some(1013)), Return::Limited);
    }

    #[test]
    fn a_mint_that_fails_is_tried_again_only_where_that_can_help() {
        let error = |code| Error::new(code);
        use cloud_client::error::codes::{FORBIDDEN, RATE_LIMITED, SERVER_FAULT, UNAUTHENTICATED};
        assert_eq!(of_credentials(&error(UNAUTHENTICATED)), Verdict::Renew);
        assert_eq!(of_credentials(&error(FORBIDDEN)), Verdict::Stop);
        assert_eq!(of_credentials(&error(SERVER_FAULT)), Verdict::Retry);
        let minute = Duration::from_secs(60);
        assert_eq!(of_credentials(&error(SERVER_FAULT).with_retry_after(minute)), Verdict::NotBefore(minute));
        assert_eq!(of_credentials(&error(RATE_LIMITED).with_retry_after(minute)), Verdict::NotBefore(minute));
        assert_eq!(of_credentials(&error(RATE_LIMITED)), Verdict::NotBefore(LIMITED_WAIT));
    }
}
