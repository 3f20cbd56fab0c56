//! Pushes: those that wait for their channel, and those that wait for their answer.
//!
//! Answers are matched by ref alone, since they come in any order. Every push has a limit of time from the moment it was
//! asked for; one that has not been sent by then never is. Joins are not pushes: they are never queued.
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use cloud_client::{Error, ErrorCode, error::codes::CLOSED};

use super::{ChannelSet, Effect, Outcome, Phase};
use crate::{
    codec::Reply,
    codes::{PUSH_EXPIRED, PUSH_OVERFLOW, PUSH_TIMEOUT, PUSH_UNCERTAIN},
    connection::Now,
    message::Push,
    refs::Ref,
};

/// Pushes that wait for one channel to be joined.
pub(crate) const MAX_QUEUED: usize = 100;
/// Bytes of payload that wait there.
const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;
/// Pushes of all channels that wait for an answer.
const MAX_UNANSWERED: usize = 16_384;

/// A push that waits for its channel.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) push: u64,
    message: Push,
    answer: bool,
    until: Duration,
}

/// All pushes that are not over.
#[derive(Debug, Default)]
pub(super) struct Pending {
    places: HashMap<u64, Place>,
    answers: HashMap<Ref, u64>,
    expiries: Expiries,
}

/// Ids in the order of time.
type Expiries = BTreeSet<(Duration, u64)>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    channel: u64,
    until: Duration,
    /// Set once it was sent.
    sent: Option<Ref>,
}

impl Pending {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.expiries.first().map(|&(at, _)| at)
    }

    pub(super) fn forget(&mut self, push: u64) -> Option<Place> {
        let place = self.places.remove(&push)?;
        self.expiries.remove(&(place.until, push));
        if let Some(reference) = place.sent {
            self.answers.remove(&reference);
        }
        Some(place)
    }

    fn remember(&mut self, push: u64, place: Place) {
        self.expiries.insert((place.until, push));
        if let Some(reference) = place.sent {
            self.answers.insert(reference, push);
        }
        self.places.insert(push, place);
    }
}

impl ChannelSet {
    /// A push for a channel; `answer` says whether anyone waits for more than its being sent.
    pub(crate) fn push(
        &mut self,
        (id, push): (u64, u64),
        message: Push,
        answer: bool,
        now: Now<'_>,
        out: &mut Vec<Effect>,
    ) {
        let until = now.at.saturating_add(message.within);
        let queued = Queued { push, message, answer, until };
        let Some(core) = self.channels.get_mut(&id).filter(|core| core.wanted) else {
            out.push(fail(push, CLOSED));
            return;
        };
        if let Phase::Joined { .. } = core.phase {
            self.dispatch(id, queued, now, out);
        } else if core.queue.len() >= MAX_QUEUED || !fits(&core.queue, &queued) {
            out.push(fail(push, PUSH_OVERFLOW));
        } else {
            core.queue.push_back(queued);
            self.pending.remember(push, Place { channel: id, until, sent: None });
        }
    }

    /// Sends what has waited for the join.
    pub(super) fn flush(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        self.expire_pushes(now, out);
        let Some(core) = self.channels.get_mut(&id) else { return };
        for queued in std::mem::take(&mut core.queue) {
            self.pending.forget(queued.push);
            self.dispatch(id, queued, now, out);
        }
    }

    fn dispatch(&mut self, id: u64, queued: Queued, now: Now<'_>, out: &mut Vec<Effect>) {
        let Queued { push, message, answer, until } = queued;
        let Some(core) = self.channels.get(&id) else { return };
        let Phase::Joined { join_ref, .. } = core.phase else { return };
        if answer && self.pending.answers.len() >= MAX_UNANSWERED {
            out.push(fail(push, PUSH_OVERFLOW));
            return;
        }
        let reference = now.refs.next();
        let envelope = message.into_envelope(core.topic.as_str().to_owned());
        out.push(Effect::Send { envelope: envelope.with_ref(reference).with_join_ref(join_ref), push: Some(push) });
        if answer {
            self.pending.remember(push, Place { channel: id, until, sent: Some(reference) });
        } else {
            out.push(Effect::Settle { push, outcome: Outcome::Sent });
        }
    }

    /// An answer came for this ref; whether it was ours.
    pub(super) fn answered(&mut self, reference: Ref, reply: &Reply<'_>, out: &mut Vec<Effect>) -> bool {
        let Some(&push) = self.pending.answers.get(&reference) else { return false };
        // The limit of time goes with the answer, in the same step.
        self.pending.forget(push);
        out.push(Effect::Settle { push, outcome: Outcome::Answered(reply.clone().into_owned()) });
        true
    }

    /// The push was not sent after all.
    pub(crate) fn not_sent(&mut self, push: u64) {
        self.pending.forget(push);
    }

    /// Whoever waits for an answer of this channel, or of all, waits in vain. What has not been sent goes on waiting.
    pub(super) fn fail_answers(&mut self, channel: Option<u64>, out: &mut Vec<Effect>) {
        let lost = |place: &Place| place.sent.is_some() && channel.is_none_or(|id| id == place.channel);
        let mut lost: Vec<u64> =
            self.pending.places.iter().filter(|(_, place)| lost(place)).map(|(&push, _)| push).collect();
        lost.sort_unstable();
        for push in lost {
            self.pending.forget(push);
            out.push(fail(push, PUSH_UNCERTAIN));
        }
    }

    pub(super) fn expire_pushes(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        while let Some(&(at, push)) = self.pending.expiries.first() {
            if at > now.at {
                return;
            }
            let Some(place) = self.pending.forget(push) else { return };
            if place.sent.is_none()
                && let Some(core) = self.channels.get_mut(&place.channel)
            {
                core.queue.retain(|queued| queued.push != push);
            }
            out.push(fail(push, if place.sent.is_some() { PUSH_TIMEOUT } else { PUSH_EXPIRED }));
        }
    }
}

/// Whether the bytes of one more have room beside those that wait.
fn fits(queue: &VecDeque<Queued>, more: &Queued) -> bool {
    let waiting: usize = queue.iter().map(|queued| queued.message.size_bytes()).sum();
    queue.is_empty() || waiting + more.message.size_bytes() <= MAX_QUEUED_BYTES
}

fn fail(push: u64, code: ErrorCode) -> Effect {
    Effect::Settle { push, outcome: Outcome::Failed(Error::new(code)) }
}
