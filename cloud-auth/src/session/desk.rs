//! Who waits at the session task, and what each of them can be told in a given state.
use cloud_client::{AccessToken, Error, error::codes::TIMEOUT};
use std::sync::Arc;
use tokio::sync::oneshot;

use super::{
    expiry::Moment,
    machine::{Ask, State, Ticket},
};
use crate::{
    context::{OrganizationId, UserContext},
    gotrue::{Upgrade, Way},
    passages::{NotYet, ProviderTokens, Scope, SignedOut},
    status::User,
};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a way in came to.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    SignedIn { user: User, provider: Option<ProviderTokens> },
    NotYet(NotYet),
}

/// What others ask of the task.
#[derive(Debug)]
pub(crate) enum Command {
    Token { ask: Ask, reply: Reply<Option<AccessToken>> },
    Enter { way: Way, reply: Reply<Entry> },
    Upgrade { upgrade: Upgrade, reply: Reply<User> },
    UserLoaded { user: User, reply: Reply<User> },
    SignOut { scope: Scope, reply: Reply<SignedOut> },
    LoadContext { reply: Reply<Arc<UserContext>> },
    Choose { id: OrganizationId, reply: Reply<()> },
}

pub(super) struct Waiter {
    pub(super) ask: Ask,
    /// The newest generation when the caller asked.
    pub(super) seen: u64,
    pub(super) reply: Reply<Option<AccessToken>>,
}

/// A sign-in that is not stored yet.
pub(super) struct Entrant {
    pub(super) entry: u64,
    pub(super) provider: Option<ProviderTokens>,
    pub(super) reply: Reply<Entry>,
}

/// A sign-out whose parts are not all done.
pub(super) struct Departure {
    pub(super) id: u64,
    pub(super) ticket: Ticket,
    pub(super) removed: Option<Result<(), Error>>,
    pub(super) revoked: Option<Result<(), Error>>,
    pub(super) reply: Reply<SignedOut>,
}

/// What a waiter can be told in this state; `None`: not yet.
pub(super) fn answer(state: &State, waiter: &Waiter, now: Moment) -> Option<Result<Option<AccessToken>, Error>> {
    let live = match state {
        State::Restoring { .. } | State::Entering(_) | State::Blind { ticket: Some(_), .. } => return None,
        State::Blind { error, .. } => return Some(Err(error.clone())),
        State::SignedOut { .. } => return Some(Ok(None)),
        State::SignedIn(live) => live,
    };
    if matches!(waiter.ask, Ask::Refused(generation) if generation < live.floor) {
        // The refused token was somebody else's: nothing of theirs is repeated in this user's name (A7).
        return Some(Ok(None));
    }
    let alive = live.access.as_ref().filter(|access| access.is_alive(now));
    let serves = alive.filter(|access| match waiter.ask {
        Ask::Stale => access.is_fresh(now),
        Ask::Refused(generation) => access.token.generation > generation,
        Ask::Now => access.token.generation > waiter.seen,
    });
    match (serves, alive, waiter.ask) {
        (Some(access), ..) => Some(Ok(Some(access.token.clone()))),
        (None, ..) if !live.is_idle() => None,
        // Not renewed, but good for a while still (A5).
        (None, Some(access), Ask::Stale) => Some(Ok(Some(access.token.clone()))),
        // It ended on its way here, as when the machine slept meanwhile: the timer renews it at once (A10).
        (None, None, _) if live.trouble.is_none() => None,
        (None, ..) => {
            let error = live.trouble.as_ref().map(|trouble| trouble.error.clone());
            Some(Err(error.unwrap_or_else(|| Error::new(TIMEOUT).during("refreshing the session"))))
        }
    }
}
