//! What the server of resumable uploads offers: asked once for each client, before its first upload is created.
//!
//! `OPTIONS /upload/resumable` → extensions and the largest size → [`Offer`], remembered by the client. An answer that says
//! nothing, and none at all, forbid nothing: trying is how one knows. Wire source: TUS 1.0.0, section "OPTIONS".
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};

use super::wire;
use crate::{
    call::Speaker,
    capability::{Capability, Support},
    pace::IDLE,
    storage::Bucket,
};

const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const EXTENSIONS: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");

/// What a server said it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Whether bytes may come with the creation.
    pub(super) creation_with_upload: bool,
    /// The largest upload in bytes, where there is a limit.
    pub(super) max_bytes: Option<u64>,
    /// It speaks the protocol, but not what an upload needs.
    pub(super) is_incomplete: bool,
}

impl Offer {
    /// Reads an answer; `None` when it is not of a server that speaks the protocol.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let list = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let names = |name: &HeaderName, wanted: &str| list(name).split(',').any(|word| word.trim() == wanted);
        if !headers.contains_key(VERSIONS) {
            return None;
        }
        Some(Self {
            creation_with_upload: names(&EXTENSIONS, "creation-with-upload"),
            // Some servers say 0 for "no limit".
            max_bytes: wire::number(headers, &MAX_SIZE).filter(|limit| *limit > 0),
            is_incomplete: !names(&VERSIONS, "1.0.0") || !names(&EXTENSIONS, "creation"),
        })
    }
}

impl Bucket {
    /// What the server offers, as far as it can be known.
    pub(super) async fn offer(&self, left: Duration) -> Offer {
        if let Some(offer) = self.client.known_offer() {
            return offer;
        }
        let Ok(call) = self.plain(Method::OPTIONS, &["upload", "resumable"]) else { return Offer::default() };
        let (name, version) = wire::RESUMABLE;
        let call = call.header(name, version).speaker(Speaker::Nobody).timeout(left.min(IDLE)).once();
        let Ok(reply) = self.client.exchange(call).await else { return Offer::default() };
        if reply.status.is_server_error() || reply.status.as_u16() == 429 {
            return Offer::default();
        }
        let offer = Offer::read(&reply.headers).unwrap_or_default();
        if offer.is_incomplete {
            let reason = "The server does not create uploads by TUS 1.0.0.";
            self.client.mark(Capability::STORAGE_RESUMABLE, Support::unsupported(reason, "storage.offer"));
        }
        self.client.remember_offer(offer);
        offer
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Storage vector 17.
    #[test]
    fn an_offer_is_read_from_its_headers_and_nothing_else_is_one() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            Offer::read(
                &pairs
                    .iter()
                    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                    .collect(),
            )
        };
        let offer = |creation_with_upload, max_bytes, is_incomplete| {
            Some(Offer { creation_with_upload, max_bytes, is_incomplete })
        };
        let all = "creation,creation-with-upload,termination,expiration";
        for (pairs, expected) in [
            (vec![], None),
            (vec![("tus-extension", all)], None),
            (
                vec![("tus-version", "1.0.0"), ("tus-extension", all), ("tus-max-size", "100")],
                offer(true, Some(100), false),
            ),
            (
                vec![("tus-version", "1.0.0,0.2.2"), ("tus-extension", "creation, expiration")],
                offer(false, None, false),
            ),
            (
                vec![("tus-version", "1.0.0"), ("tus-extension", "creation"), ("tus-max-size", "0")],
                offer(false, None, false),
            ),
            (
                vec![("tus-version", "1.0.0"), ("tus-extension", "creation"), ("tus-max-size", "x")],
                offer(false, None, false),
            ),
            (vec![("tus-version", "1.0.0"), ("tus-extension", "termination")], offer(false, None, true)),
            (vec![("tus-version", "2.0.0"), ("tus-extension", all)], offer(true, None, true)),
            (vec![("tus-version", "1.0.0")], offer(false, None, true)),
        ] {
            assert_eq!(read(&pairs), expected, "{pairs:?}");
        }
    }
}
