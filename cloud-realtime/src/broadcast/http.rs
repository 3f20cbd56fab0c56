//! Broadcasts over HTTP, for who has no channel: one, or many to several topics at once.
//!
//! JSON or bytes → `POST /realtime/v1/api/broadcast/{topic}/events/{event}`; many →
//! `POST /realtime/v1/api/broadcast`. Never a silent stand-in for the socket: order and failures differ.
//! A batch says yes (202) also to private messages that a policy then drops; the single call says no. Sent
//! once: a lost answer leaves open whether it was heard, and hearing twice is the listener's trouble.
//! Source: Supabase Realtime, `/api/broadcast`.
use std::borrow::Cow;

use cloud_client::{Client, Error, call::Call, error::Service};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Broadcast;
use crate::{codec::Content, codes::PUSH_INVALID, topic::Topic};

/// Most broadcasts in one call of [`HttpBroadcasts::send_all`].
pub const MAX_BATCH: usize = 100;

/// Sends broadcasts over HTTP as the user who is signed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpBroadcasts {
    client: Client,
    private: bool,
}

#[derive(Serialize)]
struct Batch<'a> {
    messages: Vec<Wire<'a>>,
}

#[derive(Serialize)]
struct Wire<'a> {
    topic: &'a str,
    event: &'a str,
    payload: &'a RawValue,
    private: bool,
}

impl HttpBroadcasts {
    /// To public channels.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), private: false }
    }

    /// To the private channels of these names instead, which are other rooms.
    #[must_use]
    pub const fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Sends one. A server from before the call for one message gets a batch of one, if it is JSON.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when the topic has no `realtime:` name. Then what the server says: not signed in, no
    /// right to write, too large, too many.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have been sent.
    pub async fn send(&self, topic: &Topic, broadcast: &Broadcast) -> Result<(), Error> {
        let mut call = Call::new(Service::Realtime, Method::POST).segment("api").segment("broadcast");
        call = call.value_segment("topic", name(topic)?).segment("events").value_segment("event", broadcast.event());
        if self.private {
            call = call.query("private", "true");
        }
        call = match &broadcast.content {
            Content::Json(raw) => call.json(raw)?,
            Content::Binary(bytes) => call.bytes(bytes.to_vec()),
        };
        match self.client.send(call).await {
            Ok(_) => Ok(()),
            Err(error) if is_unknown_call(&error) && matches!(broadcast.content, Content::Json(_)) => {
                self.send_all([(topic, broadcast)]).await
            }
            Err(error) => Err(error),
        }
    }

    /// Sends up to [`MAX_BATCH`] JSON broadcasts, all or none as far as their form goes. Private ones that a policy
    /// forbids are dropped without a word.
    ///
    /// # Errors
    ///
    /// `realtime.push_invalid` when there are too many, one is bytes, or a topic has no `realtime:` name. Then what the
    /// server says.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may or may not have been sent.
    pub async fn send_all<'a>(
        &self,
        broadcasts: impl IntoIterator<Item = (&'a Topic, &'a Broadcast)>,
    ) -> Result<(), Error> {
        let messages: Vec<Wire<'_>> =
            broadcasts.into_iter().map(|(topic, broadcast)| self.wire(topic, broadcast)).collect::<Result<_, _>>()?;
        match messages.len() {
            0 => return Ok(()),
            1..=MAX_BATCH => {}
            _ => return Err(invalid("a batch holds at most 100 broadcasts")),
        }
        let call = Call::new(Service::Realtime, Method::POST).segment("api").segment("broadcast");
        self.client.send(call.json(&Batch { messages })?).await.map(drop)
    }

    fn wire<'a>(&self, topic: &'a Topic, broadcast: &'a Broadcast) -> Result<Wire<'a>, Error> {
        let Content::Json(payload) = &broadcast.content else { return Err(invalid("a batch carries JSON only")) };
        let payload: &RawValue = match payload {
            Cow::Borrowed(raw) => raw,
            Cow::Owned(raw) => raw,
        };
        Ok(Wire { topic: name(topic)?, event: broadcast.event(), payload, private: self.private })
    }
}

fn is_unknown_call(error: &Error) -> bool {
    error.status() == Some(StatusCode::NOT_FOUND.as_u16())
}

fn name(topic: &Topic) -> Result<&str, Error> {
    topic.name().ok_or_else(|| invalid("only topics that start with `realtime:` take broadcasts over HTTP"))
}

fn invalid(detail: &'static str) -> Error {
    Error::new(PUSH_INVALID).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloud_client::{
        error::codes::FORBIDDEN,
        testing::{Scripted, Step},
    };
    use serde_json::{Value, json};

    fn client(steps: impl IntoIterator<Item = Step>) -> (Client, Scripted) {
        let script = Scripted::new(steps);
        let builder = Client::builder("http://127.0.0.1:54321", "sb_publishable_test").unwrap();
        (builder.transport(script.shared()).build(), script)
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_to_its_topic_and_event_with_its_payload_as_the_body() {
        let (client, script) = client([Step::json(202, ""), Step::json(202, "")]);
        let topic = Topic::realtime("room/9").unwrap();
        let json = Broadcast::json("said it", &json!({"a": 1})).unwrap();
        HttpBroadcasts::new(&client).send(&topic, &json).await.unwrap();
        HttpBroadcasts::new(&client).private().send(&topic, &Broadcast::binary("b", [0, 255])).await.unwrap();
        let sent = script.sent();
        assert_eq!(sent[0].target, "POST /realtime/v1/api/broadcast/room%2F9/events/said%20it");
        assert_eq!((sent[0].body.as_str(), sent[0].header("content-type")), (r#"{"a":1}"#, "application/json"));
        assert_eq!(sent[1].target, "POST /realtime/v1/api/broadcast/room%2F9/events/b?private=true");
        assert_eq!((&sent[1].bytes[..], sent[1].header("content-type")), (&[0, 255][..], "application/octet-stream"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_go_in_one_call() {
        let (client, script) = client([Step::json(202, "")]);
        let (one, two) = (Topic::realtime("a").unwrap(), Topic::realtime("b").unwrap());
        let said = Broadcast::json("e", &json!({})).unwrap();
        HttpBroadcasts::new(&client).send_all([(&one, &said), (&two, &said)]).await.unwrap();
        let body: Value = serde_json::from_str(&script.sent()[0].body).unwrap();
        let message = |topic: &str| json!({"topic": topic, "event": "e", "payload": {}, "private": false});
        assert_eq!(body, json!({"messages": [message("a"), message("b")]}));
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_server_gets_a_batch_of_one() {
        let (client, script) = client([Step::json(404, "{}"), Step::json(202, "")]);
        let topic = Topic::realtime("a").unwrap();
        let said = Broadcast::json("e", &json!({})).unwrap();
        HttpBroadcasts::new(&client).private().send(&topic, &said).await.unwrap();
        assert_eq!(script.sent()[1].target, "POST /realtime/v1/api/broadcast");
        let (client, _) = self::client([Step::json(404, "{}")]);
        assert!(HttpBroadcasts::new(&client).send(&topic, &Broadcast::binary("b", [])).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sent_is_not_sent() {
        let (client, script) = client([]);
        let http = HttpBroadcasts::new(&client);
        let (room, plain) = (Topic::realtime("a").unwrap(), Topic::parse("room:9").unwrap());
        let said = Broadcast::json("e", &json!({})).unwrap();
        let bytes = Broadcast::binary("b", [1]);
        let refused = |result: Result<(), Error>| assert_eq!(result.unwrap_err().code(), PUSH_INVALID);
        refused(http.send(&plain, &said).await);
        refused(http.send_all([(&room, &bytes)]).await);
        refused(http.send_all(vec![(&room, &said); MAX_BATCH + 1]).await);
        assert_eq!(http.send_all([]).await.map_err(|error| error.code()), Ok(()));
        assert_eq!(script.sent().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_the_servers_and_is_not_repeated() {
        let (client, script) = client([Step::json(403, r#"{"message":"Unauthorized"}"#)]);
        let topic = Topic::realtime("a").unwrap();
        let error = HttpBroadcasts::new(&client).send(&topic, &Broadcast::binary("b", [])).await.unwrap_err();
        assert_eq!((error.code(), script.sent().len()), (FORBIDDEN, 1));
    }
}
