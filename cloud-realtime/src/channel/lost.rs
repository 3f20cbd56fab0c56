//! What is left of events that a listener will not get: how many there were, and how things stand after them.
//!
//! A listener that was too slow loses messages, and must not lose what it would be wrong without until the next join: the
//! answer to the join (the ids of row changes are in it), whether anything flows, and who is there. Those are told right
//! after [`ChannelEvent::Lagged`]. A listener that comes late finds the same, and nothing was lost. Bounded: one answer,
//! one word, and what is kept of presence anyway.
use std::collections::VecDeque;

use super::event::{ChannelEvent, Joined};
use crate::{event, presence::Record};

/// What was lost and what stands.
#[derive(Debug, Default)]
pub(super) struct Lost {
    missed: u64,
    /// The newest answer to a join.
    joined: Option<Joined>,
    /// What came after it: live, or the end of that.
    stands: Option<ChannelEvent>,
    /// Whether messages about presence are among the lost.
    presence: bool,
}

impl Lost {
    /// What a listener finds that comes now.
    pub(super) fn before(joined: &Joined, is_live: bool) -> Self {
        Self { missed: 0, joined: Some(joined.clone()), stands: is_live.then_some(ChannelEvent::Live), presence: true }
    }

    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) const fn presence(&self) -> bool {
        self.presence
    }

    /// One more event is lost. What it makes obsolete counts as missed; it does not if it is told after all.
    pub(super) fn lose(&mut self, event: ChannelEvent) {
        let obsolete = match event {
            ChannelEvent::Joined(joined) => {
                usize::from(self.joined.replace(joined).is_some()) + usize::from(self.stands.take().is_some())
            }
            ChannelEvent::Live | ChannelEvent::Gap(_) | ChannelEvent::Refused(_) => {
                usize::from(self.stands.replace(event).is_some())
            }
            ChannelEvent::Message(message) => {
                self.presence |= event::is_about_presence(message.event());
                1
            }
            ChannelEvent::Resubscribed | ChannelEvent::Lagged { .. } => 1,
        };
        self.missed += obsolete as u64;
    }

    /// The events that tell it. `newest` is the newest answer to a join; `joins_later`: it follows, and who is there is told
    /// after it.
    pub(super) fn tell(self, newest: Option<&Joined>, record: &Record, joins_later: bool) -> VecDeque<ChannelEvent> {
        let Self { missed, joined, stands, presence } = self;
        let mut told = VecDeque::new();
        if missed > 0 {
            told.push_back(ChannelEvent::Lagged { missed });
        }
        let tells = presence && !joins_later;
        // Members from before a join whose state is still to come are told before it: after it they would be that state.
        // Whoever comes late does not know them.
        if tells && record.is_waiting() && joined.is_some() && missed > 0 {
            told.extend(record.state().map(ChannelEvent::Message));
        }
        let now = if tells { record.now() } else { None };
        // Changes that wait for a state are in what is told now; a join, told once more, has them forgotten.
        let joined = joined.or_else(|| newest.filter(|_| now.is_some()).cloned());
        told.extend(joined.map(ChannelEvent::Joined));
        told.extend(now.map(ChannelEvent::Message));
        told.extend(stands);
        told
    }
}
