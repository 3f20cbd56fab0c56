//! All channels of a connection: what is wanted, and what is joined. A pure machine from events to effects.
//!
//! ```text
//! Waiting ─turn─► Asking (token) ─► Joining ─ok─► Joined ─(database ready)─► live
//!    ▲  ▲                             │ refused      │ phx_close, phx_error, socket lost
//!    │  └──── pause, other token ◄────┴──────────────┘
//!    └─ Leaving ◄─ configured anew, other user         (nobody wants it: Leaving ─► gone)
//! ```
//! A wish is data: the topic, the whole configuration, the push that follows each join. Every join is built from it
//! anew, so the joined set becomes the wanted set again after whatever happened (R2). Each instance of a channel is
//! named by the ref of its join; what comes for another instance is dropped (R4).
mod core;
mod effect;
mod join;
mod presence;
mod push;
mod receive;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use cloud_client::Error;

use self::{
    core::{Core, Phase},
    push::Pending,
    refusal::Class,
};
pub(crate) use self::{
    effect::{Effect, NoChannel, Outcome, Wish},
    receive::Heard,
    token::Token,
};
use super::{GapCause, Params, Rejoin};
use crate::{connection::Now, message::Push, topic::Topic};

/// A join without an answer is given up after this: a server may take 5 s of penalty and 4 s of its own waits.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// A leave is waited for so long.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A channel whose database feed does not start is joined anew after this.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(60);
/// Joins on their way at once. After a refusal it is one: a server answers those late and blocks the socket meanwhile.
const MAX_JOINING: usize = 4;
/// Ceilings of the pauses before a rejoin.
const PAUSES_SECONDS: [u64; 5] = [1, 2, 5, 10, 30];
/// A reason for closing a channel is also that of the socket's end if this comes so soon after it.
const ABOUT_TO_CLOSE: Duration = Duration::from_secs(10);

/// The machine.
#[derive(Debug)]
pub(crate) struct ChannelSet {
    channels: BTreeMap<u64, Core>,
    /// The channel that holds a topic; one that is being left may still be in `channels` beside it.
    topics: HashMap<Topic, u64>,
    pending: Pending,
    open: bool,
    window: usize,
    /// When the last joins went out, for the limit per second.
    recent: VecDeque<Duration>,
    joins_per_second: usize,
    max_channels: usize,
    token: token::Known,
    joining_told: bool,
    live_told: usize,
    stale: u64,
}

impl ChannelSet {
    pub(crate) fn new(max_channels: usize, joins_per_second: u32) -> Self {
        Self {
            channels: BTreeMap::new(),
            topics: HashMap::new(),
            pending: Pending::default(),
            open: false,
            window: MAX_JOINING,
            recent: VecDeque::new(),
            joins_per_second: usize::try_from(joins_per_second).unwrap_or(usize::MAX).max(1),
            max_channels,
            token: token::Known::default(),
            joining_told: false,
            live_told: 0,
            stale: 0,
        }
    }

    /// How many channels are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.topics.len()
    }

    /// Whether the socket has anything to do with a channel, wanted or being left.
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Messages that came for an instance that is no more.
    pub(crate) const fn stale(&self) -> u64 {
        self.stale
    }

    /// What a channel asks for.
    pub(crate) fn params(&self, id: u64) -> Option<(&Topic, &Params)> {
        self.channels.get(&id).map(|core| (&core.topic, &core.params))
    }

    /// Wants a channel.
    pub(crate) fn open(&mut self, wish: Wish, now: Now<'_>, out: &mut Vec<Effect>) -> Result<(), NoChannel> {
        if self.topics.contains_key(&wish.topic) {
            return Err(NoChannel::Taken);
        }
        if self.topics.len() >= self.max_channels {
            return Err(NoChannel::TooMany);
        }
        self.topics.insert(wish.topic.clone(), wish.id);
        self.channels.insert(wish.id, Core::new(wish.topic, wish.params, now.at));
        self.tick(now, out);
        Ok(())
    }

    /// Asks for something else.
    pub(crate) fn configure(&mut self, id: u64, params: Params, rejoin: Rejoin, now: Now<'_>, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id).filter(|core| core.wanted) else { return };
        core.params = params;
        match core.phase {
            Phase::Refused { .. } => core.wait(now.at),
            Phase::Joining { .. } | Phase::Joined { .. } if rejoin == Rejoin::Now => self.rejoin(id, now, out),
            _ => {}
        }
        self.tick(now, out);
    }

    /// Sets what is sent after each join.
    pub(crate) fn after_join(&mut self, id: u64, push: Option<Push>) {
        if let Some(core) = self.channels.get_mut(&id) {
            core.after_join = push;
        }
    }

    /// Nobody wants this channel any more.
    pub(crate) fn abandon(&mut self, id: u64, now: Now<'_>, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id).filter(|core| core.wanted) else { return };
        core.wanted = false;
        self.topics.remove(&core.topic);
        match core.phase {
            Phase::Joining { .. } | Phase::Joined { .. } => self.leave(id, now, out),
            Phase::Leaving { .. } => {}
            Phase::Waiting { .. } | Phase::Asking | Phase::Renewing { .. } | Phase::Refused { .. } => {
                self.remove(id, out)
            }
        }
        self.tick(now, out);
    }

    /// The socket is open: everything that is wanted is joined, in the order it was asked for.
    pub(crate) fn opened(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        (self.open, self.window) = (true, MAX_JOINING);
        // A channel without a token speaks for whoever opened the socket, which may be somebody else now.
        let plain = self.channels.values_mut().filter(|core| !core.params.takes_token());
        plain.filter(|core| matches!(core.phase, Phase::Refused { .. })).for_each(|core| core.wait(now.at));
        self.tick(now, out);
    }

    /// The socket is gone, and with it every instance and every answer.
    pub(crate) fn closed(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        self.open = false;
        self.fail_answers(None, out);
        let ids: Vec<u64> = self.channels.keys().copied().collect();
        for id in ids {
            let Some(core) = self.channels.get_mut(&id) else { continue };
            match core.phase {
                _ if !core.wanted => self.remove(id, out),
                // The server has said why it was about to close the channel; that the socket went first changes nothing.
                Phase::Joined { .. } if core.closing.as_ref().is_some_and(|why| now.at <= why.at + ABOUT_TO_CLOSE) => {
                    core.break_off(id, GapCause::Connection, out);
                    self.ended_as_told(id, now, out);
                }
                Phase::Asking | Phase::Joining { .. } | Phase::Joined { .. } | Phase::Leaving { .. } => {
                    core.wait(now.at);
                    core.break_off(id, GapCause::Connection, out);
                }
                Phase::Waiting { .. } | Phase::Renewing { .. } | Phase::Refused { .. } => {}
            }
        }
        self.tick(now, out);
    }

    /// Everything ends: every handle hears of it.
    pub(crate) fn shut_down(&mut self, out: &mut Vec<Effect>) {
        self.fail_answers(None, out);
        let ids: Vec<u64> = self.channels.keys().copied().collect();
        for id in ids {
            self.remove(id, out);
        }
    }

    /// Joins that are on their way, or about to be.
    fn joining(&self) -> usize {
        self.channels.values().filter(|core| matches!(core.phase, Phase::Asking | Phase::Joining { .. })).count()
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let full = self.joining() >= self.window;
        let slot = self.next_slot();
        let left: Vec<&Topic> =
            self.channels.values().filter(|core| core.is_leaving()).map(|core| &core.topic).collect();
        let due = |core: &Core| match core.phase {
            Phase::Waiting { .. } if !self.open || full || left.contains(&&core.topic) => None,
            Phase::Waiting { until } => Some(until.max(slot)),
            Phase::Joining { until, .. } | Phase::Leaving { until, .. } => Some(until),
            Phase::Joined { until, .. } => until.into_iter().chain(core.telling.due()).min(),
            Phase::Renewing { until, .. } if !self.token.is_asked() => Some(until),
            Phase::Asking | Phase::Renewing { .. } | Phase::Refused { .. } => None,
        };
        let channels = self.channels.values().filter_map(due);
        channels.chain(self.pending.deadline()).chain(self.token_due()).min()
    }

    /// Time passed, or something may be possible now.
    pub(crate) fn tick(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        self.expire_pushes(now, out);
        self.expire_phases(now, out);
        self.tell_presence(now, out);
        self.take_turns(now, out);
        self.check_token(now, out);
        self.tell_summary(out);
    }

    fn tell_summary(&mut self, out: &mut Vec<Effect>) {
        let joining = self.channels.values().any(|core| matches!(core.phase, Phase::Joining { .. }));
        if joining != self.joining_told {
            self.joining_told = joining;
            out.push(Effect::Joining(joining));
        }
        let mut live = 0;
        for (&id, core) in &mut self.channels {
            live += usize::from(core.live && core.wanted);
            let state = core.state();
            if state != core.shown {
                core.shown = state;
                out.push(Effect::Show { id, state });
            }
        }
        if live != self.live_told {
            self.live_told = live;
            out.push(Effect::Live(live));
        }
    }

    /// The channel is gone; whoever waits for something in it is told.
    fn remove(&mut self, id: u64, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.remove(&id) else { return };
        if core.wanted {
            self.topics.remove(&core.topic);
        }
        for queued in core.queue {
            self.pending.forget(queued.push);
            let error = Error::new(cloud_client::error::codes::CLOSED);
            out.push(Effect::Settle { push: queued.push, outcome: Outcome::Failed(error) });
        }
        self.fail_answers(Some(id), out);
        out.push(Effect::Gone { id });
    }
}
