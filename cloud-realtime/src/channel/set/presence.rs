//! What the server shows of this member: told after each join before everything else, then kept in step (R11).
//!
//! [`OwnPresence`] knows what to tell and when. One call is out at a time; its answer is matched by ref like that of any
//! push, and one that stays out is made good later. After a break the next join tells it anew, so nothing waits here
//! between two instances.
use std::time::Duration;

use cloud_client::Error;

use super::{ChannelSet, Core, Effect, Phase};
use crate::{
    codec::{Envelope, Reply},
    codes::{PRESENCE_REFUSED, PUSH_TIMEOUT as NO_ANSWER},
    connection::Now,
    event,
    message::PUSH_TIMEOUT,
    presence::{Next, OwnPresence, ShownAs},
    refs::Ref,
};

/// The server's word for a presence that it closes the channel over.
const TOO_LARGE: &str = "Track message size exceeded";

/// The own presence on one channel.
#[derive(Debug, Default)]
pub(super) struct Telling {
    own: OwnPresence,
    /// The call that is out, and until when it is waited for.
    asked: Option<(Ref, Duration)>,
}

impl Telling {
    /// When there is something to do on a joined channel.
    pub(super) fn due(&self) -> Option<Duration> {
        self.asked.map_or_else(|| self.own.due(), |(_, until)| Some(until))
    }

    /// The server knows nothing of this member.
    pub(super) fn joined(&mut self) {
        self.own.joined();
        self.asked = None;
    }
}

impl ChannelSet {
    /// Wants this to be shown from now on.
    pub(crate) fn show(&mut self, id: u64, wish: ShownAs, now: Now<'_>, out: &mut Vec<Effect>) {
        let Some(core) = self.channels.get_mut(&id) else { return };
        // A wish that is no object was refused before it came here.
        if wish.is_none_or(|raw| core.telling.own.want(&raw).is_err()) {
            core.telling.own.unwant();
        }
        core.tell_own(now, out);
    }

    /// Whether this answers a call, and what follows from that.
    pub(super) fn presence_answered(
        &mut self,
        of: Ref,
        reply: &Reply<'_>,
        now: Now<'_>,
        out: &mut Vec<Effect>,
    ) -> bool {
        let asked = |core: &Core| core.telling.asked.is_some_and(|(reference, _)| reference == of);
        let Some((&id, core)) = self.channels.iter_mut().find(|(_, core)| asked(core)) else { return false };
        core.telling.asked = None;
        let refusal = (!reply.is_ok()).then(|| Error::new(PRESENCE_REFUSED));
        out.push(Effect::Shown { id, refusal });
        core.tell_own(now, out);
        true
    }

    /// Calls without an answer, and those whose time has come.
    pub(super) fn tell_presence(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        for (&id, core) in &mut self.channels {
            if matches!(core.phase, Phase::Joined { .. }) && core.telling.due().is_some_and(|due| due <= now.at) {
                if core.telling.asked.take().is_some() {
                    core.telling.own.failed(now.at);
                    out.push(Effect::Shown { id, refusal: Some(Error::new(NO_ANSWER)) });
                }
                core.tell_own(now, out);
            }
        }
    }

    /// The server is about to close the channel with these words: if they are about what was told, that is not told again.
    pub(super) fn blame_presence(&mut self, id: u64, words: &str, out: &mut Vec<Effect>) {
        if words.contains(TOO_LARGE)
            && let Some(core) = self.channels.get_mut(&id)
        {
            core.telling.own.too_large();
            out.push(Effect::Shown { id, refusal: Some(Error::new(PRESENCE_REFUSED).with_detail(words)) });
        }
    }
}

impl Core {
    pub(super) fn tell_own(&mut self, now: Now<'_>, out: &mut Vec<Effect>) {
        let Phase::Joined { join_ref, .. } = self.phase else { return };
        if self.telling.asked.is_some() {
            return;
        }
        let Next::Send(call) = self.telling.own.next(now.at) else { return };
        let Ok(payload) = call.payload() else { return };
        let reference = now.refs.next();
        self.telling.asked = Some((reference, now.at + PUSH_TIMEOUT));
        let envelope = Envelope::new(self.topic.as_str().to_owned(), event::PRESENCE, payload);
        out.push(Effect::Send { envelope: envelope.with_ref(reference).with_join_ref(join_ref), push: None });
    }
}
