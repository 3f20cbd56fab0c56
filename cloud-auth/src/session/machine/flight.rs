//! A refresh from the wish to the new token: look, send, store, show; or fail, and try again later.
use std::time::Duration;

use cloud_client::{AccessToken, Error, ErrorKind};
use secrecy::SecretString;

use super::{
    Machine,
    model::{
        Ask, Effect, Entering, Flight, Fresh, How, Live, Looked, PAUSE, Pause, State, Ticket, Trouble, Turn, Wrote,
    },
};
use crate::{
    claims::Claims,
    codes::REFRESH_PACED,
    events::AuthChange,
    session::{
        expiry::{Access, HOUR},
        record::{Record, same},
    },
    status::SignOutReason,
};

/// The shortest pause after 429; the auth server names none.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);
/// After this long a caller who needs a token may try again, although the timer would wait longer.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How many tokens one refresh may spend: ours, the stored one, a newer one of another process.
const TOKENS_A_FLIGHT: usize = 3;

impl Machine {
    /// Starts a refresh, unless one is under way or the hour's limit is reached (A9).
    pub(super) fn begin(&mut self, turn: &mut Turn) {
        let State::SignedIn(live) = &mut self.state else { return };
        let lifetime = live.access.as_ref().map_or(HOUR, Access::lifetime);
        match self.pace.wait(turn.now, lifetime) {
            Some(wait) if live.is_idle() => {
                let at = turn.now.monotonic + wait;
                let error = Error::new(REFRESH_PACED).during("refreshing the session").with_retry_after(wait);
                live.trouble = Some(Trouble { error, failures: 0, retry_at: at, ask_at: at });
            }
            _ => self.begin_now(turn),
        }
    }

    /// Starts a refresh, unless one is under way.
    pub(super) fn begin_now(&mut self, turn: &mut Turn) {
        let ticket = self.ticket();
        let State::SignedIn(live) = &mut self.state else { return };
        match live.flight {
            Flight::Idle => {}
            Flight::Saving(_) => return live.asked = true,
            _ => return,
        }
        live.asked = false;
        live.tried.clear();
        live.flight = Flight::Looking(ticket);
        turn.effects.push(Effect::Look(ticket));
    }

    pub(super) fn asked(&mut self, ask: Ask, turn: &mut Turn) {
        if let State::Blind { ticket: None, .. } = self.state {
            return self.look_again(turn);
        }
        let State::SignedIn(live) = &self.state else { return };
        let blocked = live.trouble.as_ref().is_some_and(|trouble| !turn.has_come(trouble.ask_at));
        // By the server; our own pace does not bind a person.
        let limited = |error: &Error| error.kind() == ErrorKind::RateLimited && error.code() != REFRESH_PACED;
        let limited = live.trouble.as_ref().is_some_and(|trouble| limited(&trouble.error));
        let access = live.access.as_ref();
        let wanted = match ask {
            Ask::Stale => !blocked && !access.is_some_and(|access| access.is_fresh(turn.now)),
            Ask::Refused(generation) => !blocked && access.is_none_or(|access| access.token.generation <= generation),
            Ask::Now => !(blocked && limited),
        };
        match ask {
            // A person's wish is not a clock gone wrong.
            Ask::Now if wanted => self.begin_now(turn),
            _ if wanted => self.begin(turn),
            _ => {}
        }
    }

    pub(super) fn looked(&mut self, ticket: Ticket, looked: Looked, turn: &mut Turn) {
        let awaits = |live: &Live| matches!(live.flight, Flight::Looking(awaited) if awaited == ticket);
        if !matches!(&self.state, State::SignedIn(live) if awaits(live)) {
            return;
        }
        if let Looked::Unreadable(error) = &looked {
            self.degrade(error, turn);
        }
        let Some(live) = self.live() else { return };
        match looked {
            // The wish ends with it: begun again at once, it would meet the same lock, over and over.
            Looked::Locked(error) => {
                // With a fresh token nothing but the wish needed the store.
                if live.wish.is_some() && live.access.as_ref().is_some_and(|access| access.is_fresh(turn.now)) {
                    live.flight = Flight::Idle;
                    turn.effects.push(Effect::Unlock);
                } else {
                    self.fail(error.clone(), turn);
                }
                return self.refuse_wish(error, turn);
            }
            // A store that cannot be read must not end a session that the server still knows.
            Looked::Unreadable(_) => {}
            Looked::Read(None) => live.stored = None,
            Looked::Read(Some(record)) => {
                let known = live.stored.as_ref().is_some_and(|stored| same(stored, &record.refresh));
                if same(&record.refresh, &live.refresh) || known {
                    live.stored = Some(record.refresh);
                } else {
                    live.adopt(record);
                }
            }
        }
        if self.send_wish(turn) {
            return;
        }
        let Some(live) = self.live() else { return };
        let token = match (&live.unsaved, &live.stored) {
            (Some(_), Some(stored)) => stored.clone(),
            _ => live.refresh.clone(),
        };
        self.send(token, turn);
    }

    pub(super) fn send(&mut self, token: SecretString, turn: &mut Turn) {
        let ticket = self.ticket();
        let Some(live) = self.live() else { return };
        live.tried.push(token.clone());
        live.flight = Flight::Sending(ticket);
        turn.effects.push(Effect::Exchange(ticket, token));
    }

    pub(super) fn is_sending(&self, ticket: Ticket) -> bool {
        matches!(&self.state, State::SignedIn(live) if matches!(live.flight, Flight::Sending(awaited) if awaited == ticket))
    }

    pub(super) fn renewed(&mut self, ticket: Ticket, fresh: Fresh, turn: &mut Turn) {
        if !self.is_sending(ticket) {
            return;
        }
        self.pace.count(turn.now);
        self.store(fresh, turn);
    }

    /// Writes a new session under the lock that is held; it is shown when the store has it (A3).
    pub(super) fn store(&mut self, fresh: Fresh, turn: &mut Turn) {
        let ticket = self.ticket();
        let Some(live) = self.live() else { return };
        let user = fresh.user.clone().or_else(|| live.adopted.clone()).unwrap_or_else(|| live.user.clone());
        let user = if live.described && user.id == live.user.id { live.user.clone() } else { user };
        let context = live.context.clone().filter(|_| user.id == live.user.id);
        let record = Record { refresh: fresh.refresh.clone(), user: user.clone(), context };
        live.touched = false;
        live.flight = Flight::Storing(ticket, Box::new(Fresh { user: Some(user), ..fresh }));
        turn.effects.push(Effect::Write { ticket, record, how: How::Held });
    }

    pub(super) fn failed(&mut self, ticket: Ticket, error: Error, turn: &mut Turn) {
        if self.is_sending(ticket) {
            self.fail(error, turn);
        }
    }

    /// A passing failure: the session stays, and is tried again later (A5).
    pub(super) fn fail(&mut self, error: Error, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        let failures = live.trouble.as_ref().map_or(0, |trouble| trouble.failures);
        let pause = turn.pause(failures);
        let limited = error.kind() == ErrorKind::RateLimited;
        let floor = error.retry_after().unwrap_or_default().min(PAUSE.1);
        let floor = if limited { floor.max(RATE_LIMIT_PAUSE) } else { floor };
        let (retry_at, ask_at) = if floor.is_zero() {
            (pause.at, pause.at.min(turn.now.monotonic + ASK_AGAIN))
        } else {
            // Jitter goes on top: everybody was told the same.
            let at = turn.now.monotonic + floor + (floor / 4).mul_f64(turn.fraction.clamp(0.0, 1.0));
            (at, at)
        };
        let cause = error.clone();
        live.trouble = Some(Trouble { error, failures: pause.failures, retry_at, ask_at });
        (live.flight, live.described) = (Flight::Idle, false);
        turn.effects.push(Effect::Unlock);
        // Without a token of this very session there is nothing to show for a better one.
        let usable = live.adopted.is_none() && live.access.as_ref().is_some_and(|access| access.is_alive(turn.now));
        if !usable {
            self.refuse_wish(cause, turn);
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, error: Error, turn: &mut Turn) {
        if !self.is_sending(ticket) {
            return;
        }
        let ticket = self.ticket();
        if let Some(live) = self.live() {
            live.flight = Flight::Checking(ticket, error);
            turn.effects.push(Effect::Check(ticket));
        }
    }

    /// The server ended the session; has another process stored a newer one meanwhile (A6)?
    pub(super) fn checked(&mut self, ticket: Ticket, found: Result<Option<Record>, Error>, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        let error = match &live.flight {
            Flight::Checking(awaited, error) if *awaited == ticket => error.clone(),
            _ => return,
        };
        let found = match found {
            Ok(found) => found,
            Err(unread) => return self.fail(unread, turn),
        };
        let untried = |live: &Live, token: &SecretString| {
            live.tried.len() < TOKENS_A_FLIGHT && !live.tried.iter().any(|tried| same(tried, token))
        };
        if let Some(record) = found.filter(|record| untried(live, &record.refresh)) {
            let token = record.refresh.clone();
            live.adopt(record);
            return self.send(token, turn);
        }
        if untried(live, &live.refresh) {
            let token = live.refresh.clone();
            return self.send(token, turn);
        }
        let server_code = error.server_code().unwrap_or_default().to_owned();
        self.leave(SignOutReason::SessionOver { server_code }, turn);
        turn.effects.push(Effect::Unlock);
    }

    pub(super) fn written(&mut self, ticket: Ticket, result: Result<Wrote, Error>, turn: &mut Turn) {
        match &self.state {
            State::Entering(entering) if entering.ticket == ticket => {
                let State::Entering(entering) = std::mem::replace(&mut self.state, State::Restoring { ticket }) else {
                    return;
                };
                let Entering { entry, recovery, fresh, user, context, .. } = *entering;
                self.entered = entry;
                turn.emit(AuthChange::SignedIn { user: user.clone(), verified: true });
                if recovery {
                    turn.emit(AuthChange::PasswordRecovery);
                }
                let live = Live::new(self.generation + 1, user, context, fresh.refresh.clone(), None);
                self.state = State::SignedIn(Box::new(live));
                self.commit(fresh, result.err(), turn);
            }
            State::SignedIn(live) => match &live.flight {
                Flight::Storing(awaited, fresh) if *awaited == ticket => {
                    let fresh = Fresh::clone(fresh);
                    turn.effects.push(Effect::Unlock);
                    self.take_over(&fresh, turn);
                    self.commit(fresh, result.err(), turn);
                }
                Flight::Saving(awaited) if *awaited == ticket => self.saved(result, turn),
                _ => {}
            },
            _ => {}
        }
    }

    /// Tells whose token was refreshed: another process may have signed in as somebody else.
    pub(super) fn take_over(&mut self, fresh: &Fresh, turn: &mut Turn) {
        let floor = self.generation + 1;
        let Some(live) = self.live() else { return };
        let Some(user) = fresh.user.clone() else { return };
        if user.id == live.user.id {
            turn.emit(AuthChange::TokenRefreshed);
            if live.described {
                // What was told during the flight is newer than what the flight brings.
                return;
            }
            if !user.is_as(&live.user) {
                turn.emit(AuthChange::UserUpdated { user: user.clone() });
            }
        } else {
            (live.floor, live.context, live.context_wanted) = (floor, None, Some(Pause::default()));
            live.level = None;
            turn.emit(AuthChange::SignedIn { user: user.clone(), verified: true });
        }
        live.user = user;
    }

    /// Shows the new tokens; the store has them, or has failed.
    pub(super) fn commit(&mut self, fresh: Fresh, failure: Option<Error>, turn: &mut Turn) {
        self.generation += 1;
        let (generation, leeway) = (self.generation, self.leeway);
        let Some(live) = self.live() else { return };
        let Claims { aal: level, sub } = Claims::of(&fresh.access);
        let former = std::mem::replace(&mut live.level, level.clone());
        if let (Some(former), Some(level)) = (former, level)
            && former != level
        {
            turn.emit(AuthChange::AssuranceChanged { level });
        }
        // What the token says of itself counts before what was said beside it.
        let user = sub.unwrap_or_else(|| live.user.id.to_string());
        let token = AccessToken::new(fresh.access, generation).of_user(user);
        live.access = Some(Access::new(token, live.floor, fresh.lifetime, fresh.asked, leeway));
        live.refresh = fresh.refresh;
        (live.verified, live.trouble, live.adopted, live.flight) = (true, None, None, Flight::Idle);
        live.described = false;
        let granted = live.wish.take_if(|wish| wish.sent);
        match failure {
            None => {
                live.is_stored(turn);
                self.recover(turn);
            }
            Some(error) => {
                let failures = live.unsaved.as_ref().map_or(0, |pause| pause.failures);
                live.unsaved = Some(turn.pause(failures));
                self.degrade(&error, turn);
            }
        }
        if let Some(wish) = granted {
            self.upgraded = wish.entry;
        }
        self.want_context(turn);
    }
}
