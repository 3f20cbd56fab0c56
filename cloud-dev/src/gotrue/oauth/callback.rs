//! The way back: the provider says who it was, and the browser goes on to the application.
//!
//! State → flow → person → account → tokens in the fragment, or a code for whoever has the verifier. Whatever
//! goes wrong is told to the application in query and fragment; without a flow, to the site.
//! Wire source: GoTrue `/callback`.

use axum::response::Response;
use http::StatusCode;

use super::{Provider, page, redirect};
use crate::gotrue::{
    call::{Call, Tx},
    error::AuthError,
    identity::link::{self, Person},
    pkce::Flow,
    session::{self, Started},
};

/// Who came back, and the provider's own tokens.
pub(super) struct Arrival {
    pub(super) person: Person,
    pub(super) token: Option<String>,
    pub(super) refresh_token: Option<String>,
}

/// `GET /callback` and `POST /callback`.
pub(crate) async fn callback(call: &Call<'_>) -> Response {
    let flow = match find(call).await {
        Ok(flow) => flow,
        Err(error) => {
            let target = redirect::with_error(&call.settings().site_url, &error, true);
            return redirect::to(StatusCode::SEE_OTHER, &target);
        }
    };
    let target = flow.redirect_to.clone().unwrap_or_else(|| call.settings().site_url.clone());
    let target = match arrive(call, flow).await {
        Ok(End::Code(code)) => redirect::with_code(&target, &code),
        Ok(End::Session(started)) => redirect::with_tokens(&target, &started.to_json(call.cloud), None),
        Err(error) => redirect::with_error(&target, &error, true),
    };
    redirect::to(StatusCode::FOUND, &target)
}

/// What the application gets.
enum End {
    Code(String),
    Session(Box<Started>),
}

/// A parameter of the provider's answer, wherever it put it.
fn answer(call: &Call<'_>, name: &str) -> Option<String> {
    call.text(name).map(str::to_owned).or_else(|| call.query(name))
}

async fn find(call: &Call<'_>) -> Result<Flow, AuthError> {
    let state = answer(call, "state")
        .ok_or_else(|| AuthError::bad_request("bad_oauth_callback", "OAuth state parameter missing"))?;
    if uuid::Uuid::parse_str(&state).is_err() {
        return Err(AuthError::bad_request("bad_oauth_state", "OAuth state parameter is invalid"));
    }
    call.transaction(move |tx| usable(tx, &state)).await
}

fn usable(tx: &Tx<'_>, state: &str) -> Result<Flow, AuthError> {
    let bad = |message: &str| AuthError::bad_request("bad_oauth_state", message);
    let flow = Flow::by_id(tx, state)?.ok_or_else(|| bad("OAuth state not found or expired"))?;
    if flow.is_expired(tx) {
        return Err(bad("OAuth state has expired"));
    }
    if flow.user_id.is_some() {
        return Err(AuthError::bad_request("flow_state_already_used", "State has already been used"));
    }
    Ok(flow)
}

async fn arrive(call: &Call<'_>, flow: Flow) -> Result<End, AuthError> {
    if let Some(error) = answer(call, "error") {
        return Err(AuthError::oauth(error, answer(call, "error_description").unwrap_or_default()));
    }
    let code = answer(call, "code").ok_or_else(|| {
        let message = "OAuth callback with missing authorization code missing";
        AuthError::bad_request("bad_oauth_callback", message)
    })?;
    let arrival = if flow.provider.starts_with("sso:") {
        page::redeem(call.cloud, &flow, &code)?
    } else {
        match Provider::find(&call.cloud.auth, &flow.provider)? {
            Provider::BuiltIn(_) => page::redeem(call.cloud, &flow, &code)?,
            Provider::Upstream(upstream) => upstream.redeem(call.cloud.url(), &flow, &code).await?,
        }
    };
    call.transaction(move |tx| end(tx, &flow.id, arrival)).await?
}

/// The inner error stays with what was stored, see [`link::sign_in`].
fn end(tx: &Tx<'_>, flow_id: &str, arrival: Arrival) -> Result<Result<End, AuthError>, AuthError> {
    let mut flow = usable(tx, flow_id)?; // again: the provider took its time
    let user_id = match &flow.link_user_id {
        Some(user_id) => {
            link::add(tx, user_id, &arrival.person)?;
            user_id.clone()
        }
        None => match link::sign_in(tx, &arrival.person)? {
            Ok(user_id) => user_id,
            Err(error) => return Ok(Err(error)),
        },
    };
    if let Some(code) = flow.auth_code.clone() {
        flow.user_id = Some(user_id);
        (flow.provider_token, flow.provider_refresh_token) = (arrival.token, arrival.refresh_token);
        flow.issue(tx)?;
        return Ok(Ok(End::Code(code)));
    }
    flow.remove(tx)?;
    let mut started = session::start(tx, &user_id, &flow.method)?;
    (started.provider_token, started.provider_refresh_token) = (arrival.token, arrival.refresh_token);
    Ok(Ok(End::Session(Box::new(started))))
}
