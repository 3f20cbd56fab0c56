//! Decides what happens to a session. Pure: an event and the time go in, effects come out; nothing waits here.
//!
//! ```text
//! Restoring ─► SignedOut ─► Entering ─► SignedIn ─► SignedOut          Blind: the store cannot be read, try again
//! SignedIn:  Idle ─► Looking ─► Sending ─► Storing ─► Idle             a refresh, all under the store's lock
//!                                  └─► Checking ─► Sending | SignedOut     refused for good: look once more (A6)
//!            Looking ─► Upgrading ─► Storing                           a better session, such as by a second factor
//!            Idle ─► Saving ─► Idle                                    an earlier write failed, or the context changed
//! ```
//!
//! Whatever is asked for carries a [`Ticket`]; a reply whose ticket is not the awaited one is late and changes nothing,
//! which is how sign-out and user switch fence (A7). A rotated refresh token is shown only after the store has it; when
//! the store fails, the session goes on in memory, and the refresh spends the token that the store *does* have: the
//! server accepts the direct predecessor and answers with its successor, so a crash never leaves a dead token (A3, A4).
mod flight;
mod keeping;
mod model;
mod passage;
mod upgrade;

use std::time::Duration;

use cloud_client::Error;

pub(crate) use self::model::{Arrival, Ask, Effect, Event, Found, Fresh, How, Live, Looked, State, Ticket, Wrote};
use self::model::{Flight, Turn};
use super::{
    expiry::{Access, Moment, Pace},
    record::{Record, same},
};
use crate::{
    events::AuthChange,
    status::{AuthStatus, Session, SignOutReason},
};

/// The session's state and what outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) state: State,
    leeway: Duration,
    last_ticket: Ticket,
    /// Of the newest access token.
    generation: u64,
    /// How often somebody asked to sign out; a sign-in begun before does not count (A7).
    pub(crate) fence: u64,
    /// The last sign-in that became the session.
    pub(crate) entered: u64,
    /// The last wish for a better session that came true.
    pub(crate) upgraded: u64,
    pace: Pace,
    /// Listeners know that the store fails.
    degraded: bool,
}

impl Machine {
    pub(crate) fn new(leeway: Duration) -> Self {
        Self {
            state: State::Restoring { ticket: 0 },
            leeway,
            last_ticket: 0,
            generation: 0,
            fence: 0,
            entered: 0,
            upgraded: 0,
            pace: Pace::default(),
            degraded: false,
        }
    }

    /// One event. `fraction` is a random number in `[0, 1)`, for jitter.
    pub(crate) fn step(mut self, event: Event, now: Moment, fraction: f64) -> (Self, Vec<Effect>) {
        let mut turn = Turn { now, fraction, effects: Vec::new() };
        match event {
            Event::Started => self.restore(&mut turn),
            Event::StartedAlone => self.leave_stored(),
            Event::Tick => self.tick(&mut turn),
            Event::Restored { ticket, found } => self.restored(ticket, found, &mut turn),
            Event::Entered { arrival, entry, fresh, user } => self.enter(arrival, entry, fresh, user, &mut turn),
            Event::Asked(ask) => self.asked(ask, &mut turn),
            Event::Looked { ticket, looked } => self.looked(ticket, looked, &mut turn),
            Event::Renewed { ticket, fresh } => self.renewed(ticket, fresh, &mut turn),
            Event::Failed { ticket, error } => self.failed(ticket, error, &mut turn),
            Event::Over { ticket, error } => self.refused(ticket, error, &mut turn),
            Event::Checked { ticket, found } => self.checked(ticket, found, &mut turn),
            Event::Written { ticket, result } => self.written(ticket, result, &mut turn),
            Event::Removed { ticket, result } => self.removed(ticket, result, &mut turn),
            Event::SignOut { scope } => self.sign_out(scope, &mut turn),
            Event::Wish { entry } => self.wish(entry, &mut turn),
            Event::Upgraded { ticket, fresh } => self.upgraded(ticket, fresh, &mut turn),
            Event::NotUpgraded { ticket, error } => self.not_upgraded(ticket, error, &mut turn),
            Event::UserLoaded(user) => self.user_loaded(user, &mut turn),
            Event::ContextLoaded { session, result } => self.context_loaded(session, result, &mut turn),
            Event::Chosen(id) => self.chosen(&id, &mut turn),
        }
        // What had to wait for a flight to land is written at once: the next event may be the end.
        self.save(&mut turn);
        self.pursue(&mut turn);
        (self, turn.effects)
    }

    /// How long the task may sleep; `None` while nothing is due by time.
    pub(crate) fn wake_in(&self, now: Moment) -> Option<Duration> {
        let until = |at: Duration| at.saturating_sub(now.monotonic);
        match &self.state {
            State::Blind { ticket: None, pause, .. } => Some(until(pause.at)),
            State::SignedOut { removal: Some((_, Some(pause))), .. } => Some(until(pause.at)),
            State::SignedIn(live) if matches!(live.flight, Flight::Idle) => {
                let due = live.access.as_ref().map_or(Duration::ZERO, |access| access.renew_in(now));
                let due = due.max(live.trouble.as_ref().map_or(Duration::ZERO, |trouble| until(trouble.retry_at)));
                // Without a usable token nothing can be loaded: the refresh comes first.
                let loadable = live.access.as_ref().is_some_and(|access| access.is_alive(now));
                let context = live.context_wanted.as_ref().filter(|_| loadable);
                let pauses = live.unsaved.iter().chain(context);
                pauses.map(|pause| until(pause.at)).chain([due]).min()
            }
            _ => None,
        }
    }

    /// The status to show; `None` keeps the former one, while a sign-in is being stored.
    pub(crate) fn status(&self) -> Option<AuthStatus> {
        Some(match &self.state {
            State::Restoring { .. } => AuthStatus::Restoring,
            State::Blind { error, .. } => AuthStatus::StoreUnavailable { code: error.code().as_str() },
            State::SignedOut { reason, .. } => AuthStatus::SignedOut { reason: reason.clone() },
            State::Entering(_) => return None,
            State::SignedIn(live) => AuthStatus::SignedIn(Box::new(Session {
                user: live.user.clone(),
                verified: live.verified,
                assurance: live.assurance(),
                expires_at: live.access.as_ref().map(Access::expires_at),
                stored: live.stored.as_ref().is_some_and(|stored| same(stored, &live.refresh)),
                problem: live.trouble.as_ref().map(|trouble| trouble.error.code().as_str()),
            })),
        })
    }

    /// Whether a refresh token may be on its way: not a moment to stop.
    pub(crate) fn is_busy(&self) -> bool {
        match &self.state {
            State::Entering(_) => true,
            State::SignedIn(live) => !matches!(live.flight, Flight::Idle | Flight::Looking(_)),
            State::SignedOut { removal, .. } => matches!(removal, Some((_, None))),
            State::Restoring { .. } | State::Blind { .. } => false,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    fn degrade(&mut self, error: &Error, turn: &mut Turn) {
        if !std::mem::replace(&mut self.degraded, true) {
            turn.emit(AuthChange::StoreDegraded { code: error.code().as_str() });
        }
    }

    fn recover(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.degraded) {
            turn.emit(AuthChange::StoreRecovered);
        }
    }

    fn restore(&mut self, turn: &mut Turn) {
        if matches!(self.state, State::Restoring { ticket: 0 }) {
            let ticket = self.ticket();
            self.state = State::Restoring { ticket };
            turn.effects.push(Effect::Restore(ticket));
        }
    }

    fn leave_stored(&mut self) {
        if matches!(self.state, State::Restoring { ticket: 0 }) {
            self.state = State::SignedOut { reason: SignOutReason::NotTakenUp, removal: None };
        }
    }

    fn restored(&mut self, ticket: Ticket, found: Result<Found, Error>, turn: &mut Turn) {
        let failures = match &self.state {
            State::Restoring { ticket: awaited } if *awaited == ticket => 0,
            State::Blind { ticket: Some(awaited), pause, .. } if *awaited == ticket => pause.failures,
            _ => return,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.degrade(&error, turn);
                self.state = State::Blind { error, ticket: None, pause: turn.pause(failures) };
                return;
            }
        };
        self.recover(turn);
        match found {
            Found::Nothing => {
                self.state = State::SignedOut { reason: SignOutReason::NeverSignedIn, removal: None };
            }
            Found::Corrupt => {
                turn.emit(AuthChange::SignedOut { reason: SignOutReason::StoreCorrupt });
                self.state = State::SignedOut { reason: SignOutReason::StoreCorrupt, removal: None };
            }
            Found::Login(Record { refresh, user, context }) => {
                turn.emit(AuthChange::SignedIn { user: user.clone(), verified: false });
                let stored = Some(refresh.clone());
                let live = Live::new(self.generation + 1, user, context, refresh, stored);
                self.state = State::SignedIn(Box::new(live));
                self.begin(turn);
            }
        }
    }

    fn look_again(&mut self, turn: &mut Turn) {
        let next = self.ticket();
        if let State::Blind { ticket: ticket @ None, .. } = &mut self.state {
            *ticket = Some(next);
            turn.effects.push(Effect::Restore(next));
        }
    }

    fn tick(&mut self, turn: &mut Turn) {
        match &mut self.state {
            State::Blind { ticket: None, pause, .. } if turn.has_come(pause.at) => self.look_again(turn),
            State::SignedOut { removal: Some((ticket, Some(pause))), .. } if turn.has_come(pause.at) => {
                // The same ticket: only one removal is ever under way.
                let ticket = *ticket;
                pause.at = Duration::MAX;
                turn.effects.push(Effect::Remove(ticket));
            }
            State::SignedIn(live) if matches!(live.flight, Flight::Idle) => {
                let stale = live.access.as_ref().is_none_or(|access| access.renew_in(turn.now).is_zero());
                let waits = live.trouble.as_ref().is_some_and(|trouble| !turn.has_come(trouble.retry_at));
                if stale && !waits {
                    self.begin(turn);
                }
                self.save(turn);
                self.want_context(turn);
            }
            _ => {}
        }
    }

    fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::SignedIn(live) => Some(live),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
