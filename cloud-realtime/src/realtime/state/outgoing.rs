//! Messages of the connection's own making on their way into the outbox: joins, tokens, and whatever was pushed.
use cloud_client::Error;
use secrecy::ExposeSecret as _;

use super::{Live, Out};
use crate::{
    channel::Params,
    codec::{Content, Envelope, Sender},
    codes::PUSH_INVALID,
    event,
    join::JoinPayload,
    refs::Ref,
};

impl Live {
    /// Builds the join from the wish and the newest token (R2).
    pub(super) fn join(&mut self, id: u64, join_ref: Ref) {
        let Some((topic, params)) = self.set.params(id) else { return };
        let payload = match (params, &self.token) {
            (Params::Plain(payload), _) => Ok(payload.clone()),
            (Params::Made(make), _) => Ok(make()),
            (Params::Supabase(config), Some(token)) => JoinPayload::new(config).access_token(&token.secret).expose(),
            (Params::Supabase(config), None) => JoinPayload::new(config).expose(),
        };
        let Ok(payload) = payload else { return };
        let envelope = Envelope::new(topic.as_str().to_owned(), event::JOIN, payload);
        self.send(&envelope.with_ref(join_ref).with_join_ref(join_ref), None);
    }

    pub(super) fn send_token(&mut self, id: u64, join_ref: Ref, reference: Ref) {
        let (Some((topic, _)), Some(token)) = (self.set.params(id), &self.token) else { return };
        let payload = std::collections::BTreeMap::from([("access_token", token.secret.expose_secret())]);
        let Ok(payload) = Content::json(&payload) else { return };
        let envelope = Envelope::new(topic.as_str().to_owned(), event::ACCESS_TOKEN, payload);
        self.send(&envelope.with_ref(reference).with_join_ref(join_ref), None);
    }

    pub(super) fn send(&mut self, envelope: &Envelope<'_>, push: Option<u64>) {
        match self.codec.encode(Sender::Client, envelope) {
            Ok(frame) => self.outbox.push_back(Out::Frame(frame)),
            Err(error) => {
                tracing::debug!(%error, event = envelope.event(), "a message cannot be sent");
                let Some(push) = push else { return };
                self.set.not_sent(push);
                self.set_moved = true;
                if let Some(waiter) = self.waiters.remove(&push) {
                    waiter.fail(Error::new(PUSH_INVALID).with_source(error));
                }
            }
        }
    }
}
