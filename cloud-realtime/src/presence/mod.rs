//! Who is on a channel: a fold of one state and the diffs around it.
//!
//! ```text
//! presence_state ─┐
//!                 ├─► Presence (key → metas) ─► Change: joined, left, updated
//! presence_diff  ─┘     ▲ diffs that come before the state wait, up to a limit
//! ```
//! A key stands for a member and a meta for one of its instances, such as a device; the server names
//! each meta by `phx_ref`. The channel calls [`joining`](Presence::joining) with every join, because a
//! state replaces what an earlier instance of the channel knew. [`Roster`] is the same with what members
//! tell about themselves as a type of the application's; [`OwnPresence`] is what this member tells.
//! Pure: no clock, no I/O. [`Members`] and [`Tracker`] put the two on a channel.
//! Source: Phoenix presence, `presence_state` and `presence_diff`.

mod own;
mod record;
mod roster;
mod stream;
mod tracker;

pub use self::{
    own::{Call, MAX_CALLS, Next, OwnPresence, WINDOW},
    roster::{Roster, Update},
    stream::{Members, PresenceEvent},
    tracker::Tracker,
};
pub(crate) use self::{
    record::Record,
    tracker::{Shown, ShownAs},
};
use crate::{
    codec::{DecodeError, bad_json},
    refs::Ref,
};
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

/// Most diffs that wait for a state. The oldest go first: what they say is the likeliest to be in the
/// state already.
pub const MAX_PENDING_DIFFS: usize = 1_000;
/// Most bytes of diffs that wait for a state.
pub const MAX_PENDING_BYTES: usize = 8 * 1024 * 1024;

/// The members of one channel.
#[derive(Debug, Default)]
pub struct Presence {
    members: ByKey,
    pending: VecDeque<Diff>,
    pending_bytes: usize,
    dropped: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Not asked for: a public channel gets diffs all the same, and no state will ever come.
    #[default]
    Unwanted,
    Waiting(Ref),
    Synced(Ref),
}

impl Presence {
    /// Nobody, and nothing expected until [`joining`](Self::joining).
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts over for the channel instance whose join has this ref. Members stay visible until the new
    /// state says who is still there; diffs wait for it.
    pub fn joining(&mut self, join_ref: Ref) {
        self.stage = Stage::Waiting(join_ref);
        self.forget_pending();
    }

    /// Takes a `presence_state` with the join ref it came with, if any (1.0.0 has none). A state of an
    /// earlier instance changes nothing.
    pub fn state(&mut self, join_ref: Option<&str>, state: State) -> Vec<Change> {
        let (Stage::Waiting(current) | Stage::Synced(current)) = self.stage else { return Vec::new() };
        if join_ref.is_some_and(|theirs| !current.is(theirs)) {
            return Vec::new();
        }
        self.stage = Stage::Synced(current);
        let mut changes = self.apply(self.difference(state));
        let pending = std::mem::take(&mut self.pending);
        self.forget_pending();
        changes.extend(pending.into_iter().flat_map(|diff| self.apply(diff)));
        changes
    }

    /// Takes a `presence_diff`. Before the state it waits and says nothing; where presence was not
    /// asked for it is dropped.
    pub fn diff(&mut self, diff: Diff) -> Vec<Change> {
        match self.stage {
            Stage::Unwanted => Vec::new(),
            Stage::Synced(_) => self.apply(diff),
            Stage::Waiting(_) => {
                self.pending_bytes += diff.size_bytes;
                self.pending.push_back(diff);
                while self.pending.len() > MAX_PENDING_DIFFS || self.pending_bytes > MAX_PENDING_BYTES {
                    let Some(oldest) = self.pending.pop_front() else { break };
                    self.pending_bytes -= oldest.size_bytes;
                    self.dropped += 1;
                }
                Vec::new()
            }
        }
    }

    /// Empties the channel, for when it is left for good.
    pub fn clear(&mut self) -> Vec<Change> {
        self.stage = Stage::Unwanted;
        self.forget_pending();
        let members = std::mem::take(&mut self.members.0);
        members.into_iter().filter_map(|(key, metas)| Change::between(key, &metas, &[])).collect()
    }

    /// Everyone, by key.
    pub fn members(&self) -> impl Iterator<Item = (&str, &[Meta])> {
        self.members.0.iter().map(|(key, metas)| (key.as_str(), metas.as_slice()))
    }

    /// The instances of one member; none when it is not there.
    pub fn metas(&self, key: &str) -> &[Meta] {
        self.members.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the state of the current join has come.
    pub const fn is_synced(&self) -> bool {
        matches!(self.stage, Stage::Synced(_))
    }

    /// Whether presence was asked for.
    const fn is_wanted(&self) -> bool {
        !matches!(self.stage, Stage::Unwanted)
    }

    /// The diffs that wait, as one: of each instance the last word counts.
    fn pending_as_one(&self) -> Diff {
        let mut last: BTreeMap<(&str, &str), (&Meta, bool)> = BTreeMap::new();
        for Diff { joins, leaves, .. } in &self.pending {
            for (side, has_come) in [(joins, true), (leaves, false)] {
                for (key, meta) in side.0.iter().flat_map(|(key, metas)| metas.iter().map(move |meta| (key, meta))) {
                    last.insert((key, meta.phx_ref()), (meta, has_come));
                }
            }
        }
        let mut one = Diff { joins: ByKey::default(), leaves: ByKey::default(), size_bytes: 0 };
        for ((key, _), (meta, has_come)) in last {
            let side = if has_come { &mut one.joins } else { &mut one.leaves };
            side.0.entry(key.to_owned()).or_default().push(meta.clone());
        }
        one
    }

    /// How many diffs wait for the state.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many diffs were dropped because too many waited. Above zero, members may be missing until the
    /// next join.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What has to happen to the members to make them those of `state`. Those who stay join again, which
    /// changes nothing about them.
    fn difference(&self, state: State) -> Diff {
        let joins = state.0;
        let gone = |(key, held): (&String, &Vec<Meta>)| {
            let stay = refs(joins.0.get(key).map_or(&[], Vec::as_slice));
            let gone = held.iter().filter(|meta| !stay.contains(meta.phx_ref())).cloned().collect();
            (key.clone(), gone)
        };
        let leaves = ByKey(self.members.0.iter().map(gone).collect());
        Diff { joins, leaves, size_bytes: 0 }
    }

    /// Joins first, then leaves, so that an update is one change and never an absence.
    fn apply(&mut self, diff: Diff) -> Vec<Change> {
        let (ByKey(mut joins), ByKey(mut leaves)) = (diff.joins, diff.leaves);
        let keys: BTreeSet<String> = joins.keys().chain(leaves.keys()).cloned().collect();
        let mut changes = Vec::new();
        for key in keys {
            let (joined, left) = (joins.remove(&key).unwrap_or_default(), leaves.remove(&key).unwrap_or_default());
            let before = self.members.0.remove(&key).unwrap_or_default();
            let replaced = refs(&joined);
            let mut now: Vec<Meta> = before.iter().filter(|meta| !replaced.contains(meta.phx_ref())).cloned().collect();
            now.extend(joined.iter().cloned());
            let gone = refs(&left);
            now.retain(|meta| !gone.contains(meta.phx_ref()));
            changes.extend(Change::between(key.clone(), &before, &now));
            if !now.is_empty() {
                self.members.0.insert(key, now);
            }
        }
        changes
    }

    fn forget_pending(&mut self) {
        (self.pending, self.pending_bytes, self.dropped) = (VecDeque::new(), 0, 0);
    }
}

fn refs(metas: &[Meta]) -> BTreeSet<&str> {
    metas.iter().map(Meta::phx_ref).collect()
}

/// What one message changed about one member.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The member.
    pub key: String,
    /// The short of it.
    pub kind: ChangeKind,
    /// Instances that came, or the new form of those that changed.
    pub joined: Vec<Meta>,
    /// Instances that went, or the old form of those that changed.
    pub left: Vec<Meta>,
    /// How many instances the member has now; at zero the member is gone.
    pub instances: usize,
}

/// The sort of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "instances can only come, go, or both")]
pub enum ChangeKind {
    /// Instances came and none went.
    Joined,
    /// Instances went and none came.
    Left,
    /// Some went and some came: the member changed what it tells about itself.
    Updated,
}

impl Change {
    fn between(key: String, before: &[Meta], now: &[Meta]) -> Option<Self> {
        let missing_in = |there: &[Meta], here: &[Meta]| -> Vec<Meta> {
            let there: BTreeMap<&str, &Meta> = there.iter().map(|meta| (meta.phx_ref(), meta)).collect();
            here.iter().filter(|meta| there.get(meta.phx_ref()) != Some(meta)).cloned().collect()
        };
        let (joined, left) = (missing_in(before, now), missing_in(now, before));
        let kind = match (joined.is_empty(), left.is_empty()) {
            (true, true) => return None,
            (false, true) => ChangeKind::Joined,
            (true, false) => ChangeKind::Left,
            (false, false) => ChangeKind::Updated,
        };
        Some(Self { key, kind, joined, left, instances: now.len() })
    }
}

/// One instance of a member: the server's ref, and what the instance tells about itself.
///
/// Cheap to clone. Two metas are equal when their text is.
#[derive(Clone)]
pub struct Meta {
    phx_ref: Arc<str>,
    raw: Arc<RawValue>,
}

impl Meta {
    /// The server's name for this instance in its present form; an update gives a new one.
    pub fn phx_ref(&self) -> &str {
        &self.phx_ref
    }

    /// Decodes what was tracked; the server's own `phx_ref` is among the fields.
    ///
    /// # Errors
    ///
    /// When it has another shape.
    pub fn decode<'s, T: Deserialize<'s>>(&'s self) -> Result<T, DecodeError> {
        serde_json::from_str(self.raw.get()).map_err(bad_json("presence meta"))
    }
}

impl PartialEq for Meta {
    fn eq(&self, other: &Self) -> bool {
        self.raw.get() == other.raw.get()
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meta({:?}, {} bytes)", self.phx_ref, self.raw.get().len())
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            phx_ref: Cow<'a, str>,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        // Not the inner message: it may quote what a member tells about itself.
        let Named { phx_ref } =
            serde_json::from_str(raw.get()).map_err(|_| D::Error::custom("a presence meta without phx_ref"))?;
        Ok(Self { phx_ref: phx_ref.into(), raw: raw.into() })
    }
}

/// The payload of a `presence_state`: everyone who is there.
#[derive(Clone, Debug, PartialEq)]
pub struct State(ByKey);

impl State {
    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// When it is not an object of members with their metas.
    pub fn parse(payload: &RawValue) -> Result<Self, DecodeError> {
        serde_json::from_str(payload.get()).map(Self).map_err(bad_json("presence state"))
    }
}

/// The payload of a `presence_diff`: who came and who went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    joins: ByKey,
    leaves: ByKey,
    #[serde(skip)]
    size_bytes: usize,
}

impl Diff {
    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// When it does not hold members with their metas.
    pub fn parse(payload: &RawValue) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            joins: ByKey,
            #[serde(default)]
            leaves: ByKey,
        }
        let Wire { joins, leaves } = serde_json::from_str(payload.get()).map_err(bad_json("presence diff"))?;
        Ok(Self { joins, leaves, size_bytes: payload.get().len() })
    }
}

/// `{"key": {"metas": […]}}`; of two metas with one ref the later counts.
#[derive(Clone, Debug, Default, PartialEq)]
struct ByKey(BTreeMap<String, Vec<Meta>>);

impl<'de> Deserialize<'de> for ByKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Member {
            metas: Vec<Meta>,
        }
        let members = BTreeMap::<String, Member>::deserialize(deserializer)?;
        Ok(Self(members.into_iter().map(|(key, Member { metas })| (key, distinct(metas))).collect()))
    }
}

impl Serialize for ByKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Member<'a> {
            metas: Vec<&'a RawValue>,
        }
        let members = self.0.iter();
        serializer.collect_map(members.map(|(key, metas)| {
            let metas = metas.iter().map(|meta| &*meta.raw).collect();
            (key, Member { metas })
        }))
    }
}

fn distinct(mut metas: Vec<Meta>) -> Vec<Meta> {
    let mut seen = BTreeSet::new();
    metas.reverse();
    metas.retain(|meta| seen.insert(Arc::clone(&meta.phx_ref)));
    metas.reverse();
    metas
}

#[cfg(test)]
mod tests;
