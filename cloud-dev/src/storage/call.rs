//! One request on its way through a handler, and one transaction on the objects.
//!
//! [`Call`] is what was asked, with the readers that handlers need; the body goes beside it, since only some read it.
//! [`Call::transaction`] hands a [`Tx`] to a closure on the database thread: the connection and the time.
//! Wire source: Supabase Storage, request parameters.

use http::{HeaderMap, HeaderName, Method, request::Parts};
use rusqlite::{Connection, TransactionBehavior};

use super::{asker, content, error::StorageError, key::Place, upload::Claim};
use crate::{cloud::Cloud, core::Identity};

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) parts: &'a Parts,
}

impl<'a> Call<'a> {
    pub(super) fn headers(self) -> &'a HeaderMap {
        &self.parts.headers
    }

    /// A header, if it is text.
    pub(super) fn header(self, name: &HeaderName) -> Option<&'a str> {
        content::text(self.headers(), name)
    }

    /// A parameter of the address.
    pub(super) fn query(self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Whether it asks to see something rather than to change it.
    pub(super) fn reads(self) -> bool {
        matches!(self.parts.method, Method::GET | Method::HEAD)
    }

    /// The asking person; a token that is not good is refused.
    pub(super) fn identity(self) -> Result<Identity, StorageError> {
        asker::required(self.cloud, self.headers())
    }

    /// What the asking person wants to store at `place`.
    pub(super) fn claim(self, place: Place) -> Result<Claim, StorageError> {
        let identity = self.identity()?;
        Ok(Claim { owner: asker::owner(&identity), identity, place, upsert: content::upsert(self.headers()) })
    }

    /// Runs `work` on the database.
    pub(super) async fn read<T, E, F>(self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.cloud.db.call(move |conn| work(conn)).await
    }

    /// Runs `work` in one transaction; an error undoes everything.
    pub(super) async fn transaction<T, E, F>(self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let now = self.cloud.now_micros();
        let done = self.cloud.db.call(move |conn| {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&Tx { conn: &transaction, now })?;
            transaction.commit()?;
            Ok(value)
        });
        done.await
    }
}

/// One transaction on the objects.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    /// Microseconds since 1970.
    pub(super) now: i64,
}
