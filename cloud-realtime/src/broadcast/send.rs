//! One broadcast, and its way over the socket.
//!
//! Without an acknowledgement the server says nothing, not even to a failure; with one
//! ([`JoinConfig::acknowledge_broadcasts`](crate::join::JoinConfig::acknowledge_broadcasts)) it says yes, or
//! that the payload is too large, and stays silent when a policy forbids writing.
//! Source: Supabase Realtime, broadcast handler.
use cloud_client::Error;
use serde::Serialize;

use crate::{
    channel::Channel,
    codec::{Content, Reply, UserBroadcast},
    codes::{BROADCAST_REFUSED, BROADCAST_TOO_LARGE, PUSH_INVALID},
    message::Push,
};

/// A message to the other members. Cheap to build, goes by whichever way it is sent.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a broadcast goes nowhere until it is sent"]
pub struct Broadcast {
    pub(super) event: String,
    pub(super) content: Content<'static>,
}

impl Broadcast {
    /// `payload` as JSON, under the application's own event name.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when the value refuses to be JSON.
    pub fn json(event: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let content = Content::json(payload).map_err(|cause| Error::new(PUSH_INVALID).with_source(cause))?;
        Ok(Self { event: event.into(), content })
    }

    /// Bytes. Members on protocol 1.0.0 do not get them.
    pub fn binary(event: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { event: event.into(), content: Content::binary(bytes.into()) }
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Sends it over `channel` and returns when the socket has taken it. Whether anybody gets it is not known.
    ///
    /// # Errors
    ///
    /// As [`Channel::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Channel::send`].
    pub async fn send(self, channel: &Channel) -> Result<(), Error> {
        channel.send(self.into_push()).await
    }

    /// Sends it over `channel` and waits until the server says that it took it. The channel has to be joined with
    /// acknowledged broadcasts: without, and where a policy forbids writing, there is no answer.
    ///
    /// # Errors
    ///
    /// `realtime.broadcast_too_large`, `realtime.broadcast_refused`; else as [`Channel::push`], of which
    /// `realtime.push_timeout` is the one for no answer.
    ///
    /// # Cancel safety
    ///
    /// As [`Channel::push`].
    pub async fn send_acknowledged(self, channel: &Channel) -> Result<(), Error> {
        acknowledged(&channel.push(self.into_push()).await?)
    }

    fn into_push(self) -> Push {
        Push::user_broadcast(UserBroadcast::new(self.event, self.content))
    }
}

/// The server's word for a payload over its limit, alone or as `{"error": …}`.
const TOO_LARGE: &str = "payload_size_exceeded";

fn acknowledged(reply: &Reply<'_>) -> Result<(), Error> {
    if reply.is_ok() {
        return Ok(());
    }
    let response: serde_json::Value = reply.response.decode().unwrap_or_default();
    let said = ["error", "reason"].into_iter().find_map(|key| response.get(key)).unwrap_or(&response);
    Err(match said.as_str() {
        Some(TOO_LARGE) => Error::new(BROADCAST_TOO_LARGE),
        Some(words) => Error::new(BROADCAST_REFUSED).with_detail(words),
        None => Error::new(BROADCAST_REFUSED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_answer_is_yes_too_large_or_no() {
        let code = |status: &'static str, response: Value| {
            let reply = Reply::new(status, Content::json(&response).unwrap());
            acknowledged(&reply).map_err(|error| error.code())
        };
        assert_eq!(code("ok", json!({})), Ok(()));
        assert_eq!(code("ok", json!(null)), Ok(()));
        assert_eq!(code("error", json!("payload_size_exceeded")), Err(BROADCAST_TOO_LARGE));
        assert_eq!(code("error", json!({"error": "payload_size_exceeded"})), Err(BROADCAST_TOO_LARGE));
        assert_eq!(code("error", json!({"reason": "unmatched topic"})), Err(BROADCAST_REFUSED));
        for response in [json!({}), json!(null), json!([1]), json!({"error": 7})] {
            assert_eq!(code("error", response), Err(BROADCAST_REFUSED));
        }
    }
}
