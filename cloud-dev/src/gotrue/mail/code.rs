//! One-time codes: each person has at most one of a kind, and it is good once.
//!
//! A code is six digits in a mail, and a hash of address and digits in a link and in the table, so either finds
//! the other. A spent code leaves the time it was sent, which the pause between two mails is counted from.
//! Wire source: GoTrue, one-time tokens and `over_email_send_rate_limit`.

use std::fmt::Write as _;

use http::StatusCode;
use rusqlite::{OptionalExtension as _, named_params};
use sha2::{Digest as _, Sha224};

use super::Letter;
use crate::{
    gotrue::{account::User, call::Tx, error::AuthError, pkce},
    keys,
};

/// What a code is for. The email change has two of them, one to each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Confirmation,
    Recovery,
    EmailChangeCurrent,
    EmailChangeNew,
    Reauthentication,
}

impl Kind {
    /// The name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Recovery => "recovery",
            Self::EmailChangeCurrent => "email_change_current",
            Self::EmailChangeNew => "email_change_new",
            Self::Reauthentication => "reauthentication",
        }
    }

    /// The kinds that a `type` of `/verify` looks at; `None` for a type that no mail has.
    pub(crate) fn of_type(name: &str) -> Option<&'static [Self]> {
        match name {
            "signup" | "invite" => Some(&[Self::Confirmation]),
            "recovery" | "magiclink" => Some(&[Self::Recovery]),
            "email" => Some(&[Self::Confirmation, Self::Recovery]),
            "email_change" => Some(&[Self::EmailChangeCurrent, Self::EmailChangeNew]),
            _ => None,
        }
    }
}

/// A letter that is about to be written.
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    /// What the mail and its link are called, such as `magiclink`.
    pub(crate) name: &'static str,
    pub(crate) to: &'a str,
    pub(crate) redirect_to: &'a str,
    /// Whether the link ends with a code instead of tokens.
    pub(crate) pkce: bool,
}

/// The hash that stands for the digits sent to an address.
pub(crate) fn hash(address: &str, digits: &str) -> String {
    Sha224::digest(format!("{address}{digits}")).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a code down for `user` and mails it.
pub(crate) fn send(tx: &Tx<'_>, user_id: &str, draft: &Draft<'_>) -> Result<(), AuthError> {
    may_send(tx, user_id, draft.kind)?;
    let digits = digits()?;
    let prefix = if draft.pkce { pkce::PREFIX } else { "" };
    let token_hash = format!("{prefix}{}", hash(draft.to, &digits));
    tx.conn.execute(
        "INSERT INTO auth_one_time_tokens (user_id, kind, hash, sent_at) VALUES (:user, :kind, :hash, :now)
         ON CONFLICT (user_id, kind) DO UPDATE SET hash = :hash, sent_at = :now",
        named_params! { ":user": user_id, ":kind": draft.kind.name(), ":hash": token_hash, ":now": tx.now },
    )?;
    let link = (draft.kind != Kind::Reauthentication).then(|| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("token", &token_hash).append_pair("type", draft.name);
        query.append_pair("redirect_to", draft.redirect_to);
        format!("{}{}/verify?{}", tx.url, crate::gotrue::PATH, query.finish())
    });
    let letter = Letter { to: draft.to.to_owned(), kind: draft.name, code: digits, token_hash, link };
    tx.letters.borrow_mut().push(letter);
    Ok(())
}

/// Refuses a mail that comes too soon after the last of its kind, or that is one too many for the hour.
fn may_send(tx: &Tx<'_>, user_id: &str, kind: Kind) -> Result<(), AuthError> {
    let too_many =
        |message: String| Err(AuthError::new(StatusCode::TOO_MANY_REQUESTS, "over_email_send_rate_limit", message));
    let pause = i64::try_from(tx.settings().email_interval.as_micros()).unwrap_or(i64::MAX);
    if let Some(sent_at) = sent_at(tx, user_id, kind)?
        && sent_at.saturating_add(pause) > tx.now
    {
        let left = (sent_at.saturating_add(pause) - tx.now).div_euclid(1_000_000);
        let wait = format!("For security purposes, you can only request this after {left} seconds.");
        return too_many(wait);
    }
    let written = tx.letters.borrow().len();
    match tx.settings().emails_per_hour {
        Some(limit) if tx.auth.mailbox.within_the_hour(tx.now) + written >= limit as usize => {
            too_many("email rate limit exceeded".to_owned())
        }
        _ => Ok(()),
    }
}

/// When the last code of this kind was sent, whatever became of it.
pub(crate) fn sent_at(tx: &Tx<'_>, user_id: &str, kind: Kind) -> rusqlite::Result<Option<i64>> {
    tx.conn
        .prepare_cached("SELECT sent_at FROM auth_one_time_tokens WHERE user_id = ?1 AND kind = ?2")?
        .query_row([user_id, kind.name()], |row| row.get(0))
        .optional()
}

/// The person and the kind of the unspent code with this hash, among `kinds`.
pub(crate) fn find(tx: &Tx<'_>, hash: &str, kinds: &[Kind]) -> Result<Option<(User, Kind)>, AuthError> {
    let mut rows = tx.conn.prepare_cached("SELECT user_id, kind, sent_at FROM auth_one_time_tokens WHERE hash = ?1")?;
    let mut rows = rows.query([hash])?;
    while let Some(row) = rows.next()? {
        let (user_id, name, sent_at): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some(kind) = kinds.iter().find(|kind| kind.name() == name) else { continue };
        if tx.is_over(sent_at, tx.settings().code_lifetime) {
            return Ok(None);
        }
        return Ok(User::by_id(tx.conn, &user_id)?.map(|user| (user, *kind)));
    }
    Ok(None)
}

/// The kind, among `kinds`, whose unspent code of `user` has this hash, with or without a prefix.
pub(crate) fn matching(tx: &Tx<'_>, user: &User, hash: &str, kinds: &[Kind]) -> Result<Option<Kind>, AuthError> {
    for kind in kinds {
        let stored: Option<(Option<String>, i64)> = tx
            .conn
            .prepare_cached("SELECT hash, sent_at FROM auth_one_time_tokens WHERE user_id = ?1 AND kind = ?2")?
            .query_row([user.id.as_str(), kind.name()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((Some(stored), sent_at)) = stored
            && keys::same(stored.strip_prefix(pkce::PREFIX).unwrap_or(&stored), hash)
            && !tx.is_over(sent_at, tx.settings().code_lifetime)
        {
            return Ok(Some(*kind));
        }
    }
    Ok(None)
}

/// Makes a code unusable.
pub(crate) fn spend(tx: &Tx<'_>, user_id: &str, kind: Kind) -> rusqlite::Result<usize> {
    tx.conn
        .execute("UPDATE auth_one_time_tokens SET hash = NULL WHERE user_id = ?1 AND kind = ?2", [user_id, kind.name()])
}

/// Makes all codes of a person unusable.
pub(crate) fn spend_all(tx: &Tx<'_>, user_id: &str) -> rusqlite::Result<usize> {
    tx.conn.execute("UPDATE auth_one_time_tokens SET hash = NULL WHERE user_id = ?1", [user_id])
}

fn digits() -> Result<String, AuthError> {
    let number = getrandom::u32().map_err(|_| AuthError::no_randomness())?;
    Ok(format!("{:06}", number % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_address_and_digits_together() {
        assert_eq!(hash("", ""), "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f");
        assert_eq!(hash("a@b.c", "123456"), hash("", "a@b.c123456"));
        assert_ne!(hash("a@b.c", "123456"), hash("a@b.c", "123457"));
    }
}
