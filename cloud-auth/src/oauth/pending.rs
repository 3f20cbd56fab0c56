//! The sign-ins that wait for their browser, as values: at most five, for ten minutes, each good for one answer (A15).
//! One that waits for a mailed link waits for an hour, as long as Supabase takes the link.
//!
//! [`Pendings`] is what is stored under one key: `{"version":1,"origin","pending":[{"id","verifier","begun","link","mailed"}]}`,
//! oldest first. It is written before the browser opens, so that an answer finds its verifier also after a restart. An
//! answer that names no waiting sign-in changes nothing.
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{mailed::Mailed, pkce::FlowId};
use crate::status::UserId;

/// The version that is written and understood.
const VERSION: u32 = 1;
/// How many sign-ins may wait; a further one takes the place of the oldest.
pub(super) const MOST: usize = 5;
/// How long an answer is waited for, in seconds.
pub(super) const LIFETIME_SECONDS: u64 = 600;
/// How long a link in a mail is waited for, in seconds: as long as Supabase takes it.
pub(super) const MAILED_LIFETIME_SECONDS: u64 = 3600;

/// One sign-in that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: FlowId,
    pub(super) verifier: SecretString,
    /// Seconds since 1970, by this machine's clock.
    pub(super) begun: u64,
    /// Whose account gets another identity; `None` for a sign-in.
    pub(super) link: Option<UserId>,
    /// What the mail is for; `None` when a browser was opened.
    pub(super) mailed: Option<Mailed>,
}

impl Pending {
    /// A clock that was set back makes it as old as one that went on.
    fn is_over(&self, now: u64) -> bool {
        let lifetime = if self.mailed.is_some() { MAILED_LIFETIME_SECONDS } else { LIFETIME_SECONDS };
        now.abs_diff(self.begun) >= lifetime
    }
}

/// Who an answer belongs to.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nobody: it is stray, forged, used already or was given up.
    Unknown,
    /// Somebody who waited too long; forgotten now.
    Expired,
    /// This sign-in; it no longer waits.
    Ours(Pending),
}

/// All that wait, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pendings(Vec<Pending>);

impl Pendings {
    /// Adds one, and tells which ones had to go.
    pub(super) fn begin(&mut self, pending: Pending, now: u64) -> Vec<FlowId> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for old in std::mem::take(&mut self.0) {
            if old.is_over(now) { gone.push(old.id) } else { kept.push(old) }
        }
        let spare = kept.len().saturating_sub(MOST - 1);
        gone.extend(kept.drain(..spare).map(|old| old.id));
        kept.push(pending);
        self.0 = kept;
        gone
    }

    /// Takes the one of this name; every name is compared, in constant time.
    pub(super) fn claim(&mut self, id: &FlowId, now: u64) -> Claim {
        let found = self.0.iter().enumerate().fold(None, |found, (n, one)| if one.id == *id { Some(n) } else { found });
        match found.map(|n| self.0.remove(n)) {
            None => Claim::Unknown,
            Some(pending) if pending.is_over(now) => Claim::Expired,
            Some(pending) => Claim::Ours(pending),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is stored. `None`: not ours to read.
    pub(super) fn parse(text: &SecretString, origin: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text.expose_secret()).ok()?;
        if stored.version != VERSION || stored.origin != origin || stored.pending.len() > MOST {
            return None;
        }
        let one = |one: StoredPending| {
            let id = FlowId::parse(&one.id)?;
            Some(Pending { id, verifier: one.verifier, begun: one.begun, link: one.link, mailed: one.mailed })
        };
        stored.pending.into_iter().map(one).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The text to store.
    pub(super) fn text(&self, origin: &str) -> Result<SecretString, serde_json::Error> {
        let one = |one: &'_ Pending| StoringPending {
            id: one.id.as_str().to_owned(),
            verifier: Zeroizing::new(one.verifier.expose_secret().to_owned()),
            begun: one.begun,
            link: one.link.clone(),
            mailed: one.mailed,
        };
        let storing = Storing { version: VERSION, origin, pending: self.0.iter().map(one).collect() };
        let text = Zeroizing::new(serde_json::to_string(&storing)?);
        Ok(SecretString::from(text.as_str()))
    }
}

#[derive(Deserialize)]
struct Stored {
    version: u32,
    origin: String,
    pending: Vec<StoredPending>,
}

#[derive(Deserialize)]
struct StoredPending {
    id: String,
    verifier: SecretString,
    begun: u64,
    #[serde(default)]
    link: Option<UserId>,
    #[serde(default)]
    mailed: Option<Mailed>,
}

#[derive(Serialize)]
struct Storing<'a> {
    version: u32,
    origin: &'a str,
    pending: Vec<StoringPending>,
}

#[derive(Serialize)]
struct StoringPending {
    id: String,
    verifier: Zeroizing<String>,
    begun: u64,
    link: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailed: Option<Mailed>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: &str = "https://a.example";

    fn id(n: u8) -> FlowId {
        FlowId::new(&[n; 16])
    }

    fn pending(n: u8, begun: u64) -> Pending {
        Pending { id: id(n), verifier: format!("verifier-{n}").into(), begun, link: None, mailed: None }
    }

    fn stored(pendings: &Pendings) -> Pendings {
        Pendings::parse(&pendings.text(ORIGIN).unwrap(), ORIGIN).unwrap()
    }

    #[test]
    fn the_stored_shape_is_fixed() {
        let mut pendings = Pendings::default();
        pendings.begin(Pending { link: Some(UserId::new("u1")), ..pending(0, 7) }, 7);
        let text: serde_json::Value = serde_json::from_str(pendings.text(ORIGIN).unwrap().expose_secret()).unwrap();
        let expected = serde_json::json!({"version": 1, "origin": ORIGIN, "pending": [
            {"id": "AAAAAAAAAAAAAAAAAAAAAA", "verifier": "verifier-0", "begun": 7, "link": "u1"}]});
        assert_eq!(text, expected);
        pendings.begin(Pending { mailed: Some(Mailed::Recovery), ..pending(1, 8) }, 8);
        let text: serde_json::Value = serde_json::from_str(pendings.text(ORIGIN).unwrap().expose_secret()).unwrap();
        assert_eq!(text["pending"][1]["mailed"], "recovery");
    }

    #[test]
    fn a11_what_another_origin_or_version_stored_is_not_read() {
        let mut pendings = Pendings::default();
        pendings.begin(pending(0, 7), 7);
        let text = pendings.text(ORIGIN).unwrap();
        assert!(Pendings::parse(&text, "https://b.example").is_none());
        let newer = text.expose_secret().replace("\"version\":1", "\"version\":2");
        for bad in [newer.as_str(), "", "{", "[]", r#"{"version":1,"origin":"https://a.example"}"#] {
            assert!(Pendings::parse(&bad.to_owned().into(), ORIGIN).is_none(), "{bad}");
        }
    }

    #[test]
    fn a15_an_answer_counts_once_and_for_ten_minutes_or_for_an_hour_by_mail() {
        let (browser, mail) = (None, Some(Mailed::SignIn));
        for (mailed, age, ours) in [
            (browser, 0, true),
            (browser, 599, true),
            (browser, 600, false),
            (browser, 100_000, false),
            (mail, 600, true),
            (mail, 3599, true),
            (mail, 3600, false),
        ] {
            for now in [1_000_000 + age, 1_000_000 - age] {
                let mut pendings = Pendings::default();
                pendings.begin(Pending { mailed, ..pending(1, 1_000_000) }, 1_000_000);
                let claim = pendings.claim(&id(1), now);
                assert_eq!(matches!(claim, Claim::Ours(_)), ours, "{age} {claim:?}");
                assert!(matches!(pendings.claim(&id(1), now), Claim::Unknown), "once");
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Begin(u8),
        Claim(u8),
        Wait(u64),
        Restart,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (0..12u8).prop_map(Op::Begin),
            4 => (0..12u8).prop_map(Op::Claim),
            1 => (0..400u64).prop_map(Op::Wait),
            1 => Just(Op::Restart),
        ];
        proptest::collection::vec(op, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Against a plain list of (name, time): who is claimed, who is evicted, and that strays change nothing.
        #[test]
        fn a15_sign_ins_wait_as_in_the_model(ops in ops()) {
            let (mut pendings, mut now) = (Pendings::default(), 1_000_000);
            let mut model: Vec<(u8, u64)> = Vec::new();
            for op in ops {
                match op {
                    // Names are never used again.
                    Op::Begin(n) if model.iter().any(|(name, _)| *name == n) => {}
                    Op::Begin(n) => {
                        let gone = pendings.begin(pending(n, now), now);
                        model.retain(|(_, begun)| now - begun < LIFETIME_SECONDS);
                        if model.len() == MOST {
                            let (oldest, _) = model.remove(0);
                            prop_assert!(gone.contains(&id(oldest)));
                        }
                        model.push((n, now));
                    }
                    Op::Claim(n) => {
                        let before = pendings.text(ORIGIN).unwrap();
                        let place = model.iter().position(|(name, _)| *name == n);
                        match (place.map(|place| model.remove(place)), pendings.claim(&id(n), now)) {
                            (None, Claim::Unknown) => {
                                let after = pendings.text(ORIGIN).unwrap();
                                prop_assert_eq!(before.expose_secret(), after.expose_secret());
                            }
                            (Some((_, begun)), Claim::Expired) => prop_assert!(now - begun >= LIFETIME_SECONDS),
                            (Some((_, begun)), Claim::Ours(pending)) => {
                                prop_assert!(now - begun < LIFETIME_SECONDS);
                                let expected = format!("verifier-{n}");
                                prop_assert_eq!(pending.verifier.expose_secret(), expected.as_str());
                            }
                            (model, claim) => prop_assert!(false, "{model:?} {claim:?}"),
                        }
                    }
                    Op::Wait(seconds) => now += seconds,
                    Op::Restart => pendings = stored(&pendings),
                }
                prop_assert!(pendings.0.len() <= MOST);
            }
        }
    }
}
