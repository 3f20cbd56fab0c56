//! What goes through a channel: a [`Push`] on its way to the server, a [`Message`] that came from it.
use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use cloud_client::Error;
use serde::Serialize;

use crate::{
    codec::{Content, Envelope, UserBroadcast},
    codes::PUSH_INVALID,
};

/// How long a push may wait for its channel and then for its answer, unless it says otherwise.
pub const PUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A message for the server. Cheap to build, sent by [`Channel::push`](crate::Channel::push) or
/// [`Channel::send`](crate::Channel::send).
#[derive(Clone, Debug)]
#[must_use = "a push goes nowhere until a channel sends it"]
pub struct Push {
    pub(crate) body: Body,
    pub(crate) within: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Plain { event: String, content: Content<'static> },
    Broadcast(UserBroadcast<'static>),
}

impl Push {
    /// `event` with this payload.
    pub fn new(event: impl Into<String>, content: Content<'static>) -> Self {
        Self { body: Body::Plain { event: event.into(), content }, within: PUSH_TIMEOUT }
    }

    /// `event` with `payload` as JSON.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when the value refuses to be JSON.
    pub fn json(event: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let content = Content::json(payload).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        Ok(Self::new(event, content))
    }

    /// `event` with bytes. Protocol 2.0.0 only.
    pub fn binary(event: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        let bytes: Bytes = payload.into();
        Self::new(event, Content::binary(Vec::from(bytes)))
    }

    /// A broadcast to the other members, in the application's own words.
    pub fn user_broadcast(broadcast: UserBroadcast<'static>) -> Self {
        Self { body: Body::Broadcast(broadcast), within: PUSH_TIMEOUT }
    }

    /// Limits the wait for the channel and for the answer, together. Default: 10 s.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match &self.body {
            Body::Plain { content, .. } => content.size_bytes(),
            Body::Broadcast(broadcast) => broadcast.content.size_bytes(),
        }
    }

    pub(crate) fn into_envelope(self, topic: String) -> Envelope<'static> {
        match self.body {
            Body::Plain { event, content } => Envelope::new(topic, event, content),
            Body::Broadcast(broadcast) => Envelope::new_broadcast(topic, broadcast),
        }
    }
}

/// A message from the server, its payload still as it came. Cheap to clone.
#[derive(Clone)]
pub struct Message(Arc<Envelope<'static>>);

impl Message {
    pub(crate) fn new(envelope: Envelope<'_>) -> Self {
        Self(Arc::new(envelope.into_owned()))
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        self.0.event()
    }

    /// The whole message: decode it, or look at it as a broadcast.
    pub fn envelope(&self) -> &Envelope<'static> {
        &self.0
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
