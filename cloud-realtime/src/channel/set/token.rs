//! Which token counts: asked for before every join and every half minute, pushed when it is another (R7).
//!
//! One question is out at a time, so an older answer cannot overtake a newer. A token of the same user replaces the old
//! one on each joined channel; another user, or none, makes every channel that joined with a token be left and joined
//! anew, so that nothing flows on with rights of the one who left.
use std::time::Duration;

use cloud_client::Error;

use super::{ChannelSet, Core, Effect, Phase, join::pause};
use crate::{channel::ChannelEvent, codes::CHANNEL_UNAUTHENTICATED, connection::Now};

/// Between two looks at the token while channels use it. Sources renew a token earlier than this before its end.
const LOOK: Duration = Duration::from_secs(30);

/// One token, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Which one of the session.
    pub(crate) generation: u64,
    /// Whose, as a hash; `None` when the token does not say.
    pub(crate) subject: Option<u64>,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    current: Option<Token>,
    question: Option<Question>,
    again: bool,
    looked: Duration,
}

/// The question that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Which token counts now?
    Now,
    /// Another one than this, which was refused.
    Another(u64),
}

impl Known {
    pub(super) const fn current(&self) -> Option<Token> {
        self.current
    }

    pub(super) const fn is_asked(&self) -> bool {
        self.question.is_some()
    }
}

impl ChannelSet {
    pub(super) fn ask_token(&mut self, out: &mut Vec<Effect>) {
        if self.token.question.is_none() {
            self.token.question = Some(Question::Now);
            out.push(Effect::AskToken);
        }
    }

    /// The host says that the session may be another.
    pub(crate) fn look_at_token(&mut self, out: &mut Vec<Effect>) {
        if self.token.is_asked() {
            self.token.again = true;
        } else if !self.channels.is_empty() {
            self.ask_token(out);
        }
    }

    pub(super) fn token_due(&self) -> Option<Duration> {
        let used = self.open && !self.token.is_asked() && self.channels.values().any(|core| core.params.takes_token());
        used.then(|| self.token.looked + LOOK)
    }

    pub(super) fn check_token(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        let refused = |core: &Core| match core.phase {
            Phase::Renewing { token, until } if until <= now.at => Some(token),
            _ => None,
        };
        let refused = self.channels.values().find_map(refused);
        match refused.filter(|_| !self.token.is_asked()) {
            Some(generation) => {
                self.token.question = Some(Question::Another(generation));
                out.push(Effect::RenewToken { generation });
            }
            None if self.token_due().is_some_and(|due| due <= now.at) => self.ask_token(out),
            None => {}
        }
    }

    /// The answer to the question: a token, nobody signed in, or no answer at the moment.
    pub(crate) fn token(&mut self, answer: Result<Option<Token>, ()>, now: Now<'_>, out: &mut Vec<Effect>) {
        self.token.looked = now.at;
        let asked = self.token.question.take();
        match answer {
            Ok(token) => self.now_is(token, asked, now, out),
            Err(()) => self.no_answer(asked, now),
        }
        if std::mem::take(&mut self.token.again) {
            self.ask_token(out);
        }
        self.tick(now, out);
    }

    fn now_is(&mut self, token: Option<Token>, asked: Option<Question>, now: Now<'_>, out: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.token.current, token);
        let generation = token.map(|token| token.generation);
        let ids: Vec<u64> = self.channels.keys().copied().collect();
        for id in ids {
            let Some(core) = self.channels.get_mut(&id).filter(|core| core.params.takes_token()) else { continue };
            match core.phase {
                Phase::Waiting { .. } | Phase::Asking | Phase::Renewing { .. } | Phase::Refused { token: Some(_) }
                    if token.is_none() && before.is_some() && core.params.is_private() =>
                {
                    self.shut_out(id, token, out);
                }
                Phase::Asking => self.join(id, now, out),
                Phase::Joined { .. } | Phase::Joining { .. } if other_user(core.joined_as, token) => {
                    self.rejoin(id, now, out);
                    self.shut_out(id, token, out);
                }
                Phase::Joined { join_ref, .. } if core.joined_as != token => {
                    core.joined_as = token;
                    out.push(Effect::SendToken { id, join_ref, reference: now.refs.next() });
                }
                Phase::Refused { token: refused } if refused != generation => core.wait(now.at),
                Phase::Renewing { token: refused, .. } if generation != Some(refused) => core.wait(now.at),
                // There is no other: that is all that can be done here.
                Phase::Renewing { token: refused, .. } if asked == Some(Question::Another(refused)) => {
                    core.phase = Phase::Refused { token: generation };
                    out.push(Effect::Tell { id, event: ChannelEvent::Refused(Error::new(CHANNEL_UNAUTHENTICATED)) });
                }
                _ => {}
            }
        }
        if before != token {
            tracing::debug!(signed_in = token.is_some(), "the live connection has another token");
        }
    }

    /// A private channel is nobody's without a session.
    fn shut_out(&mut self, id: u64, token: Option<Token>, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id) else { return };
        if token.is_none() && core.params.is_private() {
            core.phase = Phase::Refused { token: None };
            out.push(Effect::Tell { id, event: ChannelEvent::Refused(Error::new(CHANNEL_UNAUTHENTICATED)) });
        }
    }

    fn no_answer(&mut self, asked: Option<Question>, now: Now<'_>) {
        for core in self.channels.values_mut() {
            match core.phase {
                Phase::Asking => {
                    core.failures = core.failures.saturating_add(1);
                    core.wait(now.at + pause(core.failures, now));
                }
                // The refused token would only be refused again: it is the question that is asked anew.
                Phase::Renewing { token, .. } if asked == Some(Question::Another(token)) => {
                    core.failures = core.failures.saturating_add(1);
                    core.phase = Phase::Renewing { token, until: now.at + pause(core.failures, now) };
                }
                _ => {}
            }
        }
    }
}

/// Whether what was joined with `before` must not go on with `now`. From nobody to somebody is no change of user.
fn other_user(before: Option<Token>, now: Option<Token>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.subject != now.subject,
        (Some(_), None) => true,
        (None, _) => false,
    }
}
