//! A better session in place of the present one: after a second factor, or with another service linked to the user.
//!
//! It is won in a flight of its own, under the store's lock, as a refresh is: no refresh of this or another process can
//! be on its way at the same time, and the token that comes back is stored before it is shown (A2, A3). It begins only
//! when the store holds the present token, so that the stored one is never two behind.
use cloud_client::{AccessToken, Error, error::codes::TOKEN_REFUSED};

use super::{
    Machine,
    model::{Effect, Flight, Fresh, Live, Pause, Ticket, Turn, Wish},
};
use crate::{
    codes::{BUSY, NOT_SIGNED_IN, SESSION_OVER},
    passages::Scope,
    session::record::same,
};

impl Machine {
    /// Somebody wants a better session; it begins at the end of this step, or when the present flight has landed.
    pub(super) fn wish(&mut self, entry: u64, turn: &mut Turn) {
        let code = match self.live() {
            Some(live) if live.wish.is_none() => {
                live.wish = Some(Wish { entry, sent: false });
                return;
            }
            Some(_) => BUSY,
            None => NOT_SIGNED_IN,
        };
        turn.effects.push(Effect::Refuse { entry, error: Error::new(code) });
    }

    /// Begins the wished flight when nothing else is under way.
    pub(super) fn pursue(&mut self, turn: &mut Turn) {
        let Some(live) = self.live().filter(|live| live.is_idle() && live.wish.is_some()) else { return };
        if live.stored.as_ref().is_some_and(|stored| same(stored, &live.refresh)) {
            return self.begin_now(turn);
        }
        let failures = live.unsaved.as_ref().map_or(0, |pause| pause.failures);
        live.unsaved = Some(Pause { failures, at: turn.now.monotonic });
        self.save(turn);
    }

    /// The lock is held: shows the present token for a better one. `false` when a refresh has to come first, or nobody
    /// wished for it.
    pub(super) fn send_wish(&mut self, turn: &mut Turn) -> bool {
        let ticket = self.ticket();
        let Some(live) = self.live().filter(|live| live.adopted.is_none()) else { return false };
        let alive = live.access.as_ref().filter(|access| access.is_alive(turn.now));
        let (Some(wish), Some(access)) = (&mut live.wish, alive) else { return false };
        wish.sent = true;
        let (entry, access) = (wish.entry, access.token.clone());
        live.flight = Flight::Upgrading(ticket);
        turn.effects.push(Effect::Upgrade { ticket, entry, access });
        true
    }

    fn is_upgrading(&mut self, ticket: Ticket) -> Option<&mut Live> {
        self.live().filter(|live| matches!(live.flight, Flight::Upgrading(awaited) if awaited == ticket))
    }

    pub(super) fn upgraded(&mut self, ticket: Ticket, fresh: Fresh, turn: &mut Turn) {
        if self.is_upgrading(ticket).is_some() {
            return self.store(fresh, turn);
        }
        // Somebody signed out or in meanwhile (A7): end at the server what nobody will use.
        let (access, left) = (Some(AccessToken::new(fresh.access, 0)), fresh.lifetime);
        turn.effects.push(Effect::Revoke { access, refresh: fresh.refresh, scope: Scope::Local, left });
    }

    /// The session stays as it is.
    pub(super) fn not_upgraded(&mut self, ticket: Ticket, error: Error, turn: &mut Turn) {
        let Some(live) = self.is_upgrading(ticket) else { return };
        live.flight = Flight::Idle;
        turn.effects.push(Effect::Unlock);
        let doubtful = [SESSION_OVER, TOKEN_REFUSED].contains(&error.code());
        self.refuse_wish(error, turn);
        if doubtful {
            // Only a refresh finds out whether the session has ended (A6).
            self.begin(turn);
        }
    }

    /// Gives the wish up.
    pub(super) fn refuse_wish(&mut self, error: Error, turn: &mut Turn) {
        if let Some(Wish { entry, .. }) = self.live().and_then(|live| live.wish.take()) {
            turn.effects.push(Effect::Refuse { entry, error });
        }
    }
}
