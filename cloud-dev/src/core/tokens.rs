//! What happens to a presented refresh token: the rotation and reuse rules, as a pure decision.
//!
//! The stored tokens of one session, the presented one and the time go in; a [`Decision`] comes out, and
//! the session code carries it out in the same transaction. A reply that was lost is harmless: whoever
//! presents the parent of the active token gets the active token again, however late.
//! Wire source: GoTrue, refresh token rotation with the twelve-character token format.

use std::time::Duration;

/// Length and alphabet of the tokens this cloud issues.
const LENGTH: usize = 12;
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Longest text that is still looked up as a token.
const MAX_LENGTH: usize = 256;

/// One stored token of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredToken {
    /// The token itself.
    pub(crate) token: String,
    /// The token it was exchanged for; `None` for the first.
    pub(crate) parent: Option<String>,
    /// When it was spent, in microseconds since 1970; `None` while it is usable.
    pub(crate) revoked_at: Option<i64>,
}

/// The tokens of one session, oldest first, and whether the session itself still exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// Whether the session row is there.
    pub(crate) session_exists: bool,
    /// Every token of the session that was ever issued, oldest first.
    pub(crate) tokens: Vec<StoredToken>,
}

/// What to do with a presented token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Spend the presented token and issue its child.
    Rotate,
    /// Answer with this token, which is already the child of the presented one.
    Repeat(String),
    /// The presented token was spent moments ago by someone else: issue another child.
    Fork,
    /// Refuse, and spend every token of the family for good.
    RefuseAndRevoke,
    /// Refuse.
    Refuse(Refusal),
}

/// Why a token is refused without any change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be a token.
    Malformed,
    /// Nobody knows it.
    NotFound,
    /// Its session is gone.
    SessionNotFound,
}

/// Says whether `presented` could be a refresh token of any format at all.
pub(crate) fn is_well_formed(presented: &str) -> bool {
    (LENGTH..=MAX_LENGTH).contains(&presented.len())
        && presented.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Decides about `presented`, given the family it was found in.
pub(crate) fn decide(presented: &str, family: Option<&Family>, now: i64, reuse_interval: Duration) -> Decision {
    if !is_well_formed(presented) {
        return Decision::Refuse(Refusal::Malformed);
    }
    let Some(family) = family else { return Decision::Refuse(Refusal::NotFound) };
    let Some(stored) = family.tokens.iter().find(|stored| stored.token == presented) else {
        return Decision::Refuse(Refusal::NotFound);
    };
    if !family.session_exists {
        return Decision::Refuse(Refusal::SessionNotFound);
    }
    let Some(revoked_at) = stored.revoked_at else { return Decision::Rotate };
    let active = family.tokens.iter().rev().find(|other| other.revoked_at.is_none());
    if let Some(active) = active
        && active.parent.as_deref() == Some(presented)
    {
        return Decision::Repeat(active.token.clone());
    }
    let interval = i64::try_from(reuse_interval.as_micros()).unwrap_or(i64::MAX);
    if now < revoked_at.saturating_add(interval) { Decision::Fork } else { Decision::RefuseAndRevoke }
}

/// The revocation time of tokens that were spent as a whole family: outside every reuse interval.
///
/// GoTrue stamps the present time here, which lets a descendant pass the reuse test right after the theft
/// was noticed (Supabase discussion 52614); a family that was given up stays given up here.
pub(crate) const GIVEN_UP: i64 = i64::MIN;

/// A fresh token from random bytes, one byte for each character.
pub(crate) fn from_random(random: [u8; 32]) -> String {
    // Bytes past the last whole multiple of the alphabet would favour its first letters: skip them.
    let fair = random.iter().filter(|byte| usize::from(**byte) < 252);
    fair.cycle().take(LENGTH).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A session as the server would store it, driven by decisions.
    struct Session {
        family: Family,
        next: usize,
    }

    fn name(number: usize) -> String {
        format!("token{number:07}")
    }

    impl Session {
        fn new() -> Self {
            let first = StoredToken { token: name(0), parent: None, revoked_at: None };
            Self { family: Family { session_exists: true, tokens: vec![first] }, next: 1 }
        }

        fn present(&mut self, token: &str, now: i64, interval: Duration) -> (Decision, Option<String>) {
            let decision = decide(token, Some(&self.family), now, interval);
            let answer = match &decision {
                Decision::Rotate | Decision::Fork => {
                    let child = name(self.next);
                    self.next += 1;
                    for stored in &mut self.family.tokens {
                        if stored.token == token && stored.revoked_at.is_none() {
                            stored.revoked_at = Some(now);
                        }
                    }
                    let parent = Some(token.to_owned());
                    self.family.tokens.push(StoredToken { token: child.clone(), parent, revoked_at: None });
                    Some(child)
                }
                Decision::Repeat(active) => Some(active.clone()),
                Decision::RefuseAndRevoke => {
                    for stored in &mut self.family.tokens {
                        stored.revoked_at = stored.revoked_at.or(Some(GIVEN_UP));
                    }
                    None
                }
                Decision::Refuse(_) => None,
            };
            (decision, answer)
        }
    }

    #[test]
    fn the_parent_of_the_active_token_answers_with_the_active_one_however_late() {
        let mut session = Session::new();
        session.present(&name(0), 0, Duration::ZERO);
        for now in [1, SECOND, 1_000_000 * SECOND] {
            assert_eq!(session.present(&name(0), now, Duration::ZERO).0, Decision::Repeat(name(1)));
        }
    }

    #[test]
    fn an_old_token_after_the_interval_ends_the_whole_family() {
        let mut session = Session::new();
        for number in 0..3 {
            session.present(&name(number), 0, Duration::ZERO);
        }
        for number in 0..=3 {
            let (decision, _) = session.present(&name(number), 1, Duration::ZERO);
            assert_eq!(decision, Decision::RefuseAndRevoke, "token {number}");
        }
    }

    #[test]
    fn an_old_token_within_the_interval_forks() {
        let mut session = Session::new();
        let interval = Duration::from_secs(10);
        session.present(&name(0), 0, interval);
        session.present(&name(1), 0, interval);
        assert_eq!(session.present(&name(0), 10 * SECOND - 1, interval), (Decision::Fork, Some(name(3))));
        assert_eq!(session.present(&name(0), 10 * SECOND, interval).0, Decision::Repeat(name(3)), "now the parent");
        session.present(&name(3), 10 * SECOND, interval);
        assert_eq!(session.present(&name(0), 10 * SECOND, interval).0, Decision::RefuseAndRevoke);
    }

    #[test]
    fn a_given_up_family_stays_given_up_within_the_interval() {
        let mut session = Session::new();
        let interval = Duration::from_secs(10);
        session.present(&name(0), 0, interval);
        session.present(&name(1), 0, interval);
        session.present(&name(0), 20 * SECOND, interval);
        assert_eq!(session.present(&name(2), 20 * SECOND, interval).0, Decision::RefuseAndRevoke);
    }

    #[test]
    fn refusals_without_a_change() {
        let family = Session::new().family;
        let gone = Family { session_exists: false, ..family.clone() };
        let decide = |token: &str, family| decide(token, family, 0, Duration::ZERO);
        for token in ["", "short", "elevenchars", "with a space in it", "ümlautümlaut"] {
            assert_eq!(decide(token, Some(&family)), Decision::Refuse(Refusal::Malformed), "{token}");
        }
        assert_eq!(decide("unknown00000", None), Decision::Refuse(Refusal::NotFound));
        assert_eq!(decide("unknown00000", Some(&family)), Decision::Refuse(Refusal::NotFound));
        assert_eq!(decide(&name(0), Some(&gone)), Decision::Refuse(Refusal::SessionNotFound));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// A client that keeps what it is given, and may lose any reply, is never signed out.
        #[test]
        fn a_lost_reply_never_ends_a_session(lost in proptest::collection::vec(any::<bool>(), 1..40), seconds in 0i64..30) {
            let mut session = Session::new();
            let mut held = name(0);
            for (step, lost) in (0i64..).zip(lost) {
                let (_, answer) = session.present(&held, step * seconds * SECOND, Duration::from_secs(10));
                let answer = answer.expect("the holder of the newest received token is always served");
                if !lost {
                    held = answer;
                }
            }
        }

        #[test]
        fn fresh_tokens_are_well_formed(random in any::<[u8; 32]>()) {
            let token = from_random(random);
            prop_assume!(random.iter().any(|byte| *byte < 252));
            prop_assert_eq!(token.len(), LENGTH);
            prop_assert!(is_well_formed(&token));
        }
    }
}
