//! Sessions that a sign-out could not end at the server, and that still have to be ended there. Pure.
//!
//! A failed revocation → [`Debt`] → tried again with growing pauses until the server has done it, refuses for good, the
//! time is over or the budget is spent. Only the access token is stored for it, under a key of its own beside the
//! login's: it ends by itself within the hour, and nobody can sign in with it. Where it had ended before the sign-out,
//! the refresh token does it; that one stays in memory and never reaches the disk again. The record of a login is never
//! touched (A5, A6). Whatever scope was asked for, a later try ends that one session: its owner may be signed in again.
use std::time::Duration;

use cloud_client::{Error, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::expiry::Moment;

/// How many are kept; the oldest gives way.
const LIMIT: usize = 8;
/// How often one is tried after the sign-out itself.
const BUDGET: u32 = 24;
/// The first and the longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long one that only the refresh token can end is tried.
const IN_MEMORY: Duration = Duration::from_secs(3600);

/// What ends a session at the server.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Access(SecretString),
    /// In memory only.
    Refresh(SecretString),
}

/// One session that is owed its end.
#[derive(Clone, Debug)]
pub(crate) struct Debt {
    pub(crate) proof: Proof,
    /// When it is given up, by the wall clock, in seconds since 1970; an access token has ended by then.
    until: u64,
    tries: u32,
    /// When it is tried again, by the monotonic clock; `None` while it is.
    at: Option<Duration>,
}

impl Debt {
    /// A session whose access token lives for `left` from now on, or has none that lives.
    pub(crate) fn new(access: Option<SecretString>, refresh: SecretString, left: Duration, now: Moment) -> Self {
        let (proof, left) = match access.filter(|_| !left.is_zero()) {
            Some(access) => (Proof::Access(access), left),
            None => (Proof::Refresh(refresh), IN_MEMORY),
        };
        Self { proof, until: seconds(now) + left.as_secs(), tries: 0, at: Some(now.monotonic + PAUSE.0) }
    }

    /// A name that tells nothing about the token.
    pub(crate) fn id(&self) -> [u8; 32] {
        let (Proof::Access(token) | Proof::Refresh(token)) = &self.proof;
        Sha256::digest(token.expose_secret().as_bytes()).into()
    }

    /// Whether it may be stored.
    pub(crate) fn lasts(&self) -> bool {
        matches!(self.proof, Proof::Access(_))
    }
}

/// What has to become of the stored list.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Add(Debt),
    Settle([u8; 32]),
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed(Vec<Debt>);

impl Owed {
    pub(crate) fn add(&mut self, debt: Debt) {
        if self.0.iter().all(|known| known.id() != debt.id()) {
            if self.0.len() == LIMIT {
                self.0.remove(0);
            }
            self.0.push(debt);
        }
    }

    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Add(debt) => self.add(debt),
            Change::Settle(id) => self.0.retain(|debt| debt.id() != id),
        }
    }

    /// What was stored by an earlier run is due soon.
    pub(crate) fn take_up(&mut self, stored: Self, now: Moment) {
        for debt in stored.0 {
            self.add(Debt { at: Some(now.monotonic), ..debt });
        }
    }

    /// The next one to be tried now.
    pub(crate) fn due(&mut self, now: Moment) -> Option<Debt> {
        let debt = self.0.iter_mut().find(|debt| debt.at.is_some_and(|at| at <= now.monotonic))?;
        debt.at = None;
        debt.tries += 1;
        Some(debt.clone())
    }

    pub(crate) fn wake_in(&self, now: Moment) -> Option<Duration> {
        self.0.iter().filter_map(|debt| debt.at).min().map(|at| at.saturating_sub(now.monotonic))
    }

    /// What a try came to; the change is for the stored list.
    pub(crate) fn tried(
        &mut self,
        id: [u8; 32],
        result: &Result<(), Error>,
        now: Moment,
        fraction: f64,
    ) -> Option<Change> {
        let debt = self.0.iter_mut().find(|debt| debt.id() == id)?;
        let passing = |error: &Error| error.is_retryable() || error.kind() == ErrorKind::RateLimited;
        let again = result.as_ref().is_err_and(passing) && debt.tries < BUDGET && seconds(now) < debt.until;
        if again {
            let upper = PAUSE.0.saturating_mul(2_u32.saturating_pow(debt.tries.min(16))).min(PAUSE.1);
            let wait = upper.mul_f64(0.5 + fraction.clamp(0.0, 1.0) / 2.0);
            let asked = result.as_ref().err().and_then(Error::retry_after).unwrap_or_default().min(PAUSE.1);
            debt.at = Some(now.monotonic + wait.max(asked));
            return None;
        }
        let (change, lasts) = (Change::Settle(id), debt.lasts());
        self.apply(change.clone());
        lasts.then_some(change)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stored form for `origin`.
    pub(crate) fn text(&self, origin: &str) -> Result<SecretString, serde_json::Error> {
        let owed = self.0.iter().filter_map(|debt| match &debt.proof {
            Proof::Access(token) => Some(Line { access_token: token.expose_secret(), until: debt.until }),
            Proof::Refresh(_) => None,
        });
        let text = Zeroizing::new(serde_json::to_string(&Page { version: 1, origin, owed: owed.collect() })?);
        Ok(SecretString::from(text.as_str()))
    }

    /// What is still worth a try of a stored form; nothing when it is not ours to read (A11).
    pub(crate) fn parse(text: &SecretString, origin: &str, now: Moment) -> Self {
        let Ok(page) = serde_json::from_str::<Page<'_>>(text.expose_secret()) else { return Self::default() };
        if page.version != 1 || page.origin != origin {
            return Self::default();
        }
        let debts = page.owed.into_iter().filter(|line| line.until > seconds(now)).map(|line| Debt {
            proof: Proof::Access(line.access_token.into()),
            until: line.until,
            tries: 0,
            at: Some(now.monotonic),
        });
        Self(debts.take(LIMIT).collect())
    }
}

#[derive(Serialize, Deserialize)]
struct Page<'a> {
    version: u32,
    origin: &'a str,
    #[serde(borrow)]
    owed: Vec<Line<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    access_token: &'a str,
    until: u64,
}

fn seconds(now: Moment) -> u64 {
    now.wall.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use cloud_client::error::codes::CONNECT;

    use super::*;
    use crate::codes::SESSION_OVER;

    fn at(seconds: u64) -> Moment {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        Moment { monotonic: Duration::from_secs(seconds), wall }
    }

    fn debt(token: &str) -> Debt {
        Debt::new(Some(token.into()), "rt".into(), Duration::from_secs(3600), at(0))
    }

    fn offline() -> Result<(), Error> {
        Err(Error::new(CONNECT))
    }

    #[test]
    fn it_is_tried_with_growing_pauses_until_the_token_has_ended() {
        let mut owed = Owed::default();
        owed.add(debt("at-1"));
        assert!(owed.due(at(0)).is_none());
        let (mut now, mut tries) = (at(0), 0);
        while let Some(wait) = owed.wake_in(now) {
            now = at((now.monotonic + wait).as_secs() + 1);
            let due = owed.due(now).unwrap();
            assert!(owed.due(now).is_none(), "one try at a time");
            tries += 1;
            assert!(tries <= BUDGET);
            assert_eq!(owed.tried(due.id(), &offline(), now, 0.5).is_some(), owed.is_empty());
        }
        assert!(owed.is_empty() && (3600..4000).contains(&now.monotonic.as_secs()), "{:?}", now.monotonic);
    }

    #[test]
    fn an_answer_settles_it_whatever_it_says() {
        for result in [Ok(()), Err(Error::new(SESSION_OVER))] {
            let mut owed = Owed::default();
            owed.add(debt("at-1"));
            let due = owed.due(at(10)).unwrap();
            assert!(matches!(owed.tried(due.id(), &result, at(10), 0.0), Some(Change::Settle(id)) if id == due.id()));
            assert!(owed.is_empty());
        }
    }

    #[test]
    fn a_refresh_token_is_never_part_of_what_is_stored() {
        let debt = Debt::new(None, "rt-1".into(), Duration::ZERO, at(0));
        let ended = Debt::new(Some("at-1".into()), "rt-1".into(), Duration::ZERO, at(0));
        assert!(!debt.lasts() && ended.id() == debt.id());
        let mut owed = Owed::default();
        owed.add(debt);
        let text = owed.text("https://a.example").unwrap();
        assert!(!text.expose_secret().contains("rt-1") && !format!("{owed:?}").contains("rt-1"));
        let due = owed.due(at(10)).unwrap();
        assert!(owed.tried(due.id(), &Ok(()), at(10), 0.0).is_none() && owed.is_empty(), "nothing is to be written");
    }

    #[test]
    fn the_list_is_bounded_and_names_nothing_twice() {
        let mut owed = Owed::default();
        for n in 0..20 {
            owed.add(debt(&format!("at-{n}")));
            owed.add(debt(&format!("at-{n}")));
        }
        assert_eq!(owed.0.len(), LIMIT);
        assert!(owed.0.iter().any(|known| known.id() == debt("at-19").id()));
    }

    #[test]
    fn a11_the_stored_list_is_read_for_its_own_origin_and_while_its_tokens_live() {
        let mut owed = Owed::default();
        owed.add(debt("at-1"));
        let text = owed.text("https://a.example").unwrap();
        assert_eq!(
            text.expose_secret(),
            r#"{"version":1,"origin":"https://a.example","owed":[{"access_token":"at-1","until":1700003600}]}"#
        );
        assert_eq!(Owed::parse(&text, "https://a.example", at(3599)).0.len(), 1);
        assert!(Owed::parse(&text, "https://b.example", at(0)).is_empty());
        assert!(Owed::parse(&text, "https://a.example", at(3600)).is_empty());
        assert!(Owed::parse(&"{".into(), "https://a.example", at(0)).is_empty());
        assert!(!format!("{owed:?}").contains("at-1"));
    }
}
