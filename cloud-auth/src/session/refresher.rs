//! The one task that owns the session: carries out what the machine decides and answers those who wait.
//!
//! commands (bounded queue, *wait* when full) and finished jobs → machine → effects → jobs. Work on the store runs one
//! piece after another, in the order of its effects; calls to the server run beside it. Callers only hold a oneshot, so
//! a caller that goes away cancels nothing (A8), and all who need a token share one exchange (A1). Nothing is locked
//! while status or events go out (A13). Asked to stop, the task ends between exchanges; its owner may cut it short.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use cloud_client::{
    Client, Error, clock::SharedClock, error::codes::TIMEOUT, events::Bus, random::Random, tasks::CancellationToken,
};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};

use super::{
    Published,
    calls::{OneToken, fresh, revoke},
    desk::{Command, Departure, Entry, Reply, Waiter, answer},
    expiry::Moment,
    machine::{Arrival, Effect, Event, Found, Fresh, Looked, Machine, State, Ticket, Wrote},
    vault::Vault,
};
use crate::{
    codes::{BUSY, NOT_SIGNED_IN, ORGANIZATION_UNKNOWN, SUPERSEDED},
    context::{self, UserContext},
    events::AuthEvent,
    gotrue::{Admission, Gotrue, RefreshAnswer},
    passages::{Scope, SignedOut},
    status::{User, UserId},
    store::{SecretKey, SecretStoreHandle, StoreLock},
};

/// How many calls to the server may be under way; further commands wait in the queue.
const MAX_JOBS: usize = 16;
/// How many callers may wait for a token; further ones are told that it is busy.
const MAX_WAITING: usize = 4096;
/// The longest sleep: timers stop with the machine, so the wall clock is looked at now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The longest that ending a session at the server may take, a refresh for that purpose included.
const REVOKE_LIMIT: Duration = Duration::from_secs(10);

/// A finished call to the server.
enum Done {
    Event(Event),
    Admitted { arrival: Arrival, fresh: Fresh, user: User, reply: Reply<Entry> },
    TurnedAway { result: Result<Entry, Error>, reply: Reply<Entry> },
    Revoked { departure: Option<u64>, result: Result<(), Error> },
    Context { session: u64, result: Result<UserContext, Error>, reply: Option<Reply<Arc<UserContext>>> },
}

/// A finished piece of work on the store.
enum Stored {
    Restored(Ticket, Result<Found, Error>),
    Looked(Ticket, Looked, Option<StoreLock>),
    Checked(Ticket, Result<Option<super::record::Record>, Error>),
    Written(Ticket, Result<Wrote, Error>),
    Removed(Ticket, Result<(), Error>),
}

struct StoreJob {
    /// Only reads: it may be dropped when nobody needs its answer.
    reads: bool,
    work: BoxFuture<'static, Stored>,
}

/// What the task is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) store: SecretStoreHandle,
    pub(crate) key: SecretKey,
    pub(crate) leeway: Duration,
    /// What begins it: `Started` or `StartedAlone`.
    pub(crate) start: Event,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) published: watch::Sender<Published>,
    pub(crate) events: Bus<AuthEvent>,
    pub(crate) stop: CancellationToken,
    pub(crate) abort: CancellationToken,
}

/// See the module.
pub(crate) struct Refresher {
    machine: Machine,
    start: Option<Event>,
    client: Client,
    gotrue: Gotrue,
    vault: Vault,
    clock: SharedClock,
    random: Random,
    commands: mpsc::Receiver<Command>,
    published: watch::Sender<Published>,
    events: Bus<AuthEvent>,
    sequence: u64,
    stop: CancellationToken,
    abort: CancellationToken,
    lock: Option<StoreLock>,
    store_queue: VecDeque<Effect>,
    store_job: Option<StoreJob>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    waiting: Vec<Waiter>,
    entrants: Vec<(u64, Reply<Entry>)>,
    departures: Vec<Departure>,
    /// The sign-out whose step is being carried out.
    leaving: Option<u64>,
    last_id: u64,
}

impl Refresher {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { client, store, key, leeway, start, commands, published, events, stop, abort } = parts;
        let (clock, random) = (client.clock().clone(), client.random().clone());
        Self {
            machine: Machine::new(leeway),
            start: Some(start),
            gotrue: Gotrue::new(client.clone()),
            vault: Vault::new(store, key, client.origin().as_str().to_owned(), clock.clone()),
            client,
            clock,
            random,
            commands,
            published,
            events,
            sequence: 0,
            stop,
            abort,
            lock: None,
            store_queue: VecDeque::new(),
            store_job: None,
            jobs: FuturesUnordered::new(),
            waiting: Vec::new(),
            entrants: Vec::new(),
            departures: Vec::new(),
            leaving: None,
            last_id: 0,
        }
    }

    /// Runs until told to stop, or until nobody holds a handle any more.
    pub(crate) async fn run(mut self) {
        if let Some(start) = self.start.take() {
            self.step(start);
        }
        let mut stopping = false;
        // Stopped only here and only when no refresh token is on its way: what was spent is followed by its answer.
        while !stopping || self.machine.is_busy() {
            let now = Moment::now(&self.clock);
            let sleep = self.machine.wake_in(now).map(|wait| wait.min(LONGEST_SLEEP));
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                () = self.abort.cancelled() => break,
                () = self.stop.cancelled(), if !stopping => stopping = true,
                stored = next_stored(&mut self.store_job), if self.store_job.is_some() => self.stored(stored),
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
                command = self.commands.recv(), if !stopping && self.jobs.len() < MAX_JOBS => match command {
                    Some(command) => self.command(command),
                    None => stopping = true,
                },
                () = async move { clock.sleep(sleep.unwrap_or(LONGEST_SLEEP)).await }, if sleep.is_some() && !stopping => {
                    self.step(Event::Tick);
                }
            }
        }
    }

    /// One event through the machine, and everything that follows from it.
    fn step(&mut self, event: Event) -> Vec<Effect> {
        let now = Moment::now(&self.clock);
        let machine = std::mem::replace(&mut self.machine, Machine::new(Duration::ZERO));
        let (machine, effects) = machine.step(event, now, self.random.fraction());
        self.machine = machine;
        // What can be looked up comes before the news of it.
        self.publish();
        for effect in &effects {
            self.carry_out(effect.clone());
        }
        self.settle(now);
        effects
    }

    fn publish(&self) {
        let status = self.machine.status();
        let (context, access) = match &self.machine.state {
            State::SignedIn(live) => (live.context.clone(), live.access.clone()),
            _ => (None, None),
        };
        let settled = !matches!(self.machine.state, State::Restoring { .. });
        self.published.send_if_modified(|published| {
            let Some(status) = status else { return false };
            let next = Published { status, context, access, settled };
            let changed = *published != next;
            if changed {
                if published.status != next.status {
                    tracing::info!(signed_in = next.status.is_signed_in(), "session status changed");
                }
                *published = next;
            }
            changed
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Emit(change) => {
                self.sequence += 1;
                self.events.send(AuthEvent { sequence: self.sequence, change });
            }
            Effect::Exchange(ticket, token) => {
                let (gotrue, asked) = (self.gotrue.clone(), Moment::now(&self.clock));
                self.jobs.push(Box::pin(async move {
                    Done::Event(match gotrue.refresh(&token).await {
                        RefreshAnswer::Renewed(mut grant) => {
                            let user = grant.user.take().map(User::from);
                            Event::Renewed { ticket, fresh: fresh(grant, asked, user) }
                        }
                        RefreshAnswer::Failed(error) => Event::Failed { ticket, error },
                        RefreshAnswer::Over(error) => Event::Over { ticket, error },
                    })
                }));
            }
            Effect::Revoke { access, refresh, scope } => {
                let departure = self.leaving;
                let (gotrue, clock) = (self.gotrue.clone(), self.clock.clone());
                self.jobs.push(Box::pin(async move {
                    let work = revoke(&gotrue, access, &refresh, scope);
                    let result = clock.within(REVOKE_LIMIT, work).await.unwrap_or_else(|| Err(Error::new(TIMEOUT)));
                    Done::Revoked { departure, result }
                }));
            }
            Effect::LoadContext { session } => self.load_context(session, None),
            Effect::Restore(_)
            | Effect::Look(_)
            | Effect::Check(_)
            | Effect::Write { .. }
            | Effect::Remove(_)
            | Effect::Unlock => {
                if matches!(effect, Effect::Remove(_)) && self.store_job.as_ref().is_some_and(|job| job.reads) {
                    // A removal does not wait for a lock or a read that nobody needs any more.
                    self.store_job = None;
                }
                self.store_queue.push_back(effect);
                self.next_store_job();
            }
        }
    }

    /// Starts the next piece of work on the store, when none is under way.
    fn next_store_job(&mut self) {
        while self.store_job.is_none() {
            let Some(effect) = self.store_queue.pop_front() else { return };
            let vault = self.vault.clone();
            let reads = matches!(effect, Effect::Restore(_) | Effect::Look(_) | Effect::Check(_));
            let work: BoxFuture<'static, Stored> = match effect {
                Effect::Restore(ticket) => Box::pin(async move { Stored::Restored(ticket, vault.restore().await) }),
                Effect::Look(ticket) => Box::pin(async move {
                    let (looked, lock) = vault.look().await;
                    Stored::Looked(ticket, looked, lock)
                }),
                Effect::Check(ticket) => Box::pin(async move { Stored::Checked(ticket, vault.read().await) }),
                Effect::Write { ticket, record, how } => {
                    Box::pin(async move { Stored::Written(ticket, vault.write(record, how).await) })
                }
                Effect::Remove(ticket) => Box::pin(async move { Stored::Removed(ticket, vault.remove().await) }),
                _ => {
                    self.lock = None;
                    continue;
                }
            };
            self.store_job = Some(StoreJob { reads, work });
        }
    }

    fn stored(&mut self, stored: Stored) {
        self.store_job = None;
        match stored {
            Stored::Restored(ticket, found) => drop(self.step(Event::Restored { ticket, found })),
            Stored::Looked(ticket, looked, lock) => {
                self.lock = lock;
                self.step(Event::Looked { ticket, looked });
            }
            Stored::Checked(ticket, found) => drop(self.step(Event::Checked { ticket, found })),
            Stored::Written(ticket, result) => drop(self.step(Event::Written { ticket, result })),
            Stored::Removed(ticket, result) => {
                for departure in self.departures.iter_mut().filter(|departure| departure.ticket == ticket) {
                    departure.removed.get_or_insert_with(|| result.clone());
                }
                self.step(Event::Removed { ticket, result });
            }
        }
        self.next_store_job();
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Event(event) => drop(self.step(event)),
            Done::TurnedAway { result, reply } => drop(reply.send(result)),
            Done::Admitted { arrival, fresh, user, reply } => {
                self.last_id += 1;
                let entry = self.last_id;
                let late = arrival.fence != self.machine.fence;
                self.step(Event::Entered { arrival, entry, fresh, user });
                if late {
                    let _ = reply.send(Err(Error::new(SUPERSEDED)));
                } else {
                    // Answered once the session is stored (A17).
                    self.entrants.push((entry, reply));
                    self.settle(Moment::now(&self.clock));
                }
            }
            Done::Revoked { departure, result } => {
                if let Err(error) = &result {
                    tracing::info!(%error, "a session could not be ended at the server");
                }
                for departure in self.departures.iter_mut().filter(|waits| Some(waits.id) == departure) {
                    departure.revoked = Some(result.clone());
                }
                self.settle(Moment::now(&self.clock));
            }
            Done::Context { session, result, reply } => {
                self.step(Event::ContextLoaded { session, result: result.clone() });
                if let Some(reply) = reply {
                    let known = match &self.machine.state {
                        State::SignedIn(live) if live.floor == session => live.context.clone(),
                        _ => None,
                    };
                    let _ = reply.send(result.and_then(|_| known.ok_or_else(|| Error::new(SUPERSEDED))));
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Token { reply, .. } if self.waiting.len() >= MAX_WAITING => {
                let _ = reply.send(Err(Error::new(BUSY)));
            }
            Command::Token { ask, reply } => {
                let seen = match &self.machine.state {
                    State::SignedIn(live) => live.access.as_ref().map_or(0, |access| access.token.generation),
                    _ => 0,
                };
                self.waiting.push(Waiter { ask, seen, reply });
                self.step(Event::Asked(ask));
            }
            Command::Enter { way, reply } => {
                let arrival = Arrival { fence: self.machine.fence, recovery: way.is_recovery() };
                let (gotrue, asked) = (self.gotrue.clone(), Moment::now(&self.clock));
                self.jobs.push(Box::pin(async move {
                    let result = match gotrue.admit(&way).await {
                        Ok(Admission::Session(grant, user)) => {
                            let fresh = fresh(grant, asked, Some(user.clone()));
                            return Done::Admitted { arrival, fresh, user, reply };
                        }
                        Ok(Admission::NotYet(not_yet)) => Ok(Entry::NotYet(not_yet)),
                        Err(error) => Err(error),
                    };
                    Done::TurnedAway { result, reply }
                }));
            }
            Command::SignOut { scope, reply } => self.sign_out(scope, reply),
            Command::LoadContext { reply } => match &self.machine.state {
                State::SignedIn(live) => self.load_context(live.floor, Some(reply)),
                _ => drop(reply.send(Err(Error::new(NOT_SIGNED_IN)))),
            },
            Command::Choose { id, reply } => {
                let known = match &self.machine.state {
                    State::SignedIn(live) => {
                        live.context.as_ref().is_some_and(|context| context.choosing(&id).is_some())
                    }
                    _ => false,
                };
                self.step(Event::Chosen(id));
                let _ = reply.send(if known { Ok(()) } else { Err(Error::new(ORGANIZATION_UNKNOWN)) });
            }
        }
    }

    fn sign_out(&mut self, scope: Scope, reply: Reply<SignedOut>) {
        self.last_id += 1;
        let id = self.last_id;
        self.departures.push(Departure { id, ticket: 0, removed: None, revoked: None, reply });
        self.leaving = Some(id);
        let effects = self.step(Event::SignOut { scope });
        self.leaving = None;
        let ticket = effects.iter().find_map(|effect| match effect {
            Effect::Remove(ticket) => Some(*ticket),
            _ => None,
        });
        let revokes = effects.iter().any(|effect| matches!(effect, Effect::Revoke { .. }));
        if let Some(departure) = self.departures.iter_mut().find(|departure| departure.id == id) {
            departure.ticket = ticket.unwrap_or_default();
            // Nobody was signed in: there is nothing to end.
            departure.revoked = (!revokes).then_some(Ok(()));
        }
    }

    /// Loads the context with the present access token; one that the cloud refuses is renewed by the timer, not here.
    fn load_context(&mut self, session: u64, reply: Option<Reply<Arc<UserContext>>>) {
        let State::SignedIn(live) = &self.machine.state else { return };
        let Some(access) = &live.access else {
            let error =
                live.trouble.as_ref().map_or_else(|| Error::new(NOT_SIGNED_IN), |trouble| trouble.error.clone());
            if let Some(reply) = reply {
                let _ = reply.send(Err(error));
            }
            return;
        };
        let client = self.client.with_token_source(Arc::new(OneToken(access.token.clone())));
        let user: UserId = live.user.id.clone();
        self.jobs.push(Box::pin(async move {
            let result = context::load(&client, &user).await;
            Done::Context { session, result, reply }
        }));
    }

    /// Answers everybody who can be answered now.
    fn settle(&mut self, now: Moment) {
        let state = &self.machine.state;
        for waiter in std::mem::take(&mut self.waiting) {
            match answer(state, &waiter, now) {
                Some(result) => drop(waiter.reply.send(result)),
                // A caller that has gone needs no place.
                None if waiter.reply.is_closed() => {}
                None => self.waiting.push(waiter),
            }
        }
        for (entry, reply) in std::mem::take(&mut self.entrants) {
            // The caller may have gone; the session stands all the same (A8).
            match &self.machine.state {
                State::SignedIn(live) if self.machine.entered == entry => {
                    let _ = reply.send(Ok(Entry::SignedIn(live.user.clone())));
                }
                State::Entering(entering) if entering.entry == entry => self.entrants.push((entry, reply)),
                _ => drop(reply.send(Err(Error::new(SUPERSEDED)))),
            }
        }
        for departure in std::mem::take(&mut self.departures) {
            match departure {
                Departure { removed: Some(removed), revoked: Some(revoked), reply, .. } => {
                    let _ = reply.send(Ok(SignedOut { removed, revoked }));
                }
                open => self.departures.push(open),
            }
        }
    }
}

async fn next_stored(job: &mut Option<StoreJob>) -> Stored {
    match job {
        Some(job) => (&mut job.work).await,
        None => std::future::pending().await,
    }
}
