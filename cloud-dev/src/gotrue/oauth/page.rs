//! The built-in provider: a page where one chooses who one is, and nothing else.
//!
//! `GET` shows the page, `POST` to the same address is its form: `email=…` signs in as that person, `decision=deny`
//! refuses. A program completes a sign-in by that `POST` alone. The code it hands to `/callback` is a signed note
//! of the choice, good for this flow and two minutes.
//! Wire source: RFC 6749, section 4.1, between a browser and an authorization server.

use axum::{
    body::Body,
    response::{Html, IntoResponse as _, Response},
};
use http::{HeaderValue, Method, StatusCode, header::CACHE_CONTROL, request::Parts};
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::{callback::Arrival, redirect};
use crate::{
    cloud::Cloud,
    core::jwt,
    gateway,
    gotrue::{self, account::email_address, error::AuthError, identity::link::Person, pkce::Flow},
    seed::Demo,
};

/// Where the page is.
pub(crate) const PATH: &str = "/dev/v1/provider";

/// The audience of a note, so that no other token of this cloud passes for one.
const AUDIENCE: &str = "cloud-dev:provider-code";

/// How long a note is good, in seconds.
const LIFETIME: i64 = 120;

/// The page's address for one flow.
pub(super) fn address(cloud: &str, provider: &str, state: &str) -> Url {
    let mut address = Url::parse(&format!("{cloud}{PATH}")).expect("the address of this cloud is one");
    address
        .query_pairs_mut()
        .append_pair("provider", provider)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", &format!("{cloud}{}/callback", gotrue::PATH))
        .append_pair("state", state);
    address
}

/// Shows the page, or takes its form.
pub(crate) async fn handle(cloud: &Cloud, parts: &Parts, body: Body) -> Response {
    let query = |name: &str| {
        let query = parts.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let (provider, state) = (query("provider").unwrap_or_default(), query("state").unwrap_or_default());
    match *gateway::without_head(&parts.method) {
        Method::GET => show(&provider, query("login_hint").as_deref()),
        Method::POST => match gotrue::form(body).await {
            Ok(form) => decide(cloud, &provider, &state, &form),
            Err(error) => error.into_response(&parts.headers),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn decide(cloud: &Cloud, provider: &str, state: &str, form: &Map<String, Value>) -> Response {
    let text = |name: &str| form.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let mut target =
        Url::parse(&format!("{}{}/callback", cloud.url(), gotrue::PATH)).expect("an address of this cloud");
    if text("decision") == Some("deny") {
        let description = "The user denied the request";
        target.query_pairs_mut().append_pair("error", "access_denied").append_pair("error_description", description);
    } else {
        let Ok(email) = email_address(text("email").unwrap_or_default()) else {
            let page = (StatusCode::BAD_REQUEST, show(provider, None));
            return page.into_response();
        };
        let name = text("name").or_else(|| email.split('@').next()).unwrap_or_default();
        // The same person has the same id with a provider, always.
        let subject = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{provider}:{email}").as_bytes());
        let note = json!({
            "aud": AUDIENCE, "state": state, "provider": provider, "exp": cloud.now_seconds() + LIFETIME,
            "sub": subject.to_string(), "email": email, "email_verified": text("unverified").is_none(),
            "name": name, "preferred_username": email.split('@').next(),
        });
        target.query_pairs_mut().append_pair("code", &jwt::sign(cloud.keys.jwt_secret(), &note));
    }
    target.query_pairs_mut().append_pair("state", state);
    redirect::to(StatusCode::SEE_OTHER, target.as_str())
}

/// Whom a note is about.
pub(super) fn redeem(cloud: &Cloud, flow: &Flow, code: &str) -> Result<Arrival, AuthError> {
    let refused = || {
        let start: String = code.chars().take(4).collect();
        AuthError::internal(format!("Unable to exchange external code: {start}"))
    };
    let note = jwt::verify(cloud.keys.jwt_secret(), code, cloud.now_seconds(), 0).map_err(|_| refused())?;
    let is = |name: &str, expected: &str| note[name].as_str() == Some(expected);
    if !is("aud", AUDIENCE) || !is("state", &flow.id) || !is("provider", &flow.provider) {
        return Err(refused());
    }
    let mut claims = note.as_object().cloned().unwrap_or_default();
    claims.retain(|name, _| name != "state" && name != "provider");
    claims.insert("iss".to_owned(), json!(format!("{}{PATH}", cloud.url())));
    let person = Person::of_claims(&flow.provider, &claims).ok_or_else(refused)?;
    let (token, refresh_token) = match person.provider.starts_with("sso:") {
        true => (None, None),
        false => (Some(format!("dev-provider-{}", Uuid::new_v4())), None),
    };
    Ok(Arrival { person, token, refresh_token })
}

fn show(provider: &str, hint: Option<&str>) -> Response {
    let people = Demo::new().people;
    let buttons: String = people
        .iter()
        .map(|person| format!("<button name=\"email\" value=\"{0}\">{0}</button>\n", escape(&person.email)))
        .collect();
    let name = if provider.starts_with("sso:") { "single sign-on" } else { provider };
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Sign in with {name}</title>\n<style>\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 10vh auto; padding: 0 1rem }}\n\
         button, input {{ font: inherit; display: block; width: 100%; box-sizing: border-box; margin: .4rem 0; padding: .6rem }}\n\
         p {{ color: #555 }}\n</style>\n<h1>Sign in with {name}</h1>\n\
         <p>This is a stand-in of the development cloud for the real provider. Choose who you are.</p>\n\
         <form method=\"post\">\n{buttons}</form>\n\
         <form method=\"post\">\n<label>Somebody else <input type=\"email\" name=\"email\" required value=\"{hint}\"></label>\n\
         <label>Name <input name=\"name\"></label>\n<button>Continue</button>\n</form>\n\
         <form method=\"post\">\n<button name=\"decision\" value=\"deny\">Deny</button>\n</form>\n</html>\n",
        name = escape(name),
        hint = escape(hint.unwrap_or_default()),
    );
    let mut response = Html(page).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert("content-security-policy", policy);
    response
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
