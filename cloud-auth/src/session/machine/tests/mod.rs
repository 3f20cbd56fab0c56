//! The machine against tables of its states and events, and against random sequences of them.
mod clocks;
mod rules;
mod table;
mod wishes;

use std::time::{Duration, SystemTime};

use cloud_client::{Error, error::codes::CONNECT};

use super::*;
use crate::{
    codes::{SESSION_OVER, STORE_FAILED},
    context::UserContext,
    passages::Scope,
    status::{User, UserId},
};

pub(super) fn at(seconds: u64) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    Moment { monotonic: Duration::from_secs(seconds), wall }
}

pub(super) fn user(id: &str) -> User {
    User::bare(UserId::new(id))
}

pub(super) fn fresh(user_id: &str, n: u32, asked: Moment) -> Fresh {
    Fresh {
        access: format!("at-{n}").into(),
        refresh: format!("rt-{n}").into(),
        lifetime: Duration::from_secs(3600),
        asked,
        user: Some(user(user_id)),
    }
}

/// The same user, described differently.
pub(super) fn changed(user_id: &str) -> User {
    User { email: Some("new@example.com".to_owned()), ..user(user_id) }
}

pub(super) fn record(user_id: &str, n: u32) -> Record {
    Record { refresh: format!("rt-{n}").into(), user: user(user_id), context: None }
}

pub(super) fn context() -> UserContext {
    serde_json::from_str(r#"{"memberships":[{"org_id":"o1","role":"owner"},{"org_id":"o2","role":"x"}]}"#).unwrap()
}

pub(super) fn over() -> Error {
    Error::new(SESSION_OVER).with_status(400).with_server_code("session_not_found")
}

/// A machine, what it asked for last, and the time.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) effects: Vec<Effect>,
    pub(super) now: Moment,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { machine: Machine::new(Duration::from_secs(60)), effects: Vec::new(), now: at(0) }
    }

    pub(super) fn step(mut self, event: Event) -> Self {
        let (machine, effects) = self.machine.step(event, self.now, 0.5);
        self.machine = machine;
        // The last request stays known while events change nothing.
        if !effects.is_empty() {
            self.effects = effects;
        }
        self
    }

    pub(super) fn later(mut self, seconds: u64) -> Self {
        self.now = at(self.now.monotonic.as_secs() + seconds);
        self
    }

    /// The ticket of the newest request.
    pub(super) fn ticket(&self) -> Ticket {
        self.machine.last_ticket
    }

    /// The ticket that the present state waits for; 0 when it waits for none.
    pub(super) fn awaited(&self) -> Ticket {
        match &self.machine.state {
            State::Restoring { ticket } => *ticket,
            State::Blind { ticket, .. } => ticket.unwrap_or_default(),
            State::SignedOut { removal, .. } => removal.as_ref().map_or(0, |(ticket, _)| *ticket),
            State::Entering(entering) => entering.ticket,
            State::SignedIn(live) => match &live.flight {
                Flight::Idle => 0,
                Flight::Looking(ticket)
                | Flight::Sending(ticket)
                | Flight::Checking(ticket, _)
                | Flight::Storing(ticket, _)
                | Flight::Upgrading(ticket)
                | Flight::Saving(ticket) => *ticket,
            },
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match &self.machine.state {
            State::Restoring { .. } => "restoring",
            State::Blind { .. } => "blind",
            State::SignedOut { .. } => "out",
            State::Entering(_) => "entering",
            State::SignedIn(live) => match live.flight {
                Flight::Idle => "idle",
                Flight::Looking(_) => "looking",
                Flight::Sending(_) => "sending",
                Flight::Checking(..) => "checking",
                Flight::Storing(..) => "storing",
                Flight::Saving(_) => "saving",
                Flight::Upgrading(_) => "upgrading",
            },
        }
    }

    pub(super) fn restoring() -> Self {
        Self::new().step(Event::Started)
    }

    pub(super) fn out() -> Self {
        let bench = Self::restoring();
        let ticket = bench.ticket();
        bench.step(Event::Restored { ticket, found: Ok(Found::Nothing) })
    }

    pub(super) fn blind() -> Self {
        let bench = Self::restoring();
        let ticket = bench.ticket();
        bench.step(Event::Restored { ticket, found: Err(Error::new(STORE_FAILED)) })
    }

    pub(super) fn entering() -> Self {
        let bench = Self::out();
        let fresh = fresh("u1", 1, bench.now);
        bench.step(Event::Entered { arrival: Arrival::default(), entry: 1, fresh, user: user("u1") })
    }

    pub(super) fn idle() -> Self {
        Self::entering().written(Ok(Wrote::Ours))
    }

    pub(super) fn looking() -> Self {
        Self::idle().later(3580).step(Event::Tick)
    }

    pub(super) fn sending() -> Self {
        Self::looking().looked(Looked::Read(Some(record("u1", 1))))
    }

    pub(super) fn checking() -> Self {
        let bench = Self::sending();
        let ticket = bench.awaited();
        bench.step(Event::Over { ticket, error: over() })
    }

    pub(super) fn storing() -> Self {
        Self::sending().renewed("u1", 2)
    }

    pub(super) fn saving() -> Self {
        let bench = Self::idle();
        let State::SignedIn(live) = &bench.machine.state else { panic!("not signed in") };
        let session = live.floor;
        bench.step(Event::ContextLoaded { session, result: Ok(context()) })
    }

    pub(super) fn upgrading() -> Self {
        Self::idle().step(Event::Wish { entry: 5 }).looked(Looked::Read(Some(record("u1", 1))))
    }

    pub(super) fn upgraded(self, user_id: &str, n: u32) -> Self {
        let (ticket, fresh) = (self.awaited(), fresh(user_id, n, self.now));
        self.step(Event::Upgraded { ticket, fresh })
    }

    pub(super) fn not_upgraded(self, error: Error) -> Self {
        let ticket = self.awaited();
        self.step(Event::NotUpgraded { ticket, error })
    }

    pub(super) fn written(self, result: Result<Wrote, Error>) -> Self {
        let ticket = self.awaited();
        self.step(Event::Written { ticket, result })
    }

    pub(super) fn looked(self, looked: Looked) -> Self {
        let ticket = self.awaited();
        self.step(Event::Looked { ticket, looked })
    }

    pub(super) fn checked(self, found: Result<Option<Record>, Error>) -> Self {
        let ticket = self.awaited();
        self.step(Event::Checked { ticket, found })
    }

    pub(super) fn renewed(self, user_id: &str, n: u32) -> Self {
        let (ticket, fresh) = (self.awaited(), fresh(user_id, n, self.now));
        self.step(Event::Renewed { ticket, fresh })
    }

    pub(super) fn failed(self, error: Error) -> Self {
        let ticket = self.awaited();
        self.step(Event::Failed { ticket, error })
    }

    pub(super) fn live(&self) -> &Live {
        match &self.machine.state {
            State::SignedIn(live) => live,
            _ => panic!("{}", self.name()),
        }
    }

    /// The token that the newest step sends.
    pub(super) fn spent(&self) -> Option<String> {
        use secrecy::ExposeSecret as _;
        self.effects.iter().find_map(|effect| match effect {
            Effect::Exchange(_, token) => Some(token.expose_secret().to_owned()),
            _ => None,
        })
    }

    pub(super) fn emitted(&self) -> Vec<&AuthChange> {
        let changes = self.effects.iter().map(|effect| match effect {
            Effect::Emit(change) => Some(change),
            _ => None,
        });
        changes.flatten().collect()
    }
}

pub(super) fn connect() -> Error {
    Error::new(CONNECT)
}

pub(super) const LOCAL: Event = Event::SignOut { scope: Scope::Local };
