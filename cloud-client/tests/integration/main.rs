//! The crate by its public API: a scripted transport, paused time, no network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[cfg(feature = "blocking")]
mod blocking;
mod connections;
mod functions;
mod learned;
#[cfg(target_os = "linux")]
mod linear;
#[cfg(target_os = "linux")]
mod memory;
mod observed;
mod storage;
mod tus;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{
    AccessToken, Client, Error, TokenSource,
    call::Call,
    clock::SharedClock,
    error::{Service, codes},
    random::Random,
    testing::{Scripted, Step},
};
use http::Method;
use serde_json::{Value, json};

fn client(scripted: &Scripted) -> Client {
    Client::builder("https://cloud.example", "sb_publishable_key")
        .unwrap()
        .transport(scripted.shared())
        .random(Random::seeded(7))
        .build()
}

/// A session that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl TokenSource for Silent {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        std::future::pending().await
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        std::future::pending().await
    }
}

/// A session that counts how often it is asked for a new token.
#[derive(Debug, Default)]
struct Session {
    replacements: AtomicU64,
}

#[async_trait]
impl TokenSource for Session {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        let generation = self.replacements.load(SeqCst);
        Ok(Some(AccessToken::new(format!("token-{generation}").into(), generation)))
    }

    async fn replace(&self, refused: &AccessToken) -> Result<Option<AccessToken>, Error> {
        assert_eq!(refused.generation, self.replacements.fetch_add(1, SeqCst));
        self.token().await
    }
}

async fn rows(client: &Client) -> Result<Vec<Value>, Error> {
    Ok(client.table("workspaces").select(["*"]).fetch().await?.into_vec())
}

#[tokio::test(start_paused = true)]
async fn a_read_carries_key_token_and_request_id_and_nothing_secret_in_its_url() {
    let scripted = Scripted::new([Step::json(200, "[]")]);
    let client = client(&scripted).with_token_source(Arc::new(Session::default()));
    assert!(rows(&client).await.unwrap().is_empty());
    let sent = &scripted.sent()[0];
    assert_eq!(sent.target, "GET /rest/v1/workspaces?select=*");
    assert_eq!(sent.header("apikey"), "sb_publishable_key");
    assert_eq!(sent.header("authorization"), "Bearer token-0");
    assert_eq!(sent.header("x-request-id").len(), 36);
    assert!(sent.headers["authorization"].is_sensitive() && sent.headers["apikey"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn dots_that_would_climb_out_of_the_path_are_refused_before_anything_is_sent() {
    let scripted = Scripted::new([]);
    for name in [".", ".."] {
        let error = client(&scripted).table(name).select(["*"]).fetch::<Value>().await.unwrap_err();
        assert_eq!(error.code(), codes::QUERY_INVALID);
        let error = client(&scripted).function(name).invoke::<Value>(&json!({})).await.unwrap_err();
        assert_eq!(error.code(), codes::QUERY_INVALID);
    }
    assert!(scripted.sent().is_empty());
    let scripted = Scripted::new([Step::json(200, "[]")]);
    client(&scripted).table("..x/../y").select(["*"]).fetch::<Value>().await.unwrap();
    assert_eq!(scripted.sent()[0].target, "GET /rest/v1/..x%2F..%2Fy?select=*");
}

#[tokio::test(start_paused = true)]
async fn a_publishable_key_is_never_sent_as_a_bearer() {
    let scripted = Scripted::new([Step::json(200, "[]")]);
    rows(&client(&scripted)).await.unwrap();
    assert_eq!(scripted.sent()[0].header("authorization"), "");
}

/// Whoever signed in last.
#[derive(Debug)]
struct SignedIn(std::sync::Mutex<Vec<Option<AccessToken>>>);

#[async_trait]
impl TokenSource for SignedIn {
    async fn token(&self) -> Result<Option<AccessToken>, Error> {
        Ok(self.0.lock().unwrap().remove(0))
    }

    async fn replace(&self, _: &AccessToken) -> Result<Option<AccessToken>, Error> {
        self.token().await
    }
}

#[tokio::test(start_paused = true)]
async fn a07_what_is_one_users_is_not_sent_in_the_name_of_another() {
    let of = |user: &str| Some(AccessToken::new(format!("{user}'s").into(), 1).of_user(user));
    let unnamed = || Some(AccessToken::new("a host's own".into(), 1));
    let refused = || Step::json(401, r#"{"code":"PGRST303","message":"JWT expired"}"#);
    // Who is signed in, call by call; what was answered; what came of it; what was sent.
    let cases = [
        (vec![of("ada")], vec![Step::json(200, "[]")], None, vec!["Bearer ada's"]),
        (vec![unnamed()], vec![Step::json(200, "[]")], None, vec!["Bearer a host's own"]),
        (vec![of("grace")], vec![], Some(codes::OTHER_USER), vec![]),
        (vec![None], vec![], Some(codes::OTHER_USER), vec![]),
        (vec![of("ada"), of("grace")], vec![refused()], Some(codes::OTHER_USER), vec!["Bearer ada's"]),
    ];
    for (signed_in, answers, failure, sent) in cases {
        let scripted = Scripted::new(answers);
        let client = client(&scripted).with_token_source(Arc::new(SignedIn(signed_in.into())));
        let outcome = rows(&client.on_behalf_of("ada")).await;
        assert_eq!(outcome.err().map(|error| error.code()), failure);
        let bearers: Vec<_> = scripted.sent().iter().map(|sent| sent.header("authorization").to_owned()).collect();
        assert_eq!(bearers, sent);
    }
    // The project's key alone: nobody's name.
    let scripted = Scripted::new([Step::json(200, "[]")]);
    rows(&client(&scripted).on_behalf_of("ada")).await.unwrap();
    assert_eq!(scripted.sent()[0].header("authorization"), "");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_and_the_call_repeated_once() {
    let refused = || Step::json(401, r#"{"code":"PGRST303","message":"JWT expired"}"#);
    let scripted = Scripted::new([refused(), Step::json(201, "")]);
    let session = Arc::new(Session::default());
    let client = client(&scripted).with_token_source(Arc::<Session>::clone(&session));
    // A plain insert is never repeated on its own, but a refused one did not happen.
    client.table("t").insert(&json!({"a": 1})).send().await.unwrap();
    assert_eq!(scripted.sent()[1].header("authorization"), "Bearer token-1");

    scripted.then([refused(), refused()]);
    let error = rows(&client).await.unwrap_err();
    assert_eq!((error.code(), session.replacements.load(SeqCst)), (codes::TOKEN_REFUSED, 2));
    assert_eq!(scripted.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_functions_own_401_asks_for_no_new_token() {
    let scripted = Scripted::new([Step::json(401, r#"{"error":"nope"}"#)]);
    let session = Arc::new(Session::default());
    let client = client(&scripted).with_token_source(Arc::<Session>::clone(&session));
    let error = client.function("own").invoke::<Value>(&json!({})).await.unwrap_err();
    assert_eq!((error.code(), session.replacements.load(SeqCst)), (codes::UNAUTHENTICATED, 0));
}

#[tokio::test(start_paused = true)]
async fn t02_reads_are_repeated_and_plain_inserts_are_not() {
    let scripted = Scripted::new([Step::fail(codes::CONNECT), Step::json(503, "{}"), Step::json(200, "[1]")]);
    assert_eq!(rows(&client(&scripted)).await.unwrap(), [json!(1)]);

    let scripted = Scripted::new([Step::fail(codes::CUT), Step::json(201, "")]);
    let error = client(&scripted).table("t").insert(&json!({})).send().await.unwrap_err();
    assert_eq!((error.code(), scripted.sent().len()), (codes::CUT, 1));

    let scripted = Scripted::new([Step::fail(codes::CUT), Step::json(201, "")]);
    client(&scripted).table("t").insert(&json!({})).ignore_duplicates().send().await.unwrap();
    assert_eq!(scripted.sent().len(), 2);
    assert_eq!(scripted.sent()[0].header("x-request-id"), scripted.sent()[1].header("x-request-id"));
}

#[tokio::test(start_paused = true)]
async fn t03_retry_after_is_a_lower_bound_for_the_wait() {
    let clock = SharedClock::default();
    let scripted = Scripted::new([Step::json(429, "{}").header("retry-after", "17"), Step::json(200, "[]")]);
    let started = clock.monotonic();
    rows(&client(&scripted)).await.unwrap();
    assert_eq!((clock.monotonic() - started).as_secs(), 17);

    // A wait that would pass the deadline is not begun: the caller hears at once, with the wait in the error.
    let scripted = Scripted::new([Step::json(429, "{}").header("retry-after", "3600")]);
    let started = clock.monotonic();
    let error = rows(&client(&scripted)).await.unwrap_err();
    assert_eq!((error.code(), error.retry_after()), (codes::RATE_LIMITED, Some(Duration::from_secs(3600))));
    assert_eq!((clock.monotonic() - started).as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn t08_a_cloud_in_trouble_gets_first_attempts_only_until_calls_succeed_again() {
    let scripted = Scripted::default();
    let client = client(&scripted);
    let sends = async || {
        let before = scripted.sent().len();
        rows(&client).await.unwrap_err();
        scripted.sent().len() - before
    };
    assert_eq!(sends().await, 4);
    let mut calls = 0;
    while sends().await > 1 {
        calls += 1;
        assert!(calls < 100, "the budget has an end");
    }
    for _ in 0..14 {
        scripted.then([Step::json(200, "[]")]);
        rows(&client).await.unwrap();
    }
    assert!(sends().await > 1, "what succeeded pays for a repeat");
}

#[tokio::test(start_paused = true)]
async fn t01_every_wait_ends_at_the_deadline() {
    let clock = SharedClock::default();
    let scripted = Scripted::new((0..9).map(|_| Step::json(200, "[]").after(Duration::from_secs(9999))));
    let started = clock.monotonic();
    let error = rows(&client(&scripted)).await.unwrap_err();
    assert_eq!(error.code(), codes::TIMEOUT);
    assert!((60..=61).contains(&(clock.monotonic() - started).as_secs()));
    assert!(error.attempts() >= 2, "one slow attempt does not use up the call");

    // What is sent once has its whole deadline: a model may think for minutes.
    let slow = Scripted::new([Step::json(200, "{}").after(Duration::from_secs(140))]);
    let thinking = client(&slow).function("think").timeout(Duration::from_secs(150));
    assert_eq!(thinking.invoke::<Value>(&json!({})).await.unwrap(), json!({}));

    // Nor may whoever answers for the session keep a call waiting.
    let waiting = client(&scripted).with_token_source(Arc::new(Silent));
    let started = clock.monotonic();
    let error = rows(&waiting).await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (codes::TIMEOUT, 0));
    assert_eq!((clock.monotonic() - started).as_secs(), 60);

    let call = Call::new(Service::Rest, Method::GET).timeout(Duration::from_secs(2));
    let started = clock.monotonic();
    assert_eq!(client(&scripted).send(call).await.unwrap_err().code(), codes::TIMEOUT);
    assert_eq!((clock.monotonic() - started).as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn t05_a_body_past_the_limit_is_refused_whatever_length_was_announced() {
    let body = "x".repeat(5000);
    let scripted = Scripted::new([Step::json(200, &body), Step::json(500, &"y".repeat(200_000))]);
    let small = || Call::new(Service::Rest, Method::GET).limit_bytes(4999).once();
    assert_eq!(client(&scripted).send(small()).await.unwrap_err().code(), codes::TOO_LARGE);
    let error = client(&scripted).send(small()).await.unwrap_err();
    assert_eq!((error.code(), error.detail().map(str::len)), (codes::SERVER_FAULT, Some(1024)));
}

#[tokio::test(start_paused = true)]
async fn t06_html_in_place_of_json_is_an_interception_not_data() {
    for status in [200, 401, 403, 404] {
        let scripted = Scripted::new([Step::answer(status, "text/html", "<html>Welcome to the hotel</html>")]);
        let error = rows(&client(&scripted)).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (codes::INTERCEPTED, Some(status)));
        assert_eq!(scripted.sent().len(), 1, "asking again would show the same page");
    }
    let scripted = Scripted::new([Step::json(200, "{\"not\": \"rows\"")]);
    assert_eq!(rows(&client(&scripted)).await.unwrap_err().code(), codes::UNREADABLE);
}

#[tokio::test(start_paused = true)]
async fn t07_an_error_names_template_status_and_the_servers_request_id() {
    let scripted =
        Scripted::new([Step::json(403, r#"{"code":"42501","message":"secret row"}"#).header("x-request-id", "srv-9")]);
    let client = client(&scripted);
    let error =
        client.table("messages").select(["*"]).eq("content", "private words").fetch::<Value>().await.unwrap_err();
    let text = format!("{error} {error:?}");
    for part in ["GET /rest/v1/{table}", "403", "srv-9", "api.forbidden", "42501"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    for part in ["private", "secret row", "sb_publishable"] {
        assert!(!text.contains(part), "{part} leaked into {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn t10_a_cut_body_is_an_error_and_is_read_again() {
    let scripted = Scripted::new([Step::json(200, "[1,").then_cut(), Step::json(200, "[2]")]);
    assert_eq!(rows(&client(&scripted)).await.unwrap(), [json!(2)]);
}

#[tokio::test(start_paused = true)]
async fn pages_go_on_behind_the_last_key_and_end_at_an_empty_one() {
    let page = |from: i64, to: i64| {
        let rows: Vec<_> = (from..to).map(|n| json!({"seq": n})).collect();
        Step::json(200, &Value::from(rows).to_string())
    };
    let scripted = Scripted::new([page(1, 4), Step::fail(codes::CUT), Step::json(500, "{}"), page(4, 6), page(6, 6)]);
    let mut pages = client(&scripted).table("messages").select(["seq"]).pages::<Value>("seq", Some(0_i64.into()), 3);
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 3);
    assert_eq!(pages.next().await.unwrap_err().code(), codes::SERVER_FAULT);
    assert_eq!(pages.next().await.unwrap().unwrap(), [json!({"seq": 4}), json!({"seq": 5})]);
    assert!(pages.next().await.unwrap().is_none());
    let targets: Vec<_> = scripted.sent().into_iter().map(|sent| sent.target).collect();
    assert_eq!(targets[0], "GET /rest/v1/messages?select=seq&seq=gt.0&order=seq.asc&limit=3");
    assert_eq!(targets[3], "GET /rest/v1/messages?select=seq&seq=gt.3&order=seq.asc&limit=3");
}

#[tokio::test]
async fn t04_a_redirect_is_not_followed_and_no_key_leaves_with_it() {
    let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (cloud, elsewhere) = (listen().await, listen().await.into_std().unwrap());
    let client = Client::builder(&format!("http://{}", cloud.local_addr().unwrap()), "sb_publishable_key").unwrap();
    let client = client.build();
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"] {
        let place = elsewhere.local_addr().unwrap();
        let answer = format!("HTTP/1.1 {status}\r\nlocation: http://{place}/\r\ncontent-length: 0\r\n\r\n");
        let server = async {
            let (mut socket, _) = cloud.accept().await.unwrap();
            tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 4096]).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(rows(&client), server);
        let error = answer.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (codes::REDIRECTED, 1), "{status}");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{status}");
    }
}

#[tokio::test]
async fn what_keeps_an_answer_from_arriving_has_a_code_of_its_own() {
    // The real transport, against this machine only.
    let code = |url: &'static str| async move {
        let client =
            Client::builder(url, "sb_publishable_key").unwrap().retry(cloud_client::retry::Policy::never()).build();
        rows(&client).await.unwrap_err().code()
    };
    assert_eq!(code("http://127.0.0.1:9").await, codes::CONNECT);
    assert_eq!(code("https://no-such-host.invalid").await, codes::UNKNOWN_HOST);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        // Not TLS, then a redirect, then a body that ends too early.
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[1,",
        ] {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 4096]).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer.as_bytes()).await.unwrap();
        }
    };
    let client = |scheme: &str| {
        Client::builder(&format!("{scheme}://{address}"), "sb_publishable_key")
            .unwrap()
            .retry(cloud_client::retry::Policy::never())
            .build()
    };
    let clients = async {
        assert_eq!(rows(&client("https")).await.unwrap_err().code(), codes::TLS);
        assert_eq!(rows(&client("http")).await.unwrap_err().code(), codes::REDIRECTED);
        assert_eq!(rows(&client("http")).await.unwrap_err().code(), codes::CUT);
    };
    tokio::join!(server, clients);
}
