//! The mails of the cloud: none leaves this machine, they wait here to be read.
//!
//! A handler sends a [`Letter`] in its transaction; once that is in, it becomes a numbered [`Mail`] in the
//! [`Mailbox`], where a test, the program's output or a control request finds it. One-time codes and the rules
//! of their use are in [`code`].
//! Wire source: GoTrue, mail templates and link format.

pub(crate) mod code;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

/// Mails that are kept; older ones go.
const MAX_MAILS: usize = 1_000;

/// One hour in microseconds.
const HOUR: i64 = 3600 * 1_000_000;

/// A mail that the cloud would have sent.
///
/// It carries a secret, the code; `Debug` leaves it out.
#[derive(Clone)]
#[non_exhaustive]
pub struct Mail {
    /// Counts the mails of this cloud, from 1.
    pub number: u64,
    /// Who would have received it.
    pub to: String,
    /// Why it was sent: `signup`, `magiclink`, `recovery`, `email_change` or `reauthentication`.
    pub kind: &'static str,
    /// The six digits.
    pub code: String,
    /// What the link carries instead of the digits; starts with `pkce_` if the link ends with a code.
    pub token_hash: String,
    /// The link, except in a mail for reauthentication.
    pub link: Option<String>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("number", &self.number)
            .field("to", &self.to)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Mail {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "number": self.number, "to": self.to, "kind": self.kind, "code": self.code,
            "token_hash": self.token_hash, "link": self.link,
        })
    }
}

/// A mail that is not sent yet.
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) kind: &'static str,
    pub(crate) code: String,
    pub(crate) token_hash: String,
    pub(crate) link: Option<String>,
}

/// The mails of one cloud, oldest first.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mails: Mutex<VecDeque<(i64, Mail)>>,
    sent: watch::Sender<u64>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { mails: Mutex::default(), sent: watch::Sender::new(0) }
    }
}

impl Mailbox {
    pub(crate) fn deliver(&self, letters: Vec<Letter>, now: i64) {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        for Letter { to, kind, code, token_hash, link } in letters {
            self.sent.send_modify(|sent| *sent += 1);
            let number = *self.sent.borrow();
            mails.push_back((now, Mail { number, to, kind, code, token_hash, link }));
            if mails.len() > MAX_MAILS {
                mails.pop_front();
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Mail> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().map(|(_, mail)| mail.clone()).collect()
    }

    /// How many were sent within the hour before `now`, as far as they are kept.
    pub(crate) fn within_the_hour(&self, now: i64) -> usize {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().filter(|(sent, _)| now - sent < HOUR).count()
    }

    /// The first mail after the one numbered `seen` that is still kept, as soon as there is one.
    pub(crate) async fn after(&self, seen: u64) -> Mail {
        let mut sent = self.sent.subscribe();
        loop {
            if let Some(mail) = self.all().into_iter().find(|mail| mail.number > seen) {
                return mail;
            }
            // The sender is ours, so this never fails.
            let _ = sent.wait_for(|sent| *sent > seen).await;
        }
    }
}
