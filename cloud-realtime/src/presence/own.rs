//! What this member tells about itself: a wanted state that the server is kept in step with.
//!
//! ```text
//! want, unwant ────┐
//! joined, left ────┼─► OwnPresence ─► next(now): Send(call) | Wait(time) | Settled
//! failed, too_large┘     at most 5 calls in 30 s; of what waits only the newest is sent
//! ```
//! The server forgets a member with its connection, so after each join the wanted state is sent again
//! (R2, R11). The sixth call within the window would close the channel: it waits here instead, and what
//! was wanted in between is never sent. Sending what the server has already is left out. The window
//! counts over rejoins, since whether the server does not is not promised. Pure: the caller has the clock.
//! Source: Supabase Realtime, `presence` event and its rate limit per client.

use crate::codec::{Content, EncodeError};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::VecDeque, fmt, time::Duration};

/// Calls that the server takes from one channel within [`WINDOW`].
pub const MAX_CALLS: usize = 5;
/// The time over which calls are counted, with a second of slack for the way to the server.
pub const WINDOW: Duration = Duration::from_secs(31);
/// How long after a call without an answer the next one may be made.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The own presence on one channel.
#[derive(Clone, Debug, Default)]
pub struct OwnPresence {
    wanted: Option<Told>,
    /// What the server has, as far as calls were sent on this join.
    sent: Option<Told>,
    /// The last call got no answer: the server may have what it had before.
    uncertain: bool,
    /// What closed the channel when it was told.
    too_large: Option<Told>,
    is_joined: bool,
    /// No call before this, after one that failed.
    not_before: Option<Duration>,
    /// When the latest calls were sent, oldest first.
    calls: VecDeque<Duration>,
}

/// A tracked payload; equal when the text is.
#[derive(Clone)]
struct Told(Box<RawValue>);

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Told({} bytes)", self.0.get().len())
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Next {
    /// Send this; it counts as sent.
    Send(Call),
    /// The budget is used up: ask again after this time.
    Wait(Duration),
    /// The server has what is wanted, or cannot be told before the next join.
    Settled,
}

/// A `presence` push.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// Tell this.
    Track(Content<'static>),
    /// Tell nothing any more.
    Untrack,
}

impl Call {
    /// The payload of the push.
    ///
    /// # Errors
    ///
    /// Never for calls made here; the signature leaves the case to the caller.
    pub fn payload(&self) -> Result<Content<'static>, EncodeError> {
        #[derive(Serialize)]
        struct Wire<'a> {
            #[serde(rename = "type")]
            sort: &'static str,
            event: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            payload: Option<&'a RawValue>,
        }
        let (event, payload) = match self {
            Self::Track(Content::Json(raw)) => ("track", Some(&**raw)),
            Self::Track(Content::Binary(_)) => return Err(EncodeError::NoSuchFrame("presence is a JSON object")),
            Self::Untrack => ("untrack", None),
        };
        Content::json(&Wire { sort: crate::event::PRESENCE, event, payload })
    }
}

impl OwnPresence {
    /// Nothing to tell, not joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants the server to show this, from now on and after every join. A JSON object.
    ///
    /// # Errors
    ///
    /// When `told` does not become a JSON object: the server takes nothing else.
    pub fn want<T: Serialize + ?Sized>(&mut self, told: &T) -> Result<(), EncodeError> {
        let raw = to_raw_value(told).map_err(crate::codec::unwritable)?;
        if !raw.get().starts_with('{') {
            return Err(EncodeError::NoSuchFrame("presence is a JSON object"));
        }
        self.wanted = Some(Told(raw));
        Ok(())
    }

    /// Wants the server to show nothing.
    pub fn unwant(&mut self) {
        self.wanted = None;
    }

    /// Whether something is wanted to be shown.
    pub const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// The channel is joined: the server knows nothing of this member.
    pub fn joined(&mut self) {
        (self.is_joined, self.sent, self.uncertain, self.not_before) = (true, None, false, None);
    }

    /// The channel is not joined any more.
    pub fn left(&mut self) {
        (self.is_joined, self.sent, self.uncertain) = (false, None, false);
    }

    /// The last call got no answer: whether the server has it is not known, so what is wanted is sent again 10 s after
    /// `now`, also when that is nothing, or with the next join.
    pub fn failed(&mut self, now: Duration) {
        (self.uncertain, self.not_before) = (true, Some(now.saturating_add(AFTER_FAILURE)));
    }

    /// The server closes the channel over what was told last: it is not told again, also not after the next join. Another
    /// wish is a new chance.
    pub fn too_large(&mut self) {
        self.too_large.clone_from(&self.sent);
    }

    /// From when on [`Self::next`] has something to send; `None` when it has nothing.
    pub fn due(&self) -> Option<Duration> {
        let is_told =
            (self.wanted == self.sent && !self.uncertain) || (self.wanted.is_some() && self.wanted == self.too_large);
        if !self.is_joined || is_told {
            return None;
        }
        let oldest = self.calls.front().filter(|_| self.calls.len() >= MAX_CALLS);
        let budget = oldest.map_or(Duration::ZERO, |at| at.saturating_add(WINDOW));
        Some(budget.max(self.not_before.unwrap_or_default()))
    }

    /// What to do at `now`, on a clock that never steps back. Ask after each change of anything, and when
    /// a wait is over.
    pub fn next(&mut self, now: Duration) -> Next {
        let Some(due) = self.due() else { return Next::Settled };
        if due > now {
            return Next::Wait(due - now);
        }
        self.calls.push_back(now);
        if self.calls.len() > MAX_CALLS {
            self.calls.pop_front();
        }
        self.sent.clone_from(&self.wanted);
        self.uncertain = false;
        Next::Send(match &self.wanted {
            Some(Told(raw)) => Call::Track(Content::Json(std::borrow::Cow::Owned(raw.clone()))),
            None => Call::Untrack,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn payload(next: &Next) -> Option<Value> {
        let Next::Send(call) = next else { return None };
        Some(call.payload().unwrap().decode().unwrap())
    }

    fn joined() -> OwnPresence {
        let mut own = OwnPresence::new();
        own.joined();
        own
    }

    #[test]
    fn r11_the_wanted_state_is_told_after_every_join() {
        let mut own = OwnPresence::new();
        own.want(&json!({"s": "on"})).unwrap();
        assert_eq!(own.next(secs(0)), Next::Settled, "nobody is told before the join");
        for at in 0..3 {
            own.joined();
            let told = json!({"type": "presence", "event": "track", "payload": {"s": "on"}});
            assert_eq!(payload(&own.next(secs(at))), Some(told));
            assert_eq!(own.next(secs(at)), Next::Settled);
            own.left();
        }
    }

    #[test]
    fn the_sixth_call_waits_and_then_tells_only_the_newest() {
        let mut own = joined();
        for n in 0..5 {
            own.want(&json!({ "n": n })).unwrap();
            assert_eq!(payload(&own.next(secs(n))).unwrap()["payload"]["n"], n);
        }
        for n in 5..9 {
            own.want(&json!({ "n": n })).unwrap();
            assert_eq!(own.next(secs(n)), Next::Wait(WINDOW - secs(n)));
        }
        assert_eq!(payload(&own.next(WINDOW)).unwrap()["payload"]["n"], 8);
        assert_eq!(own.next(WINDOW), Next::Settled);
    }

    #[test]
    fn what_the_server_has_is_not_sent_again() {
        let mut own = joined();
        own.want(&json!({"s": "on"})).unwrap();
        assert!(matches!(own.next(secs(0)), Next::Send(Call::Track(_))));
        own.want(&json!({"s": "off"})).unwrap();
        own.want(&json!({"s": "on"})).unwrap();
        assert_eq!(own.next(secs(1)), Next::Settled);
        own.unwant();
        assert_eq!(payload(&own.next(secs(2))), Some(json!({"type": "presence", "event": "untrack"})));
        own.unwant();
        assert_eq!(own.next(secs(3)), Next::Settled);
    }

    #[test]
    fn a_call_without_an_answer_is_made_again_later() {
        let mut own = joined();
        own.want(&json!({})).unwrap();
        assert!(payload(&own.next(secs(0))).is_some());
        own.failed(secs(1));
        assert_eq!(own.next(secs(2)), Next::Wait(secs(9)));
        assert!(payload(&own.next(secs(11))).is_some());
        own.failed(secs(12));
        own.joined();
        assert!(payload(&own.next(secs(12))).is_some(), "a new join is a new chance");
    }

    #[test]
    fn r11_nobody_stays_visible_because_an_answer_was_lost() {
        let untrack = json!({"type": "presence", "event": "untrack"});
        let mut own = joined();
        own.want(&json!({})).unwrap();
        assert!(payload(&own.next(secs(0))).is_some());
        // The server may show it, and it is not wanted any more; nor does the first word about that get an answer.
        own.failed(secs(10));
        own.unwant();
        assert_eq!(own.next(secs(10)), Next::Wait(secs(10)));
        assert_eq!(payload(&own.next(secs(20))), Some(untrack.clone()));
        own.failed(secs(30));
        assert_eq!(payload(&own.next(secs(40))), Some(untrack));
        assert_eq!(own.next(secs(41)), Next::Settled);
    }

    #[test]
    fn what_is_too_large_is_not_told_again_and_anything_else_is() {
        let mut own = joined();
        own.want(&json!({"s": "large"})).unwrap();
        assert!(payload(&own.next(secs(0))).is_some());
        own.too_large();
        own.joined();
        assert_eq!(own.next(secs(1)), Next::Settled);
        own.want(&json!({"s": "small"})).unwrap();
        assert!(payload(&own.next(secs(2))).is_some());
        own.joined();
        assert!(payload(&own.next(secs(3))).is_some());
    }

    #[test]
    fn only_objects_can_be_told() {
        for told in [json!(1), json!([]), json!(null), json!("on")] {
            assert!(OwnPresence::new().want(&told).is_err(), "{told}");
        }
        assert!(OwnPresence::new().want(&json!({"__proto__": 1})).is_ok());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Want(u8),
        Unwant,
        Rejoin,
        Left,
        Failed,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..4).prop_map(Step::Want),
            1 => Just(Step::Unwant),
            1 => Just(Step::Rejoin),
            1 => Just(Step::Left),
            1 => Just(Step::Failed),
            3 => (0_u64..20).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn r11_the_budget_holds_and_the_last_wish_comes_through(steps in prop::collection::vec(step(), 1..60)) {
            let (mut own, mut now, mut sent) = (joined(), secs(0), Vec::new());
            for step in steps {
                match step {
                    Step::Want(n) => own.want(&json!({ "n": n })).unwrap(),
                    Step::Unwant => own.unwant(),
                    Step::Rejoin => own.joined(),
                    Step::Left => own.left(),
                    Step::Failed => own.failed(now),
                    Step::Pass(seconds) => now += secs(seconds),
                }
                if payload(&own.next(now)).is_some() {
                    sent.push(now);
                }
            }
            own.joined();
            let mut shown = None;
            while let next @ (Next::Wait(_) | Next::Send(_)) = own.next(now) {
                match next {
                    Next::Wait(time) => now += time,
                    other => {
                        sent.push(now);
                        shown = payload(&other).unwrap().get("payload").cloned();
                    }
                }
            }
            let wanted = own.wanted.as_ref().map(|Told(raw)| serde_json::from_str::<Value>(raw.get()).unwrap());
            prop_assert_eq!(shown, wanted);
            for (first, sixth) in sent.iter().zip(sent.iter().skip(MAX_CALLS)) {
                prop_assert!(*sixth - *first >= WINDOW, "{:?}", sent);
            }
        }
    }
}
