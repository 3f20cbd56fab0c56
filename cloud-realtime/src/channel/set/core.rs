//! One channel of the set: what is wanted of it, and where the present instance stands.
use std::{collections::VecDeque, time::Duration};

use super::{Effect, Token, presence, push::Queued, refusal::Class};
use crate::{
    channel::{ChannelEvent, GapCause, Params},
    message::Push,
    refs::Ref,
    status::ChannelState,
    topic::Topic,
};

/// One channel.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) topic: Topic,
    pub(super) params: Params,
    pub(super) after_join: Option<Push>,
    /// What the server is to show of this member.
    pub(super) telling: presence::Telling,
    /// Whether a handle still wants it.
    pub(super) wanted: bool,
    pub(super) phase: Phase,
    pub(super) failures: u32,
    /// The server's last word on why it is about to close the channel.
    pub(super) closing: Option<Closing>,
    pub(super) queue: VecDeque<Queued>,
    /// What the instance was joined with; what is configured meanwhile counts from the next join on.
    pub(super) terms: Terms,
    pub(super) live: bool,
    pub(super) live_since: Option<Duration>,
    /// Whether listeners know that the sequence is broken. True before the first join: there is none yet.
    pub(super) broken: bool,
    /// The token it joined with.
    pub(super) joined_as: Option<Token>,
    pub(super) renewed: bool,
    pub(super) shown: ChannelState,
}

/// What of its parameters matters after a join.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) waits_for_database: bool,
    pub(super) has_presence: bool,
    pub(super) takes_token: bool,
}

impl Terms {
    pub(super) fn of(params: &Params) -> Self {
        Self {
            waits_for_database: params.waits_for_database(),
            has_presence: params.has_presence(),
            takes_token: params.takes_token(),
        }
    }
}

/// Why the server is about to close a channel, and when it said so.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) class: Class,
    pub(super) words: String,
    pub(super) at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting {
        until: Duration,
    },
    Asking,
    Joining {
        join_ref: Ref,
        until: Duration,
    },
    Joined {
        join_ref: Ref,
        until: Option<Duration>,
    },
    Leaving {
        join_ref: Ref,
        leave_ref: Ref,
        until: Duration,
    },
    /// The token was refused as expired, and another is asked for, not before this.
    Renewing {
        token: u64,
        until: Duration,
    },
    Refused {
        token: Option<u64>,
    },
}

impl Core {
    pub(super) fn new(topic: Topic, params: Params, at: Duration) -> Self {
        Self {
            topic,
            params,
            after_join: None,
            telling: presence::Telling::default(),
            wanted: true,
            phase: Phase::Waiting { until: at },
            failures: 0,
            closing: None,
            queue: VecDeque::new(),
            terms: Terms::default(),
            live: false,
            live_since: None,
            broken: true,
            joined_as: None,
            renewed: false,
            shown: ChannelState::Waiting,
        }
    }

    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    pub(super) const fn wait(&mut self, until: Duration) {
        self.phase = Phase::Waiting { until };
        self.live = false;
    }

    /// Tells listeners, once, that the sequence is broken (R1).
    pub(super) fn break_off(&mut self, id: u64, cause: GapCause, out: &mut Vec<Effect>) {
        self.live = false;
        if !std::mem::replace(&mut self.broken, true) {
            out.push(Effect::Tell { id, event: ChannelEvent::Gap(cause) });
        }
    }

    pub(super) const fn state(&self) -> ChannelState {
        match self.phase {
            Phase::Waiting { .. } | Phase::Asking | Phase::Renewing { .. } | Phase::Leaving { .. } => {
                ChannelState::Waiting
            }
            Phase::Joining { .. } => ChannelState::Joining,
            Phase::Joined { .. } if self.live => ChannelState::Live,
            Phase::Joined { .. } => ChannelState::Joined,
            Phase::Refused { .. } => ChannelState::Refused,
        }
    }
}
