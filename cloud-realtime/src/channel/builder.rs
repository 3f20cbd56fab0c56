//! What a channel asks for when it joins.
use std::sync::{Arc, atomic::AtomicBool};

use cloud_client::{Error, error::codes::CLOSED};
use tokio::sync::{oneshot, watch};

use super::{Channel, Events, Listeners, Shared, command::Command};
use crate::{
    codec::Content, join::JoinConfig, presence::Shown, realtime::Realtime, status::ChannelState, topic::Topic,
};

/// A channel that is not open yet.
#[derive(Debug)]
#[must_use = "nothing is joined before `open`"]
pub struct ChannelBuilder {
    realtime: Realtime,
    topic: Topic,
    params: Params,
}

/// The payload of the join.
#[derive(Clone, Debug)]
pub(crate) enum Params {
    /// Supabase: the configuration, and the session's token beside it.
    Supabase(JoinConfig),
    /// Plain Phoenix: as it is, without a token.
    Plain(Content<'static>),
}

impl Params {
    /// Whether the server says by a message of its own when everything flows (R3).
    pub(crate) fn waits_for_database(&self) -> bool {
        matches!(self, Self::Supabase(config) if !config.requested_changes().is_empty())
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Supabase(config) if config.is_private())
    }

    /// Whether who is there may be told. What a plain server tells is not known before.
    pub(crate) fn has_presence(&self) -> bool {
        !matches!(self, Self::Supabase(config) if !config.wants_presence())
    }

    pub(crate) fn takes_token(&self) -> bool {
        matches!(self, Self::Supabase(_))
    }
}

impl ChannelBuilder {
    pub(crate) fn new(realtime: Realtime, topic: Topic) -> Self {
        Self { realtime, topic, params: Params::Supabase(JoinConfig::new()) }
    }

    /// Asks for this. Default: a public channel that asks for nothing, which still carries broadcasts.
    pub fn config(mut self, config: JoinConfig) -> Self {
        self.params = Params::Supabase(config);
        self
    }

    /// Joins a channel of a plain Phoenix server with this payload. No token is put into it.
    pub fn params(mut self, payload: Content<'static>) -> Self {
        self.params = Params::Plain(payload);
        self
    }

    /// Wants the channel from now on. Returns without waiting for the network: see [`Channel::watch_state`].
    ///
    /// # Errors
    ///
    /// `realtime.topic_taken` when there is a channel for this topic, `realtime.too_many_channels`, `client.closed`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call wants nothing.
    pub async fn open(self) -> Result<Channel, Error> {
        Ok(self.listen().await?.0)
    }

    /// As [`Self::open`], with a listener from before the join: it hears what the server tells once and right after it,
    /// such as who is there.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`Self::open`].
    pub async fn listen(self) -> Result<(Channel, Events), Error> {
        let shared = Arc::new(Shared {
            id: self.realtime.next_channel(),
            topic: self.topic,
            listeners: Listeners::default(),
            state: watch::Sender::new(ChannelState::Waiting),
            abandoned: AtomicBool::new(false),
            shown: Shown::default(),
        });
        let channel = Channel::new(Arc::clone(&shared), self.realtime.clone());
        let events = channel.events();
        let (taken, answer) = oneshot::channel();
        let open = Command::Open { shared, params: self.params, taken };
        self.realtime.commands().send(open).await.map_err(|_| Error::new(CLOSED))?;
        answer.await.map_err(|_| Error::new(CLOSED))??;
        Ok((channel, events))
    }
}
