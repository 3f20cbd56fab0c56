//! Tickets for sockets: good once, and not for long.
use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::secret;

/// Tickets that may wait; nobody gets one beyond that.
const MAX_WAITING: usize = 10_000;

/// The tickets that wait for their socket.
#[derive(Debug, Default)]
pub(super) struct Tickets(HashMap<String, Ticket>);

#[derive(Debug)]
struct Ticket {
    user: String,
    until: Instant,
}

impl Tickets {
    /// A ticket for `user`; `None` when too many wait.
    pub(super) fn mint(&mut self, user: String, lifetime: Duration, now: Instant) -> Option<String> {
        self.0.retain(|_, ticket| ticket.until > now);
        if self.0.len() >= MAX_WAITING {
            return None;
        }
        let text = secret();
        self.0.insert(text.clone(), Ticket { user, until: now + lifetime });
        Some(text)
    }

    /// Whose ticket it is. It is used up by this.
    pub(super) fn redeem(&mut self, text: &str, now: Instant) -> Option<String> {
        self.0.remove(text).filter(|ticket| ticket.until > now).map(|ticket| ticket.user)
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_and_until_its_end() {
        let mut tickets = Tickets::default();
        let (now, life) = (Instant::now(), Duration::from_secs(5));
        let mut mint = || tickets.mint("ada".into(), life, now).unwrap();
        let (used, late, lost) = (mint(), mint(), mint());
        assert_eq!(tickets.redeem(&used, now).as_deref(), Some("ada"));
        assert_eq!(tickets.redeem(&used, now), None);
        assert_eq!(tickets.redeem(&late, now + life), None);
        tickets.forget();
        assert_eq!(tickets.redeem(&lost, now), None);
    }
}
