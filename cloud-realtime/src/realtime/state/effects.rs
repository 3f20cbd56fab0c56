//! What the machines say is done: jobs begun, sockets let go, listeners and waiters told.
use cloud_client::Error;

use super::{super::jobs::Jobs, Live, Out};
use crate::{
    channel::{
        command::Waiter,
        set::{self, ChannelSet, Outcome},
    },
    codec::Envelope,
    codes::{HEARTBEAT_LOST, PUSH_UNCERTAIN, SOCKET_LOST},
    connection::{self, Event, Loss},
    status::ChannelState,
};

impl Live {
    /// Does what the machines say until they say nothing more.
    pub(in crate::realtime) fn perform(&mut self, jobs: &mut Jobs) {
        loop {
            let wanted = !self.set.is_empty();
            if std::mem::replace(&mut self.wanted, wanted) != wanted {
                self.connection(Event::Wanted(wanted));
            }
            let (first, second) = (std::mem::take(&mut self.connection_effects), std::mem::take(&mut self.set_effects));
            if first.is_empty() && second.is_empty() {
                break;
            }
            first.into_iter().for_each(|effect| self.connect(effect, jobs));
            second.into_iter().for_each(|effect| self.channel(effect, jobs));
        }
        if std::mem::take(&mut self.set_moved) {
            self.set_due = self.set.deadline();
        }
    }

    fn connect(&mut self, effect: connection::Effect, jobs: &mut Jobs) {
        match effect {
            connection::Effect::Acquire { generation, renew } => jobs.acquire(generation, renew),
            connection::Effect::Connect { generation } => {
                jobs.connect(generation, self.credentials.take().unwrap_or_default());
            }
            connection::Effect::Drop => {
                jobs.give_up();
                (self.socket, self.credentials) = (None, None);
            }
            connection::Effect::Close => self.leaving = self.socket.take(),
            connection::Effect::Opened => {
                self.shown.last_error = None;
                self.set(ChannelSet::opened);
            }
            connection::Effect::Lost(loss) => {
                self.socket = None;
                for out in std::mem::take(&mut self.outbox) {
                    if let Out::Sent(push) = out
                        && let Some(waiter) = self.waiters.remove(&push)
                    {
                        waiter.fail(Error::new(PUSH_UNCERTAIN));
                    }
                }
                self.shown.last_error = match loss {
                    Loss::Closed { code } => Some(match code {
                        Some(code) => Error::new(SOCKET_LOST).with_server_code(code.to_string()),
                        None => Error::new(SOCKET_LOST),
                    }),
                    Loss::Silent => Some(Error::new(HEARTBEAT_LOST)),
                    Loss::Slept | Loss::Unwanted => None,
                };
                tracing::debug!(?loss, "the live connection ended");
                self.set(ChannelSet::closed);
            }
            connection::Effect::Heartbeat(reference) => self.send(&Envelope::heartbeat(reference), None),
        }
    }

    fn channel(&mut self, effect: set::Effect, jobs: &mut Jobs) {
        match effect {
            set::Effect::AskToken => jobs.ask_token(None),
            set::Effect::RenewToken { generation } => {
                jobs.ask_token(self.token.clone().filter(|token| token.generation == generation));
            }
            set::Effect::Join { id, join_ref } => self.join(id, join_ref),
            set::Effect::SendToken { id, join_ref, reference } => self.send_token(id, join_ref, reference),
            set::Effect::Send { envelope, push } => self.send(&envelope, push),
            set::Effect::Settle { push, outcome: Outcome::Sent } => self.outbox.push_back(Out::Sent(push)),
            set::Effect::Settle { push, outcome: Outcome::Answered(reply) } => {
                if let Some(Waiter::Answer(waiter)) = self.waiters.remove(&push) {
                    // Whoever asked may have gone.
                    let _ = waiter.send(Ok(reply));
                }
            }
            set::Effect::Settle { push, outcome: Outcome::Failed(error) } => {
                if let Some(waiter) = self.waiters.remove(&push) {
                    waiter.fail(error);
                }
            }
            set::Effect::Shown { id, refusal } => {
                if let Some(shared) = self.handles.get(&id) {
                    shared.shown.answered(refusal);
                }
            }
            set::Effect::Tell { id, event } => {
                if let Some(shared) = self.handles.get(&id) {
                    shared.listeners.tell(event);
                }
            }
            set::Effect::Joined { id, joined, has_presence } => {
                if let Some(shared) = self.handles.get(&id) {
                    shared.listeners.tell_joined(joined, has_presence);
                }
            }
            set::Effect::Show { id, state } => {
                if let Some(shared) = self.handles.get(&id) {
                    shared.state.send_replace(state);
                }
            }
            set::Effect::Gone { id } => {
                if let Some(shared) = self.handles.remove(&id) {
                    shared.state.send_replace(ChannelState::Left);
                    shared.listeners.end();
                }
            }
            set::Effect::Joining(joining) => self.connection(Event::Joining(joining)),
            set::Effect::Live(live) => {
                self.shown.live_channels = live;
                self.connection(Event::Live(live > 0));
            }
            set::Effect::Limited => self.connection(Event::Limited),
        }
    }
}
