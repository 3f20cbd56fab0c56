//! What is kept beside the tokens: the user's context, and writing the record again after a failure.
use std::{sync::Arc, time::Duration};

use cloud_client::{Error, ErrorKind};

use super::{
    Machine,
    model::{Effect, Flight, How, Live, Pause, Turn, Wrote},
};
use crate::{
    context::{OrganizationId, UserContext},
    events::AuthChange,
    session::record::Record,
    status::User,
};

impl Machine {
    pub(super) fn want_context(&mut self, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        let loadable = live.access.as_ref().is_some_and(|access| access.is_alive(turn.now));
        let Some(pause) = live.context_wanted.as_mut().filter(|pause| loadable && turn.has_come(pause.at)) else {
            return;
        };
        // Until the answer, which always comes: the call is bounded.
        pause.at = Duration::MAX;
        turn.effects.push(Effect::LoadContext { session: live.floor });
    }

    pub(super) fn context_loaded(&mut self, session: u64, result: Result<UserContext, Error>, turn: &mut Turn) {
        let Some(live) = self.live().filter(|live| live.floor == session) else { return };
        match result {
            Ok(context) => {
                live.context_wanted = None;
                self.change_context(|former| Some(context.keeping_choice(former)), turn);
            }
            // A cloud without these tables is no reason to ask for ever.
            Err(error) if error.kind() == ErrorKind::Incompatible => live.context_wanted = None,
            Err(_) => {
                let failures = live.context_wanted.as_ref().map_or(0, |pause| pause.failures);
                live.context_wanted = Some(turn.pause(failures));
            }
        }
    }

    /// The server described the user; only a difference is told, and kept for the next start.
    pub(super) fn user_loaded(&mut self, user: User, turn: &mut Turn) {
        let Some(live) = self.live().filter(|live| live.user.id == user.id) else { return };
        live.described = !live.is_idle();
        if live.user == user {
            return;
        }
        let known = live.user.is_as(&user);
        live.user = user.clone();
        if known {
            // Only the metadata are there again.
            return;
        }
        live.touched = true;
        live.unsaved = live.unsaved.take().or(Some(Pause { failures: 0, at: turn.now.monotonic }));
        turn.emit(AuthChange::UserUpdated { user });
        self.save(turn);
    }

    pub(super) fn chosen(&mut self, id: &OrganizationId, turn: &mut Turn) {
        self.change_context(|former| former.and_then(|context| context.choosing(id)), turn);
    }

    pub(super) fn change_context(
        &mut self,
        change: impl FnOnce(Option<&UserContext>) -> Option<UserContext>,
        turn: &mut Turn,
    ) {
        let Some(live) = self.live() else { return };
        let Some(context) = change(live.context.as_deref()) else { return };
        if live.context.as_deref() == Some(&context) {
            return;
        }
        (live.context, live.touched) = (Some(Arc::new(context)), true);
        live.unsaved = live.unsaved.take().or(Some(Pause { failures: 0, at: turn.now.monotonic }));
        turn.emit(AuthChange::ContextChanged);
        self.save(turn);
    }

    /// Writes the record when that is due and nothing else is under way.
    pub(super) fn save(&mut self, turn: &mut Turn) {
        let due = |live: &&mut Live| live.unsaved.as_ref().is_some_and(|pause| turn.has_come(pause.at));
        if self.live().filter(|live| matches!(live.flight, Flight::Idle)).filter(due).is_none() {
            return;
        }
        let ticket = self.ticket();
        if let Some(live) = self.live() {
            (live.flight, live.touched) = (Flight::Saving(ticket), false);
            let (refresh, user, context) = (live.refresh.clone(), live.user.clone(), live.context.clone());
            let record = Record { refresh, user, context };
            turn.effects.push(Effect::Write { ticket, record, how: How::Over(live.stored.clone()) });
        }
    }

    pub(super) fn saved(&mut self, result: Result<Wrote, Error>, turn: &mut Turn) {
        let Some(live) = self.live() else { return };
        live.flight = Flight::Idle;
        let failure = match result {
            Ok(Wrote::Ours) => {
                live.is_stored(turn);
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
            Some(error) => {
                self.degrade(&error, turn);
                // With the store a token behind, another step could leave it two behind (A3).
                self.refuse_wish(error, turn);
            }
            None => self.recover(turn),
        }
        if asked {
            self.begin(turn);
        }
    }
}
