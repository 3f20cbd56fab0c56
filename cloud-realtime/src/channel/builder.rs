//! What a channel asks for when it joins.
use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use cloud_client::{Error, error::codes::CLOSED};
use tokio::sync::{oneshot, watch};

use super::{Channel, Events, Listeners, Shared, command::Command};
use crate::{
    codec::Content, join::JoinConfig, presence::Shown, realtime::Realtime, status::ChannelState, topic::Topic,
};

/// A channel that is not open yet.
#[derive(Clone, Debug)]
#[must_use = "nothing is joined before `open`"]
pub struct ChannelBuilder {
    realtime: Realtime,
    topic: Topic,
    params: Params,
}

/// The payload of the join.
#[derive(Clone)]
pub(crate) enum Params {
    /// Supabase: the configuration, and the session's token beside it.
    Supabase(JoinConfig),
    /// Plain Phoenix: as it is, without a token.
    Plain(Content<'static>),
    /// The same, made anew for every join.
    Made(Arc<dyn Fn() -> Content<'static> + Send + Sync>),
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Supabase(config) => f.debug_tuple("Supabase").field(config).finish(),
            Self::Plain(payload) => f.debug_tuple("Plain").field(payload).finish(),
            Self::Made(_) => f.write_str("Made"),
        }
    }
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

    /// As [`Self::params`], with a payload that is made anew for every join, such as one that asks for what comes after
    /// the present position. `make` runs in the task of the connection: it must not block.
    pub fn params_with(mut self, make: impl Fn() -> Content<'static> + Send + Sync + 'static) -> Self {
        self.params = Params::Made(Arc::new(make));
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
