//! Ways to sign in and what comes after, as a client sees them; the words are GoTrue's.

mod factors;
mod identities;
mod limits;
mod mails;
mod people;
mod pkce;
mod upstream;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Url, redirect::Policy};
use serde_json::{Value, json};

use crate::caller::{Answer, Caller, send};

/// A verifier and its challenge: RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Where a native application waits for the browser.
const LOOPBACK: &str = "http://127.0.0.1:9/callback";

/// A browser without a screen: follows one link at a time.
struct Browser(reqwest::Client);

impl Browser {
    fn new() -> Self {
        let _ = crate::caller::http(); // which names the TLS provider
        Self(reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap())
    }

    async fn open(&self, address: &str) -> Answer {
        send(self.0.get(address)).await
    }

    /// Opens an address that sends the browser on, and says where to.
    async fn follow(&self, address: &str) -> Url {
        location(&self.open(address).await)
    }

    /// Fills in the page of the built-in provider, and goes on until the browser leaves the cloud.
    async fn choose(&self, page: &Url, fields: &[(&str, &str)]) -> Url {
        let body = Url::parse_with_params("x:", fields).unwrap();
        let request = self.0.post(page.clone()).header("content-type", "application/x-www-form-urlencoded");
        let callback = location(&send(request.body(body.query().unwrap_or_default().to_owned())).await);
        self.follow(callback.as_str()).await
    }
}

fn location(answer: &Answer) -> Url {
    let target = answer.header("location");
    let target = target.unwrap_or_else(|| panic!("{} goes nowhere: {}", answer.status, answer.text));
    Url::parse(target).unwrap()
}

fn query(address: &Url) -> BTreeMap<String, String> {
    address.query_pairs().into_owned().collect()
}

fn fragment(address: &Url) -> BTreeMap<String, String> {
    let fragment = address.fragment().unwrap_or_default();
    Url::parse(&format!("x:?{fragment}")).unwrap().query_pairs().into_owned().collect()
}

fn claims(session: &Answer) -> Value {
    let token = session.text_at("/access_token");
    let part = token.split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    assert!(answer.status >= 400, "{}", answer.text);
    (answer.status, answer.text_at("/error_code"))
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

impl Caller {
    async fn auth(&self, path: &str, body: Value) -> Answer {
        self.post(&format!("/auth/v1{path}"), None, body).await
    }

    async fn put_user(&self, bearer: &str, body: Value) -> Answer {
        send(self.request(Method::PUT, "/auth/v1/user").bearer_auth(bearer).json(&body)).await
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Answer {
        self.auth("/token?grant_type=pkce", json!({ "auth_code": code, "code_verifier": verifier })).await
    }

    async fn verify(&self, kind: &str, email: &str, token: &str) -> Answer {
        self.auth("/verify", json!({ "type": kind, "email": email, "token": token })).await
    }

    fn authorize(&self, query: &[(&str, &str)]) -> String {
        Url::parse_with_params(&format!("{}/auth/v1/authorize", self.cloud.url()), query).unwrap().into()
    }

    fn mail_to(&self, email: &str) -> cloud_dev::Mail {
        self.cloud.mail_to(email).unwrap_or_else(|| panic!("no mail to {email}: {:?}", self.cloud.mails()))
    }
}

fn ok(answer: Answer) -> Answer {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}
