//! One request on its way through a handler, and one transaction on the accounts.
//!
//! [`Call`] is what was asked, with the readers every handler needs. [`Call::transaction`] hands a [`Tx`] to a
//! closure on the database thread: the connection, the settings and the time, and a place for mails, which leave
//! only once the transaction is in.
//! Wire source: GoTrue, request parameters.

use std::{cell::RefCell, sync::Arc};

use http::{HeaderMap, header::REFERER, request::Parts};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Map, Value};

use super::{
    Auth,
    error::AuthError,
    mail::Letter,
    oauth::redirect,
    session::{self, Claims},
    settings::AuthSettings,
};
use crate::cloud::Cloud;

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) parts: &'a Parts,
    /// The JSON object, or the fields of a form; empty for requests without a body.
    pub(crate) body: Map<String, Value>,
}

impl Call<'_> {
    pub(crate) fn settings(&self) -> &AuthSettings {
        &self.cloud.auth.settings
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A text field that is not empty; absent, null and of another type are the same: not there.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// An object field; empty if it is anything else.
    pub(crate) fn object(&self, name: &str) -> Map<String, Value> {
        self.body.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// A parameter of the address that is not empty.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.queries().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// All parameters of the address.
    pub(crate) fn queries(&self) -> impl Iterator<Item = (String, String)> {
        let query = self.parts.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (key.into_owned(), value.into_owned()))
    }

    /// Where the browser shall end: what was asked for if it is allowed, else the referrer, else the site.
    pub(crate) fn redirect_to(&self) -> String {
        let header = |name| self.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let asked = header("redirect_to").map(str::to_owned).or_else(|| self.query("redirect_to"));
        let asked = asked.or_else(|| self.text("redirect_to").map(str::to_owned));
        let referrer = header(REFERER.as_str()).map(str::to_owned);
        let settings = self.settings();
        let allowed = |target: &String| redirect::is_allowed(target, &settings.site_url, &settings.redirect_urls);
        asked.filter(allowed).or_else(|| referrer.filter(allowed)).unwrap_or_else(|| settings.site_url.clone())
    }

    /// Whom the bearer of the request speaks for.
    pub(crate) async fn claims(&self) -> Result<Claims, AuthError> {
        session::authorize(self.cloud, self.headers()).await
    }

    /// Runs `work` in one transaction; an error undoes everything, mails included.
    pub(crate) async fn transaction<T, F>(&self, work: F) -> Result<T, AuthError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, AuthError> + Send + 'static,
    {
        transaction(self.cloud, work).await
    }
}

/// One transaction on the accounts.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) auth: &'a Auth,
    /// The address of the cloud, without a path.
    pub(crate) url: &'a str,
    /// Microseconds since 1970.
    pub(crate) now: i64,
    pub(crate) letters: RefCell<Vec<Letter>>,
}

impl Tx<'_> {
    pub(crate) fn settings(&self) -> &AuthSettings {
        &self.auth.settings
    }

    pub(crate) fn now_seconds(&self) -> i64 {
        self.now.div_euclid(1_000_000)
    }

    /// Whether `lifetime` has gone by since `start`, in microseconds since 1970.
    pub(crate) fn is_over(&self, start: i64, lifetime: std::time::Duration) -> bool {
        self.now > start.saturating_add(i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Runs `work` in one transaction; an error undoes everything, mails included.
pub(crate) async fn transaction<T, F>(cloud: &Cloud, work: F) -> Result<T, AuthError>
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T, AuthError> + Send + 'static,
{
    let (auth, url, now) = (Arc::clone(&cloud.auth), cloud.url().to_owned(), cloud.now_micros());
    cloud
        .db
        .call(move |conn| {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let tx = Tx { conn: &transaction, auth: &auth, url: &url, now, letters: RefCell::default() };
            let value = work(&tx)?;
            let letters = tx.letters.take();
            transaction.commit()?;
            auth.mailbox.deliver(letters, now);
            Ok(value)
        })
        .await
}
