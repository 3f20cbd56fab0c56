//! Who asks the storage, and what this person may do with an object.
//!
//! Bearer → [`Identity`]; identity, action and place → yes or no, by the rules of [`policy`]. An API key in
//! the place of a token means that nobody is signed in.
//! Wire source: Supabase Storage, the `jwt` plugin; PostgreSQL row security on `storage.objects`.

use http::{HeaderMap, header::AUTHORIZATION};
use rusqlite::Connection;

use super::{error::StorageError, key::Place};
use crate::{
    cloud::Cloud,
    core::{
        Identity, Role,
        jwt::JwtError,
        policy::{self, Action},
    },
    gateway,
};

/// The asking person; a token that is not good is refused.
pub(super) fn required(cloud: &Cloud, headers: &HeaderMap) -> Result<Identity, StorageError> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(StorageError::request("headers must have required property 'authorization'"));
    }
    let bearer = gateway::bearer(headers).ok_or_else(|| StorageError::access_token(JwtError::Malformed))?;
    if cloud.keys.accepts(bearer) {
        return Ok(Identity::anon());
    }
    let claims = cloud.check(bearer, 0).map_err(StorageError::access_token)?;
    Ok(Cloud::person(claims).unwrap_or_else(Identity::anon))
}

/// Whether the rules let `identity` do `action` with an object at `place`.
pub(super) fn may(conn: &Connection, identity: &Identity, action: Action, place: &Place) -> rusqlite::Result<bool> {
    let rule = policy::STORAGE_OBJECTS.predicate(identity, action, "o");
    let text = format!("SELECT {rule} FROM (SELECT ?2 AS bucket_id, ?3 AS name) AS o WHERE ?1 IS ?1");
    conn.prepare_cached(&text)?.query_row((&identity.user_id, &place.bucket, &place.name), |row| row.get(0))
}

/// The person who will own what this identity stores.
pub(super) fn owner(identity: &Identity) -> Option<String> {
    identity.user_id.clone().filter(|_| identity.role != Role::Anon)
}
