//! Decides what happens to a session. Pure: an event and the time go in, effects come out; nothing waits here.
//!
//! ```text
//! Restoring ─► SignedOut ─► Entering ─► SignedIn ─► SignedOut          Blind: the store cannot be read, try again
//! SignedIn:  Idle ─► Looking ─► Sending ─► Storing ─► Idle             a refresh, all under the store's lock
//!                                  └─► Checking ─► Sending | SignedOut     refused for good: look once more (A6)
//!            Idle ─► Saving ─► Idle                                    an earlier write failed, or the context changed
//! ```
//!
//! Whatever is asked for carries a [`Ticket`]; a reply whose ticket is not the awaited one is late and changes nothing,
//! which is how sign-out and user switch fence (A7). A rotated refresh token is shown only after the store has it; when
//! the store fails, the session goes on in memory, and the refresh spends the token that the store *does* have: the
//! server accepts the direct predecessor and answers with its successor, so a crash never leaves a dead token (A3, A4).
use std::{sync::Arc, time::Duration};

use cloud_client::{AccessToken, Error, ErrorKind};
use secrecy::SecretString;

use super::{
    expiry::{Access, HOUR, Moment, Pace},
    record::{Record, same},
};
use crate::{
    auth::Scope,
    codes::REFRESH_PACED,
    context::{OrganizationId, UserContext},
    events::AuthChange,
    status::{AuthStatus, Session, SignOutReason, User},
};

/// The upper end of the first and of the longest pause after a passing failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// No pause is shorter: a failing loop must not spin.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// The shortest pause after 429; the auth server names none.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);
/// After this long a caller who needs a token may try again, although the timer would wait longer.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How many tokens one refresh may spend: ours, the stored one, a newer one of another process.
const TOKENS_A_FLIGHT: usize = 3;

/// Names one request of the machine, so that a late reply is known.
pub(crate) type Ticket = u64;

/// A session as the server just issued it.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
    pub(crate) lifetime: Duration,
    /// When the call was made.
    pub(crate) asked: Moment,
    pub(crate) user: Option<User>,
}

/// What the store held at the start.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Login(Record),
    Nothing,
    /// It was set aside.
    Corrupt,
}

/// What looking into the store under its lock came to.
#[derive(Clone, Debug)]
pub(crate) enum Looked {
    Read(Option<Record>),
    Unreadable(Error),
    /// Another process holds the lock.
    Locked(Error),
}

/// What a write came to.
#[derive(Clone, Debug)]
pub(crate) enum Wrote {
    Ours,
    /// Nothing was written: another process has stored a newer session.
    Newer(Record),
}

/// Who wants a token, and why the present one will not do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// It is about to end.
    Stale,
    /// The cloud refused this generation.
    Refused(u64),
    /// A person said so.
    Now,
}

/// What goes in.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Started,
    Tick,
    Restored { ticket: Ticket, found: Result<Found, Error> },
    Entered { fence: u64, entry: u64, fresh: Fresh, user: User },
    Asked(Ask),
    Looked { ticket: Ticket, looked: Looked },
    Renewed { ticket: Ticket, fresh: Fresh },
    Failed { ticket: Ticket, error: Error },
    Over { ticket: Ticket, error: Error },
    Checked { ticket: Ticket, found: Result<Option<Record>, Error> },
    Written { ticket: Ticket, result: Result<Wrote, Error> },
    Removed { ticket: Ticket, result: Result<(), Error> },
    SignOut { scope: Scope },
    ContextLoaded { session: u64, result: Result<UserContext, Error> },
    Chosen(OrganizationId),
}

/// Under which conditions a record is written.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// The lock is held already.
    Held,
    /// Take the lock, and write whatever is there: somebody has just signed in.
    Replace,
    /// Take the lock, and write only over nothing, over this token, or over the record's own.
    Over(Option<SecretString>),
}

/// What comes out, to be carried out in order.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Restore(Ticket),
    /// Take the store's lock and read.
    Look(Ticket),
    /// Read again; the lock is still held.
    Check(Ticket),
    Exchange(Ticket, SecretString),
    Write {
        ticket: Ticket,
        record: Record,
        how: How,
    },
    Remove(Ticket),
    Unlock,
    /// End the session at the server.
    Revoke {
        access: Option<AccessToken>,
        refresh: SecretString,
        scope: Scope,
    },
    LoadContext {
        session: u64,
    },
    Emit(AuthChange),
}

/// A failed piece of work and when it is tried again, by the monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
    at: Duration,
}

/// Why the last refresh failed.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) error: Error,
    failures: u32,
    /// When the timer tries again.
    retry_at: Duration,
    /// From when on a caller's wish starts another try.
    ask_at: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum Flight {
    Idle,
    Looking(Ticket),
    Sending(Ticket),
    Checking(Ticket, Error),
    Storing(Ticket, Box<Fresh>),
    Saving(Ticket),
}

#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The first generation of access tokens that belongs to this session.
    pub(crate) floor: u64,
    pub(crate) user: User,
    pub(crate) context: Option<Arc<UserContext>>,
    refresh: SecretString,
    /// The refresh token that the store is known to hold.
    stored: Option<SecretString>,
    pub(crate) access: Option<Access>,
    verified: bool,
    pub(crate) flight: Flight,
    /// Somebody wants a refresh as soon as the present write is done.
    asked: bool,
    /// Tokens spent in this flight.
    tried: Vec<SecretString>,
    /// Whose token was found in the store.
    adopted: Option<User>,
    pub(crate) trouble: Option<Trouble>,
    /// The record is not stored as it is here.
    unsaved: Option<Pause>,
    /// The context has to be loaded.
    context_wanted: Option<Pause>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entering {
    pub(crate) entry: u64,
    ticket: Ticket,
    fresh: Fresh,
    user: User,
    context: Option<Arc<UserContext>>,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Restoring { ticket: Ticket },
    Blind { error: Error, ticket: Option<Ticket>, pause: Pause },
    SignedOut { reason: SignOutReason, removal: Option<(Ticket, Option<Pause>)> },
    Entering(Box<Entering>),
    SignedIn(Box<Live>),
}

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
    pace: Pace,
    /// Listeners know that the store fails.
    degraded: bool,
}

/// One step's surroundings.
struct Turn {
    now: Moment,
    fraction: f64,
    effects: Vec<Effect>,
}

impl Turn {
    fn emit(&mut self, change: AuthChange) {
        self.effects.push(Effect::Emit(change));
    }

    /// Full jitter, doubling with every failure.
    fn pause(&self, failures: u32) -> Pause {
        let (first, longest) = PAUSE;
        let upper = first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(longest);
        let wait = upper.mul_f64(self.fraction.clamp(0.0, 1.0)).max(SHORTEST_PAUSE);
        Pause { failures: failures + 1, at: self.now.monotonic + wait }
    }

    fn has_come(&self, at: Duration) -> bool {
        self.now.monotonic >= at
    }
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
            pace: Pace::default(),
            degraded: false,
        }
    }

    /// One event. `fraction` is a random number in `[0, 1)`, for jitter.
    pub(crate) fn step(mut self, event: Event, now: Moment, fraction: f64) -> (Self, Vec<Effect>) {
        let mut turn = Turn { now, fraction, effects: Vec::new() };
        match event {
            Event::Started => self.restore(&mut turn),
            Event::Tick => self.tick(&mut turn),
            Event::Restored { ticket, found } => self.restored(ticket, found, &mut turn),
            Event::Entered { fence, entry, fresh, user } => self.enter(fence, entry, fresh, user, &mut turn),
            Event::Asked(ask) => self.asked(ask, &mut turn),
            Event::Looked { ticket, looked } => self.looked(ticket, looked, &mut turn),
            Event::Renewed { ticket, fresh } => self.renewed(ticket, fresh, &mut turn),
            Event::Failed { ticket, error } => self.failed(ticket, error, &mut turn),
            Event::Over { ticket, error } => self.refused(ticket, error, &mut turn),
            Event::Checked { ticket, found } => self.checked(ticket, found, &mut turn),
            Event::Written { ticket, result } => self.written(ticket, result, &mut turn),
            Event::Removed { ticket, result } => self.removed(ticket, result, &mut turn),
            Event::SignOut { scope } => self.sign_out(scope, &mut turn),
            Event::ContextLoaded { session, result } => self.context_loaded(session, result, &mut turn),
            Event::Chosen(id) => self.chosen(&id, &mut turn),
        }
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
                let pauses = [&live.unsaved, &live.context_wanted].into_iter().flatten();
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
            State::SignedIn(live) => AuthStatus::SignedIn(Session {
                user: live.user.clone(),
                verified: live.verified,
                expires_at: live.access.as_ref().map(Access::expires_at),
                stored: live.stored.as_ref().is_some_and(|stored| same(stored, &live.refresh)),
                problem: live.trouble.as_ref().map(|trouble| trouble.error.code().as_str()),
            }),
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

    fn enter(&mut self, fence: u64, entry: u64, fresh: Fresh, user: User, turn: &mut Turn) {
        if fence != self.fence {
            // Somebody signed out meanwhile: end at the server what nobody will use.
            let access = Some(AccessToken::new(fresh.access, 0));
            turn.effects.push(Effect::Revoke { access, refresh: fresh.refresh, scope: Scope::Local });
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
        self.state = State::Entering(Box::new(Entering { entry, ticket, fresh, user, context }));
    }

    /// Starts a refresh, unless one is under way or the hour's limit is reached.
    fn begin(&mut self, turn: &mut Turn) {
        let ticket = self.ticket();
        let State::SignedIn(live) = &mut self.state else { return };
        match live.flight {
            Flight::Idle => {}
            Flight::Saving(_) => return live.asked = true,
            _ => return,
        }
        live.asked = false;
        let lifetime = live.access.as_ref().map_or(HOUR, Access::lifetime);
        if let Some(wait) = self.pace.wait(turn.now, lifetime) {
            let at = turn.now.monotonic + wait;
            let error = Error::new(REFRESH_PACED).during("refreshing the session").with_retry_after(wait);
            live.trouble = Some(Trouble { error, failures: 0, retry_at: at, ask_at: at });
            return;
        }
        live.tried.clear();
        live.flight = Flight::Looking(ticket);
        turn.effects.push(Effect::Look(ticket));
    }

    fn asked(&mut self, ask: Ask, turn: &mut Turn) {
        if let State::Blind { ticket: None, .. } = self.state {
            return self.look_again(turn);
        }
        let State::SignedIn(live) = &self.state else { return };
        let blocked = live.trouble.as_ref().is_some_and(|trouble| !turn.has_come(trouble.ask_at));
        let limited = live.trouble.as_ref().is_some_and(|trouble| trouble.error.kind() == ErrorKind::RateLimited);
        let access = live.access.as_ref();
        let wanted = match ask {
            Ask::Stale => !blocked && !access.is_some_and(|access| access.is_fresh(turn.now)),
            Ask::Refused(generation) => !blocked && access.is_none_or(|access| access.token.generation <= generation),
            Ask::Now => !(blocked && limited),
        };
        if wanted {
            self.begin(turn);
        }
    }

    fn looked(&mut self, ticket: Ticket, looked: Looked, turn: &mut Turn) {
        let awaits = |live: &Live| matches!(live.flight, Flight::Looking(awaited) if awaited == ticket);
        if !matches!(&self.state, State::SignedIn(live) if awaits(live)) {
            return;
        }
        if let Looked::Unreadable(error) = &looked {
            self.degrade(error, turn);
        }
        let Some(live) = self.live() else { return };
        match looked {
            Looked::Locked(error) => return self.fail(error, turn),
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
        let token = match (&live.unsaved, &live.stored) {
            (Some(_), Some(stored)) => stored.clone(),
            _ => live.refresh.clone(),
        };
        self.send(token, turn);
    }

    fn send(&mut self, token: SecretString, turn: &mut Turn) {
        let ticket = self.ticket();
        let Some(live) = self.live() else { return };
        live.tried.push(token.clone());
        live.flight = Flight::Sending(ticket);
        turn.effects.push(Effect::Exchange(ticket, token));
    }

    fn is_sending(&self, ticket: Ticket) -> bool {
        matches!(&self.state, State::SignedIn(live) if matches!(live.flight, Flight::Sending(awaited) if awaited == ticket))
    }

    fn renewed(&mut self, ticket: Ticket, fresh: Fresh, turn: &mut Turn) {
        if !self.is_sending(ticket) {
            return;
        }
        self.pace.count(turn.now);
        let ticket = self.ticket();
        let Some(live) = self.live() else { return };
        let user = fresh.user.clone().or_else(|| live.adopted.clone()).unwrap_or_else(|| live.user.clone());
        let context = live.context.clone().filter(|_| user.id == live.user.id);
        let record = Record { refresh: fresh.refresh.clone(), user: user.clone(), context };
        live.flight = Flight::Storing(ticket, Box::new(Fresh { user: Some(user), ..fresh }));
        turn.effects.push(Effect::Write { ticket, record, how: How::Held });
    }

    fn failed(&mut self, ticket: Ticket, error: Error, turn: &mut Turn) {
        if self.is_sending(ticket) {
            self.fail(error, turn);
        }
    }

    /// A passing failure: the session stays, and is tried again later (A5).
    fn fail(&mut self, error: Error, turn: &mut Turn) {
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
        live.trouble = Some(Trouble { error, failures: pause.failures, retry_at, ask_at });
        live.flight = Flight::Idle;
        turn.effects.push(Effect::Unlock);
    }

    fn refused(&mut self, ticket: Ticket, error: Error, turn: &mut Turn) {
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
    fn checked(&mut self, ticket: Ticket, found: Result<Option<Record>, Error>, turn: &mut Turn) {
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

    fn written(&mut self, ticket: Ticket, result: Result<Wrote, Error>, turn: &mut Turn) {
        match &self.state {
            State::Entering(entering) if entering.ticket == ticket => {
                let State::Entering(entering) = std::mem::replace(&mut self.state, State::Restoring { ticket }) else {
                    return;
                };
                let Entering { entry, fresh, user, context, .. } = *entering;
                self.entered = entry;
                turn.emit(AuthChange::SignedIn { user: user.clone(), verified: true });
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
    fn take_over(&mut self, fresh: &Fresh, turn: &mut Turn) {
        let floor = self.generation + 1;
        let Some(live) = self.live() else { return };
        let Some(user) = fresh.user.clone() else { return };
        if user.id == live.user.id {
            turn.emit(AuthChange::TokenRefreshed);
        } else {
            (live.floor, live.context, live.context_wanted) = (floor, None, Some(Pause::default()));
            turn.emit(AuthChange::SignedIn { user: user.clone(), verified: true });
        }
        live.user = user;
    }

    /// Shows the new tokens; the store has them, or has failed.
    fn commit(&mut self, fresh: Fresh, failure: Option<Error>, turn: &mut Turn) {
        self.generation += 1;
        let (generation, leeway) = (self.generation, self.leeway);
        let Some(live) = self.live() else { return };
        let token = AccessToken::new(fresh.access, generation);
        live.access = Some(Access::new(token, live.floor, fresh.lifetime, fresh.asked, leeway));
        live.refresh = fresh.refresh;
        (live.verified, live.trouble, live.adopted, live.flight) = (true, None, None, Flight::Idle);
        match failure {
            None => {
                (live.stored, live.unsaved) = (Some(live.refresh.clone()), None);
                self.recover(turn);
            }
            Some(error) => {
                let failures = live.unsaved.as_ref().map_or(0, |pause| pause.failures);
                live.unsaved = Some(turn.pause(failures));
                self.degrade(&error, turn);
            }
        }
        self.want_context(turn);
    }

    fn saved(&mut self, result: Result<Wrote, Error>, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        live.flight = Flight::Idle;
        let failure = match result {
            Ok(Wrote::Ours) => {
                (live.stored, live.unsaved) = (Some(live.refresh.clone()), None);
                None
            }
            Ok(Wrote::Newer(record)) => {
                live.adopt(record);
                // The newer token may be another user's; only the server can tell.
                live.asked = true;
                None
            }
            Err(error) => {
                let failures = live.unsaved.as_ref().map_or(0, |pause| pause.failures);
                live.unsaved = Some(turn.pause(failures));
                Some(error)
            }
        };
        let asked = live.asked;
        match failure {
            Some(error) => self.degrade(&error, turn),
            None => self.recover(turn),
        }
        if asked {
            self.begin(turn);
        }
    }

    fn removed(&mut self, ticket: Ticket, result: Result<(), Error>, turn: &mut Turn) {
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

    fn sign_out(&mut self, scope: Scope, turn: &mut Turn) {
        self.fence += 1;
        let tokens = match &self.state {
            State::SignedIn(live) => {
                let access = live.access.as_ref().filter(|access| access.is_alive(turn.now));
                Some((access.map(|access| access.token.clone()), live.refresh.clone()))
            }
            State::Entering(entering) => {
                Some((Some(AccessToken::new(entering.fresh.access.clone(), 0)), entering.fresh.refresh.clone()))
            }
            _ => None,
        };
        turn.effects.push(Effect::Unlock);
        self.leave(SignOutReason::Asked, turn);
        if let Some((access, refresh)) = tokens {
            turn.effects.push(Effect::Revoke { access, refresh, scope });
        }
    }

    /// Nobody is signed in from here on; the store follows.
    fn leave(&mut self, reason: SignOutReason, turn: &mut Turn) {
        let ticket = self.ticket();
        // Tokens shown so far belong to nobody any more.
        self.generation += 1;
        turn.effects.push(Effect::Remove(ticket));
        if !matches!(self.state, State::SignedOut { .. }) {
            turn.emit(AuthChange::SignedOut { reason: reason.clone() });
        }
        self.state = State::SignedOut { reason, removal: Some((ticket, None)) };
    }

    fn want_context(&mut self, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        let loadable = live.access.as_ref().is_some_and(|access| access.is_alive(turn.now));
        let due = live.context_wanted.as_ref().is_some_and(|pause| turn.has_come(pause.at));
        if due && loadable {
            let failures = live.context_wanted.as_ref().map_or(0, |pause| pause.failures);
            live.context_wanted = Some(turn.pause(failures.max(4)));
            turn.effects.push(Effect::LoadContext { session: live.floor });
        }
    }

    fn context_loaded(&mut self, session: u64, result: Result<UserContext, Error>, turn: &mut Turn) {
        let Some(live) = self.live().filter(|live| live.floor == session) else { return };
        match result {
            Ok(context) => {
                live.context_wanted = None;
                self.change_context(|former| Some(context.keeping_choice(former)), turn);
            }
            // A cloud without these tables is no reason to ask for ever.
            Err(error) if !error.is_retryable() => live.context_wanted = None,
            Err(_) => {}
        }
    }

    fn chosen(&mut self, id: &OrganizationId, turn: &mut Turn) {
        self.change_context(|former| former.and_then(|context| context.choosing(id)), turn);
    }

    fn change_context(&mut self, change: impl FnOnce(Option<&UserContext>) -> Option<UserContext>, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        let Some(context) = change(live.context.as_deref()) else { return };
        if live.context.as_deref() == Some(&context) {
            return;
        }
        live.context = Some(Arc::new(context));
        live.unsaved = live.unsaved.take().or(Some(Pause { failures: 0, at: turn.now.monotonic }));
        turn.emit(AuthChange::ContextChanged);
        self.save(turn);
    }

    /// Writes the record when that is due and nothing else is under way.
    fn save(&mut self, turn: &mut Turn) {
        let ticket = self.ticket();
        let Some(live) = self.live() else { return };
        let due = live.unsaved.as_ref().is_some_and(|pause| turn.has_come(pause.at));
        if due && matches!(live.flight, Flight::Idle) {
            live.flight = Flight::Saving(ticket);
            let (refresh, user, context) = (live.refresh.clone(), live.user.clone(), live.context.clone());
            let record = Record { refresh, user, context };
            turn.effects.push(Effect::Write { ticket, record, how: How::Over(live.stored.clone()) });
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

impl Live {
    fn new(
        floor: u64,
        user: User,
        context: Option<Arc<UserContext>>,
        refresh: SecretString,
        stored: Option<SecretString>,
    ) -> Self {
        Self {
            floor,
            user,
            context,
            refresh,
            stored,
            access: None,
            verified: false,
            flight: Flight::Idle,
            asked: false,
            tried: Vec::new(),
            adopted: None,
            trouble: None,
            unsaved: None,
            context_wanted: Some(Pause::default()),
        }
    }

    /// Goes on with what another process has stored.
    fn adopt(&mut self, record: Record) {
        (self.stored, self.refresh) = (Some(record.refresh.clone()), record.refresh);
        (self.adopted, self.unsaved) = (Some(record.user), None);
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.flight, Flight::Idle)
    }
}

#[cfg(test)]
#[path = "machine_tests/mod.rs"]
mod tests;
