//! What comes to the listener, and what each of it does.
use std::time::Duration;

use cloud_auth::store::MemoryStore;
use cloud_client::testing::{Scripted, Step};
use tokio::net::TcpStream;

use super::{Asked, exchanges, kept};
use crate::world::{grant, no_profile, open, refusal};

#[tokio::test]
async fn a_browser_that_comes_back_with_a_code_is_signed_in() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").scopes(["repo", "gist"]).begin().await.unwrap();
    let asked = Asked::of(&attempt);
    assert!(
        asked.url.as_str().starts_with("https://cloud.example/auth/v1/authorize?provider=github&"),
        "{}",
        asked.url
    );
    assert!(asked.url.as_str().contains("scopes=repo+gist&"), "{}", asked.url);
    assert!(asked.redirect.as_str().starts_with("http://127.0.0.1:"), "{}", asked.redirect);
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    let (user, page) = tokio::join!(attempt.wait(), asked.come_back("code=c0de-1"));
    assert_eq!(user.unwrap().id.as_str(), "u1");
    assert!(auth.status().is_signed_in());
    assert_eq!(exchanges(&cloud), [("c0de-1".to_owned(), asked.challenge())]);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("You are signed in"), "{page}");
    assert!(TcpStream::connect(asked.host()).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a15_strays_and_forgeries_change_nothing() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let asked = Asked::of(&attempt);
    let (path, host) = (asked.redirect.path(), asked.host());
    let before = kept(&store);
    let browser = async {
        let silent = TcpStream::connect(&host).await.unwrap();
        for (request, status) in [
            (format!("GET /favicon.ico HTTP/1.1\r\nHost: {host}\r\n\r\n"), 404),
            (format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 404),
            (format!("GET /?code=forged&sb_flow_id={} HTTP/1.1\r\nHost: {host}\r\n\r\n", asked.flow()), 404),
            (format!("GET {path}?code=forged HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400),
            (format!("GET {path}?code=forged&sb_flow_id=AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400),
            (format!("GET {path}?error=access_denied HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400),
            (format!("GET {path}?code=forged&sb_flow_id={} HTTP/1.1\r\nHost: evil.example\r\n\r\n", asked.flow()), 421),
            (format!("POST {path}?code=forged&sb_flow_id={} HTTP/1.1\r\nHost: {host}\r\n\r\n", asked.flow()), 405),
            ("\x16\x03\x01 tls?\r\n\r\n".to_owned(), 400),
            (format!("GET {path}?{} HTTP/1.1\r\n", "x".repeat(20_000)), 431),
        ] {
            let answer = asked.say(&request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {answer}");
            assert!(!answer.contains("forged"), "{answer}");
        }
        assert_eq!(kept(&store), before);
        cloud.then([grant(1)]);
        cloud.then(no_profile());
        let page = asked.come_back("code=c0de-1").await;
        drop(silent);
        page
    };
    let (user, page) = tokio::join!(attempt.wait(), browser);
    assert_eq!(user.unwrap().id.as_str(), "u1");
    assert!(page.contains("You are signed in"), "{page}");
    assert_eq!(exchanges(&cloud).len(), 1);
}

#[tokio::test]
async fn a_refusal_in_the_browser_says_why() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    for (answer, code) in [
        ("error=access_denied&error_description=The+user+said+no", "auth.browser_denied"),
        ("error=server_error&error_code=unexpected_failure", "server.fault"),
        (
            "error=invalid_request&error_code=validation_failed&error_description=Invalid+redirect",
            "auth.browser_refused",
        ),
        ("error=access_denied&error_code=signup_disabled", "auth.signup_disabled"),
    ] {
        let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
        let asked = Asked::of(&attempt);
        let (result, page) = tokio::join!(attempt.wait(), asked.come_back(answer));
        let error = result.unwrap_err();
        assert_eq!(error.code().as_str(), code, "{answer}");
        assert!(page.starts_with("HTTP/1.1 400 ") && page.contains(code), "{page}");
        assert!(!page.contains("said no") && !error.to_string().contains("said no"), "{page} {error}");
    }
    assert!(cloud.sent().is_empty() && kept(&store).contains("secrets: 0"), "{store:?}");
}

#[tokio::test]
async fn the_servers_word_on_a_code_is_told_to_the_app_and_to_the_page() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    for (status, word, code) in [
        (400, "bad_code_verifier", "auth.code_verifier"),
        (422, "flow_state_expired", "auth.flow_expired"),
        (400, "user_banned", "auth.user_banned"),
    ] {
        let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
        let asked = Asked::of(&attempt);
        cloud.then([refusal(status, word)]);
        let (result, page) = tokio::join!(attempt.wait(), asked.come_back("code=c0de-1"));
        assert_eq!(result.unwrap_err().code().as_str(), code);
        assert!(page.contains(code), "{page}");
        assert_eq!(attempt.complete("c0de-1-again").await.unwrap_err().code().as_str(), "auth.flow_unknown", "once");
    }
    assert!(!auth.status().is_signed_in());
}

#[tokio::test]
async fn a_code_that_could_not_be_shown_to_the_server_is_tried_again_without_the_browser() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let asked = Asked::of(&attempt);
    cloud.then([Step::json(503, "{}")]);
    let (result, page) = tokio::join!(attempt.wait(), asked.come_back("code=c0de-1"));
    let error = result.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(page.contains("did not work"), "{page}");
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    assert_eq!(attempt.wait().await.unwrap().id.as_str(), "u1");
    let expected = ("c0de-1".to_owned(), asked.challenge());
    assert_eq!(exchanges(&cloud), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_dropped_wait_is_taken_up_by_the_next() {
    let (cloud, store) = (Scripted::default(), MemoryStore::new());
    let auth = open(&cloud, &store);
    let mut attempt = auth.sign_in_with_browser("github").begin().await.unwrap();
    let asked = Asked::of(&attempt);
    let clock = auth.client().clock().clone();
    assert!(clock.within(Duration::ZERO, attempt.wait()).await.is_none());
    cloud.then([grant(1)]);
    cloud.then(no_profile());
    let (user, _) = tokio::join!(attempt.wait(), asked.come_back("code=c0de-1"));
    assert!(user.is_ok());
}
