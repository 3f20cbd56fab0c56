//! Going on where one was, on servers that keep a buffer and replay from a cursor: a pure core beside a channel.
//!
//! ```text
//! message ─► Resume::hear(id, cursor, audience) ─► Deliver | Repeat | OtherAudience
//! the application has stored it ─► Resume::applied(cursor) ─► the cursor of the next join
//! ```
//! The position moves only after the application has applied what came, so a crash repeats and never loses; repeats are
//! known by their ids. What is for another organisation or conversation is dropped, though the server should not have
//! sent it. Where names go on the wire is the server's business: the host reads them from a message and puts
//! [`Resume::cursor`] into the next join with [`Channel::configure_params`](crate::Channel::configure_params).
use std::collections::{HashSet, VecDeque};

/// Ids that are remembered, newest last. A replay that reaches further back is told apart by the host's own store.
pub const MAX_REMEMBERED: usize = 4_096;

/// Where a subscription is, and what it has heard.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    cursor: Option<String>,
    audience: Option<Audience>,
    order: VecDeque<String>,
    heard: HashSet<String>,
}

/// For whom messages are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audience {
    /// The organisation; `None` leaves it open.
    pub organization: Option<String>,
    /// The conversation; `None` leaves it open.
    pub conversation: Option<String>,
}

impl Audience {
    /// Everything of one organisation.
    pub fn organization(id: impl Into<String>) -> Self {
        Self { organization: Some(id.into()), conversation: None }
    }

    /// Only this conversation of it.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation = Some(id.into());
        self
    }

    fn takes(&self, other: &Self) -> bool {
        let fits = |wanted: &Option<String>, said: &Option<String>| wanted.is_none() || wanted == said;
        fits(&self.organization, &other.organization) && fits(&self.conversation, &other.conversation)
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a message is new, known, or somebody else's")]
pub enum Hearing {
    /// It is new.
    Deliver,
    /// It was heard before.
    Repeat,
    /// It is for others.
    OtherAudience,
}

impl Resume {
    /// From `cursor` on, or from now where there is none.
    pub fn from(cursor: Option<String>) -> Self {
        Self { cursor, ..Self::default() }
    }

    /// Takes only what is for `audience`. Default: everything.
    #[must_use]
    pub fn audience(mut self, audience: Audience) -> Self {
        self.audience = Some(audience);
        self
    }

    /// What the next join asks for: everything after this.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Judges a message by its id, where it has one, and its audience.
    pub fn hear(&mut self, id: Option<&str>, audience: &Audience) -> Hearing {
        if self.audience.as_ref().is_some_and(|wanted| !wanted.takes(audience)) {
            return Hearing::OtherAudience;
        }
        let Some(id) = id else { return Hearing::Deliver };
        if !self.heard.insert(id.to_owned()) {
            return Hearing::Repeat;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.heard.remove(&oldest);
        }
        Hearing::Deliver
    }

    /// The application has applied, durably, everything up to `cursor`.
    pub fn applied(&mut self, cursor: impl Into<String>) {
        self.cursor = Some(cursor.into());
    }

    /// The server no longer has what comes after the cursor, or the audience is another: the host has read everything
    /// over HTTP, and it goes on from `cursor`.
    pub fn start_over(&mut self, cursor: Option<String>) {
        (self.cursor, self.order, self.heard) = (cursor, VecDeque::new(), HashSet::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anyone() -> Audience {
        Audience::default()
    }

    #[test]
    fn a_crash_between_hearing_and_applying_repeats_and_loses_nothing() {
        let log: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        for crash in 0..log.len() {
            let mut stored: Vec<String> = Vec::new();
            let mut resume = Resume::from(None);
            for id in log.iter().take(crash + 1) {
                assert_eq!(resume.hear(Some(id), &anyone()), Hearing::Deliver);
                if stored.len() < crash {
                    stored.push(id.clone());
                    resume.applied(id.clone());
                }
            }
            // The process dies with the last one heard and not stored; the server replays from the stored cursor.
            let mut resume = Resume::from(stored.last().cloned());
            let from = resume.cursor().map_or(0, |cursor| cursor.parse::<usize>().unwrap() + 1);
            for id in log.iter().skip(from) {
                if resume.hear(Some(id), &anyone()) == Hearing::Deliver {
                    stored.push(id.clone());
                    resume.applied(id.clone());
                }
            }
            assert_eq!(stored, log, "crash at {crash}");
        }
    }

    #[test]
    fn repeats_around_the_boundary_are_known_and_memory_is_bounded() {
        let mut resume = Resume::from(Some("5".into()));
        assert_eq!(resume.hear(Some("6"), &anyone()), Hearing::Deliver);
        assert_eq!(resume.hear(Some("6"), &anyone()), Hearing::Repeat);
        assert_eq!(resume.hear(None, &anyone()), Hearing::Deliver);
        assert_eq!(resume.cursor(), Some("5"), "heard is not applied");
        for n in 0..2 * MAX_REMEMBERED {
            resume.hear(Some(&format!("n{n}")), &anyone());
        }
        assert_eq!((resume.heard.len(), resume.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        resume.start_over(Some("900".into()));
        assert_eq!(resume.hear(Some("6"), &anyone()), Hearing::Deliver);
        assert_eq!(resume.cursor(), Some("900"));
    }

    #[test]
    fn what_is_for_others_is_dropped_and_not_remembered() {
        let mut resume = Resume::from(None).audience(Audience::organization("o1").conversation("c1"));
        let to = |organization: &str| Audience::organization(organization);
        for (audience, hearing) in [
            (to("o2").conversation("c1"), Hearing::OtherAudience),
            (to("o1").conversation("c2"), Hearing::OtherAudience),
            (to("o1"), Hearing::OtherAudience),
            (anyone(), Hearing::OtherAudience),
            (to("o1").conversation("c1"), Hearing::Deliver),
        ] {
            assert_eq!(resume.hear(Some("id"), &audience), hearing, "{audience:?}");
        }
    }
}
