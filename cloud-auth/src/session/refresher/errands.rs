//! From effects to work: calls to the server run side by side, work on the store one piece after another.
use cloud_client::{AccessToken, Error, error::codes::TIMEOUT};

use futures::future::BoxFuture;

use super::{Done, Errand, MAX_JOBS, REVOKE_LIMIT, Refresher, StoreJob, Stored};
use crate::{
    events::AuthEvent,
    gotrue::RefreshAnswer,
    passages::Scope,
    session::{
        calls::{fresh, revoke},
        expiry::Moment,
        machine::{Effect, Event},
        owed::{Change, Debt, Proof},
    },
    status::User,
};

impl Refresher {
    pub(super) fn carry_out(&mut self, effect: Effect) {
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
            Effect::Upgrade { ticket, entry, access } => {
                let Some((_, upgrade, _)) = self.wishes.iter().find(|(wish, ..)| *wish == entry) else { return };
                let (gotrue, upgrade, asked) = (self.gotrue.clone(), upgrade.clone(), Moment::now(&self.clock));
                self.jobs.push(Box::pin(async move {
                    Done::Event(match gotrue.upgrade(&upgrade, access).await {
                        Ok((grant, user)) => Event::Upgraded { ticket, fresh: fresh(grant, asked, Some(user)) },
                        Err(error) => Event::NotUpgraded { ticket, error },
                    })
                }));
            }
            Effect::Refuse { entry, error } => {
                if let Some(at) = self.wishes.iter().position(|(wish, ..)| *wish == entry) {
                    let (.., reply) = self.wishes.swap_remove(at);
                    let _ = reply.send(Err(error));
                }
            }
            Effect::Revoke { access, refresh, scope, left } => {
                let (departure, now) = (self.leaving, Moment::now(&self.clock));
                let token = access.as_ref().map(|access| access.secret.clone());
                let debt = Debt::new(token, refresh.clone(), left, now);
                let (gotrue, clock) = (self.gotrue.clone(), self.clock.clone());
                self.jobs.push(Box::pin(async move {
                    let work = revoke(&gotrue, access, &refresh, scope);
                    let result = clock.within(REVOKE_LIMIT, work).await.unwrap_or_else(|| Err(Error::new(TIMEOUT)));
                    Done::Revoked { departure, result, debt }
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
                self.store_queue.push_back(Errand::Session(effect));
                self.next_store_job();
            }
        }
    }

    /// Starts the next piece of work on the store, when none is under way.
    pub(super) fn next_store_job(&mut self) {
        while self.store_job.is_none() {
            let Some(errand) = self.store_queue.pop_front() else { return };
            let vault = self.vault.clone();
            let reads = matches!(
                errand,
                Errand::ReadOwed | Errand::Session(Effect::Restore(_) | Effect::Look(_) | Effect::Check(_))
            );
            let work: BoxFuture<'static, Stored> = match errand {
                Errand::ReadOwed => Box::pin(async move { Stored::OwedRead(vault.owed().await) }),
                Errand::ChangeOwed(change) => {
                    Box::pin(async move { Stored::OwedChanged(vault.change_owed(change).await) })
                }
                Errand::Session(effect) => match effect {
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
                },
            };
            self.store_job = Some(StoreJob { reads, work });
        }
    }

    pub(super) fn stored(&mut self, stored: Stored) {
        self.store_job = None;
        match stored {
            Stored::Restored(ticket, found) => {
                let readable = found.is_ok();
                self.step(Event::Restored { ticket, found });
                if readable && !std::mem::replace(&mut self.owed_read, true) {
                    self.store_queue.push_back(Errand::ReadOwed);
                }
            }
            Stored::OwedRead(Ok(stored)) => self.owed.take_up(stored, Moment::now(&self.clock)),
            Stored::OwedRead(Err(error)) => tracing::info!(%error, "what is owed to the server could not be read"),
            Stored::OwedChanged(result) => {
                self.owed_changes = self.owed_changes.saturating_sub(1);
                if let Err(error) = result {
                    // It is kept in memory, and ends by itself.
                    tracing::info!(%error, "what is owed to the server could not be stored");
                }
            }
            Stored::Looked(ticket, looked, lock) => {
                self.lock = lock;
                self.step(Event::Looked { ticket, looked });
            }
            Stored::Checked(ticket, found) => self.step(Event::Checked { ticket, found }),
            Stored::Written(ticket, result) => self.step(Event::Written { ticket, result }),
            Stored::Removed(ticket, result) => {
                for departure in self.departures.iter_mut().filter(|departure| departure.ticket == ticket) {
                    departure.removed.get_or_insert_with(|| result.clone());
                }
                self.step(Event::Removed { ticket, result });
            }
        }
        self.next_store_job();
    }

    /// Tries again to end what a sign-out could not end.
    pub(super) fn repay(&mut self, now: Moment) {
        while self.jobs.len() < MAX_JOBS
            && let Some(debt) = self.owed.due(now)
        {
            let (gotrue, clock, id) = (self.gotrue.clone(), self.clock.clone(), debt.id());
            self.jobs.push(Box::pin(async move {
                let work = async {
                    match debt.proof {
                        Proof::Access(token) => gotrue.log_out(AccessToken::new(token, 0), Scope::Local).await,
                        Proof::Refresh(token) => revoke(&gotrue, None, &token, Scope::Local).await,
                    }
                };
                let result = clock.within(REVOKE_LIMIT, work).await.unwrap_or_else(|| Err(Error::new(TIMEOUT)));
                Done::Repaid { id, result }
            }));
        }
    }

    pub(super) fn change_owed(&mut self, change: Change) {
        self.owed_changes += 1;
        self.store_queue.push_back(Errand::ChangeOwed(change));
        self.next_store_job();
    }
}
