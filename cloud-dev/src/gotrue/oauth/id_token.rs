//! The grant for a token that a provider gave to the application itself.
//!
//! A token is taken from the upstream provider of that name, if its signature is by one of the provider's keys,
//! or from the built-in one, if this cloud signed it. Wire source: GoTrue `grant_type=id_token`; RFC 7515, 7518.

use std::fmt::Write as _;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Provider, page, upstream::Upstream};
use crate::{
    cloud::Cloud,
    core::jwt,
    gotrue::{
        call::Call,
        error::AuthError,
        identity::link::{self, Person},
        session,
    },
};

/// The audience of tokens that the built-in provider gives out.
const AUDIENCE: &str = "cloud-dev";

/// How long they are good, in seconds.
const LIFETIME: i64 = 3600;

pub(crate) async fn grant(call: &Call<'_>) -> Result<Response, AuthError> {
    let invalid = |message: &str| AuthError::oauth("invalid request", message);
    let token = call.text("id_token").ok_or_else(|| invalid("id_token required"))?;
    let name = call.text("provider").ok_or_else(|| invalid("provider or client_id and issuer required"))?;
    let link_user_id = match call.body.get("link_identity") {
        Some(Value::Bool(true)) => Some(call.claims().await?.user_id),
        _ => None,
    };
    let provider = Provider::find(&call.cloud.auth, name)
        .map_err(|_| invalid(&format!("Custom OIDC provider \"{name}\" not allowed")))?;
    let (name, claims, audience) = match provider {
        Provider::BuiltIn(name) => (name, own(call.cloud, token)?, AUDIENCE),
        Provider::Upstream(upstream) => {
            let claims = foreign(upstream, token, call.cloud.now_seconds()).await?;
            (upstream.name().to_owned(), claims, upstream.client_id())
        }
    };
    if !audiences(&claims).contains(&audience) {
        let message = format!("Unacceptable audience in id_token: [{}]", audiences(&claims).join(" "));
        return Err(invalid(&message));
    }
    check_nonce(claims.get("nonce").and_then(Value::as_str), call.text("nonce"))?;
    let person = Person::of_claims(&name, &claims).ok_or_else(|| invalid("Missing sub claim in id_token"))?;
    let started = call
        .transaction(move |tx| {
            let user_id = match link_user_id {
                Some(user_id) => {
                    link::add(tx, &user_id, &person)?;
                    user_id
                }
                None => match link::sign_in(tx, &person)? {
                    Ok(user_id) => user_id,
                    Err(error) => return Ok(Err(error)),
                },
            };
            session::start(tx, &user_id, "oauth").map(Ok)
        })
        .await??;
    Ok(Json(started.to_json(call.cloud)).into_response())
}

/// A token of the built-in provider for this person; `nonce` as the application will show it.
pub(crate) fn issue(cloud: &Cloud, provider: &str, email: &str, nonce: Option<&str>) -> String {
    let now = cloud.now_seconds();
    let email = email.trim().to_lowercase();
    let subject = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{provider}:{email}").as_bytes());
    let mut claims = json!({
        "iss": format!("{}{}", cloud.url(), page::PATH), "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME,
        "sub": subject.to_string(), "email": email, "email_verified": true, "name": email.split('@').next(),
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(hashed(nonce));
    }
    jwt::sign(cloud.keys.jwt_secret(), &claims)
}

/// Both must have one or none must, and the token's is the hash of ours.
fn check_nonce(in_token: Option<&str>, given: Option<&str>) -> Result<(), AuthError> {
    match (in_token.filter(|nonce| !nonce.is_empty()), given) {
        (None, None) => Ok(()),
        (Some(in_token), Some(given)) if hashed(given) == in_token => Ok(()),
        (Some(_), Some(_)) => Err(AuthError::oauth("invalid nonce", "Nonces mismatch")),
        _ => {
            let message = "Passed nonce and nonce in id_token should either both exist or not.";
            Err(AuthError::oauth("invalid request", message))
        }
    }
}

fn hashed(nonce: &str) -> String {
    Sha256::digest(nonce).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn bad() -> AuthError {
    AuthError::oauth("invalid request", "Bad ID token")
}

fn own(cloud: &Cloud, token: &str) -> Result<Map<String, Value>, AuthError> {
    let claims = jwt::verify(cloud.keys.jwt_secret(), token, cloud.now_seconds(), 0).map_err(|_| bad())?;
    // An access token is signed with the same key, and is no proof of anything here.
    let issuer = format!("{}{}", cloud.url(), page::PATH);
    match claims {
        Value::Object(claims) if claims.get("iss").and_then(Value::as_str) == Some(&issuer) => Ok(claims),
        _ => Err(bad()),
    }
}

async fn foreign(upstream: &Upstream, token: &str, now: i64) -> Result<Map<String, Value>, AuthError> {
    let (issuer, keys) = upstream.keys().await?;
    let claims = signed_by(token, &keys).ok_or_else(bad)?;
    let good = claims.get("iss").and_then(Value::as_str) == Some(issuer)
        && claims.get("exp").and_then(Value::as_i64).is_some_and(|expires| now < expires);
    if good { Ok(claims) } else { Err(bad()) }
}

/// The claims of a token whose signature is by one of the keys.
fn signed_by(token: &str, keys: &Value) -> Option<Map<String, Value>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let candidates = keys["keys"].as_array()?.iter();
    let mut candidates = candidates.filter(|key| header["kid"].is_null() || header["kid"] == key["kid"]);
    let good = candidates.any(|key| is_signed_by(key, header["alg"].as_str(), signed.as_bytes(), &signature));
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    if good { serde_json::from_slice(&claims).ok() } else { None }
}

fn is_signed_by(key: &Value, algorithm: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
    let part = |name: &str| key[name].as_str().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let verified = match (key["kty"].as_str(), algorithm) {
        (Some("RSA"), Some("RS256")) => RsaPublicKeyComponents { n: part("n"), e: part("e") }.verify(
            &signature::RSA_PKCS1_2048_8192_SHA256,
            message,
            signature,
        ),
        (Some("EC"), Some("ES256")) if key["crv"] == "P-256" => {
            let point = [vec![4], part("x"), part("y")].concat();
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
        }
        (Some("OKP"), Some("EdDSA")) if key["crv"] == "Ed25519" => {
            UnparsedPublicKey::new(&signature::ED25519, part("x")).verify(message, signature)
        }
        _ => return false,
    };
    verified.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_in_both_or_in_neither_and_hashed_in_the_token() {
        let hash = hashed("n");
        assert!(check_nonce(None, None).is_ok());
        assert!(check_nonce(Some(&hash), Some("n")).is_ok());
        for (in_token, given) in
            [(Some(hash.as_str()), Some("m")), (Some("n"), Some("n")), (None, Some("n")), (Some(&hash), None)]
        {
            assert!(check_nonce(in_token, given).is_err(), "{in_token:?} {given:?}");
        }
    }

    #[test]
    fn the_published_signature_is_accepted_and_no_other() {
        // RFC 8037, appendix A: a key and what it signed.
        let keys =
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
        assert!(is_signed_by(&keys["keys"][0], Some("EdDSA"), signed.as_bytes(), &signature));
        assert!(!is_signed_by(&keys["keys"][0], Some("EdDSA"), b"another", &signature));
        assert!(!is_signed_by(&keys["keys"][0], Some("HS256"), signed.as_bytes(), &signature));
        assert!(!is_signed_by(&keys["keys"][0], None, signed.as_bytes(), &signature));
    }
}
