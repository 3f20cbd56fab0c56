//! What the server's words about a channel mean: a refused join, a system message, a close.
//!
//! The words come as `Code: text`, or as the text alone; what is unknown is taken for a passing fault. The raw words go
//! to the host as the error's detail.
//! Source: Supabase Realtime, join replies and `system` messages; Phoenix channels for the plain ones.
use cloud_client::Error;
use serde::Deserialize;

use crate::{
    codec::{Content, Reply},
    codes::{CHANNEL_FAILED, CHANNEL_FORBIDDEN, CHANNEL_REFUSED, CHANNEL_UNAUTHENTICATED, LIMITED},
};

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The token is over: renew it once, then wait for another.
    Expired,
    /// Wait for another token.
    Auth,
    /// Wait for another token: this one has no right.
    Forbidden,
    /// Wait for another configuration.
    Configuration,
    /// Leave the server alone for half a minute.
    Limited,
    /// As [`Self::Limited`], and the whole connection with it.
    ConnectionLimited,
    /// Try again after a pause.
    Passing,
}

impl Class {
    /// The class of the server's words.
    pub(crate) fn of(words: &str) -> Self {
        let has = |part: &str| words.contains(part);
        let any = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        if any(&["expired", "InvalidJWTExpiration"]) {
            Self::Expired
        } else if ["ClientJoinRateLimitReached", "ConnectionRateLimitReached"]
            .iter()
            .any(|code| words.starts_with(code))
        {
            Self::ConnectionLimited
        } else if any(&["RateLimitReached", "Too many", "rate limit exceeded", "too many channels"]) && !has("atabase")
        {
            Self::Limited
        } else if any(&["permission", "Unauthorized", "unauthorized"]) {
            Self::Forbidden
        } else if any(&["JWT", "JwtSign", "not a valid token"]) {
            Self::Auth
        } else if any(&[
            "TopicNameRequired",
            "TenantNotFound",
            "RealtimeDisabledForTenant",
            "PrivateOnly",
            "Replay is not allowed",
            "Replay params are not valid",
            "unmatched topic",
        ]) {
            Self::Configuration
        } else {
            Self::Passing
        }
    }

    /// The error to show.
    pub(crate) fn error(self, words: &str) -> Error {
        let code = match self {
            Self::Expired | Self::Auth => CHANNEL_UNAUTHENTICATED,
            Self::Forbidden => CHANNEL_FORBIDDEN,
            Self::Configuration => CHANNEL_REFUSED,
            Self::Limited | Self::ConnectionLimited => LIMITED,
            Self::Passing => CHANNEL_FAILED,
        };
        Error::new(code).with_server_code(words.split(':').next().unwrap_or_default()).with_detail(words)
    }
}

/// The words of a reply that is not ok: `{"reason": "…"}`, `{"error": "…"}`, a bare string, or whatever it is as JSON.
pub(crate) fn words(reply: &Reply<'_>) -> String {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Reason { reason: String },
        Error { error: String },
        Bare(String),
    }
    match (reply.response.decode(), &reply.response) {
        (Ok(Said::Reason { reason: said } | Said::Error { error: said } | Said::Bare(said)), _) => said,
        (Err(_), Content::Json(raw)) => raw.get().to_owned(),
        (Err(_), Content::Binary(_)) => String::new(),
    }
}

/// A `system` message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct System {
    extension: String,
    status: String,
    message: String,
}

/// What it says about the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Row changes flow from here on (R3).
    Subscribed,
    /// They do not, and will not with these parameters.
    Misconfigured(String),
    /// They do not at the moment; the server tries by itself.
    DatabaseTrouble,
    /// The channel is about to be closed, for this reason.
    Closing(Class, String),
    /// Nothing that concerns us.
    Other,
}

impl System {
    pub(crate) fn news(self) -> News {
        let message = self.message;
        let has = |part: &str| message.contains(part);
        match (self.extension.as_str(), self.status.as_str()) {
            ("postgres_changes", "ok") if has("Subscribed to PostgreSQL") => News::Subscribed,
            ("postgres_changes", "error") => {
                let ours = has("given parameters")
                    || has("Error parsing")
                    || has("No subscription params")
                    || has("Column selection is not supported");
                if ours { News::Misconfigured(message) } else { News::DatabaseTrouble }
            }
            ("system", "error") => News::Closing(Class::of(&message), message),
            _ => News::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_named_by_the_protocol_has_its_class() {
        for (words, class) in [
            ("InvalidJWTToken: Token has expired 12 seconds ago", Class::Expired),
            ("InvalidJWTExpiration: over", Class::Expired),
            ("Token has expired 3 seconds ago", Class::Expired),
            ("MalformedJWT: The token provided is not a valid JWT", Class::Auth),
            ("JwtSignatureError: Failed to validate JWT signature", Class::Auth),
            ("JwtSignerError: Failed to generate JWT signer", Class::Auth),
            ("InvalidJWTToken: Fields `role` and `exp` are required in JWT", Class::Auth),
            ("Unauthorized: You do not have permissions to read from this Channel topic: x", Class::Forbidden),
            ("You no longer have permission to read", Class::Forbidden),
            ("TopicNameRequired: You must provide a topic name", Class::Configuration),
            ("TenantNotFound: no", Class::Configuration),
            ("RealtimeDisabledForTenant: no", Class::Configuration),
            ("PrivateOnly: This project only allows private channels", Class::Configuration),
            ("UnableToReplayMessages: Replay is not allowed for public channels", Class::Configuration),
            ("UnableToReplayMessages: Replay params are not valid", Class::Configuration),
            ("UnableToReplayMessages: Realtime was unable to replay", Class::Passing),
            ("unmatched topic", Class::Configuration),
            ("ChannelRateLimitReached: Too many channels", Class::Limited),
            ("too many channels joined", Class::Limited),
            ("ConnectionRateLimitReached: Too many connected users", Class::ConnectionLimited),
            ("ClientJoinRateLimitReached: Too many joins per second", Class::ConnectionLimited),
            ("Too many messages per second", Class::Limited),
            ("Too many presence messages per second", Class::Limited),
            ("Client presence rate limit exceeded", Class::Limited),
            ("InitializingProjectConnection: wait", Class::Passing),
            ("DatabaseConnectionRateLimitReached: Too many database connections", Class::Passing),
            ("RealtimeRestarting: Realtime is restarting, please standby", Class::Passing),
            ("Unknown Error on Channel", Class::Passing),
            ("join crashed", Class::Passing),
            ("SomethingOfTomorrow: new", Class::Passing),
        ] {
            assert_eq!(Class::of(words), class, "{words}");
        }
    }

    #[test]
    fn the_words_are_found_in_every_shape_of_a_reply() {
        for (response, expected) in [
            (r#"{"reason":"join crashed"}"#, "join crashed"),
            (r#"{"error":"payload_size_exceeded"}"#, "payload_size_exceeded"),
            (r#""too_large""#, "too_large"),
            ("null", "null"),
            ("[1]", "[1]"),
            ("{}", "{}"),
        ] {
            let content = Content::json(&serde_json::from_str::<serde_json::Value>(response).unwrap()).unwrap();
            assert_eq!(words(&Reply::new("error", content)), expected);
        }
        assert_eq!(words(&Reply::new("error", Content::binary(vec![1]))), "");
    }

    #[test]
    fn system_messages_are_told_apart() {
        let news = |extension: &str, status: &str, message: &str| {
            System { extension: extension.into(), status: status.into(), message: message.into() }.news()
        };
        assert_eq!(news("postgres_changes", "ok", "Subscribed to PostgreSQL"), News::Subscribed);
        let wrong = "Unable to subscribe to changes with given parameters. Please check";
        assert_eq!(news("postgres_changes", "error", wrong), News::Misconfigured(wrong.into()));
        assert_eq!(news("postgres_changes", "error", "Too many database timeouts"), News::DatabaseTrouble);
        let over = "Token has expired 2 seconds ago";
        assert_eq!(news("system", "error", over), News::Closing(Class::Expired, over.into()));
        assert_eq!(news("system", "ok", "Replication connection established"), News::Other);
        assert_eq!(news("of_tomorrow", "ok", ""), News::Other);
    }
}
