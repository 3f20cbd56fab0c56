//! A small HTTP caller: sends one request, keeps the whole answer.

use std::{sync::Once, time::Duration};

use cloud_dev::{Builder, CloudDev, Running};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// One cloud and the client that talks to it.
pub(crate) struct Caller {
    pub(crate) cloud: Running,
    pub(crate) http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text at a JSON pointer.
    pub(crate) fn text_at(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} of {json}")).to_owned()
    }
}

/// A client without proxies, with a bound on everything.
pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test binary part may be first
    });
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

impl Caller {
    pub(crate) async fn start() -> Self {
        Self::with(CloudDev::builder()).await
    }

    pub(crate) async fn with(builder: Builder) -> Self {
        Self { cloud: builder.start().await.unwrap(), http: http() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.cloud.url())).header("apikey", self.cloud.publishable_key())
    }

    pub(crate) async fn get(&self, path: &str, bearer: Option<&str>) -> Answer {
        let request = self.request(Method::GET, path);
        send(match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        })
        .await
    }

    pub(crate) async fn post(&self, path: &str, bearer: Option<&str>, body: Value) -> Answer {
        let request = self.request(Method::POST, path).json(&body);
        send(match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        })
        .await
    }

    /// Signs in as the first or second person of the demo data.
    pub(crate) async fn sign_in(&self, person: usize) -> Answer {
        let person = &self.cloud.demo().people[person];
        let body = serde_json::json!({ "email": person.email, "password": person.password });
        let answer = self.post("/auth/v1/token?grant_type=password", None, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// An access token of the first person.
    pub(crate) async fn token(&self) -> String {
        self.sign_in(0).await.text_at("/access_token")
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let body = serde_json::json!({ "refresh_token": token });
        self.post("/auth/v1/token?grant_type=refresh_token", None, body).await
    }
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.unwrap()
}

/// As [`send`], for requests that may fail.
pub(crate) async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}
