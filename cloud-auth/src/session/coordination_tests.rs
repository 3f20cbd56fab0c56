//! The coordination of tasks and processes under every order that a scheduler can think of.
//!
//! Real [`Machine`]s and [`Vault`]s, each in a process of its own, on one model store with one lock that the system frees,
//! against a model of the strictest server: a token that is not the current one is a broken promise, unless its reply died
//! with a process. Tasks ask; processes are killed between any two effects and start again. The same model with one rule
//! taken out must fail, or it would prove nothing.
use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cloud_client::{
    Error,
    clock::{Clock, SharedClock},
};
use secrecy::{ExposeSecret as _, SecretString};
use shuttle::{
    rand::{Rng as _, thread_rng},
    sync::{Condvar, Mutex, mpsc},
    thread,
};

use super::{
    expiry::Moment,
    machine::{Ask, Effect, Event, Fresh, Machine, State},
    record::Record,
    vault::Vault,
};
use crate::{
    codes::SESSION_OVER,
    events::AuthChange,
    status::User,
    store::{SecretKey, SecretStore, SecretStoreHandle, StoreLock},
};

const ORIGIN: &str = "https://cloud.example";

/// A rule that is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The store is read once, not again under the lock.
    ReadingAgain,
    TheLock,
    /// A new token is spent before it is stored.
    Storing,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    processes: usize,
    tasks: usize,
    refreshes: usize,
    kills: bool,
    without: Without,
}

#[derive(Debug, Default)]
struct Server {
    current: u32,
    under_way: usize,
    overlap: usize,
    rotated: usize,
    /// The predecessor came again.
    repeated: usize,
    stale: usize,
}

struct World {
    plan: Plan,
    server: Mutex<Server>,
    disk: Mutex<Option<String>>,
    locked: Mutex<bool>,
    freed: Condvar,
    kills: Mutex<usize>,
}

/// One process's view of the store.
struct Shared {
    world: Arc<World>,
    /// What this process knows, for [`Without::ReadingAgain`].
    known: Mutex<Option<String>>,
}

struct Release(Arc<World>);

impl Drop for Release {
    fn drop(&mut self) {
        *self.0.locked.lock().unwrap() = false;
        self.0.freed.notify_one();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

#[async_trait]
impl SecretStore for Shared {
    async fn get(&self, _key: &SecretKey) -> Result<Option<SecretString>, Error> {
        let mut known = self.known.lock().unwrap();
        if self.world.plan.without != Without::ReadingAgain || known.is_none() {
            known.clone_from(&self.world.disk.lock().unwrap());
        }
        Ok(known.clone().map(SecretString::from))
    }

    async fn put(&self, _key: &SecretKey, value: SecretString) -> Result<(), Error> {
        if self.world.plan.without != Without::Storing || thread_rng().gen_bool(0.5) {
            let text = Some(value.expose_secret().to_owned());
            self.known.lock().unwrap().clone_from(&text);
            *self.world.disk.lock().unwrap() = text;
        }
        Ok(())
    }

    async fn delete(&self, _key: &SecretKey) -> Result<(), Error> {
        *self.world.disk.lock().unwrap() = None;
        Ok(())
    }

    async fn lock(&self) -> Result<StoreLock, Error> {
        if self.world.plan.without == Without::TheLock {
            return Ok(StoreLock::none());
        }
        let mut locked = self.world.locked.lock().unwrap();
        while *locked {
            locked = self.world.freed.wait(locked).unwrap();
        }
        *locked = true;
        drop(locked);
        Ok(StoreLock::holding(Release(Arc::clone(&self.world))))
    }
}

/// Time stands still: nothing in here ends by itself.
#[derive(Debug)]
struct Still;

#[async_trait]
impl Clock for Still {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(100)
    }

    async fn sleep(&self, _duration: Duration) {
        std::future::pending::<()>().await;
    }
}

fn user() -> User {
    serde_json::from_str(r#"{"id":"u1","email":null}"#).unwrap()
}

fn token(n: u32) -> SecretString {
    SecretString::from(format!("rt-{n}"))
}

impl World {
    fn new(plan: Plan) -> Arc<Self> {
        let clock = SharedClock::new(Still);
        let record = Record { refresh: token(0), user: user(), context: None };
        let text = record.text(ORIGIN, Moment::now(&clock)).unwrap().expose_secret().to_owned();
        Arc::new(Self {
            plan,
            server: Mutex::default(),
            disk: Mutex::new(Some(text)),
            locked: Mutex::new(false),
            freed: Condvar::new(),
            kills: Mutex::new(0),
        })
    }

    /// GoTrue's rule, with the books of an accountant.
    fn exchange(&self, presented: &SecretString) -> Option<u32> {
        {
            let mut server = self.server.lock().unwrap();
            server.under_way += 1;
            server.overlap = server.overlap.max(server.under_way);
        }
        thread::yield_now();
        let mut server = self.server.lock().unwrap();
        server.under_way -= 1;
        let n: u32 = presented.expose_secret().trim_start_matches("rt-").parse().unwrap();
        if n == server.current {
            server.current += 1;
            server.rotated += 1;
        } else if n + 1 == server.current {
            server.repeated += 1;
        } else {
            server.stale += 1;
            return None;
        }
        Some(server.current)
    }
}

/// One process, from its start to its end; `false` when it was killed.
fn process(world: &Arc<World>, asks: &mpsc::Receiver<()>, mut left: usize) -> bool {
    let clock = SharedClock::new(Still);
    let store = Shared { world: Arc::clone(world), known: Mutex::new(None) };
    let vault = Vault::new(SecretStoreHandle::new(store), SecretKey::new("KEY"), ORIGIN.to_owned(), clock.clone());
    let (mut machine, mut effects) = (Machine::new(Duration::from_secs(60)), VecDeque::new());
    let mut lock = None;
    let mut next = Some(Event::Started);
    loop {
        if let Some(event) = next.take() {
            let (stepped, new) = machine.step(event, Moment::now(&clock), 0.5);
            machine = stepped;
            effects.extend(new);
        }
        // Tasks ask at any time, also while a refresh is under way.
        if left > 0 && asks.try_recv().is_ok() {
            left -= 1;
            let refused = match &machine.state {
                State::SignedIn(live) => live.access.as_ref().map_or(0, |access| access.token.generation),
                _ => 0,
            };
            next = Some(Event::Asked(Ask::Refused(refused)));
            continue;
        }
        if world.plan.kills && thread_rng().gen_bool(0.03) {
            *world.kills.lock().unwrap() += 1;
            return false; // whatever it held goes with it, the lock too
        }
        let Some(effect) = effects.pop_front() else {
            if left == 0 {
                return true;
            }
            thread::yield_now();
            continue;
        };
        next = match effect {
            Effect::Restore(ticket) => {
                Some(Event::Restored { ticket, found: shuttle::future::block_on(vault.restore()) })
            }
            Effect::Look(ticket) => {
                let (looked, held) = shuttle::future::block_on(vault.look());
                lock = held;
                Some(Event::Looked { ticket, looked })
            }
            Effect::Check(ticket) => Some(Event::Checked { ticket, found: shuttle::future::block_on(vault.read()) }),
            Effect::Exchange(ticket, presented) => Some(match world.exchange(&presented) {
                Some(n) => {
                    let (access, lifetime) = (SecretString::from("at"), Duration::from_secs(3600));
                    let asked = Moment::now(&clock);
                    let fresh = Fresh { access, refresh: token(n), lifetime, asked, user: Some(user()) };
                    Event::Renewed { ticket, fresh }
                }
                None => {
                    let error = Error::new(SESSION_OVER).with_server_code("refresh_token_already_used");
                    Event::Over { ticket, error }
                }
            }),
            Effect::Write { ticket, record, how } => {
                Some(Event::Written { ticket, result: shuttle::future::block_on(vault.write(record, how)) })
            }
            Effect::Remove(ticket) => {
                Some(Event::Removed { ticket, result: shuttle::future::block_on(vault.remove()) })
            }
            Effect::Unlock => {
                drop(lock.take());
                None
            }
            Effect::Emit(AuthChange::SignedOut { reason }) => panic!("signed out: {reason:?}"),
            _ => None,
        };
    }
}

fn play(plan: Plan) {
    let world = World::new(plan);
    let processes: Vec<_> = (0..plan.processes)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (sender, asks) = mpsc::channel();
                let tasks: Vec<_> = (0..plan.tasks)
                    .map(|_| {
                        let sender = sender.clone();
                        thread::spawn(move || {
                            (0..plan.refreshes).for_each(|_| {
                                let _ = sender.send(());
                            })
                        })
                    })
                    .collect();
                // What the killed one was asked for is asked again, in part: the rest of it went with it.
                while !process(&world, &asks, plan.tasks * plan.refreshes) {
                    (0..plan.tasks * plan.refreshes).for_each(|_| {
                        let _ = sender.send(());
                    });
                }
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
        })
        .collect();
    processes.into_iter().for_each(|process| process.join().unwrap());
    let (server, kills) = (world.server.lock().unwrap(), *world.kills.lock().unwrap());
    assert!(server.overlap <= 1, "refreshes overlapped: {server:?}");
    assert_eq!(server.stale, 0, "a token two behind was spent: {server:?}");
    assert!(server.repeated <= kills, "a token was spent twice: {server:?}, {kills} kills");
    let expected = token(server.current);
    let stored = world.disk.lock().unwrap().clone().expect("the login is there");
    assert!(kills > 0 || stored.contains(expected.expose_secret()), "the newest token is stored");
}

const PLAN: Plan = Plan { processes: 2, tasks: 2, refreshes: 2, kills: false, without: Without::Nothing };

#[test]
fn a02_tasks_and_processes_never_spend_a_token_twice_in_any_order() {
    shuttle::check_random(|| play(PLAN), 1500);
    shuttle::check_pct(|| play(Plan { processes: 3, tasks: 1, ..PLAN }), 500, 4);
}

#[test]
fn a04_processes_killed_at_any_moment_leave_a_login_that_works_and_a_lock_that_is_free() {
    shuttle::check_random(|| play(Plan { processes: 3, tasks: 1, kills: true, ..PLAN }), 1500);
}

#[test]
fn the_model_notices_each_rule_that_is_taken_out() {
    for without in [Without::ReadingAgain, Without::TheLock, Without::Storing] {
        let plan = Plan { without, ..PLAN };
        let found = catch_unwind(AssertUnwindSafe(|| shuttle::check_random(move || play(plan), 1500)));
        assert!(found.is_err(), "nothing noticed: {without:?}");
    }
}
