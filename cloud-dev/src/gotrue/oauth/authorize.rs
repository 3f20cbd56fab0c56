//! The way out: a flow is noted, and the browser goes to the provider.
//!
//! The flow's id is the `state` of the request to the provider. Parameters we do not know are handed on; those
//! that are ours to set are not. Wire source: GoTrue `/authorize`, `/user/identities/authorize`, `/sso`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{Provider, page, redirect};
use crate::gotrue::{
    call::Call,
    error::AuthError,
    identity::link,
    pkce::{self, Challenge, Flow},
};

/// Parameters that a client does not set for us.
const RESERVED: [&str; 14] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "state",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "scope",
    "scopes",
    "provider",
    "redirect_to",
    "skip_http_redirect",
    "apikey",
];

/// `GET /authorize`.
pub(crate) async fn authorize(call: &Call<'_>) -> Result<Response, AuthError> {
    let address = address(call, None).await?;
    Ok(redirect::to(StatusCode::FOUND, address.as_str()))
}

/// `GET /user/identities/authorize`.
pub(crate) async fn link(call: &Call<'_>) -> Result<Response, AuthError> {
    let claims = call.claims().await?;
    link::may_link(call)?;
    let address = address(call, Some(claims.user_id)).await?;
    match call.query("skip_http_redirect").as_deref() {
        Some("true") => Ok(Json(json!({ "url": address.as_str() })).into_response()),
        _ => Ok(redirect::to(StatusCode::FOUND, address.as_str())),
    }
}

async fn address(call: &Call<'_>, link_user_id: Option<String>) -> Result<Url, AuthError> {
    let name = call.query("provider").unwrap_or_default();
    let provider = Provider::find(&call.cloud.auth, &name)?;
    let challenge = Challenge::of_query(call)?;
    let mut flow = Flow::new(challenge, &name.to_lowercase(), "oauth");
    flow.redirect_to = Some(call.redirect_to());
    flow.link_user_id = link_user_id;
    let scopes = call.query("scopes").unwrap_or_default();
    let mut address = match provider {
        Provider::BuiltIn(name) => page::address(call.cloud.url(), &name, &flow.id),
        Provider::Upstream(upstream) => {
            let verifier = pkce_verifier()?;
            let challenge = pkce::s256(&verifier);
            flow.upstream_verifier = Some(verifier);
            upstream.authorize(call.cloud.url(), &flow.id, &challenge, &scopes).await?
        }
    };
    let extras: Vec<(String, String)> =
        call.queries().filter(|(name, _)| !RESERVED.contains(&name.to_lowercase().as_str())).collect();
    if !extras.is_empty() {
        address.query_pairs_mut().extend_pairs(extras);
    }
    call.transaction(move |tx| Ok(flow.insert(tx)?)).await?;
    Ok(address)
}

/// The id of the provider that stands for a domain's own.
pub(crate) fn sso_id(domain: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, domain.as_bytes()).to_string()
}

/// `POST /sso`.
pub(crate) async fn sso(call: &Call<'_>) -> Result<Response, AuthError> {
    let invalid = |message: &str| Err(AuthError::bad_request("validation_failed", message));
    let domains = &call.settings().sso_domains;
    let not_found = |message: &str| Err(AuthError::new(StatusCode::NOT_FOUND, "sso_provider_not_found", message));
    let domain = match (call.text("domain"), call.text("provider_id")) {
        (Some(_), Some(_)) => return invalid("Only one of provider_id or domain supported"),
        (None, None) => return invalid("A provider_id or domain needs to be provided"),
        (Some(domain), None) => match domains.iter().find(|known| known.eq_ignore_ascii_case(domain)) {
            Some(domain) => domain,
            None => return not_found("No SSO provider assigned for this domain"),
        },
        (None, Some(id)) if Uuid::parse_str(id).is_err() => return invalid("provider_id is not a valid UUID"),
        (None, Some(id)) => match domains.iter().find(|known| sso_id(known) == id) {
            Some(domain) => domain,
            None => return not_found("No such SSO provider"),
        },
    };
    let provider = format!("sso:{}", sso_id(domain));
    let mut flow = Flow::new(Challenge::of_body(call)?, &provider, "sso/saml");
    flow.redirect_to = Some(call.redirect_to());
    let address = page::address(call.cloud.url(), &provider, &flow.id);
    call.transaction(move |tx| Ok(flow.insert(tx)?)).await?;
    match call.body.get("skip_http_redirect") {
        Some(Value::Bool(true)) => Ok(Json(json!({ "url": address.as_str() })).into_response()),
        _ => Ok(redirect::to(StatusCode::SEE_OTHER, address.as_str())),
    }
}

/// A verifier for our own flow with a provider.
fn pkce_verifier() -> Result<String, AuthError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::no_randomness())?;
    Ok(base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes))
}
