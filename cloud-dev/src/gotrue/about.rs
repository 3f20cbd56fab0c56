//! What the service says of itself: that it lives, what it can, and its public keys.
//!
//! Wire source: GoTrue `/health`, `/settings`, `/.well-known/jwks.json`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header::CACHE_CONTROL};
use serde_json::{Value, json};

use super::{Auth, oauth::BUILT_IN, settings::AuthFeature};

/// `GET /health`.
pub(crate) fn health() -> Value {
    json!({
        "version": concat!("cloud-dev ", env!("CARGO_PKG_VERSION")),
        "name": "GoTrue",
        "description": "Accounts of an embedded development cloud, with the interface of GoTrue",
    })
}

/// `GET /settings`.
pub(crate) fn settings(auth: &Auth) -> Value {
    let settings = &auth.settings;
    let mut external = json!({
        "anonymous_users": settings.allows(AuthFeature::AnonymousSignUp),
        "email": settings.allows(AuthFeature::Email),
        "bitbucket": false, "facebook": false, "keycloak": false, "phone": false,
    });
    for name in BUILT_IN.into_iter().chain(auth.upstreams.iter().map(|upstream| upstream.name())) {
        external[name] = json!(true);
    }
    json!({
        "external": external,
        "disable_signup": !settings.allows(AuthFeature::SignUp),
        "mailer_autoconfirm": !settings.confirm_email,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": !settings.sso_domains.is_empty(),
        "passkeys_enabled": false,
    })
}

/// `GET /.well-known/jwks.json`: the only key here is symmetric, and those are never listed.
pub(crate) fn jwks() -> Response {
    let mut response = Json(json!({ "keys": [] })).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}
