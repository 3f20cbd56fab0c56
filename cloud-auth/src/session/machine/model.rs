//! What goes into the machine, what comes out, and what it remembers.
use std::{sync::Arc, time::Duration};

use cloud_client::{AccessToken, Error};
use secrecy::SecretString;

use crate::{
    context::{OrganizationId, UserContext},
    events::AuthChange,
    passages::Scope,
    session::{
        expiry::{Access, Moment},
        record::Record,
    },
    status::{Assurance, AssuranceLevel, SignOutReason, User},
};

/// The upper end of the first and of the longest pause after a passing failure.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// No pause is shorter: a failing loop must not spin.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

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

/// How somebody came to the door.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// How often somebody had asked to sign out when they set off.
    pub(crate) fence: u64,
    /// Whether the password is forgotten.
    pub(crate) recovery: bool,
}

/// What goes in.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Started,
    /// As `Started`, but a stored login is left where it is.
    StartedAlone,
    Tick,
    Restored {
        ticket: Ticket,
        found: Result<Found, Error>,
    },
    Entered {
        arrival: Arrival,
        entry: u64,
        fresh: Fresh,
        user: User,
    },
    Asked(Ask),
    Looked {
        ticket: Ticket,
        looked: Looked,
    },
    Renewed {
        ticket: Ticket,
        fresh: Fresh,
    },
    Failed {
        ticket: Ticket,
        error: Error,
    },
    Over {
        ticket: Ticket,
        error: Error,
    },
    Checked {
        ticket: Ticket,
        found: Result<Option<Record>, Error>,
    },
    Written {
        ticket: Ticket,
        result: Result<Wrote, Error>,
    },
    Removed {
        ticket: Ticket,
        result: Result<(), Error>,
    },
    SignOut {
        scope: Scope,
    },
    /// Somebody wants a better session.
    Wish {
        entry: u64,
    },
    Upgraded {
        ticket: Ticket,
        fresh: Fresh,
    },
    NotUpgraded {
        ticket: Ticket,
        error: Error,
    },
    /// The server described the user.
    UserLoaded(User),
    ContextLoaded {
        session: u64,
        result: Result<UserContext, Error>,
    },
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
        /// How long the access token still lives.
        left: Duration,
    },
    /// Show this token for the better session that `entry` wished for.
    Upgrade {
        ticket: Ticket,
        entry: u64,
        access: AccessToken,
    },
    /// The better session that `entry` wished for is not to be had.
    Refuse {
        entry: u64,
        error: Error,
    },
    LoadContext {
        session: u64,
    },
    Emit(AuthChange),
}

/// A failed piece of work and when it is tried again, by the monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pause {
    pub(super) failures: u32,
    pub(super) at: Duration,
}

/// Why the last refresh failed.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) error: Error,
    pub(super) failures: u32,
    /// When the timer tries again.
    pub(super) retry_at: Duration,
    /// From when on a caller's wish starts another try.
    pub(super) ask_at: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum Flight {
    Idle,
    Looking(Ticket),
    Sending(Ticket),
    Checking(Ticket, Error),
    Storing(Ticket, Box<Fresh>),
    Saving(Ticket),
    Upgrading(Ticket),
}

/// Somebody's wish for a better session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) entry: u64,
    /// Whether it has become a flight.
    pub(super) sent: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The first generation of access tokens that belongs to this session.
    pub(crate) floor: u64,
    pub(crate) user: User,
    /// Whether the user was described during this flight: what the flight brings is older.
    pub(super) described: bool,
    /// What the present access token says.
    pub(super) level: Option<AssuranceLevel>,
    pub(crate) wish: Option<Wish>,
    pub(crate) context: Option<Arc<UserContext>>,
    pub(super) refresh: SecretString,
    /// The refresh token that the store is known to hold.
    pub(super) stored: Option<SecretString>,
    pub(crate) access: Option<Access>,
    pub(super) verified: bool,
    pub(crate) flight: Flight,
    /// Somebody wants a refresh as soon as the present write is done.
    pub(super) asked: bool,
    /// Tokens spent in this flight.
    pub(super) tried: Vec<SecretString>,
    /// Whose token was found in the store.
    pub(super) adopted: Option<User>,
    pub(crate) trouble: Option<Trouble>,
    /// The record is not stored as it is here.
    pub(super) unsaved: Option<Pause>,
    /// Whether something beside the tokens has changed since the last record was handed to the store.
    pub(super) touched: bool,
    /// The context has to be loaded.
    pub(super) context_wanted: Option<Pause>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entering {
    pub(crate) entry: u64,
    pub(super) recovery: bool,
    pub(super) ticket: Ticket,
    pub(super) fresh: Fresh,
    pub(super) user: User,
    pub(super) context: Option<Arc<UserContext>>,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Restoring { ticket: Ticket },
    Blind { error: Error, ticket: Option<Ticket>, pause: Pause },
    SignedOut { reason: SignOutReason, removal: Option<(Ticket, Option<Pause>)> },
    Entering(Box<Entering>),
    SignedIn(Box<Live>),
}

impl Live {
    pub(super) fn new(
        floor: u64,
        user: User,
        context: Option<Arc<UserContext>>,
        refresh: SecretString,
        stored: Option<SecretString>,
    ) -> Self {
        Self {
            floor,
            user,
            described: false,
            level: None,
            wish: None,
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
            touched: false,
            context_wanted: Some(Pause::default()),
        }
    }

    /// The store holds the present token. What changed while it was written is written next.
    pub(super) fn is_stored(&mut self, turn: &Turn) {
        self.stored = Some(self.refresh.clone());
        self.unsaved = self.touched.then_some(Pause { failures: 0, at: turn.now.monotonic });
    }

    /// Goes on with what another process has stored.
    pub(super) fn adopt(&mut self, record: Record) {
        (self.stored, self.refresh) = (Some(record.refresh.clone()), record.refresh);
        (self.adopted, self.unsaved) = (Some(record.user), None);
    }

    /// What the token says, and what a second factor would give.
    pub(super) fn assurance(&self) -> Assurance {
        let mut assurance = Assurance::default();
        assurance.current.clone_from(&self.level);
        assurance.reachable = if self.user.has_second_factor { Some(AssuranceLevel::AAL2) } else { self.level.clone() };
        assurance
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.flight, Flight::Idle)
    }
}

/// One step's surroundings.
pub(super) struct Turn {
    pub(super) now: Moment,
    pub(super) fraction: f64,
    pub(super) effects: Vec<Effect>,
}

impl Turn {
    pub(super) fn emit(&mut self, change: AuthChange) {
        self.effects.push(Effect::Emit(change));
    }

    /// Full jitter, doubling with every failure.
    pub(super) fn pause(&self, failures: u32) -> Pause {
        let (first, longest) = PAUSE;
        let upper = first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(longest);
        let wait = upper.mul_f64(self.fraction.clamp(0.0, 1.0)).max(SHORTEST_PAUSE);
        Pause { failures: failures + 1, at: self.now.monotonic + wait }
    }

    pub(super) fn has_come(&self, at: Duration) -> bool {
        self.now.monotonic >= at
    }
}
