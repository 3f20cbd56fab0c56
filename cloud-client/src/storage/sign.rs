//! Links for whoever has no account: a download for a while, an upload to one key.
//!
//! key → `POST /object/sign/…` or `/object/upload/sign/…` → token → [`SignedLink`], [`SignedUpload`]. Of the address
//! that the service answers with only the token is taken; the address is built here from our own origin (G8), with the
//! key encoded, which the service does not do. A link is a secret: whoever has it can use it. Wire source: Supabase
//! Storage, sign routes.
use std::{fmt, time::Duration};

use http::{HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{
    Bucket, Download,
    bucket::{BATCH, UPSERT, object_key},
};
use crate::{
    Error,
    error::codes::{NOT_FOUND, UNREADABLE},
};

/// A download that anybody with the link may make, until it is over.
#[derive(Clone)]
pub struct SignedLink {
    key: String,
    token: SecretString,
    url: SecretString,
}

impl SignedLink {
    /// The whole address. A secret: keep it out of logs.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// The key it is for.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn token(&self) -> &str {
        self.token.expose_secret()
    }
}

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedLink(..)")
    }
}

/// A permission to upload to one key, without an account. Good for a minute on many servers: use it at once.
#[derive(Clone)]
pub struct SignedUpload {
    key: String,
    token: SecretString,
}

impl SignedUpload {
    /// A permission that somebody else asked for and handed over.
    ///
    /// # Errors
    ///
    /// `storage.name_invalid` for a key that the service does not take.
    pub fn new(key: &str, token: SecretString) -> Result<Self, Error> {
        Ok(Self { key: object_key(key)?, token })
    }

    /// The key it is for.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What to hand over together with the key. A secret: keep it out of logs.
    pub fn secret(&self) -> &SecretString {
        &self.token
    }

    pub(super) fn token(&self) -> &str {
        self.token.expose_secret()
    }
}

impl fmt::Debug for SignedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUpload(..)")
    }
}

/// The link for one key of many; a key that is missing or may not be seen has an error in its place.
pub type SignedLinkResult = Result<SignedLink, Error>;

/// The token at the end of an address. The key before it may hold `?` too, unencoded.
fn token(address: &str) -> Result<SecretString, Error> {
    let token = address.rsplit_once("token=").map(|(_, token)| token.split('&').next().unwrap_or_default());
    let plain = |token: &&str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    token.filter(plain).map(|token| token.to_owned().into()).ok_or_else(|| Error::new(UNREADABLE))
}

impl Bucket {
    /// Signs a download for `lifetime`, at least a second.
    ///
    /// # Errors
    ///
    /// `api.not_found` when the object does not exist or may not be seen, otherwise as
    /// [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a link that nobody got is of no use to anybody.
    pub async fn sign_download(&self, key: &str, lifetime: Duration) -> Result<SignedLink, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "signedURL")]
            url: String,
        }
        let call = self.call(Method::POST, &["object", "sign"], key)?;
        let call = call.json(&json!({"expiresIn": lifetime.as_secs().max(1)}))?.repeatable();
        let answer: Answer = self.client.send(call).await?.json()?;
        self.link(key, &answer.url)
    }

    /// Signs many downloads, 1,000 a call; the answers are in the order of `keys`.
    ///
    /// # Errors
    ///
    /// As [`Client::send`](crate::Client::send); what concerns one key is in its place.
    ///
    /// # Cancel safety
    ///
    /// As [`Bucket::sign_download`].
    pub async fn sign_downloads<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        lifetime: Duration,
    ) -> Result<Vec<SignedLinkResult>, Error> {
        #[derive(Deserialize)]
        struct Row {
            path: Option<String>,
            #[serde(rename = "signedURL")]
            url: Option<String>,
            error: Option<String>,
        }
        let keys = keys.into_iter().map(|key| object_key(key.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut links = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let call = self.plain(Method::POST, &["object", "sign"])?.value_segment("bucket", &self.name);
            let body = json!({"expiresIn": lifetime.as_secs().max(1), "paths": batch});
            let rows: Vec<Row> = self.client.send(call.json(&body)?.repeatable()).await?.json()?;
            for key in batch {
                let row = rows.iter().find(|row| row.path.as_deref() == Some(key));
                links.push(match row {
                    Some(Row { url: Some(url), .. }) => self.link(key, url),
                    Some(Row { error: Some(why), .. }) => Err(Error::new(NOT_FOUND).with_detail(why)),
                    _ => Err(Error::new(NOT_FOUND)),
                });
            }
        }
        Ok(links)
    }

    /// Signs an upload to `key`, which must be free.
    ///
    /// # Errors
    ///
    /// `api.forbidden` when this user may not upload, otherwise as [`Client::send`](crate::Client::send).
    ///
    /// # Cancel safety
    ///
    /// As [`Bucket::sign_download`].
    pub async fn sign_upload(&self, key: &str) -> Result<SignedUpload, Error> {
        self.permission(key, "false").await
    }

    /// Signs an upload to `key` that replaces what is there.
    ///
    /// # Errors
    ///
    /// As [`Bucket::sign_upload`].
    ///
    /// # Cancel safety
    ///
    /// As [`Bucket::sign_download`].
    pub async fn sign_upload_over(&self, key: &str) -> Result<SignedUpload, Error> {
        self.permission(key, "true").await
    }

    async fn permission(&self, key: &str, upsert: &'static str) -> Result<SignedUpload, Error> {
        #[derive(Deserialize)]
        struct Answer {
            url: String,
        }
        let call = self.call(Method::POST, &["object", "upload", "sign"], key)?.json(&json!({}))?;
        let call = call.header(UPSERT, HeaderValue::from_static(upsert)).repeatable();
        let answer: Answer = self.client.send(call).await?.json()?;
        Ok(SignedUpload { key: object_key(key)?, token: token(&answer.url)? })
    }

    /// Reads an object by a signed link of this bucket, for which nobody needs to be signed in.
    pub fn download_signed(&self, link: &SignedLink) -> Download {
        self.download(link.key.clone()).by_link(link.clone())
    }

    /// The address under which anybody can read an object of a public bucket.
    ///
    /// # Errors
    ///
    /// `storage.name_invalid` for names that the service does not take.
    pub fn public_url(&self, key: &str) -> Result<String, Error> {
        let call = self.call(Method::GET, &["object", "public"], key)?;
        Ok(self.client.origin().join(&call.path, None).into())
    }

    fn link(&self, key: &str, address: &str) -> Result<SignedLink, Error> {
        let (key, token) = (object_key(key)?, token(address)?);
        let call = self.call(Method::GET, &["object", "sign"], &key)?.query("token", token.expose_secret());
        let url = String::from(self.client.origin().join(&call.path, call.query.as_deref()));
        Ok(SignedLink { key, token, url: url.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_an_address_is_taken() {
        let taken = |address: &str| token(address).map(|token| token.expose_secret().to_owned()).ok();
        assert_eq!(taken("/object/sign/b/a?b token=x?token=a.b-c_d").as_deref(), Some("a.b-c_d"));
        assert_eq!(taken("https://elsewhere.example/x?token=a&download=").as_deref(), Some("a"));
        for bad in ["", "/object/sign/b/k", "/x?token=", "/x?token=a b", "/x?token=a%0d"] {
            assert_eq!(taken(bad), None, "{bad}");
        }
    }
}
