//! What is stored of a session: the only place where a refresh token outlives the process.
//!
//! `{"version":1,"origin","refresh_token","user":{"id","email"},"imprint","context","saved_at"}`. A record of another origin is
//! not ours (A11). A record that cannot be read, or that a newer version wrote, is set aside by the caller (D5).
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::expiry::Moment;
use crate::{
    context::UserContext,
    status::{Imprint, User},
};

/// The version that is written and understood.
const VERSION: u32 = 1;

/// A session as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) refresh: SecretString,
    pub(crate) user: User,
    pub(crate) context: Option<Arc<UserContext>>,
}

#[derive(Deserialize)]
struct Stored {
    version: u32,
    origin: String,
    refresh_token: SecretString,
    user: User,
    #[serde(default)]
    imprint: Imprint,
    #[serde(default)]
    context: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Storing<'a> {
    version: u32,
    origin: &'a str,
    refresh_token: &'a str,
    user: &'a User,
    imprint: Imprint,
    context: Option<&'a UserContext>,
    saved_at: Option<Timestamp>,
}

/// What a stored text turned out to be.
#[derive(Debug)]
pub(crate) enum Reading {
    Ours(Record),
    /// For another origin: left alone.
    Foreign,
    Unreadable,
}

impl Record {
    pub(crate) fn parse(text: &SecretString, origin: &str) -> Reading {
        let Ok(stored) = serde_json::from_str::<Stored>(text.expose_secret()) else { return Reading::Unreadable };
        if stored.version != VERSION || stored.refresh_token.expose_secret().is_empty() {
            return Reading::Unreadable;
        }
        if stored.origin != origin {
            return Reading::Foreign;
        }
        // The context is a cache: one that cannot be read is loaded again.
        let context = stored.context.and_then(|value| serde_json::from_value(value).ok()).map(Arc::new);
        let user = User { imprint: stored.imprint, ..stored.user };
        Reading::Ours(Self { refresh: stored.refresh_token, user, context })
    }

    pub(crate) fn text(&self, origin: &str, now: Moment) -> Result<SecretString, serde_json::Error> {
        let storing = Storing {
            version: VERSION,
            origin,
            refresh_token: self.refresh.expose_secret(),
            user: &self.user,
            imprint: self.user.imprint,
            context: self.context.as_deref(),
            saved_at: Timestamp::try_from(now.wall).ok(),
        };
        let text = Zeroizing::new(serde_json::to_string(&storing)?);
        Ok(SecretString::from(text.as_str()))
    }
}

/// Whether two refresh tokens are the same.
pub(crate) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::status::UserId;

    const ORIGIN: &str = "https://a.example";

    fn text(change: impl FnOnce(&mut serde_json::Value)) -> SecretString {
        let record = Record {
            refresh: "rt-1".into(),
            user: User { email: Some("ada@example.com".into()), ..User::bare(UserId::new("u1")) },
            context: None,
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let text = record.text(ORIGIN, Moment { monotonic: Duration::ZERO, wall }).unwrap();
        let mut value = serde_json::from_str(text.expose_secret()).unwrap();
        change(&mut value);
        value.to_string().into()
    }

    #[test]
    fn the_stored_shape_is_fixed() {
        let stored: serde_json::Value = serde_json::from_str(text(|_| ()).expose_secret()).unwrap();
        let expected = serde_json::json!({
            "version": 1, "origin": ORIGIN, "refresh_token": "rt-1",
            "user": {"id": "u1", "email": "ada@example.com"}, "imprint": null, "context": null, "saved_at": "2023-11-14T22:13:20Z",
        });
        assert_eq!(stored, expected);
    }

    #[test]
    fn a11_a_record_is_read_for_its_own_origin_only() {
        assert!(matches!(Record::parse(&text(|_| ()), ORIGIN), Reading::Ours(_)));
        assert!(matches!(Record::parse(&text(|_| ()), "https://b.example"), Reading::Foreign));
    }

    #[test]
    fn d05_what_cannot_be_read_says_so() {
        for bad in [
            "".into(),
            "{".into(),
            "[]".into(),
            text(|value| value["version"] = 2.into()),
            text(|value| value["refresh_token"] = "".into()),
            text(|value| value["user"] = serde_json::Value::Null),
        ] {
            assert!(matches!(Record::parse(&bad, ORIGIN), Reading::Unreadable));
        }
        let odd_context = text(|value| value["context"] = 7.into());
        assert!(matches!(Record::parse(&odd_context, ORIGIN), Reading::Ours(Record { context: None, .. })));
    }
}
