//! The one task that owns the session: carries out what the machine decides and answers those who wait.
//!
//! commands (bounded queue, *wait* when full) and finished jobs → machine → effects → jobs. Work on the store runs one
//! piece after another, in the order of its effects; calls to the server run beside it. Callers only hold a oneshot, so
//! a caller that goes away cancels nothing (A8), and all who need a token share one exchange (A1). Nothing is locked
//! while status or events go out (A13). Asked to stop, the task ends between exchanges; its owner may cut it short.
mod counter;
mod errands;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cloud_client::{Client, Error, clock::SharedClock, events::Bus, random::Random, tasks::CancellationToken};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};

use super::{
    Published,
    desk::{Command, Departure, Entrant, Entry, Reply, Waiter, answer},
    expiry::Moment,
    machine::{Arrival, Effect, Event, Found, Fresh, Looked, Machine, State, Ticket, Wrote},
    owed::{Change, Debt, Owed},
    vault::Vault,
};
use crate::{
    codes::SUPERSEDED,
    context::UserContext,
    events::AuthEvent,
    gotrue::{Gotrue, Upgrade},
    passages::{ProviderTokens, SignedOut},
    status::User,
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
    Admitted { arrival: Arrival, fresh: Fresh, user: User, provider: Option<ProviderTokens>, reply: Reply<Entry> },
    TurnedAway { result: Result<Entry, Error>, reply: Reply<Entry> },
    Revoked { departure: Option<u64>, result: Result<(), Error>, debt: Debt },
    Repaid { id: [u8; 32], result: Result<(), Error> },
    Context { session: u64, result: Result<UserContext, Error>, reply: Option<Reply<Arc<UserContext>>> },
}

/// A finished piece of work on the store.
enum Stored {
    Restored(Ticket, Result<Found, Error>),
    Looked(Ticket, Looked, Option<StoreLock>),
    Checked(Ticket, Result<Option<super::record::Record>, Error>),
    Written(Ticket, Result<Wrote, Error>),
    Removed(Ticket, Result<(), Error>),
    OwedRead(Result<Owed, Error>),
    OwedChanged(Result<(), Error>),
}

/// What is to be done in the store.
enum Errand {
    Session(Effect),
    ReadOwed,
    ChangeOwed(Change),
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
    store_queue: VecDeque<Errand>,
    store_job: Option<StoreJob>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    waiting: Vec<Waiter>,
    entrants: Vec<Entrant>,
    wishes: Vec<(u64, Upgrade, Reply<User>)>,
    departures: Vec<Departure>,
    owed: Owed,
    /// Whether the stored list of what is owed was asked for.
    owed_read: bool,
    /// Changes of that list that are not written yet: not a moment to stop.
    owed_changes: usize,
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
            wishes: Vec::new(),
            departures: Vec::new(),
            owed: Owed::default(),
            owed_read: false,
            owed_changes: 0,
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
        while !stopping || self.machine.is_busy() || self.owed_changes > 0 {
            let now = Moment::now(&self.clock);
            self.repay(now);
            let wake = [self.machine.wake_in(now), self.owed.wake_in(now)].into_iter().flatten().min();
            let sleep = wake.map(|wait| wait.min(LONGEST_SLEEP));
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
    fn step(&mut self, event: Event) {
        let now = Moment::now(&self.clock);
        let machine = std::mem::replace(&mut self.machine, Machine::new(Duration::ZERO));
        let (machine, effects) = machine.step(event, now, self.random.fraction());
        self.machine = machine;
        // What can be looked up comes before the news of it.
        self.publish();
        for effect in effects {
            self.carry_out(effect);
        }
        self.settle(now);
    }

    fn publish(&self) {
        let status = self.machine.status();
        let (context, access) = match &self.machine.state {
            State::SignedIn(live) => (live.context.clone(), live.access.clone()),
            _ => (None, None),
        };
        let settled = !matches!(self.machine.state, State::Restoring { .. });
        let Some(status) = status else { return };
        let next = Published { status, context, access, settled };
        let (changed, news) = {
            let shown = self.published.borrow();
            (*shown != next, (shown.status != next.status).then(|| next.status.is_signed_in()))
        };
        if changed {
            self.published.send_replace(next);
        }
        // Behind the lock: whoever listens to the log may look at the status (A13).
        if let Some(signed_in) = news {
            tracing::info!(signed_in, "session status changed");
        }
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
        for Entrant { entry, provider, reply } in std::mem::take(&mut self.entrants) {
            // The caller may have gone; the session stands all the same (A8).
            match &self.machine.state {
                State::SignedIn(live) if self.machine.entered == entry => {
                    let _ = reply.send(Ok(Entry::SignedIn { user: live.user.clone(), provider }));
                }
                State::Entering(entering) if entering.entry == entry => {
                    self.entrants.push(Entrant { entry, provider, reply });
                }
                _ => drop(reply.send(Err(Error::new(SUPERSEDED)))),
            }
        }
        for (entry, upgrade, reply) in std::mem::take(&mut self.wishes) {
            match &self.machine.state {
                State::SignedIn(live) if self.machine.upgraded == entry => {
                    let _ = reply.send(Ok(live.user.clone()));
                }
                State::SignedIn(live) if live.wish.is_some_and(|wish| wish.entry == entry) => {
                    self.wishes.push((entry, upgrade, reply));
                }
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
