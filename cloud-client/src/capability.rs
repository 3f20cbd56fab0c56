//! What a cloud can do, as far as its answers have shown: a name for each feature, and what is known of it.
//!
//! Nothing is asked ahead. A service that finds out marks it ([`Client::mark`](crate::Client::mark)): a function that
//! is not deployed is unsupported, one that answered is supported. Everything else is [`Support::Unknown`], and unknown
//! means "try it", so that a newer cloud is never held back by an older client. Names are open: hosts add their own.
use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Error, error::codes::UNSUPPORTED};

/// How many features are remembered; further ones stay unknown.
const KEPT: usize = 256;

/// The name of a feature, `area.feature`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capability(Cow<'static, str>);

impl Capability {
    /// Messages are numbered by the cloud.
    pub const MESSAGES_SEQ: Self = Self::named("messages.seq");
    /// Uploads that go on after a break (TUS 1.0.0).
    pub const STORAGE_RESUMABLE: Self = Self::named("storage.resumable");
    /// Lists of objects by the newer call, with a cursor.
    pub const STORAGE_LIST_V2: Self = Self::named("storage.list_v2");
    /// Model answers as event streams.
    pub const AI_STREAM: Self = Self::named("ai.stream");
    /// A limit for the rows that a write touches (PostgREST 13).
    pub const REST_MAX_AFFECTED: Self = Self::named("rest.max_affected");
    /// Sums, means and counts in a select list, which a server allows only when told to.
    pub const REST_AGGREGATES: Self = Self::named("rest.aggregates");

    /// A feature by its constant name.
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A feature by a name that is put together.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// The edge function `name`: `functions.{name}`.
    pub fn function(name: &str) -> Self {
        Self::new(format!("functions.{name}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "support", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Support {
    /// The cloud has shown that it can.
    Supported,
    /// The cloud has shown that it cannot.
    #[non_exhaustive]
    Unsupported {
        /// Why, as a sentence for a person.
        reason: String,
        /// The code of the answer that showed it, such as `api.schema_mismatch`.
        code: String,
    },
    /// Nobody has asked, or the answer is from a newer version of this library.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Support {
    /// What `error` shows of a feature with a place of its own on the server: nothing, or that there is no such place.
    pub(crate) fn of_a_route(error: &Error) -> Option<Self> {
        // What is missing is the route, not the thing that was asked for: the server's router says so in these words.
        let detail = error.detail().unwrap_or_default();
        let no_route = detail.starts_with("Route ") && detail.ends_with(" not found");
        let missing = matches!(error.status(), Some(405 | 501)) || no_route;
        missing.then(|| Self::unsupported("The server has no place for it.", error.code().as_str()))
    }

    /// Not supported, because of `reason`, shown by an answer with `code`.
    pub fn unsupported(reason: impl Into<String>, code: impl Into<String>) -> Self {
        Self::Unsupported { reason: reason.into(), code: code.into() }
    }
}

/// What is known of a cloud. In JSON an object from name to support.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(BTreeMap<Capability, Support>);

impl Capabilities {
    /// What is known of `capability`.
    pub fn support(&self, capability: &Capability) -> Support {
        self.0.get(capability).cloned().unwrap_or_default()
    }

    /// Sets what is known of `capability`; the latest word counts. At most 256 names are kept.
    pub fn mark(&mut self, capability: Capability, support: Support) {
        if self.0.len() < KEPT || self.0.contains_key(&capability) {
            self.0.insert(capability, support);
        }
    }

    /// Refuses a feature that is known to be missing; one that is unknown passes, since trying it is how one knows.
    ///
    /// # Errors
    ///
    /// `api.unsupported`, with [`Unsupported`] as its source.
    pub fn require(&self, capability: &Capability) -> Result<(), Error> {
        match self.0.get(capability) {
            Some(Support::Unsupported { reason, code }) => {
                Err(Unsupported { capability: capability.clone(), reason: reason.clone(), code: code.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// All names of which something is known, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Capability, &Support)> {
        self.0.iter()
    }
}

/// A feature that the cloud lacks, for programs: the source of an error with the code `api.unsupported`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the cloud does not support {capability} ({code}): {reason}")]
#[non_exhaustive]
pub struct Unsupported {
    /// Which feature.
    pub capability: Capability,
    /// Why, as a sentence for a person.
    pub reason: String,
    /// The code of the answer that showed it.
    pub code: String,
}

impl Unsupported {
    /// The feature that `error` is about, if it is about one.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl From<Unsupported> for Error {
    fn from(unsupported: Unsupported) -> Self {
        Self::new(UNSUPPORTED).during(format!("use of {}", unsupported.capability)).with_source(unsupported)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_known_to_be_missing_is_refused_and_the_error_names_it() {
        let mut known = Capabilities::default();
        known.mark(Capability::MESSAGES_SEQ, Support::Supported);
        known.mark(Capability::AI_STREAM, Support::unsupported("not deployed", "api.schema_mismatch"));
        for passes in [Capability::MESSAGES_SEQ, Capability::STORAGE_RESUMABLE] {
            assert!(known.require(&passes).is_ok(), "{passes}");
        }
        let error = known.require(&Capability::AI_STREAM).unwrap_err();
        assert_eq!(error.code(), UNSUPPORTED);
        assert!(error.to_string().contains("ai.stream") && !error.is_retryable(), "{error}");
        let said = serde_json::to_value(Unsupported::of(&error).unwrap()).unwrap();
        assert_eq!(said, json!({"capability": "ai.stream", "reason": "not deployed", "code": "api.schema_mismatch"}));
        known.mark(Capability::AI_STREAM, Support::Supported);
        assert!(known.require(&Capability::AI_STREAM).is_ok(), "the latest word counts");
    }

    #[test]
    fn json_of_today_goes_round_and_words_of_tomorrow_are_unknown() {
        let mut known = Capabilities::default();
        known.mark(Capability::REST_MAX_AFFECTED, Support::Supported);
        known.mark(Capability::function("own"), Support::unsupported("gone", "api.schema_mismatch"));
        let text = serde_json::to_value(&known).unwrap();
        assert_eq!(
            text,
            json!({
                "functions.own": {"support": "unsupported", "reason": "gone", "code": "api.schema_mismatch"},
                "rest.max_affected": {"support": "supported"},
            })
        );
        assert_eq!(serde_json::from_value::<Capabilities>(text).unwrap(), known);
        let newer: Capabilities = serde_json::from_value(json!({"a.b": {"support": "partly", "since": 3}})).unwrap();
        assert_eq!(newer.support(&Capability::named("a.b")), Support::Unknown);
    }

    #[test]
    fn the_set_has_a_limit_and_known_names_can_still_change() {
        let mut known = Capabilities::default();
        for n in 0..=KEPT {
            known.mark(Capability::new(format!("host.{n:03}")), Support::Supported);
        }
        assert_eq!(known.iter().count(), KEPT);
        known.mark(Capability::new("host.000"), Support::Unknown);
        assert_eq!(known.support(&Capability::new("host.000")), Support::Unknown);
    }
}
