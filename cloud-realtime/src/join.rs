//! What a channel asks for when it joins: broadcast, presence, row changes, privacy, and the token.
//!
//! A channel keeps one [`JoinConfig`] and builds the payload anew for every join, so a rejoin can lose
//! neither a listener nor a filter and never carries an old token. `config` is always sent: without it
//! the server falls back to a mode that reads the topic as a table name.
//! Source: Supabase Realtime, `RealtimeChannel` join payloads.

use crate::codec::{Content, EncodeError};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::{borrow::Cow, fmt};

/// What a channel asks for. Starts with everything off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JoinConfig {
    broadcast: BroadcastConfig,
    presence: PresenceConfig,
    postgres_changes: Vec<ChangesRequest>,
    private: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct BroadcastConfig {
    ack: bool,
    #[serde(rename = "self")]
    to_self: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<Replay>,
    #[serde(skip_serializing_if = "is_off")]
    replication_ready: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct PresenceConfig {
    key: String,
    enabled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Replay {
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u8>,
}

impl JoinConfig {
    /// A public channel that asks for nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for row changes. Call it once per listener, in the order the reply will name them.
    #[must_use]
    pub fn changes(mut self, request: ChangesRequest) -> Self {
        self.postgres_changes.push(request);
        self
    }

    /// Asks for presence. Members that share a `key` are shown as one; an empty key lets the server
    /// choose one.
    #[must_use]
    pub fn presence(mut self, key: impl Into<String>) -> Self {
        self.presence = PresenceConfig { key: key.into(), enabled: true };
        self
    }

    /// Joins the private channel of this name, where the server's policies apply. Default: the public one.
    #[must_use]
    pub const fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Has the server answer each broadcast. Default: no answer, not even to a failure.
    #[must_use]
    pub const fn acknowledge_broadcasts(mut self) -> Self {
        self.broadcast.ack = true;
        self
    }

    /// Has the channel's own broadcasts come back to it. Default: they go to the others only.
    #[must_use]
    pub const fn receive_own_broadcasts(mut self) -> Self {
        self.broadcast.to_self = true;
        self
    }

    /// Asks for stored broadcasts since `since_ms` (milliseconds since 1970), the newest `limit` of
    /// them, 1 to 25. Default limit: 25. Private channels only.
    #[must_use]
    pub fn replay_broadcasts(mut self, since_ms: u64, limit: Option<u8>) -> Self {
        self.broadcast.replay = Some(Replay { since: since_ms, limit: limit.map(|n| n.clamp(1, 25)) });
        self
    }

    /// Asks to be told when broadcasts from the database flow.
    #[must_use]
    pub const fn announce_replication(mut self) -> Self {
        self.broadcast.replication_ready = true;
        self
    }

    /// The row changes asked for, in order.
    pub fn requested_changes(&self) -> &[ChangesRequest] {
        &self.postgres_changes
    }

    /// Whether presence was asked for.
    pub const fn wants_presence(&self) -> bool {
        self.presence.enabled
    }

    /// Whether this is the private channel of its name.
    pub const fn is_private(&self) -> bool {
        self.private
    }
}

/// One listener for row changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ChangesRequest {
    event: RowEvent,
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    select: Vec<String>,
}

impl ChangesRequest {
    /// All tables of `schema`.
    pub fn schema(event: RowEvent, schema: impl Into<String>) -> Self {
        Self { event, schema: schema.into(), table: None, filter: None, select: Vec::new() }
    }

    /// One table of `schema`.
    pub fn table(event: RowEvent, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { table: Some(table.into()), ..Self::schema(event, schema) }
    }

    /// Narrows the rows, best by a [`Filter`](crate::changes::Filter), which writes the server's grammar:
    /// `column=op.value`, several joined by commas, all of which have to hold.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Narrows the columns; the primary key always comes. Not together with a whole schema.
    #[must_use]
    pub fn select<I: IntoIterator<Item: Into<String>>>(mut self, columns: I) -> Self {
        self.select = columns.into_iter().map(Into::into).collect();
        self
    }

    /// What has to happen to a row.
    pub const fn event(&self) -> &RowEvent {
        &self.event
    }

    /// The schema listened to.
    pub fn schema_name(&self) -> &str {
        &self.schema
    }

    /// The table listened to; `None` for all of the schema.
    pub fn table_name(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The filter as text; `None` for all rows.
    pub fn filter_text(&self) -> Option<&str> {
        self.filter.as_deref()
    }
}

/// What happened to a row, or [`ANY`](Self::ANY). The server may know more words than are named here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RowEvent(Cow<'static, str>);

impl RowEvent {
    /// Anything.
    pub const ANY: Self = Self(Cow::Borrowed("*"));
    /// A new row.
    pub const INSERT: Self = Self(Cow::Borrowed("INSERT"));
    /// A changed row.
    pub const UPDATE: Self = Self(Cow::Borrowed("UPDATE"));
    /// A removed row.
    pub const DELETE: Self = Self(Cow::Borrowed("DELETE"));

    /// The event of this word, in any case, as the server reads it.
    pub fn named(word: &str) -> Self {
        let known = ["*", "INSERT", "UPDATE", "DELETE"];
        let same = known.into_iter().find(|known| known.eq_ignore_ascii_case(word));
        Self(same.map_or_else(|| Cow::Owned(word.to_owned()), Cow::Borrowed))
    }

    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether anything that happens is meant.
    pub fn is_any(&self) -> bool {
        *self == Self::ANY
    }
}

/// The payload of one join: what is asked for, and who asks.
///
/// It is not `Serialize`: the token leaves through [`expose`](Self::expose) only.
#[derive(Clone)]
pub struct JoinPayload<'a> {
    config: &'a JoinConfig,
    access_token: Option<&'a SecretString>,
}

impl<'a> JoinPayload<'a> {
    /// A join with the connection's own credentials.
    pub const fn new(config: &'a JoinConfig) -> Self {
        Self { config, access_token: None }
    }

    /// Joins as the owner of this token.
    #[must_use]
    pub const fn access_token(mut self, token: &'a SecretString) -> Self {
        self.access_token = Some(token);
        self
    }

    /// The JSON to send, **with the token in it**.
    ///
    /// # Errors
    ///
    /// Never for the values that can be built here; the signature leaves the case to the caller.
    pub fn expose(&self) -> Result<Content<'static>, EncodeError> {
        #[derive(Serialize)]
        struct Exposed<'a> {
            config: &'a JoinConfig,
            #[serde(skip_serializing_if = "Option::is_none")]
            access_token: Option<&'a str>,
        }
        let access_token = self.access_token.map(ExposeSecret::expose_secret);
        Content::json(&Exposed { config: self.config, access_token })
    }
}

impl fmt::Debug for JoinPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinPayload")
            .field("config", &self.config)
            .field("access_token", &self.access_token.map(|_| "[redacted]"))
            .finish()
    }
}

const fn is_off(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Envelope, event};
    use serde_json::{Value, json};

    fn sent(payload: &JoinPayload<'_>) -> Value {
        payload.expose().unwrap().decode().unwrap()
    }

    #[test]
    fn an_empty_join_still_sends_its_config() {
        assert_eq!(
            sent(&JoinPayload::new(&JoinConfig::new())),
            json!({"config": {
                "broadcast": {"ack": false, "self": false},
                "presence": {"key": "", "enabled": false},
                "postgres_changes": [],
                "private": false,
            }})
        );
    }

    #[test]
    fn everything_asked_for_is_in_the_payload_in_order() {
        let config = JoinConfig::new()
            .changes(ChangesRequest::table(RowEvent::INSERT, "public", "messages").filter("id=eq.1").select(["a", "b"]))
            .changes(ChangesRequest::schema(RowEvent::ANY, "public"))
            .presence("me")
            .private()
            .acknowledge_broadcasts()
            .receive_own_broadcasts()
            .replay_broadcasts(1_763_407_103_911, Some(99))
            .announce_replication();
        let token = SecretString::from("t0ken");
        assert_eq!(
            sent(&JoinPayload::new(&config).access_token(&token)),
            json!({
                "config": {
                    "broadcast": {
                        "ack": true, "self": true, "replication_ready": true,
                        "replay": {"since": 1_763_407_103_911_u64, "limit": 25},
                    },
                    "presence": {"key": "me", "enabled": true},
                    "postgres_changes": [
                        {"event": "INSERT", "schema": "public", "table": "messages", "filter": "id=eq.1", "select": ["a", "b"]},
                        {"event": "*", "schema": "public"},
                    ],
                    "private": true,
                },
                "access_token": "t0ken",
            })
        );
    }

    #[test]
    fn debug_never_shows_the_token() {
        let (config, token) = (JoinConfig::new(), SecretString::from("t0ken"));
        let payload = JoinPayload::new(&config).access_token(&token);
        let envelope = Envelope::new("realtime:notes", event::JOIN, payload.expose().unwrap());
        for shown in [format!("{payload:?}"), format!("{envelope:?}"), format!("{:?}", envelope.payload())] {
            assert!(!shown.contains("t0ken"), "{shown}");
        }
        assert!(format!("{payload:?}").contains("[redacted]"));
    }
}
