//! What a client asks for when it joins: the payload of `phx_join`, read as kindly as the real service reads it.
//!
//! JSON text → [`Wanted`]. Booleans may be texts in any case, null and absent are the same, and a part of the
//! wrong shape counts as absent.
//! Wire source: Supabase Realtime `RealtimeWeb.Channels.Payloads`.

use serde_json::{Map, Value};

/// What a join asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) access_token: Option<String>,
    pub(crate) private: bool,
    /// Whether broadcasts come back to this channel.
    pub(crate) echo: bool,
    /// Whether broadcasts are answered.
    pub(crate) ack: bool,
    pub(crate) replay: Option<Replay>,
    pub(crate) replication_ready: bool,
    pub(crate) presence: bool,
    pub(crate) presence_key: Option<String>,
    /// The subscriptions, as they were asked for.
    pub(crate) changes: Vec<Map<String, Value>>,
}

/// Which stored broadcasts to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Spoken of, but with nothing that could be asked for.
    Nothing,
    /// The newest `limit` since this time in milliseconds.
    Since { millis: i64, limit: usize },
    /// Asked for in a way that makes no sense.
    Invalid,
}

/// The most messages that one join can get again.
pub(crate) const MAX_REPLAY: usize = 25;

impl Wanted {
    /// Reads the payload of a join.
    pub(crate) fn parse(payload: &str) -> Self {
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let config = &payload["config"];
        let (broadcast, presence) = (&config["broadcast"], &config["presence"]);
        Self {
            access_token: access_token(&payload),
            private: flag(&config["private"]),
            echo: flag(&broadcast["self"]),
            ack: flag(&broadcast["ack"]),
            replay: broadcast.get("replay").map(|asked| asked.as_object().map_or(Replay::Nothing, replay)),
            replication_ready: flag(&broadcast["replication_ready"]),
            presence: flag(&presence["enabled"]),
            presence_key: key(&presence["key"]),
            changes: config["postgres_changes"]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_object).cloned().collect())
                .unwrap_or_default(),
        }
    }
}

/// The token of a join; `user_token` wins where both are real tokens.
pub(crate) fn access_token(payload: &Value) -> Option<String> {
    let text = |name: &str| payload[name].as_str().map(str::to_owned);
    let (access, user) = (text("access_token"), text("user_token"));
    match (&access, &user) {
        (Some(first), Some(second)) if !first.starts_with("sb_") && !second.starts_with("sb_") => user,
        (Some(_), _) => access,
        (None, _) => user,
    }
}

fn flag(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn replay(asked: &Map<String, Value>) -> Replay {
    let limit = match asked.get("limit") {
        None | Some(Value::Null) => Some(MAX_REPLAY),
        Some(limit) => limit.as_u64().and_then(|limit| usize::try_from(limit).ok()),
    };
    match (asked.get("since").and_then(Value::as_i64), limit) {
        (Some(millis), Some(limit @ 1..=MAX_REPLAY)) => Replay::Since { millis, limit },
        _ => Replay::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_spellings_mean_what_they_mean_to_the_real_service() {
        let wanted = Wanted::parse(
            &json!({
                "user_token": "u", "access_token": "a",
                "config": {
                    "private": "TRUE",
                    "broadcast": { "ack": "false", "self": true, "replay": { "since": 5 } },
                    "presence": { "key": 7, "enabled": "true" },
                    "postgres_changes": [null, { "event": "*" }, 3],
                },
            })
            .to_string(),
        );
        assert_eq!(
            (wanted.access_token.as_deref(), wanted.private, wanted.echo, wanted.ack),
            (Some("u"), true, true, false)
        );
        assert_eq!((wanted.presence_key.as_deref(), wanted.presence), (Some("7"), true));
        assert_eq!((wanted.replay, wanted.changes.len()), (Some(Replay::Since { millis: 5, limit: 25 }), 1));
        for empty in ["{}", "null", "[]", "7", r#"{"config":{"postgres_changes":null,"presence":false}}"#] {
            assert_eq!(Wanted::parse(empty), Wanted::default(), "{empty}");
        }
    }

    #[test]
    fn a_replay_needs_whole_milliseconds_and_a_limit_up_to_25() {
        for (asked, valid) in [
            (json!({ "since": 1, "limit": 25 }), true),
            (json!({ "since": 1, "limit": 0 }), false),
            (json!({ "since": 1, "limit": 26 }), false),
            (json!({ "since": "1" }), false),
            (json!({}), false),
        ] {
            let found = replay(asked.as_object().unwrap());
            assert_eq!(found != Replay::Invalid, valid, "{asked}");
        }
    }

    #[test]
    fn a_key_of_the_new_kind_is_no_user_token() {
        let token = |access: &str, user: &str| access_token(&json!({ "access_token": access, "user_token": user }));
        assert_eq!(token("a", "u").as_deref(), Some("u"));
        assert_eq!(token("sb_x", "u").as_deref(), Some("sb_x"));
        assert_eq!(token("a", "sb_x").as_deref(), Some("a"));
    }
}
