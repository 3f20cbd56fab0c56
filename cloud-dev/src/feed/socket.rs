//! Channels of the feed: joined with a position, replayed from there, live behind it.
//!
//! Upgrade with a ticket → one task per socket: frames → joins, leaves, heartbeats; the log → items for each channel, read
//! when the connection takes more. Protocol version 2.0.0 in text only. Wire source: Phoenix, `V2.JSONSerializer`.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{
        ConnectInfo, FromRequestParts as _, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use http::{StatusCode, request::Parts};
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{Feed, http::nowhere, reader::Reader};
use crate::{cloud::Cloud, gateway, network::Connection};

/// Messages that are written to one channel before the socket is read again.
const BATCH: usize = 100;
/// Topics of one socket.
const MAX_CHANNELS: usize = 100;
/// A socket without a word from its client is closed after this.
const IDLE: Duration = Duration::from_secs(60);
/// How long one frame may take to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Answers a request for a socket.
pub(super) async fn upgrade(
    State(cloud): State<Arc<Cloud>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let Some(feed) = cloud.feed.clone() else { return nowhere() };
    let (mut parts, _) = request.into_parts();
    let user = ticket(&parts).and_then(|ticket| feed.tickets().redeem(&ticket, Instant::now()));
    let Some(user) = user else {
        let refusal = json!({ "error": "The ticket is unknown, used or expired" });
        return gateway::refuse(StatusCode::UNAUTHORIZED, refusal);
    };
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return gateway::refuse(StatusCode::BAD_REQUEST, json!({ "error": "This is a WebSocket" }));
    };
    let tracked = feed.tasks.token();
    upgrade.on_upgrade(async move |stream| {
        let reading = feed.reading();
        let session = Session { cloud: &cloud, feed: &feed, user, channels: BTreeMap::new(), stream };
        if session.serve().await == End::Cut {
            connection.cut();
        }
        drop((reading, tracked));
    })
}

/// The ticket of an upgrade: `Authorization: Ticket …`, or the parameter `ticket`.
fn ticket(parts: &Parts) -> Option<String> {
    let header = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let header = header.and_then(|value| value.strip_prefix("Ticket ")).map(str::to_owned);
    header.or_else(|| {
        let query = parts.uri.query()?.as_bytes();
        url::form_urlencoded::parse(query).find(|(name, _)| name == "ticket").map(|(_, value)| value.into_owned())
    })
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Gone,
    Cut,
}

/// A message as five values.
type Wire = (Option<String>, Option<String>, String, String, Value);

struct Session<'s> {
    cloud: &'s Cloud,
    feed: &'s Feed,
    user: String,
    channels: BTreeMap<String, Channel>,
    stream: WebSocket,
}

struct Channel {
    join_ref: Option<String>,
    reader: Reader,
    /// The number that came first.
    began: u64,
    /// The number that comes next.
    next: u64,
    replayed: u64,
    caught_up: bool,
}

impl Session<'_> {
    async fn serve(mut self) -> End {
        let (mut changed, mut ends) = (self.feed.changed.subscribe(), self.feed.ends.subscribe());
        ends.mark_unchanged();
        let mut heard = Instant::now();
        loop {
            changed.mark_unchanged();
            let busy = match self.write_on().await {
                Ok(busy) => busy,
                Err(end) => return end,
            };
            tokio::select! {
                biased;
                _ = ends.changed() => {
                    let told = ends.borrow().told;
                    return if told { self.close(1012).await } else { End::Cut };
                }
                frame = self.stream.recv() => {
                    heard = Instant::now();
                    let Some(Ok(frame)) = frame else { return End::Gone };
                    if let Message::Text(text) = frame
                        && let Ok(message) = serde_json::from_str::<Wire>(&text)
                        && let Err(end) = self.take(message).await
                    {
                        return end;
                    }
                }
                () = std::future::ready(()), if busy => {}
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(heard + IDLE) => return self.close(1000).await,
            }
        }
    }

    async fn close(mut self, code: u16) -> End {
        let frame = Message::Close(Some(CloseFrame { code, reason: "".into() }));
        let rest = async {
            if self.stream.send(frame).await.is_ok() {
                while let Some(Ok(_)) = self.stream.recv().await {}
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
        End::Gone
    }

    async fn take(&mut self, (join_ref, reference, topic, event, payload): Wire) -> Result<(), End> {
        let (status, response, joined) = match event.as_str() {
            "heartbeat" if topic == "phoenix" => ("ok", json!({}), None),
            "phx_join" => match self.join(&topic, join_ref.clone(), &payload).await {
                Ok(channel) => ("ok", json!({}), Some(channel)),
                Err(reason) => ("error", json!({ "reason": reason }), None),
            },
            "phx_leave" => {
                self.channels.remove(&topic);
                ("ok", json!({}), None)
            }
            _ => ("error", json!({ "reason": "unmatched topic" }), None),
        };
        let left = event == "phx_leave";
        let answer = json!([join_ref, reference, topic, "phx_reply", { "status": status, "response": response }]);
        self.send(answer.to_string()).await?;
        if left {
            self.send(json!([join_ref, join_ref, topic, "phx_close", {}]).to_string()).await?;
        }
        if let Some((channel, too_old)) = joined {
            if too_old {
                self.send(json!([channel.join_ref, null, topic, "too_old", {}]).to_string()).await?;
            }
            self.channels.insert(topic, channel);
        }
        Ok(())
    }

    async fn join(
        &mut self,
        topic: &str,
        join_ref: Option<String>,
        payload: &Value,
    ) -> Result<(Channel, bool), &'static str> {
        self.channels.remove(topic);
        let reader = Reader::of_topic(topic).ok_or("unmatched topic")?;
        if self.channels.len() >= MAX_CHANNELS {
            return Err("too many channels joined");
        }
        if !reader.is_allowed(self.cloud, &self.user).await {
            return Err("unauthorized");
        }
        let (next, replayed, too_old) = self.feed.begin(payload["after"].as_str());
        Ok((Channel { join_ref, reader, began: next, next, replayed, caught_up: false }, too_old))
    }

    /// Writes what the log has for each channel, a batch each; true when there is more.
    async fn write_on(&mut self) -> Result<bool, End> {
        let (mut out, mut busy, mut cut) = (Vec::new(), false, false);
        for (topic, channel) in &mut self.channels {
            busy |= channel.look(self.feed, topic, &mut out, &mut cut);
        }
        for frame in out {
            self.send(frame).await?;
        }
        if cut { Err(End::Cut) } else { Ok(busy) }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        match tokio::time::timeout(WRITE_LIMIT, self.stream.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Cut),
        }
    }
}

impl Channel {
    /// Takes what the log has; true when there is more.
    fn look(&mut self, feed: &Feed, topic: &str, out: &mut Vec<String>, cut: &mut bool) -> bool {
        let log = feed.log();
        let found = log.read(self.next, &self.reader, BATCH, (!self.caught_up).then_some(self.replayed));
        self.next = found.next;
        for (_, envelope) in found.messages {
            if *cut || feed.cuts_now() {
                *cut = true;
                return false;
            }
            let Ok(envelope) = RawValue::from_string(envelope) else { continue };
            let frame = (&self.join_ref, Value::Null, topic, "item", envelope);
            out.extend(serde_json::to_string(&frame));
        }
        if !self.caught_up && self.next > self.replayed {
            self.caught_up = true;
            let position = log.position(self.next - 1);
            out.push(json!([self.join_ref, null, topic, "caught_up", { "position": position }]).to_string());
            let repeated = feed.options.repeated_messages;
            self.next = self.next.saturating_sub(repeated).max(self.began);
            return repeated > 0 || found.more;
        }
        found.more
    }
}
