//! What comes in: commands of others, and finished calls to the server.
use std::sync::Arc;

use cloud_client::{Error, ErrorKind};

use super::{Done, MAX_WAITING, Refresher};
use crate::{
    codes::{BUSY, NOT_SIGNED_IN, ORGANIZATION_UNKNOWN, STORE_TIMEOUT, SUPERSEDED},
    context::{self, UserContext},
    gotrue::Admission,
    passages::{Scope, SignedOut},
    session::{
        calls::{OneToken, fresh},
        desk::{Command, Departure, Entrant, Entry, Reply, Waiter},
        expiry::Moment,
        machine::{Arrival, Event, State},
        owed::Change,
    },
    status::UserId,
};

impl Refresher {
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Event(event) => self.step(event),
            Done::TurnedAway { result, reply } => drop(reply.send(result)),
            Done::Admitted { arrival, fresh, user, provider, reply } => {
                self.last_id += 1;
                let entry = self.last_id;
                let late = arrival.fence != self.machine.fence;
                self.step(Event::Entered { arrival, entry, fresh, user });
                if late {
                    let _ = reply.send(Err(Error::new(SUPERSEDED)));
                } else {
                    // Answered once the session is stored (A17).
                    self.entrants.push(Entrant { entry, provider, reply });
                    self.settle(Moment::now(&self.clock));
                }
            }
            Done::Repaid { id, result } => {
                let (now, fraction) = (Moment::now(&self.clock), self.random.fraction());
                if let Some(change) = self.owed.tried(id, &result, now, fraction) {
                    self.change_owed(change);
                }
            }
            Done::Revoked { departure, result, debt } => {
                let passing = |error: &Error| error.is_retryable() || error.kind() == ErrorKind::RateLimited;
                if result.as_ref().is_err_and(passing) {
                    self.owed.add(debt.clone());
                    if debt.lasts() {
                        self.change_owed(Change::Add(debt));
                    }
                }
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

    pub(super) fn command(&mut self, command: Command) {
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
                        Ok(Admission::Session(mut grant, user)) => {
                            let provider = grant.take_provider_tokens();
                            let fresh = fresh(grant, asked, Some(user.clone()));
                            return Done::Admitted { arrival, fresh, user, provider, reply };
                        }
                        Ok(Admission::NotYet(not_yet)) => Ok(Entry::NotYet(not_yet)),
                        Err(error) => Err(error),
                    };
                    Done::TurnedAway { result, reply }
                }));
            }
            Command::Upgrade { upgrade, reply } => {
                self.last_id += 1;
                let entry = self.last_id;
                self.wishes.push((entry, upgrade, reply));
                self.step(Event::Wish { entry });
            }
            Command::UserLoaded { user, reply } => {
                let result = match &self.machine.state {
                    State::SignedIn(live) if live.user.id == user.id => Ok(user.clone()),
                    _ => Err(Error::new(SUPERSEDED)),
                };
                self.step(Event::UserLoaded(user));
                let _ = reply.send(result);
            }
            // Behind a store that hangs, and behind thousands that want the same.
            Command::SignOut { reply, .. } if self.store_queue.len() >= MAX_WAITING => {
                let _ = reply.send(Err(Error::new(STORE_TIMEOUT).during("signing out")));
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

    pub(super) fn sign_out(&mut self, scope: Scope, reply: Reply<SignedOut>) {
        self.last_id += 1;
        let id = self.last_id;
        // Where nobody was signed in there is nothing to end at the server.
        let ends = matches!(self.machine.state, State::SignedIn(_) | State::Entering(_));
        self.leaving = Some(id);
        self.step(Event::SignOut { scope });
        self.leaving = None;
        let State::SignedOut { removal: Some((ticket, _)), .. } = &self.machine.state else { return };
        let revoked = (!ends).then_some(Ok(()));
        self.departures.push(Departure { id, ticket: *ticket, removed: None, revoked, reply });
    }

    /// Loads the context with the present access token; one that the cloud refuses is renewed by the timer, not here.
    pub(super) fn load_context(&mut self, session: u64, reply: Option<Reply<Arc<UserContext>>>) {
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
}
