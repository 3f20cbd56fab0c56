//! Coming and going: a sign-in becomes the session, a sign-out ends it.
use std::time::Duration;

use cloud_client::{AccessToken, Error};

use super::{
    Machine,
    model::{Arrival, Effect, Entering, Fresh, How, State, Ticket, Turn},
};
use crate::{
    events::AuthChange,
    passages::Scope,
    session::record::Record,
    status::{SignOutReason, User},
};

impl Machine {
    pub(super) fn enter(&mut self, arrival: Arrival, entry: u64, fresh: Fresh, user: User, turn: &mut Turn) {
        if arrival.fence != self.fence {
            // Somebody signed out meanwhile: end at the server what nobody will use.
            let (access, left) = (Some(AccessToken::new(fresh.access, 0)), fresh.lifetime);
            turn.effects.push(Effect::Revoke { access, refresh: fresh.refresh, scope: Scope::Local, left });
            return;
        }
        let context = match &self.state {
            State::SignedIn(live) if live.user.id == user.id => live.context.clone(),
            State::Entering(entering) if entering.user.id == user.id => entering.context.clone(),
            _ => None,
        };
        if matches!(self.state, State::SignedIn(_)) {
            turn.effects.push(Effect::Unlock);
        }
        let ticket = self.ticket();
        let record = Record { refresh: fresh.refresh.clone(), user: user.clone(), context: context.clone() };
        turn.effects.push(Effect::Write { ticket, record, how: How::Replace });
        self.state =
            State::Entering(Box::new(Entering { entry, recovery: arrival.recovery, ticket, fresh, user, context }));
    }

    pub(super) fn removed(&mut self, ticket: Ticket, result: Result<(), Error>, turn: &mut Turn) {
        let State::SignedOut { removal: removal @ Some(_), .. } = &mut self.state else { return };
        let Some((awaited, pause)) = removal else { return };
        if *awaited != ticket {
            return;
        }
        match result {
            Ok(()) => {
                *removal = None;
                self.recover(turn);
            }
            Err(error) => {
                let failures = pause.as_ref().map_or(0, |pause| pause.failures);
                *pause = Some(turn.pause(failures));
                self.degrade(&error, turn);
            }
        }
    }

    pub(super) fn sign_out(&mut self, scope: Scope, turn: &mut Turn) {
        self.fence += 1;
        let tokens = match &self.state {
            State::SignedIn(live) => {
                let access = live.access.as_ref().filter(|access| access.is_alive(turn.now));
                let left = access.map_or(Duration::ZERO, |access| access.remaining(turn.now));
                Some((access.map(|access| access.token.clone()), live.refresh.clone(), left))
            }
            State::Entering(entering) => {
                let Fresh { access, refresh, lifetime, .. } = &entering.fresh;
                Some((Some(AccessToken::new(access.clone(), 0)), refresh.clone(), *lifetime))
            }
            _ => None,
        };
        turn.effects.push(Effect::Unlock);
        self.leave(SignOutReason::Asked, turn);
        if let Some((access, refresh, left)) = tokens {
            turn.effects.push(Effect::Revoke { access, refresh, scope, left });
        }
    }

    /// Nobody is signed in from here on; the store follows.
    pub(super) fn leave(&mut self, reason: SignOutReason, turn: &mut Turn) {
        let ticket = self.ticket();
        // Tokens shown so far belong to nobody any more.
        self.generation += 1;
        turn.effects.push(Effect::Remove(ticket));
        if !matches!(self.state, State::SignedOut { .. }) {
            turn.emit(AuthChange::SignedOut { reason: reason.clone() });
        }
        self.state = State::SignedOut { reason, removal: Some((ticket, None)) };
    }
}
