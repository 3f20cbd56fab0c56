//! The table API's front: whose request it is, before the tables are asked.
//!
//! Bearer → identity → [`postgrest::handle`] on the database thread → answer. Without a bearer, or with an
//! API key in its place, nobody is signed in. Where a [`RestUpstream`](crate::rest_upstream) has the tables,
//! it answers instead.
//! Wire source: PostgREST, "Authentication" and error codes `PGRST301` and `PGRST303`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    core::{Identity, Role, jwt::JwtError},
    gateway,
    postgrest::{self, RestRequest},
};

/// Where the tables are mounted.
pub(crate) const PATH: &str = "/rest/v1/";

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Seconds past its end that PostgREST still takes a token.
const LEEWAY: i64 = 30;

/// Answers a request under [`PATH`].
pub(crate) async fn handle(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let identity = match identify(&cloud, &parts.headers) {
        Ok(identity) => identity,
        Err(response) => return *response,
    };
    let Some(body) = gateway::read(body, MAX_BODY_BYTES).await else {
        return gateway::refuse(StatusCode::PAYLOAD_TOO_LARGE, json!({ "message": "Request body is too large" }));
    };
    let path = parts.uri.path().strip_prefix(PATH).unwrap_or_default();
    let answer = if let Some(upstream) = &cloud.rest_upstream {
        let is_person = identity.role == Role::Authenticated;
        upstream.ask((parts.method, path, parts.uri.query()), parts.headers, body, is_person).await
    } else {
        let request = RestRequest {
            method: parts.method,
            path: path.to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            body,
        };
        let limit = cloud.settings.statement_timeout;
        cloud.db.call_within(limit, move |conn| postgrest::handle(conn, &identity, request)).await
    };
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn identify(cloud: &Cloud, headers: &HeaderMap) -> Result<Identity, Box<Response>> {
    let Some(bearer) = gateway::bearer(headers).filter(|bearer| !cloud.keys.accepts(bearer)) else {
        return Ok(Identity::anon());
    };
    match cloud.check(bearer, LEEWAY) {
        Ok(claims) => Ok(Cloud::person(claims).unwrap_or_else(Identity::anon)),
        Err(JwtError::Expired) => Err(refuse("PGRST303", "JWT expired")),
        Err(JwtError::Malformed) => {
            let message = "Expected 3 parts in JWT; got something else";
            Err(refuse("PGRST301", message))
        }
        Err(JwtError::Signature) => Err(refuse("PGRST301", "No suitable key or wrong key type")),
    }
}

fn refuse(code: &str, message: &str) -> Box<Response> {
    let body = json!({ "code": code, "message": message, "details": Value::Null, "hint": Value::Null });
    let mut response = gateway::refuse(StatusCode::UNAUTHORIZED, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{message}\"");
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    Box::new(response)
}
