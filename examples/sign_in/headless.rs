//! A browser that shows nothing: follows redirects, and says on the embedded cloud's provider page who it is.
use reqwest::{Client, Url, header::LOCATION, redirect::Policy};

use crate::report::{Cause, plain};

/// More pages than this means going in circles.
const MOST_PAGES: usize = 10;
/// As much of a page is shown, in characters.
const SAID_LIMIT: usize = 200;

/// Goes from `address` to the page that stays, as `email`.
pub async fn browse(address: &str, email: &str) -> Result<(), Cause> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // somebody else was first, then
    let failed = |error: reqwest::Error| Cause::Check(format!("the provider's page: {}", error.without_url()));
    let browser = Client::builder().redirect(Policy::none()).no_proxy().build().map_err(failed)?;
    let mut url = Url::parse(address).map_err(|error| Cause::Check(error.to_string()))?;
    for _ in 0..MOST_PAGES {
        let mut answer = browser.get(url.clone()).send().await.map_err(failed)?;
        if answer.status().is_success() && url.path().ends_with("/provider") {
            // The page is a form that goes back to its own address.
            let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("email", email).finish();
            let post = browser.post(url.clone()).header("content-type", "application/x-www-form-urlencoded");
            answer = post.body(form).send().await.map_err(failed)?;
        }
        if answer.status().is_success() {
            return Ok(());
        }
        if !answer.status().is_redirection() {
            let status = answer.status();
            let said: String = plain(&answer.text().await.map_err(failed)?).chars().take(SAID_LIMIT).collect();
            return Err(Cause::Check(format!("the last page says {status}: {}", said.trim())));
        }
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        url = url.join(location).map_err(|error| Cause::Check(format!("a redirect to nowhere: {error}")))?;
    }
    Err(Cause::Check(format!("no end after {MOST_PAGES} pages")))
}
