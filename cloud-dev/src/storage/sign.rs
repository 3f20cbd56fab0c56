//! Signed addresses: a token that stands for one object and one purpose, for a while.
//!
//! Permission → token → address; address → token → the object, past every rule. The tokens are signed with
//! a key of their own, so an access token is never a signed address, nor the other way round.
//! Wire source: Supabase Storage, `/object/sign/…` and `/object/upload/sign/…`.

use axum::{
    Json,
    body::BodyDataStream,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};

use super::{
    call::Call,
    download,
    error::StorageError,
    key::Place,
    object,
    rows::Object,
    upload::{self, Claim},
};
use crate::{
    cloud::Cloud,
    core::{
        Identity,
        jwt::{self, JwtError},
    },
};

/// How long an upload token is good, in seconds.
const UPLOAD_LIFETIME: i64 = 2 * 3600;

/// Most objects in one request for addresses.
const MAX_PATHS: usize = 1000;

/// Keeps these tokens apart from access tokens.
const KEY_SUFFIX: &[u8] = b"/storage/signed";

/// What is said of an object that is missing or hidden.
const NOT_YOURS: &str = "Either the object does not exist or you do not have access to it";

const DOWNLOAD: &str = "download";
const UPLOAD: &str = "upload";

/// `POST /object/sign/{bucket}/{key}`.
pub(super) async fn one(call: Call<'_>, place: Place, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = call.identity()?;
    let expires = expiry(&object(body).await?)?;
    let asked = place.clone();
    let found = call.read(move |conn| Object::find(conn, &identity, &asked)).await?;
    found.ok_or_else(StorageError::no_such_key)?;
    Ok(Json(json!({ "signedURL": address(call.cloud, &place, expires) })).into_response())
}

/// `POST /object/sign/{bucket}`.
pub(super) async fn many(call: Call<'_>, bucket: String, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let identity = call.identity()?;
    let body = object(body).await?;
    let expires = expiry(&body)?;
    let paths: Vec<String> = body
        .get("paths")
        .and_then(|paths| serde_json::from_value(paths.clone()).ok())
        .ok_or_else(|| StorageError::request("body must have required property 'paths'"))?;
    if paths.is_empty() || paths.len() > MAX_PATHS {
        return Err(StorageError::request(format!("body/paths must have 1 to {MAX_PATHS} items")));
    }
    let places: Vec<Place> = paths.into_iter().map(|name| Place { bucket: bucket.clone(), name }).collect();
    let found = call.read(move |conn| {
        let find = |place: Place| Ok((Object::find(conn, &identity, &place)?.is_some(), place));
        places.into_iter().map(find).collect::<rusqlite::Result<Vec<_>>>()
    });
    let answers = found.await?.into_iter().map(|(found, place)| match found {
        true => json!({ "path": place.name, "signedURL": address(call.cloud, &place, expires), "error": null }),
        false => json!({ "path": place.name, "signedURL": null, "error": NOT_YOURS }),
    });
    Ok(Json(answers.collect::<Vec<_>>()).into_response())
}

/// `GET /object/sign/{bucket}/{key}?token=…`.
pub(super) async fn download(call: Call<'_>, place: Place) -> Result<Response, StorageError> {
    redeem(call.cloud, &token(call)?, DOWNLOAD, &place)?;
    download::send(call, Identity::service(), place).await
}

/// `POST /object/upload/sign/{bucket}/{key}`.
pub(super) async fn offer_upload(call: Call<'_>, place: Place) -> Result<Response, StorageError> {
    let claimed = call.claim(place)?;
    let asked = claimed.clone();
    call.read(move |conn| upload::admit(conn, &asked)).await?;
    let now = call.cloud.now_seconds();
    let claims = json!({
        "url": claimed.place.path(),
        "scope": UPLOAD,
        "owner": claimed.owner,
        "upsert": claimed.upsert,
        "iat": now,
        "exp": now + UPLOAD_LIFETIME,
    });
    let token = jwt::sign(&secret(call.cloud), &claims);
    let url = format!("/object/upload/sign/{}?token={token}", claimed.place.path());
    Ok(Json(json!({ "url": url, "token": token })).into_response())
}

/// `PUT /object/upload/sign/{bucket}/{key}?token=…`.
pub(super) async fn upload(call: Call<'_>, place: Place, body: &mut BodyDataStream) -> Result<Response, StorageError> {
    let claim = upload_claim(call, &token(call)?, place)?;
    let object = upload::receive(call, claim, body).await?;
    Ok(Json(json!({ "Key": object.place.path() })).into_response())
}

/// What an upload token allows: to store this object, for the person who asked for the token.
pub(super) fn upload_claim(call: Call<'_>, token: &str, place: Place) -> Result<Claim, StorageError> {
    let claims = redeem(call.cloud, token, UPLOAD, &place)?;
    let owner = claims.get("owner").and_then(Value::as_str).map(str::to_owned);
    let upsert = claims.get("upsert").and_then(Value::as_bool) == Some(true);
    Ok(Claim { identity: Identity::service(), owner, place, upsert })
}

fn redeem(cloud: &Cloud, token: &str, scope: &str, place: &Place) -> Result<Value, StorageError> {
    check(&secret(cloud), token, scope, place, cloud.now_seconds())
}

fn check(secret: &[u8], token: &str, scope: &str, place: &Place, now: i64) -> Result<Value, StorageError> {
    let claims = jwt::verify(secret, token, now, 0).map_err(StorageError::signed_token)?;
    let says = |field: &str, wanted: &str| claims.get(field).and_then(Value::as_str) == Some(wanted);
    if says("scope", scope) && says("url", &place.path()) { Ok(claims) } else { Err(StorageError::signature()) }
}

fn address(cloud: &Cloud, place: &Place, expires: i64) -> String {
    let now = cloud.now_seconds();
    let claims = json!({ "url": place.path(), "scope": DOWNLOAD, "iat": now, "exp": now.saturating_add(expires) });
    format!("/object/sign/{}?token={}", place.path(), jwt::sign(&secret(cloud), &claims))
}

fn secret(cloud: &Cloud) -> Vec<u8> {
    [cloud.keys.jwt_secret(), KEY_SUFFIX].concat()
}

/// The lifetime in seconds that a body asks for. Digits in a text count as well: the Python client sends them so.
fn expiry(body: &Map<String, Value>) -> Result<i64, StorageError> {
    let seconds = body.get("expiresIn").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    });
    seconds.filter(|seconds| *seconds >= 1).ok_or_else(|| StorageError::request("body/expiresIn must be integer >= 1"))
}

fn token(call: Call<'_>) -> Result<String, StorageError> {
    match call.query("token") {
        None => Err(StorageError::request("querystring must have required property 'token'")),
        Some(token) if token.is_empty() => Err(StorageError::signed_token(JwtError::Malformed)),
        Some(token) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_purpose_one_object_and_a_while() {
        let place = |name: &str| Place::new("b", name).unwrap();
        let token = jwt::sign(b"key", &json!({ "url": "b/a", "scope": DOWNLOAD, "exp": 100 }));
        let check = |key: &[u8], scope, name: &str, now| check(key, &token, scope, &place(name), now);
        assert!(check(b"key", DOWNLOAD, "a", 99).is_ok());
        for (key, scope, name, now, code, message) in [
            ("key", DOWNLOAD, "a", 100, "InvalidJWT", "\"exp\" claim timestamp check failed"),
            ("other", DOWNLOAD, "a", 99, "InvalidJWT", "signature verification failed"),
            ("key", UPLOAD, "a", 99, "InvalidSignature", "The signature does not fit this address"),
            ("key", DOWNLOAD, "b", 99, "InvalidSignature", "The signature does not fit this address"),
        ] {
            let error = check(key.as_bytes(), scope, name, now).unwrap_err();
            assert_eq!((error.code, error.status, &*error.message), (code, 400, message), "{key} {scope} {name} {now}");
        }
    }
}
