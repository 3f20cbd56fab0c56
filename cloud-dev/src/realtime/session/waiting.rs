//! What a session does later: replies on their way, and subscriptions that do not work yet.
//!
//! [`Later`] with its time → [`Waiting`] → what is due. Both kinds are bounded: a reply beyond [`MAX`] goes out at once,
//! a channel has one subscription, and those of channels that are gone make room.
//! Wire source: the timers of `Phoenix.Channel.Server` and of Supabase Realtime's `RealtimeChannel`.

use tokio::time::Instant;

use super::super::wire::{self, Inbound, Outbound, Ref};

/// Things that may wait before replies go out at once and dead subscriptions are forgotten.
const MAX: usize = 10_000;

/// What is done later.
#[derive(Debug)]
pub(super) enum Later {
    Answer(Answer),
    Subscribe { topic: String, join_ref: Ref, announce: bool },
}

/// A reply on its way.
#[derive(Debug)]
pub(super) struct Answer {
    join_ref: Ref,
    reference: Ref,
    pub(super) topic: String,
    payload: String,
    /// The instance of the topic whose end is told behind this reply.
    pub(super) replaced: Option<Ref>,
}

impl Answer {
    /// `response` is JSON text.
    pub(super) fn new(message: &Inbound, join_ref: Ref, status: &str, response: &str) -> Self {
        let payload = format!(r#"{{"status":{},"response":{response}}}"#, wire::quoted(status));
        Self { join_ref, reference: message.reference.clone(), topic: message.topic.clone(), payload, replaced: None }
    }

    pub(super) fn outbound(&self) -> Outbound<'_> {
        let Self { join_ref, reference, topic, payload, .. } = self;
        Outbound { join_ref, reference, topic, event: "phx_reply", payload }
    }
}

/// Everything that waits in one session.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    things: Vec<(Instant, Later)>,
}

impl Waiting {
    /// When the first thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.things.iter().map(|(at, _)| *at).min()
    }

    /// Takes what is due, in the order in which it came.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Later> {
        self.things.extract_if(.., |(at, _)| *at <= now).map(|(_, what)| what).collect()
    }

    /// Makes `what` wait; a reply for which there is no room comes back. `lives` says whether a channel is still there.
    pub(super) fn add(
        &mut self,
        at: Instant,
        what: Later,
        mut lives: impl FnMut(&str, &Ref) -> bool,
    ) -> Option<Answer> {
        let is_full = self.things.len() >= MAX;
        match what {
            Later::Answer(answer) if is_full => return Some(answer),
            Later::Subscribe { topic: ref new, .. } => self.things.retain(|(_, other)| match other {
                Later::Subscribe { topic, join_ref, .. } => topic != new && (!is_full || lives(topic, join_ref)),
                Later::Answer(_) => true,
            }),
            Later::Answer(_) => {}
        }
        self.things.push((at, what));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(topic: &str, announce: bool) -> Later {
        Later::Subscribe { topic: topic.to_owned(), join_ref: Ref::Null, announce }
    }

    fn answer() -> Later {
        let (join_ref, reference) = (Ref::Null, Ref::Null);
        Later::Answer(Answer { join_ref, reference, topic: String::new(), payload: String::new(), replaced: None })
    }

    #[test]
    fn a_subscription_waits_behind_any_number_of_replies_and_a_reply_does_not() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        let alive = |topic: &str, _: &Ref| topic != "gone";
        assert!(waiting.add(now, subscribe("gone", true), alive).is_none());
        assert!(waiting.add(now, subscribe("kept", false), alive).is_none());
        for _ in 2..MAX {
            assert!(waiting.add(now, answer(), alive).is_none());
        }
        assert!(waiting.add(now, answer(), alive).is_some(), "it goes out at once");
        assert!(waiting.add(now, subscribe("new", true), alive).is_none());
        assert!(waiting.add(now, subscribe("kept", true), alive).is_none(), "one for each channel");
        let subscriptions: Vec<_> = waiting
            .due(now)
            .into_iter()
            .filter_map(|what| match what {
                Later::Subscribe { topic, announce, .. } => Some((topic, announce)),
                Later::Answer(_) => None,
            })
            .collect();
        assert_eq!(subscriptions, [("new".to_owned(), true), ("kept".to_owned(), true)]);
        assert_eq!(waiting.next(), None);
    }
}
