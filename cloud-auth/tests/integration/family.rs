//! A model of the auth server's token families: rotation, the predecessor rule, and death by reuse.
//!
//! Refresh tokens are `rt-<session>-<n>`. The current one rotates; its direct predecessor is answered with the current
//! one; anything older kills the session, and counts as a broken promise of the client.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cloud_auth::{Auth, SecretStore, store::SecretStoreHandle};
use cloud_client::{
    Client, Error,
    clock::SharedClock,
    error::codes::{CONNECT, CUT},
    retry::Policy,
    transport::{Request, Response, SharedTransport, Transport},
};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What becomes of one refresh on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Request,
    Answer,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The newest refresh token of each session; `None` when it has ended.
    sessions: Vec<Option<u32>>,
    issued: u32,
    refreshing: usize,
    /// The most refreshes that were under way at once.
    pub(crate) overlap: usize,
    /// Refreshes and second factors that were asked for.
    pub(crate) refreshes: usize,
    /// Tokens that were two or more behind.
    pub(crate) stale: usize,
    /// Second factors that were accepted.
    pub(crate) verified: usize,
    lost: Option<(usize, Lost)>,
}

/// The server. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    books: Arc<Mutex<Books>>,
    clock: SharedClock,
    pace: Duration,
}

impl Family {
    /// Takes this long for each answer.
    pub(crate) fn slow(pace: Duration) -> Self {
        Self { pace, ..Self::default() }
    }

    pub(crate) fn books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loses the refresh number `nth` from now on.
    pub(crate) fn lose(&self, nth: usize, lost: Lost) {
        self.books(|books| books.lost = Some((books.refreshes + nth, lost)));
    }

    pub(crate) fn open(&self, store: impl SecretStore + 'static) -> Auth {
        let client = Client::builder(crate::world::ORIGIN, "sb_publishable_test").expect("a good address");
        let client = client.transport(SharedTransport::new(self.clone())).retry(Policy::never()).build();
        Auth::builder(client, SecretStoreHandle::new(store)).open()
    }

    fn answer(&self, target: &str, token: &str, body: &str) -> (u16, String) {
        self.books(|books| match target {
            "/auth/v1/factors/f1/challenge" => (200, r#"{"id":"c1","type":"totp","expires_at":1}"#.to_owned()),
            "/auth/v1/factors/f1/verify" => books.verify(token),
            "/auth/v1/user" => (200, r#"{"id":"u1"}"#.to_owned()),
            "/auth/v1/token?grant_type=password" => {
                books.sessions.push(Some(0));
                books.grant(books.sessions.len() - 1, 0)
            }
            "/auth/v1/token?grant_type=refresh_token" => books.refresh(body),
            _ if target.starts_with("/auth/v1/logout") => (204, String::new()),
            _ => (200, "[]".to_owned()),
        })
    }
}

impl Books {
    fn grant(&mut self, session: usize, n: u32) -> (u16, String) {
        self.issued += 1;
        let body = format!(
            r#"{{"access_token":"at-{session}-{}","expires_in":3600,"refresh_token":"rt-{session}-{n}","user":{{"id":"u1"}}}}"#,
            self.issued
        );
        (200, body)
    }

    /// A second factor: the session goes on with a new token, and the one before becomes its predecessor.
    fn verify(&mut self, token: &str) -> (u16, String) {
        let session = token.trim_start_matches("Bearer at-").split('-').next();
        let session: usize = session.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let Some(Some(current)) = self.sessions.get_mut(session) else {
            return (403, r#"{"error_code":"session_not_found"}"#.to_owned());
        };
        *current += 1;
        self.verified += 1;
        let next = *current;
        self.grant(session, next)
    }

    fn refresh(&mut self, body: &str) -> (u16, String) {
        let refused = |code: &str| (400, format!(r#"{{"error_code":"{code}"}}"#));
        let token = body.trim_start_matches(r#"{"refresh_token":"rt-"#).trim_end_matches("\"}");
        let Some((session, n)) = token.split_once('-') else { return refused("validation_failed") };
        let (session, n): (usize, u32) = (session.parse().unwrap_or(usize::MAX), n.parse().unwrap_or(u32::MAX));
        match self.sessions.get_mut(session) {
            Some(Some(current)) if n == *current => {
                *current += 1;
                let next = *current;
                self.grant(session, next)
            }
            Some(Some(current)) if n + 1 == *current => {
                let current = *current;
                self.grant(session, current)
            }
            Some(entry @ Some(_)) => {
                *entry = None;
                self.stale += 1;
                refused("refresh_token_already_used")
            }
            _ => refused("refresh_token_not_found"),
        }
    }
}

#[async_trait]
impl Transport for Family {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", request.url.path());
        let token = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.unwrap_or_default().to_owned();
        let body = request.body.collect().await?;
        // Whatever rotates the refresh token.
        let refresh = target.ends_with("grant_type=refresh_token") || target.ends_with("/verify");
        let lost = self.books(|books| {
            if !refresh {
                return None;
            }
            let nth = books.refreshes;
            books.refreshes += 1;
            books.refreshing += 1;
            books.overlap = books.overlap.max(books.refreshing);
            books.lost.filter(|(at, _)| *at == nth).map(|(_, lost)| lost)
        });
        self.clock.sleep(self.pace).await;
        if refresh {
            self.books(|books| books.refreshing -= 1);
        }
        if lost == Some(Lost::Request) {
            return Err(Error::new(CONNECT));
        }
        let (status, answer) = self.answer(&target, &token, &String::from_utf8_lossy(&body));
        if lost == Some(Lost::Answer) {
            return Err(Error::new(CUT));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let status = StatusCode::from_u16(status).map_err(|_| Error::new(CONNECT))?;
        Ok(Response::new(status, headers, stream::iter([Ok(Bytes::from(answer))]).boxed()))
    }
}
