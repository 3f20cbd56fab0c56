//! The tables of another server: a PostgREST that answers in place of the built-in tables.
//!
//! Request (its token checked, its fault shown) → the same request at the upstream, once → its answer, as a
//! whole. Accounts, keys, functions and faults stay this cloud's; the upstream has to trust tokens that this
//! cloud signs, and to know the people in them.
//! Wire source: PostgREST, "Configuration" (`jwt-secret`); RFC 9110, section 7.6.1, for what is not passed on.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use reqwest::{Client, Url};

use crate::{functions::upstream, postgrest::RestResponse};

/// What belongs to one connection, and is made anew for the next one.
const HOP: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// Where the tables are.
#[derive(Debug)]
pub(crate) struct RestUpstream {
    client: Client,
    base: Url,
}

impl RestUpstream {
    /// Tables at `base`, such as `http://127.0.0.1:3000`; opens no connection.
    pub(crate) fn new(base: &str) -> Result<Self, String> {
        Ok(Self { client: upstream::client()?, base: upstream::address(base)? })
    }

    /// Passes a request on; `path` and `query` are what follows `/rest/v1/`, as sent. A bearer goes along only
    /// if it is a person's: an API key in its place says nothing to PostgREST.
    pub(crate) async fn ask(
        &self,
        (method, path, query): (Method, &str, Option<&str>),
        mut headers: HeaderMap,
        body: Bytes,
        is_person: bool,
    ) -> RestResponse {
        for name in &HOP {
            headers.remove(name);
        }
        headers.remove("apikey");
        if !is_person {
            headers.remove(AUTHORIZATION);
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url.set_query(query);
        let request = self.client.request(method, url).headers(headers).body(body);
        let answer = async {
            let response = request.send().await?;
            let (status, mut headers) = (response.status(), response.headers().clone());
            for name in &HOP {
                headers.remove(name);
            }
            Ok::<_, reqwest::Error>(RestResponse { status, headers, body: response.bytes().await?.into() })
        };
        answer.await.unwrap_or_else(|error| {
            tracing::warn!(error = %error.without_url(), "the tables' own server gave no answer");
            let body = br#"{"message":"An invalid response was received from the upstream server"}"#.to_vec();
            RestResponse { status: StatusCode::BAD_GATEWAY, headers: HeaderMap::new(), body }
        })
    }
}
