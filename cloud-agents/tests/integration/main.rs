//! The crate by its public API: against scripts and bodies made by hand, with paused time and no network, and against a
//! development cloud over real HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod agents;
mod ai;
mod cloud;
mod streams;

use std::sync::Arc;

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    random::Random,
    testing::{Scripted, Step},
};

/// Somebody who is signed in and stays so.
#[derive(Debug)]
struct SignedIn;

#[async_trait]
impl TokenSource for SignedIn {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        Ok(Some(AccessToken::new("token".to_owned().into(), 0)))
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        Ok(None)
    }
}

fn client(scripted: &Scripted) -> Client {
    let client = Client::builder("https://cloud.example", "sb_publishable_key").unwrap();
    let client = client.transport(scripted.shared()).random(Random::seeded(7)).build();
    client.with_token_source(Arc::new(SignedIn))
}

/// Failed questions, and the codes they come back under: the same for agents, whole answers and streams.
fn refusals() -> Vec<(&'static str, Step, &'static str)> {
    let json = Step::json;
    vec![
        (
            "nobody is signed in",
            json(401, "{}").header("sb-error-code", "UNAUTHORIZED_NO_AUTH_HEADER"),
            "ai.sign_in_required",
        ),
        (
            "the key went out as bearer",
            json(401, r#"{"code":401,"message":"Invalid JWT"}"#)
                .header("sb-error-code", "UNAUTHORIZED_INVALID_JWT_FORMAT"),
            "ai.sign_in_required",
        ),
        ("the function wants a user", json(401, r#"{"error":"nope"}"#), "ai.sign_in_required"),
        ("the token is refused", json(401, r#"{"code":401,"message":"Invalid JWT"}"#), "api.token_refused"),
        ("not allowed", json(403, r#"{"error":"no"}"#), "api.forbidden"),
        ("credits are gone", json(402, r#"{"error":"Credits depleted"}"#), "ai.quota"),
        (
            "over the daily limit",
            json(429, r#"{"error":"over","usage":{"used":50001,"limit":50000,"tier":"free"}}"#),
            "ai.quota",
        ),
        ("too fast", json(429, r#"{"error":"slow down"}"#).header("retry-after", "9"), "server.rate_limited"),
        ("a broken function", json(500, r#"{"error":"oops"}"#), "server.fault"),
        ("away", json(503, "{}"), "server.unavailable"),
        ("a gateway's page", Step::answer(502, "text/html", "<html>Bad Gateway</html>"), "server.unavailable"),
        ("a relay error under 200", json(200, "{}").header("x-relay-error", "true"), "server.unavailable"),
        ("a portal's page", Step::answer(200, "text/html", "<html>Sign in to the WLAN</html>"), "net.intercepted"),
        ("no JSON at all", json(200, "oops"), "net.unreadable"),
        ("half an answer", json(200, r#"{"choices":["#).then_cut(), "net.cut"),
        ("not deployed", json(404, "{}").header("sb-error-code", "NOT_FOUND"), "api.schema_mismatch"),
        ("no connection", Step::fail(cloud_client::error::codes::CONNECT), "net.connect"),
    ]
}
